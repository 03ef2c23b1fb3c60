//! The storm guard: a device that rewrites or deletes much more than it ever did (malware that encrypts, a
//! synchronization gone mad) is not believed until the owner says so. Pure.
//!
//! Counted is what a device does to files that it had: rewriting them, deleting them, and deleting one while
//! another of the same stem takes its place (`a.jpg` → `a.jpg.locked`), which is rewriting by
//! another way. New files are not counted: a camera that brings its first five thousand pictures
//! takes nothing away. What is in the files is not looked at: pictures and films look as random as
//! what was encrypted.
//!
//! A storm is more than [`CALM`] within an hour, and more than [`TIMES`] the most that the device did
//! in any earlier hour that nobody objected to. Deletions alone take only links, the masters stay;
//! they have to be more than a fifth of what the device has, besides, as with links that vanish at once.
//!
//! While it lasts, what the device does is held: the names are noted ([`Holding::held`]) and nothing else
//! happens, the contents stay where the device put them, and no old content expires. Whoever answers
//! must not be the device itself: its page came through its own hands.

use super::reconcile::{Sight, reconcile};
use super::wish::{Asked, Planned};
use super::{CHUNK, Fact, Holding, Op, Why, World, kept, master, on};
use crate::model::{Action, DeviceName, Link, Origin, RelPath, Stat, Time};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// So much in an hour is never a storm.
pub(super) const CALM: u32 = 50;
/// So many times the most of any hour before is one.
pub(super) const TIMES: u32 = 3;
/// Seconds that are counted together.
const SLOT: i64 = 300;
/// So many of them are an hour.
const HOUR: i64 = WINDOW / SLOT;
/// Within so many seconds a storm is noticed: what a device did before is no part of it.
pub(super) const WINDOW: i64 = 3_600;

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

/// What a device did lately, and the most it ever did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Pace {
    /// Counts of the last two hours: which five minutes, files rewritten, files deleted.
    slots: Vec<(i64, u32, u32)>,
    /// The most files rewritten in one hour.
    pub most_rewritten: u32,
    /// The most files deleted in one hour.
    pub most_deleted: u32,
}

impl Pace {
    /// Takes in what was done at a moment.
    pub fn add(&mut self, at: Time, rewritten: u32, deleted: u32) {
        let now = at.secs().div_euclid(SLOT);
        // A clock that was set back must not leave counts behind that no time ends.
        self.slots.iter_mut().for_each(|slot| slot.0 = slot.0.min(now));
        // Only what is over makes a new most: else every storm would be its own measure.
        let last = self.slots.last().map_or(now, |slot| slot.0);
        let first = self.slots.first().map_or(now, |slot| slot.0);
        for end in first + HOUR..=(now - HOUR + 1).min(last + HOUR) {
            let (rewritten, deleted) = self.between(end - HOUR, end);
            self.most_rewritten = self.most_rewritten.max(rewritten);
            self.most_deleted = self.most_deleted.max(deleted);
        }
        self.slots.retain(|slot| slot.0 > now - 2 * HOUR);
        match self.slots.last_mut().filter(|slot| slot.0 == now) {
            Some(slot) => {
                slot.1 = slot.1.saturating_add(rewritten);
                slot.2 = slot.2.saturating_add(deleted);
            }
            None => self.slots.push((now, rewritten, deleted)),
        }
    }

    fn between(&self, from: i64, to: i64) -> (u32, u32) {
        let within = self.slots.iter().filter(|slot| (from..to).contains(&slot.0));
        within.fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2))
    }

    /// Files rewritten and deleted in the last hour.
    pub fn lately(&self, now: Time) -> (u32, u32) {
        self.between(now.secs().div_euclid(SLOT) - HOUR + 1, i64::MAX)
    }

    /// Since when the last hour counts.
    fn since(&self, now: Time) -> Time {
        let from = now.secs().div_euclid(SLOT) - HOUR + 1;
        let first = self.slots.iter().map(|slot| slot.0).filter(|slot| *slot >= from).min();
        Time::from_secs(first.unwrap_or(from) * SLOT)
    }

    /// True when so much more, on top of the last hour, is a storm on a device with `all` links.
    pub fn is_storm(&self, now: Time, rewritten: u32, deleted: u32, all: usize) -> bool {
        let lately = self.lately(now);
        let (rewritten, deleted) = (lately.0 + rewritten, lately.1 + deleted);
        let limit = |most: u32| CALM.max(most.saturating_mul(TIMES));
        let fifth = u64::from(deleted) * 5 > all as u64 + u64::from(lately.1);
        rewritten > limit(self.most_rewritten) || (deleted > limit(self.most_deleted) && fifth)
    }

    /// The owner says that as much is in order.
    fn accept(&mut self, rewritten: u32, deleted: u32) {
        self.slots.clear();
        self.most_rewritten = self.most_rewritten.max(rewritten);
        self.most_deleted = self.most_deleted.max(deleted);
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
    /// A storm that is noticed now.
    pub fn noticed(pace: &Pace, now: Time) -> Self {
        let (rewritten, deleted) = pace.lately(now);
        Self { since: pace.since(now), at: now, rewritten, deleted }
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
            (0, 0)
        };
        let what = "the device gets again what it had; what it wrote is kept for a while, among the \
                    old versions";
        self.answer_storms(to, origin, what, turn)
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
                pace.accept(rewritten, deleted);
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
