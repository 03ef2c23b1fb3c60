//! What a device gets back when the owner keeps what was there before its storm. Pure.

use super::Storm;
use crate::model::{Bytes, DeviceName, Link, RelPath, Stat};
use crate::plan::quota::{Held, Keep, Oldest, Shortfall};
use crate::plan::wish::Asked;
use crate::plan::{CHUNK, Fact, Holding, Op, Why, master, on};
use std::collections::{BTreeMap, BTreeSet};

/// What a device gets back, as far as its quota goes: nothing else makes room for it.
pub(super) struct Back<'a> {
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
    pub(super) fn new(asked: &'a Asked<'a>, device: &'a DeviceName, holding: &'a Holding) -> Self {
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
    pub(super) fn held(&mut self, path: &RelPath, seen: Option<Stat>, ops: &mut Vec<Op>) {
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
    pub(super) fn deleted(&mut self, storm: &Storm, ops: &mut Vec<Op>) {
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
    pub(super) fn give_up(self, ops: &mut Vec<Op>) -> Option<String> {
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
