//! A drive in use: the engine on it, and those that see to its names and bytes.

use super::carrying::Carrying;
use super::claim::Claim;
use super::now;
use crate::engine::{Engine, EngineError};
use crate::watch::Watch;
use std::time::{Duration, Instant};

/// So often the time is left on the drive.
const TIME_KEPT: Duration = Duration::from_secs(6 * 3_600);

/// A drive in use.
pub(super) struct Drive {
    pub(super) engine: Engine,
    pub(super) watch: Watch,
    pub(super) carrying: Option<Carrying>,
    /// Which folder it is, to notice that another one is mounted there or none.
    pub(super) id: (u64, u64),
    /// When the time was last left on the drive.
    pub(super) timed: Instant,
    /// Given back last.
    pub(super) claim: Claim,
}

impl Drive {
    /// Leaves the time on the drive: without a network, the clock of a Pi starts at its newest file.
    pub(super) fn leave_time(&mut self) -> Result<(), EngineError> {
        self.timed = Instant::now();
        self.engine.keep_in_mind("time", &now().secs().to_string())
    }

    /// The same when it is some time since: no drive is woken up for that more than a few times a day.
    pub(super) fn leave_time_in_time(&mut self) -> Result<(), EngineError> {
        if self.timed.elapsed() < TIME_KEPT { Ok(()) } else { self.leave_time() }
    }

    /// Lets the drive go: first whoever carries, then the ledger. Everything done was brought to the
    /// disk in its turn.
    pub(super) fn close(self) {
        let Self { engine, watch, carrying, claim, .. } = self;
        drop(watch);
        if let Some(carrying) = carrying {
            carrying.end();
        }
        drop(engine);
        drop(claim);
    }
}
