//! The storm guard: a device that rewrites or deletes much more than it ever did (malware that encrypts, a
//! synchronization gone mad) is not believed until the owner says so. Pure.
//!
//! Counted is what a device does to files that it had: rewriting them, deleting them, and deleting one while
//! another of the same stem takes its place (`a.jpg` → `a.jpg.locked`), which is rewriting by
//! another way. New files are not counted: a camera that brings its first five thousand pictures
//! takes nothing away. What is in the files is not looked at: pictures and films look as random as
//! what was encrypted.
//!
//! A storm is more than 50 within an hour, and more than three times the most that the device did in any
//! earlier hour that nobody objected to; or more than 200 within a day and three times the most of a day,
//! so that nothing grows into it hour by hour ([`Pace`]). Within an hour a name counts once: a document that
//! saves itself every minute is one. Deletions alone take only links, the masters stay; they have to be
//! more than a fifth of what the device has, besides, as with links that vanish at once.
//!
//! While it lasts, what the device does is held: the names are noted ([`Holding::held`]) and nothing else
//! happens, the contents stay where the device put them, and no old content expires. Whoever answers
//! must not be the device itself: its page came through its own hands.

mod pace;

pub use pace::{Pace, Span};

use super::reconcile::{Sight, reconcile};
use super::wish::{Asked, Planned};
use super::{CHUNK, Fact, Holding, Op, Why, World, kept, master, on};
use crate::model::{Action, DeviceName, Link, Origin, RelPath, Stat, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a device did to one name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// Nothing; what there is to do is ours.
    Nothing,
    /// A file is there that it did not have.
    Created,
    /// Another content is there.
    Rewrote,
    /// The file is gone.
    Deleted,
}

/// What a device did to a name, from what the book says, what is seen and the master.
pub fn doing(book: Option<&Link>, seen: Option<&Stat>, home: Option<&Stat>) -> Doing {
    let is = |ino: u64| seen.is_some_and(|s| s.id.ino == ino);
    match (book, seen) {
        (None, None) => Doing::Nothing,
        (Some(_), None) => Doing::Deleted,
        _ if home.is_some_and(|m| is(m.id.ino)) || book.is_some_and(|b| is(b.id.ino)) => {
            Doing::Nothing
        }
        (Some(_), Some(_)) => Doing::Rewrote,
        (None, Some(_)) => Doing::Created,
    }
}

/// A storm that waits for the owner's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Storm {
    /// Since when what the device did counts to it: a part may be taken in already.
    pub since: Time,
    /// When it was noticed.
    pub at: Time,
    /// What was taken in of it before: files rewritten.
    pub rewritten: u32,
    /// Files deleted.
    pub deleted: u32,
}

impl Storm {
    /// A storm that is noticed now, for what was done over a span.
    pub fn noticed(pace: &Pace, span: Span, now: Time) -> Self {
        let (rewritten, deleted) = pace.lately(span, now);
        Self { since: pace.since(span, now), at: now, rewritten, deleted }
    }

    /// Over which span it was noticed.
    fn span(&self) -> Span {
        if self.at.since(self.since) > Span::Hour.length() { Span::Day } else { Span::Hour }
    }
}

/// How many files a storm rewrote, deleted and created, taken in or held.
pub fn extent(holding: &Holding) -> (u32, u32, u32) {
    let taken = holding.storm.map_or((0, 0), |s| (s.rewritten, s.deleted));
    let mut sum = (taken.0, taken.1, 0);
    for (path, seen) in &holding.held {
        match (holding.book.get(path).is_some(), seen.is_some()) {
            (true, true) => sum.0 += 1,
            (true, false) => sum.1 += 1,
            (false, _) => sum.2 += 1,
        }
    }
    sum
}

/// Of names that a device deleted, how many have another of the same stem in their place, among those
/// that it created: they are rewritten, by another way.
pub fn in_disguise<'p>(
    deleted: impl Iterator<Item = &'p RelPath>,
    created: impl Iterator<Item = &'p RelPath>,
) -> u32 {
    let mut stems = BTreeSet::new();
    for path in created {
        // `a.jpg.locked` takes the place of `a.jpg`, `a.locked` that of `a.jpg` and of `a`.
        let mut stem = path.as_bytes();
        while let Some(shorter) = stem_of(stem) {
            stem = shorter;
            stems.insert(stem);
        }
        stems.insert(path.as_bytes());
    }
    let replaced = |path: &&RelPath| {
        let bytes = path.as_bytes();
        stems.contains(bytes) || stem_of(bytes).is_some_and(|stem| stems.contains(stem))
    };
    deleted.filter(replaced).count() as u32
}

/// The same without its extension.
fn stem_of(path: &[u8]) -> Option<&[u8]> {
    let dot = path.iter().rposition(|&b| b == b'.')?;
    let name = path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1);
    (dot > name).then(|| &path[..dot])
}

/// True when a deletion is one in disguise: another file of the same stem came to the device since.
pub fn is_disguised(holding: &Holding, path: &RelPath, since: Time) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return false };
    let Some(dir) = holding.book.dir(&folder) else { return false };
    let stem = stem_of(name).unwrap_or(name);
    let like = holding.book.files_from(dir, stem).take_while(|(n, _)| n.starts_with(stem));
    let mut later = like.filter(|(n, link)| *n != name && link.used >= since.secs());
    later.any(|(n, _)| n[stem.len()..].first() == Some(&b'.'))
}

/// The devices that a wish about storms is for; why not, otherwise.
fn stormy<'a>(
    asked: &Asked<'_>,
    to: &[&'a DeviceName],
    origin: &Origin,
) -> Result<Vec<&'a DeviceName>, Planned> {
    let storming = |d: &DeviceName| asked.world.devices.get(d).is_some_and(|h| h.storm.is_some());
    if let Origin::Device(own) = origin
        && (to.contains(&own) || storming(own))
    {
        return Err(Planned::refused(
            "a device can't speak for itself here: answer on the common page, or on the page of \
             another device",
        ));
    }
    Ok(to.iter().copied().filter(|d| storming(d)).collect())
}

/// Wishes that are refused while their device is in a storm: what wrote its files may have written these.
fn takes_away(action: Action) -> bool {
    matches!(
        action,
        Action::Delete
            | Action::Destroy
            | Action::Move
            | Action::DestroyFolder
            | Action::RevokeShare
            | Action::Undo
    )
}

impl Asked<'_> {
    /// True when a wish of a device's page is refused until its storm is answered.
    pub(super) fn may_not_take_away(&self, own: &DeviceName) -> bool {
        takes_away(self.wish.action) && self.holding(own).is_some_and(|h| h.storm.is_some())
    }

    pub(super) fn not_before_the_word(&self, device: &DeviceName) -> Planned {
        // A page that waited for days would not be what anybody sees now.
        Planned::refused(format!(
            "not while nobody has said what to make of all that {} changed; answer that first, then \
             press again",
            self.label(device)
        ))
    }

    /// Why nothing is destroyed while any device holds back what it did there.
    pub(super) fn refused_before_the_word(&self, path: &RelPath) -> Option<Planned> {
        let held = |(device, h): &(&DeviceName, &Holding)| match device.joined_folder() {
            None => h.holds_back(path),
            Some(_) => {
                let mut homes = h.held.keys().filter_map(|p| self.world.home_of(device, p));
                homes.any(|home| home.is_within(path))
            }
        };
        let (device, _) = self.world.devices.iter().find(held)?;
        Some(self.not_before_the_word(device))
    }

    /// The owner says that what a device did was meant: it is taken in like any change, the old
    /// contents kept as versions. As much is no storm from then on.
    pub(super) fn allow(&self, to: &[&DeviceName], origin: &Origin) -> Planned {
        let take_in = |device: &DeviceName, holding: &Holding, ops: &mut Vec<Op>| {
            for (path, seen) in &holding.held {
                if ops.len() >= CHUNK {
                    break;
                }
                let sight = Sight {
                    device,
                    path,
                    seen: *seen,
                    settled: true,
                    moved: None,
                    quota: self.quota(device),
                    now: self.now,
                };
                ops.extend(reconcile(self.world, &sight).unwrap_or_default());
            }
            let (rewritten, deleted, _) = extent(holding);
            (rewritten, deleted)
        };
        let what = "what was held is taken in; the old contents are kept for a while";
        self.answer_storms(to, origin, what, take_in)
    }

    /// The owner says that it was not meant: the device gets again what it had. What it wrote
    /// is kept as versions, and what was taken in before the storm was noticed is turned back.
    pub(super) fn keep_mine(&self, to: &[&DeviceName], origin: &Origin) -> Planned {
        let turn = |device: &DeviceName, holding: &Holding, ops: &mut Vec<Op>| {
            // First the masters, so that the device gets the right ones.
            let storm = holding.storm;
            let turned =
                storm.map_or_else(BTreeMap::new, |s| turn_back(self.world, device, &s, ops));
            for (path, seen) in &holding.held {
                if ops.len() >= CHUNK {
                    break;
                }
                let Some(home) = self.world.home_of(device, path) else { continue };
                let ino = self.world.files.get(&home).map(|m| m.id.ino);
                let ino = turned.get(&home).copied().or(ino);
                give_back((device, path), &home, *seen, ino, ops);
            }
            if let Some(storm) = storm {
                self.give_back_deleted(device, holding, &storm, ops);
            }
            (0, 0)
        };
        let what = "the device gets again what it had; what it wrote is kept for a while, among the \
                    old versions";
        self.answer_storms(to, origin, what, turn)
    }

    /// What the device deleted before its storm was noticed, it gets again, as far as its quota goes.
    fn give_back_deleted(
        &self,
        device: &DeviceName,
        holding: &Holding,
        storm: &Storm,
        ops: &mut Vec<Op>,
    ) {
        let mut room =
            self.quota(device).map_or(u64::MAX, |q| q.0.saturating_sub(holding.used().0));
        for (path, _) in holding.deleted.iter().filter(|(_, at)| **at >= storm.since) {
            let home = self.world.home_of(device, path);
            let Some((home, m)) = home.and_then(|h| Some((h.clone(), self.world.files.get(&h)?)))
            else {
                continue;
            };
            let price = holding.price(m).0;
            if holding.book.get(path).is_some() || holding.held.contains_key(path) || price > room {
                continue;
            }
            if ops.len() >= CHUNK {
                break;
            }
            room -= price;
            if holding.exceptions.contains(path) {
                ops.push(Op::Note(Fact::Unexcept(device.clone(), path.clone())));
            }
            ops.push(Op::Link { from: master(&home), ino: m.id.ino, to: on(device, path) });
        }
    }

    /// Plans an answer for each device, and the end of its storm once that was all. `plan` returns
    /// what counts as usual from then on.
    fn answer_storms(
        &self,
        to: &[&DeviceName],
        origin: &Origin,
        what: &str,
        plan: impl Fn(&DeviceName, &Holding, &mut Vec<Op>) -> (u32, u32),
    ) -> Planned {
        let devices = match stormy(self, to, origin) {
            Ok(devices) => devices,
            Err(refused) => return refused,
        };
        let mut ops = Vec::new();
        for device in devices {
            let Some(holding) = self.holding(device) else { continue };
            let (rewritten, deleted) = plan(device, holding, &mut ops);
            if ops.len() < CHUNK {
                let mut pace = holding.pace.clone();
                let span = holding.storm.map_or(Span::Hour, |storm| storm.span());
                pace.accept(span, rewritten, deleted);
                ops.push(Op::Note(Fact::Pace(device.clone(), pace)));
                ops.push(Op::Note(Fact::Calm(device.clone())));
            }
        }
        Planned::done(ops, what)
    }
}

/// Masters that the device replaced since the storm began mean again what they meant before. A
/// master that somebody else changed in between is left alone. Returns what they mean then.
fn turn_back(
    world: &World,
    device: &DeviceName,
    storm: &Storm,
    ops: &mut Vec<Op>,
) -> BTreeMap<RelPath, u64> {
    let mut turned = BTreeMap::new();
    let mut since: BTreeMap<&RelPath, Option<u64>> = BTreeMap::new();
    for (number, version) in world.versions.iter().filter(|(_, v)| v.at >= storm.since) {
        let by_it = matches!(&version.why, Why::Edited(d) if d == device);
        let first = since.entry(&version.path).or_insert(Some(*number));
        if !by_it {
            *first = None;
        }
    }
    for (path, number) in since {
        let (Some(number), Some(m)) = (number, world.files.get(path)) else { continue };
        let Some(version) = world.versions.get(&number) else { continue };
        if ops.len() >= CHUNK {
            break;
        }
        turned.insert(path.clone(), version.id.ino);
        // Cut off between bringing it back and forgetting the version.
        if m.id.ino != version.id.ino {
            ops.push(Op::Replace {
                at: master(path),
                old: m.id.ino,
                by: kept(number, path),
                new: version.id.ino,
                why: Why::Stormed(device.clone()),
            });
        }
        ops.push(Op::DropVersion(number));
    }
    turned
}

/// One name of the device means again what it meant: the master `home`, which is inode `ino`.
fn give_back(
    (device, path): (&DeviceName, &RelPath),
    home: &RelPath,
    seen: Option<Stat>,
    ino: Option<u64>,
    ops: &mut Vec<Op>,
) {
    let at = on(device, path);
    match (seen, ino) {
        (Some(seen), Some(new)) if seen.id.ino != new => {
            let why = Why::Stormed(device.clone());
            ops.push(Op::Replace { at, old: seen.id.ino, by: master(home), new, why });
        }
        (Some(seen), None) => {
            ops.push(Op::Release { at, ino: seen.id.ino, was: home.clone() });
        }
        (None, Some(ino)) => ops.push(Op::Link { from: master(home), ino, to: at }),
        (Some(_), Some(_)) | (None, None) => {}
    }
}

#[cfg(test)]
mod tests;
