//! Looks at whole folders: every regular file below one, with its facts, into a [`Tree`].
//!
//! Two readers share the folders; within one, names are asked for in inode order, which is disk order
//! on a rotating drive. Symbolic links, devices and pipes, what lies too deep, and names that are ours are not taken
//! in, which is told ([`NotTaken`]). Names that sync engines and browsers use while they write are nobody's files.

use super::{Device, Entry, FsError, kind_at, look_at};
use crate::model::{NotTaken, Place, RelPath, Stat, Tree, Untaken, is_private, is_reserved};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, openat2};
use rustix::io::Errno;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Readers at work: one waits for the disk while the other fills the tree.
const READERS: usize = 2;

/// What a look at a whole folder found.
#[derive(Debug, Default)]
pub struct Scan {
    /// Every regular file and folder.
    pub tree: Tree<Stat>,
    /// Folders that could not be read: nothing is known of what is in them, least of all that it is gone.
    pub unreadable_dirs: Vec<RelPath>,
    /// Names that lie on another file system. Nothing is known of what is in them, as of `blind`; and it is nobody's
    /// business here.
    pub elsewhere: Vec<RelPath>,
    /// What is there and not taken in, and why.
    pub not_taken: NotTaken,
}

/// True where a reserved name is told as not taken in: among the masters no sync engine keeps anything, so that what
/// has such a name there is a family's. In the folders that it synchronizes it is the sync engine's own.
pub fn tells_reserved(place: &Place, name: &[u8]) -> bool {
    *place == Place::Files && is_reserved(name)
}

/// Scans a place, or a folder in it. `handle` is the opened place.
///
/// An error is the drive's trouble; a folder that merely may not be read is `blind`.
pub fn scan(handle: &OwnedFd, place: &Place, from: &RelPath) -> Result<Scan, FsError> {
    let device = Device::of(handle)
        .map_err(|e| FsError::new(&place.clone().at(from.clone()), "look at the folder", e))?;
    let state = State {
        device,
        work: Mutex::new(Work { todo: vec![from.clone()], busy: 0, error: None }),
        more: Condvar::new(),
        found: Mutex::new(Scan::default()),
    };
    std::thread::scope(|scope| {
        for _ in 1..READERS {
            scope.spawn(|| read_folders(&state, handle, place));
        }
        read_folders(&state, handle, place);
    });
    let work = state.work.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Some(error) = work.error {
        return Err(error);
    }
    let mut found = state.found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.tree.shrink();
    found.unreadable_dirs.sort();
    found.elsewhere.sort();
    Ok(found)
}

struct State {
    /// Of the place, which is that of the drive's root.
    device: Device,
    work: Mutex<Work>,
    more: Condvar,
    found: Mutex<Scan>,
}

struct Work {
    todo: Vec<RelPath>,
    busy: usize,
    error: Option<FsError>,
}

/// A reader that panicked has left nothing half-done that the others could trip over.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read_folders(state: &State, handle: &OwnedFd, place: &Place) {
    let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
    let mut work = lock(&state.work);
    loop {
        if work.error.is_some() || (work.todo.is_empty() && work.busy == 0) {
            state.more.notify_all();
            return;
        }
        let Some(dir) = work.todo.pop() else {
            work = state.more.wait(work).unwrap_or_else(PoisonError::into_inner);
            continue;
        };
        work.busy += 1;
        drop(work);
        let read = read_folder(state, handle, place, &dir, &mut buffer);
        work = lock(&state.work);
        work.busy -= 1;
        match read {
            Ok(below) => work.todo.extend(below),
            Err(errno) => {
                let error = FsError::new(&place.clone().at(dir.clone()), "read the folder", errno);
                match error {
                    // It went while we looked: its parent will be looked at again.
                    FsError::Missing { .. } => {}
                    FsError::OtherFileSystem { .. } => lock(&state.found).elsewhere.push(dir),
                    error if error.trouble().is_some() => work.error = Some(error),
                    _ => lock(&state.found).unreadable_dirs.push(dir),
                }
            }
        }
        state.more.notify_all();
    }
}

fn read_folder(
    state: &State,
    handle: &OwnedFd,
    place: &Place,
    dir: &RelPath,
    buffer: &mut [MaybeUninit<u8>],
) -> Result<Vec<RelPath>, Errno> {
    let path: &[u8] = if dir.is_root() { b"." } else { dir.as_bytes() };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    let fd = openat2(handle, path, flags, Mode::empty(), how)?;
    if Device::of(&fd)? != state.device {
        // A subvolume, which is no mount.
        return Err(Errno::XDEV);
    }
    // Names of this folder, one after the other, and for each its inode and place.
    let mut names = Vec::new();
    let mut entries: Vec<(u64, u32, u16, FileType)> = Vec::new();
    let mut not_taken = NotTaken::default();
    let mut raw = RawDir::new(fd.as_fd(), buffer);
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name = entry.file_name().to_bytes();
        if name == b"." || name == b".." {
            continue;
        }
        if is_private(name) {
            if tells_reserved(place, name) {
                not_taken.add(&below_raw(dir, name), Untaken::Reserved);
            }
            continue;
        }
        // A name has at most 255 bytes, a folder's names together fewer than 4 GiB.
        entries.push((entry.ino(), names.len() as u32, name.len() as u16, entry.file_type()));
        names.extend_from_slice(name);
    }
    entries.sort_unstable_by_key(|&(ino, start, ..)| (ino, start));
    let name_at = |start: u32, len: u16| &names[start as usize..][..usize::from(len)];
    let mut files: Vec<(u32, u16, Stat)> = Vec::new();
    let mut below = Vec::new();
    let mut elsewhere = Vec::new();
    for (_, start, len, kind) in entries {
        let name = name_at(start, len);
        if !dir.has_room_for(name.len()) {
            not_taken.add(&below_raw(dir, name), Untaken::TooDeep);
            continue;
        }
        let kind = match kind {
            FileType::RegularFile | FileType::Unknown => {
                match look_at(fd.as_fd(), name, AtFlags::empty(), state.device) {
                    Ok(Entry::File(stat)) => {
                        files.push((start, len, stat));
                        continue;
                    }
                    Ok(Entry::Dir) => FileType::Directory,
                    Ok(Entry::Elsewhere) => {
                        elsewhere.extend(dir.join(name));
                        continue;
                    }
                    // It may go between the two looks; that says nothing of the folder.
                    Ok(Entry::Other) => match kind_at(fd.as_fd(), name) {
                        Ok(kind) => kind,
                        Err(Errno::NOENT) => continue,
                        Err(e) => return Err(e),
                    },
                    Err(Errno::NOENT) => continue,
                    Err(e) => return Err(e),
                }
            }
            other => other,
        };
        match (kind, dir.join(name)) {
            (FileType::Directory, Ok(path)) => below.push(path),
            (FileType::Symlink, _) => not_taken.add(&below_raw(dir, name), Untaken::Symlink),
            _ => not_taken.add(&below_raw(dir, name), Untaken::Special),
        }
    }
    files.sort_unstable_by(|a, b| name_at(a.0, a.1).cmp(name_at(b.0, b.1)));
    let mut found = lock(&state.found);
    found.not_taken.extend(not_taken);
    found.elsewhere.append(&mut elsewhere);
    let id = found.tree.insert_dir(dir);
    for (start, len, stat) in files {
        found.tree.insert_in(id, name_at(start, len), stat);
    }
    found.tree.shrink_dir(id);
    Ok(below)
}

fn below_raw(dir: &RelPath, name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if dir.is_root() { b"" } else { b"/" };
    [dir.as_bytes(), slash, name].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan_dir(dir: &std::path::Path) -> Scan {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = rustix::fs::open(dir, flags, Mode::empty()).unwrap();
        scan(&fd, &Place::Files, &RelPath::root()).unwrap()
    }

    fn paths(scan: &Scan) -> Vec<String> {
        let mut found = Vec::new();
        scan.tree.for_each(Tree::<Stat>::ROOT, |p, _| found.push(p.escape_ascii().to_string()));
        found
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn finds_regular_files_of_any_name_and_nothing_else() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &[u8]| dir.path().join(std::ffi::OsStr::from_bytes(name));
        for folder in [&b"a/b"[..], b"empty", b".stfolder", b"\xff"] {
            std::fs::create_dir_all(at(folder)).unwrap();
        }
        for file in
            [&b"z"[..], b"a/x", b"a/b/new\nline", b"\xff/y", b"a/.syncthing.x.tmp", b"p.crswap"]
        {
            std::fs::write(at(file), b"123").unwrap();
        }
        std::os::unix::fs::symlink("/etc", at(b"a/etc")).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, at(b"pipe"), FileType::Fifo, Mode::RUSR, 0).unwrap();
        let found = scan_dir(dir.path());
        assert_eq!(paths(&found), ["z", "a/x", "a/b/new\\nline", "\\xff/y"]);
        assert_eq!((found.tree.len(), found.tree.dir_count()), (4, 5));
        assert_eq!(found.unreadable_dirs.len(), 0);
        let not_taken = found.not_taken.list();
        assert_eq!(
            not_taken,
            [
                (Untaken::Symlink, 1, &b"a/etc"[..]),
                (Untaken::Special, 1, &b"pipe"[..]),
                (Untaken::Reserved, 1, &b".stfolder"[..]),
            ]
        );
        let stat = found.tree.get(&RelPath::new(b"z").unwrap()).unwrap();
        assert_eq!((stat.id.size, stat.nlink), (3, 1));
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn what_lies_too_deep_is_told_file_and_folder() {
        let dir = tempfile::tempdir().unwrap();
        let deepest = vec!["d"; 63].join("/");
        std::fs::create_dir_all(dir.path().join(&deepest).join("e/f")).unwrap();
        for file in ["in", "e/out", "e/f/below"] {
            std::fs::write(dir.path().join(&deepest).join(file), b"").unwrap();
        }
        let found = scan_dir(dir.path());
        assert_eq!(paths(&found), [format!("{deepest}/in")]);
        // The folder stands for all that is in it.
        let first = format!("{deepest}/e/f");
        assert_eq!(found.not_taken.list(), [(Untaken::TooDeep, 2, first.as_bytes())]);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn the_sync_engines_own_names_are_told_among_the_masters_only() {
        let dir = tempfile::tempdir().unwrap();
        for name in [".stfolder.removed-20261123-100000", ".stfolder"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join("syncthing-folder-a7225d.txt"), b"x")
                .unwrap();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let fd = rustix::fs::open(dir.path(), flags, Mode::empty()).unwrap();
        let phone = Place::Device(crate::model::DeviceName::new("HTCphone").unwrap());
        let found = scan(&fd, &phone, &RelPath::root()).unwrap();
        assert_eq!((found.tree.len(), found.not_taken.is_empty()), (0, true));
        let found = scan(&fd, &Place::Files, &RelPath::root()).unwrap();
        assert_eq!(found.tree.len(), 0);
        assert_eq!(found.not_taken.list(), [(Untaken::Reserved, 2, &b".stfolder"[..])]);
    }

    #[test]
    #[allow(clippy::disallowed_methods)]
    fn finds_all_of_many() {
        let dir = tempfile::tempdir().unwrap();
        for folder in 0..60 {
            let folder = dir.path().join(format!("d{}/e{folder}", folder % 7));
            std::fs::create_dir_all(&folder).unwrap();
            for file in 0..50 {
                std::fs::write(folder.join(format!("f{file}")), b"").unwrap();
            }
        }
        let found = scan_dir(dir.path());
        assert_eq!((found.tree.len(), found.tree.dir_count()), (3000, 1 + 7 + 60));
    }
}
