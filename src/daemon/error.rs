//! Why the engine can't be run, and what the owner is told of it.

use crate::engine::EngineError;
use crate::fs::Trouble;
use crate::model::Time;
use crate::status::{Condition, Notice};
use rustix::io::Errno;
use std::path::PathBuf;

/// Why the engine could not be run.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// The folder that should be the drive is not there.
    #[error("{}: {source}; plug the drive in, or name the folder where it is mounted", .root.display())]
    NoDrive {
        /// The folder.
        root: PathBuf,
        /// What the kernel said.
        source: std::io::Error,
    },
    /// There are files on it, and no Larder.
    #[error(
        "{}: there are files here, but no Larder folders, so nothing was written; \
         if Larder may use this drive, make an empty folder `BTsync` on it", .root.display()
    )]
    Foreign {
        /// The folder.
        root: PathBuf,
    },
    /// Another Larder has it.
    #[error(
        "{}: another Larder works on this drive, and joins equal files in the night; stop it first", .root.display()
    )]
    InUse {
        /// The folder.
        root: PathBuf,
    },
    /// The engine stopped.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The drive can't be watched.
    #[error("the drive can't be watched: {0}")]
    Watch(#[from] notify::Error),
    /// The kernel has no random numbers.
    #[error("the kernel gives no random numbers ({0}), and nothing is shared without; restart")]
    Random(String),
    /// The process can't be told to stop.
    #[error("signals can't be received: {0}")]
    Signal(#[source] std::io::Error),
}

impl DaemonError {
    /// True when there is no room on the drive.
    pub(super) fn is_full(&self) -> bool {
        matches!(self, Self::Engine(e) if matches!(e.trouble(), Some(Trouble::Full | Trouble::NoInodes)))
    }

    /// True when the drive itself failed or may only be read. One that was pulled did not fail.
    pub(super) fn is_failed_drive(&self) -> bool {
        match self {
            Self::Engine(e) => e.is_failed_drive(),
            Self::NoDrive { source, .. } => matches!(
                Errno::from_io_error(source),
                Some(Errno::IO | Errno::ROFS | Errno::UCLEAN)
            ),
            _ => false,
        }
    }

    /// What the owner is told, and what the LED shows.
    pub(super) fn notice(&self, now: Time) -> Notice {
        let (condition, next) = match self {
            Self::NoDrive { .. } => (Condition::WaitingForDrive, "plug the drive in"),
            Self::Foreign { .. } => {
                (Condition::DriveUnusable, "make an empty folder BTsync on it if Larder may use it")
            }
            Self::Engine(e) => match e.trouble() {
                Some(Trouble::Full) => {
                    (Condition::DriveFull, "make room on the drive; Larder goes on by itself")
                }
                Some(Trouble::NoInodes) => (
                    Condition::DriveFull,
                    "remove some files or empty folders: space alone does not help; Larder goes on by itself",
                ),
                Some(Trouble::ReadOnly) => (
                    Condition::DriveUnusable,
                    "the drive may only be read; unplug it and plug it in again to have it checked",
                ),
                Some(Trouble::Failing) => (
                    Condition::DriveUnusable,
                    "unplug the drive and plug it in again; if that does not help, copy it and use another one",
                ),
                None => (Condition::DriveUnusable, "run `larder check`"),
            },
            Self::InUse { .. } => (Condition::Attention, "stop the other one"),
            _ => (Condition::Attention, "restart Larder"),
        };
        Notice { at: now, condition, what: self.to_string(), next: next.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::FsError;
    use crate::ledger::LedgerError;
    use crate::model::{Place, RelPath};

    #[test]
    fn a_drive_that_failed_is_told_from_one_that_is_full_or_was_pulled() {
        let fs = |errno| {
            DaemonError::from(EngineError::from(FsError::new(
                &Place::Tmp.at(RelPath::default()),
                "x",
                errno,
            )))
        };
        let root = |errno: Errno| DaemonError::NoDrive { root: "/d".into(), source: errno.into() };
        for errno in [Errno::IO, Errno::ROFS, Errno::UCLEAN] {
            assert!(fs(errno).is_failed_drive(), "{errno}");
            assert!(root(errno).is_failed_drive(), "{errno}");
        }
        for errno in [Errno::NOSPC, Errno::DQUOT, Errno::NOENT, Errno::ACCESS] {
            assert!(!fs(errno).is_failed_drive(), "{errno}");
            assert!(!root(errno).is_failed_drive(), "{errno}");
        }
        let path = || "/d/ledger".into();
        let sqlite = |code| {
            let source = rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None);
            let e = LedgerError::Sqlite { path: path(), doing: "x", source };
            DaemonError::from(EngineError::from(e)).is_failed_drive()
        };
        let (io_error_at_fsync, read_only, no_open) = (10 | 4 << 8, 8, 14);
        let (full, corrupt, busy) = (13, 11, 5);
        assert!(sqlite(io_error_at_fsync) && sqlite(read_only) && sqlite(no_open));
        assert!(!sqlite(full) && !sqlite(corrupt) && !sqlite(busy));
        let newer = LedgerError::Newer { path: path(), found: 9, known: 1 };
        assert!(!DaemonError::from(EngineError::from(newer)).is_failed_drive());
    }
}
