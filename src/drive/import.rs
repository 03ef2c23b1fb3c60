//! Copies the files of a foreign drive, mounted read-only, into `files/` of the Larder drive.
//!
//! In come two directories; out come copies, and words about what was left out. Runs as the
//! unprivileged user in a process of its own, because names and contents come from a stranger's
//! drive. It never overwrites (a clash gets another name), never follows a symbolic link on either
//! side, and can be stopped at any moment and started again: a file appears under its name only
//! when it is whole and on the disk, and what was imported once is written down, so that a file
//! destroyed later does not come back with the next start. What is half copied has no name, so that it
//! goes with the process, however that ends.
//!
//! It leaves room on the Larder drive ([`reserve`]): a file for which there is none is left out and named, with the
//! numbers, before a byte of it is copied.

use super::{DriveError, OWN, SHARED};
use crate::model::Bytes;
use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, openat, statat,
};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// What an import did so far.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Files copied now.
    pub copied: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files that were copied earlier, or are here with the same content.
    pub known: u64,
    /// Files and folders that were left out: what can't be read, links, devices and the like, and what found no room.
    pub skipped: u64,
    /// Those of them that found no room, with their bytes.
    #[serde(default)]
    pub too_large: (u64, u64),
    /// The first few of those left out, with why.
    pub told: Vec<String>,
    /// Why it ended early.
    #[serde(default)]
    pub stopped: Option<String>,
    /// Everything has been looked at.
    pub finished: bool,
}

/// What an import leaves free on a drive of that size: below a fiftieth of the drive Larder lets go of old versions,
/// and the ledger needs some MB whatever the drive's size.
pub fn reserve(total: Bytes) -> Bytes {
    const LEAST: u64 = 8 << 20;
    Bytes((total.0 / 50).max(LEAST))
}

/// So many bytes are copied between two looks at the room that is left: others fill the drive meanwhile.
const LOOK_AFTER: u64 = 16 << 20;
/// At most so many left-out files are told by name.
const TOLD: usize = 5;
/// Directories deeper than this are left out.
const DEEPEST: usize = 64;
/// Folders that systems keep for themselves on a drive.
const SYSTEM: [&[u8]; 7] = [
    b"System Volume Information",
    b"$RECYCLE.BIN",
    b"RECYCLER",
    b".Trashes",
    b".Spotlight-V100",
    b".fseventsd",
    b"lost+found",
];
const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

struct Import<'a> {
    own: OwnedFd,
    log: File,
    unsynced: u32,
    done: HashSet<Vec<u8>>,
    /// What the list of a former version says; see [`former_list`].
    former: HashSet<Vec<u8>>,
    progress: Progress,
    report: &'a mut dyn FnMut(&Progress) -> io::Result<()>,
}

/// Why the walk ends early: the Larder drive can't take more, or nobody listens any longer.
type Stop = io::Error;

/// Imports the tree at `from` into the Larder drive at `drive`. `id` tells this foreign volume
/// from others; `report` is called after every copied file and at the end.
pub fn import(
    from: &Path,
    drive: &Path,
    id: &str,
    report: &mut dyn FnMut(&Progress) -> io::Result<()>,
) -> Result<Progress, DriveError> {
    let open = |path: &Path| {
        rustix::fs::open(path, FOLDER, Mode::empty()).map_err(DriveError::io("opening", path))
    };
    let source = open(from)?;
    let target = drive.join(SHARED).join("files");
    let own = drive.join(OWN).join("import");
    for folder in [&target, &own] {
        std::fs::create_dir_all(folder).map_err(DriveError::io("making", folder))?;
    }
    let fail = || DriveError::io("importing to", &target);
    let id: String =
        id.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(96).collect();
    let lists = former_list(&own, &id).and_then(|former| Ok((former, open_log(&own, &id)?)));
    let (former, (log, done)) = lists.map_err(DriveError::io("reading the list in", &own))?;
    let (target_fd, own) = (open(&target)?, open(&own)?);
    remove_part(own.as_fd()).map_err(fail())?;
    let progress = Progress::default();
    let mut import = Import { own, log, unsynced: 0, done, former, progress, report };
    let ended = import.folder(source.as_fd(), target_fd.as_fd(), b"", 0);
    if let Err(why) = ended.and_then(|()| import.log.sync_data()) {
        import.progress.stopped = Some(why.to_string());
        // Whoever listened may be what is gone.
        let told = (import.report)(&import.progress);
        log::debug!("the end of an import was told: {told:?}");
        return Err(fail()(why));
    }
    import.progress.finished = true;
    (import.report)(&import.progress).map_err(fail())?;
    Ok(import.progress)
}

/// Removes what earlier versions left half copied on the Larder drive at `drive` when they were stopped.
pub fn clear(drive: &Path) -> io::Result<()> {
    let open = |at: BorrowedFd<'_>, name: &str| openat(at, name, FOLDER, Mode::empty());
    let drive = rustix::fs::open(drive, FOLDER, Mode::empty())?;
    match open(drive.as_fd(), OWN).and_then(|own| open(own.as_fd(), "import")) {
        Ok(import) => remove_part(import.as_fd()),
        Err(Errno::NOENT) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

fn remove_part(import: BorrowedFd<'_>) -> io::Result<()> {
    match rustix::fs::unlinkat(import, c"part", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

/// What the list of a former version says of this volume. `id` begins with the volume's number; the rest tells it from
/// others of that number, which those lists did not. So such a list is taken by the first volume of its number that
/// comes, and no other one reads it; and as that may be the wrong one, its lines are believed only where no file here
/// speaks against them ([`was_known`]).
fn former_list(own: &Path, id: &str) -> io::Result<HashSet<Vec<u8>>> {
    let number: String = id.split("--").next().unwrap_or(id).replace('-', "");
    let [shared, taken] =
        [format!("{number}.list"), format!("{id}.former-list")].map(|n| own.join(n));
    if number != id && shared.try_exists()? && !taken.try_exists()? {
        rustix::fs::rename(&shared, &taken)?;
        File::open(own)?.sync_all()?;
    }
    if !taken.try_exists()? {
        return Ok(HashSet::new());
    }
    BufReader::new(File::open(taken)?).split(b'\n').collect()
}

/// The list of what was imported from this volume. A line that a power cut tore matches nothing.
fn open_log(own: &Path, id: &str) -> io::Result<(File, HashSet<Vec<u8>>)> {
    let path = own.join(format!("{id}.list"));
    let mut log = File::options().read(true).append(true).create(true).open(path)?;
    let mut done = HashSet::new();
    for line in BufReader::new(&log).split(b'\n') {
        done.insert(line?);
    }
    // A torn last line is closed, so that the next one stands alone.
    log.write_all(b"\n")?;
    Ok((log, done))
}

impl Import<'_> {
    fn folder(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        path: &[u8],
        depth: usize,
    ) -> Result<(), Stop> {
        let mut names = match Dir::read_from(from).and_then(names) {
            Ok(names) => names,
            Err(why) => return self.leave_out(path, why),
        };
        names.sort();
        for name in names {
            let path = [path, b"/", name.to_bytes()].concat();
            let stat = match statat(from, &name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                Err(why) => {
                    self.leave_out(&path, why)?;
                    continue;
                }
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory if depth == 0 && SYSTEM.contains(&name.to_bytes()) => {}
                FileType::Directory if depth >= DEEPEST => self.leave_out(&path, Errno::LOOP)?,
                FileType::Directory => self.enter(from, to, &name, &path, depth)?,
                FileType::RegularFile => self.file(from, to, &name, &path, &stat)?,
                _ => self.leave_out(&path, "neither file nor folder")?,
            }
        }
        Ok(())
    }

    fn enter(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        depth: usize,
    ) -> Result<(), Stop> {
        let below = match openat(from, name, FOLDER, Mode::empty()) {
            Ok(below) => below,
            Err(why) => return self.leave_out(path, why),
        };
        match rustix::fs::mkdirat(to, name, Mode::from_raw_mode(0o755)) {
            Ok(()) => rustix::fs::fsync(to)?,
            Err(Errno::EXIST) => {}
            Err(why) => return Err(why.into()),
        }
        match openat(to, name, FOLDER, Mode::empty()) {
            Ok(here) => self.folder(below.as_fd(), here.as_fd(), path, depth + 1),
            Err(Errno::NOTDIR | Errno::LOOP) => {
                self.leave_out(path, "a file has the folder's name here")
            }
            Err(why) => Err(why.into()),
        }
    }

    fn file(
        &mut self,
        from: BorrowedFd<'_>,
        to: BorrowedFd<'_>,
        name: &CStr,
        path: &[u8],
        stat: &Stat,
    ) -> Result<(), Stop> {
        let line = line(path, stat);
        if self.done.contains(&line) {
            self.progress.known += 1;
            return Ok(());
        }
        if self.former.contains(&line) && was_known(from, to, name, stat)? {
            self.progress.known += 1;
            return self.note(line);
        }
        let mut part = None;
        for candidate in candidates(name) {
            match statat(to, &candidate, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(there) if same(&there, stat) => match equal(from, name, to, &candidate) {
                    Ok(true) => {
                        self.progress.known += 1;
                        return self.note(line);
                    }
                    Ok(false) => continue,
                    Err(why) => return self.leave_out(path, why),
                },
                Ok(_) => continue,
                Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
                Err(why) => return Err(why.into()),
            }
            if part.is_none() {
                match self.copy(from, name, stat)? {
                    Ok(copied) => part = Some(copied),
                    Err(Left::NoSpace(room)) => return self.leave_out_large(path, stat, room),
                    Err(Left::Why(why)) => return self.leave_out(path, why),
                }
            }
            let Some((file, bytes)) = &part else { continue };
            let fd = format!("/proc/self/fd/{}", file.as_raw_fd());
            let follow = AtFlags::SYMLINK_FOLLOW;
            match rustix::fs::linkat(rustix::fs::CWD, fd, to, &candidate, follow) {
                Ok(()) => {
                    rustix::fs::fsync(to)?;
                    self.progress.copied += 1;
                    self.progress.bytes += bytes;
                    (self.report)(&self.progress)?;
                    return self.note(line);
                }
                // Somebody else took the name meanwhile.
                Err(Errno::EXIST) => {}
                Err(Errno::NAMETOOLONG) => return self.leave_out(path, Errno::NAMETOOLONG),
                Err(why) => return Err(why.into()),
            }
        }
        self.leave_out(path, "other files have its name here")
    }

    /// Copies into a file without a name, and on to the disk. The outer error is the Larder drive's and ends the
    /// import; the inner one is the foreign drive's, or want of room, and leaves out the file.
    fn copy(
        &mut self,
        from: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<Result<(File, u64), Left>, Stop> {
        let mut source = match open_file(from, name) {
            Ok(source) => source,
            Err(why) => return Ok(Err(Left::Why(why))),
        };
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let room = self.room()?;
        if size > room.0 {
            return Ok(Err(Left::NoSpace(room)));
        }
        let flags = OFlags::WRONLY | OFlags::TMPFILE | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o644);
        let mut part = File::from(openat(&self.own, c".", flags, mode)?);
        let mut buffer = vec![0; 256 * 1024];
        let (mut bytes, mut looked) = (0, 0);
        loop {
            let count = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
                Err(why) => return Ok(Err(Left::Why(why))),
            };
            match part.write_all(&buffer[..count]) {
                Ok(()) => {}
                Err(why) if is_full(&why) => return Ok(Err(Left::NoSpace(self.room()?))),
                Err(why) => return Err(why),
            }
            bytes += count as u64;
            if bytes - looked >= LOOK_AFTER {
                looked = bytes;
                let room = self.room()?;
                if size.saturating_sub(bytes) > room.0 || room == Bytes(0) {
                    return Ok(Err(Left::NoSpace(room)));
                }
            }
        }
        if bytes != size {
            let why = format!("only {bytes} of its {size} bytes can be read");
            return Ok(Err(Left::Why(io::Error::other(why))));
        }
        let time = Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ };
        rustix::fs::futimens(&part, &Timestamps { last_access: time, last_modification: time })?;
        match part.sync_all() {
            Ok(()) => Ok(Ok((part, bytes))),
            Err(why) if is_full(&why) => Ok(Err(Left::NoSpace(self.room()?))),
            Err(why) => Err(why),
        }
    }

    /// How much may still be copied.
    fn room(&self) -> Result<Bytes, Stop> {
        let space = rustix::fs::fstatvfs(&self.own)?;
        let total = Bytes(space.f_blocks.saturating_mul(space.f_frsize));
        let free = space.f_bavail.saturating_mul(space.f_frsize);
        Ok(Bytes(free.saturating_sub(reserve(total).0)))
    }

    /// Writes down that a file is here. Now and then on to the disk: a file that is here but not
    /// in the list is recognised by its size and time.
    fn note(&mut self, mut line: Vec<u8>) -> Result<(), Stop> {
        line.push(b'\n');
        self.log.write_all(&line)?;
        self.unsynced += 1;
        if self.unsynced >= 100 {
            self.log.sync_data()?;
            self.unsynced = 0;
        }
        Ok(())
    }

    fn leave_out_large(&mut self, path: &[u8], stat: &Stat, room: Bytes) -> Result<(), Stop> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        self.progress.too_large.0 += 1;
        self.progress.too_large.1 = self.progress.too_large.1.saturating_add(size);
        let size = Bytes(size);
        self.leave_out(path, format!("it has {size}, and the Larder drive has room for {room}"))
    }

    fn leave_out(&mut self, path: &[u8], why: impl std::fmt::Display) -> Result<(), Stop> {
        self.progress.skipped += 1;
        if self.progress.told.len() < TOLD {
            let path = crate::model::show(path.strip_prefix(b"/").unwrap_or(path));
            self.progress.told.push(format!("{path}: {why}"));
        }
        Ok(())
    }
}

/// Why one file is left out.
enum Left {
    /// The Larder drive has room for no more than this.
    NoSpace(Bytes),
    /// It can't be read.
    Why(io::Error),
}

fn is_full(why: &io::Error) -> bool {
    matches!(Errno::from_io_error(why), Some(Errno::NOSPC | Errno::DQUOT | Errno::FBIG))
}

/// Opens a file and nothing else, whatever stands there meanwhile.
fn open_file(at: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    Ok(File::from(openat(at, name, flags, Mode::empty())?))
}

/// Whether a line of a former version's list may be believed: there is a file here with the same bytes, or none with the
/// same size and time. (It was destroyed or edited then.)
fn was_known(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    name: &CStr,
    stat: &Stat,
) -> Result<bool, Stop> {
    let mut differs = false;
    for candidate in candidates(name) {
        match statat(to, &candidate, AtFlags::SYMLINK_NOFOLLOW) {
            // What can't be read is met again when it is to be copied, and told then.
            Ok(there) if same(&there, stat) => match equal(from, name, to, &candidate) {
                Ok(true) => return Ok(true),
                Ok(false) | Err(_) => differs = true,
            },
            Ok(_) | Err(Errno::NOENT | Errno::NAMETOOLONG) => {}
            Err(why) => return Err(why.into()),
        }
    }
    Ok(!differs)
}

/// Whether two files have the same bytes.
fn equal(from: BorrowedFd<'_>, name: &CStr, to: BorrowedFd<'_>, here: &CStr) -> io::Result<bool> {
    let (mut a, mut b) = (open_file(from, name)?, open_file(to, here)?);
    let (mut ours, mut theirs) = (vec![0; 256 * 1024], vec![0; 256 * 1024]);
    loop {
        let count = match a.read(&mut ours) {
            Ok(count) => count,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(why) => return Err(why),
        };
        if count == 0 {
            return Ok(b.read(&mut theirs)? == 0);
        }
        match b.read_exact(&mut theirs[..count]) {
            Ok(()) if ours[..count] == theirs[..count] => {}
            Err(why) if why.kind() != io::ErrorKind::UnexpectedEof => return Err(why),
            _ => return Ok(false),
        }
    }
}

fn names(dir: Dir) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in dir {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    Ok(names)
}

/// The names a file may get: its own, else `a (imported).jpg`, `a (imported 2).jpg`, …
fn candidates(name: &CStr) -> Vec<CString> {
    let bytes = name.to_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.').filter(|at| *at > 0);
    let (stem, ending) = bytes.split_at(dot.unwrap_or(bytes.len()));
    let mut all = vec![name.to_owned()];
    for count in 1..=9 {
        let word = if count == 1 { " (imported)".into() } else { format!(" (imported {count})") };
        // A name too long to carry the word fails when it is made, and is told.
        all.extend(CString::new([stem, word.as_bytes(), ending].concat()));
    }
    all
}

fn same(there: &Stat, stat: &Stat) -> bool {
    FileType::from_raw_mode(there.st_mode) == FileType::RegularFile
        && there.st_size == stat.st_size
        && there.st_mtime == stat.st_mtime
        && there.st_mtime_nsec == stat.st_mtime_nsec
}

/// A line of the list: the path with newlines and percent signs encoded, size and time.
fn line(path: &[u8], stat: &Stat) -> Vec<u8> {
    let mut line = Vec::with_capacity(path.len() + 40);
    for byte in path {
        match byte {
            b'\n' => line.extend_from_slice(b"%0A"),
            b'%' => line.extend_from_slice(b"%25"),
            byte => line.push(*byte),
        }
    }
    line.extend_from_slice(
        format!("\t{}\t{}.{:09}", stat.st_size, stat.st_mtime, stat.st_mtime_nsec).as_bytes(),
    );
    line
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // test trees
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::path::PathBuf;

    struct House {
        _dir: tempfile::TempDir,
        from: PathBuf,
        drive: PathBuf,
    }

    impl House {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let (from, drive) = (dir.path().join("from"), dir.path().join("drive"));
            fs::create_dir_all(from.join("Photos/2012")).unwrap();
            fs::create_dir_all(from.join("System Volume Information")).unwrap();
            fs::create_dir_all(&drive).unwrap();
            fs::write(from.join("a.txt"), "a").unwrap();
            fs::write(from.join("Photos/2012/b.jpg"), vec![7; 300_000]).unwrap();
            fs::write(from.join("System Volume Information/x"), "x").unwrap();
            Self { _dir: dir, from, drive }
        }

        fn run(&self) -> Progress {
            import(&self.from, &self.drive, "12AB-34CD", &mut |_| Ok(())).unwrap()
        }

        fn here(&self, path: &str) -> PathBuf {
            self.drive.join("BTsync/files").join(path)
        }
    }

    #[test]
    fn files_come_over_with_their_times_and_only_once() {
        let house = House::new();
        let first = house.run();
        assert_eq!((first.copied, first.bytes, first.skipped), (2, 300_001, 0));
        assert!(first.finished);
        let time = |path: PathBuf| fs::metadata(path).unwrap().modified().unwrap();
        assert_eq!(
            time(house.here("Photos/2012/b.jpg")),
            time(house.from.join("Photos/2012/b.jpg"))
        );
        assert!(!house.here("System Volume Information").exists());
        let second = house.run();
        assert_eq!((second.copied, second.known), (0, 2));
    }

    #[test]
    fn a_file_destroyed_here_does_not_come_back_but_a_new_one_does() {
        let house = House::new();
        house.run();
        fs::remove_file(house.here("a.txt")).unwrap();
        fs::write(house.from.join("new.txt"), "new").unwrap();
        let again = house.run();
        assert_eq!((again.copied, again.known), (1, 2));
        assert!(!house.here("a.txt").exists() && house.here("new.txt").exists());
    }

    #[test]
    fn nothing_is_overwritten() {
        let house = House::new();
        fs::create_dir_all(house.here("")).unwrap();
        fs::write(house.here("a.txt"), "mine, and longer").unwrap();
        fs::write(house.here("Photos"), "a file in the way").unwrap();
        let done = house.run();
        assert_eq!(fs::read_to_string(house.here("a.txt")).unwrap(), "mine, and longer");
        assert_eq!(fs::read_to_string(house.here("a (imported).txt")).unwrap(), "a");
        assert_eq!(fs::read_to_string(house.here("Photos")).unwrap(), "a file in the way");
        assert_eq!(done.told, ["Photos: a file has the folder's name here"]);
        let again = house.run();
        assert_eq!((again.copied, again.known), (0, 1));
    }

    #[test]
    fn a_name_too_long_for_the_added_word_leaves_out_that_file_only() {
        let house = House::new();
        let long = "n".repeat(250);
        fs::create_dir_all(house.here("")).unwrap();
        fs::write(house.from.join(&long), "from").unwrap();
        fs::write(house.here(&long), "mine, and longer").unwrap();
        fs::write(house.from.join("z"), "z").unwrap();
        let done = house.run();
        assert_eq!((done.copied, done.skipped, done.finished), (3, 1, true), "{done:?}");
        assert!(done.told[0].starts_with(&long), "{done:?}");
        assert_eq!(fs::read_to_string(house.here(&long)).unwrap(), "mine, and longer");
    }

    #[test]
    fn links_and_specials_are_left_out_and_told_and_never_followed() {
        let house = House::new();
        symlink("/etc/passwd", house.from.join("link")).unwrap();
        symlink(&house.from, house.from.join("loop")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            house.from.join("pipe"),
            FileType::Fifo,
            Mode::from_raw_mode(0o600),
            0,
        )
        .unwrap();
        assert!(fs::symlink_metadata(house.from.join("pipe")).unwrap().file_type().is_fifo());
        let done = house.run();
        assert_eq!((done.copied, done.skipped), (2, 3));
        assert_eq!(done.told[0], "link: neither file nor folder");
        assert!(!house.here("link").exists() && !house.here("loop").exists());
        // A link planted on our side is not followed either.
        let trap = tempfile::tempdir().unwrap();
        fs::remove_dir_all(house.here("Photos")).unwrap();
        symlink(trap.path(), house.here("Photos")).unwrap();
        fs::write(house.from.join("Photos/c"), "c").unwrap();
        house.run();
        assert_eq!(fs::read_dir(trap.path()).unwrap().count(), 0);
    }

    #[test]
    fn stopped_in_the_middle_it_goes_on_where_it_was() {
        let house = House::new();
        let mut stop = |_: &Progress| Err(io::Error::other("stopped"));
        import(&house.from, &house.drive, "12AB-34CD", &mut stop).unwrap_err();
        fs::write(house.drive.join("BTsyncApp/import/part"), "half of something").unwrap();
        let done = house.run();
        assert_eq!((done.copied, done.known), (1, 1));
        assert_eq!(fs::read(house.here("Photos/2012/b.jpg")).unwrap(), vec![7; 300_000]);
        assert!(!house.drive.join("BTsyncApp/import/part").exists());
    }

    #[test]
    fn what_was_half_copied_is_gone_at_a_start_and_nothing_else_is() {
        let house = House::new();
        clear(&house.drive).unwrap();
        house.run();
        let part = house.drive.join("BTsyncApp/import/part");
        fs::write(&part, "half of something").unwrap();
        let list = fs::read(house.drive.join("BTsyncApp/import/12AB-34CD.list")).unwrap();
        clear(&house.drive).unwrap();
        clear(&house.drive).unwrap();
        assert!(!part.exists());
        assert_eq!(fs::read(house.drive.join("BTsyncApp/import/12AB-34CD.list")).unwrap(), list);
        // Never through a link that a drive brings.
        let trap = tempfile::tempdir().unwrap();
        fs::write(trap.path().join("part"), "mine").unwrap();
        fs::remove_dir_all(house.drive.join("BTsyncApp/import")).unwrap();
        symlink(trap.path(), house.drive.join("BTsyncApp/import")).unwrap();
        assert!(clear(&house.drive).is_err());
        assert!(trap.path().join("part").exists());
    }

    #[test]
    fn a_file_is_known_by_its_content_and_not_by_size_and_time() {
        let house = House::new();
        fs::create_dir_all(house.here("")).unwrap();
        fs::write(house.here("a.txt"), "b").unwrap();
        let time = fs::metadata(house.from.join("a.txt")).unwrap().modified().unwrap();
        File::options().write(true).open(house.here("a.txt")).unwrap().set_modified(time).unwrap();
        let done = house.run();
        assert_eq!((done.copied, done.known), (2, 0));
        assert_eq!(fs::read(house.here("a.txt")).unwrap(), b"b");
        assert_eq!(fs::read(house.here("a (imported).txt")).unwrap(), b"a");
    }

    #[test]
    fn lists_of_former_versions_still_count() {
        let house = House::new();
        house.run();
        let own = house.drive.join("BTsyncApp/import");
        fs::rename(own.join("12AB-34CD.list"), own.join("12AB34CD.list")).unwrap();
        fs::remove_file(house.here("a.txt")).unwrap();
        let done = import(&house.from, &house.drive, "12AB-34CD--64000", &mut |_| Ok(())).unwrap();
        assert_eq!((done.copied, done.known), (0, 2));
        assert!(!house.here("a.txt").exists());
    }

    #[test]
    fn a_list_of_a_former_version_counts_for_one_card_and_never_against_bytes() {
        let house = House::new();
        house.run();
        let own = house.drive.join("BTsyncApp/import");
        fs::rename(own.join("12AB-34CD.list"), own.join("12AB34CD.list")).unwrap();
        // Another card of the same number: equal path, size and time, other bytes.
        let rewrite = |text: &str| {
            let at = house.from.join("a.txt");
            let time = fs::metadata(&at).unwrap().modified().unwrap();
            fs::write(&at, text).unwrap();
            File::options().write(true).open(&at).unwrap().set_modified(time).unwrap();
        };
        let run = |id: &str| import(&house.from, &house.drive, id, &mut |_| Ok(())).unwrap();
        rewrite("b");
        let done = run("12AB-34CD--64000");
        assert_eq!((done.copied, done.known), (1, 1));
        assert_eq!(fs::read_to_string(house.here("a (imported).txt")).unwrap(), "b");
        // And a third one, whose like at home is there no more: the list counts for one card only.
        fs::remove_file(house.here("a.txt")).unwrap();
        rewrite("c");
        let done = run("12AB-34CD--128000");
        assert_eq!((done.copied, done.known), (1, 1));
        assert_eq!(fs::read_to_string(house.here("a.txt")).unwrap(), "c");
        // What it counted for stays known to its card, stopped or not.
        fs::remove_file(house.here("Photos/2012/b.jpg")).unwrap();
        assert_eq!(run("12AB-34CD--64000").known, 2);
        assert!(!house.here("Photos/2012/b.jpg").exists());
    }

    #[test]
    fn a_file_that_can_not_fit_is_left_out_with_the_numbers_and_the_others_come() {
        let house = House::new();
        // Larger than any drive this runs on, and not a byte of it is on the disk.
        let film = File::create(house.from.join("film.mkv")).unwrap();
        film.set_len(14 << 40).unwrap();
        let done = house.run();
        assert_eq!((done.copied, done.skipped, done.too_large), (2, 1, (1, 14 << 40)));
        assert!(done.finished && done.stopped.is_none());
        assert!(done.told[0].starts_with("film.mkv: it has 15 TB"), "{done:?}");
        assert!(done.told[0].contains("room for"), "{done:?}");
        assert!(!house.here("film.mkv").exists());
    }

    #[test]
    fn the_reserve_is_enough_for_the_ledger_and_keeps_old_versions() {
        for total in [64 << 20, 1 << 30, 4 << 40] {
            let left = reserve(Bytes(total));
            assert!(left >= Bytes(8 << 20), "{total}");
            assert!(!crate::plan::versions::is_short(left, Bytes(total)), "{total}");
        }
    }
}
