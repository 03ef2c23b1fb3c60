//! What a device gets back when the owner keeps what was there before its mass change. Pure.

use crate::model::{Bytes, Holder, Link, RelPath, Stat};
use crate::plan::quota::{Held, Keep, Oldest, Shortfall};
use crate::plan::wish::Asked;
use crate::plan::{CHUNK, Fact, LinkName, Op, Replica, Version, Why, World};
use crate::plan::{master, moved_masters, on};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a device gets back, as far as its quota goes: nothing else makes room for it.
pub(super) struct Back<'a> {
    asked: &'a Asked<'a>,
    device: &'a Holder,
    replica: &'a Replica,
    /// How many bytes there is room for.
    room: u64,
    /// Contents that it gets back already: they cost nothing under another name.
    counted: BTreeSet<u64>,
    /// Where the masters are by now whose names are gone at home.
    moved: HashMap<LinkName, RelPath>,
    /// Masters that could not be turned back.
    left: BTreeSet<RelPath>,
    /// How many files have no room, what their contents need, and what becomes of the names that get nothing.
    files: u64,
    lacking: BTreeMap<u64, u64>,
    names: Vec<Op>,
}

/// Where the masters are by now of what is held or was deleted, and whose names are gone at home: found by what the
/// device had. When that was turned back, it is where what it had was put away from.
fn moved(world: &World, device: &Holder, replica: &Replica) -> HashMap<LinkName, RelPath> {
    let held = replica.held.keys().filter_map(|path| Some((path, replica.links.get(path)?.id.ino)));
    let deleted = replica.deleted.iter().map(|(path, (_, ino))| (path, *ino));
    let gone = held.chain(deleted).filter(|(path, _)| {
        world.home_of(device, path).is_some_and(|home| world.files.get(&home).is_none())
    });
    let gone: Vec<_> = gone.map(|(path, ino)| ((device.clone(), path.clone()), ino)).collect();
    let mut moved = moved_masters(world, &gone, |_| true);
    let by_it = |v: &&Version| matches!(&v.why, Why::Stormed(d) | Why::Overwrote(d) if d == device);
    let away = world.versions.values().filter(by_it);
    let away: HashMap<u64, &RelPath> = away.map(|v| (v.id.ino, &v.path)).collect();
    for (link, ino) in gone {
        if let Some(at) = away.get(&ino) {
            moved.entry(link).or_insert_with(|| (*at).clone());
        }
    }
    moved
}

impl<'a> Back<'a> {
    /// The masters `left` could not be turned back before.
    pub(super) fn new(
        asked: &'a Asked<'a>,
        device: &'a Holder,
        replica: &'a Replica,
        left: BTreeSet<RelPath>,
    ) -> Self {
        let quota = asked.quota(device);
        let room = quota.map_or(u64::MAX, |quota| quota.0.saturating_sub(replica.used().0));
        let (counted, lacking, names) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let moved = moved(asked.world, device, replica);
        Self { asked, device, replica, room, counted, moved, left, files: 0, lacking, names }
    }

    /// The master that a name of the device meant, and under which name with the device it is now.
    fn now(&self, path: &RelPath) -> Option<(RelPath, RelPath, &'a Stat)> {
        let world = self.asked.world;
        let home = world.home_of(self.device, path)?;
        if let Some(m) = world.files.get(&home) {
            return Some((path.clone(), home, m));
        }
        let home = self.moved.get(&(self.device.clone(), path.clone()))?.clone();
        let m = world.files.get(&home)?;
        Some((world.path_on(self.device, &home)?, home, m))
    }

    /// Counts a file that is to be at a name of the device; `false` when there is no room for it.
    fn fits(&mut self, path: &RelPath, m: &Stat) -> bool {
        let known = self.counted.contains(&m.id.ino);
        let price = if known { 0 } else { self.replica.price(m).0 };
        let alone = |link: &&Link| self.replica.links_of(link.id.ino) == 1;
        let old = self.replica.links.get(path).filter(alone);
        let freed = old.map_or(0, |link| self.replica.cost_of(link.id.ino).0);
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
    /// folder. Was that renamed at home, the device has it under the name of now.
    pub(super) fn held(&mut self, path: &RelPath, seen: Option<Stat>, ops: &mut Vec<Op>) {
        let Some(home) = self.asked.world.home_of(self.device, path) else { return };
        let at = on(self.device, path);
        let had = self.replica.links.get(path).is_some();
        let unlink_or_keep =
            |seen: Stat| Op::Release { at: at.clone(), ino: seen.id.ino, was: home.clone() };
        let gone = || Op::Note(Fact::NoLink(self.device.clone(), path.clone()));
        let m = self.asked.world.files.get(&home);
        if m.is_none() && had {
            let let_go = seen.map_or_else(gone, unlink_or_keep);
            return self.held_elsewhere(path, home, let_go, ops);
        }
        match (seen, m.filter(|_| had || self.replica.wants(path))) {
            (Some(seen), Some(m)) if seen.id.ino == m.id.ino => {}
            (Some(seen), None) => ops.push(unlink_or_keep(seen)),
            (None, None) => {}
            (_, Some(m)) if !self.fits(path, m) => {
                self.names.push(seen.map_or_else(gone, unlink_or_keep));
                if self.replica.wants(path) {
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

    /// The master is not at its name any more: the device gets it under the name that it has now, and lets go of the
    /// old one.
    fn held_elsewhere(&mut self, path: &RelPath, was: RelPath, let_go: Op, ops: &mut Vec<Op>) {
        let (device, replica) = (self.device, self.replica);
        let Some((to, home, m)) = self.now(path) else {
            self.left.insert(was);
            // Counted until the last part of the plan.
            self.names.push(let_go);
            return;
        };
        let there = replica.links.get(&to).is_some() || replica.held.contains_key(&to);
        if !there && !self.fits(&to, m) {
            self.names.push(let_go);
            if replica.wants(&to) {
                self.names.push(Op::Note(Fact::Except(device.clone(), to)));
            }
            return;
        }
        if replica.pins.contains(path) {
            ops.push(Op::Note(Fact::Pin(device.clone(), to.clone())));
            ops.push(Op::Note(Fact::Unpin(device.clone(), path.clone())));
        }
        if !there {
            ops.push(Op::Link { from: master(&home), ino: m.id.ino, to: on(device, &to) });
        }
        ops.push(let_go);
    }

    /// What it deleted before its mass change was noticed.
    pub(super) fn deleted(&mut self, ops: &mut Vec<Op>) {
        let (device, replica) = (self.device, self.replica);
        for path in replica.deleted.keys() {
            if ops.len() >= CHUNK {
                break;
            }
            // What is not at home any more was somebody else's word.
            let Some((path, home, m)) = self.now(path) else { continue };
            let there = replica.links.get(&path).is_some() || replica.held.contains_key(&path);
            if there || !self.fits(&path, m) {
                continue;
            }
            if replica.exceptions.contains(&path) {
                ops.push(Op::Note(Fact::Unexcept(device.clone(), path.clone())));
            }
            ops.push(Op::Link { from: master(&home), ino: m.id.ino, to: on(device, &path) });
        }
    }

    /// Lets go of the names that get nothing; says for how many files there is no room, and how many could not be
    /// turned back.
    pub(super) fn give_up(self, ops: &mut Vec<Op>) -> Option<String> {
        let files = |n: u64| if n == 1 { "1 file".into() } else { format!("{n} files") };
        let left = match self.left.len() as u64 {
            0 => String::new(),
            n => format!(
                "; {} of it could not be turned back, because something else has their place or they \
                 are not at home any more: look among the old versions",
                files(n)
            ),
        };
        ops.extend(self.names);
        let Some(quota) = self.asked.quota(self.device).filter(|_| self.files > 0) else {
            return (!left.is_empty()).then_some(left);
        };
        let Held { pinned, .. } = Oldest::on(self.asked.world, self.replica, Keep::default()).held;
        let need = self.lacking.values().fold(0, |sum: u64, need| sum.saturating_add(*need));
        // What is held now is not any more then.
        let none = Bytes(0);
        let short = Shortfall { need: Bytes(need), quota, pinned, unsaved: none, moving: none };
        let (files, label) = (files(self.files), self.asked.label(self.device));
        Some(format!("{left}; {files} of it had no room on {label}: {short}"))
    }
}
