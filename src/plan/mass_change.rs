//! The mass change guard: a device that rewrites or deletes much more than it ever did (malware that encrypts, a
//! synchronization gone mad) is not believed until the owner says so. Pure.
//!
//! Counted is what a device does to files that it had: rewriting them, deleting them, and deleting one while
//! another of the same stem takes its place (`a.jpg` → `a.jpg.locked`), which is rewriting by
//! another way. New files are not counted: a camera that brings its first five thousand pictures
//! takes nothing away. What is in the files is not looked at: pictures and films look as random as
//! what was encrypted.
//!
//! A mass change is more than 50 within an hour, and more than three times the most that the device did in any
//! earlier hour that nobody objected to; or more than 200 within a day and three times the most of a day,
//! so that nothing grows into it hour by hour ([`ChangeRate`]). Within an hour a name counts once: a document that
//! saves itself every minute is one. Deletions alone take only links, the masters stay; they have to be
//! more than a fifth of what the device has, besides, as with links that vanish at once.
//!
//! While it lasts, what the device does is held: the names are noted ([`Replica::held`]) and nothing else
//! happens, the contents stay where the device put them, and no old content expires. Whoever answers
//! must not be the device itself: its page came through its own hands.

mod answers;
mod back;
mod rate;
mod roll_back;

pub use rate::{ChangeRate, Span};

use super::night::CLOCK_IS_SET;
use super::{Replica, Why, World};
use crate::model::{Holder, Link, RelPath, Stat, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
pub fn doing(links: Option<&Link>, seen: Option<&Stat>, home: Option<&Stat>) -> Doing {
    let is = |ino: u64| seen.is_some_and(|s| s.id.ino == ino);
    match (links, seen) {
        (None, None) => Doing::Nothing,
        (Some(_), None) => Doing::Deleted,
        _ if home.is_some_and(|m| is(m.id.ino)) || links.is_some_and(|b| is(b.id.ino)) => {
            Doing::Nothing
        }
        (Some(_), Some(_)) => Doing::Rewrote,
        (None, Some(_)) => Doing::Created,
    }
}

/// A mass change that waits for the owner's word.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MassChange {
    /// The old content that it begins with, by number: a part may be taken in already.
    pub first: u64,
    /// Since when what the device did was counted, by the clock of then.
    pub since: Time,
    /// When it was noticed.
    pub at: Time,
    /// What was taken in of it before: files rewritten.
    pub rewritten: u32,
    /// Files deleted.
    pub deleted: u32,
}

impl MassChange {
    /// A mass change of a device that is noticed now, for what was done over a span.
    pub fn noticed(
        world: &World,
        device: &Holder,
        change_rate: &ChangeRate,
        span: Span,
        now: Time,
    ) -> Self {
        let (rewritten, deleted) = change_rate.lately(span, now);
        let first = first(world, device, span, now).max(change_rate.spoken_of);
        Self { first, since: change_rate.since(span, now), at: now, rewritten, deleted }
    }

    /// Over which span it was noticed.
    pub fn span(&self) -> Span {
        if self.at.since(self.since) > Span::Hour.length() { Span::Day } else { Span::Hour }
    }
}

/// How many seconds ago that was, as far as they were seen passing: clocks are set. Where no clock was ever set,
/// it is as good as any.
pub fn age(world: &World, at: Time, now: Time) -> i64 {
    match at < CLOCK_IS_SET && now < CLOCK_IS_SET {
        true => now.since(at).max(0),
        false => world.running.since(at),
    }
}

/// The first old content that a device's mass change may have left, over a span until now. One that is older for certain
/// ends the search: of older ones a wrong clock may say anything.
fn first(world: &World, device: &Holder, span: Span, now: Time) -> u64 {
    let mut first = world.versions.last_key_value().map_or(0, |(number, _)| number + 1);
    for (number, version) in world.versions.iter().rev() {
        if age(world, version.at, now) >= span.length() {
            break;
        }
        let by_it = matches!(&version.why, Why::Edited(d) if d == device);
        if by_it || version.why == Why::Rescued {
            first = *number;
        }
    }
    first
}

/// How many files a mass change rewrote, deleted and created, taken in or held.
pub fn extent(replica: &Replica) -> (u32, u32, u32) {
    let taken = replica.mass_change.map_or((0, 0), |s| (s.rewritten, s.deleted));
    let mut sum = (taken.0, taken.1, 0);
    for (path, seen) in &replica.held {
        match (replica.links.get(path).is_some(), seen.is_some()) {
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
pub fn is_disguised(replica: &Replica, path: &RelPath, since: Time) -> bool {
    let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return false };
    let Some(dir) = replica.links.dir(&folder) else { return false };
    let stem = stem_of(name).unwrap_or(name);
    let like = replica.links.files_from(dir, stem).take_while(|(n, _)| n.starts_with(stem));
    let mut later = like.filter(|(n, link)| *n != name && link.used >= since.secs());
    later.any(|(n, _)| n[stem.len()..].first() == Some(&b'.'))
}

#[cfg(test)]
mod tests;
