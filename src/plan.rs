//! What should happen, as data.
//!
//! In come the [`World`] as it is known, a wish or a look at one name, the settings and the time;
//! out comes a list of [`Op`]s. Everything here is pure: no file system, no clock, no network.
//! `apply` carries the operations out and answers with [`Fact`]s, which bring the world (and the
//! ledger) up to date. Planning again after any interruption yields only what is left to do.

mod folder;
mod holder;
mod joined;
mod mass_change;
mod moved;
pub mod night;
mod pair;
mod quota;
mod reconcile;
mod running;
mod share;
mod stale_link;
mod uses;
pub mod versions;
mod wish;
mod world;

pub use holder::below_shared;
pub use joined::{NOTE, NOTE_BEGINS, Open, end_joined, joined_meant, note_text, wipe_joined};
pub use mass_change::{
    ChangeRate, Doing, MassChange, Span, age, doing, extent, in_disguise, is_disguised,
};
pub use moved::{LinkName, moved_masters};
pub use pair::{Asking, Fate, Pair, fates, in_force};
pub use quota::{Going, Held, Keep, NoSpace, Oldest, Shortfall, enforce_quota, evict, make_space};
pub use reconcile::{NotYet, Observation, conflict_name, reconcile};
pub use running::Running;
pub use share::{Share, ShareState, emptied_shares, end_share, follow_in_shares, share_meant};
pub use stale_link::{Behind, stale_link};
pub use wish::{Attempt, Planned, offered_on, wish};
pub use world::{EVICTED, Evicted, Replica, Version, Why, World};

use crate::model::{
    Answer, DeviceName, FileId, Holder, Link, Origin, Place, RelPath, Spot, Stat, Time, WishId,
};
use std::fmt;

/// At most so many operations are planned at once: memory and the length of a turn stay bounded,
/// and the rest is planned from where the first ones led.
pub const CHUNK: usize = 16_384;

/// One thing to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op {
    /// Make a folder and those above it.
    MakeDir(Spot),
    /// Remove a folder if it is empty.
    RemoveDir(Spot),
    /// Give the file `from`, while it is inode `ino`, the free name `to`.
    Link {
        /// A name of the file.
        from: Spot,
        /// The inode that is meant.
        ino: u64,
        /// The new name.
        to: Spot,
    },
    /// Take the name away from inode `ino`, which must have another name.
    Unlink {
        /// The name.
        at: Spot,
        /// The inode that is meant.
        ino: u64,
    },
    /// Take a device's link away to make room. It is not the last name: the master has one.
    Evict {
        /// Whose.
        device: Holder,
        /// Which.
        path: RelPath,
        /// The inode that is meant.
        ino: u64,
        /// The device follows its folder: once it is gone it is an exception there, and does not come
        /// back by itself. Of what stays, because it had changed, nothing like that is remembered.
        except: bool,
    },
    /// Let a name that means inode `old` mean inode `new`; `old` is kept as a version when the
    /// name is a master's, or when it was the content's last name.
    Replace {
        /// The name.
        at: Spot,
        /// What it means now.
        old: u64,
        /// A name of what it shall mean.
        by: Spot,
        /// The inode that is meant by that.
        new: u64,
        /// Why, should the old content be kept.
        why: Why,
    },
    /// The end of a master: its name goes, and the content with it unless it has other names or
    /// waits in `versions/`.
    Destroy {
        /// The master.
        path: RelPath,
        /// The content that was decided on.
        id: FileId,
        /// Let the content wait in `versions/`.
        keep: bool,
    },
    /// Another name for the same file in the same place.
    Rename {
        /// From here.
        from: Spot,
        /// To this free name.
        to: Spot,
        /// The inode that is meant.
        ino: u64,
    },
    /// Bring a kept content back under a free name among the masters.
    Restore {
        /// Number of the version.
        version: u64,
        /// The name it gets.
        path: RelPath,
    },
    /// Let an old content go.
    DropVersion(u64),
    /// Make the sha1 of a master, in parts beside the other work; [`Fact::Sum`] tells when it is there.
    Sum {
        /// The master.
        path: RelPath,
        /// The content that is meant.
        id: FileId,
    },
    /// Take a name in a share or a device's folder away from inode `ino`; a content whose last name it was is kept as a
    /// version of `was`.
    Release {
        /// The name.
        at: Spot,
        /// The inode that is meant.
        ino: u64,
        /// The master that it was made from.
        was: RelPath,
    },
    /// Remove what the sync engine put into a share's folder for itself, and the folder if nothing
    /// else is in it.
    RemoveFolder(Spot),
    /// Write a short text of ours at a free name; that it is there already is as good.
    Write {
        /// The name.
        at: Spot,
        /// The text.
        text: String,
    },
    /// Take a short text of ours away, if that is what is there.
    Erase {
        /// The name.
        at: Spot,
        /// The text.
        text: String,
    },
    /// Remember something; nothing on the drive's folders changes.
    Note(Fact),
}

/// Something that is so now. The world and the ledger take it in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// A master is there.
    Master(RelPath, Stat),
    /// A master is not there any more.
    NoMaster(RelPath),
    /// A folder among the masters is there.
    Folder(RelPath),
    /// A folder among the masters is not there any more.
    NoFolder(RelPath),
    /// A device's folder has this link.
    Link(Holder, RelPath, Link),
    /// A device's folder does not have this link any more.
    NoLink(Holder, RelPath),
    /// A device follows a folder: what comes into it later is linked too.
    Follow(Holder, RelPath),
    /// It does not follow it any more.
    Unfollow(Holder, RelPath),
    /// The device does not want this file, although it follows its folder.
    Except(Holder, RelPath),
    /// It may have it again.
    Unexcept(Holder, RelPath),
    /// Never evict this file, or what is in this folder.
    Pin(Holder, RelPath),
    /// It may be evicted again.
    Unpin(Holder, RelPath),
    /// Used at that time (seconds since 1970).
    Used(Holder, RelPath, i64),
    /// Not used after that time (seconds since 1970), whatever was recorded.
    NotUsedSince(Holder, RelPath, i64),
    /// An old content is kept.
    Version(u64, Version),
    /// An old content is not kept any more.
    NoVersion(u64),
    /// There is a share of this folder name in `shared/`.
    Share(String, Share),
    /// There is not any more.
    NoShare(String),
    /// A name in `shared/` means this content.
    Shared(RelPath, FileId),
    /// It is not there any more.
    NotShared(RelPath),
    /// The sha1 of a content.
    Sum(FileId, [u8; 20]),
    /// A device was let in on the page.
    Paired(DeviceName, Pair),
    /// It is forgotten, and what its page still wished with it.
    Unpaired(DeviceName),
    /// A device that asked, by its id, was turned away.
    TurnedAway(String, Time),
    /// It was let in after all.
    NotTurnedAway(String),
    /// A link of a device went to make room.
    Evicted(Holder, Evicted),
    /// What a device did lately to files that it had.
    ChangeRate(Holder, ChangeRate),
    /// A device does so much that the owner is asked first.
    MassChange(Holder, MassChange),
    /// That was answered.
    Resolved(Holder),
    /// A wish has this answer.
    Answer(Origin, WishId, Answer),
}

/// A master's spot.
pub fn master(path: &RelPath) -> Spot {
    Place::Files.at(path.clone())
}

/// Where an old content waits: `versions/<number>/<path>`, so that the drive itself says what it
/// was; by its bare name when the path would be too long.
pub fn kept(number: u64, path: &RelPath) -> Spot {
    numbered(Place::Versions, number, path)
}

/// Where a name is in transit: `tmp/<number>/<path>`, for the same reason.
pub fn in_transit(number: u64, path: &RelPath) -> Spot {
    numbered(Place::Tmp, number, path)
}

fn numbered(place: Place, number: u64, path: &RelPath) -> Spot {
    let number = number.to_string();
    let full = [number.as_bytes(), b"/", path.as_bytes()].concat();
    let path = RelPath::new(&full).or_else(|_| {
        let name = path.name().unwrap_or(b"file");
        RelPath::new(&[number.as_bytes(), b"/", name].concat())
    });
    // A number and one checked name are a path.
    place.at(path.unwrap_or_default())
}

/// The spot in the folder of whoever holds links.
pub fn on(holder: &Holder, path: &RelPath) -> Spot {
    let root = holder.root();
    // What is held there was seen there, or measured by `World::path_on`: it is a path.
    root.place.at(holder::below(&root.path, path).unwrap_or_default())
}

impl fmt::Display for Op {
    /// One line a person can read, for `--dry-run` and the log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MakeDir(at) => write!(f, "make folder   {at}"),
            Self::RemoveDir(at) => write!(f, "remove folder {at} if it is empty"),
            Self::Link { from, to, .. } => write!(f, "link          {from} -> {to}"),
            Self::Unlink { at, .. } => write!(f, "unlink        {at}"),
            Self::Evict { device, path, .. } => write!(f, "make room     {}", on(device, path)),
            Self::Replace { at, by, .. } => write!(f, "replace       {at} by {by}"),
            Self::Destroy { path, keep: true, .. } => {
                write!(f, "destroy       {} (kept for undo)", master(path))
            }
            Self::Destroy { path, .. } => write!(f, "destroy       {}", master(path)),
            Self::Rename { from, to, .. } => write!(f, "rename        {from} -> {to}"),
            Self::Restore { version, path } => {
                write!(f, "restore       version {version} -> {}", master(path))
            }
            Self::DropVersion(version) => write!(f, "let go        version {version}"),
            Self::Sum { path, .. } => write!(f, "make sum      {}", master(path)),
            Self::Release { at, .. } => write!(f, "unlink        {at}"),
            Self::RemoveFolder(at) => write!(f, "remove folder {at}"),
            Self::Write { at, .. } => write!(f, "write note    {at}"),
            Self::Erase { at, .. } => write!(f, "remove note   {at}"),
            Self::Note(fact) => write!(f, "note          {fact}"),
        }
    }
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Master(path, _) => write!(f, "{path} is at home"),
            Self::NoMaster(path) => write!(f, "{path} is not at home any more"),
            Self::Folder(path) => write!(f, "folder {path} is at home"),
            Self::NoFolder(path) => write!(f, "folder {path} is not at home any more"),
            Self::Link(device, path, _) => write!(f, "{device} has {path}"),
            Self::NoLink(device, path) => write!(f, "{device} does not have {path} any more"),
            Self::Follow(device, path) => write!(f, "{device} follows the folder `{path}`"),
            Self::Unfollow(device, path) => write!(f, "{device} stops following `{path}`"),
            Self::Except(device, path) => write!(f, "{device} does not want {path}"),
            Self::Unexcept(device, path) => write!(f, "{device} may have {path} again"),
            Self::Pin(device, path) => write!(f, "{device} pins {path}"),
            Self::Unpin(device, path) => write!(f, "{device} unpins {path}"),
            Self::Used(device, path, _) => write!(f, "{device} used {path}"),
            Self::NotUsedSince(device, path, _) => {
                write!(f, "{device} used {path} when the clock was wrong")
            }
            Self::Version(number, v) => write!(f, "version {number} of {} is kept", v.path),
            Self::NoVersion(number) => write!(f, "version {number} is not kept any more"),
            Self::Share(name, share) => match share.state {
                ShareState::Ending { .. } => {
                    write!(f, "the share {name} of {} is to end", share.path)
                }
                ShareState::Revoked => write!(f, "{name} keeps what was shared of {}", share.path),
                _ if share.is_joined() && !share.takes() => {
                    write!(f, "what is in {name} is to go, the masters in {} stay", share.path)
                }
                _ => write!(f, "{} is shared as {name}", share.path),
            },
            Self::NoShare(name) => write!(f, "the share {name} is over"),
            Self::Shared(path, _) => write!(f, "{path} is in a share"),
            Self::NotShared(path) => write!(f, "{path} is not in a share any more"),
            Self::Evicted(device, what) => write!(f, "{} made room on {device}", what.path),
            Self::ChangeRate(device, _) => write!(f, "{device} changed something"),
            Self::MassChange(device, _) => write!(f, "{device} changes so much that it is held"),
            Self::Resolved(device) => write!(f, "what {device} changes is not held any more"),
            Self::Sum(id, _) => write!(f, "the sum of inode {} is there", id.ino),
            Self::Paired(device, pair) => write!(f, "{device} is the device {}", pair.id),
            Self::Unpaired(device) => write!(f, "{device} is forgotten"),
            Self::TurnedAway(id, _) => write!(f, "{id} is turned away"),
            Self::NotTurnedAway(id) => write!(f, "{id} is not turned away any more"),
            Self::Answer(origin, id, answer) => {
                let text = match answer {
                    Answer::Done(t) => format!("done: {t}"),
                    Answer::Waiting(t) => format!("waiting: {t}"),
                    Answer::Refused(t) => format!("refused: {t}"),
                };
                write!(f, "answer to {origin}, wish {id}: {text}")
            }
        }
    }
}
