//! No sync engine of ours: something else synchronizes the folders.
//!
//! Everything but progress, pairing and shares works: the folders on the drive are kept as ever.

use super::{
    Absence, Capabilities, Delivered, Desired, Event, Folder, FolderId, Outbox, Peer, PeerId,
    Pending, Status, Transport, TransportError,
};
use crate::model::RelPath;
use crate::model::dialect::Dialect;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Carries nothing, remembers what is wanted, and knows nothing about anybody.
#[derive(Default)]
pub struct NoTransport {
    state: Mutex<Desired>,
}

impl NoTransport {
    fn state(&self) -> MutexGuard<'_, Desired> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Transport for NoTransport {
    fn dialect(&self) -> Option<&'static Dialect> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn serve(&self, out: Outbox, mut stop: tokio::sync::watch::Receiver<bool>) {
        out.up(Event::Up { identity: None, version: "none".into() });
        // An error means that the owner is gone, which is a stop as well.
        stop.wait_for(|&stop| stop).await.ok();
    }

    async fn identity(&self) -> Result<Option<PeerId>, TransportError> {
        Ok(None)
    }

    async fn current(&self) -> Result<Desired, TransportError> {
        Ok(self.state().clone())
    }

    async fn put_peer(&self, id: &PeerId, peer: &Peer) -> Result<(), TransportError> {
        self.state().peers.insert(id.clone(), peer.clone());
        Ok(())
    }

    async fn remove_peer(&self, id: &PeerId) -> Result<(), TransportError> {
        let mut state = self.state();
        state.peers.remove(id);
        for folder in state.folders.values_mut() {
            folder.peers.remove(id);
        }
        Ok(())
    }

    async fn put_folder(&self, id: &FolderId, folder: &Folder) -> Result<(), TransportError> {
        if !folder.path.is_dir() {
            return Err(TransportError::NoDirectory { path: folder.path.clone() });
        }
        self.state().folders.insert(id.clone(), folder.clone());
        Ok(())
    }

    async fn remove_folder(&self, id: &FolderId) -> Result<(), TransportError> {
        self.state().folders.remove(id);
        Ok(())
    }

    async fn pause(&self, _paused: bool) -> Result<(), TransportError> {
        Ok(())
    }

    async fn pending(&self) -> Result<Pending, TransportError> {
        Ok(Pending::default())
    }

    async fn refuse(
        &self,
        _peer: &PeerId,
        _folder: Option<&FolderId>,
    ) -> Result<(), TransportError> {
        Ok(())
    }

    async fn changed(&self, folder: &FolderId, _paths: &[RelPath]) -> Result<(), TransportError> {
        if self.state().folders.contains_key(folder) {
            return Ok(());
        }
        Err(TransportError::NoFolder(folder.clone()))
    }

    async fn delivered(
        &self,
        _folder: &FolderId,
        _path: &RelPath,
        _peer: &PeerId,
    ) -> Result<Delivered, TransportError> {
        Ok(Delivered::Unknown)
    }

    async fn lacking(
        &self,
        _folder: &FolderId,
        _peer: &PeerId,
    ) -> Result<Option<Vec<RelPath>>, TransportError> {
        Ok(None)
    }

    async fn status(
        &self,
        folder: &FolderId,
        _peer: Option<&PeerId>,
    ) -> Result<Status, TransportError> {
        if self.state().folders.contains_key(folder) {
            return Ok(Status::default());
        }
        Err(TransportError::NoFolder(folder.clone()))
    }

    async fn absence(
        &self,
        _folder: &FolderId,
        _path: &RelPath,
    ) -> Result<Absence, TransportError> {
        Ok(Absence::Unknown)
    }
}
