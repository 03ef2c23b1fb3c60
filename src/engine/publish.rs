//! Publishing: the pages and the report, from what is known.

use super::{Engine, EngineError};
use crate::apply::PAGE_IN_TRANSIT;
use crate::catalogue::{Answered, DeviceView, Held, PageOf, VersionView, View};
use crate::fs::{Entry, FsError};
use crate::ledger::Ledger;
use crate::model::{
    Action, Answer, Bytes, DeviceName, Origin, Place, RelPath, Spot, Time, Tree, WishId,
};
use crate::plan::{Holding, OFFERED, Why, versions};
use crate::status::{Condition, DeviceReport, Report};
use std::collections::BTreeSet;

/// So many answers stand on a page.
const ANSWERS: usize = 50;
/// A page drops the wishes that are among the last so many.
const HARVESTED: usize = 1_000;

impl Engine {
    /// Writes the pages that tell something else than they did.
    pub(super) fn publish(&mut self, now: Time) -> Result<(), EngineError> {
        self.space = self.fs.space()?;
        self.know_masters();
        let mut report = self.make_report();
        let held = self.held();
        let storms = self.storm_views();
        // The pages have cards for those that ask, for storms and for what vanished.
        let asked = held.iter().map(|h| format!("held {}", h.device));
        let asked = asked.chain(storms.iter().map(|s| format!("storm {}", s.device)));
        for key in asked.chain([super::devices::ASKING.to_owned()]) {
            if let Some(carded) = self.notices.get(&key) {
                report.notices.retain(|notice| notice != carded);
            }
        }
        let none = Holding::default();
        let let_in: Vec<_> = self.devices().into_iter().filter(|d| self.is_let_in(d)).collect();
        let rooms = self.rooms();
        let evicted = self.lately_evicted(now);
        let devices: Vec<DeviceView<'_>> = self
            .config
            .devices
            .iter()
            .map(|(name, settings)| {
                let holding = self.world.devices.get(name).unwrap_or(&none);
                DeviceView {
                    name,
                    label: &settings.label,
                    book: &holding.book,
                    pins: &holding.pins,
                    follows: &holding.follows,
                    live: &holding.live,
                    used: holding.used(),
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
            storms: &storms,
            twins: &self.twins.known,
            undo: self.config.undo,
            now,
        };
        self.encoder.update(&view)?;
        drop(devices);
        self.stale = false;
        self.carrying.stale = false;
        self.carrying.shown = now;
        let origins = self.origins();
        self.keep_keys(&origins)?;
        for origin in origins {
            self.publish_page(&origin, now)?;
        }
        Ok(())
    }

    /// A page's key is on the disk before the page that has it: after a cut nobody knows a page's wishes otherwise.
    fn keep_keys(&mut self, origins: &BTreeSet<Origin>) -> Result<(), EngineError> {
        let mut is_new = false;
        for origin in origins {
            let name = key_name(origin);
            is_new |= self.ledger.meta(&name)?.is_none();
            super::remembered(&mut self.ledger, &name)?;
        }
        if is_new {
            // Everything else is on the disk when pages are written.
            self.ledger.commit()?;
        }
        Ok(())
    }

    /// The secrets of the pages, by which wishes that come over the network are known.
    pub fn page_keys(&self) -> Vec<crate::web::PageKey> {
        self.origins()
            .into_iter()
            .filter_map(|origin| {
                let key = self.ledger.meta(&key_name(&origin)).ok()??;
                Some(crate::web::PageKey { page: self.epoch.clone(), key, origin })
            })
            .collect()
    }

    fn publish_page(&mut self, origin: &Origin, now: Time) -> Result<(), EngineError> {
        let device = match origin {
            Origin::Home => None,
            Origin::Device(device) => Some(device),
        };
        let key = super::remembered(&mut self.ledger, &key_name(origin))?;
        let (answers, harvested) = answers(&self.ledger, origin)?;
        let may: Vec<Action> = match device.and_then(|d| self.config.devices.get(d)) {
            Some(settings) => {
                OFFERED.iter().copied().filter(|a| settings.may.contains(a)).collect()
            }
            None => OFFERED.to_vec(),
        };
        let of = PageOf {
            device,
            page_id: &self.epoch,
            key: &key,
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
        if matches!(self.fs.look(&folder), Ok(Some(Entry::File(_) | Entry::Other))) {
            self.published.remove(origin);
            self.tell_no_folder(&folder, now);
            return Ok(());
        }
        if matches!(self.fs.look(at), Ok(Some(Entry::Dir | Entry::Other))) {
            return self.tell_no_page(at, now);
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
                    return self.tell_no_page(at, now);
                };
                let ours = self.published.get(origin).is_some_and(|(id, _)| *id == old.id);
                if !ours {
                    self.take_in_page(origin, &transit, now)?;
                }
                self.fs.unlink(&transit)?;
            }
            Err(FsError::Missing { .. }) => self.fs.rename(&transit, at)?,
            Err(FsError::NotRegular { .. }) => {
                self.fs.unlink(&transit)?;
                return self.tell_no_page(at, now);
            }
            Err(e) => return Err(e.into()),
        }
        self.untell(&format!("page {at}"));
        self.published.insert(origin.clone(), (new.id, fingerprint));
        self.note_page(at);
        Ok(())
    }

    /// Tells that a page's folder is something else, until it is found to be a folder.
    pub(super) fn tell_no_folder(&mut self, folder: &Spot, now: Time) {
        let what = format!("{folder} is no folder, so the page can't be written");
        self.tell(
            &format!("folder {folder}"),
            Condition::Attention,
            now,
            what,
            "remove what is there",
        );
    }

    fn tell_no_page(&mut self, at: &Spot, now: Time) -> Result<(), EngineError> {
        let what = format!("{at} is not a file, so the page can't be written");
        let key = format!("page {at}");
        self.tell(&key, Condition::Attention, now, what, "remove what is there");
        Ok(())
    }

    /// Takes in the wishes of a page that was exchanged for a newer one.
    fn take_in_page(&mut self, origin: &Origin, at: &Spot, now: Time) -> Result<(), EngineError> {
        if let Some(old) = self.fs.read(at, super::wishes::LARGEST_PAGE)?
            && let Ok(list) = crate::worklist::find(&old)
        {
            let list = crate::worklist::parse(list);
            self.receive(origin, &list, now)?;
            self.ledger.commit()?;
        }
        Ok(())
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
                    Why::Edited(device) => match self.config.devices.get(device) {
                        Some(settings) => format!("changed on {}", settings.label),
                        None if device.joined_folder().is_some() => {
                            format!("changed in {device}")
                        }
                        None => format!("changed on {device}"),
                    },
                    Why::Replaced => "replaced at home".into(),
                    Why::Destroyed => "destroyed".into(),
                    Why::Undone => "an older version was brought back".into(),
                    Why::Stormed(device) | Why::Overwrote(device) => {
                        match self.config.devices.get(device) {
                            Some(settings) => format!("not wanted from {}", settings.label),
                            None => format!("not wanted from {device}"),
                        }
                    }
                    Why::Rescued => "found after a power cut".into(),
                },
            })
            .collect()
    }

    fn held(&self) -> Vec<Held> {
        let held = |device: &DeviceName| self.has_vanished(device) && !self.is_storming(device);
        let holders = self.holders().into_iter().filter(held);
        holders
            .filter_map(|device| {
                let absent = &self.world.devices.get(&device)?.absent;
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

    pub(super) fn make_report(&self) -> Report {
        let devices = self.config.devices.iter().map(|(name, settings)| {
            let holding = self.world.devices.get(name);
            DeviceReport {
                name: name.clone(),
                label: settings.label.clone(),
                used: holding.map_or(Bytes(0), Holding::used),
                quota: settings.quota,
                files: holding.map_or(0, |h| h.book.len() as u64),
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
            device_id: self.carrying.identity.clone(),
            drive: format!("{} free of {}", self.space.free, self.space.total),
            drive_failed: false,
            space: Some((self.space.free, self.space.total)),
            files: (self.world.files.len() as u64, self.weight),
            devices: devices.collect(),
            notices,
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
        // A wish that could not be read has no action of ours.
        action: Action::parse(&a.action).unwrap_or(Action::Open),
        path: a.path,
        answer: a.answer.unwrap_or_else(|| Answer::Waiting("its turn".into())),
        at: a.at,
    });
    Ok((answers.collect(), harvested))
}

/// The ledger's name for the secret of a page.
pub(super) fn key_name(origin: &Origin) -> String {
    match origin {
        Origin::Home => "key:".to_owned(),
        Origin::Device(device) => format!("key:{device}"),
    }
}
