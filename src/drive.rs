//! The drive: what is plugged in, whether it may be used, and the hands that check and mount it.
//!
//! In come the disks that the kernel shows and the owner's `[drive]` settings; out comes a mounted
//! Larder drive, or words that say why there is none. [`signature`] and [`decide`] are pure; the
//! other parts are thin shells around the kernel and the file systems' own tools.
//!
//! It must never write to a drive that is not Larder's without the owner's word in `larder.toml`,
//! never format a drive that has Larder's marks, and never write into the empty mount point.

pub mod advice;
pub mod decide;
pub mod decision;
pub mod devices;
pub mod format;
pub mod gpt;
pub mod import;
pub mod mounting;
pub mod ownership;
pub mod reserve;
pub mod signature;
pub mod table;
pub mod words;

use crate::model::Bytes;
use rustix::io::Errno;
use signature::Signature;
use std::io;
use std::path::{Path, PathBuf};
use table::Role;

/// The label of a drive that Larder formatted. A drive with this label is Larder's.
pub const LABEL: &str = "LARDER";
/// The folder of what people see, on a Larder drive.
pub const SHARED: &str = "BTsync";
/// The folder of the server's own things, on a Larder drive.
pub const OWN: &str = "BTsyncApp";

/// One plugged-in disk, as probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disk {
    /// The kernel's name, as `sda`.
    pub name: String,
    /// What tells this plugging-in from another one of the same name.
    pub sequence: u64,
    /// What the owner writes into `larder.toml` for this disk: its serial number, or what stands
    /// for it when the maker gave none.
    pub identity: String,
    /// Maker and model.
    pub model: String,
    /// Its size.
    pub size: Bytes,
    /// The disk refuses writing (a switch on its side, or worn out).
    pub read_only: bool,
    /// The whole disk when it has no partitions, else its partitions. Empty when it can't be read.
    pub volumes: Vec<Volume>,
    /// Reading it failed: what the kernel said.
    pub failed: Option<String>,
    /// It was formatted for sectors of this size, and is shown with others, which hides what is on it.
    pub formatted_for: Option<u64>,
    /// No larger drive or partition can be reached by this kernel.
    pub reach: Bytes,
}

/// A disk without partitions, or a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Volume {
    /// The kernel's name, as `sda1`.
    pub node: String,
    /// Its size.
    pub size: Bytes,
    /// Its marks.
    pub signature: Signature,
    /// What the partition table says that it is for.
    pub role: Role,
    /// What a look inside found; only for file systems that can serve and lack our label.
    pub inside: Option<Inside>,
}

/// What a look inside a file system found, without writing a byte to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Inside {
    /// Larder's folders.
    Larder,
    /// Nothing but `lost+found`.
    Nothing,
    /// Somebody's files.
    Files,
    /// It could not be mounted: what the kernel said.
    Unreadable(String),
}

/// Why something about the drive did not work.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// A call of the kernel failed.
    #[error("{what} {path}: {source}")]
    Io {
        /// What was being done, as "mounting".
        what: &'static str,
        /// To what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// A tool could not be started.
    #[error("{tool} can't be started: {source}; the image lacks it, flash a newer one")]
    Tool {
        /// Its name.
        tool: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// A tool said no.
    #[error("{tool} gave up on {path} (exit code {code}): {said}")]
    Gave {
        /// Its name.
        tool: &'static str,
        /// On what.
        path: PathBuf,
        /// Its exit code; -1 when a signal ended it.
        code: i32,
        /// Its last words.
        said: String,
    },
    /// The disk is not the one that was probed.
    #[error("{0} was exchanged meanwhile; it is looked at again")]
    Exchanged(PathBuf),
    /// The kernel does not show the new partition.
    #[error("the partition on {0} did not appear; unplug the drive and plug it in again")]
    NoPartition(PathBuf),
    /// The disk is too small, or odd.
    #[error("{0} is too small for a Larder drive; use one of at least 1 GB")]
    TooSmall(PathBuf),
    /// This kind of content is not mounted.
    #[error("{0} can't be mounted")]
    NotMountable(&'static str),
}

impl DriveError {
    /// True when the drive has no room left.
    pub fn is_full(&self) -> bool {
        let errno = match self {
            Self::Io { source, .. } => Errno::from_io_error(source),
            _ => None,
        };
        matches!(errno, Some(Errno::NOSPC | Errno::DQUOT))
    }

    /// For `map_err`: keeps what was being done, and to what.
    fn io<E: Into<io::Error>>(what: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { what, path, source: source.into() }
    }
}
