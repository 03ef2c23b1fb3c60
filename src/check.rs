//! `larder check`: verifies on a drive every promise that can be seen on a drive.
//!
//! Reads everything, changes nothing. What it finds is put right by an ordinary run, which plans from
//! what is there; this only tells.

use crate::daemon::Places;
use crate::engine::Engine;
use crate::fs::{Entry, FileSystem, FsError, Real};
use crate::ledger::{Ledger, LedgerError};
use crate::model::{DeviceName, FileId, Link, Place, RelPath, Spot, Stat, Tree};
use crate::plan::{NOTE, ShareState, World, below_shared, kept, on};
use crate::worklist;
use std::collections::HashSet;
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

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.what, self.next)
    }
}

/// Why a drive could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The drive said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The ledger said no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The drive can't be opened.
    #[error("{0}")]
    Open(String),
}

const RUN: &str = "`larder check --repair` or an ordinary run puts it right";

const ASKED: &str =
    "it is held back: say on the common page whether to let it happen or to keep yours";

/// Verifies a drive. `engine` has read it without changing it.
pub fn check(places: &Places, engine: &Engine) -> Result<Vec<Finding>, CheckError> {
    let mut found = Vec::new();
    let mut fs = Real::open(&places.drive).map_err(|e| CheckError::Open(e.to_string()))?;
    let mut ledger = Ledger::open_copy(&places.ledger())?;
    // As it is on the disk: `engine` has put in order, in memory, what a cut left.
    let versions = ledger.load()?.versions;
    if let Some(what) = ledger.verify()? {
        let what = format!("the ledger is damaged: {what}");
        found.push(Finding { promise: 2, what, next: "a new one is begun at the next start" });
    }
    let world = engine.world();
    let mut masters = HashSet::new();
    world.files.for_each(Tree::<Stat>::ROOT, |_, stat| {
        masters.insert(stat.id.ino);
    });
    for (device, settings) in &engine.config().devices {
        let scan = fs.scan(&on(device, &RelPath::root()))?;
        let storm = world.devices.get(device).is_some_and(|h| h.storm.is_some());
        let next = if storm { ASKED } else { RUN };
        scan.tree.for_each(Tree::<Stat>::ROOT, |path, stat| {
            let Ok(path) = RelPath::new(path) else { return };
            if !masters.contains(&stat.id.ino) {
                let what = format!("{} is not saved in files/ yet", on(device, &path));
                found.push(Finding { promise: 1, what, next });
            }
        });
        let Some(holding) = world.devices.get(device) else { continue };
        holding.book.for_each(Tree::<Link>::ROOT, |path, link| {
            let Ok(path) = RelPath::new(path) else { return };
            let there = scan.tree.get(&path);
            if there.is_none_or(|stat| stat.id.ino != link.id.ino) {
                let what = format!("{} is not the link that was recorded", on(device, &path));
                found.push(Finding { promise: 2, what, next });
            }
        });
        if let Some(quota) = settings.quota.filter(|quota| holding.used() > *quota) {
            let what = format!("{device} holds {} of {quota}", holding.used());
            found.push(Finding { promise: 7, what, next: RUN });
        }
    }
    check_shares(&mut fs, engine, &masters, &mut found)?;
    check_joined(&mut fs, engine, &masters, &mut found)?;
    check_transit(&mut fs, &mut found)?;
    for (number, version) in &versions {
        if fs.stat(&kept(*number, &version.path))?.is_none() {
            let what = format!("version {number} of {} is recorded and not kept", version.path);
            found.push(Finding { promise: 2, what, next: RUN });
        }
    }
    check_pages(&mut fs, engine, &mut found)?;
    Ok(found)
}

/// Every name in a share is a master's or is known to be an older one's; nothing known is missing.
fn check_shares(
    fs: &mut Real,
    engine: &Engine,
    masters: &HashSet<u64>,
    found: &mut Vec<Finding>,
) -> Result<(), CheckError> {
    let world = engine.world();
    let known = &world.shared;
    let root = Place::Shared.at(RelPath::root());
    let scan = fs.scan(&root)?;
    scan.tree.for_each(Tree::<Stat>::ROOT, |path, stat| {
        let Ok(path) = RelPath::new(path) else { return };
        if world.holder_at(&Place::Shared.at(path.clone())).is_some() {
            return;
        }
        let recorded = known.get(&path).is_some_and(|id| id.ino == stat.id.ino);
        if !recorded && !masters.contains(&stat.id.ino) {
            let what = format!("{} is in no share and not in files/", Place::Shared.at(path));
            let next = "Larder leaves it alone: move it to BTsync/files to keep it";
            found.push(Finding { promise: 1, what, next });
        }
    });
    known.for_each(Tree::<FileId>::ROOT, |path, id| {
        let Ok(path) = RelPath::new(path) else { return };
        // What was kept of a folder when it was revoked may be thrown away by hand.
        if scan.tree.get(&path).is_none() && is_kept(world, &path) {
            return;
        }
        if scan.tree.get(&path).is_none_or(|stat| stat.id.ino != id.ino) {
            let what = format!("{} is not as it was shared", Place::Shared.at(path));
            found.push(Finding { promise: 2, what, next: "end that share, and share it again" });
        }
    });
    Ok(())
}

/// True in a folder that keeps what another had when it was revoked.
fn is_kept(world: &World, path: &RelPath) -> bool {
    let name = path.names().next().and_then(|name| std::str::from_utf8(name).ok());
    let share = name.and_then(|name| world.shares.get(name));
    share.is_some_and(|share| share.state == ShareState::Revoked)
}

/// Every name in a folder that others joined is a master's and as it was recorded; in one whose
/// content was destroyed nothing is left but the note.
fn check_joined(
    fs: &mut Real,
    engine: &Engine,
    masters: &HashSet<u64>,
    found: &mut Vec<Finding>,
) -> Result<(), CheckError> {
    let world = engine.world();
    for (name, share) in world.shares.iter().filter(|(_, share)| share.is_joined()) {
        let holder = DeviceName::joined(name);
        let scan = fs.scan(&on(&holder, &RelPath::root()))?;
        scan.tree.for_each(Tree::<Stat>::ROOT, |at, stat| {
            let Some(path) = RelPath::new(at).ok().and_then(|at| below_shared(&at, name)) else {
                return;
            };
            let (promise, what) = if share.takes() {
                (1, format!("{} is not saved in files/ yet", on(&holder, &path)))
            } else {
                (2, format!("{} was destroyed and is there", on(&holder, &path)))
            };
            let fine = if share.takes() {
                masters.contains(&stat.id.ino)
            } else {
                path.as_bytes() == NOTE.as_bytes()
            };
            if !fine {
                found.push(Finding { promise, what, next: RUN });
            }
        });
        let Some(holding) = world.devices.get(&holder) else { continue };
        holding.book.for_each(Tree::<Link>::ROOT, |path, link| {
            let Ok(path) = RelPath::new(path) else { return };
            let at = on(&holder, &path);
            if scan.tree.get(&at.path).is_none_or(|stat| stat.id.ino != link.id.ino) {
                let what = format!("{at} is not the link that was recorded");
                found.push(Finding { promise: 2, what, next: RUN });
            }
        });
    }
    Ok(())
}

/// Nothing may be in transit while nobody works.
fn check_transit(fs: &mut Real, found: &mut Vec<Finding>) -> Result<(), CheckError> {
    let scan = fs.scan(&Place::Tmp.at(RelPath::root()))?;
    scan.tree.for_each(Tree::<Stat>::ROOT, |path, stat| {
        if stat.nlink < 2 {
            let what = format!("{} lies in BTsyncApp/tmp", crate::model::show(path));
            found.push(Finding { promise: 1, what, next: RUN });
        }
    });
    Ok(())
}

/// Every page is whole, from its first to its last byte.
fn check_pages(fs: &mut Real, engine: &Engine, found: &mut Vec<Finding>) -> Result<(), CheckError> {
    let folders = engine.config().devices.keys().map(|d| d.as_str().as_bytes().to_vec());
    for folder in folders.chain([Vec::new()]) {
        let Ok(at) = RelPath::new(&folder).unwrap_or_default().join(b"catalogue.html") else {
            continue;
        };
        let at: Spot = Place::Catalogue.at(at);
        let next = "an ordinary run writes it";
        match fs.look(&at)? {
            Some(Entry::File(_)) => {}
            Some(_) => {
                let what = format!("{at} is no file");
                found.push(Finding { promise: 3, what, next: "remove what is there" });
                continue;
            }
            None => {
                found.push(Finding { promise: 3, what: format!("{at} is missing"), next });
                continue;
            }
        }
        let page = fs.read(&at, u64::MAX / 2)?.unwrap_or_default();
        let whole = page.starts_with(b"<!doctype html>")
            && worklist::find(&page).is_ok()
            && page.trim_ascii_end().ends_with(b"<!--WORKLIST-END-->");
        if !whole {
            found.push(Finding { promise: 3, what: format!("{at} is not whole"), next });
        }
    }
    Ok(())
}
