//! What happened, as the test that made it happen records it: contents that were there, wishes, what people and
//! devices did by their own hands, the clock. Plain strings, bytes and numbers.

use super::page::{self, Page};
use super::snapshot::{DriveView, Hash, Snapshot, sum};
use super::{Charging, below, rest};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// A wish that was pressed.
#[derive(Clone, Debug)]
pub(crate) struct Pressed {
    /// The device whose page it was; empty for the common one.
    pub(crate) origin: String,
    pub(crate) id: String,
    pub(crate) op: String,
    pub(crate) path: Vec<u8>,
    /// The devices that it names; without any it is about the page's own.
    pub(crate) to: Vec<String>,
    /// When it was pressed, in seconds since 1970.
    pub(crate) at: i64,
    /// The masters at or below its path at that moment.
    pub(crate) masters: BTreeSet<Vec<u8>>,
}

/// Something that happened, in its order.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A wish: its number among all.
    Pressed(usize),
    /// Somebody saved, renamed or removed something at this path: at home, or on a device.
    Touched(Option<String>, Vec<u8>),
    /// A device deleted its link of a master, and that was believed.
    Deleted(String, Vec<u8>),
    /// Something happened to everything that a device has (a mass change, an import).
    Unsettled(String),
}

/// What happened.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// The time, in seconds since 1970.
    pub(crate) now: i64,
    /// For so many seconds a destroyed content can be brought back.
    pub(crate) undo: i64,
    /// How devices are charged.
    pub(crate) charging: Charging,
    /// Pages are written.
    pub(crate) pages: bool,
    /// Devices of the settings, with their quotas.
    pub(crate) devices: BTreeMap<String, Option<u64>>,
    /// Names outside the layout that somebody else put there.
    pub(crate) theirs: BTreeSet<Vec<u8>>,
    /// Every content that was acknowledged, and where it was seen.
    pub(crate) contents: BTreeMap<Hash, BTreeSet<Vec<u8>>>,
    /// Contents whose last name somebody took by his own hand.
    pub(crate) by_hand: BTreeSet<Hash>,
    /// Contents that somebody asked to destroy: by which wishes.
    pub(crate) doomed: BTreeMap<Hash, BTreeSet<usize>>,
    /// Contents that a page listed as old, and until when it said that they are kept.
    pub(crate) shown: BTreeMap<Hash, i64>,
    /// The pages as they were seen last: generation and sum.
    pub(crate) generations: BTreeMap<Vec<u8>, (u64, Hash)>,
    /// Pages that were seen to go back, in words.
    pub(crate) backwards: BTreeSet<String>,
    pub(crate) wishes: Vec<Pressed>,
    pub(crate) events: Vec<Event>,
}

impl History {
    /// A history that begins at this moment, with these devices and their quotas.
    pub(crate) fn new(now: i64, undo: i64, devices: &[(&str, Option<u64>)]) -> Self {
        Self {
            now,
            undo,
            charging: Charging::Content,
            pages: true,
            devices: devices.iter().map(|(name, quota)| ((*name).to_owned(), *quota)).collect(),
            theirs: BTreeSet::new(),
            contents: BTreeMap::new(),
            by_hand: BTreeSet::new(),
            doomed: BTreeMap::new(),
            shown: BTreeMap::new(),
            generations: BTreeMap::new(),
            backwards: BTreeSet::new(),
            wishes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// A content is acknowledged: it was listed, or an answer said that it is safe.
    pub(crate) fn acknowledge(&mut self, path: &[u8], content: &[u8]) {
        self.contents.entry(sum(content)).or_default().insert(path.to_vec());
    }

    /// Everything that the drive has now is acknowledged, and the pages were read by somebody.
    pub(crate) fn see(&mut self, drive: &Snapshot<'_>) {
        for path in drive.family() {
            if let Some(sum) = drive.sum(&path) {
                self.contents.entry(sum).or_default().insert(path);
                self.by_hand.remove(&sum);
            }
        }
        for at in page::all(drive) {
            let Some(bytes) = drive.bytes(&at) else { continue };
            let Ok(page) = page::read(&bytes) else { continue };
            if let Some(what) = self.went_back(&at, &page, &bytes) {
                self.backwards.insert(what);
            }
            if !page.wishes {
                self.generations.insert(at, (page.generation, sum(&bytes)));
            }
            for old in &page.versions {
                let number = old.number.to_string();
                let at = below(&below(b"BTsyncApp/versions", number.as_bytes()), &old.path);
                if let Some(sum) = drive.sum(&at) {
                    self.shown.insert(sum, old.until);
                }
            }
        }
    }

    /// What is the matter when a page is not the one that was seen last, nor a newer one. Wishes that somebody wrote into
    /// a page make it no other one.
    pub(super) fn went_back(&self, at: &[u8], page: &Page, bytes: &[u8]) -> Option<String> {
        let (generation, was) = self.generations.get(at)?;
        let same = page.generation == *generation && (page.wishes || sum(bytes) == *was);
        let (at, now) = (super::show(at), page.generation);
        let what = || format!("{at} has the generation {now} after another page's {generation}");
        (page.generation <= *generation && !same).then(what)
    }

    /// Somebody does something to the drive by his own hand: what loses its last name by that is his to lose.
    pub(crate) fn act<T>(&mut self, view: &dyn DriveView, act: impl FnOnce() -> T) -> T {
        let before = Snapshot::of(view).sums();
        let done = act();
        self.acted(&before, &Snapshot::of(view));
        done
    }

    /// The same where the act is over: `before` is what the drive had.
    pub(crate) fn acted(&mut self, before: &BTreeSet<Hash>, now: &Snapshot<'_>) {
        let after = now.sums();
        self.by_hand.extend(before.difference(&after));
        self.see(now);
    }

    /// Somebody is about to take the content of this name away by his own hand.
    pub(crate) fn let_go(&mut self, drive: &Snapshot<'_>, path: &[u8]) {
        if let Some(sum) = drive.sum(path) {
            self.contents.remove(&sum);
        }
    }

    /// A wish is pressed on a device's page, or on the common one (`""`).
    pub(crate) fn press(
        &mut self,
        drive: &Snapshot<'_>,
        origin: &str,
        id: &str,
        (op, path): (&str, &[u8]),
        to: &[&str],
    ) {
        let files = drive.files(b"BTsync/files");
        let within = |master: &[u8]| rest(master, path).is_some();
        let masters: BTreeSet<Vec<u8>> =
            files.keys().filter(|p| within(p)).map(|p| p.to_vec()).collect();
        let number = self.wishes.len();
        if op == "destroy" {
            // A content stays that has another name at home which nobody asks to destroy.
            let asked = |p: &[u8]| {
                let mut before = self.wishes.iter().filter(|w| w.op == "destroy");
                within(p) || before.any(|w| w.masters.contains(p))
            };
            let at_home = |p: &[u8]| drive.sum(&below(b"BTsync/files", p));
            let stays: BTreeSet<Hash> =
                files.keys().filter(|p| !asked(p)).filter_map(|p| at_home(p)).collect();
            let doomed = masters.iter().filter_map(|p| at_home(p)).filter(|h| !stays.contains(h));
            for hash in doomed {
                self.doomed.entry(hash).or_default().insert(number);
            }
        }
        self.wishes.push(Pressed {
            origin: origin.to_owned(),
            id: id.to_owned(),
            op: op.to_owned(),
            path: path.to_vec(),
            to: to.iter().map(|d| (*d).to_owned()).collect(),
            at: self.now,
            masters,
        });
        self.events.push(Event::Pressed(number));
    }

    /// The wishes of all worklists that lie in the pages' folders and wait to be harvested.
    pub(crate) fn press_what_waits(&mut self, drive: &Snapshot<'_>) {
        for at in drive.files(b"BTsync/catalogue").into_keys() {
            let (device, name) = match at.iter().position(|&b| b == b'/') {
                Some(cut) => (&at[..cut], &at[cut + 1..]),
                None => (&b""[..], at),
            };
            if !name.starts_with(b"catalogue-worklist-") {
                continue;
            }
            let device = String::from_utf8_lossy(device);
            let list = drive.bytes(&below(b"BTsync/catalogue", at)).unwrap_or_default();
            let list: Value = serde_json::from_slice(&list).unwrap_or_default();
            for wish in list["items"].as_array().into_iter().flatten() {
                let text = |member: &str| wish[member].as_str().unwrap_or_default();
                let path = page::unescape(text("path")).unwrap_or_default();
                let to: Vec<&str> =
                    wish["to"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                self.press(drive, &device, text("id"), (text("op"), &path), &to);
            }
        }
    }

    /// Somebody saved, renamed or removed something at home.
    pub(crate) fn touched_at_home(&mut self, path: &[u8]) {
        self.events.push(Event::Touched(None, path.to_vec()));
    }

    /// The same on a device.
    pub(crate) fn touched_on(&mut self, device: &str, path: &[u8]) {
        self.events.push(Event::Touched(Some(device.to_owned()), path.to_vec()));
    }

    /// A device deleted its link of a master, and that was believed.
    pub(crate) fn deleted_on(&mut self, device: &str, path: &[u8]) {
        self.events.push(Event::Deleted(device.to_owned(), path.to_vec()));
    }

    /// Something happened to all that a device has.
    pub(crate) fn unsettled(&mut self, device: &str) {
        self.events.push(Event::Unsettled(device.to_owned()));
    }
}
