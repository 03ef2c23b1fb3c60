//! Makes a name mean another inode with the same content, so that no write in flight is lost.
//!
//! In come two names whose files were compared while leases kept writers out; the name `path` comes to
//! mean the inode that is kept. The steps, each of which a power cut leaves done or not done:
//!
//! 1. `versions/joined/<batch>/<path>` is made a link to the kept inode, from the opened file.
//! 2. Both leases are still whole: nobody waits to write.
//! 3. The two names are exchanged. The old inode lies aside now; whoever replaced the name in the
//!    meantime finds his file aside too, and it goes back.
//! 4. The old inode's lease is still whole, else the names are exchanged back before the writer goes on.
//!
//! The old inode stays aside, its lease held until its batch is sealed. One who found the name before the
//! exchange and is only now about to open the file runs into the lease and is put back; one who is later
//! still leaves a ctime behind the seal's, and `settle` looks at that before it lets go, a night later.
//!
//! What it must never do: unlink what may be a content's last name.

use crate::fs::{Entry, FileSystem, FsError};
use crate::lease;
use crate::model::{Place, RelPath, Spot, Stat, Time};
use crate::plan::master;
use rustix::io::Errno;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use super::read::Facts;

/// Folder in `versions/` where old inodes wait. Not a number, so recovery takes it for nobody's version.
const JOINED: &[u8] = b"joined";
/// Old inodes whose leases are held at once; two batches fit well below 1,024 open files.
const BATCH: usize = 192;
/// The clock of file times advances at least so often (CONFIG_HZ=100 is the slowest there is).
const TICK: Duration = Duration::from_millis(20);

/// Where old inodes wait.
pub(super) fn aside_root() -> Spot {
    Place::Versions.at(RelPath::new(JOINED).unwrap_or_default())
}

/// The folders where old inodes wait, the newest first.
pub fn set_aside(fs: &mut dyn FileSystem) -> Result<Vec<Spot>, FsError> {
    let listed = fs.list(&aside_root())?.unwrap_or_default();
    let batch = |(name, entry): &(Vec<u8>, Entry)| match (entry, read_mark(name)) {
        (Entry::Dir, Some((batch, None))) => Some(batch),
        _ => None,
    };
    let mut batches: Vec<u64> = listed.iter().filter_map(batch).collect();
    batches.sort_unstable_by(|a, b| b.cmp(a));
    Ok(batches.into_iter().map(batch_folder).collect())
}

/// Where one batch's wait.
pub(super) fn batch_folder(batch: u64) -> Spot {
    // "joined" and a number are a path.
    let path = aside_root().path.join(batch.to_string().as_bytes());
    Place::Versions.at(path.unwrap_or_default())
}

/// The empty folder beside it that says: until then all leases were whole.
fn seal_mark(batch: u64, until: Time) -> Spot {
    let path = aside_root().path.join(format!("{batch}.{}", until.0).as_bytes());
    Place::Versions.at(path.unwrap_or_default())
}

/// Number and seal of a name in the folder where old inodes wait.
pub(super) fn read_mark(name: &[u8]) -> Option<(u64, Option<Time>)> {
    let text = std::str::from_utf8(name).ok()?;
    match text.split_once('.') {
        None => Some((text.parse().ok()?, None)),
        Some((batch, until)) => Some((batch.parse().ok()?, Some(Time(until.parse().ok()?)))),
    }
}

/// What came of one try.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Outcome {
    /// The name means the kept inode now, which has these facts.
    Joined(Stat),
    /// Somebody writes, or the name means another file: all is as it was.
    InUse,
    /// The kept inode has no room for another name, or is not at its name any more.
    Unkept,
    /// The path is too long to be mirrored.
    TooLong,
}

/// Joins `path` (inode `old`) to `keep`, a name of inode `kept`. `whole` tells whether the leases on the
/// old and on the kept inode are whole.
pub(super) fn join(
    fs: &mut dyn FileSystem,
    batch: u64,
    (path, old): (&RelPath, u64),
    (keep, kept): (&RelPath, u64),
    whole: (&dyn Fn() -> bool, &dyn Fn() -> bool),
) -> Result<Outcome, FsError> {
    let folder = batch_folder(batch);
    let full = [folder.path.as_bytes(), b"/", path.as_bytes()].concat();
    let Ok(mirrored) = RelPath::new(&full) else { return Ok(Outcome::TooLong) };
    let aside = folder.place.at(mirrored);
    let at = master(path);
    let linked = match fs.link(&master(keep), kept, &aside) {
        Err(FsError::Missing { at: missing }) if missing.place == aside.place => {
            fs.make_dir(&aside.place.clone().at(aside.path.parent().unwrap_or_default()))?;
            fs.link(&master(keep), kept, &aside)
        }
        other => other,
    };
    let stat = match linked {
        Ok(stat) => stat,
        Err(e) if e.trouble().is_some() => return Err(e),
        Err(_) => return Ok(Outcome::Unkept),
    };
    if !(whole.0() && whole.1()) {
        fs.unlink(&aside)?;
        return Ok(Outcome::InUse);
    }
    match fs.exchange(&aside, &at) {
        Ok(()) => {}
        Err(e) if e.trouble().is_some() => return Err(e),
        Err(_) => {
            fs.unlink(&aside)?;
            return Ok(Outcome::InUse);
        }
    }
    let meant = matches!(fs.look(&aside)?, Some(Entry::File(was)) if was.id.ino == old);
    // A writer who waits for the kept inode may have come by either name and is served by both.
    if meant && whole.0() {
        return Ok(Outcome::Joined(stat));
    }
    put_back(fs, &aside, &at, kept)?;
    Ok(Outcome::InUse)
}

/// Undoes an exchange: what lies aside goes back to its name.
pub(super) fn put_back(
    fs: &mut dyn FileSystem,
    aside: &Spot,
    at: &Spot,
    kept: u64,
) -> Result<bool, FsError> {
    let is_kept = |entry: Option<Entry>| matches!(entry, Some(Entry::File(s)) if s.id.ino == kept && s.nlink > 1);
    if !is_kept(fs.look(at)?) {
        // Somebody made the name mean something else since: that stands, and `settle` keeps ours.
        return Ok(false);
    }
    match fs.exchange(aside, at) {
        Ok(()) => {}
        Err(e) if e.trouble().is_some() => return Err(e),
        Err(_) => return Ok(false),
    }
    if is_kept(fs.look(aside)?) {
        fs.unlink(aside)?;
        return Ok(true);
    }
    // In that very moment somebody put another file there: it is the newest, so it has the name.
    fs.exchange(aside, at)?;
    Ok(false)
}

/// An old inode whose lease is held on.
#[derive(Debug)]
struct Held {
    old: OwnedFd,
    kept: u64,
    paths: Vec<RelPath>,
}

/// The old inodes of one batch.
#[derive(Debug)]
pub(super) struct Batch {
    number: u64,
    held: Vec<Held>,
    names: usize,
    last: Instant,
}

impl Batch {
    /// Begins a batch at a number that is free, no lower than `from`.
    pub(super) fn new(fs: &mut dyn FileSystem, from: u64) -> Result<Self, FsError> {
        let mut number = from;
        while fs.look(&batch_folder(number))?.is_some() {
            number += 1;
        }
        Ok(Self { number, held: Vec::new(), names: 0, last: Instant::now() })
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.held.len() >= BATCH || self.names >= 4 * BATCH
    }

    /// Holds on to an old inode, which is leased.
    pub(super) fn hold(&mut self, old: OwnedFd, kept: u64, paths: Vec<RelPath>) {
        self.names += paths.len();
        self.last = Instant::now();
        self.held.push(Held { old, kept, paths });
    }

    /// Lets the leases go. Returns the paths that went back to their old inode because a writer came
    /// late.
    ///
    /// The mark carries the newest ctime of all; a later write gets a later one, because the clock has
    /// ticked since the last exchange.
    pub(super) fn seal(self, fs: &mut dyn FileSystem) -> Result<Vec<RelPath>, FsError> {
        std::thread::sleep(TICK.saturating_sub(self.last.elapsed()));
        let folder = batch_folder(self.number);
        let mut back = Vec::new();
        let mut until = Time(0);
        for held in &self.held {
            let changed = Facts::of(&held.old)
                .map_err(|e| FsError::new(&folder, "look at a file that was joined", e))?
                .ctime;
            // Asked after the look: whoever comes after this changes the ctime again.
            if lease::intact(held.old.as_fd()) {
                until = until.max(changed);
                continue;
            }
            for path in &held.paths {
                let full = [folder.path.as_bytes(), b"/", path.as_bytes()].concat();
                // It was made of these parts when it was joined.
                let aside = folder.place.clone().at(RelPath::new(&full).unwrap_or_default());
                if put_back(fs, &aside, &master(path), held.kept)? {
                    back.push(path.clone());
                }
            }
        }
        // What could not go back was written to after `until`, which `settle` sees.
        fs.make_dir(&seal_mark(self.number, until))?;
        Ok(back)
    }
}

/// The errno that says: this file system shares no extents.
pub(super) fn cannot_share(e: Errno) -> bool {
    matches!(e, Errno::OPNOTSUPP | Errno::NOTTY | Errno::NOSYS | Errno::INVAL | Errno::XDEV)
}
