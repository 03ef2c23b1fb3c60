//! No sync engine of ours: something else synchronizes the folders.
//!
//! Everything but progress, pairing and shares works: the folders on the drive are kept as ever.

use super::{
    Absence, Capabilities, Delivered, Desired, Event, Folder, FolderId, Outbox, Peer, PeerId,
    Pending, Status, SyncEngine, SyncError,
};
use crate::model::RelPath;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Carries nothing, remembers what is wanted, and knows nothing about anybody.
#[derive(Default)]
pub struct NoEngine {
    state: Mutex<Desired>,
}

impl NoEngine {
    fn state(&self) -> MutexGuard<'_, Desired> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SyncEngine for NoEngine {
    fn name(&self) -> &'static str {
        "none"
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn serve(&self, out: Outbox, mut stop: tokio::sync::watch::Receiver<bool>) {
        out.up(Event::Up { identity: None, version: "none".into() });
        // An error means that the owner is gone, which is a stop as well.
        stop.wait_for(|&stop| stop).await.ok();
    }

    async fn identity(&self) -> Result<Option<PeerId>, SyncError> {
        Ok(None)
    }

    async fn current(&self) -> Result<Desired, SyncError> {
        Ok(self.state().clone())
    }

    async fn put_peer(&self, id: &PeerId, peer: &Peer) -> Result<(), SyncError> {
        self.state().peers.insert(id.clone(), peer.clone());
        Ok(())
    }

    async fn remove_peer(&self, id: &PeerId) -> Result<(), SyncError> {
        let mut state = self.state();
        state.peers.remove(id);
        for folder in state.folders.values_mut() {
            folder.peers.remove(id);
        }
        Ok(())
    }

    async fn put_folder(&self, id: &FolderId, folder: &Folder) -> Result<(), SyncError> {
        if !folder.path.is_dir() {
            return Err(SyncError::NoDirectory { path: folder.path.clone() });
        }
        self.state().folders.insert(id.clone(), folder.clone());
        Ok(())
    }

    async fn remove_folder(&self, id: &FolderId) -> Result<(), SyncError> {
        self.state().folders.remove(id);
        Ok(())
    }

    async fn pause(&self, _paused: bool) -> Result<(), SyncError> {
        Ok(())
    }

    async fn pending(&self) -> Result<Pending, SyncError> {
        Ok(Pending::default())
    }

    async fn refuse(&self, _peer: &PeerId, _folder: Option<&FolderId>) -> Result<(), SyncError> {
        Ok(())
    }

    async fn changed(&self, folder: &FolderId, _paths: &[RelPath]) -> Result<(), SyncError> {
        if self.state().folders.contains_key(folder) {
            return Ok(());
        }
        Err(SyncError::NoFolder(folder.clone()))
    }

    async fn delivered(
        &self,
        _folder: &FolderId,
        _path: &RelPath,
        _peer: &PeerId,
    ) -> Result<Delivered, SyncError> {
        Ok(Delivered::Unknown)
    }

    async fn lacking(
        &self,
        _folder: &FolderId,
        _peer: &PeerId,
    ) -> Result<Option<Vec<RelPath>>, SyncError> {
        Ok(None)
    }

    async fn status(&self, folder: &FolderId, _peer: Option<&PeerId>) -> Result<Status, SyncError> {
        if self.state().folders.contains_key(folder) {
            return Ok(Status::default());
        }
        Err(SyncError::NoFolder(folder.clone()))
    }

    async fn absence(&self, _folder: &FolderId, _path: &RelPath) -> Result<Absence, SyncError> {
        Ok(Absence::Unknown)
    }
}
