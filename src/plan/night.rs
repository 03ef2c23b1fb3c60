//! What to do in the night, as data: in come the time, the settings, how long nothing has moved and what was
//! done tonight; out comes what to do now.
//!
//! A night is named by the day on which its window begins in the time zone of the house, so that it is one
//! night over midnight, over a change to or from summer time, and over a clock that is put right while it lasts.

use crate::config;
use jiff::Timestamp;
use jiff::civil::{Date, Time as Clock};
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

use crate::model::Time;

/// So many seconds nothing has to have moved before the work begins or goes on.
pub const QUIET: i64 = 10;
/// Before this (2024-01-01) it is: the clock was never set. A Pi has none of its own and begins in 1970.
pub const CLOCK_IS_SET: Time = Time::from_secs(1_704_067_200);

/// Work that can wait for the night, in its order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Task {
    /// The sums of files, ahead of need.
    Sums,
    /// What was joined the night before is let go.
    Settle,
    /// Equal files are joined.
    Dedup,
    /// Old contents that were kept long enough go.
    Expiry,
    /// The promises are verified.
    Check,
}

impl Task {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Sums, Self::Settle, Self::Dedup, Self::Expiry, Self::Check];

    /// True for one that the owner wants done.
    pub fn is_wanted(self, settings: &config::Night) -> bool {
        self != Self::Dedup || settings.dedup
    }

    /// The one after it; the first comes after the last.
    const fn next(self) -> Self {
        match self {
            Self::Sums => Self::Settle,
            Self::Settle => Self::Dedup,
            Self::Dedup => Self::Expiry,
            Self::Expiry => Self::Check,
            Self::Check => Self::Sums,
        }
    }
}

impl std::fmt::Display for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sums => "making sums ahead of need",
            Self::Settle => "letting go what was joined",
            Self::Dedup => "joining equal files",
            Self::Expiry => "letting old contents go",
            Self::Check => "verifying the promises",
        })
    }
}

/// What was done in a night. It outlives a restart.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tonight {
    /// The day on which it began, such as `2026-11-25`; empty before the first.
    pub night: String,
    /// What came to its end.
    pub done: BTreeSet<Task>,
    /// What is being done, or was when the night ended.
    pub at: Option<Task>,
    /// What it began with.
    pub first: Option<Task>,
    /// The drive failed: no more tonight.
    pub failed: bool,
}

impl Tonight {
    /// A night that begins. What the one before did not come to an end with waits longest: work
    /// that fills whole nights must not keep the rest from ever being done.
    fn after(&self, night: String) -> Self {
        let cut = self.at.filter(|_| !self.failed);
        Self { night, first: cut.map(Task::next), ..Self::default() }
    }

    /// What comes next.
    fn next(&self, wanted: impl Fn(Task) -> bool) -> Option<Task> {
        let mut task = self.first.unwrap_or(Task::Sums);
        for _ in Task::ALL {
            if wanted(task) && !self.done.contains(&task) {
                return Some(task);
            }
            task = task.next();
        }
        None
    }

    /// One has come to its end.
    pub fn finish(&mut self, task: Task) {
        self.done.insert(task);
        self.at = None;
    }
}

/// Whether to work.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Todo {
    /// Do this.
    Work(Task),
    /// It is not night.
    Day,
    /// The clock was never set, so nobody knows.
    NoClock,
    /// Something moves, or did a moment ago.
    Busy,
    /// All is done for tonight.
    Done,
    /// The drive failed tonight.
    Failed,
}

/// Decides what to do now. `quiet` is for how many seconds nothing has moved. The night comes back as it is to
/// be remembered.
pub fn night(
    now: Time,
    settings: &config::Night,
    zone: &TimeZone,
    quiet: i64,
    tonight: &Tonight,
) -> (Tonight, Todo) {
    if now < CLOCK_IS_SET {
        return (tonight.clone(), Todo::NoClock);
    }
    let Some(date) = night_of(now, settings, zone) else { return (tonight.clone(), Todo::Day) };
    let date = date.to_string();
    let mut tonight = match tonight.night == date {
        true => tonight.clone(),
        false => tonight.after(date),
    };
    if tonight.failed {
        return (tonight, Todo::Failed);
    }
    let Some(task) = tonight.next(|task| task.is_wanted(settings)) else {
        return (tonight, Todo::Done);
    };
    if quiet < QUIET {
        return (tonight, Todo::Busy);
    }
    tonight.at = Some(task);
    (tonight, Todo::Work(task))
}

/// The day on which the night that it is now began; `None` by day.
fn night_of(now: Time, settings: &config::Night, zone: &TimeZone) -> Option<Date> {
    let now = Timestamp::from_nanosecond(now.0.into()).ok()?;
    let today = zone.to_datetime(now).date();
    let clock = |minutes: u16| {
        // Settings have minutes of a day.
        let (hour, minute) = ((minutes / 60) as i8, (minutes % 60) as i8);
        Clock::new(hour, minute, 0, 0).unwrap_or_default()
    };
    let over_midnight = settings.to < settings.from;
    [Some(today), today.yesterday().ok()].into_iter().flatten().find(|&date| {
        let last = if over_midnight { date.tomorrow().unwrap_or(date) } else { date };
        // A time that the change to summer time leaves out is moved by as much; of one that comes twice
        // in autumn, the night begins with the first and ends with the second.
        let begins = date.to_datetime(clock(settings.from));
        let ends = last.to_datetime(clock(settings.to));
        let begins = zone.to_ambiguous_timestamp(begins).earlier();
        let ends = zone.to_ambiguous_timestamp(ends).later();
        matches!((begins, ends), (Ok(begins), Ok(ends)) if begins <= now && now < ends)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(from: u16, to: u16) -> config::Night {
        config::Night { from, to, dedup: true }
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    /// A moment, written with its offset.
    fn at(text: &str) -> Time {
        let moment: Timestamp = text.parse().unwrap();
        Time(moment.as_nanosecond().try_into().unwrap())
    }

    fn of(text: &str, (from, to): (u16, u16), name: &str) -> Option<String> {
        night_of(at(text), &settings(from, to), &zone(name)).map(|date| date.to_string())
    }

    #[test]
    fn every_moment_is_in_one_night_or_in_none() {
        const NIGHT: (u16, u16) = (60, 300);
        const LATE: (u16, u16) = (22 * 60, 6 * 60);
        const EARLY: (u16, u16) = (30, 150);
        for (moment, window, name, night) in [
            // The window as it comes with Larder.
            ("2026-11-25T00:59:59Z", NIGHT, "UTC", None),
            ("2026-11-25T01:00:00Z", NIGHT, "UTC", Some("2026-11-25")),
            ("2026-11-25T04:59:59Z", NIGHT, "UTC", Some("2026-11-25")),
            ("2026-11-25T05:00:00Z", NIGHT, "UTC", None),
            // In the time zone of the house.
            ("2026-11-25T00:00:00Z", NIGHT, "Europe/Berlin", Some("2026-11-25")),
            ("2026-11-25T04:00:00Z", NIGHT, "Europe/Berlin", None),
            ("2026-11-25T09:00:00Z", NIGHT, "America/Los_Angeles", Some("2026-11-25")),
            ("2026-11-24T18:00:00Z", NIGHT, "Asia/Tokyo", Some("2026-11-25")),
            // Over midnight it is one night, named by its evening.
            ("2026-11-25T21:59:59Z", LATE, "UTC", None),
            ("2026-11-25T22:00:00Z", LATE, "UTC", Some("2026-11-25")),
            ("2026-11-26T00:00:00Z", LATE, "UTC", Some("2026-11-25")),
            ("2026-11-26T05:59:59Z", LATE, "UTC", Some("2026-11-25")),
            ("2026-11-26T06:00:00Z", LATE, "UTC", None),
            ("2027-01-01T01:00:00Z", LATE, "UTC", Some("2026-12-31")),
            // To summer time: 02:00 to 03:00 is left out on 2026-03-29.
            ("2026-03-29T01:59:59+01:00", NIGHT, "Europe/Berlin", Some("2026-03-29")),
            ("2026-03-29T03:00:00+02:00", NIGHT, "Europe/Berlin", Some("2026-03-29")),
            ("2026-03-29T05:00:00+02:00", NIGHT, "Europe/Berlin", None),
            // Its end, 02:30, is in the gap: the hour that is left out is not counted.
            ("2026-03-29T03:29:00+02:00", EARLY, "Europe/Berlin", Some("2026-03-29")),
            ("2026-03-29T03:30:00+02:00", EARLY, "Europe/Berlin", None),
            // From summer time: 02:00 to 03:00 comes twice on 2026-10-25, and both belong to it.
            ("2026-10-25T02:29:00+02:00", EARLY, "Europe/Berlin", Some("2026-10-25")),
            ("2026-10-25T02:45:00+02:00", EARLY, "Europe/Berlin", Some("2026-10-25")),
            ("2026-10-25T02:29:00+01:00", EARLY, "Europe/Berlin", Some("2026-10-25")),
            ("2026-10-25T02:30:00+01:00", EARLY, "Europe/Berlin", None),
            // A whole day but a minute.
            ("2026-11-25T12:00:00Z", (1, 0), "UTC", Some("2026-11-25")),
            ("2026-11-25T00:00:30Z", (1, 0), "UTC", None),
        ] {
            assert_eq!(of(moment, window, name).as_deref(), night, "{moment} {window:?} {name}");
        }
    }

    /// What there is to do at that moment, when nothing moves.
    fn todo(moment: &str, tonight: &mut Tonight) -> Todo {
        let (next, todo) = night(at(moment), &settings(60, 300), &zone("UTC"), QUIET, tonight);
        *tonight = next;
        todo
    }

    #[test]
    fn the_tasks_come_in_order_and_once_a_night() {
        let mut tonight = Tonight::default();
        for task in Task::ALL {
            assert_eq!(todo("2026-11-25T02:00:00Z", &mut tonight), Todo::Work(task));
            assert_eq!(todo("2026-11-25T02:00:01Z", &mut tonight), Todo::Work(task));
            tonight.finish(task);
        }
        assert_eq!(todo("2026-11-25T03:00:00Z", &mut tonight), Todo::Done);
        assert_eq!(todo("2026-11-25T12:00:00Z", &mut tonight), Todo::Day);
        assert_eq!(todo("2026-11-26T01:00:00Z", &mut tonight), Todo::Work(Task::Sums));
    }

    #[test]
    fn what_filled_a_night_waits_for_the_others_in_the_next() {
        let mut tonight = Tonight::default();
        assert_eq!(todo("2026-11-25T04:59:00Z", &mut tonight), Todo::Work(Task::Sums));
        assert_eq!(todo("2026-11-25T05:00:00Z", &mut tonight), Todo::Day);
        let mut seen = Vec::new();
        while let Todo::Work(task) = todo("2026-11-26T01:00:00Z", &mut tonight) {
            seen.push(task);
            tonight.finish(task);
        }
        let order = [Task::Settle, Task::Dedup, Task::Expiry, Task::Check, Task::Sums];
        assert_eq!(seen, order);
        // It came to its end: the next one is as usual.
        assert_eq!(todo("2026-11-27T01:00:00Z", &mut tonight), Todo::Work(Task::Sums));
    }

    #[test]
    fn it_rests_while_anything_moves_and_after_trouble() {
        let (settings, zone) = (settings(60, 300), zone("UTC"));
        let now = at("2026-11-25T02:00:00Z");
        let fresh = Tonight::default();
        assert_eq!(night(now, &settings, &zone, QUIET - 1, &fresh).1, Todo::Busy);
        assert_eq!(night(now, &settings, &zone, -5, &fresh).1, Todo::Busy);
        let (mut tonight, _) = night(now, &settings, &zone, QUIET, &fresh);
        tonight.failed = true;
        assert_eq!(night(now, &settings, &zone, QUIET, &tonight).1, Todo::Failed);
        // The next night tries again, from the beginning.
        let next = at("2026-11-26T02:00:00Z");
        let (again, todo) = night(next, &settings, &zone, QUIET, &tonight);
        assert_eq!((todo, again.failed), (Todo::Work(Task::Sums), false));
    }

    #[test]
    fn dedup_can_be_switched_off_and_what_was_joined_is_let_go_all_the_same() {
        let off = config::Night { dedup: false, ..settings(60, 300) };
        let mut tonight = Tonight::default();
        let mut seen = Vec::new();
        loop {
            let now = at("2026-11-25T02:00:00Z");
            let (next, todo) = night(now, &off, &zone("UTC"), QUIET, &tonight);
            tonight = next;
            let Todo::Work(task) = todo else { break };
            seen.push(task);
            tonight.finish(task);
        }
        assert_eq!(seen, [Task::Sums, Task::Settle, Task::Expiry, Task::Check]);
    }

    #[test]
    fn a_clock_that_jumps_costs_at_most_a_night() {
        let mut tonight = Tonight::default();
        // Not set yet: it is 1970, at two in the night.
        assert_eq!(todo("1970-01-01T02:00:00Z", &mut tonight), Todo::NoClock);
        assert_eq!(tonight, Tonight::default());
        assert_eq!(todo("2026-11-25T02:00:00Z", &mut tonight), Todo::Work(Task::Sums));
        tonight.finish(Task::Sums);
        // Back by an hour, and out of the window: the same night goes on.
        assert_eq!(todo("2026-11-25T01:00:00Z", &mut tonight), Todo::Work(Task::Settle));
        assert_eq!(todo("2026-11-25T00:10:00Z", &mut tonight), Todo::Day);
        assert_eq!(todo("2026-11-25T01:30:00Z", &mut tonight), Todo::Work(Task::Settle));
        // Far ahead and back again: other nights, begun anew; nothing is left out for long.
        assert_eq!(todo("2041-01-01T02:00:00Z", &mut tonight), Todo::Work(Task::Dedup));
        let back = todo("2026-11-25T02:00:00Z", &mut tonight);
        assert!(matches!(back, Todo::Work(_)), "{back:?}");
        let mut all = BTreeSet::new();
        while let Todo::Work(task) = todo("2026-11-25T02:10:00Z", &mut tonight) {
            all.insert(task);
            tonight.finish(task);
        }
        assert_eq!(all, Task::ALL.into());
    }

    #[test]
    fn a_night_outlives_a_restart() {
        let mut tonight = Tonight::default();
        todo("2026-11-25T02:00:00Z", &mut tonight);
        tonight.finish(Task::Sums);
        todo("2026-11-25T02:00:00Z", &mut tonight);
        let text = serde_json::to_string(&tonight).unwrap();
        let expected =
            r#"{"night":"2026-11-25","done":["sums"],"at":"settle","first":null,"failed":false}"#;
        assert_eq!(text, expected);
        assert_eq!(serde_json::from_str::<Tonight>(&text).unwrap(), tonight);
        assert_eq!(serde_json::from_str::<Tonight>("{}").unwrap(), Tonight::default());
    }
}
