//! What stands in the way of an operation: somebody who was at the same name in that moment, which passes, or a cause
//! that stays until somebody removes it. The second is told with its next step, and never called a change.

use super::Engine;
use super::notices::{and_more, halves};
use super::settle::STUCK;
use crate::apply::ApplyError;
use crate::fs::FsError;
use crate::model::{Spot, Time};
use crate::status::Condition;

/// So many are remembered, and looked at again, one by one.
const MOST: usize = 64;

/// What an operation met.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Obstacle {
    /// What, and the next step.
    pub(super) what: String,
    pub(super) lasting: Lasting,
}

/// Whether an obstacle passes by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Lasting {
    /// Somebody was at the same name.
    Race,
    /// It may pass. It is tried again, and if it stays it is named as it is.
    Perhaps,
    /// It stays.
    Stays,
}

impl Lasting {
    fn of(e: &FsError) -> Self {
        match (e.is_race(), e.stays()) {
            (true, _) => Self::Race,
            (_, true) => Self::Stays,
            _ => Self::Perhaps,
        }
    }
}

impl Engine {
    /// Remembers what an operation met.
    pub(super) fn meet(&mut self, e: &FsError) {
        log::info!("{e}");
        self.met = Some(Obstacle { what: e.to_string(), lasting: Lasting::of(e) });
    }

    /// An operation could not be done.
    pub(super) fn stumble(&mut self, e: &ApplyError, now: Time) {
        match e {
            ApplyError::Fs(e) if e.stays() => {
                self.meet(e);
                if let FsError::Denied { at, .. } = e
                    && self.obstacles.len() < MOST
                {
                    self.obstacles.insert(at.clone(), (now, e.to_string()));
                }
            }
            e => {
                let lasting = match e {
                    ApplyError::Fs(e) => Lasting::of(e),
                    _ => Lasting::Race,
                };
                self.met = Some(Obstacle { what: e.to_string(), lasting });
                self.unruly = true;
                self.raise_notice(
                    "operation",
                    Condition::Ready,
                    now,
                    e.to_string(),
                    "Larder tries again",
                );
            }
        }
    }

    /// Tells of what may not be done, until it may be.
    pub(super) fn tell_obstacles(&mut self, now: Time) {
        let due = |at: &Time| !(0..STUCK).contains(&now.since(*at));
        let old: Vec<Spot> = self
            .obstacles
            .iter()
            .filter(|(_, (at, _))| due(at))
            .map(|(spot, _)| spot.clone())
            .collect();
        for spot in old {
            match self.fs.denial(&spot) {
                Some(_) => drop(self.obstacles.get_mut(&spot).map(|(at, _)| *at = now)),
                None => drop(self.obstacles.remove(&spot)),
            }
        }
        let Some((_, why)) = self.obstacles.values().next() else {
            self.clear_notice("denied");
            return;
        };
        let (why, next) = halves(why);
        let what = format!("{why}{}", and_more(self.obstacles.len() - 1));
        let next = next.to_owned();
        self.raise_notice("denied", Condition::Attention, now, what, next);
    }
}
