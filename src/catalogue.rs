//! The catalogue: a snapshot of the house in, the bytes of its pages out.
//!
//! Pure. Comes in: a [`View`] of everything that is common to all the pages, and a [`PageOf`] for
//! each of them. Goes out: a [`Page`], one self-contained html file whose app, looks and data are
//! inside. The app's own parts (`page.html.j2`, `app.css`, `*.js`) lie beside this room as files.
//!
//! Must never: read a clock, a file or the network; let a name or a text out of its place in the
//! page (data is base64, the rest JSON without `<`); or let the cost of one small change grow with
//! the number of pages.
//!
//! How it stays small and quick: the files are encoded as binary columns in sections of about
//! 8,000, each compressed by itself and kept, so that a change costs its own section. Once these
//! are larger than [`BLOCK`] they are padded to that size and left alone; changes are appended as
//! a log behind them, so that a sync engine that sends blocks sends one. At [`LOG_MAX`] the log is
//! folded in.

mod encoder;
mod journal;
mod pack;
mod page;
mod qr;
mod section;
mod skeleton;
mod space;
mod versions;
mod walk;

#[cfg(test)]
mod tests;

pub use encoder::Encoder;
pub use page::Page;
pub use space::{FIRST_TO_GO, Room, TWINS, Twins};

pub use crate::model::Live;

use crate::model::{
    Action, Answer, Bytes, DeviceName, Holder, Link, RelPath, Stat, Time, Tree, WishId,
};
use crate::plan::Evicted;
use crate::status::Report;
use std::collections::{BTreeMap, BTreeSet};

/// The size of the blocks that the sync engine sends: 128 KiB. A larger base ends on a multiple.
pub const BLOCK: usize = 128 << 10;

/// The log of changes is folded into the base when it grows beyond this: 256 KiB.
pub const LOG_MAX: usize = 256 << 10;

/// Why no page could be made.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A page was asked for before the first update.
    #[error("there is no snapshot to make a page of yet; call `update` before `page`")]
    NoSnapshot,
    /// The page's template has an error; nothing that people do can cause it.
    #[error("the catalogue's template page.html.j2 can't be filled in; please report this: {0}")]
    Template(#[from] minijinja::Error),
    /// A value had no JSON form; nothing that people do can cause it.
    #[error("the catalogue's settings can't be written as JSON; please report this: {0}")]
    Json(#[from] serde_json::Error),
}

/// One device, as the pages show it.
#[derive(Clone, Copy, Debug)]
pub struct DeviceView<'a> {
    /// Its name in the settings.
    pub name: &'a DeviceName,
    /// What people call it.
    pub label: &'a str,
    /// What it holds.
    pub links: &'a Tree<Link>,
    /// Files and folders that are never evicted from it.
    pub pins: &'a BTreeSet<RelPath>,
    /// Folders whose later files come to it by themselves.
    pub follows: &'a BTreeSet<RelPath>,
    /// What of it is still on its way. What is not named here is there.
    pub live: &'a BTreeMap<RelPath, Live>,
    /// Bytes charged to it.
    pub used: Bytes,
    /// How much it may hold; `None` is no limit.
    pub quota: Option<Bytes>,
    /// What would make room on it, where there is a limit.
    pub room: Option<&'a Room>,
    /// What made room lately and is not there now, the last first.
    pub evicted: &'a [Evicted],
    /// When the sync engine last saw it, where there is one: since when it is there, or when it went.
    pub last_seen: Option<Time>,
    /// It is there at the moment of the snapshot.
    pub connected: bool,
    /// From where it is connected.
    pub address: Option<&'a str>,
    /// The sync engine knows it: it was let in, or its id is in the settings.
    pub has_id: bool,
    /// It was let in on the page, so it can be forgotten there.
    pub let_in: bool,
}

/// A device that asks to be let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskingView {
    /// The sync engine's id of it.
    pub id: String,
    /// What it calls itself.
    pub name: String,
    /// From where it asks.
    pub address: String,
    /// Since when.
    pub since: Option<Time>,
    /// It was turned away before.
    pub refused: bool,
}

/// An old content that can be brought back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionView {
    /// Its number: what an `undo` wish names in `with`.
    pub id: u64,
    /// The file it was.
    pub path: RelPath,
    /// Since when it is kept.
    pub at: Time,
    /// How large it is.
    pub size: Bytes,
    /// Why there is one, in words: "changed on HTCphone", "destroyed".
    pub why: String,
    /// Until when it is kept, when nothing needs its room before.
    pub until: Time,
}

/// A share of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShareView {
    /// What is shared.
    pub path: RelPath,
    /// A word for whom it is; may be empty.
    pub with: String,
    /// Since when.
    pub at: Time,
    /// What to send to the other person; may be empty.
    pub link: String,
    /// It is a folder that others may write into.
    pub folder: bool,
    /// What it is called in `shared/`: what a wish for this one names.
    pub name: String,
    /// Who may have it, as they were called; a device without a word is shown by its id.
    pub people: Vec<String>,
    /// What lies in a folder of others, and how much may; `None` is no limit.
    pub used: Bytes,
    /// See `used`.
    pub limit: Option<Bytes>,
    /// The limit is reached: nothing more is taken.
    pub full: bool,
    /// Its content was destroyed then.
    pub destroyed: Option<Time>,
}

/// Links of one device that vanished together and that nobody has settled yet: the page asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Whose they were.
    pub device: Holder,
    /// The folder or file that holds them all; the root when it is everything.
    pub path: RelPath,
    /// How many files.
    pub files: u64,
}

/// So many changes of one device that nobody has settled yet: the page asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MassChangeView {
    /// Whose they are.
    pub device: Holder,
    /// When it was noticed.
    pub at: Time,
    /// How many files it rewrote.
    pub rewritten: u32,
    /// How many it deleted.
    pub deleted: u32,
    /// How many it made.
    pub created: u32,
    /// Some of them, to look at.
    pub some: Vec<RelPath>,
}

/// The snapshot: what all the pages have in common.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// What people call the NAS.
    pub nas_name: &'a str,
    /// The masters, and their folders, empty ones too.
    pub files: &'a Tree<Stat>,
    /// The devices, always in the same order (that of their names).
    pub devices: &'a [DeviceView<'a>],
    /// State of the house: notices, room on the drive, the address of the NAS.
    pub report: &'a Report,
    /// Old contents that can be brought back.
    pub versions: &'a [VersionView],
    /// What is shared with other people.
    pub shares: &'a [ShareView],
    /// Devices that ask to be let in.
    pub asking: &'a [AskingView],
    /// Vanished links that wait for the owner's word.
    pub held: &'a [Held],
    /// Devices that change so much that it waits for the owner's word.
    pub mass_changes: &'a [MassChangeView],
    /// Masters that share a content.
    pub twins: &'a Twins,
    /// For how long a destroyed file waits before its content goes, in seconds; 0 is at once.
    pub undo: i64,
    /// The moment of the snapshot.
    pub now: Time,
}

/// What became of one wish, for the page it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Which wish.
    pub id: WishId,
    /// What was wished; `None` when the wish could not be read.
    pub action: Option<Action>,
    /// For what.
    pub path: RelPath,
    /// What became of it.
    pub answer: Answer,
    /// When.
    pub at: Time,
}

/// What is particular to one page.
#[derive(Clone, Copy, Debug)]
pub struct PageOf<'a> {
    /// The device it is for; `None` is the common page.
    pub device: Option<&'a DeviceName>,
    /// Identity of the page, the same for ever: a few letters and digits, and another for each page.
    pub page_id: &'a str,
    /// The page's key, with which it seals its wishes; the common page has none.
    pub key: Option<&'a str>,
    /// Number of this edition; each one that is written has a greater one.
    pub generation: u64,
    /// Answers to its last wishes, newest first.
    pub answers: &'a [Answered],
    /// Wishes that reached home, answered or not: the page drops them from its worklist.
    pub harvested: &'a [WishId],
    /// What this page may wish and the engine can do; other buttons are not shown.
    pub may: &'a [Action],
}
