//! Publishing: the pages and the report, from what is known.

use super::{Engine, EngineError};
use crate::catalogue::{Answered, DeviceView, Held, PageOf, VersionView, View};
use crate::fs::FsError;
use crate::ledger::Ledger;
use crate::model::{Action, Answer, Bytes, Origin, Place, RelPath, Spot, Time, Tree, WishId};
use crate::plan::{Holding, OFFERED, Why};
use crate::status::{Condition, DeviceReport, Report};
use std::collections::BTreeMap;

/// So many answers stand on a page.
const ANSWERS: usize = 50;
/// A page drops the wishes that are among the last so many.
const HARVESTED: usize = 1_000;

impl Engine {
    /// Writes the pages that tell something else than they did.
    pub(super) fn publish(&mut self, now: Time) -> Result<(), EngineError> {
        self.space = self.fs.space()?;
        let report = self.make_report();
        let none = Holding::default();
        let live = BTreeMap::new();
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
                    live: &live,
                    used: holding.used(),
                    quota: settings.quota,
                    last_seen: None,
                }
            })
            .collect();
        let versions = self.version_views();
        let held = self.held();
        let view = View {
            nas_name: &self.config.nas.name,
            files: &self.world.files,
            devices: &devices,
            report: &report,
            versions: &versions,
            shares: &[],
            held: &held,
            undo: self.config.undo,
            now,
        };
        self.encoder.update(&view)?;
        drop(devices);
        self.stale = false;
        for origin in self.origins() {
            self.publish_page(&origin, now)?;
        }
        Ok(())
    }

    fn publish_page(&mut self, origin: &Origin, now: Time) -> Result<(), EngineError> {
        let (device, key_name) = match origin {
            Origin::Home => (None, "key:".to_owned()),
            Origin::Device(device) => (Some(device), format!("key:{device}")),
        };
        let key = super::remembered(&mut self.ledger, &key_name)?;
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
        let transit = Place::Tmp.at(RelPath::new(b"page").unwrap_or_default());
        if self.fs.look(&transit)?.is_some() {
            self.fs.unlink(&transit)?;
        }
        self.fs.write_new(&transit, content)?;
        let new = self.fs.stat(&transit)?.ok_or(FsError::Missing { at: transit.clone() })?;
        match self.fs.exchange(&transit, at) {
            Ok(()) => {
                let old = self.fs.stat(&transit)?;
                let ours = self.published.get(origin).map(|(id, _)| *id) == old.map(|o| o.id);
                if !ours
                    && let Some(old) = self.fs.read(&transit, super::wishes::LARGEST_PAGE)?
                    && let Ok(list) = crate::worklist::find(&old)
                {
                    let list = crate::worklist::parse(list);
                    self.receive(origin, &list, now)?;
                    self.ledger.commit()?;
                }
                self.fs.unlink(&transit)?;
            }
            Err(FsError::Missing { .. }) => self.fs.rename(&transit, at)?,
            Err(FsError::NotRegular { .. }) => {
                self.fs.unlink(&transit)?;
                let what = format!("{at} is not a file, so the page can't be written");
                self.tell("page", Condition::Attention, now, what, "remove what is there");
                return Ok(());
            }
            Err(e) => return Err(e.into()),
        }
        self.published.insert(origin.clone(), (new.id, fingerprint));
        Ok(())
    }

    fn version_views(&self) -> Vec<VersionView> {
        let newest_first = self.world.versions.iter().rev();
        newest_first
            .map(|(number, v)| VersionView {
                id: *number,
                path: v.path.clone(),
                at: v.at,
                size: Bytes(v.id.size),
                why: match &v.why {
                    Why::Edited(device) => match self.config.devices.get(device) {
                        Some(settings) => format!("changed on {}", settings.label),
                        None => format!("changed on {device}"),
                    },
                    Why::Replaced => "replaced at home".into(),
                    Why::Destroyed => "destroyed".into(),
                    Why::Undone => "an older version was brought back".into(),
                    Why::Rescued => "found after a power cut".into(),
                },
            })
            .collect()
    }

    fn held(&self) -> Vec<Held> {
        let held = |device: &&crate::model::DeviceName| self.is_held(device);
        let devices = self.config.devices.keys().filter(held);
        devices
            .filter_map(|device| {
                let absent = &self.world.devices.get(device)?.absent;
                let mut path = absent.keys().next()?.parent()?;
                while !absent.keys().all(|p| p.is_within(&path)) {
                    path = path.parent()?;
                }
                Some(Held { device: device.clone(), path, files: absent.len() as u64 })
            })
            .collect()
    }

    pub(super) fn make_report(&self) -> Report {
        let mut bytes = 0;
        self.world.files.for_each(Tree::<crate::model::Stat>::ROOT, |_, s| bytes += s.id.size);
        let devices = self.config.devices.iter().map(|(name, settings)| {
            let holding = self.world.devices.get(name);
            DeviceReport {
                name: name.clone(),
                label: settings.label.clone(),
                used: holding.map_or(Bytes(0), Holding::used),
                quota: settings.quota,
                files: holding.map_or(0, |h| h.book.len() as u64),
                last_seen: None,
            }
        });
        let mut notices: Vec<_> = self.notices.values().cloned().collect();
        notices.sort_by_key(|n| std::cmp::Reverse((n.condition, n.at)));
        Report {
            condition: notices.first().map_or(Condition::Ready, |n| n.condition),
            version: env!("CARGO_PKG_VERSION").into(),
            address: None,
            device_id: None,
            drive: format!("{} free of {}", self.space.free, self.space.total),
            space: Some((self.space.free, self.space.total)),
            files: (self.world.files.len() as u64, Bytes(bytes)),
            devices: devices.collect(),
            notices,
        }
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
