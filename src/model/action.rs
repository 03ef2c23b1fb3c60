//! The actions that can be wished, and what holds for each of them: one table, which the page, the
//! worklist parser, the permissions, the planner and the engine read.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The kinds of wish, by their names in a worklist and in `may = [...]` in the settings.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Link the master into devices' folders.
    Get,
    /// It was opened on the device: counts as use.
    Open,
    /// Unlink from the device's folder; the master stays.
    Delete,
    /// The master and every link made from it go.
    Destroy,
    /// From one device to others.
    Move,
    /// A read-only folder for other people.
    Share,
    /// End a share.
    Revoke,
    /// A torrent seeded from home.
    Torrent,
    /// A torrent for exactly one download.
    TorrentOnce,
    /// An empty folder among the masters.
    Mkdir,
    /// A folder other people can write into, with a limit.
    ShareFolder,
    /// End a shared folder.
    RevokeShare,
    /// Wipe a shared folder on every device.
    DestroyFolder,
    /// Never evict.
    Pin,
    /// May be evicted again.
    Unpin,
    /// Bring back an old version or a destroyed file.
    Undo,
    /// Let a device in that asks.
    Accept,
    /// Turn a device away that asks.
    Refuse,
    /// Take back that a device was let in: it is lost, or somebody else's.
    Forget,
    /// A device may change as much as it does: take it in.
    Allow,
    /// It may not: give it back what it had.
    KeepMine,
}

/// What a wish is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum About {
    /// A file or folder, named by `path`.
    Path,
    /// A device that belongs to the house, or asks to: named by `to` and `with`.
    Member,
    /// A mass change of the devices in `to`.
    MassChange,
}

/// What `to` and `from` mean. Every wish may carry them; a name that is no device is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Devices {
    /// Nothing: the wish is about home, or about other people.
    Nobody,
    /// `to`: the devices it is for; without one the page's own.
    Own,
    /// `from` one device to those in `to`: each the page's own where it is left out, so one must be said.
    FromTo,
    /// `to`: exactly one name, which need not be that of a device yet.
    One,
}

/// What `with` must be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum With {
    /// Any text, or nothing.
    Free,
    /// A text.
    Needed,
    /// The number of a version, or nothing.
    Version,
}

/// What holds for some actions and not for others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trait {
    /// This NAS fulfils it, so pages offer it.
    Offered,
    /// Only the common page may ask it, which never leaves the house: a lost phone must not let others in.
    AtHome,
    /// The path may be the top: everything at once.
    Whole,
    /// The page must say what it showed, for nothing else may be destroyed.
    NeedsSeen,
    /// It takes files away, or puts others in their place. A device's page may not ask it while a mass
    /// change of the device is unanswered: what wrote its files may have written its wishes.
    TakesAway,
    /// It can be planned from the start again after a cut. All others are marked as begun first.
    Repeatable,
    /// What comes first is what the rest relies on: it stops at the first operation that can't be done.
    InOrder,
    /// It waits for nobody: what can't be done is left.
    NeverWaits,
    /// It publishes something, which is given up when the wish is refused in the end.
    Publishes,
}

/// One row of the table.
#[derive(Debug)]
pub struct Traits {
    /// Which action.
    pub action: Action,
    /// Its name in worklists and settings.
    pub name: &'static str,
    /// What it is about.
    pub about: About,
    /// What `to` and `from` mean.
    pub devices: Devices,
    /// What `with` must be.
    pub with: With,
    /// What else holds for it.
    pub holds: &'static [Trait],
}

/// The table, in the order of the design and of [`Action`].
#[rustfmt::skip]
const TABLE: [Traits; 21] = {
    use self::{About::*, Action::*, Devices::*, Trait::*, With::*};
    [
        row(Get,           "get",            Path,       Own,    Free,    &[Offered, Whole, Repeatable]),
        row(Open,          "open",           Path,       Own,    Free,    &[Offered, Repeatable]),
        row(Delete,        "delete",         Path,       Own,    Free,    &[Offered, Whole, TakesAway]),
        row(Destroy,       "destroy",        Path,       Nobody, Free,    &[Offered, NeedsSeen, TakesAway, InOrder]),
        row(Move,          "move",           Path,       FromTo, Free,    &[Offered, Whole, TakesAway, InOrder]),
        row(Share,         "share",          Path,       Nobody, Free,    &[Offered, InOrder, Publishes]),
        row(Revoke,        "revoke",         Path,       Nobody, Free,    &[Offered]),
        row(Torrent,       "torrent",        Path,       Nobody, Free,    &[]),
        row(TorrentOnce,   "torrent-once",   Path,       Nobody, Free,    &[]),
        row(Mkdir,         "mkdir",          Path,       Nobody, Free,    &[Offered, Repeatable]),
        row(ShareFolder,   "share-folder",   Path,       Nobody, Free,    &[Offered, InOrder, Publishes]),
        row(RevokeShare,   "revoke-share",   Path,       Nobody, Free,    &[Offered, TakesAway, NeverWaits]),
        row(DestroyFolder, "destroy-folder", Path,       Nobody, Free,    &[Offered, TakesAway, InOrder]),
        row(Pin,           "pin",            Path,       Own,    Free,    &[Offered, Whole]),
        row(Unpin,         "unpin",          Path,       Own,    Free,    &[Offered, Whole]),
        row(Undo,          "undo",           Path,       Nobody, Version, &[Offered, TakesAway, InOrder]),
        row(Accept,        "accept",         Member,     One,    Needed,  &[Offered, AtHome, Whole]),
        row(Refuse,        "refuse",         Member,     Nobody, Needed,  &[Offered, AtHome, Whole]),
        row(Forget,        "forget",         Member,     One,    Free,    &[Offered, AtHome, Whole]),
        row(Allow,         "allow",          MassChange, Own,    Free,    &[Offered, Whole, InOrder]),
        row(KeepMine,      "keep-mine",      MassChange, Own,    Free,    &[Offered, Whole, InOrder]),
    ]
};

const fn row(
    action: Action,
    name: &'static str,
    about: About,
    devices: Devices,
    with: With,
    holds: &'static [Trait],
) -> Traits {
    Traits { action, name, about, devices, with, holds }
}

impl Action {
    /// Every action, in the order of the design.
    pub const ALL: [Action; TABLE.len()] = {
        let mut all = [Self::Get; TABLE.len()];
        let mut i = 0;
        while i < all.len() {
            all[i] = TABLE[i].action;
            i += 1;
        }
        all
    };

    /// Its row of the table.
    pub fn traits(self) -> &'static Traits {
        static ROWS: [Traits; TABLE.len()] = TABLE;
        &ROWS[self as usize]
    }

    /// Whether something holds for it.
    pub fn is(self, what: Trait) -> bool {
        self.traits().holds.contains(&what)
    }

    /// The name in worklists and settings.
    pub fn name(self) -> &'static str {
        self.traits().name
    }

    /// The action of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.name() == name)
    }

    /// What a device's page may ask when nobody says otherwise.
    pub fn of_devices() -> Vec<Self> {
        Self::ALL.into_iter().filter(|action| !action.is(Trait::AtHome)).collect()
    }

    /// What this NAS fulfils; pages offer nothing else.
    pub fn offered() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|action| action.is(Trait::Offered))
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
