//! What follows from a look at names of a device: planned one by one, and done.

use super::{Engine, EngineError, TRIES};
use crate::fs::FsError;
use crate::model::{Holder, RelPath, Time};
use crate::plan::{LinkName, NotYet, Observation, master, on, reconcile, stale_link};
use std::collections::HashMap;

impl Engine {
    /// Works off the names to look at; `true` when some are left for the next turn.
    pub(super) fn reconcile(&mut self, now: Time) -> Result<bool, EngineError> {
        self.wake_settled(now);
        self.hear_out();
        let mut looks = 0;
        let moved = self.moved(now);
        self.foresee_mass_changes(now)?;
        self.follow_renamed(&moved, now)?;
        // Those that a change made dirty again are looked at in the next turn.
        for ((device, path), tries) in std::mem::take(&mut self.dirty) {
            looks += 1;
            if looks > self.looks {
                self.dirty.insert((device, path), tries);
                continue;
            }
            self.met = None;
            let done = self.reconcile_one(&device, &path, &moved, now)?;
            if done {
                self.failed.remove(&(device, path));
            } else if tries + 1 < TRIES {
                self.dirty.insert((device, path), tries + 1);
            } else {
                let why = self.met.take().map(|met| met.what);
                self.failed.insert((device, path), (now, why));
            }
        }
        self.tell_stuck(now);
        // Whose folder was gone and who misses nothing any more is like the others again.
        let (world, dirty) = (&self.world, &self.dirty);
        self.vanished_roots.retain(|device| {
            let absent = world.replicas.get(device).is_some_and(|h| !h.absent.is_empty());
            absent || dirty.keys().any(|(d, _)| d == device)
        });
        Ok(looks > self.looks)
    }

    /// Looks at one name of a device and does what follows. `false`: it moved under our hands.
    fn reconcile_one(
        &mut self,
        device: &Holder,
        path: &RelPath,
        moved: &HashMap<LinkName, RelPath>,
        now: Time,
    ) -> Result<bool, EngineError> {
        // A folder of other people may be over by now.
        let Some(at_home) = self.world.home_of(device, path).filter(|_| self.looks_after(device))
        else {
            return Ok(true);
        };
        let seen = match self.fs.stat(&on(device, path)) {
            Ok(seen) => seen,
            // A folder, a symbolic link or a pipe: no file of ours.
            Err(FsError::NotRegular { .. }) => None,
            // Hidden is not gone. That it is hidden is told.
            Err(FsError::OtherFileSystem { .. }) => return Ok(true),
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            Err(e) => {
                self.meet(&e);
                return Ok(false);
            }
        };
        // What we believe of the master has to be as fresh as what we see of the link.
        let home = match self.fs.stat(&master(&at_home)) {
            Ok(home) => home,
            Err(FsError::NotRegular { .. }) => None,
            Err(FsError::OtherFileSystem { .. }) => {
                self.note_one_elsewhere(&at_home);
                None
            }
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            Err(e) => {
                self.meet(&e);
                // That it can't be looked at does not mean that it is gone.
                self.unreadable_files.insert(at_home, (now, e.to_string()));
                return Ok(false);
            }
        };
        let known = self.world.files.get(&at_home).map(|m| m.id);
        if home.map(|m| m.id) != known {
            if let (Some(stat), Some(known)) = (home, known)
                && stat.id.ino == known.ino
            {
                self.see_changed(&at_home, &stat);
            }
            match home {
                Some(stat) => self.world.files.insert(&at_home, stat),
                None => self.world.files.remove(&at_home),
            };
            self.touch(&at_home);
            self.stale = true;
        }
        let Some(replica) = self.world.replicas.get_mut(device) else { return Ok(true) };
        let booked = replica.links.get(path).copied();
        let key = (device.clone(), path.clone());
        self.stale_links.remove(&key);
        let settled = match (seen, booked) {
            (None, Some(_)) => {
                let since = *replica.absent.entry(path.clone()).or_insert(now);
                // Of other people even what is confirmed has to settle: so it shows how much it is.
                let at_once = device.shared_folder().is_none() && self.was_deleted(device, path);
                let settled = now.since(since) >= self.settle || at_once;
                settled && self.confirmed(device, path) && !self.is_held(device)
            }
            (Some(seen), Some(link)) if home.is_none() && link.id.ino == seen.id.ino => {
                replica.absent.remove(path);
                let since = *self.orphan_links.entry(key.clone()).or_insert(now);
                now.since(since) >= self.settle
            }
            _ => {
                replica.absent.remove(path);
                self.orphan_links.remove(&key);
                // What is there again is not deleted, whatever was said of it before.
                self.carrying.deleted.remove(&key);
                true
            }
        };
        if self.is_held_back(device, path, seen) {
            return Ok(true);
        }
        let quota = self.config.quota(device);
        let observation =
            Observation { device, path, seen, settled, moved: moved.get(&key), quota, now };
        let ops = match reconcile(&self.world, &observation) {
            Ok(ops) => ops,
            Err(NotYet::Settling) => return Ok(true),
            Err(NotYet::Untold) => {
                self.wait_for_word(key);
                return Ok(true);
            }
        };
        self.orphan_links.remove(&key);
        if ops.is_empty() && seen.is_some() && stale_link(&self.world, device, path).is_some() {
            self.stale_links.insert(key);
        }
        let did = self.what_it_did(device, path, seen.as_ref(), &ops);
        for op in &ops {
            if !self.act(op, now)? {
                return Ok(false);
            }
        }
        self.count(device, path, (did, booked), now)?;
        self.tell_what_happened(device, path, &ops);
        Ok(true)
    }
}
