//! The sync engine's markers, as far as the engine knows of them: when one is gone from a folder, nothing is carried to
//! and from there, and it may be made again only when nobody can lose anything by it.
//!
//! Whoever carries resets what he knows of the folder and marks it anew ([`Engine::take_remade`]). That is asked for only
//! when every link stands in the folder as it is in the book; never in an empty or partly empty one, never while it is
//! open what is to become of a mass change: a sync engine that finds an emptied folder marked takes every file for deleted.

use super::{Engine, EngineError};
use crate::fs::Entry;
use crate::model::dialect::STFOLDER;
use crate::model::{DeviceName, FileId, Link, Origin, Place, RelPath, Spot, Stat, Time, Tree};
use crate::plan::on;
use crate::status::Condition;
use std::collections::{BTreeMap, BTreeSet};

/// How often it is looked whether a folder is whole, in seconds.
const LOOK: i64 = 10;
/// Something may be missing for months: all of the folder is looked at after so many seconds at first, then after twice as
/// many each time, and after so many at most. In between it is looked whether the one file is back that was missing.
const SCAN: (i64, i64) = (10, 600);
/// After so many seconds it is asked for once more.
const AGAIN: i64 = 60;

/// What is known of markers.
#[derive(Debug, Default)]
pub(super) struct Markers {
    gone: BTreeMap<Spot, Gone>,
    remade: BTreeSet<Spot>,
}

/// A folder whose marker is gone.
#[derive(Debug, Default)]
struct Gone {
    looked: Option<Time>,
    asked: Option<Time>,
    /// When all of it was last looked at, if something was missing then: what, and how long it is until the next time.
    scanned: Option<(Time, RelPath, i64)>,
}

/// Whether a folder may be marked.
enum Whole {
    /// Everything stands.
    Yes,
    /// Something is being looked at; it is known in a moment.
    Soon,
    /// The owner is asked what is to become of a mass change.
    Open,
    /// This is missing.
    Lacks(RelPath),
    /// Nothing belongs there, and nothing is.
    Empty,
}

impl Engine {
    /// These are the folders whose marker is gone: all of them.
    pub(super) fn hear_unmarked(&mut self, all: BTreeSet<Spot>) {
        let known = std::mem::take(&mut self.markers.gone);
        let (still, back): (BTreeMap<_, _>, BTreeMap<_, _>) =
            known.into_iter().partition(|(at, _)| all.contains(at));
        self.markers.gone = still;
        for at in back.keys() {
            log::info!("{at} is marked again, and the sync engine goes on with it");
            self.clear_notice(&key(at));
        }
        for at in all {
            self.markers.gone.entry(at).or_default();
        }
    }

    /// The folders to be reset and marked anew, since the last call.
    pub fn take_remade(&mut self) -> BTreeSet<Spot> {
        std::mem::take(&mut self.markers.remade)
    }

    /// Looks whether folders may be marked anew, and tells of those that have no marker.
    pub(super) fn tend_markers(&mut self, now: Time) -> Result<(), EngineError> {
        let is_due = |gone: &Gone| due(&gone.looked, LOOK, now) && due(&gone.asked, AGAIN, now);
        let gone = self.markers.gone.iter().filter(|(_, gone)| is_due(gone));
        let gone: Vec<Spot> = gone.map(|(at, _)| at.clone()).collect();
        for at in gone {
            let whole = match self.is_whole_at_a_glance(&at, now)? {
                Some(whole) => whole,
                None => {
                    let whole = self.is_whole(&at)?;
                    self.note_scanned(&at, &whole, now);
                    whole
                }
            };
            if let Some(gone) = self.markers.gone.get_mut(&at) {
                gone.looked = (!matches!(whole, Whole::Soon)).then_some(now);
                if matches!(whole, Whole::Yes) {
                    gone.asked = Some(now);
                    self.markers.remade.insert(at.clone());
                }
            }
            self.tell_unmarked(&at, &whole, now);
        }
        Ok(())
    }

    /// What can be said of a folder without looking at all of it.
    fn is_whole_at_a_glance(&mut self, at: &Spot, now: Time) -> Result<Option<Whole>, EngineError> {
        if at.place == Place::Catalogue {
            return self.is_page_there(at).map(Some);
        }
        let holder = self.world.holder_at(at).map(|(holder, _)| holder);
        if let Some(holder) = &holder {
            if self.is_held(holder) {
                return Ok(Some(Whole::Open));
            }
            if self.dirty.keys().any(|(device, _)| device == holder) {
                return Ok(Some(Whole::Soon));
            }
            let Some(replica) = self.world.replicas.get(holder) else {
                return Ok(Some(Whole::Soon));
            };
            if let Some(path) = replica.absent.keys().next() {
                return Ok(Some(Whole::Lacks(path.clone())));
            }
            if replica.links.is_empty() {
                return Ok(Some(Whole::Empty));
            }
        } else if self.shared_in(at) == 0 {
            return Ok(Some(Whole::Empty));
        }
        let known = self.markers.gone.get(at).and_then(|gone| gone.scanned.clone());
        let Some((scanned, path, wait)) = known else { return Ok(None) };
        let (spot, meant) = match &holder {
            Some(holder) => {
                let links = self.world.replicas.get(holder).map(|replica| &replica.links);
                let link = links.and_then(|links| links.get(&path));
                (on(holder, &path), link.map(|link| link.id.ino))
            }
            None => (
                at.place.clone().at(path.clone()),
                self.world.shared.get(&path).map(|shared| shared.ino),
            ),
        };
        let is_due = due(&Some(scanned), wait, now);
        Ok(match meant.map(|ino| (ino, self.fs.stat(&spot))) {
            Some((_, Err(e))) if e.trouble().is_some() => return Err(e.into()),
            Some((ino, Ok(Some(seen)))) if seen.id.ino == ino => {
                // Back; what else is missing is not known before all is looked at.
                (!is_due).then_some(Whole::Soon)
            }
            Some(_) => Some(Whole::Lacks(path)),
            // A folder that could not be read, or what does not belong there any more.
            None => (!is_due).then_some(Whole::Lacks(path)),
        })
    }

    fn note_scanned(&mut self, at: &Spot, whole: &Whole, now: Time) {
        let Some(gone) = self.markers.gone.get_mut(at) else { return };
        let before = gone.scanned.take().map(|(_, _, wait)| wait);
        if let Whole::Lacks(path) = whole {
            let wait = before.map_or(SCAN.0, |wait| (2 * wait).min(SCAN.1));
            gone.scanned = Some((now, path.clone(), wait));
        }
    }

    /// Looks at all of a folder.
    fn is_whole(&mut self, at: &Spot) -> Result<Whole, EngineError> {
        let Some((holder, _)) = self.world.holder_at(at) else {
            return self.is_share_whole(at);
        };
        let root = on(&holder, &RelPath::root());
        let found = self.fs.scan(&root)?;
        let Some(replica) = self.world.replicas.get(&holder) else { return Ok(Whole::Soon) };
        let mut lacks = found.unreadable_dirs.first().cloned();
        replica.links.for_each(Tree::<Link>::ROOT, |path, link| {
            let Ok(path) = RelPath::new(path) else { return };
            let seen: Option<&Stat> = found.tree.get(&on(&holder, &path).path);
            if lacks.is_none() && seen.is_none_or(|seen| seen.id.ino != link.id.ino) {
                lacks = Some(path);
            }
        });
        Ok(match lacks {
            Some(path) => Whole::Lacks(path),
            None if self.vanished_roots.contains(&holder) => Whole::Soon,
            None => Whole::Yes,
        })
    }

    /// A page that went with the marker is written anew.
    fn is_page_there(&mut self, at: &Spot) -> Result<Whole, EngineError> {
        let Ok(page) = at.path.join(b"catalogue.html") else { return Ok(Whole::Soon) };
        let there = self.fs.look(&Place::Catalogue.at(page))?;
        if matches!(there, Some(Entry::File(_))) {
            return Ok(Whole::Yes);
        }
        if let Some(device) = device_of(at) {
            self.published.remove(&Origin::Device(device));
            self.stale = true;
        }
        Ok(Whole::Soon)
    }

    fn is_share_whole(&mut self, at: &Spot) -> Result<Whole, EngineError> {
        let found = self.fs.scan(at)?;
        let Some(dir) = self.world.shared.dir(&at.path) else { return Ok(Whole::Empty) };
        let mut lacks = found.unreadable_dirs.first().cloned();
        self.world.shared.for_each(dir, |path, id: &FileId| {
            let Ok(path) = RelPath::new(path) else { return };
            let seen: Option<&Stat> = found.tree.get(&path);
            if lacks.is_none() && seen.is_none_or(|seen| seen.id.ino != id.ino) {
                lacks = Some(path);
            }
        });
        Ok(match lacks {
            Some(path) => Whole::Lacks(path),
            None => Whole::Yes,
        })
    }

    /// How many files are shared in a folder in `shared/`.
    fn shared_in(&self, at: &Spot) -> usize {
        let mut all = 0;
        if let Some(dir) = self.world.shared.dir(&at.path) {
            self.world.shared.for_each(dir, |_, _| all += 1);
        }
        all
    }

    fn tell_unmarked(&mut self, at: &Spot, whole: &Whole, now: Time) {
        let label = |device: &DeviceName| {
            self.config.devices.get(device).map_or(device.to_string(), |d| d.label.clone())
        };
        let gone = format!("the sync engine's mark ({at}/{}) is gone", STFOLDER.name);
        let (what, whose) = match (&at.place, device_of(at)) {
            (Place::Catalogue, Some(device)) => {
                let label = label(&device);
                let what =
                    format!("{gone}, so {label} gets no new page and its wishes do not come");
                (what, label)
            }
            (_, Some(device)) => {
                let label = label(&device);
                (format!("{gone}, so nothing goes to {label} and nothing comes from there"), label)
            }
            _ => {
                let name = crate::model::show(at.path.as_bytes());
                (format!("{gone}, so nobody gets anything of the share {name}"), "it".into())
            }
        };
        let next = match whole {
            Whole::Yes | Whole::Soon => "Larder puts it back by itself".into(),
            Whole::Open => format!(
                "say on the common page what is to become of what vanished from {whose}; then Larder puts it back by \
                 itself"
            ),
            Whole::Lacks(path) => format!(
                "files are missing in that folder, such as {path}, and nobody deleted them: put them back there; then \
                 Larder puts the mark back by itself"
            ),
            Whole::Empty => format!(
                "the folder is empty: get something for {whose} on the page; then Larder puts the mark back by itself"
            ),
        };
        self.raise_notice(&key(at), Condition::Attention, now, what, next);
    }
}

/// True when that was so many seconds ago, or is yet to come because the clock was set back.
fn due(at: &Option<Time>, every: i64, now: Time) -> bool {
    at.is_none_or(|at| !(0..every).contains(&now.since(at)))
}

fn key(at: &Spot) -> String {
    format!("marker {at}")
}

/// Whose folder it is; `None` for one in `shared/`.
fn device_of(at: &Spot) -> Option<DeviceName> {
    match &at.place {
        Place::Device(device) => Some(device.clone()),
        Place::Catalogue => DeviceName::new(std::str::from_utf8(at.path.name()?).ok()?).ok(),
        _ => None,
    }
}
