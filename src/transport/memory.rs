//! The twin for tests: behaves like an engine whose peers do what a [`Script`] says.
//!
//! No process, no network, no bytes: the test says when a peer has taken a file.

use super::{
    Absence, Capabilities, Change, Delivered, Desired, Event, Folder, FolderId, Kind, Outbox, Peer,
    PeerId, Pending, RemoteChange, Status, Transport, TransportError,
};
use crate::model::RelPath;
use crate::model::dialect::{Dialect, is_sent};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// The twin. Make it with [`Memory::new`], which also gives the script.
pub struct Memory {
    script: Script,
    capabilities: Capabilities,
}

/// Says what the twin's peers do, and tells what the twin was asked. Cheap to clone.
#[derive(Clone)]
pub struct Script {
    identity: PeerId,
    state: Arc<Mutex<State>>,
    up: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    config: Desired,
    /// What the engine has seen on the drive by being told.
    known: BTreeMap<FolderId, BTreeSet<RelPath>>,
    taken: BTreeSet<(FolderId, PeerId, RelPath)>,
    gone: BTreeMap<(FolderId, RelPath), Absence>,
    pending: Pending,
    looked: Vec<(FolderId, Vec<RelPath>)>,
    out: Option<Outbox>,
    paused: bool,
    instant: bool,
}

impl Memory {
    /// A twin that is up, with this id.
    pub fn new(identity: PeerId) -> (Self, Script) {
        Self::able(identity, Capabilities::ALL)
    }

    /// A twin that is up, with this id, and says that it can do this and no more.
    pub fn able(identity: PeerId, capabilities: Capabilities) -> (Self, Script) {
        let script = Script { identity, state: Arc::default(), up: watch::Sender::new(true) };
        (Self { script: script.clone(), capabilities }, script)
    }

    fn state(&self) -> Result<MutexGuard<'_, State>, TransportError> {
        if *self.script.up.borrow() {
            return Ok(self.script.lock());
        }
        Err(TransportError::Down("the script says that it is down".into()))
    }
}

impl Script {
    /// The engine goes down or comes up.
    pub fn set_up(&self, up: bool) {
        self.up.send_replace(up);
    }

    /// From now on every peer of a folder takes at once what the engine is told of.
    pub fn take_at_once(&self) {
        self.lock().instant = true;
    }

    /// A peer takes a file that the engine knows.
    pub fn takes(&self, folder: &FolderId, peer: &PeerId, path: &RelPath) {
        let mut state = self.lock();
        state.taken.insert((folder.clone(), peer.clone(), path.clone()));
        let (folder, peer, paths) = (folder.clone(), peer.clone(), vec![path.clone()]);
        state.tell(Event::Delivered { folder, peer, paths });
    }

    /// A peer deletes a path: the engine removed it here. The test removes the file.
    pub fn deletes(&self, folder: &FolderId, peer: &PeerId, path: &RelPath) {
        let by = Some(peer.short().to_owned());
        let mut state = self.lock();
        state.gone.insert((folder.clone(), path.clone()), Absence::Deleted(by.clone()));
        if let Some(known) = state.known.get_mut(folder) {
            known.remove(path);
        }
        state.tell(Event::RemoteChange(RemoteChange {
            folder: folder.clone(),
            path: path.clone(),
            change: Change::Deleted,
            kind: Kind::File,
            by,
        }));
    }

    /// Somebody asks to be let in, or offers something: the whole list.
    pub fn asks(&self, pending: Pending) {
        let mut state = self.lock();
        state.pending = pending.clone();
        state.tell(Event::Pending(pending));
    }

    /// Who asks to be let in, and was not refused.
    pub fn pending(&self) -> Pending {
        self.lock().pending.clone()
    }

    /// Any event, as if the engine had told it.
    pub fn tell(&self, event: Event) {
        self.lock().tell(event);
    }

    /// Somebody changes the configuration by hand.
    pub fn meddle(&self, change: impl FnOnce(&mut Desired)) {
        let mut state = self.lock();
        change(&mut state.config);
        if let Some(out) = &state.out {
            out.check();
        }
    }

    /// The configuration as it is.
    pub fn config(&self) -> Desired {
        self.lock().config.clone()
    }

    /// What the engine was told to look at since the last call.
    pub fn looked(&self) -> Vec<(FolderId, Vec<RelPath>)> {
        std::mem::take(&mut self.lock().looked)
    }

    /// Whether all traffic is stopped.
    pub fn is_paused(&self) -> bool {
        self.lock().paused
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&self, event: Event) {
        if let Some(out) = &self.out {
            out.event(event);
        }
    }

    fn folder(&self, id: &FolderId) -> Result<&Folder, TransportError> {
        self.config.folders.get(id).ok_or_else(|| TransportError::NoFolder(id.clone()))
    }
}

/// The files of a folder, without the names that stay at home.
fn files_below(root: &Path, at: &RelPath, all: &mut Vec<RelPath>) {
    let folder = root.join(OsStr::from_bytes(at.as_bytes()));
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if !is_sent(name.as_bytes()) {
            continue;
        }
        let Ok(path) = at.join(name.as_bytes()) else { continue };
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files_below(root, &path, all),
            Ok(kind) if kind.is_file() => all.push(path),
            _ => {}
        }
    }
}

impl Transport for Memory {
    fn dialect(&self) -> Option<&'static Dialect> {
        None
    }

    fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    async fn serve(&self, out: Outbox, mut stop: watch::Receiver<bool>) {
        self.script.lock().out = Some(out.clone());
        let mut up = self.script.up.subscribe();
        loop {
            if *up.borrow_and_update() {
                out.well("engine");
                let identity = Some(self.script.identity.clone());
                out.up(Event::Up { identity, version: "memory".into() });
                out.event(Event::Reset);
            } else {
                out.down();
                out.trouble(
                    "engine",
                    TransportError::Down("the script says so".into()).to_string(),
                    "nothing to do".into(),
                );
            }
            tokio::select! {
                _ = stop.wait_for(|&stop| stop) => return,
                changed = up.changed() => if changed.is_err() { return },
            }
        }
    }

    async fn identity(&self) -> Result<Option<PeerId>, TransportError> {
        drop(self.state()?);
        Ok(Some(self.script.identity.clone()))
    }

    async fn current(&self) -> Result<Desired, TransportError> {
        Ok(self.state()?.config.clone())
    }

    async fn put_peer(&self, id: &PeerId, peer: &Peer) -> Result<(), TransportError> {
        let mut state = self.state()?;
        state.config.peers.insert(id.clone(), peer.clone());
        state.pending.peers.retain(|p| p.id != *id);
        Ok(())
    }

    async fn remove_peer(&self, id: &PeerId) -> Result<(), TransportError> {
        let mut state = self.state()?;
        state.config.peers.remove(id);
        for folder in state.config.folders.values_mut() {
            folder.peers.remove(id);
        }
        Ok(())
    }

    async fn put_folder(&self, id: &FolderId, folder: &Folder) -> Result<(), TransportError> {
        let mut state = self.state()?;
        if !folder.path.is_dir() {
            return Err(TransportError::NoDirectory { path: folder.path.clone() });
        }
        if let Some(stranger) = folder.peers.keys().find(|p| !state.config.peers.contains_key(p)) {
            let doing = format!("share {id} with {stranger}");
            return Err(TransportError::Refused { doing, answer: "no such device".into() });
        }
        state.config.folders.insert(id.clone(), folder.clone());
        state.pending.folders.retain(|f| f.id != *id);
        Ok(())
    }

    async fn remove_folder(&self, id: &FolderId) -> Result<(), TransportError> {
        let mut state = self.state()?;
        state.config.folders.remove(id);
        state.known.remove(id);
        state.taken.retain(|(folder, ..)| folder != id);
        Ok(())
    }

    async fn pause(&self, paused: bool) -> Result<(), TransportError> {
        self.state()?.paused = paused;
        Ok(())
    }

    async fn pending(&self) -> Result<Pending, TransportError> {
        Ok(self.state()?.pending.clone())
    }

    async fn refuse(&self, peer: &PeerId, folder: Option<&FolderId>) -> Result<(), TransportError> {
        let mut state = self.state()?;
        match folder {
            None => state.pending.peers.retain(|p| p.id != *peer),
            Some(id) => state.pending.folders.retain(|f| (&f.id, &f.peer) != (id, peer)),
        }
        Ok(())
    }

    async fn changed(&self, folder: &FolderId, paths: &[RelPath]) -> Result<(), TransportError> {
        let mut state = self.state()?;
        let at = state.folder(folder)?.clone();
        state.looked.push((folder.clone(), paths.to_vec()));
        let mut there = Vec::new();
        let mut all = paths.to_vec();
        if paths.is_empty() {
            files_below(&at.path, &RelPath::root(), &mut all);
            all.extend(state.known.get(folder).into_iter().flatten().cloned());
            all.sort();
            all.dedup();
        }
        for path in &all {
            let on_disk = at.path.join(OsStr::from_bytes(path.as_bytes()));
            let key = (folder.clone(), path.clone());
            state.taken.retain(|(f, _, p)| (f, p) != (folder, path));
            let known = state.known.entry(folder.clone()).or_default();
            if on_disk.symlink_metadata().is_ok() {
                known.insert(path.clone());
                state.gone.remove(&key);
                there.push(path.clone());
            } else if known.remove(path) {
                state.gone.insert(key, Absence::Here);
            }
        }
        if state.instant && !there.is_empty() {
            for peer in at.peers.keys() {
                for path in &there {
                    state.taken.insert((folder.clone(), peer.clone(), path.clone()));
                }
                let (folder, peer, paths) = (folder.clone(), peer.clone(), there.clone());
                state.tell(Event::Delivered { folder, peer, paths });
            }
        }
        Ok(())
    }

    async fn delivered(
        &self,
        folder: &FolderId,
        path: &RelPath,
        peer: &PeerId,
    ) -> Result<Delivered, TransportError> {
        let state = self.state()?;
        let knows = state.known.get(folder).is_some_and(|known| known.contains(path));
        let is_member =
            state.config.folders.get(folder).is_some_and(|f| f.peers.contains_key(peer));
        Ok(if !knows || !is_member {
            Delivered::Unknown
        } else if state.taken.contains(&(folder.clone(), peer.clone(), path.clone())) {
            Delivered::Yes
        } else {
            Delivered::No
        })
    }

    async fn lacking(
        &self,
        folder: &FolderId,
        peer: &PeerId,
    ) -> Result<Option<Vec<RelPath>>, TransportError> {
        let state = self.state()?;
        let member = state.config.folders.get(folder).is_some_and(|f| f.peers.contains_key(peer));
        let lacks = |path: &&RelPath| {
            !state.taken.contains(&(folder.clone(), peer.clone(), (*path).clone()))
        };
        let known = state.known.get(folder).into_iter().flatten();
        Ok(member.then(|| known.filter(lacks).cloned().collect()))
    }

    async fn status(
        &self,
        folder: &FolderId,
        peer: Option<&PeerId>,
    ) -> Result<Status, TransportError> {
        let state = self.state()?;
        state.folder(folder)?;
        let known = state.known.get(folder).map_or(0, BTreeSet::len);
        let taken = state.taken.iter().filter(|(f, p, _)| (f, Some(p)) == (folder, peer)).count();
        let lacks = if peer.is_some() { known - taken } else { 0 };
        Ok(Status { need_items: lacks as u64, valid: true, ..Status::default() })
    }

    async fn absence(&self, folder: &FolderId, path: &RelPath) -> Result<Absence, TransportError> {
        let state = self.state()?;
        if state.known.get(folder).is_some_and(|known| known.contains(path)) {
            return Ok(Absence::StillThere);
        }
        let gone = state.gone.get(&(folder.clone(), path.clone()));
        Ok(gone.cloned().unwrap_or(Absence::Unknown))
    }
}
