//! Reads masters without getting into the family's way.
//!
//! In come candidates, out come opened files, hashes and sets of equal files. One reader, who asks
//! `stop` before every block. What reading brings into the page cache goes out of it again, so that
//! the cache stays the family's; what was there before stays there.
//!
//! It must never write, follow a link, or answer for a file that is not the one it was told.

use super::group::{Candidate, Names};
use crate::fs::Device;
use crate::model::{RelPath, Stat, Time};
use rustix::fs::{
    Advice, AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fadvise, openat2, statx,
};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2};
use std::io::IoSliceMut;
use std::num::{NonZeroU32, NonZeroU64};
use std::os::fd::{AsFd, OwnedFd};

/// Bytes of a first part: what a drive reads in one go anyway.
pub(super) const PART: usize = 16 * 1024;
/// Bytes read between two questions whether to stop. Two blocks fit into the second-level cache, where
/// comparing them costs least.
pub(super) const BLOCK: usize = 128 * 1024;
/// Bytes that the drive is asked to fetch ahead: enough that going from file to file costs a rotating
/// drive less than reading.
const AHEAD: u64 = 1024 * 1024;
/// From this size on the end is compared before the middle: what differs mostly does so at either end.
const ENDS: u64 = 256 * 1024;

/// What is to be known of an opened file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Facts {
    pub(super) ino: u64,
    pub(super) size: u64,
    pub(super) mtime: Time,
    /// Last change of content, names or rights; nobody can set it.
    pub(super) ctime: Time,
    /// When the inode was made; the mtime where the file system does not say.
    pub(super) born: Time,
    pub(super) owner: (u32, u32),
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) sectors: u64,
}

impl Facts {
    /// The facts of an opened regular file.
    pub(super) fn of(file: impl AsFd) -> Result<Self, Errno> {
        let want = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        let s = statx(file, b"".as_slice(), AtFlags::EMPTY_PATH, want)?;
        if FileType::from_raw_mode(s.stx_mode.into()) != FileType::RegularFile {
            return Err(Errno::LOOP);
        }
        let time = |secs, nanos: u32| Time(Time::from_secs(secs).0.saturating_add(nanos.into()));
        let mtime = time(s.stx_mtime.tv_sec, s.stx_mtime.tv_nsec);
        let has_birth = s.stx_mask & StatxFlags::BTIME.bits() != 0;
        Ok(Self {
            ino: s.stx_ino,
            size: s.stx_size,
            mtime,
            ctime: time(s.stx_ctime.tv_sec, s.stx_ctime.tv_nsec),
            born: if has_birth { time(s.stx_btime.tv_sec, s.stx_btime.tv_nsec) } else { mtime },
            owner: (s.stx_uid, s.stx_gid),
            mode: s.stx_mode,
            links: s.stx_nlink,
            sectors: s.stx_blocks,
        })
    }

    /// True for the same file with the same content and rights; names may have come and gone.
    pub(super) fn still(&self, now: &Facts) -> bool {
        let essence = |f: &Facts| (f.ino, f.size, f.mtime, f.owner, f.mode);
        essence(self) == essence(now)
    }
}

/// A file opened for reading.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) fd: OwnedFd,
    pub(super) facts: Facts,
    /// Our reading brought it into the page cache; `None` until the first read.
    pub(super) cold: Option<bool>,
}

impl Opened {
    pub(super) fn new(fd: OwnedFd) -> Result<Self, Errno> {
        let facts = Facts::of(&fd)?;
        Ok(Self { fd, facts, cold: None })
    }

    /// Fills the buffer from there on; shorter at the file's end.
    pub(super) fn read(&mut self, buffer: &mut [u8], from: u64) -> Result<usize, Errno> {
        let mut filled = 0;
        if self.cold.is_none() {
            // Without waiting: only what is in the page cache already.
            let slice = &mut [IoSliceMut::new(buffer)];
            let got = preadv2(&self.fd, slice, from, ReadWriteFlags::NOWAIT).unwrap_or(0);
            let wanted = buffer.len().min(
                usize::try_from(self.facts.size - from.min(self.facts.size)).unwrap_or(usize::MAX),
            );
            self.cold = Some(got < wanted);
            filled = got;
            if filled >= wanted {
                return Ok(filled);
            }
        }
        while filled < buffer.len() {
            match pread(&self.fd, &mut buffer[filled..], from + filled as u64) {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(filled)
    }

    /// Finds out whether it is in the page cache, and if not, has the drive fetch so much of it
    /// while we do other things.
    pub(super) fn prime(&mut self, length: u64) -> bool {
        if length <= PART as u64 {
            self.advise(0, None, Advice::Random);
        }
        let mut byte = [0];
        let slice = &mut [IoSliceMut::new(&mut byte)];
        let cached = preadv2(&self.fd, slice, 0, ReadWriteFlags::NOWAIT) == Ok(1);
        if !cached {
            self.advise(0, NonZeroU64::new(length), Advice::WillNeed);
        }
        self.cold = Some(!cached);
        !cached
    }

    /// Tells the kernel how the file is read; that it does not listen harms nobody.
    pub(super) fn advise(&self, from: u64, length: Option<NonZeroU64>, advice: Advice) {
        if let Err(e) = fadvise(&self.fd, from, length, advice) {
            log::debug!("fadvise: {e}");
        }
    }

    /// Gives the page cache back what reading put into it.
    pub(super) fn forget(&self) {
        if self.cold == Some(true) {
            self.advise(0, None, Advice::DontNeed);
        }
    }
}

/// Opens candidates and reads of them.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    pub(super) folder: &'a OwnedFd,
    names: Names<'a>,
    buffer: Vec<u8>,
}

/// Opens a name beneath a folder for reading, following nothing.
pub(super) fn open_beneath(folder: &OwnedFd, path: &RelPath) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    loop {
        match openat2(folder, path.as_bytes(), flags, Mode::empty(), how) {
            // A rename raced with the look-up (openat2(2)): look again.
            Err(Errno::AGAIN) => {}
            // A subvolume is no mount, and a content in it is none of ours.
            Ok(fd) if Device::of(&fd)? != Device::of(folder)? => return Err(Errno::XDEV),
            other => return other,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn new(folder: &'a OwnedFd, names: Names<'a>) -> Self {
        Self { folder, names, buffer: vec![0; PART] }
    }

    /// Path and facts that the tree has of a candidate.
    pub(super) fn name(&self, c: &Candidate) -> Option<(RelPath, Stat)> {
        self.names.of(c)
    }

    /// Opens a candidate; `None` when it is not there any more, or not what it was.
    pub(super) fn open(&self, c: &Candidate) -> Result<Option<Opened>, Errno> {
        let Some((path, stat)) = self.name(c) else { return Ok(None) };
        let opened = match open_beneath(self.folder, &path).and_then(Opened::new) {
            Ok(opened) => opened,
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::ISDIR | Errno::NXIO) => {
                return Ok(None);
            }
            Err(e) => return Err(e),
        };
        let Facts { ino, size, mtime, .. } = opened.facts;
        let same = (ino, size, mtime) == (stat.id.ino, stat.id.size, stat.id.mtime);
        Ok(same.then_some(opened))
    }

    /// Hashes the first part.
    pub(super) fn part(&mut self, file: &mut Opened) -> Result<NonZeroU32, Errno> {
        // Only what is asked for: no reading ahead into files that are not read on.
        file.advise(0, None, Advice::Random);
        let got = file.read(&mut self.buffer, 0)?;
        if file.facts.size > PART as u64 {
            file.forget();
        }
        Ok(short(xxhash_rust::xxh3::xxh3_64(&self.buffer[..got])))
    }

    /// Hashes all of it; `None` when told to stop.
    pub(super) fn whole(
        &mut self,
        file: &mut Opened,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<NonZeroU32>, Errno> {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        let mut block = vec![0; BLOCK];
        let mut offset = 0;
        file.advise(0, None, Advice::Sequential);
        loop {
            if stop() {
                file.forget();
                return Ok(None);
            }
            let got = file.read(&mut block, offset)?;
            hash.update(&block[..got]);
            offset += got as u64;
            if got < block.len() {
                file.forget();
                return Ok(Some(short(hash.digest())));
            }
        }
    }
}

/// A hash only sorts: what it takes for equal is compared byte for byte. 32 bits are enough for that.
fn short(hash: u64) -> NonZeroU32 {
    NonZeroU32::new(hash as u32).unwrap_or(NonZeroU32::MIN)
}

/// What came of comparing.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Compared {
    /// These are equal to the last byte: positions, two or more a set.
    Equal(Vec<Vec<usize>>),
    /// Told to stop; up to there all of each set are equal. 0 when some already turned out different.
    Stopped(u64),
}

/// A comparison that was stopped: the files as they were then, and the offset up to which they are equal. It goes on
/// there.
#[derive(Clone, Debug)]
pub struct Begun {
    files: Vec<Facts>,
    offset: u64,
}

impl Begun {
    /// What is to be remembered of it; nothing when a write in the same second could not be told.
    pub(super) fn new(files: &[Opened], offset: u64, now: Time) -> Option<Self> {
        // A write after this leaves another ctime, unless the clock has not ticked since.
        let ticked = files.iter().all(|f| now.since(f.facts.ctime) > 1);
        let files = || files.iter().map(|f| f.facts).collect();
        (offset > 0 && ticked).then(|| Self { files: files(), offset })
    }

    /// Where to go on with these files: at 0 unless they are the ones, as they were.
    pub(super) fn go_on(begun: Option<&Self>, files: &[Opened]) -> u64 {
        let same = |b: &&Self| files.iter().map(|f| f.facts).eq(b.files.iter().copied());
        begun.filter(same).map_or(0, |b| b.offset)
    }
}

/// Compares files of one size byte for byte, each read once, in step. `sets` are the ones to compare
/// with each other. `stays` is asked before every block of a file whether it is still wanted, `stop`
/// whether to go on.
pub(super) fn compare(
    files: &mut [Opened],
    mut sets: Vec<Vec<usize>>,
    from: u64,
    stop: &mut dyn FnMut() -> bool,
    stays: &dyn Fn(&Opened) -> bool,
) -> Result<Compared, (usize, Errno)> {
    let Some(size) = files.first().map(|f| f.facts.size) else {
        return Ok(Compared::Equal(Vec::new()));
    };
    let begun = sets.clone();
    let mut buffers: Vec<Vec<u8>> = Vec::new();
    let mut offset = from;
    let mut end_seen = from > 0 || size < ENDS;
    while offset < size && !sets.is_empty() {
        // First the beginning, then the end, then what is between.
        let (at, step) = match (offset == from, end_seen) {
            (true, _) => (offset, PART),
            (false, false) => (size - PART as u64, PART),
            (false, true) => (offset, BLOCK),
        };
        let length = (step as u64).min(size - at) as usize;
        let all_equal = sets == begun;
        let mut next = Vec::new();
        for set in sets {
            // One buffer for each different block.
            let mut variants: Vec<Vec<usize>> = Vec::new();
            for i in set {
                let file = &mut files[i];
                if !stays(file) {
                    continue;
                }
                // Of many files, each block is far from the others.
                if stop() {
                    return Ok(Compared::Stopped(if all_equal { offset } else { 0 }));
                }
                let n = variants.len();
                if buffers.len() == n {
                    buffers.push(vec![0; BLOCK]);
                }
                if at == offset {
                    ahead(file, at, length as u64);
                }
                let got = file.read(&mut buffers[n][..length], at).map_err(|e| (i, e))?;
                if got < length {
                    // Somebody cut it off.
                    continue;
                }
                let (before, this) = buffers.split_at(n);
                match before.iter().position(|b| b[..length] == this[0][..length]) {
                    Some(v) => variants[v].push(i),
                    None => variants.push(vec![i]),
                }
            }
            next.extend(variants.into_iter().filter(|v| v.len() > 1));
        }
        sets = next;
        if at == offset {
            offset += length as u64;
        } else {
            end_seen = true;
        }
    }
    Ok(Compared::Equal(sets))
}

/// Lets the drive fetch what comes after these bytes while they are compared: a long piece, each
/// time when reading comes into a new one.
fn ahead(file: &Opened, at: u64, length: u64) {
    let piece = (at + length) / AHEAD;
    if file.cold == Some(true) && (at == 0 || piece > at / AHEAD) {
        let from = if at == 0 { 0 } else { (piece + 1) * AHEAD };
        if from < file.facts.size {
            let length = if at == 0 { 2 * AHEAD } else { AHEAD };
            file.advise(from, NonZeroU64::new(length), Advice::WillNeed);
        }
    }
}
