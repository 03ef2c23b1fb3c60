//! Transports: whatever carries the bytes between the drive and the devices, a sync engine first of all.
//!
//! What comes in: a wanted state ([`Desired`]: which peers, which folders, who holds what), paths
//! that were just changed on the drive, and questions. What goes out: [`Event`]s. Between them
//! stands one trait, [`Transport`], as narrow as an engine can bear: [`Syncthing`] is the one that
//! is delivered, [`NoTransport`] is for people who synchronize the folders by other means, and
//! [`Memory`] is the twin for tests. One contract suite holds them all to the same words.
//!
//! The owner loop is synchronous and never waits for this module: it holds a [`Handle`], whose
//! methods put something into bounded memory and return. Everything else runs as tokio tasks,
//! started by [`start`]. Events that the owner does not take in time are joined where they are
//! states (progress, connections) and otherwise replaced by one [`Event::Reset`]: then the owner
//! looks for itself. A lost event never means a deletion.
//!
//! What this module must never do: write outside the sync engine's own home (except the list of
//! ignored names in a folder it is given), make a folder that is not there (the drive may be
//! unplugged and only its mount point be left), or report something as delivered that it has not
//! got proof of.

mod book;
#[cfg(test)]
mod contract;
mod desired;
mod memory;
mod none;
mod outbox;
mod pairing;
mod reconcile;
mod runner;
pub mod syncthing;
mod types;

pub use book::{FolderBook, FolderKey};
pub use desired::{Share, ShareKind, desired};
pub use memory::{Memory, Script};
pub use none::NoTransport;
pub use outbox::Outbox;
pub use pairing::read_id;
pub use reconcile::{Call, reconcile};
pub use runner::{Handle, start};
pub use syncthing::Syncthing;
pub use types::{
    Absence, Capabilities, Change, Delivered, Desired, Event, Folder, FolderId, Kind, Mode,
    Password, Peer, PeerId, Pending, PendingFolder, PendingPeer, Question, Received, RemoteChange,
    Sink, Status,
};

use crate::model::RelPath;
use crate::model::dialect::Dialect;
use std::future::Future;
use std::path::PathBuf;

/// What can go wrong with a sync engine, in words for the owner.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The program is not there.
    #[error(
        "the sync engine `{path}` can't be started ({source}); install it or correct its path in the settings"
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The program is there, but of a version that does not fit.
    #[error("the sync engine is {found}; Larder needs Syncthing {needed}: install a fitting one")]
    Version {
        /// What it calls itself.
        found: String,
        /// What would fit.
        needed: &'static str,
    },
    /// It is not running, or does not answer.
    #[error("the sync engine does not answer ({0}); it is started again by itself")]
    Down(String),
    /// It runs, but with another key than ours.
    #[error(
        "the sync engine refuses our key; somebody changed its configuration: it is put right at its next start"
    )]
    Key,
    /// It answered, and said no.
    #[error("the sync engine refused to {doing}: {answer}")]
    Refused {
        /// What was asked.
        doing: String,
        /// Its answer.
        answer: String,
    },
    /// It answered something that we do not understand.
    #[error(
        "the sync engine answered {doing} with something unexpected ({problem}); is it a version Larder knows?"
    )]
    Answer {
        /// What was asked.
        doing: String,
        /// What was wrong with it.
        problem: String,
    },
    /// A folder was named that the engine does not have.
    #[error("the sync engine has no folder {0}; it is added when the wanted state is next applied")]
    NoFolder(FolderId),
    /// The directory of a folder is not there.
    #[error("the folder {path} is not on the drive; is the drive plugged in?")]
    NoDirectory {
        /// Which directory.
        path: PathBuf,
    },
    /// Something with the sync engine's own files.
    #[error("{doing} {path} failed ({source}); check the drive")]
    Home {
        /// What was being done, as "writing".
        doing: &'static str,
        /// To which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text is no id of a peer or folder.
    #[error("`{text}` is no {what}: {why}")]
    Id {
        /// The text, made safe to show.
        text: String,
        /// Of what it should be the id.
        what: &'static str,
        /// What is wrong.
        why: String,
    },
}

/// What a transport must be able to do for Larder, and no more.
///
/// Every method may wait for the engine but for nothing else, and may be called at any time, from
/// several tasks: an engine that is down answers [`TransportError::Down`]. Putting what is there and
/// removing what is not are successes. An adapter for another program implements this; what it can't do it says in its
/// [`Capabilities`], and the names that it uses stand in its [`Dialect`].
pub trait Transport: Send + Sync + 'static {
    /// The names that it puts beside people's files: one of [`crate::model::dialect::DIALECTS`]. `None`: it puts none
    /// there, or who does is not known.
    fn dialect(&self) -> Option<&'static Dialect>;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Runs it until `stop` becomes true, and then stops it in good order. Whatever it has to say
    /// goes into `out`; it calls [`Outbox::up`] each time that the engine is ready for calls.
    fn serve(
        &self,
        out: Outbox,
        stop: tokio::sync::watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + Send;

    /// The id by which others know us; `None` for an engine without ids.
    fn identity(&self) -> impl Future<Output = Result<Option<PeerId>, TransportError>> + Send;

    /// The peers and folders as the engine has them now.
    fn current(&self) -> impl Future<Output = Result<Desired, TransportError>> + Send;

    /// Adds a peer, or changes it to be so. Members of folders are the folders' matter.
    fn put_peer(
        &self,
        id: &PeerId,
        peer: &Peer,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Forgets a peer and takes it out of every folder. Its connection ends.
    fn remove_peer(&self, id: &PeerId) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Adds a folder, or changes it to be so. The directory must be there.
    fn put_folder(
        &self,
        id: &FolderId,
        folder: &Folder,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Takes a folder out of the engine. Its files stay. When this returns, nobody gets more of it.
    fn remove_folder(
        &self,
        id: &FolderId,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Stops (or lets go on) all traffic, for instance before the drive is unplugged.
    fn pause(&self, paused: bool) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Who asks to be let in, and which folders are offered to us.
    fn pending(&self) -> impl Future<Output = Result<Pending, TransportError>> + Send;

    /// Tells a peer that asked (or, with a folder, its offer) no. It may ask again. To accept is
    /// to put the peer, or the folder.
    fn refuse(
        &self,
        peer: &PeerId,
        folder: Option<&FolderId>,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Looks at these paths of a folder at once, without waiting for a watcher. An empty list
    /// means the whole folder. Returns when the engine has seen them.
    fn changed(
        &self,
        folder: &FolderId,
        paths: &[RelPath],
    ) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Has this peer the present content of this path? `Yes` and `No` are proofs.
    fn delivered(
        &self,
        folder: &FolderId,
        path: &RelPath,
        peer: &PeerId,
    ) -> impl Future<Output = Result<Delivered, TransportError>> + Send;

    /// The files of a folder that a peer lacks as far as the engine knows, also while the peer is
    /// away; `None`: there is no telling.
    fn lacking(
        &self,
        folder: &FolderId,
        peer: &PeerId,
    ) -> impl Future<Output = Result<Option<Vec<RelPath>>, TransportError>> + Send;

    /// How far a folder is: with a peer, what that peer lacks; without, what we lack.
    fn status(
        &self,
        folder: &FolderId,
        peer: Option<&PeerId>,
    ) -> impl Future<Output = Result<Status, TransportError>> + Send;

    /// Why is this path gone? See [`Absence`].
    fn absence(
        &self,
        folder: &FolderId,
        path: &RelPath,
    ) -> impl Future<Output = Result<Absence, TransportError>> + Send;
}
