//! What the engine and whatever carries the bytes tell each other, in the engine's own words: it knows
//! devices and paths, no sync engine's ids.
//!
//! Outward: which names changed, so that they are looked at now instead of when a watcher finds
//! them. Inward: how far links are at their devices, who is there, and whether an absence is a
//! deletion. Without a carrier everything that is linked counts as there, and absences only settle.

use super::{Engine, EngineError};
use crate::model::{DeviceName, Holder, Live, Place, RelPath, Spot, Time};
use crate::plan::{Asking, Fact, LinkName};
use crate::status::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// News from the carrier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// It runs; our own id, as text to pair with.
    Up {
        /// The id, where there is one.
        identity: Option<String>,
    },
    /// Links on their way: per cent of each.
    Progress(Holder, Vec<(RelPath, u8)>),
    /// Links that the device has.
    Here(Holder, Vec<RelPath>),
    /// A device is there, or not; when it was last.
    Seen {
        /// Which.
        device: DeviceName,
        /// It is connected.
        up: bool,
        /// When it last was.
        last: Option<Time>,
        /// From where it is connected.
        address: Option<String>,
    },
    /// A device deleted this file itself: its absence is believed.
    Deleted(Holder, RelPath),
    /// Something happened to this name on the drive.
    Changed(Spot),
    /// Bytes flow, or not.
    Moving(bool),
    /// Files that a device lacks, of which nobody may have known that they are on their way.
    Lacking(Holder, Vec<RelPath>),
    /// It was waited long enough for word of what is on its way to a device: room is made without it.
    Silent(Holder),
    /// Something may have been missed of what is on its way. What happened on the drive was seen
    /// by the watch all the same.
    Lost,
    /// Something is wrong with it, and what to do.
    Trouble(String, String),
    /// Nothing is wrong any more.
    Well,
    /// Unknown devices that ask to be let in: all of them.
    Asking(Vec<Asking>),
    /// Folders of which the sync engine's marker is gone, so that it carries nothing there: all of them.
    Unmarked(BTreeSet<Spot>),
}

/// What is known of the carrying.
#[derive(Debug, Default)]
pub(super) struct Carrying {
    /// Those that somebody carries to, who can be asked about absences.
    pub(super) served: BTreeSet<Holder>,
    pub(super) identity: Option<String>,
    pub(super) moving: bool,
    pub(super) seen: BTreeMap<DeviceName, Presence>,
    /// When something last went on with what is on its way to a device.
    pub(super) went_on: BTreeMap<Holder, Time>,
    /// Absences that are deletions, by the word of the device.
    pub(super) deleted: BTreeSet<LinkName>,
    /// Names for which room can't be made before the carrier told what is on its way.
    roomless: BTreeSet<LinkName>,
    /// Names that we changed and the carrier was not told of yet.
    changed: BTreeSet<Spot>,
    /// The pages do not show yet what is known of the carrying.
    pub(super) stale: bool,
    /// When they were last written.
    pub(super) shown: Time,
}

/// Whether a device is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Presence {
    /// It is connected.
    pub(super) up: bool,
    /// When it last was.
    pub(super) last: Option<Time>,
    /// From where.
    pub(super) address: Option<String>,
}

/// While files are on their way the pages are written once in so many seconds at most, when nothing
/// else is new on them.
const SHOW_EVERY: i64 = 1;

impl Carrying {
    /// When a device was last there.
    pub(super) fn last_seen(&self, device: &DeviceName) -> Option<Time> {
        self.seen.get(device).and_then(|seen| seen.last)
    }

    /// True while a device is there.
    pub(super) fn is_connected(&self, device: &DeviceName) -> bool {
        self.seen.get(device).is_some_and(|seen| seen.up)
    }

    /// From where a device is connected.
    pub(super) fn address(&self, device: &DeviceName) -> Option<&str> {
        self.seen.get(device).filter(|seen| seen.up)?.address.as_deref()
    }

    /// True for whom changes are noted. A shared folder is carried before anybody can join it.
    fn is_carried(&self, holder: &Holder) -> bool {
        self.served.contains(holder) || holder.shared_folder().is_some()
    }

    /// True when it is time to show on the pages what is known of the carrying.
    pub(super) fn is_due(&self, now: Time) -> bool {
        // A clock that was set back must not keep them.
        self.stale && !(0..SHOW_EVERY).contains(&now.since(self.shown))
    }
}

impl Engine {
    /// Says for whom somebody carries the bytes, who can tell deletions from absences.
    pub fn carried(&mut self, holders: impl IntoIterator<Item = Holder>) {
        let served: BTreeSet<Holder> = holders.into_iter().collect();
        if served.is_empty() {
            // Nobody has markers then.
            self.hear_unmarked(BTreeSet::new());
        }
        let before = std::mem::replace(&mut self.carrying.served, served);
        let served = &self.carrying.served;
        for (device, replica) in &mut self.world.replicas {
            if !served.contains(device) {
                replica.live.clear();
                replica.untold = false;
            } else if !before.contains(device) && device.tells_delivery() {
                replica.untold = true;
            }
        }
        for (device, seen) in &mut self.carrying.seen {
            // Of who is served no more nobody tells that he went.
            seen.up &= served.contains(&Holder::Device(device.clone()));
        }
        self.stale = true;
    }

    /// A text that was remembered under a name.
    pub fn recall(&self, name: &str) -> Result<Option<String>, EngineError> {
        Ok(self.ledger.meta(name)?)
    }

    /// Remembers a text under a name; it is on the disk when this returns.
    pub fn keep_in_mind(&mut self, name: &str, text: &str) -> Result<(), EngineError> {
        self.ledger.set_meta(name, text)?;
        Ok(self.ledger.commit()?)
    }

    /// Mentions something on the pages and in STATUS.txt that is no reason for alarm.
    pub fn mention(&mut self, key: &str, at: Time, what: &str, next: &str) {
        self.raise_notice(key, Condition::Ready, at, what, next);
    }

    /// Tells of something outside the drive that the owner has to see to.
    pub fn alert(&mut self, key: &str, at: Time, what: &str, next: &str) {
        self.raise_notice(key, Condition::Attention, at, what, next);
    }

    /// Takes back what was mentioned.
    pub fn unmention(&mut self, key: &str) {
        self.clear_notice(key);
    }

    /// Takes in what the carrier tells.
    pub fn hear(&mut self, news: News, now: Time) -> Result<(), EngineError> {
        let carrying = &mut self.carrying;
        match news {
            News::Up { identity } => {
                carrying.identity = identity;
                self.stale = true;
            }
            News::Progress(device, files) => {
                let Some(replica) = self.world.replicas.get_mut(&device) else { return Ok(()) };
                carrying.went_on.insert(device, now);
                for (path, percent) in files {
                    // Of what arrived or went in the meantime nothing is told any more.
                    if let Some(state) = replica.live.get_mut(&path) {
                        *state = Live::Syncing(percent);
                        carrying.stale = true;
                    }
                }
            }
            News::Lacking(device, paths) => {
                let Some(replica) = self.world.replicas.get_mut(&device) else { return Ok(()) };
                replica.untold = false;
                for path in paths {
                    if replica.links.get(&path).is_some() && !replica.live.contains_key(&path) {
                        carrying.changed.insert(crate::plan::on(&device, &path));
                        replica.live.insert(path, Live::Queued);
                        carrying.stale = true;
                    }
                }
            }
            News::Here(device, paths) => {
                carrying.went_on.insert(device.clone(), now);
                if let Some(replica) = self.world.replicas.get_mut(&device) {
                    paths.iter().for_each(|path| {
                        carrying.stale |= replica.live.remove(path).is_some();
                    });
                }
            }
            News::Seen { device, up, last, address } => {
                let before = carrying.last_seen(&device);
                let seen = Presence { up, last: last.or(before), address };
                if up && !carrying.is_connected(&device) {
                    carrying.went_on.insert(device.clone().into(), now);
                }
                let known = carrying.seen.insert(device, seen.clone());
                carrying.stale |= known != Some(seen);
            }
            News::Deleted(device, path) => {
                self.dirty.entry((device.clone(), path.clone())).or_insert(0);
                carrying.deleted.insert((device, path));
            }
            News::Changed(at) => {
                let mut pending = crate::watch::Pending::default();
                pending.add(&at);
                return self.look(pending, now);
            }
            News::Moving(moving) => carrying.moving = moving,
            News::Silent(device) => {
                log::info!("{device}: the sync engine does not tell what is on its way");
                if let Some(replica) = self.world.replicas.get_mut(&device) {
                    replica.untold = false;
                }
            }
            News::Lost => {
                // Whoever follows them may have lost count: everything is proved anew.
                for (device, replica) in &self.world.replicas {
                    let spots = replica.live.keys().map(|path| crate::plan::on(device, path));
                    carrying.changed.extend(spots);
                }
            }
            News::Trouble(what, next) => {
                self.raise_notice("carrier", Condition::Attention, now, what, next);
            }
            News::Well => self.clear_notice("carrier"),
            News::Asking(asking) => self.hear_asking(asking, now),
            News::Unmarked(all) => self.hear_unmarked(all),
        }
        Ok(())
    }

    /// Notes that room for a name can't be made before the carrier told what is on its way.
    pub(super) fn wait_for_word(&mut self, key: LinkName) {
        self.carrying.roomless.insert(key);
    }

    /// The devices of which it is waited for word of what is on its way. How long that is worth
    /// the while says who has a clock that nobody sets ([`News::Silent`]).
    pub fn untold(&self) -> impl Iterator<Item = &Holder> {
        self.world.replicas.iter().filter(|(_, replica)| replica.untold).map(|(device, _)| device)
    }

    /// Those for which it was waited are looked at again once the carrier told what is on its way, or it is
    /// not waited for that any more.
    pub(super) fn hear_out(&mut self) {
        let (waits, told) = std::mem::take(&mut self.carrying.roomless)
            .into_iter()
            .partition::<BTreeSet<_>, _>(|(device, _)| self.world.is_untold(device));
        self.carrying.roomless = waits;
        for key in told {
            self.dirty.entry(key).or_insert(0);
        }
    }

    /// The names that were changed since the last call, for the carrier to look at.
    pub fn take_changed(&mut self) -> BTreeSet<Spot> {
        std::mem::take(&mut self.carrying.changed)
    }

    /// The absences that a carrier may know something of and that are not known to be deletions,
    /// in order. Of those that are held for the owner's word it need not know anything.
    pub fn absences(&self) -> impl Iterator<Item = (&Holder, &RelPath)> {
        let asking = self.carrying.served.iter().filter(|device| !self.is_held(device));
        let known = asking.filter_map(|d| Some((d, self.world.replicas.get(d)?)));
        known.flat_map(|(d, h)| h.absent.keys().map(move |p| (d, p)))
    }

    /// True while a link is missing and nobody knows whether it was deleted.
    pub fn is_absent(&self, device: &Holder, path: &RelPath) -> bool {
        self.world.replicas.get(device).is_some_and(|h| h.absent.contains_key(path))
    }

    /// How many links are on their way to a device.
    pub fn on_the_way(&self, device: &DeviceName) -> u64 {
        self.world.device(device).map_or(0, |replica| replica.live.len() as u64)
    }

    /// True when an absence on a device may be believed as far as the carrier goes.
    pub(super) fn confirmed(&self, device: &Holder, path: &RelPath) -> bool {
        // Nobody carries to a device without an id: there it is time alone that tells.
        !self.carrying.served.contains(device) || self.was_deleted(device, path)
    }

    /// True when the device itself said that it deleted this.
    pub(super) fn was_deleted(&self, device: &Holder, path: &RelPath) -> bool {
        self.carrying.deleted.contains(&(device.clone(), path.clone()))
    }

    /// Notes for the carrier what a fact changed in a folder that it carries.
    pub(super) fn note_for_carrier(&mut self, fact: &Fact) {
        let (device, path, gone) = match fact {
            Fact::Link(device, path, _) => (device, path, false),
            Fact::NoLink(device, path) => (device, path, true),
            Fact::Shared(path, _) | Fact::NotShared(path) => {
                self.carrying.changed.insert(Place::Shared.at(path.clone()));
                return;
            }
            Fact::Master(path, _) => {
                // A master that changed in place changed every link of it, which no watcher sees.
                let carrying = &mut self.carrying;
                for (holder, path, _) in self.world.links_for(path) {
                    if carrying.is_carried(holder) {
                        carrying.changed.insert(crate::plan::on(holder, &path));
                    }
                }
                return;
            }
            _ => return,
        };
        if !self.carrying.is_carried(device) {
            return;
        }
        self.carrying.changed.insert(crate::plan::on(device, path));
        self.carrying.deleted.remove(&(device.clone(), path.clone()));
        if !device.tells_delivery() {
            return;
        }
        let Some(replica) = self.world.replicas.get_mut(device) else { return };
        if gone {
            replica.live.remove(path);
        } else {
            replica.live.insert(path.clone(), Live::Queued);
        }
    }

    /// Notes for the carrier that a text of ours was written.
    pub(super) fn note_written(&mut self, at: &Spot) {
        self.carrying.changed.insert(at.clone());
    }

    /// Notes for the carrier that a page was written.
    pub(super) fn note_page(&mut self, at: &Spot) {
        if at.place == Place::Catalogue {
            self.carrying.changed.insert(at.clone());
        }
    }
}
