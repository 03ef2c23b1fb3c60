//! The times at which the NAS was seen running, and how old that makes what was put away in them.
//!
//! A Pi has no clock of its own: after a start it may be any day, and a wrong answer from the network can make it
//! any year. What is kept for a month must not be over because of that. So the time between two looks counts only
//! when it is no more than a day (a NAS may be switched off for the night). Whatever is more was a NAS that was off
//! for long, or a clock that was put right, and counts for nothing: old contents are kept longer then, never
//! shorter.

use super::night::CLOCK_IS_SET;
use crate::model::Time;
use serde::{Deserialize, Serialize};

/// More seconds than this between two looks are not believed to have passed.
const GAP: i64 = 86_400;
/// So many spans are remembered. What is older than all of them counts from the first.
const MOST: usize = 200;

/// When the NAS was seen running: spans in their order, which is not that of the clock where it was wrong.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Running(Vec<(Time, Time)>);

impl Running {
    /// It runs, and the clock says that it is now. True when that did not follow from the look before: the time
    /// between counts for nothing.
    pub fn look(&mut self, now: Time) -> bool {
        if now < CLOCK_IS_SET {
            return false;
        }
        if let Some((from, to)) = self.0.last_mut()
            && *from <= now
            && now.since(*to).abs() <= GAP
        {
            *to = now;
            return false;
        }
        self.0.push((now, now));
        if self.0.len() > MOST {
            self.0.remove(0);
        }
        true
    }

    /// For how many seconds it was seen running since that moment. Nothing has passed since a moment at which it
    /// was not seen: then the clock was wrong.
    pub fn since(&self, at: Time) -> i64 {
        let mut seconds = 0i64;
        for (from, to) in self.0.iter().rev() {
            if *from <= at && at.since(*to) <= GAP {
                return seconds.saturating_add(to.since(at).max(0));
            }
            seconds = seconds.saturating_add(to.since(*from).max(0));
        }
        let earlier = at >= CLOCK_IS_SET && self.0.iter().all(|(from, _)| at < *from);
        if earlier { seconds } else { 0 }
    }

    /// True once the clock has gone on for a day without a jump.
    pub fn is_steady(&self) -> bool {
        self.0.last().is_some_and(|(from, to)| to.since(*from) >= GAP)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;
    const START: Time = Time::from_secs(1_795_428_000);

    fn day(n: i64) -> Time {
        START.plus_secs(n * DAY)
    }

    /// Looks every hour, both days included.
    fn runs(running: &mut Running, from: i64, to: i64) {
        for hour in from * 24..=to * 24 {
            running.look(START.plus_secs(hour * 3_600));
        }
    }

    #[test]
    fn what_passes_while_it_runs_counts_and_a_night_that_it_is_off() {
        let mut running = Running::default();
        runs(&mut running, 0, 10);
        assert_eq!((running.since(day(0)), running.since(day(7))), (10 * DAY, 3 * DAY));
        assert!(!running.look(day(11)));
        assert_eq!(running.since(day(7)), 4 * DAY);
        // A moment that is a little ahead, and one before anybody looked.
        assert_eq!((running.since(day(11).plus_secs(60)), running.since(day(-400))), (0, 11 * DAY));
    }

    #[test]
    fn a_jump_ahead_and_back_costs_nothing() {
        let mut running = Running::default();
        runs(&mut running, 0, 10);
        assert!(running.look(day(4_000)));
        assert_eq!(running.since(day(0)), 10 * DAY);
        assert!(!running.is_steady());
        let wrong = day(4_000).plus_secs(3_600);
        running.look(wrong);
        assert!(running.look(day(10).plus_secs(7_200)));
        runs(&mut running, 11, 20);
        let (all, hour) = (running.since(day(0)), 3_600);
        assert_eq!(all, 20 * DAY - 2 * hour + hour, "the hour of the wrong clock passed, too");
        assert_eq!(running.since(day(15)), 5 * DAY);
        // Put away while it was wrong: as old as it is.
        assert_eq!(running.since(wrong), 10 * DAY - 2 * hour);
        // At a moment that never was, in no span.
        assert_eq!(running.since(day(2_000)), 0);
    }

    #[test]
    fn a_clock_that_begins_long_ago_at_each_start_costs_nothing_and_ends_nothing() {
        let mut running = Running::default();
        runs(&mut running, 0, 10);
        for start in 0..50 {
            assert!(running.look(day(-200)));
            running.look(day(-200).plus_secs(60));
            running.look(day(10).plus_secs(start * 3_600));
            running.look(day(10).plus_secs(start * 3_600 + 60));
        }
        let age = running.since(day(3));
        assert_eq!(age, 7 * DAY + 50 * 120);
        assert!(!running.is_steady());
        runs(&mut running, 13, 14);
        assert!(running.is_steady());
    }

    #[test]
    fn a_clock_that_was_never_set_says_nothing() {
        let mut running = Running::default();
        assert!(!running.look(Time::from_secs(60)));
        assert_eq!(running, Running::default());
        assert_eq!(running.since(Time::from_secs(60)), 0);
        runs(&mut running, 0, 5);
        running.look(Time::from_secs(60));
        runs(&mut running, 5, 6);
        assert_eq!((running.since(day(0)), running.since(Time::from_secs(70))), (6 * DAY, 0));
    }

    #[test]
    fn weeks_that_it_is_off_do_not_count_and_the_oldest_are_forgotten() {
        let mut running = Running::default();
        for week in 0..300 {
            runs(&mut running, week * 7, week * 7 + 2);
        }
        assert_eq!(running.0.len(), MOST);
        assert_eq!(running.since(day(295 * 7)), 5 * 2 * DAY);
        assert_eq!(running.since(day(0)), 200 * 2 * DAY);
    }

    #[test]
    fn it_outlives_a_restart() {
        let mut running = Running::default();
        runs(&mut running, 0, 1);
        running.look(day(100));
        let text = serde_json::to_string(&running).unwrap();
        assert_eq!(serde_json::from_str::<Running>(&text).unwrap(), running);
    }
}
