//! Shares of a file or folder with other people: what [share] and [revoke] ask for, and how a share
//! ends. Pure.
//!
//! A share is a folder `shared/<sha1 of the content>-<YYYY-MM-DD-HHMMSS>/` (UTC) with links of the masters
//! in it. The sha1 of a folder is that over, for each file below it in the order of their paths: the path
//! within the folder, a NUL, and the 20 bytes of the file's own sha1. So the name says what was shared;
//! what comes into the folder later is not part of it.
//!
//! The ledger knows of a share before its folder is made, and of its end before the sync engine is
//! asked to let go of it; its links go only after that, its row last. Whatever a cut interrupts is
//! taken up from there.

use super::holder::rest;
use super::joined::{Open, people};
use super::wish::{Asked, Planned};
use super::{CHUNK, Fact, Op, Why, World, master};
use crate::model::{FileId, Origin, Place, RelPath, Spot, Stat, Time, Wish, WishId};
use sha1::{Digest as _, Sha1};
use std::collections::BTreeMap;

/// So many sums are asked for at once; the next ones when these are there.
const SUMS: usize = 64;
/// What a wish waits for while the content is read.
const SUM_TO_BE_MADE: &str = "the sum of the file to be made";

/// How far a share is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareState {
    /// Its links are being made.
    Making,
    /// It is whole; the sync engine may have it.
    Made,
    /// The sync engine was given it.
    Handed,
    /// It is to end.
    Ending {
        /// The sync engine was given it, so it has to let go of it first.
        handed: bool,
    },
    /// What a folder of people had when it was revoked; nobody is given it.
    Revoked,
}

/// A file or folder that other people may fetch.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// The master or folder that is shared.
    pub path: RelPath,
    /// A word for whom it is; may be empty.
    pub with: String,
    /// Device ids of those who may fetch it, and what we call them.
    pub peers: BTreeMap<String, String>,
    /// Since when.
    pub at: Time,
    /// Whose wish made it.
    pub origin: Origin,
    /// Which wish.
    pub wish: WishId,
    /// How far it is.
    pub state: ShareState,
    /// Others join it and put files in; `None`: they only fetch it.
    pub open: Option<Open>,
}

impl Share {
    /// True while it is whole and nobody ends it.
    pub fn is_live(&self) -> bool {
        matches!(self.state, ShareState::Made | ShareState::Handed)
    }

    /// True when it is to end.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, ShareState::Ending { .. })
    }

    /// The same share, to end.
    pub fn ended(&self) -> Self {
        let handed = matches!(self.state, ShareState::Handed | ShareState::Ending { handed: true });
        Self { state: ShareState::Ending { handed }, ..self.clone() }
    }

    fn become_so(&self, state: ShareState) -> Self {
        Self { state, ..self.clone() }
    }

    /// The folder that is the share's own: what others fetch lies below the name of what is shared.
    fn above(&self) -> Option<RelPath> {
        if self.open.is_some() { Some(self.path.clone()) } else { self.path.parent() }
    }

    /// Where a master lies in the share's folder.
    pub(super) fn spot(&self, name: &str, path: &RelPath) -> Option<Spot> {
        let rest = rest(path, &self.above()?)?;
        let full = [name.as_bytes(), b"/", rest.as_bytes()].concat();
        Some(Place::Shared.at(RelPath::new(&full).ok()?))
    }

    /// The master that a name in the share's folder was made from.
    pub fn master_of(&self, in_shared: &RelPath) -> Option<RelPath> {
        let above = self.above()?;
        let mut names: Vec<&[u8]> = above.names().collect();
        names.extend(in_shared.names().skip(1));
        RelPath::new(&names.join(&b'/')).ok()
    }
}

/// The share that a revoke means: named by its folder or the word for whom it is; of several the
/// newest. It is put into the wish, so that a repeated wish means the same one.
pub fn share_meant(world: &World, wish: &Wish) -> Option<String> {
    let (word, _) = people(wish.with.as_deref());
    let of_path = world
        .shares
        .iter()
        .filter(|(_, s)| s.path == wish.path && s.open.is_none() && !s.is_ending());
    let named = |(name, share): &(&String, &Share)| {
        wish.with.is_none() || **name == word || share.with == word
    };
    of_path.filter(named).max_by_key(|(_, s)| s.at).map(|(name, _)| name.clone())
}

/// A master was joined to an equal one: its names in shares come along, so that the content it had is let go and
/// a destroy ends it there, too.
pub fn follow_in_shares(world: &World, path: &RelPath, old: u64, new: u64) -> Vec<Op> {
    let within = world.shares.iter().filter(|(_, share)| path.is_within(&share.path));
    let spots = within.filter_map(|(name, share)| share.spot(name, path));
    spots
        .filter(|at| world.shared.get(&at.path).is_some_and(|id| id.ino == old))
        .map(|at| Op::Replace { at, old, by: master(path), new, why: Why::Replaced })
        .collect()
}

/// The operations that end a share the sync engine let go of, as `world.shared` knows it: links, folders,
/// and the share itself when nothing is left. More than [`CHUNK`] come in parts.
pub fn end_share(world: &World, name: &str) -> Vec<Op> {
    let Some(share) = world.shares.get(name) else { return Vec::new() };
    let Ok(root) = RelPath::new(name.as_bytes()) else { return Vec::new() };
    let mut ops = Vec::new();
    if let Some(dir) = world.shared.dir(&root) {
        world.shared.for_each(dir, |p, id: &FileId| {
            let Ok(p) = RelPath::new(p) else { return };
            if ops.len() < CHUNK {
                let was = share.master_of(&p).unwrap_or_else(|| p.clone());
                ops.push(Op::Release { at: Place::Shared.at(p), ino: id.ino, was });
            }
        });
        if ops.len() >= CHUNK {
            return ops;
        }
        let mut folders = Vec::new();
        world.shared.for_each_dir(dir, |_, p| folders.extend(RelPath::new(p)));
        folders.retain(|p| *p != root);
        ops.extend(folders.into_iter().rev().map(|p| Op::RemoveDir(Place::Shared.at(p))));
    }
    ops.push(Op::RemoveFolder(Place::Shared.at(root)));
    ops.push(Op::Note(Fact::NoShare(name.to_owned())));
    ops
}

/// Shares with nothing in them any more: every master of theirs was destroyed.
pub fn emptied_shares(world: &World) -> Vec<Op> {
    let empty = |name: &str| {
        let root = RelPath::new(name.as_bytes()).unwrap_or_default();
        let mut files = 0;
        if let Some(dir) = world.shared.dir(&root) {
            world.shared.for_each(dir, |_, _| files += 1);
        }
        files == 0
    };
    // What is still being carried over is not empty yet.
    let filled = |name: &str| {
        let by = |open: &Open| open.revoked.as_deref() == Some(name);
        world.shares.values().any(|share| share.open.as_ref().is_some_and(by))
    };
    let over = world.shares.iter().filter(|(name, share)| {
        (share.is_live() && !share.is_joined())
            || (share.state == ShareState::Revoked && !filled(name))
    });
    over.filter(|(name, _)| empty(name))
        .map(|(name, share)| Op::Note(Fact::Share(name.clone(), share.ended())))
        .collect()
}

impl Asked<'_> {
    /// [share].
    pub(super) fn share(&self, origin: &Origin) -> Planned {
        let path = &self.wish.path;
        let ours =
            |(_, share): &(&String, &Share)| share.wish == self.wish.id && share.origin == *origin;
        if let Some((name, share)) = self.world.shares.iter().find(ours) {
            return self.make_share(name, share);
        }
        if path.is_root() {
            return Planned::refused("everything at once can't be shared; choose a file or folder");
        }
        let (word, ids) = people(self.wish.with.as_deref());
        if !ids.is_empty()
            && let Some(planned) = self.let_in(&word, &ids)
        {
            return planned;
        }
        let masters = masters_of(self.world, path);
        if masters.is_empty() {
            return match self.world.is_folder(path) {
                true => Planned::refused(format!("there is nothing in {path} to share yet")),
                false => self.not_there(),
            };
        }
        if let Some(seen) = self.wish.seen {
            let same = match self.world.files.get(path) {
                Some(stat) => seen.matches(&stat.id),
                None => super::folder::seen_folder(self.world, path) == seen,
            };
            if !same {
                return Planned::refused(format!("{path} {CHANGED}"));
            }
        }
        let sha1 = match sum_of(self.world, path, &masters) {
            Ok(sha1) => sha1,
            Err(missing) => {
                let mut planned = Planned::waiting(SUM_TO_BE_MADE);
                planned.ops = missing;
                return planned;
            }
        };
        let share = self.new_share(origin, (word, ids), None);
        // Two shares of one content in one second: the later one takes the next second's name.
        let free = (0..).map(|later| share_name(&sha1, self.now.plus_secs(later)));
        let Some(name) = free.into_iter().find(|name| !self.world.shares.contains_key(name)) else {
            return Planned::refused("no name for it is free");
        };
        // The share is on the disk before anything of it: plan again.
        let ops = vec![Op::Note(Fact::Share(name, share))];
        Planned { more: true, ..Planned::done(ops, "") }
    }

    /// A share of what is wished, of which nothing is made yet.
    pub(super) fn new_share(
        &self,
        origin: &Origin,
        (word, ids): (String, Vec<String>),
        open: Option<Open>,
    ) -> Share {
        Share {
            path: self.wish.path.clone(),
            peers: ids.into_iter().map(|id| (id, word.clone())).collect(),
            with: word,
            at: self.now,
            origin: origin.clone(),
            wish: self.wish.id,
            state: ShareState::Making,
            open,
        }
    }

    /// The links of a share that is recorded.
    fn make_share(&self, name: &str, share: &Share) -> Planned {
        let path = &share.path;
        let done = format!("{path} is shared{}", for_whom(share));
        if share.is_live() {
            return Planned::done(Vec::new(), done);
        }
        let masters = masters_of(self.world, path);
        let same = sum_of(self.world, path, &masters).is_ok_and(|sha1| is_named_by(name, &sha1));
        if share.is_ending() || masters.is_empty() || !same {
            let ops = vec![Op::Note(Fact::Share(name.to_owned(), share.ended()))];
            return Planned { ops, ..Planned::refused(format!("{path} {CHANGED}")) };
        }
        let root = Place::Shared.at(RelPath::new(name.as_bytes()).unwrap_or_default());
        let mut ops = vec![Op::MakeDir(root)];
        for (from, stat) in &masters {
            let Some(to) = share.spot(name, from) else { continue };
            if ops.len() < CHUNK && self.world.shared.get(&to.path).is_none() {
                ops.push(Op::Link { from: master(from), ino: stat.id.ino, to });
            }
        }
        if ops.len() < CHUNK {
            let made = share.become_so(ShareState::Made);
            ops.push(Op::Note(Fact::Share(name.to_owned(), made)));
        }
        Planned::done(ops, done)
    }

    /// A wish that names device ids and the word of a share that nobody may fetch yet lets those in.
    fn let_in(&self, word: &str, ids: &[String]) -> Option<Planned> {
        let waiting = |(_, share): &(&String, &Share)| {
            let theirs =
                share.peers.is_empty() || ids.iter().all(|id| share.peers.contains_key(id));
            share.path == self.wish.path
                && share.open.is_none()
                && share.is_live()
                && !word.is_empty()
                && share.with == word
                && theirs
        };
        let (name, share) = self.world.shares.iter().find(waiting)?;
        let mut share = share.clone();
        share.peers.extend(ids.iter().map(|id| (id.clone(), word.to_owned())));
        let what = format!("{word} may fetch {}", share.path);
        Some(Planned::done(vec![Op::Note(Fact::Share(name.clone(), share))], what))
    }

    /// [revoke].
    pub(super) fn revoke(&self) -> Planned {
        let path = &self.wish.path;
        let named =
            self.wish.with.as_deref().and_then(|name| self.world.shares.get_key_value(name));
        let meant =
            named.filter(|(_, share)| share.path == *path && share.open.is_none()).or_else(|| {
                // Begun before it was known which: the one that would be chosen now.
                let name = share_meant(self.world, self.wish)?;
                self.world.shares.get_key_value(&name)
            });
        let Some((name, share)) = meant else {
            // What was begun is over when the share is not there any more.
            let was_share = self.wish.with.as_deref().is_some_and(is_share_name);
            return match was_share {
                true => Planned::done(Vec::new(), format!("the share of {path} is over")),
                false => Planned::refused(format!("{path} is not shared")),
            };
        };
        let mut planned = Planned::waiting("the sync engine to let go of it");
        if !share.is_ending() {
            planned.ops.push(Op::Note(Fact::Share(name.clone(), share.ended())));
        }
        planned
    }
}

fn for_whom(share: &Share) -> String {
    let whom = if share.with.is_empty() { String::new() } else { format!(" with {}", share.with) };
    match share.peers.is_empty() {
        true => format!(
            "{whom}; send the ids that stand beside it, and share it again with the \
                         same word and their device id to let them in"
        ),
        false => format!("{whom}; send the ids that stand beside it"),
    }
}

/// The masters at a path or below it, in the order of their paths.
fn masters_of(world: &World, path: &RelPath) -> Vec<(RelPath, Stat)> {
    if let Some(stat) = world.files.get(path) {
        return vec![(path.clone(), *stat)];
    }
    let mut masters = Vec::new();
    if let Some(dir) = world.files.dir(path) {
        world.files.for_each(dir, |p, stat| {
            masters.extend(RelPath::new(p).map(|p| (p, *stat)));
        });
    }
    masters.sort_by(|a, b| a.0.cmp(&b.0));
    masters
}

/// The sha1 that names a share, or the operations that make the sums it is made of.
fn sum_of(world: &World, path: &RelPath, masters: &[(RelPath, Stat)]) -> Result<[u8; 20], Vec<Op>> {
    let mut missing = Vec::new();
    let mut whole = Sha1::new();
    for (at, stat) in masters {
        match world.sum(&stat.id) {
            Some(sum) if at == path => return Ok(sum),
            Some(sum) => {
                let within: Vec<&[u8]> = at.names().skip(path.names().count()).collect();
                whole.update(within.join(&b'/'));
                whole.update([0]);
                whole.update(sum);
            }
            None if missing.len() < SUMS => {
                missing.push(Op::Sum { path: at.clone(), id: stat.id });
            }
            None => break,
        }
    }
    if missing.is_empty() { Ok(whole.finalize().into()) } else { Err(missing) }
}

fn share_name(sha1: &[u8; 20], at: Time) -> String {
    let mut name: String = sha1.iter().map(|b| format!("{b:02x}")).collect();
    let at = at.for_name();
    let (day, time) = at.split_once(' ').unwrap_or((&at, ""));
    name.push_str(&format!("-{day}-{}", time.replace('-', "")));
    name
}

fn is_named_by(name: &str, sha1: &[u8; 20]) -> bool {
    let sum: String = sha1.iter().map(|b| format!("{b:02x}")).collect();
    name.starts_with(&sum)
}

fn is_share_name(text: &str) -> bool {
    let (sum, rest) = text.split_at_checked(40).unwrap_or_default();
    sum.bytes().all(|b| b.is_ascii_hexdigit()) && rest.len() == 18 && rest.starts_with('-')
}

const CHANGED: &str =
    "has changed since the page showed it, so it was not shared; look again and decide anew";
