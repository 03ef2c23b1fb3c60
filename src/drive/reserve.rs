//! A few MB on the Larder drive that nobody else gets, so that Larder can write its own records on a drive that is full
//! to the last block: without them not even the wish that makes room could be written down.
//!
//! In comes the mounted drive; out comes a file in Larder's own folder that takes its blocks, or an empty one, when the
//! engine found no room. Nothing is read from it. It must never follow a link on the drive.

use super::{DriveError, OWN};
use crate::model::Bytes;
use rustix::fs::{FallocateFlags, Gid, Mode, OFlags, Uid, openat};
use rustix::io::Errno;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Its file in Larder's own folder.
const NAME: &str = "reserve";
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// How much is held on a drive of that size: some times what the ledger writes at once.
pub fn size(total: Bytes) -> Bytes {
    const MIB: u64 = 1 << 20;
    Bytes((total.0 / 64).clamp(MIB, 8 * MIB))
}

/// Whether there is so much room that it may be held (again). Well above what a release gives back, so that it is not
/// released and held in turns.
pub fn fits(free: Bytes, total: Bytes) -> bool {
    free.0 >= 4 * size(total).0
}

/// Takes the room, where there is enough, and gives its file to `uid` and `gid`. `false`: there was not.
pub fn hold(drive: &Path, uid: u32, gid: u32) -> Result<bool, DriveError> {
    let fail = || DriveError::io("keeping a reserve on", drive);
    let own = own(drive)?;
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = match openat(&own, NAME, flags, Mode::from_raw_mode(0o600)) {
        Ok(file) => file,
        Err(Errno::NOSPC | Errno::DQUOT) => return Ok(false),
        Err(why) => return Err(fail()(why)),
    };
    let space = rustix::fs::fstatvfs(&own).map_err(fail())?;
    let bytes = |blocks: u64| Bytes(blocks.saturating_mul(space.f_frsize));
    let (free, total) = (bytes(space.f_bavail), bytes(space.f_blocks));
    let there = rustix::fs::fstat(&file).map_err(fail())?.st_size;
    if u64::try_from(there).unwrap_or(0) >= size(total).0 {
        return Ok(true);
    }
    let held = fits(free, total)
        && match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size(total).0) {
            Ok(()) => true,
            // Some kinds of ext can't; no one is worse off than without a reserve.
            Err(Errno::OPNOTSUPP | Errno::NOSPC) => false,
            Err(why) => return Err(fail()(why)),
        };
    if !held {
        release(drive)?;
        return Ok(false);
    }
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::fs::fchown(&file, Some(owner.0), Some(owner.1)).map_err(fail())?;
    Ok(true)
}

/// Gives the room back.
pub fn release(drive: &Path) -> Result<(), DriveError> {
    let flags = OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(own(drive)?, NAME, flags, Mode::empty());
    match file.and_then(|file| rustix::fs::ftruncate(&file, 0)) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(why) => Err(DriveError::io("releasing the reserve on", drive)(why)),
    }
}

fn own(drive: &Path) -> Result<OwnedFd, DriveError> {
    let root = rustix::fs::open(drive, FOLDER, Mode::empty());
    root.and_then(|root| openat(&root, OWN, FOLDER, Mode::empty()))
        .map_err(DriveError::io("opening", drive))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_small_and_held_only_where_there_is_room() {
        assert_eq!(size(Bytes(64 << 20)), Bytes(1 << 20));
        assert_eq!(size(Bytes(4 << 40)), Bytes(8 << 20));
        for total in [16 << 20, 64 << 20, 1 << 30, 4 << 40].map(Bytes) {
            // What a release gives back is not enough to hold it again.
            assert!(!fits(size(total), total));
            assert!(fits(total, total));
        }
    }
}
