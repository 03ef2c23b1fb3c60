//! What keeps the engine from working, and what that says of the drive.

use crate::apply::ApplyError;
use crate::catalogue::CatalogueError;
use crate::fs::{FsError, Trouble};
use crate::ledger::LedgerError;
use crate::model::Spot;

/// What keeps the engine from working.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The drive does not work.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A folder that all need is none of this drive's.
    #[error(
        "{at}: the folder lies on another file system (a mount or a subvolume) than the drive, so that nothing can be \
         linked there; unmount it, or make it an ordinary folder of the drive and move what is in it there"
    )]
    FolderElsewhere {
        /// The folder.
        at: Spot,
    },
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
            Self::Catalogue(_) | Self::FolderElsewhere { .. } => false,
        }
    }

    /// What is the matter with the drive, when that is it.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Fs(e) => e.trouble(),
            Self::Ledger(LedgerError::NoInodes { .. }) => Some(Trouble::NoInodes),
            Self::Ledger(e) if e.is_full() => Some(Trouble::Full),
            Self::Ledger(e) => (!e.is_damage()).then_some(Trouble::Failing),
            Self::Catalogue(_) | Self::FolderElsewhere { .. } => None,
        }
    }
}

/// What keeps one of the folders that all need from being made.
pub(super) fn of_the_house(e: FsError) -> EngineError {
    match e {
        FsError::OtherFileSystem { at } => EngineError::FolderElsewhere { at },
        e => e.into(),
    }
}

/// One device's folder that lies elsewhere is told, and keeps nobody else from going on.
pub(super) fn of_one_device(made: Result<(), FsError>) -> Result<(), FsError> {
    match made {
        Err(FsError::OtherFileSystem { .. }) => Ok(()),
        made => made,
    }
}

pub(super) fn drive_error(e: ApplyError) -> EngineError {
    match e {
        ApplyError::Fs(e) => e.into(),
        ApplyError::LastName { at } => FsError::Exists { at }.into(),
    }
}
