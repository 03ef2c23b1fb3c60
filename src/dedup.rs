//! Finds masters with equal contents and lets them lie on the drive once.
//!
//! In come the masters as the scan knows them, the drive and the time; out come events that say what was
//! joined, and a report. It works in turns: [`Job::run`] stops within a second when it is told to and goes on
//! where it stopped the next time, so it fits between other work at night.
//!
//! The way there: group by size (and mtime), read a first part of what is not alone, hash the whole of
//! what is still alike in crowds, compare every byte, and only then join. Reading follows inode order, which
//! is disk order on a rotating drive.
//!
//! On ext4 names become hard links of one inode. Hard links share one mtime; so that **each name keeps its own
//! mtime**, only files whose mtimes are equal to the nanosecond are joined. On btrfs and xfs the files share
//! extents instead, keep everything of their own, and the mtime does not matter.
//!
//! What it must never do: join what is not equal to the last byte, touch anything outside `BTsync/files`
//! (old inodes wait in `versions/joined`), lose a write in flight, or wait for anybody.

mod compare;
mod extents;
mod group;
mod join;
mod kind;
mod known;
mod read;
mod settle;
mod sort;
#[cfg(test)]
mod tests;

pub use join::set_aside;
pub use read::Begun;
pub use settle::{Elsewhere, settle};

use crate::fs::{FileSystem as _, FsError, Real};
use crate::model::{Bytes, Place, RelPath, Stat, Time, Tree};
use crate::plan::master;
use known::Known;
use std::collections::BTreeMap;
use std::fmt;
use std::io::Write;
use std::num::NonZeroU32;

/// Why deduplication stopped.
#[derive(Debug, thiserror::Error)]
pub enum DedupError {
    /// The drive said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// The list could not be printed.
    #[error("the list of what would be joined can't be printed: {0}; send it elsewhere")]
    Print(#[from] std::io::Error),
}

/// What may be joined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// Files changed or made less than so many seconds ago are left alone: they may be in work.
    pub least_age: i64,
    /// Files of fewer bytes are left alone.
    pub least_size: u64,
    /// Names an inode may come to have. ext4 allows 65,000; devices' links need some of them.
    pub most_links: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self { least_age: 24 * 60 * 60, least_size: 1, most_links: 60_000 }
    }
}

/// How a file system lets equal files lie in one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Way {
    /// Hard links.
    Link,
    /// Shared extents (btrfs, xfs).
    Share,
}

impl Way {
    /// What this drive can do, by its file system's magic number (linux/magic.h).
    pub fn of(drive: &mut Real) -> Result<Self, FsError> {
        let at = master(&RelPath::root());
        let handle = drive.handle(&at)?;
        let s = rustix::fs::fstatfs(&handle)
            .map_err(|e| FsError::new(&at, "ask which file system it is", e))?;
        // The type is signed on some architectures; the numbers are 32 bits on all.
        Ok(match s.f_type as u32 {
            0x9123_683e | 0x5846_5342 => Self::Share,
            _ => Self::Link,
        })
    }

    /// The least size worth it: nothing is freed by sharing less than a block.
    fn least(self, rules: &Rules) -> u64 {
        match self {
            Self::Link => rules.least_size.max(1),
            Self::Share => rules.least_size.max(4096),
        }
    }
}

/// A name whose content is another's too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Join {
    /// The name that comes to mean the other's inode, or whose extents become the other's.
    pub path: RelPath,
    /// The name that stays as it is.
    pub with: RelPath,
    /// Bytes of content.
    pub size: u64,
    /// What it saves: 0 for further names of one inode.
    pub saves: Bytes,
}

impl fmt::Display for Join {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, with) = (master(&self.path), master(&self.with));
        write!(f, "join          {path} -> {with} ({})", self.saves)
    }
}

/// What happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// A dry run found this.
    Found(Join),
    /// The name means the other's inode now, which has these facts: a `Fact::Master` for the ledger.
    Joined(Join, Stat),
    /// The two share their extents now.
    Shared(Join),
    /// Somebody was about to write to a name that was joined: it means its own inode again.
    PutBack(RelPath),
}

/// Why an equal or perhaps equal file was left alone.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Left {
    /// Somebody has it open for writing, or wrote to it meanwhile.
    InUse,
    /// Changed or made less than a day ago.
    Young,
    /// Owner, mode or extended attributes differ.
    Unlike,
    /// The inode has as many names as it may have.
    Links,
    /// It is not there any more or is not what it was.
    Gone,
    /// Its path is too long to be mirrored, so it could not be put back.
    TooLong,
    /// The file system refused to share.
    Unshared,
    /// It belongs to somebody else, so that writers can't be held up.
    NotOurs,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::InUse => "in use",
            Self::Young => "younger than a day",
            Self::Unlike => "of another owner, mode or attributes",
            Self::Links => "with as many links as allowed",
            Self::Gone => "gone or changed meanwhile",
            Self::TooLong => "with too long a path",
            Self::Unshared => "that the file system does not share",
            Self::NotOurs => "of somebody else",
        })
    }
}

/// What a job did so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Names that were joined, or would be.
    pub names: u64,
    /// What that saves, once the old inodes are let go.
    pub saved: Bytes,
    /// Bytes read.
    pub read: u64,
    /// Files left alone, by reason.
    pub left: BTreeMap<Left, u64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = if self.names == 1 { "name" } else { "names" };
        write!(f, "{} in {} {names}", self.saved, self.names)?;
        for (why, count) in &self.left {
            write!(f, "; {count} left alone: {why}")?;
        }
        Ok(())
    }
}

/// How a turn ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It was told to stop; call again.
    Stopped,
    /// All is done.
    Finished,
}

/// An inode that was compared with all that might be equal to it, and what it was then: a hash of its size
/// (and mtime).
pub type Mark = (u64, u64);

/// What a job learned, to be remembered for the jobs of later nights: they leave alone what was compared
/// and has no new company.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Learned {
    /// These were compared.
    pub compared: Vec<Mark>,
    /// What was remembered of these inodes is not true any more.
    pub outdated: Vec<u64>,
}

/// A job stops to tell what it learned when it is so much: 512 kB.
pub const MUCH: usize = 32 * 1024;

/// A night's deduplication. Between two turns it keeps what it has read and what it decided on: 16 bytes a file
/// that has a possible equal. In a turn it takes 32 more, and 8 for each group of such files.
#[derive(Clone, Debug)]
pub struct Job {
    rules: Rules,
    way: Way,
    dry: bool,
    known: Vec<Known>,
    /// What jobs before this one compared, until the first turn has sorted it out.
    remembered: Vec<Mark>,
    learned: Learned,
    begun: Option<Begun>,
    /// Hashes of whole files, of a crowd that is not done with.
    hashed: BTreeMap<Mark, NonZeroU32>,
    report: Report,
}

impl Job {
    /// A job that joins.
    pub fn new(drive: &mut Real, rules: Rules) -> Result<Self, DedupError> {
        let way = Way::of(drive)?;
        Ok(Self {
            rules,
            way,
            dry: false,
            known: Vec::new(),
            remembered: Vec::new(),
            learned: Learned::default(),
            begun: None,
            hashed: BTreeMap::new(),
            report: Report::default(),
        })
    }

    /// A job that only says what it would join.
    pub fn dry(drive: &mut Real, rules: Rules) -> Result<Self, DedupError> {
        Ok(Self { dry: true, ..Self::new(drive, rules)? })
    }

    /// Tells it what earlier jobs learned, before its first turn.
    pub fn remember(&mut self, compared: Vec<Mark>) {
        self.remembered = compared;
    }

    /// What it learned and did not tell yet, at most so many of each. A job that has [`MUCH`] to tell does no more
    /// before it could.
    pub fn take_learned(&mut self, most: usize) -> Learned {
        let Learned { compared, outdated } = &mut self.learned;
        let last = |length: usize| length - length.min(most);
        Learned {
            compared: compared.split_off(last(compared.len())),
            outdated: outdated.split_off(last(outdated.len())),
        }
    }

    /// What was done so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Works until all is done or `stop` says so; it is asked before every file, every block that is read of
    /// one, and every few thousand names that are sorted. It also stops to tell what it learned.
    /// `files` is what the scan knows now, with the facts of earlier turns in it.
    ///
    /// What was told when this returns is on the disk. On an error the file that caused it is left
    /// out of further turns.
    pub fn run(
        &mut self,
        drive: &mut Real,
        files: &Tree<Stat>,
        now: Time,
        stop: &mut dyn FnMut() -> bool,
        tell: &mut dyn FnMut(Event),
    ) -> Result<Progress, DedupError> {
        let folder = drive.handle(&Place::Files.at(RelPath::root()))?;
        let names = group::Names::new(files);
        let Some(mut found) = group::candidates(&names, &self.rules, self.way, now, stop) else {
            return Ok(Progress::Stopped);
        };
        if !self.remembered.is_empty() {
            let outdated =
                known::skip_compared(&mut found, &mut self.remembered, &mut self.known, stop);
            let Some(outdated) = outdated else { return Ok(Progress::Stopped) };
            self.learned.outdated = outdated;
        }
        if !known::recall(&mut found, &mut self.known, stop) {
            return Ok(Progress::Stopped);
        }
        // Each is read or decided on at the end: room for all at once, because growing doubles.
        self.known.reserve_exact(found.len());
        let reader = read::Reader::new(&folder, names);
        let mut work = compare::Work::new(self, drive, reader, now, stop, tell);
        let worked = work.all(&mut found);
        // Also after an error: what was joined has to be sealed, and what is known be kept.
        let ended = work.end();
        if !matches!(worked, Ok(Progress::Finished)) {
            for c in found.iter().filter(|c| c.part.is_some()) {
                known::note(&mut self.known, Known::read(c));
            }
        }
        if !self.dry {
            drive.sync()?;
        }
        ended?;
        worked
    }
}

/// Prints what would be joined, one line a name and one for the sum. For `larder dedup --dry-run`.
pub fn dry_run(
    drive: &mut Real,
    files: &Tree<Stat>,
    rules: Rules,
    now: Time,
    to: &mut dyn Write,
) -> Result<Report, DedupError> {
    let mut job = Job::dry(drive, rules)?;
    let mut printed = Ok(());
    let mut print = |event| {
        if let (Event::Found(join), Ok(())) = (event, &printed) {
            printed = writeln!(to, "{join}");
        }
    };
    // Nothing stops it: it learns nothing.
    job.run(drive, files, now, &mut || false, &mut print)?;
    printed?;
    writeln!(to, "It would save {}.", job.report())?;
    Ok(job.report)
}
