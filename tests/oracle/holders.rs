//! What each device holds, and each folder that other people joined: exactly the links that are recorded, each the
//! inode of its master, with everything in it that is followed, within its quota.

use super::ledger::HolderRows;
use super::snapshot::{Facts, What};
use super::{Case, Charging, Kind, Verdict, below, local, rest, show};
use std::collections::{BTreeMap, BTreeSet};

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    for (device, quota) in &case.devices {
        let folder = below(b"BTsync/devices", device.as_bytes());
        let none = HolderRows::default();
        let rows = case.ledger.holders.get(device).unwrap_or(&none);
        let holder = Holder { name: device, folder, home: b"BTsync/files".to_vec(), rows };
        judge_holder(case, &holder, *quota, verdict);
    }
    for (name, share) in case.ledger.shares.iter().filter(|(_, share)| share.takes()) {
        let Some(rows) = case.ledger.holders.get(&format!("shared/{name}")) else { continue };
        let folder = below(b"BTsync/shared", name.as_bytes());
        let home = below(b"BTsync/files", &share.path);
        judge_holder(case, &Holder { name, folder, home, rows }, None, verdict);
    }
}

/// Somebody who holds links.
struct Holder<'a> {
    name: &'a str,
    /// Where his links lie.
    folder: Vec<u8>,
    /// Where their masters lie.
    home: Vec<u8>,
    rows: &'a HolderRows,
}

fn judge_holder(case: &Case<'_>, holder: &Holder<'_>, quota: Option<u64>, verdict: &mut Verdict) {
    let Case { drive, history, .. } = case;
    let rows = holder.rows;
    // While the owner is asked about a mass change, nothing is settled there.
    if rows.mass_change {
        return;
    }
    let held = drive.files(&holder.folder);
    let at = |path: &[u8]| show(&below(&holder.folder, path));
    for (path, link) in &rows.links {
        match held.get(&path[..]) {
            None => verdict.find(Kind::Missing, format!("{} is recorded and missing", at(path))),
            Some(file) if file.ino != link.ino => {
                let what = format!("{} is not the link that was recorded", at(path));
                verdict.find(Kind::NotTheLink, what);
            }
            Some(_) => {}
        }
    }
    for (path, file) in &held {
        if !rows.links.contains_key(*path) {
            verdict.find(Kind::Foreign, format!("{} is no link of ours", at(path)));
        }
        let master = below(&holder.home, path);
        let behind = |sum| sum == drive.sum(&master) || covers(&rows.pins, path);
        match drive.file(&master) {
            Some(facts) if facts.is(file) => {}
            // Where there is no room for a newer one, an equal content or a pinned one stays.
            Some(_) if quota.is_some() && behind(drive.sum(&below(&holder.folder, path))) => {}
            _ => verdict.find(Kind::NotTheMaster, format!("{} is not its master", at(path))),
        }
    }
    let masters = drive.files(&holder.home);
    let used = charged(&held, history.charging);
    for (path, master) in masters.iter().filter(|(path, _)| wants(rows, path)) {
        let fits = quota.is_none_or(|quota| used + master.charge() <= quota);
        let name = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
        // What has the name of a folder there, or lies below a file of that name, has no place.
        let taken = matches!(drive.what(&below(&holder.folder, path)), Some(What::Folder))
            || held.keys().any(|file| rest(path, file).is_some_and(|rest| !rest.is_empty()));
        let excused = !fits || taken || rows.evicted.contains(*path);
        if !held.contains_key(*path) && !excused && !local::is_of_one_computer(name) {
            verdict.find(Kind::Missing, format!("{} is followed and not there", at(path)));
        }
    }
    if let Some(quota) = quota
        && used > quota
    {
        let goes = |path: &[u8], file: &Facts| {
            let pinned = covers(&rows.pins, path);
            let at_home = drive.file(&below(&holder.home, path)).is_some_and(|m| m.is(file));
            file.charge() > 0 && !pinned && at_home
        };
        let stays: BTreeSet<(u64, u64)> =
            held.iter().filter(|(p, f)| !goes(p, f)).map(|(_, f)| (f.dev, f.ino)).collect();
        let may_go = |(path, file): (&&[u8], &Facts)| match history.charging {
            Charging::Name => goes(path, file),
            // One of two names makes no room.
            Charging::Content => goes(path, file) && !stays.contains(&(file.dev, file.ino)),
        };
        if held.iter().any(may_go) {
            let what = format!("{} holds {used} bytes of {quota}, and some may go", holder.name);
            verdict.find(Kind::Quota, what);
        }
    }
}

/// What a device is charged for these names.
pub(super) fn charged(held: &BTreeMap<&[u8], Facts>, charging: Charging) -> u64 {
    let mut inodes = BTreeSet::new();
    let counts = |file: &&Facts| charging == Charging::Name || inodes.insert((file.dev, file.ino));
    held.values().filter(counts).map(Facts::charge).sum()
}

/// True when a path of these, or one above it, covers the path.
fn covers(paths: &BTreeSet<Vec<u8>>, path: &[u8]) -> bool {
    paths.iter().any(|above| rest(path, above).is_some())
}

/// True when the nearest rule at or above the path says that it is followed.
fn wants(rows: &HolderRows, path: &[u8]) -> bool {
    let nearest = |rules: &BTreeSet<Vec<u8>>| {
        rules.iter().filter(|rule| rest(path, rule).is_some()).map(Vec::len).max()
    };
    match (nearest(&rows.follows), nearest(&rows.excepts)) {
        (Some(follows), Some(excepts)) => follows > excepts,
        (follows, _) => follows.is_some(),
    }
}
