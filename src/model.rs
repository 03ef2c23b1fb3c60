//! The words of the house: paths, names, sizes, times and file facts.
//!
//! Values only. Nothing here opens a file, reads a clock or talks to anybody, and everything that
//! comes from outside is validated once, when the value is made.

mod access;
mod action;
pub mod dialect;
mod holder;
mod path;
mod size;
mod tree;
mod untaken;
mod wish;

pub use access::{Access, MAX_SESSIONS, Password, SESSION_SECONDS, Session};
pub use action::{About, Action, Devices, Trait, Traits, With};
pub use dialect::{is_private, is_reserved};
pub use holder::{Holder, ShareName};
pub use path::{Name, PathError, Place, RelPath, Spot, show};
pub use size::{Bytes, SizeError};
pub use tree::{Cursor, DirId, Tree};
pub use untaken::{NotTaken, Untaken};
pub use wish::{Answer, Origin, Seen, Wish, WishId};

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The name of a device, as it is written in the settings and used for its folder on the drive.
///
/// 1 to 64 characters of `A-Z a-z 0-9 . _ -`, not beginning with `.` or `-`. Case matters, but
/// the settings refuse two names that differ only in case (a drive may be read on Windows).
/// Who else holds links is a [`Holder`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceName(Arc<str>);

/// Why a text is no device name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` can't be a device name: use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit"
)]
pub struct DeviceNameError(String);

impl DeviceName {
    /// Checks a text and makes it a device name.
    pub fn new(text: &str) -> Result<Self, DeviceNameError> {
        let fits = (1..=64).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-'))
            && text.as_bytes()[0].is_ascii_alphanumeric();
        if fits { Ok(Self(text.into())) } else { Err(DeviceNameError(show(text.as_bytes()))) }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DeviceName {
    type Error = DeviceNameError;
    fn try_from(text: String) -> Result<Self, DeviceNameError> {
        Self::new(&text)
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A moment, in nanoseconds since 1970-01-01 UTC (negative before). Files carry it as their mtime.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Time(pub i64);

impl Time {
    /// Nanoseconds in a second.
    pub const SECOND: i64 = 1_000_000_000;

    /// A moment from whole seconds since 1970; what does not fit is clamped (year 1677 to 2262).
    pub const fn from_secs(secs: i64) -> Self {
        Self(secs.saturating_mul(Self::SECOND))
    }

    /// Whole seconds since 1970, rounded down.
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(Self::SECOND)
    }

    /// This moment and `secs` seconds more.
    pub const fn plus_secs(self, secs: i64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(Self::SECOND)))
    }

    /// Seconds from `earlier` to this moment; negative when `earlier` is later.
    pub const fn since(self, earlier: Time) -> i64 {
        self.0.saturating_sub(earlier.0).div_euclid(Self::SECOND)
    }

    /// The moment as the house writes it in names: `2026-11-23 10-00-00` (UTC).
    pub fn for_name(self) -> String {
        self.format("%Y-%m-%d %H-%M-%S")
    }

    /// The day for people (UTC): `2026-11-23`.
    pub fn day(self) -> String {
        self.format("%Y-%m-%d")
    }

    /// RFC 3339 in UTC, to the second: `2026-11-23T10:00:00Z`.
    pub fn rfc3339(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    fn format(self, pattern: &str) -> String {
        jiff::Timestamp::from_second(self.secs())
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .strftime(pattern)
            .to_string()
    }
}

/// What tells one content of a file from another: the inode, and the size and mtime it had.
///
/// Two facts taken at the same moment with the same `ino` are the same file. A remembered fact
/// and a fresh one are the same content only when all three agree, because the file system may
/// give a freed inode number to another file.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
pub struct FileId {
    /// Inode number on the drive.
    pub ino: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: Time,
}

/// Everything a look at a regular file tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stat {
    /// Which file and which content.
    pub id: FileId,
    /// How many names the inode has.
    pub nlink: u32,
    /// Sectors of 512 bytes allocated on the drive. Stops counting at 2 TiB, where the size takes over.
    pub sectors: u32,
}

impl Stat {
    /// What the file costs a quota: the larger of its size and what it occupies, so that sparse
    /// files are charged in full.
    pub fn charge(&self) -> Bytes {
        Bytes(self.id.size.max(u64::from(self.sectors) * 512))
    }
}

/// One link as the ledger remembers it: what we put into a device's folder, or adopted from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Link {
    /// The content the link had when it was recorded.
    pub id: FileId,
    /// What it costs the device's quota.
    pub charge: Bytes,
    /// Last use: got, opened through the page, or changed by the device. Seconds since 1970, taken
    /// back once they are seen to lie ahead of the clock.
    pub used: i64,
}

/// How far a link is on its way to the device, while it is not there yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Live {
    /// Linked; the sync engine has not begun.
    Queued,
    /// On its way, so many per cent of it.
    Syncing(u8),
}
