//! The time of a machine that may have no clock.

use crate::model::Time;
use crate::status::layout;
use crate::status::machine::Machine;
use std::path::Path;
use std::time::SystemTime;

/// The time now.
pub(super) fn wall() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_secs(i64::try_from(now.as_secs()).unwrap_or(0))
}

/// The time in words, and how the hardware fares then: that is told with every STATUS.txt and is the cause of none.
pub(super) fn written(machine: &Machine) -> String {
    layout::stamp(&wall().rfc3339().replace('T', " ").replace('Z', " UTC"), machine)
}

/// A Pi has no clock of its own: until the network tells the time, it is at least as late as the
/// newest of Larder's own files on the drive.
pub(super) fn set_clock(own: &Path) {
    let entries = std::fs::read_dir(own).into_iter().flatten().flatten();
    let newest = entries.filter_map(|entry| entry.metadata().ok()?.modified().ok()).max();
    let Some(newest) = newest.filter(|at| *at > SystemTime::now()) else { return };
    let Ok(since) = newest.duration_since(SystemTime::UNIX_EPOCH) else { return };
    let Ok(tv_sec) = i64::try_from(since.as_secs()) else { return };
    let time = rustix::time::Timespec { tv_sec, tv_nsec: 0 };
    match rustix::time::clock_settime(rustix::time::ClockId::Realtime, time) {
        Ok(()) => log::info!("the clock was behind the drive's newest file and was set to it"),
        Err(why) => log::warn!("the clock can't be set: {why}"),
    }
}
