//! How much a device does to files that it had, and the most it ever did: the measure of a mass change. Pure.

use crate::model::Time;
use serde::{Deserialize, Serialize};

/// So much in an hour is never a mass change.
pub(super) const CALM: u32 = 50;
/// Nor is so much in a day.
pub(super) const CALM_DAY: u32 = 4 * CALM;
/// So many times the most of any hour, or day, before is one.
pub(super) const TIMES: u32 = 3;

/// Over how long a device did too much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    /// Within an hour: it is seen as soon as it comes.
    Hour,
    /// Within a day: what grows slowly enough to be three times an hour's measure every hour is seen
    /// here.
    Day,
}

impl Span {
    /// Seconds.
    pub const fn length(self) -> i64 {
        match self {
            Self::Hour => 3_600,
            Self::Day => 86_400,
        }
    }

    /// Seconds that are counted together.
    const fn slot(self) -> i64 {
        match self {
            Self::Hour => 300,
            Self::Day => 3_600,
        }
    }

    const fn slots(self) -> i64 {
        self.length() / self.slot()
    }

    fn slot_of(self, at: Time) -> i64 {
        at.secs().div_euclid(self.slot())
    }
}

/// Counts of twice a span: which slot, files rewritten, files deleted.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Counts(Vec<(i64, u32, u32)>);

impl Counts {
    /// Takes in what was done in a slot. Returns the most of any span that is over: what is not over
    /// is no measure, else every mass change would be its own.
    fn add(&mut self, span: Span, now: i64, rewritten: u32, deleted: u32) -> (u32, u32) {
        let length = span.slots();
        // A clock that was set back must not leave counts behind that no time ends.
        self.0.iter_mut().for_each(|slot| slot.0 = slot.0.min(now));
        let last = self.0.last().map_or(now, |slot| slot.0);
        let first = self.0.first().map_or(now, |slot| slot.0);
        let mut most = (0, 0);
        for end in first + length..=(now - length + 1).min(last + length) {
            let sum = self.between(end - length, end);
            most = (sum.0.max(most.0), sum.1.max(most.1));
        }
        self.0.retain(|slot| slot.0 > now - 2 * length);
        match self.0.last_mut().filter(|slot| slot.0 == now) {
            Some(slot) => {
                slot.1 = slot.1.saturating_add(rewritten);
                slot.2 = slot.2.saturating_add(deleted);
            }
            None => self.0.push((now, rewritten, deleted)),
        }
        most
    }

    fn between(&self, from: i64, to: i64) -> (u32, u32) {
        let within = self.0.iter().filter(|slot| (from..to).contains(&slot.0));
        within.fold((0, 0), |sum, slot| (sum.0 + slot.1, sum.1 + slot.2))
    }
}

/// What a device did lately, and the most it ever did.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct ChangeRate {
    /// By five minutes.
    slots: Counts,
    /// By hours.
    #[serde(default)]
    hours: Counts,
    /// The most files rewritten in one hour.
    pub most_rewritten: u32,
    /// The most files deleted in one hour.
    pub most_deleted: u32,
    /// The most files rewritten in one day.
    #[serde(default)]
    pub most_in_a_day: u32,
    /// Of old contents before this number the owner has spoken: they are of no later mass change.
    #[serde(default)]
    pub spoken_of: u64,
}

impl ChangeRate {
    /// Takes in what was done at a moment.
    pub fn add(&mut self, at: Time, rewritten: u32, deleted: u32) {
        let hour = self.slots.add(Span::Hour, Span::Hour.slot_of(at), rewritten, deleted);
        self.most_rewritten = self.most_rewritten.max(hour.0);
        self.most_deleted = self.most_deleted.max(hour.1);
        let day = self.hours.add(Span::Day, Span::Day.slot_of(at), rewritten, deleted);
        self.most_in_a_day = self.most_in_a_day.max(day.0);
    }

    fn counts(&self, span: Span) -> &Counts {
        match span {
            Span::Hour => &self.slots,
            Span::Day => &self.hours,
        }
    }

    /// Files rewritten and deleted in the last hour or day.
    pub fn lately(&self, span: Span, now: Time) -> (u32, u32) {
        self.counts(span).between(span.slot_of(now) - span.slots() + 1, i64::MAX)
    }

    /// Since when the last hour or day counts.
    pub(super) fn since(&self, span: Span, now: Time) -> Time {
        let from = span.slot_of(now) - span.slots() + 1;
        let first =
            self.counts(span).0.iter().map(|slot| slot.0).filter(|slot| *slot >= from).min();
        Time::from_secs(first.unwrap_or(from) * span.slot())
    }

    /// Whether so much more, on top of what it did lately, is a mass change on a device with `all` links.
    pub fn mass_change(&self, now: Time, rewritten: u32, deleted: u32, all: usize) -> Option<Span> {
        let limit = |calm: u32, most: u32| calm.max(most.saturating_mul(TIMES));
        let lately = self.lately(Span::Hour, now);
        let changed = lately.0.saturating_add(rewritten);
        let gone = lately.1.saturating_add(deleted);
        let fifth = u64::from(gone) * 5 > all as u64 + u64::from(lately.1);
        if changed > limit(CALM, self.most_rewritten)
            || (gone > limit(CALM, self.most_deleted) && fifth)
        {
            return Some(Span::Hour);
        }
        let changed = self.lately(Span::Day, now).0.saturating_add(rewritten);
        (changed > limit(CALM_DAY, self.most_in_a_day)).then_some(Span::Day)
    }

    /// The owner says that as much is in order.
    pub(super) fn accept(&mut self, span: Span, rewritten: u32, deleted: u32) {
        self.slots = Counts::default();
        self.hours = Counts::default();
        if span == Span::Hour {
            self.most_rewritten = self.most_rewritten.max(rewritten);
            self.most_deleted = self.most_deleted.max(deleted);
        }
        self.most_in_a_day = self.most_in_a_day.max(rewritten);
    }
}
