//! The oracle of `tests/oracle` at the end of each of these tests: while everything still runs, until it finds
//! nothing.

use crate::home::House;
use crate::lab::LONG;
use crate::oracle::{Disk, History, Snapshot, judge};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// What the oracle has to know of a house.
pub(crate) struct Judged {
    disk: Disk,
    history: History,
}

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

impl Judged {
    /// One for the drive at this path.
    pub(crate) fn of(drive: &Path) -> Self {
        Self { disk: Disk::at(drive), history: History::new(now(), 0, &[]) }
    }

    /// What is on the drive now must not be lost from now on.
    pub(crate) fn see(&mut self) {
        self.history.see(&Snapshot::of(&self.disk));
    }

    /// Somebody is about to take what is there away, by his own hand.
    pub(crate) fn let_go(&mut self, path: &str) {
        self.history.let_go(&Snapshot::of(&self.disk), path.as_bytes());
    }

    fn found(&mut self, ledger: &Path) -> Vec<String> {
        self.history.now = now();
        let found = judge(&self.disk, ledger, &self.history);
        found.iter().map(ToString::to_string).collect()
    }
}

impl House {
    /// The end of a test: the house comes to rest, nothing is amiss, and it stops.
    pub(crate) fn end(&mut self) {
        let ledger = self.drive("").join("../BTsyncApp/ledger.sqlite");
        let devices = self.devices.keys().map(|name| (name.clone(), None));
        self.judged.history.devices = devices.collect();
        let end = Instant::now() + LONG;
        loop {
            let found = self.judged.found(&ledger);
            if found.is_empty() {
                break;
            }
            assert!(Instant::now() < end, "the oracle finds: {found:#?}");
            std::thread::sleep(Duration::from_millis(300));
        }
        self.stop();
    }
}
