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

use super::quota::{Held, Keep, Oldest, Shortfall};
use super::reconcile::{NotYet, Sight, reconcile};
use super::wish::{Asked, Planned};
use super::{CHUNK, Fact, Holding, Op, Why, World, kept, master, on};
use crate::model::{Action, Answer, Bytes, DeviceName, Link, Origin, RelPath, Stat, Time};
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
                match reconcile(self.world, &sight) {
                    Ok(what) => {
                        let gets = |op: &Op| matches!(op, Op::Replace { why: Why::Replaced, .. });
                        let got = what.iter().any(gets);
                        ops.extend(what);
                        if got && sight.quota.is_some() {
                            // How much room is left for the next is seen when it has that.
                            return Ok(Part { more: true, missing: None });
                        }
                    }
                    Err(NotYet::Untold) => return Err(self.waits_for_word(device)),
                    Err(NotYet::Settling) => {}
                }
            }
            Ok(Part { more: ops.len() >= CHUNK, missing: None })
        };
        let what = "what was held is taken in; the old contents are kept for a while";
        let usual = |holding: &Holding| {
            let (rewritten, deleted, _) = extent(holding);
            (rewritten, deleted)
        };
        self.answer_storms(to, origin, what, usual, take_in)
    }

    /// The owner says that it was not meant: the device gets again what it had, as far as its quota goes. What it
    /// wrote is kept as versions, and what was taken in before the storm was noticed is turned back.
    pub(super) fn keep_mine(&self, to: &[&DeviceName], origin: &Origin) -> Planned {
        let turn = |device: &DeviceName, holding: &Holding, ops: &mut Vec<Op>| {
            let before = ops.len();
            if let Some(storm) = &holding.storm {
                turn_back(self.world, device, storm, ops);
            }
            if ops.len() > before {
                // First the masters: what the device gets, and what that costs, is seen when they are back.
                return Ok(Part { more: true, missing: None });
            }
            let mut back = Back::new(self, device, holding);
            for (path, seen) in &holding.held {
                if ops.len() >= CHUNK {
                    break;
                }
                back.held(path, *seen, ops);
            }
            if let Some(storm) = &holding.storm {
                back.deleted(storm, ops);
            }
            let more = ops.len() >= CHUNK;
            let missing = if more { None } else { back.give_up(ops) };
            Ok(Part { more, missing })
        };
        let what = "the device gets again what it had; what it wrote is kept for a while, among the \
                    old versions";
        self.answer_storms(to, origin, what, |_| (0, 0), turn)
    }

    /// Plans an answer for each device, and the end of its storm once that was all. What is `usual` from then on is
    /// noted with the first part, of all that was held.
    fn answer_storms(
        &self,
        to: &[&DeviceName],
        origin: &Origin,
        what: &str,
        usual: impl Fn(&Holding) -> (u32, u32),
        plan: impl Fn(&DeviceName, &Holding, &mut Vec<Op>) -> Result<Part, Planned>,
    ) -> Planned {
        let devices = match stormy(self, to, origin) {
            Ok(devices) => devices,
            Err(refused) => return refused,
        };
        let (mut ops, mut what, mut more) = (Vec::new(), what.to_owned(), false);
        for device in devices {
            let Some(holding) = self.holding(device) else { continue };
            let mut pace = holding.pace.clone();
            let span = holding.storm.map_or(Span::Hour, |storm| storm.span());
            let (rewritten, deleted) = usual(holding);
            pace.accept(span, rewritten, deleted);
            ops.push(Op::Note(Fact::Pace(device.clone(), pace)));
            let part = match plan(device, holding, &mut ops) {
                Ok(part) => part,
                Err(not_now) => return not_now,
            };
            more |= part.more;
            what.extend(part.missing);
            if !part.more {
                ops.push(Op::Note(Fact::Calm(device.clone())));
            }
        }
        Planned { ops, answer: Answer::Done(what), more }
    }
}

/// What is planned for one device.
struct Part {
    /// There is more to do for it.
    more: bool,
    /// What to say of what had no room.
    missing: Option<String>,
}

/// What a device gets back, as far as its quota goes: nothing else makes room for it.
struct Back<'a> {
    asked: &'a Asked<'a>,
    device: &'a DeviceName,
    holding: &'a Holding,
    /// How many bytes there is room for.
    room: u64,
    /// Contents that it gets back already: they cost nothing under another name.
    counted: BTreeSet<u64>,
    /// How many files have no room, what their contents need, and what becomes of their names.
    files: u64,
    lacking: BTreeMap<u64, u64>,
    names: Vec<Op>,
}

impl<'a> Back<'a> {
    fn new(asked: &'a Asked<'a>, device: &'a DeviceName, holding: &'a Holding) -> Self {
        let quota = asked.quota(device);
        let room = quota.map_or(u64::MAX, |quota| quota.0.saturating_sub(holding.used().0));
        let (counted, lacking, names) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        Self { asked, device, holding, room, counted, files: 0, lacking, names }
    }

    /// Counts a file that is to be at a name of the device; `false` when there is no room for it.
    fn fits(&mut self, path: &RelPath, m: &Stat) -> bool {
        let known = self.counted.contains(&m.id.ino);
        let price = if known { 0 } else { self.holding.price(m).0 };
        let alone = |link: &&Link| self.holding.links_of(link.id.ino) == 1;
        let old = self.holding.book.get(path).filter(alone);
        let freed = old.map_or(0, |link| self.holding.cost_of(link.id.ino).0);
        let need = price.saturating_sub(freed);
        if need > self.room {
            self.files += 1;
            self.lacking.insert(m.id.ino, need);
            return false;
        }
        self.room -= need;
        self.counted.insert(m.id.ino);
        true
    }

    /// A name that is held means again what it meant: the master of now, if the device had one there or follows its
    /// folder.
    fn held(&mut self, path: &RelPath, seen: Option<Stat>, ops: &mut Vec<Op>) {
        let Some(home) = self.asked.world.home_of(self.device, path) else { return };
        let at = on(self.device, path);
        let gets = self.holding.book.get(path).is_some() || self.holding.wants(path);
        let m = self.asked.world.files.get(&home).filter(|_| gets);
        let release =
            |seen: Stat| Op::Release { at: at.clone(), ino: seen.id.ino, was: home.clone() };
        match (seen, m) {
            (Some(seen), Some(m)) if seen.id.ino == m.id.ino => {}
            (Some(seen), None) => ops.push(release(seen)),
            (None, None) => {}
            (_, Some(m)) if !self.fits(path, m) => {
                let gone = Op::Note(Fact::NoLink(self.device.clone(), path.clone()));
                self.names.push(seen.map_or(gone, release));
                if self.holding.wants(path) {
                    self.names.push(Op::Note(Fact::Except(self.device.clone(), path.clone())));
                }
            }
            (Some(seen), Some(m)) => {
                let (by, why) = (master(&home), Why::Stormed(self.device.clone()));
                ops.push(Op::Replace { at, old: seen.id.ino, by, new: m.id.ino, why });
            }
            (None, Some(m)) => ops.push(Op::Link { from: master(&home), ino: m.id.ino, to: at }),
        }
    }

    /// What it deleted before its storm was noticed.
    fn deleted(&mut self, storm: &Storm, ops: &mut Vec<Op>) {
        let (device, holding) = (self.device, self.holding);
        for (path, _) in holding.deleted.iter().filter(|(_, at)| **at >= storm.since) {
            if ops.len() >= CHUNK {
                break;
            }
            let world = self.asked.world;
            let home = world.home_of(device, path);
            let Some((home, m)) = home.and_then(|h| Some((h.clone(), world.files.get(&h)?))) else {
                continue;
            };
            let there = holding.book.get(path).is_some() || holding.held.contains_key(path);
            if there || !self.fits(path, m) {
                continue;
            }
            if holding.exceptions.contains(path) {
                ops.push(Op::Note(Fact::Unexcept(device.clone(), path.clone())));
            }
            ops.push(Op::Link { from: master(&home), ino: m.id.ino, to: on(device, path) });
        }
    }

    /// Lets go of the names for whose files there is no room; says how many those are.
    fn give_up(self, ops: &mut Vec<Op>) -> Option<String> {
        ops.extend(self.names);
        let quota = self.asked.quota(self.device).filter(|_| self.files > 0)?;
        let Held { pinned, .. } = Oldest::on(self.asked.world, self.holding, Keep::default()).held;
        let need = self.lacking.values().fold(0, |sum: u64, need| sum.saturating_add(*need));
        // What is held now is not any more then.
        let none = Bytes(0);
        let short = Shortfall { need: Bytes(need), quota, pinned, unsaved: none, moving: none };
        let files = if self.files == 1 { "1 file".into() } else { format!("{} files", self.files) };
        Some(format!("; {files} of it had no room on {}: {short}", self.asked.label(self.device)))
    }
}

/// Masters that the device replaced since the storm began mean again what they meant before. A
/// master that somebody else changed in between is left alone.
fn turn_back(world: &World, device: &DeviceName, storm: &Storm, ops: &mut Vec<Op>) {
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
}

#[cfg(test)]
mod tests;
