//! A drive in use: the engine on it, and those that see to its names and bytes.

use super::carrying::Carrying;
use super::claim::Claim;
use super::now;
use crate::engine::Engine;
use crate::watch::Watch;

/// A drive in use.
pub(super) struct Drive {
    pub(super) engine: Engine,
    pub(super) watch: Watch,
    pub(super) carrying: Option<Carrying>,
    /// Which folder it is, to notice that another one is mounted there or none.
    pub(super) id: (u64, u64),
    /// Given back last.
    pub(super) claim: Claim,
}

impl Drive {
    /// Lets the drive go: first whoever carries, then the ledger. Everything done was brought to the
    /// disk in its turn.
    pub(super) fn close(self) {
        let Self { mut engine, watch, carrying, claim, .. } = self;
        drop(watch);
        if let Some(carrying) = carrying {
            carrying.end();
        }
        if let Err(e) = engine.leave(now()) {
            // A drive that is gone takes nothing any more.
            log::info!("the time was not left on the drive: {e}");
        }
        drop(engine);
        drop(claim);
    }
}
