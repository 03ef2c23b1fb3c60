//! Publishing: the pages and the report, from what is known.

use super::{Engine, EngineError};
use crate::apply::PAGE_IN_TRANSIT;
use crate::catalogue::{Answered, DeviceView, Held, PageOf, VersionView, View};
use crate::fs::{Entry, FsError};
use crate::ledger::Ledger;
use crate::model::{
    Action, Answer, Bytes, DeviceName, Holder, Origin, Place, RelPath, Spot, Time, Tree, WishId,
};
use crate::plan::{Replica, Why, offered_on, versions};
use crate::status::machine::Machine;
use crate::status::{Condition, DeviceReport, Report};
use crate::worklist::proof::page_id;

/// So many answers stand on a page.
const ANSWERS: usize = 50;
/// A page drops the wishes that are among the last so many.
const HARVESTED: usize = 1_000;

impl Engine {
    /// Writes the pages that tell something else than they did.
    pub(super) fn publish(&mut self, now: Time) -> Result<(), EngineError> {
        self.space = self.fs.space()?;
        self.know_masters();
        let mut report = self.report();
        let held = self.held();
        let mass_changes = self.mass_change_views();
        // The pages have cards for those that ask, for mass changes and for what vanished.
        let asked = held.iter().map(|h| format!("held {}", h.device));
        let asked = asked.chain(mass_changes.iter().map(|s| format!("storm {}", s.device)));
        for key in asked.chain([super::notices::ASKING.to_owned()]) {
            if let Some(carded) = self.notices.get(&key) {
                report.notices.retain(|notice| notice != carded);
            }
        }
        let none = Replica::default();
        let let_in: Vec<_> = self.devices().into_iter().filter(|d| self.is_let_in(d)).collect();
        let rooms = self.rooms();
        let evicted = self.lately_evicted(now);
        let devices: Vec<DeviceView<'_>> = self
            .config
            .devices
            .iter()
            .map(|(name, settings)| {
                let replica = self.world.device(name).unwrap_or(&none);
                DeviceView {
                    name,
                    label: &settings.label,
                    links: &replica.links,
                    pins: &replica.pins,
                    follows: &replica.follows,
                    live: &replica.live,
                    used: replica.used(),
                    quota: settings.quota,
                    room: rooms.get(name),
                    evicted: evicted.get(name).map_or(&[][..], |e| e),
                    last_seen: self.carrying.last_seen(name),
                    connected: self.carrying.is_connected(name),
                    address: self.carrying.address(name),
                    has_id: settings.id.is_some(),
                    let_in: let_in.contains(name),
                }
            })
            .collect();
        let versions = self.version_views(now);
        let shares = self.share_views();
        let asking = self.asking_views();
        let view = View {
            nas_name: &self.config.nas.name,
            files: &self.world.files,
            devices: &devices,
            report: &report,
            versions: &versions,
            shares: &shares,
            asking: &asking,
            held: &held,
            mass_changes: &mass_changes,
            twins: &self.twins.known,
            undo: self.config.undo,
            now,
        };
        self.encoder.update(&view)?;
        drop(devices);
        self.stale = false;
        self.carrying.stale = false;
        self.carrying.shown = now;
        for origin in self.origins() {
            self.publish_page(&origin, now)?;
        }
        Ok(())
    }

    /// The keys of the devices' pages, by which wishes that come over the network are known. The common page has
    /// none: who sends its wishes proves himself by a session.
    pub fn page_keys(&self) -> Vec<crate::web::PageKey> {
        self.origins()
            .into_iter()
            .filter(|origin| *origin != Origin::Home)
            .filter_map(|origin| {
                let key = self.ledger.meta(&key_name(&origin)).ok()??;
                Some(crate::web::PageKey { page: self.page_id(&origin), key, origin })
            })
            .collect()
    }

    /// The identity of a page.
    pub fn page_id(&self, origin: &Origin) -> String {
        match origin {
            Origin::Home => page_id(&self.epoch, None),
            Origin::Device(device) => page_id(&self.epoch, Some(device.as_str())),
        }
    }

    /// True of the identity of a page of this ledger. Until pages had identities of their own all had that of the
    /// common page.
    pub(super) fn knows_page(&self, page: &str) -> bool {
        let rest = page.strip_prefix(&*self.epoch);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// The key of a device's page, drawn when there is none. It is on the disk before the page is: wishes that are
    /// sealed with a key that a power cut took from us would never count.
    fn page_key(&mut self, origin: &Origin) -> Result<String, EngineError> {
        let name = key_name(origin);
        if let Some(key) = self.ledger.meta(&name)? {
            return Ok(key);
        }
        let key = super::remembered(&mut self.ledger, &name)?;
        self.settle_down()?;
        Ok(key)
    }

    fn publish_page(&mut self, origin: &Origin, now: Time) -> Result<(), EngineError> {
        let device = match origin {
            Origin::Home => None,
            Origin::Device(device) => Some(device),
        };
        let key = match device {
            Some(_) => Some(self.page_key(origin)?),
            None => None,
        };
        let page_id = self.page_id(origin);
        let (answers, harvested) = answers(&self.ledger, origin)?;
        let may = offered_on(&self.config, device);
        let of = PageOf {
            device,
            page_id: &page_id,
            key: key.as_deref(),
            generation: self.generation + 1,
            answers: &answers,
            harvested: &harvested,
            may: &may,
        };
        let page = self.encoder.page(&of)?;
        let fingerprint = page.fingerprint();
        if self.published.get(origin).is_some_and(|(_, old)| *old == fingerprint) {
            return Ok(());
        }
        let content = page.to_bytes();
        self.generation += 1;
        self.ledger.set_meta("generation", &self.generation.to_string())?;
        let folder = Self::page_folder(origin);
        // Below the longest name, whatever the device is called.
        let at = folder.path.join(b"catalogue.html").unwrap_or_default();
        self.put_page(origin, &Place::Catalogue.at(at), &content, fingerprint, now)
    }

    /// Writes a page completely beside the drive's folders, then swaps it in. What it replaces is
    /// looked at: a page that somebody saved in that very moment has wishes in it.
    fn put_page(
        &mut self,
        origin: &Origin,
        at: &Spot,
        content: &[u8],
        fingerprint: u64,
        now: Time,
    ) -> Result<(), EngineError> {
        let transit = page_in_transit(origin);
        let folder = Self::page_folder(origin);
        // One device's page that has no place must not end the writing of all others.
        match self.fs.look(&folder) {
            Ok(None | Some(Entry::Dir)) => {}
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            found => {
                self.published.remove(origin);
                let why = found.err().unwrap_or(FsError::NotRegular { at: folder.clone() });
                self.tell_no_folder(&folder, &why, now);
                return Ok(());
            }
        }
        match self.fs.look(at) {
            Ok(None | Some(Entry::File(_))) => {}
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            found => {
                let why = found.err().unwrap_or(FsError::NotRegular { at: at.clone() });
                return self.tell_no_page(at, &why, now);
            }
        }
        if self.fs.look(&transit)?.is_some() {
            self.fs.unlink(&transit)?;
        }
        self.fs.write_new(&transit, content)?;
        let new = self.fs.stat(&transit)?.ok_or(FsError::Missing { at: transit.clone() })?;
        match self.fs.exchange(&transit, at) {
            Ok(()) => {
                let Some(Entry::File(old)) = self.fs.look(&transit)? else {
                    // Something else was put there just now: it goes back.
                    self.fs.exchange(&transit, at)?;
                    self.fs.unlink(&transit)?;
                    return self.tell_no_page(at, &FsError::NotRegular { at: at.clone() }, now);
                };
                let ours = self.published.get(origin).is_some_and(|(id, _)| *id == old.id);
                if !ours {
                    self.take_in_page(origin, &transit, now)?;
                }
                self.fs.unlink(&transit)?;
            }
            Err(FsError::Missing { .. }) => self.fs.rename(&transit, at)?,
            Err(e) if e.trouble().is_none() => {
                self.fs.unlink(&transit)?;
                return self.tell_no_page(at, &e, now);
            }
            Err(e) => return Err(e.into()),
        }
        self.clear_notice(&format!("page {at}"));
        self.published.insert(origin.clone(), (new.id, fingerprint));
        self.note_page(at);
        Ok(())
    }

    /// Tells that a page's folder is something else, until it is found to be a folder.
    pub(super) fn tell_no_folder(&mut self, folder: &Spot, why: &FsError, now: Time) {
        let what = match why {
            FsError::NotRegular { .. } => format!("{folder} is no folder"),
            why => why.to_string(),
        };
        self.tell_unwritten(&format!("folder {folder}"), &what, now);
    }

    fn tell_no_page(&mut self, at: &Spot, why: &FsError, now: Time) -> Result<(), EngineError> {
        let what = match why {
            FsError::NotRegular { .. } => format!("{at} is not a file"),
            why => why.to_string(),
        };
        self.tell_unwritten(&format!("page {at}"), &what, now);
        Ok(())
    }

    fn tell_unwritten(&mut self, key: &str, why: &str, now: Time) {
        let (what, next) = why.split_once("; ").unwrap_or((why, "move what is there elsewhere"));
        let what = format!("{what}, so the page can't be written");
        self.raise_notice(key, Condition::Attention, now, what, next);
    }

    /// A cut may have come right after a page was exchanged: what it replaced, with the wishes that
    /// somebody saved in that moment, is still in transit.
    pub(super) fn finish_pages(&mut self, now: Time) -> Result<(), EngineError> {
        let tmp = Place::Tmp.at(RelPath::root());
        for (name, entry) in self.fs.list(&tmp)?.unwrap_or_default() {
            let Some(origin) = origin_in_transit(&name) else { continue };
            let transit = page_in_transit(&origin);
            match entry {
                Entry::File(_) => {
                    self.take_in_page(&origin, &transit, now)?;
                    self.fs.unlink(&transit)?;
                }
                Entry::Other => self.fs.unlink(&transit)?,
                Entry::Elsewhere => {}
                Entry::Dir => {
                    self.fs.remove_dir(&transit)?;
                }
            }
        }
        Ok(())
    }

    fn version_views(&self, now: Time) -> Vec<VersionView> {
        let newest_first = self.world.versions.iter().rev();
        newest_first
            .map(|(number, v)| VersionView {
                id: *number,
                path: v.path.clone(),
                at: v.at,
                size: Bytes(v.id.size),
                until: versions::until(&self.world, &self.config, v, now),
                why: match &v.why {
                    Why::Edited(who) => {
                        format!("changed {} {}", who.preposition(), self.config.label(who))
                    }
                    Why::Replaced => "replaced at home".into(),
                    Why::Destroyed => "destroyed".into(),
                    Why::Undone => "an older version was brought back".into(),
                    Why::Stormed(who) | Why::Overwrote(who) => {
                        format!("not wanted from {}", self.config.label(who))
                    }
                    Why::Rescued => "found after a power cut".into(),
                },
            })
            .collect()
    }

    fn held(&self) -> Vec<Held> {
        let held = |device: &Holder| self.has_vanished(device) && !self.is_in_mass_change(device);
        let holders = self.holders().into_iter().filter(held);
        holders
            .filter_map(|device| {
                let absent = &self.world.replicas.get(&device)?.absent;
                let mut path = absent.keys().next()?.parent()?;
                while !absent.keys().all(|p| p.is_within(&path)) {
                    path = path.parent()?;
                }
                let path = self.world.home_of(&device, &path)?;
                Some(Held { device, path, files: absent.len() as u64 })
            })
            .collect()
    }

    /// Adds up the bytes of all masters. Not for every report: of a million files that takes a Pi half
    /// a second.
    pub(super) fn weigh_masters(&mut self) {
        let mut bytes = 0;
        self.world.files.for_each(Tree::<crate::model::Stat>::ROOT, |_, s| bytes += s.id.size);
        self.weight = Bytes(bytes);
    }

    /// Says where the common page is served on the local network.
    pub fn served_at(&mut self, address: Option<String>) {
        self.stale |= self.address != address;
        self.address = address;
    }

    /// Says how the hardware fares. The pages tell it when they are written for something else.
    pub fn runs_on(&mut self, machine: Machine) {
        self.machine = machine;
    }

    /// The state of the house.
    pub fn report(&self) -> Report {
        let devices = self.config.devices.iter().map(|(name, settings)| {
            let replica = self.world.device(name);
            DeviceReport {
                name: name.clone(),
                label: settings.label.clone(),
                used: replica.map_or(Bytes(0), Replica::used),
                quota: settings.quota,
                files: replica.map_or(0, |h| h.links.len() as u64),
                last_seen: self.carrying.last_seen(name),
                let_in: self.is_let_in(name),
            }
        });
        let moving = match (self.carrying.moving, self.night.is_working()) {
            (true, _) => Condition::Syncing,
            (false, true) => Condition::Working,
            (false, false) => Condition::Ready,
        };
        let mut notices: Vec<_> = self.notices.values().cloned().collect();
        notices.sort_by_key(|n| std::cmp::Reverse((n.condition, n.at)));
        Report {
            condition: notices.first().map_or(Condition::Ready, |n| n.condition).max(moving),
            version: env!("CARGO_PKG_VERSION").into(),
            address: self.address.clone(),
            number: None,
            door: crate::status::Door::default(),
            device_id: self.carrying.identity.clone(),
            drive: format!("{} free of {}", self.space.free, self.space.total),
            drive_failed: false,
            space: Some((self.space.free, self.space.total)),
            files: (self.world.files.len() as u64, self.weight),
            devices: devices.collect(),
            notices,
            machine: self.machine.clone(),
        }
    }
}

/// Where a page is while it is exchanged: the name says whose it is.
fn page_in_transit(origin: &Origin) -> Spot {
    let name = match origin {
        Origin::Home => PAGE_IN_TRANSIT.to_owned(),
        Origin::Device(device) => format!("{PAGE_IN_TRANSIT}{device}"),
    };
    // A device's name has the form of a name in a path.
    Place::Tmp.at(RelPath::new(name.as_bytes()).unwrap_or_default())
}

fn origin_in_transit(name: &[u8]) -> Option<Origin> {
    match std::str::from_utf8(name).ok()?.strip_prefix(PAGE_IN_TRANSIT)? {
        "" => Some(Origin::Home),
        device => DeviceName::new(device).ok().map(Origin::Device),
    }
}

fn answers(ledger: &Ledger, origin: &Origin) -> Result<(Vec<Answered>, Vec<WishId>), EngineError> {
    let last = ledger.answers(origin, HARVESTED)?;
    let harvested = last.iter().map(|a| a.id).collect();
    let answers = last.into_iter().take(ANSWERS).map(|a| Answered {
        id: a.id,
        action: Action::parse(&a.action),
        path: a.path,
        answer: a.answer.unwrap_or_else(|| Answer::Waiting("its turn".into())),
        at: a.at,
    });
    Ok((answers.collect(), harvested))
}

/// The ledger's name for the key of a page.
pub(super) fn key_name(origin: &Origin) -> String {
    match origin {
        Origin::Home => "key:".to_owned(),
        Origin::Device(device) => format!("key:{device}"),
    }
}
