//! What the kernel offers and rustix does not: leases on files, sharing extents, disks that nobody may write.
//!
//! The one room with `unsafe` in it. In come descriptors of opened files, out come plain answers.
//! It must never take ownership of a descriptor, keep a pointer beyond a call, or let a broken lease
//! raise a signal that ends the program.
//!
//! A **lease** (fcntl(2), "Leases") makes everybody who opens the file for writing, or truncates it,
//! wait until we have let go. It is refused while anybody has the file open or mapped for writing.
//! That is what makes it safe to exchange a name between looking and linking. Taking one needs the
//! file's owner (Larder and the sync engine run under one user) or CAP_LEASE.
#![allow(unsafe_code)]

use rustix::io::Errno;
use std::os::fd::{AsRawFd as _, BorrowedFd};

/// fcntl(2) F_SETSIG: which signal tells of a broken lease. The libc crate has it only for musl.
const F_SETSIG: libc::c_int = 10;
/// `_IOWR(0x94, 54, struct file_dedupe_range)`, ioctl_fideduperange(2).
const FIDEDUPERANGE: libc::Ioctl = 0xc018_9436;
/// `_IOWR('f', 11, struct fiemap)`, Documentation/filesystems/fiemap.rst.
const FIEMAP: libc::Ioctl = 0xc020_660b;
/// `_IO(0x12, 93)`, include/uapi/linux/fs.h.
const BLKROSET: libc::Ioctl = 0x125d;
/// `_IO(0x12, 94)`, include/uapi/linux/fs.h.
const BLKROGET: libc::Ioctl = 0x125e;
/// Extents asked for in one call.
const EXTENTS: usize = 64;

/// Takes a read lease on a file that was opened for reading. It ends when the descriptor is
/// closed.
///
/// `EAGAIN` says that somebody has it open for writing.
pub fn take(file: BorrowedFd<'_>) -> Result<(), Errno> {
    // By default a broken lease sends SIGIO, which ends a program that does not expect it. SIGURG
    // is ignored unless somebody handles it; we ask with `intact` instead of being told.
    fcntl(file, F_SETSIG, libc::SIGURG)?;
    fcntl(file, libc::F_SETLEASE, libc::F_RDLCK).map(|_| ())
}

/// True while nobody waits to write into the file.
pub fn intact(file: BorrowedFd<'_>) -> bool {
    // While somebody waits, the kernel names the lease that it wants us to go down to.
    fcntl(file, libc::F_GETLEASE, 0) == Ok(libc::F_RDLCK)
}

/// Lets everybody write again.
#[cfg(test)]
fn give_back(file: BorrowedFd<'_>) -> Result<(), Errno> {
    fcntl(file, libc::F_SETLEASE, libc::F_UNLCK).map(|_| ())
}

/// Sets whether a block device may be written, by file systems too. Needs CAP_SYS_ADMIN.
pub fn set_read_only(device: BorrowedFd<'_>, on: bool) -> Result<(), Errno> {
    let value = libc::c_int::from(on);
    // SAFETY: the kernel reads one int, which lives until the call is over; the descriptor is borrowed and open.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), BLKROSET, &raw const value) };
    if answer < 0 { Err(last_error()) } else { Ok(()) }
}

/// Whether a block device must not be written, by [`set_read_only`] or by a switch of its own.
pub fn is_read_only(device: BorrowedFd<'_>) -> Result<bool, Errno> {
    let mut value: libc::c_int = 0;
    // SAFETY: the kernel writes one int, which lives until the call is over; the descriptor is borrowed and open.
    let answer = unsafe { libc::ioctl(device.as_raw_fd(), BLKROGET, &raw mut value) };
    if answer < 0 { Err(last_error()) } else { Ok(value != 0) }
}

fn fcntl(
    file: BorrowedFd<'_>,
    command: libc::c_int,
    value: libc::c_int,
) -> Result<libc::c_int, Errno> {
    // SAFETY: the descriptor is open for the whole call, because it is borrowed. The three commands
    // used in this room take an int and touch no memory of ours.
    let answer = unsafe { libc::fcntl(file.as_raw_fd(), command, value) };
    if answer < 0 { Err(last_error()) } else { Ok(answer) }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// What came of sharing a range.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shared {
    /// So many bytes were equal and lie in the same place now.
    Same(u64),
    /// They are not equal; nothing was changed.
    Differs,
}

/// struct file_dedupe_range with one struct file_dedupe_range_info behind it (linux/fs.h).
#[repr(C)]
struct DedupeRange {
    src_offset: u64,
    src_length: u64,
    dest_count: u16,
    reserved1: u16,
    reserved2: u32,
    dest_fd: i64,
    dest_offset: u64,
    bytes_deduped: u64,
    status: i32,
    reserved: u32,
}

/// Lets a range of `into` lie where the same range of `from` lies, if the bytes are equal: the
/// kernel compares them with both files locked. Times and owners stay. Offset and length must be
/// multiples of the block size unless the range ends where both files end.
pub fn share(
    from: BorrowedFd<'_>,
    into: BorrowedFd<'_>,
    offset: u64,
    length: u64,
) -> Result<Shared, Errno> {
    let mut range = DedupeRange {
        src_offset: offset,
        src_length: length,
        dest_count: 1,
        reserved1: 0,
        reserved2: 0,
        dest_fd: i64::from(into.as_raw_fd()),
        dest_offset: offset,
        bytes_deduped: 0,
        status: 0,
        reserved: 0,
    };
    // SAFETY: the kernel reads and writes exactly one range and `dest_count` = 1 info, which is
    // what the struct is (56 bytes, checked below); both descriptors are borrowed and open.
    let answer = unsafe { libc::ioctl(from.as_raw_fd(), FIDEDUPERANGE, &raw mut range) };
    if answer < 0 {
        return Err(last_error());
    }
    match range.status {
        0 => Ok(Shared::Same(range.bytes_deduped)),
        // FILE_DEDUPE_RANGE_DIFFERS
        1 => Ok(Shared::Differs),
        status => Err(Errno::from_raw_os_error(-status)),
    }
}

/// A piece of a file and where it lies on the drive, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Extent {
    /// Where in the file.
    pub at: u64,
    /// Where on the drive.
    pub lies: u64,
    /// How long.
    pub length: u64,
}

/// struct fiemap_extent (linux/fiemap.h).
#[repr(C)]
#[derive(Clone, Copy)]
struct FiemapExtent {
    logical: u64,
    physical: u64,
    length: u64,
    reserved64: [u64; 2],
    flags: u32,
    reserved: [u32; 3],
}

/// struct fiemap with room for [`EXTENTS`] (linux/fiemap.h).
#[repr(C)]
struct Fiemap {
    start: u64,
    length: u64,
    flags: u32,
    mapped_extents: u32,
    extent_count: u32,
    reserved: u32,
    extents: [FiemapExtent; EXTENTS],
}

const _: () = assert!(size_of::<DedupeRange>() == 24 + 32);
const _: () = assert!(size_of::<Fiemap>() == 32 + EXTENTS * 56);

/// Where the first pieces of a file from `start` on lie, at most 64 of them. A piece without a place
/// of its own (not written yet, or kept inside the inode) makes the answer empty.
pub fn extents(file: BorrowedFd<'_>, start: u64) -> Result<Vec<Extent>, Errno> {
    const SYNC: u32 = 1;
    /// UNKNOWN | DELALLOC | DATA_INLINE: the physical offset means nothing.
    const NO_PLACE: u32 = 0x2 | 0x4 | 0x200;
    let nothing = FiemapExtent {
        logical: 0,
        physical: 0,
        length: 0,
        reserved64: [0; 2],
        flags: 0,
        reserved: [0; 3],
    };
    let mut map = Box::new(Fiemap {
        start,
        length: u64::MAX - start,
        flags: SYNC,
        mapped_extents: 0,
        extent_count: EXTENTS as u32,
        reserved: 0,
        extents: [nothing; EXTENTS],
    });
    // SAFETY: the kernel writes the header and at most `extent_count` extents, which is the room
    // that stands behind it (size checked above); the descriptor is borrowed and open.
    let answer = unsafe { libc::ioctl(file.as_raw_fd(), FIEMAP, &raw mut *map) };
    if answer < 0 {
        return Err(last_error());
    }
    let found = &map.extents[..EXTENTS.min(map.mapped_extents as usize)];
    if found.iter().any(|e| e.flags & NO_PLACE != 0) {
        return Ok(Vec::new());
    }
    let extent = |e: &FiemapExtent| Extent { at: e.logical, lies: e.physical, length: e.length };
    Ok(found.iter().map(extent).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd as _;
    use std::time::{Duration, Instant};

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn a_lease_is_refused_to_files_in_use_and_holds_writers_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, b"x").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        let writer = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(take(file.as_fd()), Err(Errno::AGAIN));
        drop(writer);
        // A process that another test starts just now has a copy of the writer until it becomes its program.
        let begun = Instant::now();
        while let Err(busy) = take(file.as_fd()) {
            assert!(busy == Errno::AGAIN && begun.elapsed() < Duration::from_secs(60), "{busy}");
            std::thread::sleep(Duration::from_millis(1));
        }
        assert!(intact(file.as_fd()));
        // Readers are welcome.
        drop(std::fs::File::open(&path).unwrap());
        assert!(intact(file.as_fd()));
        std::thread::scope(|scope| {
            let write = scope.spawn(|| std::fs::write(&path, b"written"));
            while intact(file.as_fd()) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(std::fs::read(&path).unwrap(), b"x");
            give_back(file.as_fd()).unwrap();
            write.join().unwrap().unwrap();
        });
        assert_eq!(std::fs::read(&path).unwrap(), b"written");
    }
}
