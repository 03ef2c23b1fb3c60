//! Every page is whole, newer than it was, lists exactly the masters, and tells of each device what the drive has.

use super::page::{self, Page};
use super::{Case, Kind, Verdict, below, show};
use std::collections::BTreeSet;

pub(super) fn judge(case: &Case<'_>, verdict: &mut Verdict) {
    let history = case.history;
    if !history.pages {
        return;
    }
    for what in &history.backwards {
        verdict.find(Kind::PageGeneration, what);
    }
    let folder = |device: &str| below(b"BTsync/catalogue", device.as_bytes());
    let devices = case.devices.keys().map(|device| folder(device));
    for place in devices.chain([b"BTsync/catalogue".to_vec()]) {
        let at = below(&place, b"catalogue.html");
        let bytes = case.drive.file(&at).and_then(|_| case.drive.bytes(&at));
        let Some(bytes) = bytes else {
            verdict.find(Kind::PageBroken, format!("{} is missing", show(&at)));
            continue;
        };
        match page::read(&bytes) {
            Err(why) => verdict.find(Kind::PageBroken, format!("{}: {why}", show(&at))),
            Ok(page) => {
                if let Some(what) = history.went_back(&at, &page, &bytes) {
                    verdict.find(Kind::PageGeneration, what);
                }
                let own = page.device.as_deref().map_or(b"BTsync/catalogue".to_vec(), folder);
                if own != place {
                    let what = format!("{} says that it is another's", show(&at));
                    verdict.find(Kind::PageBroken, what);
                }
                lists(case, &at, &page, verdict);
            }
        }
    }
}

fn lists(case: &Case<'_>, at: &[u8], page: &Page, verdict: &mut Verdict) {
    let Case { drive, ledger, .. } = case;
    let masters = drive.files(b"BTsync/files");
    for path in page.files.keys().filter(|path| !masters.contains_key(&path[..])) {
        verdict.find(Kind::PageList, format!("{} lists {}", show(at), show(path)));
    }
    for (path, master) in &masters {
        let listed = page.files.get(*path);
        let so = |l: &&page::Listed| {
            (l.size, l.mtime) == (master.size, master.mtime.div_euclid(1_000_000_000))
        };
        if listed.filter(so).is_none() {
            let what = format!("{} does not list {} as it is", show(at), show(path));
            verdict.find(Kind::PageList, what);
        }
    }
    let told: BTreeSet<&String> = page.devices.iter().collect();
    if told != case.devices.keys().collect() || told.len() != page.devices.len() {
        verdict.find(Kind::PageState, format!("{} tells of other devices", show(at)));
    }
    for (d, device) in page.devices.iter().enumerate() {
        if ledger.holders.get(device).is_some_and(|rows| rows.mass_change) {
            continue;
        }
        let held = drive.files(b"BTsync/devices");
        for (path, listed) in &page.files {
            let is_there = held.contains_key(&below(device.as_bytes(), path)[..]);
            if masters.contains_key(&path[..]) && is_there != (listed.state(d) != 0) {
                let (what, is) = (show(path), if is_there { "there" } else { "not there" });
                let what = format!("{}: {what} is {is} on {device} and told else", show(at));
                verdict.find(Kind::PageState, what);
            }
        }
    }
}
