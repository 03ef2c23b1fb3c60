//! What statx(2) tells: which file system something lies on, and what a name is.

use super::Entry;
use crate::model::{FileId, Stat, Time};
use rustix::fs::{AtFlags, FileType, StatxFlags, statx};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd};

// statx(2), since Linux 5.8.
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// A file system, by its device number. It is another one after the next mount, so it is kept nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Device(u32, u32);

impl Device {
    /// The one that something opened lies on.
    pub(crate) fn of(opened: impl AsFd) -> Result<Self, Errno> {
        let s = statx(opened, b"".as_slice(), AtFlags::EMPTY_PATH, StatxFlags::INO)?;
        Ok(Self(s.stx_dev_major, s.stx_dev_minor))
    }
}

/// True when no further file can be made, however much space there is.
pub(super) fn has_no_inodes(s: &rustix::fs::StatVfs) -> bool {
    // XFS makes inodes of free blocks, so that a full one has none left: that is no lack of inodes.
    const SPACE: u64 = 1 << 20;
    // btrfs counts none, and says 0 of 0.
    s.f_files > 0 && s.f_favail == 0 && s.f_bavail.saturating_mul(s.f_frsize) >= SPACE
}

/// The kind of what is at a name in a folder, never following a link.
pub(crate) fn kind_at(dir: BorrowedFd<'_>, name: &[u8]) -> Result<FileType, Errno> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let s = statx(dir, name, flags, StatxFlags::TYPE)?;
    Ok(FileType::from_raw_mode(s.stx_mode.into()))
}

/// What statx(2) says of a name in a folder of that file system, never following a link.
pub(crate) fn look_at(
    dir: BorrowedFd<'_>,
    name: &[u8],
    flags: AtFlags,
    device: Device,
) -> Result<Entry, Errno> {
    let want = StatxFlags::TYPE
        | StatxFlags::INO
        | StatxFlags::SIZE
        | StatxFlags::MTIME
        | StatxFlags::NLINK
        | StatxFlags::BLOCKS;
    // AT_STATX_DONT_SYNC is for network file systems only; AT_NO_AUTOMOUNT keeps a look a look.
    let s = statx(dir, name, flags | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT, want)?;
    // What is mounted there may be of the same file system; linked it can't be.
    let mounted = s.stx_attributes.bits() & STATX_ATTR_MOUNT_ROOT != 0;
    let kind = FileType::from_raw_mode(s.stx_mode.into());
    let of_ours = matches!(kind, FileType::Directory | FileType::RegularFile);
    if of_ours && (mounted || Device(s.stx_dev_major, s.stx_dev_minor) != device) {
        return Ok(Entry::Elsewhere);
    }
    Ok(match kind {
        FileType::Directory => Entry::Dir,
        FileType::RegularFile => Entry::File(Stat {
            id: FileId {
                ino: s.stx_ino,
                size: s.stx_size,
                mtime: Time(
                    Time::from_secs(s.stx_mtime.tv_sec)
                        .0
                        .saturating_add(i64::from(s.stx_mtime.tv_nsec)),
                ),
            },
            nlink: s.stx_nlink,
            sectors: u32::try_from(s.stx_blocks).unwrap_or(u32::MAX),
        }),
        _ => Entry::Other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{StatVfs, StatVfsMountFlags};

    fn has_none(files: u64, left: u64, free: u64) -> bool {
        has_no_inodes(&StatVfs {
            f_bsize: 4096,
            f_frsize: 4096,
            f_blocks: 1 << 20,
            f_bfree: free,
            f_bavail: free,
            f_files: files,
            f_ffree: left,
            f_favail: left,
            f_fsid: 0,
            f_flag: StatVfsMountFlags::empty(),
            f_namemax: 255,
        })
    }

    #[test]
    fn no_inodes_is_said_only_where_there_is_space() {
        // ext4 with a fixed number of them.
        assert!(has_none(65_536, 0, 1 << 19));
        assert!(!has_none(65_536, 1, 1 << 19));
        // btrfs, which counts none.
        assert!(!has_none(0, 0, 1 << 19));
        // XFS makes inodes of free blocks: a full one has none of either, and is full.
        assert!(!has_none(64_000, 0, 0));
        assert!(!has_none(64_000, 0, 3));
    }
}
