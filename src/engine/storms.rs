//! The storm guard in the engine: counts what devices do, and holds it when it is too much.

use super::look::LOOKS;
use super::{Engine, EngineError};
use crate::catalogue::StormView;
use crate::fs::FsError;
use crate::model::{DeviceName, Link, RelPath, Stat, Time};
use crate::plan::{
    Doing, Fact, Op, Span, Storm, Version, Why, age, doing, extent, in_disguise, is_disguised, on,
    versions,
};
use crate::status::Condition;
use std::collections::BTreeMap;

/// So many names of what is held are on the pages.
const SHOWN: usize = 12;

impl Engine {
    /// True while the owner has not said what to make of all that a device does.
    pub(super) fn is_storming(&self, device: &DeviceName) -> bool {
        self.world.devices.get(device).is_some_and(|h| h.storm.is_some())
    }

    /// True while any storm waits for an answer: old contents are kept so long.
    pub(super) fn any_storm(&self) -> bool {
        versions::storm_since(&self.world, &self.config).is_some()
    }

    /// Looks ahead at what is looked at next: when that is a storm by itself, none of it is taken in.
    pub(super) fn foresee_storms(&mut self, now: Time) -> Result<(), EngineError> {
        // What it has, and what is new there; only the first can be rewritten or deleted.
        let mut dirty: BTreeMap<DeviceName, (Vec<RelPath>, Vec<RelPath>)> = BTreeMap::new();
        for (device, path) in self.dirty.keys().take(LOOKS) {
            let Some(holding) = self.world.devices.get(device) else { continue };
            let (known, new) = dirty.entry(device.clone()).or_default();
            if holding.book.get(path).is_some() {
                known.push(path.clone());
            } else if self.home(device, path).is_none() {
                new.push(path.clone());
            }
        }
        for (device, (known, created)) in dirty {
            let Some(holding) = self.world.devices.get(&device) else { continue };
            let most = (known.len() + holding.absent.len()) as u32;
            // Even if every one were rewritten it would be none: no need to look twice.
            let calm = holding.pace.storm(now, most, 0, holding.book.len()).is_none();
            if holding.storm.is_some() || calm {
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
            let Some(holding) = self.world.devices.get(&device) else { continue };
            deleted.retain(|path| !holding.absent.contains_key(path));
            let gone = deleted.iter().chain(holding.absent.keys());
            let hour = now.plus_secs(-Span::Hour.length());
            let (taken, rest): (Vec<_>, Vec<_>) =
                gone.partition(|path| is_disguised(holding, path, hour));
            let disguised = taken.len() as u32 + in_disguise(rest.into_iter(), created.iter());
            // What is absent and nothing else may come back yet, and is asked about when much vanished.
            let all = holding.book.len();
            if let Some(span) = holding.pace.storm(now, rewritten + disguised, 0, all) {
                let storm = Storm::noticed(&self.world, &device, &holding.pace, span, now);
                self.hold(&device, storm)?;
            }
        }
        Ok(())
    }

    fn doing(&self, device: &DeviceName, path: &RelPath, seen: Option<&Stat>) -> Doing {
        let book = self.world.devices.get(device).and_then(|h| h.book.get(path));
        doing(book, seen, self.home(device, path))
    }

    /// The master that a device's name stands for.
    fn home(&self, device: &DeviceName, path: &RelPath) -> Option<&Stat> {
        self.world.files.get(&self.world.home_of(device, path)?)
    }

    fn hold(&mut self, device: &DeviceName, storm: Storm) -> Result<(), EngineError> {
        log::warn!("{device} changes so much that it is held until somebody says that it may");
        if let Some(holding) = self.world.devices.get_mut(device) {
            // What vanished before was not believed yet, and is a part of it.
            let absent = holding.absent.keys().map(|path| (path.clone(), None));
            holding.held.extend(absent);
        }
        self.forget_deleted(device, storm.span(), storm.at);
        self.remember(&Fact::Storm(device.clone(), storm))
    }

    /// What a device deleted before a span until now is of no storm that is noticed now.
    fn forget_deleted(&mut self, device: &DeviceName, span: Span, now: Time) {
        let Some(holding) = self.world.devices.get_mut(device) else { return };
        let mut deleted = std::mem::take(&mut holding.deleted);
        deleted.retain(|_, (at, _)| age(&self.world, *at, now) < span.length());
        if let Some(holding) = self.world.devices.get_mut(device) {
            holding.deleted = deleted;
        }
    }

    /// Holds what a device did to a name while a storm waits for its answer; `true` when it did
    /// anything.
    pub(super) fn is_held_back(
        &mut self,
        device: &DeviceName,
        path: &RelPath,
        seen: Option<Stat>,
    ) -> bool {
        if !self.is_storming(device) {
            return false;
        }
        let held = self.doing(device, path, seen.as_ref()) != Doing::Nothing;
        let Some(holding) = self.world.devices.get_mut(device) else { return false };
        let before = match held {
            true => holding.held.insert(path.clone(), seen),
            false => holding.held.remove(path),
        };
        self.stale |= held != before.is_some();
        held
    }

    /// Counts what a device did to a name, once it is taken in, and the link that it had there before.
    pub(super) fn count(
        &mut self,
        device: &DeviceName,
        path: &RelPath,
        (did, had): (Doing, Option<Link>),
        now: Time,
    ) -> Result<(), EngineError> {
        let Some(holding) = self.world.devices.get(device) else { return Ok(()) };
        let (rewritten, deleted) = match did {
            Doing::Rewrote if self.rewrote_lately(device, path, now) => return Ok(()),
            Doing::Rewrote => (1, 0),
            Doing::Deleted if is_disguised(holding, path, now.plus_secs(-Span::Hour.length())) => {
                (1, 0)
            }
            Doing::Deleted => (0, 1),
            Doing::Nothing | Doing::Created => return Ok(()),
        };
        let mut pace = holding.pace.clone();
        pace.add(now, rewritten, deleted);
        let storm = pace.storm(now, 0, 0, holding.book.len());
        let storm = storm.map(|span| Storm::noticed(&self.world, device, &pace, span, now));
        if let (Doing::Deleted, Some(had)) = (did, had) {
            self.forget_deleted(device, Span::Day, now);
            if let Some(holding) = self.world.devices.get_mut(device) {
                holding.deleted.insert(path.clone(), (now, had.id.ino));
            }
        }
        self.remember(&Fact::Pace(device.clone(), pace))?;
        match storm {
            Some(storm) if !self.is_storming(device) => self.hold(device, storm),
            _ => Ok(()),
        }
    }

    /// True when the device rewrote the same name within the hour before: what it wrote then is the newest
    /// old content of the master, so that nothing more is lost of what was there before.
    fn rewrote_lately(&self, device: &DeviceName, path: &RelPath, now: Time) -> bool {
        let Some(home) = self.world.home_of(device, path) else { return false };
        // This time's is among them.
        let lately = self.world.versions.values().rev();
        let lately = lately.take_while(|v| age(&self.world, v.at, now) < Span::Hour.length());
        let by_it = |v: &&Version| v.path == home && v.why == Why::Edited(device.clone());
        lately.filter(by_it).nth(1).is_some()
    }

    /// A storm was answered: whatever of it is left is looked at as ever.
    pub(super) fn calm_down(&mut self, device: &DeviceName) -> Result<(), EngineError> {
        let spoken_of = self.world.versions.last_key_value().map_or(0, |(number, _)| number + 1);
        let Some(holding) = self.world.devices.get_mut(device) else { return Ok(()) };
        holding.deleted.clear();
        for path in std::mem::take(&mut holding.held).into_keys() {
            self.dirty.entry((device.clone(), path)).or_insert(0);
        }
        let mut pace = holding.pace.clone();
        pace.spoken_of = spoken_of;
        self.remember(&Fact::Pace(device.clone(), pace))
    }

    /// Tells the owner of a storm, or that it is over.
    pub(super) fn tell_storm(&mut self, device: &DeviceName, now: Time) {
        let key = format!("storm {device}");
        let Some(holding) = self.world.devices.get(device).filter(|h| h.storm.is_some()) else {
            self.untell(&key);
            return;
        };
        let (rewritten, deleted, created) = extent(holding);
        let label = self.config.devices.get(device).map_or(device.as_str(), |d| &d.label);
        let what = format!(
            "{label} changed {} and deleted {}, much more than ever before in so short a time ({} \
             new); since that was noticed nothing of it is taken over",
            files(rewritten),
            files(deleted),
            files(created),
        );
        let at = holding.storm.map_or(now, |storm| storm.at);
        let next = "look at that device first; then say on the common page, or on another device's, \
                    whether to let it happen or to keep yours";
        self.tell(&key, Condition::Attention, at, what, next);
    }

    /// The storms for the pages.
    pub(super) fn storm_views(&self) -> Vec<StormView> {
        let storming = self.holders().into_iter().filter_map(|device| {
            let holding = self.world.devices.get(&device)?;
            Some((device, holding, holding.storm?))
        });
        storming
            .map(|(device, holding, storm)| {
                let (rewritten, deleted, created) = extent(holding);
                let some = holding.held.keys().take(SHOWN).cloned().collect();
                StormView { device, at: storm.at, rewritten, deleted, created, some }
            })
            .collect()
    }

    /// The operations of a look, and what they count for.
    pub(super) fn what_it_did(
        &self,
        device: &DeviceName,
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
