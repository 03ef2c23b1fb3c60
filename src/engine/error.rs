//! What keeps the engine from working, and what that says of the drive.

use crate::apply::ApplyError;
use crate::catalogue::CatalogueError;
use crate::fs::{FsError, Trouble};
use crate::ledger::LedgerError;

/// What keeps the engine from working.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The drive does not work.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The ledger does not work.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// No page could be made.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

impl EngineError {
    /// True when the drive breaks, or takes no writes any more: nothing of it is to be believed.
    pub fn is_failed_drive(&self) -> bool {
        match self {
            Self::Fs(e) => matches!(e.trouble(), Some(Trouble::Failing | Trouble::ReadOnly)),
            Self::Ledger(e) => e.is_failed_drive(),
            Self::Catalogue(_) => false,
        }
    }

    /// What is the matter with the drive, when that is it.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Fs(e) => e.trouble(),
            Self::Ledger(LedgerError::NoInodes { .. }) => Some(Trouble::NoInodes),
            Self::Ledger(e) if e.is_full() => Some(Trouble::Full),
            Self::Ledger(e) => (!e.is_damage()).then_some(Trouble::Failing),
            Self::Catalogue(_) => None,
        }
    }
}

pub(super) fn drive_error(e: ApplyError) -> EngineError {
    match e {
        ApplyError::Fs(e) => e.into(),
        ApplyError::LastName { at } => FsError::Exists { at }.into(),
    }
}
