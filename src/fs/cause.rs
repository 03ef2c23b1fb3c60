//! Why the kernel said no, in words with a next step.
//!
//! Errno values alone do not tell: EPERM is said for a file of another user, for an immutable one and for much else.
//! So the file that is the cause is looked at, after the error and only then.

use super::stat::has_no_inodes;
use super::{FsError, Trouble};
use crate::model::Spot;
use rustix::fs::{AtFlags, Mode, OFlags, ResolveFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;
use std::fmt;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

/// Why something is forbidden.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Denial {
    /// It belongs to another user, who has this number.
    Owner(u32),
    /// It has the attribute "immutable" or "append only".
    Protected,
    /// Its mode.
    Mode,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owner(uid) => write!(
                f,
                "because it belongs to another user (number {uid}); unplug the drive and plug it into the Pi \
                 again, which makes it Larder's, or change its owner on a computer (chown)"
            ),
            Self::Protected => f.write_str(
                "because it is protected against changes; take that away on a computer (chattr -i -a)",
            ),
            Self::Mode => f.write_str(
                "because of its access rights; let its owner read and write it (chmod u+rwX)",
            ),
            Self::Unknown => f.write_str("for a reason that the system does not tell; see who owns it"),
        }
    }
}

/// Says of an error what the errno alone does not tell.
pub(super) fn explain(root: &OwnedFd, error: FsError) -> FsError {
    match error {
        FsError::Denied { at, doing, .. } => denied(root, at, doing),
        FsError::Drive { trouble: Trouble::Full, at, doing, source } => {
            let no_inodes = rustix::fs::fstatvfs(root).is_ok_and(|s| has_no_inodes(&s));
            let trouble = if no_inodes { Trouble::NoInodes } else { Trouble::Full };
            FsError::Drive { trouble, at, doing, source }
        }
        e => e,
    }
}

/// Finds out what forbids something: the name itself, or the nearest folder above it that does.
pub(super) fn denied(root: &OwnedFd, at: Spot, doing: &'static str) -> FsError {
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let mut path = Some(at.path.clone());
    while let Some(here) = path {
        let folder = at.place.clone().at(here.parent().unwrap_or_default());
        let mut bytes = folder.place.folder().into_bytes();
        if !folder.path.is_root() {
            bytes.push(b'/');
            bytes.extend_from_slice(folder.path.as_bytes());
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(fd) = openat2(root, bytes.as_slice(), flags, Mode::empty(), how) {
            let name = here.name().unwrap_or_default();
            if let Some(cause) = of(fd.as_fd(), name) {
                return FsError::Denied { at: at.place.at(here), doing, cause };
            }
            if let Some(cause) = of(fd.as_fd(), b"") {
                return FsError::Denied { at: folder, doing, cause };
            }
        }
        path = here.parent();
    }
    FsError::Denied { at, doing, cause: Denial::Unknown }
}

/// What about a name in a folder (or about the folder, by an empty name) may forbid something; `None` when nothing
/// about it does.
fn of(dir: BorrowedFd<'_>, name: &[u8]) -> Option<Denial> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let flags = if name.is_empty() { flags | AtFlags::EMPTY_PATH } else { flags };
    let s = match statx(dir, name, flags, StatxFlags::UID | StatxFlags::MODE) {
        Ok(s) => s,
        Err(Errno::ACCESS | Errno::PERM) => return of(dir, b""),
        Err(_) => return None,
    };
    let attributes = s.stx_attributes.bits();
    if attributes & (STATX_ATTR_IMMUTABLE | STATX_ATTR_APPEND) != 0 {
        return Some(Denial::Protected);
    }
    let me = rustix::process::geteuid();
    if !me.is_root() && s.stx_uid != me.as_raw() {
        return Some(Denial::Owner(s.stx_uid));
    }
    (s.stx_mode & 0o600 != 0o600).then_some(Denial::Mode)
}

// statx(2).
const STATX_ATTR_IMMUTABLE: u64 = 0x10;
const STATX_ATTR_APPEND: u64 = 0x20;
