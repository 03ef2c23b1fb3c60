//! Verifies on a drive every promise that can be seen on a drive, in steps: for `larder check` all at once, for
//! the night as long as nothing moves.
//!
//! Reads only; what it finds it tells. It must never be believed about a house that changed while it looked:
//! whoever calls it begins anew then.

use crate::config::Config;
use crate::fs::{Entry, FileSystem, FsError, Listing};
use crate::model::{DeviceName, FileId, Holder, Place, RelPath, Spot, Stat, Tree, is_private};
use crate::plan::{
    NOTE, Replica, Share, ShareState, Version, World, enforce_quota, kept, master, on, stale_link,
};
use crate::worklist;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Something that is not as it should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// Which promise (the number in the design), or 0 for the books.
    pub promise: u8,
    /// What is the matter, naming the thing.
    pub what: String,
    /// What puts it right.
    pub next: &'static str,
}

impl Finding {
    /// The ledger is damaged.
    pub fn of_ledger(what: &str) -> Self {
        let what = format!("the ledger is damaged: {what}");
        Self { promise: 2, what, next: "a new one is begun at the next start" }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.next)
    }
}

const ASKED: &str =
    "it is held back: say on the common page whether to let it happen or to keep yours";

const RUN: &str = "`larder check --repair` or an ordinary run puts it right";

/// What is known, to be held against the drive.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Masters, books, shares.
    pub world: &'a World,
    /// Old contents as the ledger on the disk has them.
    pub versions: &'a BTreeMap<u64, Version>,
    /// The settings.
    pub config: &'a Config,
}

#[derive(Clone, Debug)]
enum Step {
    /// A folder of a device, or in one that others joined.
    Folder(Holder, RelPath),
    Quota(Holder),
    /// A folder in `shared/`.
    Shared(RelPath),
    /// A folder in `tmp/`, where nothing may be while nobody works.
    Transit(RelPath),
    /// The old contents from this number on.
    Versions(u64),
    /// A folder of what waits after it was stored once with an equal file, as deep in the batch.
    Joined(RelPath),
    /// The page in this folder.
    Page(RelPath),
}

/// A verification under way.
#[derive(Clone, Debug, Default)]
pub struct Verification {
    begun: bool,
    /// Inodes of all masters, sorted.
    masters: Vec<u64>,
    todo: Vec<Step>,
    /// Compares bytes where size and time agree, too.
    thorough: bool,
    /// What was found so far.
    pub found: Vec<Finding>,
}

impl Verification {
    /// One that compares bytes, too, however long that takes.
    pub fn thorough() -> Self {
        Self { thorough: true, ..Self::default() }
    }

    /// Goes on until all is verified (`true`) or `stop` says so; it is asked before every name that is looked at. What was
    /// stopped within a folder begins it anew.
    pub fn go_on(
        &mut self,
        fs: &mut dyn FileSystem,
        known: &Known<'_>,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, FsError> {
        if !self.begun {
            self.begin(known);
        }
        while !stop() {
            let Some(step) = self.todo.pop() else { return Ok(true) };
            if !self.take(fs, known, &step, stop)? {
                self.todo.push(step);
                break;
            }
        }
        Ok(false)
    }

    /// Takes one step; `false` when it was stopped before anything came of it.
    fn take(
        &mut self,
        fs: &mut dyn FileSystem,
        known: &Known<'_>,
        step: &Step,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, FsError> {
        match step {
            Step::Quota(device) => self.quota(known, device),
            Step::Page(folder) => self.page(fs, folder)?,
            Step::Versions(from) => self.versions(fs, known, *from, stop)?,
            Step::Joined(dir) => {
                let Some(listed) = list(fs, &Place::Versions.at(dir.clone()), stop)? else {
                    return Ok(false);
                };
                return self.joined(fs, known, dir, listed, stop);
            }
            Step::Folder(device, dir) => {
                let Some(listed) = list(fs, &on(device, dir), stop)? else { return Ok(false) };
                self.folder(known, device, dir, listed);
            }
            Step::Shared(dir) => {
                let at = Place::Shared.at(dir.clone());
                let Some(listed) = list(fs, &at, stop)? else { return Ok(false) };
                self.shared(known, dir, listed);
            }
            Step::Transit(dir) => {
                let at = Place::Tmp.at(dir.clone());
                let Some(listed) = list(fs, &at, stop)? else { return Ok(false) };
                self.transit(dir, listed);
            }
        }
        Ok(true)
    }

    /// The last of what is to do comes first.
    fn begin(&mut self, known: &Known<'_>) {
        self.begun = true;
        self.masters.reserve_exact(known.world.files.len());
        known.world.files.for_each(Tree::<Stat>::ROOT, |_, stat| self.masters.push(stat.id.ino));
        self.masters.sort_unstable();
        let devices = || known.config.devices.keys().rev();
        let page = |d: &DeviceName| RelPath::new(d.as_str().as_bytes()).ok().map(Step::Page);
        self.todo.push(Step::Page(RelPath::root()));
        self.todo.extend(devices().filter_map(page));
        self.todo.push(Step::Joined(RelPath::new(b"joined").unwrap_or_default()));
        self.todo.push(Step::Versions(0));
        self.todo.push(Step::Transit(RelPath::root()));
        self.todo.push(Step::Shared(RelPath::root()));
        for device in devices() {
            let device = Holder::Device(device.clone());
            self.todo.push(Step::Quota(device.clone()));
            self.todo.push(Step::Folder(device, RelPath::root()));
        }
        for (name, _) in known.world.shares.iter().filter(|(_, share)| share.is_joined()) {
            self.todo.push(Step::Folder(Holder::shared(name), RelPath::root()));
        }
    }

    fn find(&mut self, promise: u8, what: String, next: &'static str) {
        self.found.push(Finding { promise, what, next });
    }

    fn is_master(&self, ino: u64) -> bool {
        self.masters.binary_search(&ino).is_ok()
    }

    fn folder(
        &mut self,
        known: &Known<'_>,
        device: &Holder,
        dir: &RelPath,
        listed: Option<Listing>,
    ) {
        let Some(listed) = listed else { return };
        let replica = known.world.replicas.get(device);
        let next = if replica.is_some_and(|h| h.mass_change.is_some()) { ASKED } else { RUN };
        // In a folder of other people whose content was destroyed nothing is left but the note.
        let destroyed = known.world.share_of(device).is_some_and(|share| !share.takes());
        let mut here = BTreeMap::new();
        let mut folders = BTreeSet::new();
        for (name, entry) in listed {
            let Ok(path) = dir.join(&name) else { continue };
            match entry {
                Entry::File(_) if destroyed => {
                    if path.as_bytes() != NOTE.as_bytes() {
                        let what = format!("{} was destroyed and is there", on(device, &path));
                        self.find(2, what, RUN);
                    }
                }
                Entry::File(stat) => {
                    if !self.is_master(stat.id.ino) && !stays_behind(known, device, &path, &stat) {
                        let home = known.world.home_of(device, &path);
                        let hidden =
                            home.and_then(|home| known.world.elsewhere_above(&home).cloned());
                        match hidden.filter(|_| stat.nlink > 1) {
                            Some(hidden) => {
                                let what = format!(
                                    "the master of {} can't be seen: {} lies on another file system",
                                    on(device, &path),
                                    master(&hidden)
                                );
                                self.find(1, what, "unmount what lies over it, then check again");
                            }
                            None => {
                                let what =
                                    format!("{} is not saved in files/ yet", on(device, &path));
                                self.find(1, what, next);
                            }
                        }
                    }
                    here.insert(name, stat.id.ino);
                }
                Entry::Dir => {
                    folders.insert(path);
                }
                Entry::Elsewhere | Entry::Other => {}
            }
        }
        if let Some(links) = replica.map(|h| &h.links)
            && let Some(at) = links.dir(dir)
        {
            for (name, link) in links.files(at) {
                if here.get(name) != Some(&link.id.ino)
                    && let Ok(path) = dir.join(name)
                {
                    let what = format!("{} is not the link that was recorded", on(device, &path));
                    self.find(2, what, next);
                }
            }
            folders.extend(links.subdirs(at).filter_map(|(name, _)| dir.join(name).ok()));
        }
        let below = folders.into_iter().rev();
        self.todo.extend(below.map(|path| Step::Folder(device.clone(), path)));
    }

    /// What nothing may make room for is no broken promise: it is told anyhow.
    fn quota(&mut self, known: &Known<'_>, device: &Holder) {
        let quota = known.config.quota(device);
        let used = known.world.replicas.get(device).map(Replica::used);
        if let (Some(quota), Some(used)) = (quota, used)
            && !enforce_quota(known.world, device, Some(quota)).0.is_empty()
        {
            self.find(7, format!("{device} holds {used} of {quota}"), RUN);
        }
    }

    /// Every name in a share is a master's or is known to be an older one's; nothing known is missing.
    fn shared(&mut self, known: &Known<'_>, dir: &RelPath, listed: Option<Listing>) {
        let shared = &known.world.shared;
        let share = dir.names().next().and_then(|name| std::str::from_utf8(name).ok());
        let share = share.and_then(|name| known.world.shares.get(name));
        // A folder that others joined is verified like a device's.
        if share.is_some_and(Share::is_joined) {
            return;
        }
        // What was kept of one when it was revoked may be thrown away by hand.
        let revoked = share.is_some_and(|share| share.state == ShareState::Revoked);
        let Some(listed) = listed else { return };
        let mut here = BTreeMap::new();
        let mut folders = BTreeSet::new();
        for (name, entry) in listed {
            let Ok(path) = dir.join(&name) else { continue };
            match entry {
                Entry::File(stat) => {
                    let ino = stat.id.ino;
                    let recorded = shared.get(&path).is_some_and(|id| id.ino == ino);
                    if !recorded && !self.is_master(ino) {
                        let at = Place::Shared.at(path);
                        let what = format!("{at} is in no share and not in files/");
                        let next = "Larder leaves it alone: move it to BTsync/files to keep it";
                        self.find(1, what, next);
                    }
                    here.insert(name, ino);
                }
                Entry::Dir => {
                    folders.insert(path);
                }
                Entry::Elsewhere | Entry::Other => {}
            }
        }
        if let Some(at) = shared.dir(dir) {
            let missing = |(name, id): &(&[u8], &FileId)| match here.get(*name) {
                Some(ino) => *ino != id.ino,
                None => !revoked,
            };
            for (name, _) in shared.files(at).filter(missing) {
                if let Ok(path) = dir.join(name) {
                    let what = format!("{} is not as it was shared", Place::Shared.at(path));
                    self.find(2, what, "end that share, and share it again");
                }
            }
            folders.extend(shared.subdirs(at).filter_map(|(name, _)| dir.join(name).ok()));
        }
        self.todo.extend(folders.into_iter().rev().map(Step::Shared));
    }

    fn transit(&mut self, dir: &RelPath, listed: Option<Listing>) {
        for (name, entry) in listed.unwrap_or_default() {
            let Ok(path) = dir.join(&name) else { continue };
            match entry {
                Entry::File(stat) if stat.nlink < 2 => {
                    self.find(1, format!("{path} lies in BTsyncApp/tmp"), RUN);
                }
                Entry::Dir => self.todo.push(Step::Transit(path)),
                _ => {}
            }
        }
    }

    fn versions(
        &mut self,
        fs: &mut dyn FileSystem,
        known: &Known<'_>,
        from: u64,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<(), FsError> {
        for (number, version) in known.versions.range(from..) {
            if stop() {
                self.todo.push(Step::Versions(*number));
                break;
            }
            if !matches!(fs.look(&kept(*number, &version.path))?, Some(Entry::File(_))) {
                let what = format!("version {number} of {} is recorded and not kept", version.path);
                self.find(2, what, RUN);
            }
        }
        Ok(())
    }

    /// What a name was before it was stored once with an equal file has another name, by its bytes: what the name means
    /// now is still the same, or else somebody wrote to the file by another of its names.
    fn joined(
        &mut self,
        fs: &mut dyn FileSystem,
        known: &Known<'_>,
        dir: &RelPath,
        listed: Option<Listing>,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, FsError> {
        let (mut found, mut doubtful, mut folders) = (Vec::new(), Vec::new(), Vec::new());
        for (name, entry) in listed.unwrap_or_default() {
            if stop() {
                return Ok(false);
            }
            let Ok(path) = dir.join(&name) else { continue };
            match entry {
                Entry::Dir => folders.push(Step::Joined(path)),
                Entry::File(old) if old.nlink < 2 => {
                    // `joined/<batch>/<path>`
                    let names: Vec<&[u8]> = path.names().skip(2).collect();
                    let Ok(home) = RelPath::new(&names.join(&b'/')) else { continue };
                    let Some(now) = known.world.files.get(&home) else { continue };
                    let aside = Place::Versions.at(path);
                    let (old_at, now_at) = ((&aside, &old.id), (&master(&home), &now.id));
                    match self.thorough && now.nlink > 1 && like(&old.id, &now.id) {
                        true if are_equal(fs, old_at, now_at)? => {}
                        true => found.push((home, aside)),
                        false if now.nlink < 2 || like(&old.id, &now.id) => {}
                        // Written through another name; or it was edited, and its content is an old version by now.
                        false => doubtful.push((home, aside, old.id)),
                    }
                }
                _ => {}
            }
        }
        let kept: Vec<_> = known.versions.values().collect();
        doubtful.retain(|(home, _, old)| {
            !kept.iter().any(|kept| kept.path == *home && like(&kept.id, old))
        });
        if !doubtful.is_empty() {
            known.world.files.for_each(Tree::<Stat>::ROOT, |_, stat| {
                doubtful.retain(|(_, _, old)| !like(&stat.id, old));
            });
        }
        found.extend(doubtful.into_iter().map(|(home, aside, _)| (home, aside)));
        for (home, aside) in found {
            let what = format!(
                "{} changed with an equal file that it was stored once with; its own content lies only in {aside}",
                master(&home)
            );
            self.find(6, what, "the next night gives it back, or keeps it as an old version");
        }
        self.todo.extend(folders.into_iter().rev());
        Ok(true)
    }

    /// Every page is whole, from its first to its last byte.
    fn page(&mut self, fs: &mut dyn FileSystem, folder: &RelPath) -> Result<(), FsError> {
        let Ok(at) = folder.join(b"catalogue.html") else { return Ok(()) };
        let at: Spot = Place::Catalogue.at(at);
        let next = "an ordinary run writes it";
        match fs.look(&at)? {
            Some(Entry::File(_)) => {}
            Some(_) => {
                self.find(3, format!("{at} is no file"), "move what is there elsewhere");
                return Ok(());
            }
            None => {
                self.find(3, format!("{at} is missing"), next);
                return Ok(());
            }
        }
        let page = fs.read(&at, u64::MAX / 2)?.unwrap_or_default();
        let whole = page.starts_with(b"<!doctype html>")
            && worklist::find(&page).is_ok()
            && page.trim_ascii_end().ends_with(b"<!--WORKLIST-END-->");
        if !whole {
            self.find(3, format!("{at} is not whole"), next);
        }
        Ok(())
    }
}

/// The same size and mtime.
fn like(a: &FileId, b: &FileId) -> bool {
    (a.size, a.mtime) == (b.size, b.mtime)
}

/// True when two files of one size are equal to the last byte. One that changes meanwhile is nobody's concern here.
fn are_equal(
    fs: &mut dyn FileSystem,
    (a, a_id): (&Spot, &FileId),
    (b, b_id): (&Spot, &FileId),
) -> Result<bool, FsError> {
    const PART: usize = 1 << 20;
    let mut offset = 0;
    while offset < a_id.size {
        let read = fs.read_part(a, a_id, offset, PART).and_then(|part| {
            let other = fs.read_part(b, b_id, offset, PART)?;
            Ok((part, other))
        });
        match read {
            Ok((part, other)) if part == other && !part.is_empty() => offset += part.len() as u64,
            Ok(_) => return Ok(false),
            Err(e) if e.trouble().is_some() => return Err(e),
            Err(_) => return Ok(true),
        }
    }
    Ok(true)
}

/// True for an older content that a device keeps because there is no room for the newer one: that is told anyhow.
fn stays_behind(known: &Known<'_>, device: &Holder, path: &RelPath, seen: &Stat) -> bool {
    let stale_links = stale_link(known.world, device, path);
    stale_links.is_some_and(|stale_links| stale_links.stays() && stale_links.link.id == seen.id)
}

/// What is in a folder, without what a sync engine has there for itself; `Some(None)` where it can't be read, which
/// is told elsewhere. `None` when it was stopped.
fn list(
    fs: &mut dyn FileSystem,
    dir: &Spot,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Option<Option<Listing>>, FsError> {
    match fs.list_until(dir, stop) {
        Ok(None) => Ok(None),
        Ok(Some(listed)) => {
            let mut listed = listed.unwrap_or_default();
            listed.retain(|(name, _)| !is_private(name));
            Ok(Some(Some(listed)))
        }
        Err(e) if e.trouble().is_some() => Err(e),
        Err(e) => {
            log::info!("{e}");
            Ok(Some(None))
        }
    }
}
