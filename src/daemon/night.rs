//! The night in the loop: slices of the engine's work between its turns, ended as soon as anybody wants something.

use super::{Daemon, DaemonError, Drive, Places, now, open_to_work, settings_of};
use crate::dedup::{Event, Report};
use crate::engine::Ours;
use crate::status;
use crate::watch::Pending;
use std::time::{Duration, Instant};

/// A slice takes no longer, so that what is due by the clock is seen.
const SLICE: Duration = Duration::from_secs(30);
/// How often in a slice the settings are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// Between two slices, so that the watch has told of what the first changed.
const BREATH: Duration = Duration::from_millis(100);

impl Daemon {
    /// Decides on the night's work, after a turn that left nothing to do.
    pub(super) fn plan_night(&mut self, wait: Duration) -> Result<Duration, DaemonError> {
        self.night = false;
        if let Some(Drive { engine, .. }) = &mut self.drive
            && !wait.is_zero()
        {
            if self.network.take_reads() {
                engine.others_read(now());
            }
            self.night = engine.plan_night(now())?.is_some();
        }
        Ok(wait)
    }

    /// Does a slice of it. Says how long to wait for the next turn.
    pub(super) fn work_in_the_night(&mut self) -> Result<Duration, DaemonError> {
        let seen = self.settings_seen.clone();
        let Some(Drive { engine, watch, carrying, .. }) = &mut self.drive else {
            return Ok(BREATH);
        };
        let (network, stop, places) = (&self.network, &self.stop, &self.places);
        let begun = Instant::now();
        let mut looked = begun;
        let mut disturbed = |ours: &Ours<'_>| {
            let time = Instant::now();
            let settings_changed = time - looked >= LOOK && {
                looked = time;
                Some(super::settings_file(places)) != seen
            };
            settings_changed
                || stop.is_told()
                || time - begun >= SLICE
                || watch.has_others(ours.name, ours.within)
                || carrying.as_ref().is_some_and(|carrying| carrying.has_news())
                || network.has_commands()
                || network.has_reads()
        };
        engine.work_in_the_night(now(), &mut disturbed)?;
        Ok(BREATH)
    }
}

/// Joins the equal files of a drive that nobody else works on; `told` hears of each. Returns what it saves, and
/// the state of the house after it.
pub fn join_now(
    places: &Places,
    least_age: Option<i64>,
    told: &mut dyn FnMut(&Event),
) -> Result<(Report, status::Report), DaemonError> {
    let (mut engine, _claim) = open_to_work(places, &mut settings_of(places))?;
    if let Some(age) = least_age {
        engine.join_from_age(age);
    }
    while engine.turn(Pending::default(), now())?.more {}
    let report = engine.join_now(now(), told)?;
    Ok((report, engine.report()))
}
