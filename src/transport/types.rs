//! The words that the owner and every sync engine share.

use super::TransportError;
use crate::model::{Bytes, RelPath, Time, show};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

/// The id of a peer, as its sync engine writes it. 1 to 200 printable ASCII characters.
///
/// What people type is read by [`super::read_id`], which knows check digits and other spellings.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerId(Box<str>);

/// The id of a folder: whoever knows it and is let in may ask for the folder, so it is drawn by
/// lot. 1 to 64 of `A-Z a-z 0-9 . _ -`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FolderId(Box<str>);

/// The secret with which a folder is encrypted for a vault. Never shown by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(pub String);

impl PeerId {
    /// Checks a text and makes it an id.
    pub fn new(text: &str) -> Result<Self, TransportError> {
        if (1..=200).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            return Ok(Self(text.into()));
        }
        Err(TransportError::Id {
            text: show(text.as_bytes()),
            what: "device id",
            why: "it must be 1 to 200 letters, digits or signs without spaces".into(),
        })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first seven characters: enough to tell the family's devices apart in a line.
    pub fn short(&self) -> &str {
        &self.0[..self.0.len().min(7)]
    }
}

impl FolderId {
    /// Checks a text and makes it an id.
    pub fn new(text: &str) -> Result<Self, TransportError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'));
        if fits {
            return Ok(Self(text.into()));
        }
        Err(TransportError::Id {
            text: show(text.as_bytes()),
            what: "folder id",
            why: "it must be 1 to 64 letters, digits, `.`, `_` or `-`".into(),
        })
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! text_id {
    ($id:ident) => {
        impl TryFrom<String> for $id {
            type Error = TransportError;
            fn try_from(text: String) -> Result<Self, TransportError> {
                Self::new(&text)
            }
        }
        impl From<$id> for String {
            fn from(id: $id) -> Self {
                id.0.into()
            }
        }
        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}
text_id!(PeerId);
text_id!(FolderId);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Which way a folder goes, seen from here.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Both ways.
    SendReceive,
    /// We send; what others change is not taken.
    SendOnly,
    /// We take; what is changed here is not sent.
    ReceiveOnly,
    /// We keep what others encrypted, and can read nothing of it.
    ReceiveEncrypted,
}

/// A machine that we exchange folders with.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// What people call it.
    pub name: String,
    /// Where it is, as the engine writes it (`tcp://192.168.1.7:22000`); empty: it finds out.
    pub addresses: Vec<String>,
    /// It may only ever get encrypted folders; an engine that knows how refuses it any other.
    pub untrusted: bool,
}

/// A folder as it should be.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Folder {
    /// What the other side is told that it is called.
    pub label: String,
    /// Where it is, absolute. It must be there before the folder is put.
    pub path: PathBuf,
    /// Which way it goes.
    pub mode: Mode,
    /// With whom, and for a vault the secret it is encrypted with.
    pub peers: BTreeMap<PeerId, Option<Password>>,
}

/// The whole wanted state, or the whole present one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Desired {
    /// Every peer, ourselves left out.
    pub peers: BTreeMap<PeerId, Peer>,
    /// Every folder.
    pub folders: BTreeMap<FolderId, Folder>,
}

/// What a transport can do. The sync bridge goes by each of them; what nobody goes by is not here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// It carries bytes at all, and has peers, folders and an identity.
    pub carries: bool,
    /// It looks at paths when told to, and has to be told.
    pub scans: bool,
    /// It can prove what a peer has.
    pub delivered: bool,
    /// It can tell why a path is gone.
    pub absence: bool,
    /// It encrypts folders for a vault.
    pub encrypts: bool,
    /// It tells who asks to be let in.
    pub pending: bool,
}

impl Capabilities {
    /// Of a transport that can do everything, as Syncthing can.
    pub const ALL: Self = Self {
        carries: true,
        scans: true,
        delivered: true,
        absence: true,
        encrypts: true,
        pending: true,
    };
}

/// Has a peer the present content of a path?
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivered {
    /// Yes, by its own word.
    Yes,
    /// No: it still lacks it.
    No,
    /// There is no telling: the engine does not know the path, or the peer never answered.
    Unknown,
}

/// Why a path is gone, as far as the sync engine knows.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Absence {
    /// A peer deleted it: confirmed. The text is the short id of whom, where known.
    Deleted(Option<String>),
    /// Nobody told the engine; it noticed here that the path is gone.
    Here,
    /// For the engine the path is still there: it is being replaced, or was not looked at yet, or
    /// the drive lost it.
    StillThere,
    /// The engine does not know.
    Unknown,
}

/// How far a folder is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Status {
    /// Files, folders and deletions still to be taken.
    pub need_items: u64,
    /// Bytes still to be taken.
    pub need_bytes: Bytes,
    /// Bytes in the folder.
    pub total_bytes: Bytes,
    /// The other side really has the folder and answered for it (for our own side: it is not
    /// stopped by an error).
    pub valid: bool,
}

/// What somebody asks of the engine without waiting for it; see [`super::Handle::ask`].
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Question {
    /// Answered by [`Event::Absent`].
    Absence {
        /// In which folder.
        folder: FolderId,
        /// Which path.
        path: RelPath,
    },
    /// Answered by [`Event::Lacking`], or by nothing where there is no telling.
    Lacking {
        /// In which folder.
        folder: FolderId,
        /// Who.
        peer: PeerId,
    },
    /// A peer that asked to be let in, or its offer of a folder, is told no. Answered by
    /// [`Event::Pending`].
    Refuse {
        /// Whom.
        peer: PeerId,
        /// Which offer; `None`: the peer itself.
        folder: Option<FolderId>,
    },
    /// A folder is taken out and put back, so that nothing is known of it any more and it is marked anew. Answered by
    /// [`Event::Settled`].
    Reset {
        /// Which folder.
        folder: FolderId,
    },
}

/// Who asks to be let in, and what is offered.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pending {
    /// Peers that we do not know.
    pub peers: Vec<PendingPeer>,
    /// Folders that known peers offer and we do not have.
    pub folders: Vec<PendingFolder>,
}

/// A peer that asks to be let in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingPeer {
    /// Its id.
    pub id: PeerId,
    /// What it calls itself: never trust it, and show it with care.
    pub name: String,
    /// From where.
    pub address: String,
    /// Since when.
    pub since: Option<Time>,
}

/// A folder that is offered to us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PendingFolder {
    /// Its id.
    pub id: FolderId,
    /// By whom.
    pub peer: PeerId,
    /// What they call it: never trust it, and show it with care.
    pub label: String,
}

/// What became of a path.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// It is new or has new content.
    Put,
    /// It is gone.
    Deleted,
    /// Only its mode or times changed.
    Touched,
}

/// What kind of thing a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link, or something else that Larder does not follow.
    Other,
}

/// One path that the engine finished taking from a peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Received {
    /// In which folder.
    pub folder: FolderId,
    /// Which path.
    pub path: RelPath,
    /// What was done.
    pub change: Change,
    /// What it is.
    pub kind: Kind,
    /// Why it failed, if it did; it is tried again by itself.
    pub error: Option<String>,
}

/// One change that a peer made, now visible on the drive.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RemoteChange {
    /// In which folder.
    pub folder: FolderId,
    /// Which path.
    pub path: RelPath,
    /// What was done.
    pub change: Change,
    /// What it is.
    pub kind: Kind,
    /// Short id of whoever changed it, where known.
    pub by: Option<String>,
}

/// What happens, told to the owner.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The engine runs and takes calls.
    Up {
        /// Our own id; `None` for an engine without ids.
        identity: Option<PeerId>,
        /// Name and version of the engine.
        version: String,
    },
    /// The wanted state is in force.
    Settled,
    /// How far single files are at a peer: percent, below 100. Only files named by
    /// [`super::Handle::changed`] are told, and only those whose percentage changed.
    Progress {
        /// In which folder.
        folder: FolderId,
        /// At whom.
        peer: PeerId,
        /// Paths and percent.
        files: Vec<(RelPath, u8)>,
    },
    /// A peer has these files: proved. Only files named by [`super::Handle::changed`] are told.
    Delivered {
        /// In which folder.
        folder: FolderId,
        /// Who.
        peer: PeerId,
        /// Which paths; never empty.
        paths: Vec<RelPath>,
    },
    /// How far a folder is as a whole.
    Completion {
        /// Which folder.
        folder: FolderId,
        /// At whom; `None`: here.
        peer: Option<PeerId>,
        /// How far.
        status: Status,
    },
    /// A path was taken from a peer.
    Received(Received),
    /// A peer changed something.
    RemoteChange(RemoteChange),
    /// A peer is connected, or no longer.
    Connection {
        /// Who.
        peer: PeerId,
        /// Whether it is there now.
        up: bool,
        /// From where.
        address: Option<String>,
        /// When it was last there (now, when it is).
        last_seen: Option<Time>,
    },
    /// Who asks and what is offered: always the whole list.
    Pending(Pending),
    /// Folders that are there and whose marker is gone, so that nothing is carried: always the whole list.
    Unmarked(BTreeSet<FolderId>),
    /// Bytes flow, or no longer.
    Moving(bool),
    /// Events may be missing: look at the folders and ask again.
    Reset,
    /// Something is wrong that somebody should know. The same trouble is told once.
    Trouble {
        /// What is the matter.
        what: String,
        /// What to do, or what happens by itself.
        next: String,
    },
    /// The trouble told before is over.
    Well,
    /// The answer to [`Question::Lacking`].
    Lacking {
        /// In which folder.
        folder: FolderId,
        /// Who.
        peer: PeerId,
        /// The files that it lacks.
        paths: Vec<RelPath>,
    },
    /// The answer to [`Question::Absence`].
    Absent {
        /// In which folder.
        folder: FolderId,
        /// Which path.
        path: RelPath,
        /// The answer; `Unknown` also when the engine could not be asked.
        absence: Absence,
    },
}

/// Where events go: takes one, or gives it back when the owner's channel is full. It must not
/// wait. (`move |e| tx.try_send(In::Sync(e)).map_err(…)`.)
pub type Sink = Box<dyn FnMut(Event) -> Result<(), Event> + Send>;
