//! What is not believed yet: absences that have to settle, devices that lost too much at once.

use super::{Engine, MASS};
use crate::model::{Holder, RelPath, Stat, Time};
use crate::plan::{LinkName, moved_masters};
use crate::status::Condition;
use std::collections::HashMap;

/// How often, in seconds, what could not be taken in or looked at is tried again.
pub(super) const STUCK: i64 = 60;
/// For so many seconds a name at home is new: by then a link whose master is gone has settled.
const APPEARED: i64 = 600;

impl Engine {
    /// True when so many of a device's links vanished at once that the owner is asked first.
    pub(super) fn is_held(&self, device: &Holder) -> bool {
        self.is_in_mass_change(device) || self.has_vanished(device)
    }

    pub(super) fn has_vanished(&self, device: &Holder) -> bool {
        self.world.replicas.get(device).is_some_and(|h| {
            let mass = h.absent.len() > MASS && h.absent.len() * 5 > h.links.len();
            mass || (self.vanished_roots.contains(device) && !h.absent.is_empty())
        })
    }

    /// Where the masters went that links have missed for long enough: one walk for all of them.
    pub(super) fn moved(&mut self, now: Time) -> HashMap<LinkName, RelPath> {
        if self.orphan_links.is_empty() {
            self.recent_names.retain(|_, since| (0..APPEARED).contains(&now.since(*since)));
            return HashMap::new();
        }
        let settled =
            self.orphan_links.iter().filter(|(_, since)| now.since(**since) >= self.settle);
        let links = settled.filter_map(|(key, _)| {
            let link = self.world.replicas.get(&key.0)?.links.get(&key.1)?;
            Some((key.clone(), link.id.ino))
        });
        let recent_names = |at: &RelPath| self.recent_names.contains_key(at);
        moved_masters(&self.world, &links.collect::<Vec<_>>(), recent_names)
    }

    /// A name at home means another inode than before. Of one that has other names it may be where a link went.
    pub(super) fn see_appear(&mut self, path: &RelPath, stat: &Stat, now: Time) {
        if stat.nlink > 1 {
            self.recent_names.insert(path.clone(), now);
        }
    }

    /// What has settled is looked at again.
    pub(super) fn wake_settled(&mut self, now: Time) {
        self.tell_unseen(now);
        let mut due = Vec::new();
        for device in self.holders() {
            let held = self.is_held(&device);
            self.tell_held(&device, held && !self.is_in_mass_change(&device), now);
            self.tell_mass_change(&device, now);
            let Some(replica) = self.world.replicas.get(&device) else { continue };
            if !held {
                let settled =
                    replica.absent.iter().filter(|(_, at)| now.since(**at) >= self.settle);
                // Without the carrier's word another look tells nothing new, and what is stuck has its own time: or
                // more of them than one go takes would be looked at for ever.
                let keys = settled.map(|(path, _)| (device.clone(), path.clone()));
                due.extend(keys.filter(|key| {
                    self.confirmed(&key.0, &key.1) && !self.failed.contains_key(key)
                }));
            }
        }
        let orphan_links =
            self.orphan_links.iter().filter(|(_, since)| now.since(**since) >= self.settle);
        due.extend(orphan_links.map(|(key, _)| key.clone()));
        // What was in the way may be gone.
        for (key, (tried, _)) in &mut self.failed {
            if !(0..STUCK).contains(&now.since(*tried)) {
                *tried = now;
                due.push(key.clone());
            }
        }
        for key in due {
            self.dirty.entry(key).or_insert(0);
        }
    }

    fn tell_held(&mut self, device: &Holder, held: bool, now: Time) {
        let key = format!("held {device}");
        if !held {
            self.clear_notice(&key);
            return;
        }
        let (gone, all) =
            self.world.replicas.get(device).map_or((0, 0), |h| (h.absent.len(), h.links.len()));
        let on = device.preposition();
        let what = format!("{gone} of the {all} files {on} {device} vanished at once");
        let next =
            "nothing was forgotten: say on the common page whether to forget them or put them back";
        self.raise_notice(&key, Condition::Attention, now, what, next);
    }

    /// Seconds until something settles.
    pub(super) fn next_deadline(&self, now: Time) -> Option<i64> {
        let absent = self
            .world
            .replicas
            .iter()
            .filter(|(device, _)| !self.is_held(device) && self.looks_after(device))
            .flat_map(|(_, h)| h.absent.values());
        let settling = absent.chain(self.orphan_links.values()).min();
        let settled = settling.map(|since| (self.settle - now.since(*since)).max(1));
        let of_age = self.weigh.map(|from| from.since(now)).filter(|seconds| *seconds > 0);
        settled.into_iter().chain(of_age).min()
    }
}
