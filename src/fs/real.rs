//! The drive itself.
//!
//! Every path is opened beneath one folder handle with `openat2(RESOLVE_BENEATH | NO_SYMLINKS |
//! NO_MAGICLINKS | NO_XDEV)`; after that only single names are used. A link is made from the opened
//! and checked descriptor (`AT_EMPTY_PATH`, or `/proc/self/fd/N` with `AT_SYMLINK_FOLLOW`, linkat(2)),
//! so that nothing can be swapped between the look and the link.

use super::scan::{Scan, scan};
use super::stat::{Device, has_no_inodes, kind_at, look_at};
use super::{Denial, Entry, FileSystem, FsError, Listing, Space, cause};
use crate::model::{Bytes, FileId, Place, RelPath, Spot, Stat};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, fsync, linkat, mkdirat,
    openat, openat2, renameat_with, syncfs, unlinkat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

/// From so many changed folders on, one syncfs(2) is cheaper than an fsync(2) of each.
const SYNC_ALL_FROM: usize = 24;
/// Open folder handles kept for the next operation.
const KEPT: usize = 8;
/// Without O_NOFOLLOW: RESOLVE_NO_SYMLINKS refuses links too, and tells them (ELOOP) from files.
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A mounted drive, or any folder that plays one.
#[derive(Debug)]
pub struct Real {
    root: OwnedFd,
    /// The file system of the root. Nothing of any other is opened or told of, so that an inode number means one file.
    device: Device,
    /// Folder handles, the most recently used last.
    open: Vec<(Spot, OwnedFd)>,
    /// Folders changed since the last sync.
    changed: BTreeMap<Spot, OwnedFd>,
    all_changed: bool,
}

impl Real {
    /// Opens the folder that is the drive's root. It must be there already: a drive that is not
    /// plugged in is never made up.
    pub fn open(root: &Path) -> Result<Self, Errno> {
        let root = openat(CWD, root, FOLDER, Mode::empty())?;
        let device = Device::of(&root)?;
        let (open, changed) = (Vec::new(), BTreeMap::new());
        Ok(Self { root, device, open, changed, all_changed: false })
    }

    /// A handle of its own to one of the drive's folders, for those who read whole files.
    pub fn handle(&mut self, dir: &Spot) -> Result<OwnedFd, FsError> {
        self.beneath(dir)
    }

    /// Makes the folder of a place itself. What is the server's own is nobody else's to read.
    fn make_place(&mut self, at: &Spot) -> Result<(), FsError> {
        let folder = at.place.folder();
        let mut end = 0;
        while end < folder.len() {
            end = folder[end + 1..].find('/').map_or(folder.len(), |i| end + 1 + i);
            let mode = if folder.starts_with("BTsyncApp") { Mode::RWXU } else { MODE_DIR };
            match mkdirat(&self.root, &folder[..end], mode) {
                Ok(()) => self.all_changed = true,
                Err(Errno::EXIST) => {}
                Err(e) => return Err(self.explain(FsError::new(at, "make the folder", e))),
            }
        }
        Ok(())
    }

    fn beneath(&self, dir: &Spot) -> Result<OwnedFd, FsError> {
        let mut path = dir.place.folder().into_bytes();
        if !dir.path.is_root() {
            path.push(b'/');
            path.extend_from_slice(dir.path.as_bytes());
        }
        let how = ResolveFlags::BENEATH
            | ResolveFlags::NO_SYMLINKS
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV;
        loop {
            match openat2(&self.root, path.as_slice(), FOLDER, Mode::empty(), how) {
                // A rename raced with the look-up (openat2(2)): look again.
                Err(Errno::AGAIN) => {}
                // A subvolume is no mount, so NO_XDEV lets it pass; its files have numbers of their own.
                Ok(fd) if Device::of(&fd).is_ok_and(|device| device != self.device) => {
                    return Err(FsError::OtherFileSystem { at: dir.clone() });
                }
                other => {
                    return other
                        .map_err(|e| self.explain(FsError::new(dir, "open the folder", e)));
                }
            }
        }
    }

    /// Says of an error what the errno alone does not tell.
    fn explain(&self, error: FsError) -> FsError {
        cause::explain(&self.root, error)
    }

    /// The folder that `at` is a name in, and that name.
    fn parent<'s, 'p>(&'s mut self, at: &'p Spot) -> Result<(BorrowedFd<'s>, &'p [u8]), FsError> {
        let (Some(path), Some(name)) = (at.path.parent(), at.path.name()) else {
            return Err(FsError::NotRegular { at: at.clone() });
        };
        let folder = self.folder(&at.place.clone().at(path)).map_err(|e| match e {
            // Callers ask for a name: that its folder is missing is that the name is.
            FsError::Missing { .. } => FsError::Missing { at: at.clone() },
            FsError::NotRegular { .. } => FsError::NotRegular { at: at.clone() },
            FsError::OtherFileSystem { .. } => FsError::OtherFileSystem { at: at.clone() },
            e => e,
        })?;
        Ok((folder, name))
    }

    fn folder(&mut self, dir: &Spot) -> Result<BorrowedFd<'_>, FsError> {
        match self.open.iter().rposition(|(spot, _)| spot == dir) {
            Some(i) if i + 2 < self.open.len() => {
                let kept = self.open.remove(i);
                self.open.push(kept);
            }
            Some(i) => return Ok(self.open[i].1.as_fd()),
            None => {
                let fd = self.beneath(dir)?;
                if self.open.len() == KEPT {
                    self.open.remove(0);
                }
                self.open.push((dir.clone(), fd));
            }
        }
        Ok(self.open[self.open.len() - 1].1.as_fd())
    }

    /// Remembers that the folder of `at` has to reach the disk.
    fn touch(&mut self, at: &Spot) -> Result<(), FsError> {
        if self.all_changed {
            return Ok(());
        }
        let dir = at.place.clone().at(at.path.parent().unwrap_or_default());
        if self.changed.contains_key(&dir) {
            return Ok(());
        }
        if self.changed.len() + 1 >= SYNC_ALL_FROM {
            self.all_changed = true;
            self.changed.clear();
            return Ok(());
        }
        let fd = self.folder(&dir)?.try_clone_to_owned();
        let fd = fd.map_err(|e| {
            let errno = Errno::from_io_error(&e).unwrap_or(Errno::MFILE);
            FsError::new(&dir, "keep the folder open", errno)
        })?;
        self.changed.insert(dir, fd);
        Ok(())
    }

    /// Runs `act` with the folder and name of `at`; once more with a fresh handle when the folder
    /// behind a kept handle was removed and made again meanwhile.
    fn with<T>(
        &mut self,
        at: &Spot,
        doing: &'static str,
        act: impl Fn(BorrowedFd<'_>, &[u8]) -> Result<T, Errno>,
    ) -> Result<T, FsError> {
        let (dir, name) = self.parent(at)?;
        match act(dir, name) {
            Err(Errno::NOENT) => {
                self.open.clear();
                let (dir, name) = self.parent(at)?;
                act(dir, name)
            }
            other => other,
        }
        .map_err(|e| self.explain(FsError::new(at, doing, e)))
    }

    fn with_two(
        &mut self,
        a: &Spot,
        b: &Spot,
        doing: &'static str,
        act: impl Fn(BorrowedFd<'_>, &[u8], BorrowedFd<'_>, &[u8]) -> Result<(), Errno>,
    ) -> Result<(), FsError> {
        // Fresh handles: these operations are rare and must not meet a stale folder.
        self.open.clear();
        let a_dir = self.beneath(&a.place.clone().at(a.path.parent().unwrap_or_default()))?;
        let (dir, name) = self.parent(b)?;
        let from = a.path.name().ok_or_else(|| FsError::NotRegular { at: a.clone() })?;
        let done = act(a_dir.as_fd(), from, dir, name);
        done.map_err(|e| match e {
            Errno::EXIST => FsError::new(b, doing, e),
            e => match self.explain(FsError::new(a, doing, e)) {
                // Nothing about the one name forbids it, so it is the other.
                FsError::Denied { cause: Denial::Unknown, .. } => {
                    cause::denied(&self.root, b.clone(), doing)
                }
                e => e,
            },
        })?;
        // A name that moves between folders has to reach the disk in both at once or in neither:
        // only a commit of the whole file system promises that.
        self.all_changed = true;
        self.changed.clear();
        Ok(())
    }

    /// Opens a name without following anything and looks at what was opened.
    fn grasp(
        &mut self,
        at: &Spot,
        flags: OFlags,
        doing: &'static str,
    ) -> Result<(OwnedFd, Entry), FsError> {
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let device = self.device;
        let (fd, entry) = self.with(at, doing, |dir, name| {
            let fd = openat(dir, name, flags, Mode::empty())?;
            let entry = look_at(fd.as_fd(), b"", AtFlags::EMPTY_PATH, device)?;
            Ok((fd, entry))
        })?;
        match entry {
            Entry::Elsewhere => Err(FsError::OtherFileSystem { at: at.clone() }),
            entry => Ok((fd, entry)),
        }
    }
}

/// The folders above were just made: what is not there now is a file or symbolic link in the way.
fn in_the_way(e: FsError) -> FsError {
    match e {
        FsError::Missing { at } => FsError::NotRegular { at },
        e => e,
    }
}

impl FileSystem for Real {
    fn look(&mut self, at: &Spot) -> Result<Option<Entry>, FsError> {
        if at.path.is_root() {
            return match self.beneath(at) {
                Ok(_) => Ok(Some(Entry::Dir)),
                Err(FsError::Missing { .. }) => Ok(None),
                Err(FsError::OtherFileSystem { .. }) => Ok(Some(Entry::Elsewhere)),
                Err(e) => Err(e),
            };
        }
        let device = self.device;
        match self.with(at, "look", |dir, name| look_at(dir, name, AtFlags::empty(), device)) {
            Ok(entry) => Ok(Some(entry)),
            Err(FsError::Missing { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn list_until(
        &mut self,
        dir: &Spot,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Listing>>, FsError> {
        let fail = |e| cause::explain(&self.root, FsError::new(dir, "list the folder", e));
        let fd = match self.beneath(dir) {
            Ok(fd) => fd,
            Err(FsError::Missing { .. }) => return Ok(Some(None)),
            Err(e) => return Err(e),
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(&fd).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name().to_bytes();
            if name == b"." || name == b".." {
                continue;
            }
            if stop() {
                return Ok(None);
            }
            match look_at(fd.as_fd(), name, AtFlags::empty(), self.device) {
                Ok(what) => found.push((name.to_vec(), what)),
                // It went while we looked.
                Err(Errno::NOENT) => {}
                Err(e) => return Err(fail(e)),
            }
        }
        found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        Ok(Some(Some(found)))
    }

    fn make_dir(&mut self, at: &Spot) -> Result<(), FsError> {
        if self.folder(at).is_ok() {
            return Ok(());
        }
        self.make_place(at)?;
        let mut path = RelPath::root();
        for name in at.path.names() {
            // A part of a checked path is a path.
            path = path.join(name).unwrap_or_default();
            let here = at.place.clone().at(path.clone());
            let made =
                self.with(&here, "make the folder", |dir, name| mkdirat(dir, name, MODE_DIR));
            match made {
                Ok(()) => self.touch(&here)?,
                Err(FsError::Exists { .. }) => {}
                Err(e) => return Err(in_the_way(e)),
            }
        }
        self.folder(at).map(|_| ()).map_err(in_the_way)
    }

    fn remove_dir(&mut self, at: &Spot) -> Result<bool, FsError> {
        self.open.clear();
        match self
            .with(at, "remove the folder", |dir, name| unlinkat(dir, name, AtFlags::REMOVEDIR))
        {
            Ok(()) => {
                self.touch(at)?;
                Ok(true)
            }
            Err(FsError::Exists { .. } | FsError::Missing { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn link(&mut self, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, FsError> {
        let (fd, entry) = self.grasp(from, OFlags::PATH, "open what is to be linked")?;
        let Entry::File(mut stat) = entry else {
            return Err(FsError::NotRegular { at: from.clone() });
        };
        if stat.id.ino != ino {
            return Err(FsError::Changed { at: from.clone() });
        }
        let raw = fd.as_raw_fd();
        self.with(to, "link", |dir, name| {
            // The opened file itself; before Linux 6.10 only for the privileged (linkat(2)).
            match linkat(&fd, "", dir, name, AtFlags::EMPTY_PATH) {
                Err(Errno::NOENT) => {
                    let opened = format!("/proc/self/fd/{raw}");
                    linkat(CWD, opened.as_str(), dir, name, AtFlags::SYMLINK_FOLLOW)
                }
                linked => linked,
            }
        })
        .map_err(|e| match e {
            // Nothing about the new name forbids it, so it is the file.
            FsError::Denied { cause: Denial::Unknown, doing, .. } => {
                cause::denied(&self.root, from.clone(), doing)
            }
            // Of the two it is the file that lies behind another mount.
            FsError::OtherFileSystem { .. } => FsError::OtherFileSystem { at: from.clone() },
            e => e,
        })?;
        self.touch(to)?;
        stat.nlink = stat.nlink.saturating_add(1);
        Ok(stat)
    }

    fn rename(&mut self, from: &Spot, to: &Spot) -> Result<(), FsError> {
        self.with_two(from, to, "rename", |a, from, b, to| {
            renameat_with(a, from, b, to, RenameFlags::NOREPLACE)
        })
    }

    fn exchange(&mut self, a: &Spot, b: &Spot) -> Result<(), FsError> {
        self.with_two(a, b, "exchange", |a, from, b, to| {
            renameat_with(a, from, b, to, RenameFlags::EXCHANGE)
        })
    }

    fn unlink(&mut self, at: &Spot) -> Result<(), FsError> {
        self.with(at, "take the name away", |dir, name| unlinkat(dir, name, AtFlags::empty()))?;
        self.touch(at)
    }

    fn read(&mut self, at: &Spot, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let (fd, entry) = match self.grasp(at, flags, "open to read") {
            Ok(found) => found,
            Err(FsError::Missing { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        if !matches!(entry, Entry::File(_)) {
            return Err(FsError::NotRegular { at: at.clone() });
        }
        let mut content = Vec::new();
        std::fs::File::from(fd)
            .take(limit + 1)
            .read_to_end(&mut content)
            .map_err(|e| FsError::new(at, "read", Errno::from_io_error(&e).unwrap_or(Errno::IO)))?;
        Ok(Some(content))
    }

    fn read_part(
        &mut self,
        at: &Spot,
        id: &FileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, FsError> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let (fd, entry) = self.grasp(at, flags, "open to read")?;
        match entry {
            Entry::File(stat) if stat.id == *id => {}
            Entry::File(_) => return Err(FsError::Changed { at: at.clone() }),
            _ => return Err(FsError::NotRegular { at: at.clone() }),
        }
        let mut part = vec![0; most];
        let mut got = 0;
        while got < most {
            match rustix::io::pread(&fd, &mut part[got..], offset + got as u64) {
                Ok(0) => break,
                Ok(n) => got += n,
                Err(Errno::INTR) => {}
                Err(e) => return Err(FsError::new(at, "read", e)),
            }
        }
        part.truncate(got);
        Ok(part)
    }

    fn write_new(&mut self, at: &Spot, content: &[u8]) -> Result<(), FsError> {
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = self.with(at, "create", |dir, name| openat(dir, name, flags, MODE_FILE))?;
        let mut file = std::fs::File::from(fd);
        if let Err(e) = file.write_all(content).and_then(|()| file.sync_all()) {
            let errno = Errno::from_io_error(&e).unwrap_or(Errno::IO);
            // Half a file is nobody's: whether it can be taken away changes nothing of the error.
            drop(self.unlink(at));
            return Err(self.explain(FsError::new(at, "write", errno)));
        }
        self.touch(at)
    }

    fn sync(&mut self) -> Result<(), FsError> {
        self.open.clear();
        if std::mem::take(&mut self.all_changed) {
            return syncfs(&self.root).map_err(|e| {
                self.all_changed = true;
                FsError::new(&Place::Files.at(RelPath::root()), "bring changes to the disk", e)
            });
        }
        while let Some((spot, fd)) = self.changed.pop_first() {
            if let Err(e) = fsync(&fd) {
                self.changed.insert(spot.clone(), fd);
                return Err(FsError::new(&spot, "bring changes to the disk", e));
            }
        }
        Ok(())
    }

    fn leads_elsewhere(&mut self, at: &Spot) -> Result<bool, FsError> {
        match self.with(at, "look", kind_at) {
            Ok(kind) => Ok(kind == FileType::Symlink),
            Err(FsError::Missing { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    fn scan(&mut self, from: &Spot) -> Result<Scan, FsError> {
        match self.beneath(&from.place.clone().at(RelPath::root())) {
            Ok(handle) => scan(&handle, &from.place, &from.path),
            Err(FsError::Missing { .. }) => Ok(Scan::default()),
            Err(FsError::OtherFileSystem { .. }) => {
                Ok(Scan { elsewhere: vec![from.path.clone()], ..Scan::default() })
            }
            Err(e) => Err(e),
        }
    }

    fn denial(&mut self, at: &Spot) -> Option<Denial> {
        match cause::denied(&self.root, at.clone(), "look") {
            FsError::Denied { cause: Denial::Unknown, .. } => None,
            FsError::Denied { cause, .. } => Some(cause),
            _ => None,
        }
    }

    fn real(&mut self) -> Option<&mut Real> {
        Some(self)
    }

    fn space(&mut self) -> Result<Space, FsError> {
        let s = rustix::fs::fstatvfs(&self.root).map_err(|e| {
            FsError::new(&Place::Files.at(RelPath::root()), "ask for the room left", e)
        })?;
        Ok(Space {
            free: Bytes(s.f_bavail.saturating_mul(s.f_frsize)),
            total: Bytes(s.f_blocks.saturating_mul(s.f_frsize)),
            no_inodes: has_no_inodes(&s),
        })
    }
}

const MODE_DIR: Mode =
    Mode::RWXU.union(Mode::RGRP).union(Mode::XGRP).union(Mode::ROTH).union(Mode::XOTH);
const MODE_FILE: Mode = Mode::RUSR.union(Mode::WUSR).union(Mode::RGRP).union(Mode::ROTH);
