//! Why the engine can't be run, and what the owner is told of it.

use crate::engine::EngineError;
use crate::fs::Trouble;
use crate::model::Time;
use crate::status::{Condition, Notice};
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
        matches!(self, Self::Engine(e) if e.trouble() == Some(Trouble::Full))
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
                Some(Trouble::ReadOnly) => (
                    Condition::DriveUnusable,
                    "the drive may only be read; unplug it and plug it in again to have it checked",
                ),
                Some(Trouble::Failing) => (
                    Condition::DriveUnusable,
                    "unplug the drive and plug it in again; if that does not help, it is worn out",
                ),
                None => (Condition::DriveUnusable, "run `larder check`"),
            },
            Self::InUse { .. } => (Condition::Attention, "stop the other one"),
            _ => (Condition::Attention, "restart Larder"),
        };
        Notice { at: now, condition, what: self.to_string(), next: next.into() }
    }
}
