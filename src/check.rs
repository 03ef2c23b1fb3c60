//! `larder check`: verifies on a drive every promise that can be seen on a drive.
//!
//! Reads everything, changes nothing. What it finds is put right by an ordinary run, which plans from
//! what is there; this only tells. The night does the same in steps.

use crate::daemon::Places;
use crate::engine::{Engine, Finding, Known, Verification};
use crate::fs::{FsError, Real};
use crate::ledger::{Ledger, LedgerError};

/// Why a drive could not be verified.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The drive said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The ledger said no.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The drive can't be opened.
    #[error("{0}")]
    Open(String),
}

/// Verifies a drive. `engine` has read it without changing it.
pub fn check(places: &Places, engine: &Engine) -> Result<Vec<Finding>, CheckError> {
    let mut fs = Real::open(&places.drive).map_err(|e| CheckError::Open(e.to_string()))?;
    let mut ledger = Ledger::open_copy(&places.ledger())?;
    // As it is on the disk: `engine` has put in order, in memory, what a cut left.
    let versions = ledger.load()?.versions;
    let mut verification = Verification::thorough();
    if let Some(what) = ledger.verify()? {
        verification.found.push(Finding::of_ledger(&what));
    }
    let known = Known { world: engine.world(), versions: &versions, config: engine.config() };
    verification.go_on(&mut fs, &known, &mut || false)?;
    Ok(verification.found)
}
