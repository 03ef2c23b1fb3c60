//! What goes wrong with the ledger, and what that says of the drive.

use rustix::io::Errno;
use std::path::{Path, PathBuf};

/// What went wrong with the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// SQLite said no.
    #[error("{}: {doing}: {source}", .path.display())]
    Sqlite {
        /// The database.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// It was written by a newer Larder.
    #[error(
        "{}: it was written by a newer Larder (its version is {found}, this one knows {known}); \
         update this NAS", .path.display()
    )]
    Newer {
        /// The database.
        path: PathBuf,
        /// Its version.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// SQLite needs files of its own beside it, and no further file can be made.
    #[error(
        "{}: the drive has space, but its number of files is used up (no inodes left); remove some files or empty \
         folders", .path.display()
    )]
    NoInodes {
        /// The database.
        path: PathBuf,
    },
    /// Its folder can't be made.
    #[error("{}: {source}", .path.display())]
    Folder {
        /// The database.
        path: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// The kernel has no random numbers, and no secret is made without.
    #[error("the kernel gives no random numbers ({0}); restart")]
    Random(String),
    /// A row makes no sense.
    #[error("{}: {what}; `larder check` tells more", .path.display())]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What makes no sense.
        what: String,
    },
}

impl LedgerError {
    /// True when the content is damaged, so that a new ledger has to be begun; not when the drive
    /// fails or is full.
    pub fn is_damage(&self) -> bool {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match self {
            Self::Damaged { .. } => true,
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(DatabaseCorrupt | NotADatabase))
            }
            Self::Newer { .. } | Self::NoInodes { .. } | Self::Folder { .. } | Self::Random(_) => {
                false
            }
        }
    }

    /// True when reading or writing it failed as on a drive that breaks or may only be read.
    pub fn is_failed_drive(&self) -> bool {
        use rusqlite::ErrorCode::{CannotOpen, ReadOnly, SystemIoFailure};
        match self {
            // A drive that turned read-only shows as a database that can't be opened.
            Self::Sqlite { source, .. } => {
                matches!(source.sqlite_error_code(), Some(SystemIoFailure | ReadOnly | CannotOpen))
            }
            Self::Folder { source, .. } => {
                matches!(Errno::from_io_error(source), Some(Errno::IO | Errno::ROFS))
            }
            Self::Newer { .. } | Self::NoInodes { .. } | Self::Random(_) | Self::Damaged { .. } => {
                false
            }
        }
    }

    /// True when there is no room for it.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Sqlite { source, .. }
            if source.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull))
    }
}

/// True when no further file can be made beside the ledger; btrfs counts none and says 0 of 0.
pub(super) fn has_no_inodes(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(path);
    rustix::fs::statvfs(folder).is_ok_and(|s| s.f_files > 0 && s.f_favail == 0)
}
