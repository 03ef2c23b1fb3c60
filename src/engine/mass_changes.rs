//! The mass change guard in the engine: counts what devices do, and holds it when it is too much.

use super::lookup::LOOKS;
use super::{Engine, EngineError};
use crate::catalogue::MassChangeView;
use crate::fs::FsError;
use crate::model::{Holder, Link, RelPath, Stat, Time};
use crate::plan::{
    Doing, Fact, MassChange, Op, Span, Version, Why, age, doing, extent, in_disguise, is_disguised,
    on, versions,
};
use crate::status::Condition;
use std::collections::BTreeMap;

/// So many names of what is held are on the pages.
const SHOWN: usize = 12;

impl Engine {
    /// True while the owner has not said what to make of all that a device does.
    pub(super) fn is_in_mass_change(&self, device: &Holder) -> bool {
        self.world.replicas.get(device).is_some_and(|h| h.mass_change.is_some())
    }

    /// True while any mass change waits for an answer: old contents are kept so long.
    pub(super) fn any_mass_change(&self) -> bool {
        versions::mass_change_since(&self.world, &self.config).is_some()
    }

    /// Looks ahead at what is looked at next: when that is a mass change by itself, none of it is taken in.
    pub(super) fn foresee_mass_changes(&mut self, now: Time) -> Result<(), EngineError> {
        // What it has, and what is new there; only the first can be rewritten or deleted.
        let mut dirty: BTreeMap<Holder, (Vec<RelPath>, Vec<RelPath>)> = BTreeMap::new();
        for (device, path) in self.dirty.keys().take(LOOKS) {
            let Some(replica) = self.world.replicas.get(device) else { continue };
            let (known, new) = dirty.entry(device.clone()).or_default();
            if replica.links.get(path).is_some() {
                known.push(path.clone());
            } else if self.home(device, path).is_none() {
                new.push(path.clone());
            }
        }
        for (device, (known, created)) in dirty {
            let Some(replica) = self.world.replicas.get(&device) else { continue };
            let most = (known.len() + replica.absent.len()) as u32;
            // Even if every one were rewritten it would be none: no need to look twice.
            let calm = replica.change_rate.mass_change(now, most, 0, replica.links.len()).is_none();
            if replica.mass_change.is_some() || calm {
                continue;
            }
            let (mut rewritten, mut deleted) = (0, Vec::new());
            for path in known {
                let seen = match self.fs.stat(&on(&device, &path)) {
                    Ok(seen) => seen,
                    Err(e) if e.trouble().is_some() => return Err(e.into()),
                    Err(FsError::NotRegular { .. }) => None,
                    Err(_) => continue,
                };
                match self.doing(&device, &path, seen.as_ref()) {
                    Doing::Rewrote => rewritten += 1,
                    Doing::Deleted => deleted.push(path),
                    Doing::Nothing | Doing::Created => {}
                }
            }
            let Some(replica) = self.world.replicas.get(&device) else { continue };
            deleted.retain(|path| !replica.absent.contains_key(path));
            let gone = deleted.iter().chain(replica.absent.keys());
            let hour = now.plus_secs(-Span::Hour.length());
            let (taken, rest): (Vec<_>, Vec<_>) =
                gone.partition(|path| is_disguised(replica, path, hour));
            let disguised = taken.len() as u32 + in_disguise(rest.into_iter(), created.iter());
            // What is absent and nothing else may come back yet, and is asked about when much vanished.
            let all = replica.links.len();
            if let Some(span) = replica.change_rate.mass_change(now, rewritten + disguised, 0, all)
            {
                let mass_change =
                    MassChange::noticed(&self.world, &device, &replica.change_rate, span, now);
                self.hold(&device, mass_change)?;
            }
        }
        Ok(())
    }

    fn doing(&self, device: &Holder, path: &RelPath, seen: Option<&Stat>) -> Doing {
        let links = self.world.replicas.get(device).and_then(|h| h.links.get(path));
        doing(links, seen, self.home(device, path))
    }

    /// The master that a device's name stands for.
    fn home(&self, device: &Holder, path: &RelPath) -> Option<&Stat> {
        self.world.files.get(&self.world.home_of(device, path)?)
    }

    fn hold(&mut self, device: &Holder, mass_change: MassChange) -> Result<(), EngineError> {
        log::warn!("{device} changes so much that it is held until somebody says that it may");
        if let Some(replica) = self.world.replicas.get_mut(device) {
            // What vanished before was not believed yet, and is a part of it.
            let absent = replica.absent.keys().map(|path| (path.clone(), None));
            replica.held.extend(absent);
        }
        self.forget_deleted(device, mass_change.span(), mass_change.at);
        self.remember(&Fact::MassChange(device.clone(), mass_change))
    }

    /// What a device deleted before a span until now is of no mass change that is noticed now.
    fn forget_deleted(&mut self, device: &Holder, span: Span, now: Time) {
        let Some(replica) = self.world.replicas.get_mut(device) else { return };
        let mut deleted = std::mem::take(&mut replica.deleted);
        deleted.retain(|_, (at, _)| age(&self.world, *at, now) < span.length());
        if let Some(replica) = self.world.replicas.get_mut(device) {
            replica.deleted = deleted;
        }
    }

    /// Holds what a device did to a name while a mass change waits for its answer; `true` when it did
    /// anything.
    pub(super) fn is_held_back(
        &mut self,
        device: &Holder,
        path: &RelPath,
        seen: Option<Stat>,
    ) -> bool {
        if !self.is_in_mass_change(device) {
            return false;
        }
        let held = self.doing(device, path, seen.as_ref()) != Doing::Nothing;
        let Some(replica) = self.world.replicas.get_mut(device) else { return false };
        let before = match held {
            true => replica.held.insert(path.clone(), seen),
            false => replica.held.remove(path),
        };
        self.stale |= held != before.is_some();
        held
    }

    /// Counts what a device did to a name, once it is taken in, and the link that it had there before.
    pub(super) fn count(
        &mut self,
        device: &Holder,
        path: &RelPath,
        (did, had): (Doing, Option<Link>),
        now: Time,
    ) -> Result<(), EngineError> {
        let Some(replica) = self.world.replicas.get(device) else { return Ok(()) };
        let (rewritten, deleted) = match did {
            Doing::Rewrote if self.rewrote_lately(device, path, now) => return Ok(()),
            Doing::Rewrote => (1, 0),
            Doing::Deleted if is_disguised(replica, path, now.plus_secs(-Span::Hour.length())) => {
                (1, 0)
            }
            Doing::Deleted => (0, 1),
            Doing::Nothing | Doing::Created => return Ok(()),
        };
        let mut change_rate = replica.change_rate.clone();
        change_rate.add(now, rewritten, deleted);
        let mass_change = change_rate.mass_change(now, 0, 0, replica.links.len());
        let mass_change = mass_change
            .map(|span| MassChange::noticed(&self.world, device, &change_rate, span, now));
        if let (Doing::Deleted, Some(had)) = (did, had) {
            self.forget_deleted(device, Span::Day, now);
            if let Some(replica) = self.world.replicas.get_mut(device) {
                replica.deleted.insert(path.clone(), (now, had.id.ino));
            }
        }
        self.remember(&Fact::ChangeRate(device.clone(), change_rate))?;
        match mass_change {
            Some(mass_change) if !self.is_in_mass_change(device) => self.hold(device, mass_change),
            _ => Ok(()),
        }
    }

    /// True when the device rewrote the same name within the hour before: what it wrote then is the newest
    /// old content of the master, so that nothing more is lost of what was there before.
    fn rewrote_lately(&self, device: &Holder, path: &RelPath, now: Time) -> bool {
        let Some(home) = self.world.home_of(device, path) else { return false };
        // This time's is among them.
        let lately = self.world.versions.values().rev();
        let lately = lately.take_while(|v| age(&self.world, v.at, now) < Span::Hour.length());
        let by_it = |v: &&Version| v.path == home && v.why == Why::Edited(device.clone());
        lately.filter(by_it).nth(1).is_some()
    }

    /// A mass change was answered: whatever of it is left is looked at as ever.
    pub(super) fn calm_down(&mut self, device: &Holder) -> Result<(), EngineError> {
        let spoken_of = self.world.versions.last_key_value().map_or(0, |(number, _)| number + 1);
        let Some(replica) = self.world.replicas.get_mut(device) else { return Ok(()) };
        replica.deleted.clear();
        for path in std::mem::take(&mut replica.held).into_keys() {
            self.dirty.entry((device.clone(), path)).or_insert(0);
        }
        let mut change_rate = replica.change_rate.clone();
        change_rate.spoken_of = spoken_of;
        self.remember(&Fact::ChangeRate(device.clone(), change_rate))
    }

    /// Tells the owner of a mass change, or that it is over.
    pub(super) fn tell_mass_change(&mut self, device: &Holder, now: Time) {
        let key = format!("storm {device}");
        let Some(replica) = self.world.replicas.get(device).filter(|h| h.mass_change.is_some())
        else {
            self.clear_notice(&key);
            return;
        };
        let (rewritten, deleted, created) = extent(replica);
        let label = self.config.label(device);
        let what = format!(
            "{label} changed {} and deleted {}, much more than ever before in so short a time ({} \
             new); since that was noticed nothing of it is taken over",
            files(rewritten),
            files(deleted),
            files(created),
        );
        let at = replica.mass_change.map_or(now, |mass_change| mass_change.at);
        let next = "look at that device first; then say on the common page, or on another device's, \
                    whether to let it happen or to keep yours";
        self.raise_notice(&key, Condition::Attention, at, what, next);
    }

    /// The mass changes for the pages.
    pub(super) fn mass_change_views(&self) -> Vec<MassChangeView> {
        let storming = self.holders().into_iter().filter_map(|device| {
            let replica = self.world.replicas.get(&device)?;
            Some((device, replica, replica.mass_change?))
        });
        storming
            .map(|(device, replica, mass_change)| {
                let (rewritten, deleted, created) = extent(replica);
                let some = replica.held.keys().take(SHOWN).cloned().collect();
                MassChangeView { device, at: mass_change.at, rewritten, deleted, created, some }
            })
            .collect()
    }

    /// The operations of a look, and what they count for.
    pub(super) fn what_it_did(
        &self,
        device: &Holder,
        path: &RelPath,
        seen: Option<&Stat>,
        ops: &[Op],
    ) -> Doing {
        if ops.is_empty() {
            return Doing::Nothing;
        }
        self.doing(device, path, seen)
    }
}

fn files(n: u32) -> String {
    if n == 1 { "1 file".into() } else { format!("{n} files") }
}
