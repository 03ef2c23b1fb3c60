//! Folders that other people joined, in the engine: where to look, their limits, their end.
//!
//! Their names are looked at like those of a device's folder (`look`). Here is what only they have: a limit, at which
//! nothing more is taken from the others; a folder at home that may be renamed; and an end in the order
//! that the design asks for: links carried over, out of the sync engine, then the folder goes.

use super::lookup::within_any;
use super::{Engine, EngineError};
use crate::apply::is_text;
use crate::fs::scan::Scan;
use crate::fs::{Entry, FsError};
use crate::model::{Bytes, Holder, Link, RelPath, Spot, Time, Tree};
use crate::plan::{
    CHUNK, Fact, LinkName, NOTE, Op, Share, ShareState, end_joined, note_text, on, wipe_joined,
};
use crate::status::Condition;
use crate::watch::Names;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What others have begun to put in is measured so often, in seconds, while bytes flow.
const MEASURE: i64 = 2;
/// And for each so many files in the folder one second later.
const FILES_A_SECOND: usize = 20_000;
/// So often what came last is looked at before a folder is ended or emptied.
const LAST_LOOKS: u32 = 3;

/// What is known of folders of people beside the world.
#[derive(Default)]
pub(super) struct Folders {
    /// At their limit.
    full: BTreeSet<String>,
    /// What is half received in each, and when that was measured.
    begun: BTreeMap<String, (Time, Bytes)>,
    /// Their content was destroyed, and something may be in them again.
    wipe: BTreeSet<String>,
}

impl Engine {
    /// Looks at all folders of people.
    pub(super) fn scan_joined(&mut self, now: Time) -> Result<(), EngineError> {
        let all: Vec<String> = self.world.shares.keys().cloned().collect();
        for name in all {
            self.scan_one_joined(&name, now)?;
        }
        self.keep_limits(now)
    }

    fn scan_one_joined(&mut self, name: &str, now: Time) -> Result<(), EngineError> {
        let Some(share) = self.world.shares.get(name).filter(|share| share.is_joined()) else {
            return Ok(());
        };
        let (takes, state) = (share.takes(), share.state);
        let holder = Holder::shared(name);
        self.world.replicas.entry(holder.clone()).or_default();
        if !takes {
            self.folders.wipe.insert(name.to_owned());
        } else if matches!(state, ShareState::Made | ShareState::Handed)
            || self.fs.look(&on(&holder, &RelPath::root()))?.is_some()
        {
            self.scan_device(&holder, now)?;
        }
        Ok(())
    }

    /// Looks where something happened in `shared/`.
    pub(super) fn look_joined(
        &mut self,
        folder: &Spot,
        names: &Names,
        now: Time,
    ) -> Result<(), EngineError> {
        if let Some((holder, path)) = self.world.holder_at(folder) {
            match holder.shared_folder() {
                Some(name) if !self.looks_after(&holder) => {
                    self.folders.wipe.insert(name.to_string());
                }
                _ => self.look_device(&holder, &path, names)?,
            }
            return Ok(());
        }
        match names {
            Names::All if folder.path.is_root() => self.scan_joined(now)?,
            Names::Some(names) if folder.path.is_root() => {
                for name in names {
                    if let Ok(name) = std::str::from_utf8(name) {
                        self.scan_one_joined(name, now)?;
                    }
                }
            }
            // In a share that others only fetch.
            _ => {}
        }
        Ok(())
    }

    /// A folder at home that others joined was renamed: it stays shared, under its new name. Only
    /// when nothing is left by the old one and all that is known to have moved is in one place.
    pub(super) fn follow_renamed(
        &mut self,
        moved: &HashMap<LinkName, RelPath>,
        now: Time,
    ) -> Result<(), EngineError> {
        if moved.is_empty() {
            return Ok(());
        }
        for holder in self.holders() {
            let Holder::SharedFolder(name) = &holder else { continue };
            let Some(share) = self.world.share_of(&holder) else { continue };
            let left = self.world.files.dir(&share.path).is_some_and(|dir| {
                let mut files = 0;
                self.world.files.for_each(dir, |_, _| files += 1);
                files > 0
            });
            if left {
                continue;
            }
            let mut places = BTreeSet::new();
            for key in self.orphan_links.keys().filter(|(h, _)| *h == holder) {
                places.extend(moved.get(key).map(|to| folder_above(to, &key.1)));
            }
            if let (1, Some(Some(to))) = (places.len(), places.pop_first())
                && !to.is_root()
            {
                let share = Share { path: to.clone(), ..share.clone() };
                let fact = Fact::Share(name.to_string(), share);
                log::info!("the folder that {holder} shares was renamed; it is {to} now");
                self.act(&Op::Note(fact), now)?;
                self.orphan_links.retain(|(h, _), _| *h != holder);
                self.scan_device(&holder, now)?;
            }
        }
        Ok(())
    }

    /// The names in `shared/`, of which a new folder gets none.
    pub(super) fn look_at_names_in_shared(&mut self) -> Result<(), EngineError> {
        let root = crate::model::Place::Shared.at(RelPath::root());
        let names = self.fs.list(&root)?.unwrap_or_default();
        let lower = |name: &[u8]| String::from_utf8_lossy(name).to_lowercase();
        self.world.in_shared = names.iter().map(|(name, _)| lower(name)).collect();
        Ok(())
    }

    /// Takes in what others put in last, before their folder is ended or emptied.
    pub(super) fn take_in_last(&mut self, name: &str, now: Time) -> Result<(), EngineError> {
        let holder = Holder::shared(name);
        self.scan_one_joined(name, now)?;
        for _ in 0..LAST_LOOKS {
            if !self.dirty.keys().any(|(h, _)| *h == holder) {
                break;
            }
            self.reconcile(now)?;
        }
        Ok(())
    }

    /// What has to be done for folders of people in every turn; `true` when there is more.
    pub(super) fn tend_joined(&mut self, now: Time) -> Result<bool, EngineError> {
        self.keep_limits(now)?;
        let mut more = false;
        let emptied = self.world.shares.iter().filter(|(_, s)| s.is_joined() && !s.takes());
        for (name, _) in emptied {
            let links = self.world.replicas.get(&Holder::shared(name));
            if links.is_some_and(|replica| !replica.links.is_empty()) {
                self.folders.wipe.insert(name.clone());
            }
        }
        for name in std::mem::take(&mut self.folders.wipe) {
            let there = self.world.shares.get(&name);
            if !there.is_some_and(|share| share.is_joined() && !share.takes() && share.is_live()) {
                continue;
            }
            // That it is to be empty reaches the disk before anything of it goes.
            self.settle_down()?;
            self.look_at_folder(&name)?;
            let ops = wipe_joined(&self.world, &name);
            let mut done = ops.len() < CHUNK;
            more |= !done;
            for op in ops {
                // What moved under our hands is looked at again in the next turn.
                done &= self.act(&op, now)?;
            }
            if !done {
                self.folders.wipe.insert(name);
            }
        }
        Ok(more)
    }

    /// Ends a folder of people that the carrier let go of, or a part of it; `false`: it moved under our
    /// hands, and is taken up again in the next turn.
    pub(super) fn end_folder(&mut self, name: &str, now: Time) -> Result<bool, EngineError> {
        if self.world.shares.get(name).is_some_and(Share::takes) {
            self.take_in_last(name, now)?;
        }
        self.look_at_folder(name)?;
        for op in end_joined(&self.world, name) {
            if !self.act(&op, now)? {
                return Ok(false);
            }
        }
        if !self.world.shares.contains_key(name) {
            let holder = Holder::shared(name);
            let others = |(h, _): &LinkName| *h != holder;
            self.dirty.retain(|key, _| others(key));
            self.orphan_links.retain(|key, _| others(key));
            self.failed.retain(|key, _| others(key));
            self.vanished_roots.remove(&holder);
            self.unreadable_dirs.remove(&holder);
            for key in [format!("held {holder}"), format!("blind {holder}"), limit_key(name)] {
                self.clear_notice(&key);
            }
            self.folders.full.remove(name);
            self.folders.begun.remove(name);
        }
        Ok(true)
    }

    /// Brings the book of a folder that is to be emptied to what is in it: what a cut kept from being
    /// recorded, what others put there last, without the note that is ours.
    fn look_at_folder(&mut self, name: &str) -> Result<(), EngineError> {
        let holder = Holder::shared(name);
        let root = on(&holder, &RelPath::root());
        let found = match self.fs.scan(&root) {
            Ok(found) => found,
            Err(FsError::NotRegular { .. }) => Scan::default(),
            Err(e) => return Err(e.into()),
        };
        let unread: Vec<RelPath> =
            found.unreadable_dirs.into_iter().chain(found.elsewhere).collect();
        let found = found.tree;
        let note = self.note_in(name)?;
        let replica = self.world.replicas.entry(holder.clone()).or_default();
        let mut known = Vec::new();
        replica.links.for_each(Tree::<Link>::ROOT, |p, _| known.extend(RelPath::new(p)));
        let below = |p: &[u8]| crate::plan::below_shared(&RelPath::new(p).ok()?, name);
        let mut there = Vec::new();
        if let Some(dir) = found.dir(&root.path) {
            found.for_each_dir(dir, |_, p| {
                if let Some(p) = below(p) {
                    replica.links.insert_dir(&p);
                }
            });
            found.for_each(dir, |p, stat| there.extend(below(p).map(|p| (p, *stat))));
        }
        let gone = |p: &RelPath| {
            let at = on(&holder, p).path;
            found.get(&at).is_none() && !within_any(&unread, &at)
        };
        for path in known.into_iter().filter(gone) {
            self.remember(&Fact::NoLink(holder.clone(), path))?;
        }
        for (path, stat) in there.into_iter().filter(|(p, _)| Some(p) != note.as_ref()).take(CHUNK)
        {
            let links = self.world.replicas.get(&holder).and_then(|h| h.links.get(&path));
            if links.is_none_or(|link| link.id != stat.id) {
                let link = Link { id: stat.id, charge: stat.charge(), used: 0 };
                self.remember(&Fact::Link(holder.clone(), path, link))?;
            }
        }
        Ok(())
    }

    /// The note that the content was destroyed, where it is ours.
    fn note_in(&mut self, name: &str) -> Result<Option<RelPath>, EngineError> {
        let open = self.world.shares.get(name).and_then(|share| share.open.as_ref());
        let Some(at) = open.and_then(|open| open.destroyed) else { return Ok(None) };
        let (path, text) = (RelPath::new(NOTE.as_bytes()).unwrap_or_default(), note_text(at));
        let at_note = on(&Holder::shared(name), &path);
        Ok(is_text(&mut *self.fs, &at_note, &text)?.then_some(path))
    }

    /// True while nothing more is taken from others in a folder of people.
    pub(super) fn is_full(&self, name: &str) -> bool {
        self.folders.full.contains(name)
    }

    /// What lies in a folder of people, with what is half received.
    pub(super) fn used_in(&self, name: &str) -> Bytes {
        let links = self.world.replicas.get(&Holder::shared(name));
        let begun = self.folders.begun.get(name).map_or(0, |(_, begun)| begun.0);
        Bytes(links.map_or(0, |h| h.used().0) + begun)
    }

    /// Says of each folder of people whether it is at its limit: what counts is all that is in it, at its
    /// full size as soon as it is begun.
    fn keep_limits(&mut self, now: Time) -> Result<(), EngineError> {
        let of = |share: &Share| share.open.as_ref().and_then(|open| open.limit);
        let all = self.world.shares.iter();
        let all: Vec<(String, Option<Bytes>)> = all
            .filter(|(_, share)| share.takes() && share.is_live())
            .map(|(name, share)| (name.clone(), of(share)))
            .collect();
        for (name, limit) in all {
            let Some(limit) = limit else {
                self.folders.full.remove(&name);
                self.clear_notice(&limit_key(&name));
                continue;
            };
            let was_full = self.is_full(&name);
            let fresh = self.measure_begun(&name, false, now)?;
            // A file that is complete now may still count as begun.
            if self.used_in(&name) >= limit && !was_full && !fresh {
                self.measure_begun(&name, true, now)?;
            }
            let used = self.used_in(&name);
            if used >= limit {
                self.stale |= self.folders.full.insert(name.clone());
                let what = format!(
                    "the shared folder {name} is full ({used} of {limit}); nothing more is taken \
                     from the others"
                );
                let next = "share the folder again with a larger limit, or take something out of it; \
                            then it goes on by itself";
                self.raise_notice(&limit_key(&name), Condition::Attention, now, what, next);
            } else {
                self.stale |= self.folders.full.remove(&name);
                self.clear_notice(&limit_key(&name));
            }
        }
        Ok(())
    }

    /// Measures what is half received in a folder, when that may have changed; `true` when it did so.
    fn measure_begun(&mut self, name: &str, at_once: bool, now: Time) -> Result<bool, EngineError> {
        let known = self.folders.begun.get(name).copied();
        let files = self.world.replicas.get(&Holder::shared(name)).map_or(0, |h| h.links.len());
        let pause = MEASURE + i64::try_from(files / FILES_A_SECOND).unwrap_or(i64::MAX / 2);
        let due = match known {
            None => true,
            Some((at, begun)) => {
                let may_differ = begun.0 > 0 || self.carrying.moving;
                may_differ && !(0..pause).contains(&now.since(at))
            }
        };
        if !due && !at_once {
            return Ok(false);
        }
        let mut begun = 0;
        let mut todo = vec![on(&Holder::shared(name), &RelPath::root())];
        while let Some(dir) = todo.pop() {
            let listed = match self.fs.list(&dir) {
                Ok(listed) => listed.unwrap_or_default(),
                Err(e) if e.trouble().is_some() => return Err(e.into()),
                Err(_) => continue,
            };
            for (name, entry) in listed {
                let transient = crate::model::is_private(&name);
                match (entry, dir.path.join(&name)) {
                    (Entry::File(stat), _) if transient => begun += stat.charge().0,
                    (Entry::Dir, Ok(path)) if !transient => {
                        todo.push(dir.place.clone().at(path));
                    }
                    _ => {}
                }
            }
        }
        self.folders.begun.insert(name.to_owned(), (now, Bytes(begun)));
        Ok(true)
    }
}

fn limit_key(name: &str) -> String {
    format!("limit {name}")
}

/// The folder in which this path lies as `path`; `None` when it does not.
fn folder_above(at: &RelPath, path: &RelPath) -> Option<RelPath> {
    let above = at.depth().checked_sub(path.depth())?;
    let names: Vec<&[u8]> = at.names().collect();
    let same = names[above..].iter().copied().eq(path.names());
    same.then(|| RelPath::new(&names[..above].join(&b'/')).ok()).flatten()
}
