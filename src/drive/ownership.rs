//! Makes what is in Larder's folders on a drive Larder's own, at the mount, as root.
//!
//! A family copies files onto its drive at a computer, where they belong to somebody else: those can't be linked
//! (`fs.protected_hardlinks`), or not even be read. In comes a mounted drive that is ours; out comes what was given, for
//! the owner to be told. It takes no longer than its budget and goes on from there at the next mount. It must never
//! follow a symbolic link, leave the file system, or touch anything outside of the two folders.

use super::{DriveError, OWN, SHARED};
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, RawMode, Uid};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// In [`OWN`]: where the last mount's time was over; empty when it came to the end.
const RESUME: &str = "owner-resume";
/// In [`OWN`]: says something from the first mount of a drive that belonged to somebody else until all on it was looked at;
/// empty afterwards.
const FIRST: &str = "owner-first";
/// Deeper than any path that Larder takes; each level holds a descriptor.
const DEEPEST: usize = 200;
/// A longer path is nobody's.
const LONGEST: u64 = 8_192;

/// What was given.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Given {
    /// So many files and folders.
    pub number: u64,
    /// The first of them.
    pub first: String,
    /// So many could not be given: they are protected against changes, or the drive can't read or write them.
    pub refused: u64,
    /// The time was over; the next mount goes on.
    pub unfinished: bool,
}

impl Given {
    /// True when there is nothing to tell.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Notes on the drive mounted at `at`, before anything is given, that it belonged to somebody else. Where there is no room
/// for that, it only costs the time that the next mount would have.
pub(super) fn note_first(at: &Path, owner: (Uid, Gid)) -> io::Result<()> {
    match write_note(&at.join(OWN).join(FIRST), b"all of it", owner) {
        Err(e) if matches!(e.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => {
            log::warn!("there is no room to note that a drive belonged to somebody else: {e}");
            Ok(())
        }
        other => other,
    }
}

/// True when [`note_first`] noted it and no walk has come to its end since.
pub(super) fn is_first(at: &Path) -> io::Result<bool> {
    Ok(!read_note(&at.join(OWN).join(FIRST))?.is_empty())
}

/// Gives all that belongs to others in the two folders of the drive mounted at `at` to `uid` and `gid`, and lets the owner
/// read and write it, for so long at most.
pub fn take_over(at: &Path, (uid, gid): (u32, u32), budget: Duration) -> Result<Given, DriveError> {
    const DOING: &str = "taking over the files on";
    let root = rustix::fs::open(at, FOLDER, Mode::empty()).map_err(DriveError::io(DOING, at))?;
    let device = rustix::fs::fstat(&root).map_err(DriveError::io(DOING, at))?.st_dev;
    let note = at.join(OWN).join(RESUME);
    let from = read_note(&note).map_err(DriveError::io(DOING, at))?;
    let mut walk = Walk {
        owner: (Uid::from_raw(uid), Gid::from_raw(gid)),
        device,
        from,
        until: Instant::now().checked_add(budget),
        path: Vec::new(),
        given: Given::default(),
    };
    let mut ended = true;
    for name in [SHARED, OWN] {
        walk.path = name.as_bytes().to_vec();
        if walk.is_done_before() {
            continue;
        }
        let folder = rustix::fs::openat(&root, name, FOLDER, Mode::empty())
            .map_err(DriveError::io(DOING, at))?;
        ended = walk.folder(folder.as_fd(), 0);
        if !ended {
            break;
        }
    }
    walk.given.unfinished = !ended;
    let rest = if ended { &[][..] } else { &walk.path };
    write_note(&note, rest, walk.owner).map_err(DriveError::io(DOING, at))?;
    if ended {
        write_note(&at.join(OWN).join(FIRST), b"", walk.owner)
            .map_err(DriveError::io(DOING, at))?;
    }
    Ok(walk.given)
}

const FOLDER: OFlags =
    OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::RDONLY).union(OFlags::CLOEXEC);

/// What only Larder's own folder holds, which nobody else writes while no engine runs.
fn read_note(note: &Path) -> io::Result<Vec<u8>> {
    match File::open(note) {
        Ok(file) => {
            let mut text = Vec::new();
            io::Read::read_to_end(&mut io::Read::take(file, LONGEST), &mut text)?;
            Ok(text)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(e) => Err(e),
    }
}

/// Written only where it says something else than before: a drive with nothing to be done is not written to.
fn write_note(note: &Path, text: &[u8], owner: (Uid, Gid)) -> io::Result<()> {
    if read_note(note)? == text {
        return Ok(());
    }
    let flags =
        OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let fd = rustix::fs::open(note, flags, Mode::RUSR | Mode::WUSR)?;
    rustix::fs::fchown(&fd, Some(owner.0), Some(owner.1))?;
    let mut file = File::from(fd);
    file.write_all(text)?;
    file.sync_all()
}

struct Walk {
    owner: (Uid, Gid),
    device: u64,
    /// What comes before it was done by the mount before.
    from: Vec<u8>,
    until: Option<Instant>,
    path: Vec<u8>,
    given: Given,
}

impl Walk {
    /// True for what comes before the place where the last walk ended, and does not hold it.
    fn is_done_before(&self) -> bool {
        let names =
            |path: &'_ [u8]| path.split(|&b| b == b'/').map(<[u8]>::to_vec).collect::<Vec<_>>();
        let (here, from) = (names(&self.path), names(&self.from));
        !self.from.is_empty() && here < from && !from.starts_with(&here)
    }

    /// Gives what is in a folder; `false` when the time is over. What can't be given, or not even be read, is counted, and
    /// never keeps the rest from being given: it would do so at each mount.
    fn folder(&mut self, folder: BorrowedFd<'_>, depth: usize) -> bool {
        if depth > DEEPEST {
            return true;
        }
        let mut names = Vec::new();
        match Dir::read_from(folder) {
            Ok(dir) => {
                for entry in dir {
                    match entry {
                        Ok(entry) => names.push(entry.file_name().to_bytes().to_vec()),
                        // The rest of the folder's names can't be read.
                        Err(e) => {
                            self.refuse(e);
                            break;
                        }
                    }
                }
            }
            Err(e) => self.refuse(e),
        }
        names.retain(|name| name != b"." && name != b"..");
        names.sort_unstable();
        let above = self.path.len();
        for name in names {
            self.path.truncate(above);
            self.path.push(b'/');
            self.path.extend_from_slice(&name);
            if self.is_done_before() {
                continue;
            }
            if self.until.is_some_and(|until| Instant::now() >= until) {
                return false;
            }
            match self.one(folder, &name, depth) {
                Ok(true) => {}
                Ok(false) => return false,
                Err(e) => self.refuse(e),
            }
        }
        self.path.truncate(above);
        true
    }

    fn refuse(&mut self, why: Errno) {
        // It went meanwhile.
        if why != Errno::NOENT {
            log::debug!("{} can't be given: {why}", self.path.escape_ascii());
            self.given.refused += 1;
        }
    }

    fn one(
        &mut self,
        folder: BorrowedFd<'_>,
        name: &[u8],
        depth: usize,
    ) -> rustix::io::Result<bool> {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statat(folder, name, flags)?;
        let is_folder = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => true,
            FileType::RegularFile => false,
            _ => return Ok(true),
        };
        // A mount, a subvolume or a snapshot, which is none of ours.
        if stat.st_dev != self.device {
            return Ok(true);
        }
        let needed: RawMode = if is_folder { 0o700 } else { 0o600 };
        let theirs = stat.st_uid != self.owner.0.as_raw();
        let closed = stat.st_mode & needed != needed;
        let mut result = Ok(());
        if theirs {
            result =
                rustix::fs::chownat(folder, name, Some(self.owner.0), Some(self.owner.1), flags);
        }
        if closed && result.is_ok() {
            let how = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let opened = rustix::fs::openat(folder, name, how, Mode::empty());
            let mode = Mode::from_raw_mode(stat.st_mode & 0o777 | needed);
            result = opened.and_then(|fd| rustix::fs::fchmod(fd, mode));
        }
        if (theirs || closed) && result.is_ok() {
            if self.given.number == 0 {
                self.given.first = self.path.escape_ascii().to_string();
            }
            self.given.number += 1;
        }
        // A protected folder may hold what is not.
        if is_folder {
            let below: OwnedFd = rustix::fs::openat(folder, name, FOLDER, Mode::empty())?;
            if !self.folder(below.as_fd(), depth + 1) {
                return Ok(false);
            }
        }
        result.map(|()| true)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown, symlink};

    const LONG: Duration = Duration::from_secs(600);

    fn drive() -> Option<tempfile::TempDir> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: needs root");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        for folder in ["BTsync/files/a/b", "BTsync/files/c", "BTsyncApp", "theirs"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for file in ["BTsync/files/a/1", "BTsync/files/a/b/2", "BTsync/files/c/3", "theirs/4"] {
            std::fs::write(dir.path().join(file), file).unwrap();
        }
        Some(dir)
    }

    fn owner(dir: &tempfile::TempDir, at: &str) -> u32 {
        std::fs::symlink_metadata(dir.path().join(at)).unwrap().uid()
    }

    #[test]
    fn what_belongs_to_others_is_given_and_told_and_nothing_outside() {
        let Some(dir) = drive() else { return };
        let at = |path: &str| dir.path().join(path);
        symlink(at("theirs/4"), at("BTsync/files/link")).unwrap();
        std::fs::set_permissions(at("BTsync/files/a/1"), PermissionsExt::from_mode(0o000)).unwrap();
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert_eq!((given.number, given.refused, given.unfinished), (7, 0, false), "{given:?}");
        assert_eq!(given.first, "BTsync/files");
        for path in ["BTsync/files/a/1", "BTsync/files/a/b/2", "BTsync/files/c", "BTsync/files/c/3"]
        {
            assert_eq!(owner(&dir, path), 1234, "{path}");
        }
        assert_eq!(std::fs::metadata(at("BTsync/files/a/1")).unwrap().mode() & 0o777, 0o600);
        assert_eq!((owner(&dir, "theirs"), owner(&dir, "theirs/4")), (0, 0));
        // Again: nothing to do, nothing to tell, nothing written.
        assert!(take_over(dir.path(), (1234, 1234), LONG).unwrap().is_nothing());
        assert!(!at("BTsyncApp/owner-resume").exists());
        chown(at("BTsync/files/c/3"), Some(0), Some(0)).unwrap();
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert_eq!((given.number, given.first.as_str()), (1, "BTsync/files/c/3"));
    }

    #[test]
    fn it_ends_with_its_time_and_goes_on_from_there() {
        let Some(dir) = drive() else { return };
        let given = take_over(dir.path(), (1234, 1234), Duration::ZERO).unwrap();
        assert_eq!((given.number, given.unfinished), (0, true));
        // Where another walk ended: what comes before is left to the one after the next.
        let note = dir.path().join("BTsyncApp/owner-resume");
        std::fs::write(&note, "BTsync/files/a/b").unwrap();
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert!(!given.unfinished);
        assert_eq!(owner(&dir, "BTsync/files/a/1"), 0);
        for path in ["BTsync/files/a/b", "BTsync/files/a/b/2", "BTsync/files/c/3"] {
            assert_eq!(owner(&dir, path), 1234, "{path}");
        }
        assert_eq!(std::fs::read(&note).unwrap(), b"", "it came to the end");
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert_eq!((given.number, given.first.as_str()), (1, "BTsync/files/a/1"));
    }

    #[test]
    fn a_first_take_over_that_was_cut_short_is_a_first_one_again() {
        let Some(dir) = drive() else { return };
        let theirs = || super::super::mounting::prepare(dir.path(), 1234, 1234).unwrap().theirs;
        assert!(theirs());
        assert!(theirs(), "the power was cut before anything was given");
        assert!(take_over(dir.path(), (1234, 1234), Duration::ZERO).unwrap().unfinished);
        assert!(theirs(), "the time was over");
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert_eq!((given.number, given.unfinished), (7, false), "{given:?}");
        assert!(!theirs());
        let left = |name: &str| std::fs::read(dir.path().join("BTsyncApp").join(name)).unwrap();
        assert_eq!((left("owner-resume"), left("owner-first")), (vec![], vec![]));
    }

    /// A folder that takes no writes, as far as that may be mounted here.
    struct ReadOnly(std::path::PathBuf);

    impl ReadOnly {
        fn new(at: std::path::PathBuf) -> Option<Self> {
            use rustix::mount::{MountFlags, mount_bind, mount_remount};
            if let Err(e) = mount_bind(&at, &at) {
                eprintln!("SKIPPED: nothing can be mounted here ({e})");
                return None;
            }
            let this = Self(at);
            let how = MountFlags::BIND | MountFlags::RDONLY;
            mount_remount(&this.0, how, c"").unwrap();
            Some(this)
        }
    }

    impl Drop for ReadOnly {
        fn drop(&mut self) {
            rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
        }
    }

    #[test]
    fn one_entry_that_fails_does_not_end_the_walk() {
        let Some(dir) = drive() else { return };
        // The kernel's answer is neither of those that mean a protected file.
        let Some(_a) = ReadOnly::new(dir.path().join("BTsync/files/a")) else { return };
        let given = take_over(dir.path(), (1234, 1234), LONG).unwrap();
        assert_eq!((given.refused, given.unfinished), (4, false), "{given:?}");
        assert_eq!(owner(&dir, "BTsync/files/a/1"), 0);
        for path in ["BTsync/files", "BTsync/files/c", "BTsync/files/c/3"] {
            assert_eq!(owner(&dir, path), 1234, "{path}");
        }
    }
}
