//! The oracle at the end of a test with [`crate::drive::House`]: a phone and a laptop.
//!
//! Take it into a test with `drive.rs` and the oracle: `#[path = "support/judged.rs"] mod judged;`.

use crate::drive::House;
use crate::oracle::{Disk, History, Snapshot, judge};
use std::time::SystemTime;

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time")
}

/// A history that begins with what the drive has and the wishes that wait on it.
pub(crate) fn recorded(house: &House, undo: i64, quota_of_the_phone: Option<u64>) -> History {
    let devices = [("HTCphone", quota_of_the_phone), ("LinuxLaptop", None)];
    let mut history = History::new(now(), undo, &devices);
    let disk = Disk::at(&house.drive);
    let drive = Snapshot::of(&disk);
    history.see(&drive);
    history.press_what_waits(&drive);
    history
}

/// What is on the drive now, and its pages, are seen.
pub(crate) fn see(house: &House, history: &mut History) {
    history.see(&Snapshot::of(&Disk::at(&house.drive)));
}

/// What the oracle finds.
pub(crate) fn judged(house: &House, history: &History) -> Vec<String> {
    let ledger = house.drive.join("BTsyncApp/ledger.sqlite");
    let found = judge(&Disk::at(&house.drive), &ledger, history);
    found.iter().map(ToString::to_string).collect()
}
