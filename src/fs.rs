//! The one door to the drive: every change of a name or a page goes through [`FileSystem`].
//!
//! In come [`Spot`]s, which can't leave their folder, and the inode that the plan meant; out come
//! facts or an [`FsError`] that names the spot. There is a real implementation and one in memory;
//! one contract suite (`contract.rs`) holds both to the same behaviour.
//!
//! What it must never do: overwrite a name, follow a symbolic link, touch what is not a regular
//! file or a folder, or act on another inode than the one it was told.

mod cause;
#[cfg(test)]
mod contract;
mod dry_run;
mod memory;
mod real;
pub mod scan;
mod stat;

pub use cause::Denial;
pub use dry_run::DryRun;
pub use memory::Memory;
pub use real::Real;
pub(crate) use stat::{Device, kind_at, look_at};

use crate::model::{Bytes, FileId, Spot, Stat, Untaken, is_private};
use rustix::io::Errno;
use scan::{Scan, tells_reserved};

/// What keeps the drive from working. Work stops; nothing is recorded as done or refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// No space (ENOSPC, EDQUOT).
    Full,
    /// There is space, but the file system has no inode left for another file or folder (ENOSPC).
    NoInodes,
    /// It may not be written (EROFS).
    ReadOnly,
    /// It fails or is gone (EIO, ENODEV, ENXIO, ESTALE …).
    Failing,
}

impl Trouble {
    /// What the kernel said; it says "no space" of inodes, too.
    fn say(&self, source: &Errno) -> String {
        match self {
            Self::NoInodes => {
                "the drive has space, but its number of files is used up (no inodes left)".into()
            }
            _ => source.to_string(),
        }
    }
}

/// Why an operation did not happen. Unless it says otherwise, nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum FsError {
    /// There is no such name.
    #[error("{at}: there is nothing of this name any more")]
    Missing {
        /// Which name.
        at: Spot,
    },
    /// The name is taken.
    #[error("{at}: the name is taken, and nothing is overwritten")]
    Exists {
        /// Which name.
        at: Spot,
    },
    /// The name belongs to another file now.
    #[error("{at}: it is not the file it was a moment ago")]
    Changed {
        /// Which name.
        at: Spot,
    },
    /// A symbolic link, a device, a pipe, or a folder where a file was meant.
    #[error(
        "{at}: it is not a regular file, or lies behind a symbolic link; it is left alone: move it elsewhere"
    )]
    NotRegular {
        /// Which name.
        at: Spot,
    },
    /// It lies on another file system: a mount, a subvolume, a snapshot (EXDEV).
    #[error(
        "{at}: it lies on another file system (a mount, a subvolume or a snapshot), and is left alone; \
         copy what you want of it into an ordinary folder in BTsync/files"
    )]
    OtherFileSystem {
        /// Which name.
        at: Spot,
    },
    /// The kernel forbids it (EPERM, EACCES).
    #[error("{at}: {doing}: not permitted, {cause}")]
    Denied {
        /// The name or folder that is the cause.
        at: Spot,
        /// What was tried.
        doing: &'static str,
        /// Why it is forbidden, and the next step.
        cause: Denial,
    },
    /// The name is longer than the file system takes (ENAMETOOLONG).
    #[error("{at}: the name is too long for this drive; give it a shorter one")]
    NameTooLong {
        /// Which name.
        at: Spot,
    },
    /// The inode has all the names that the file system allows (65,000 on ext4).
    #[error("{at}: the file has as many links as the file system allows")]
    TooManyLinks {
        /// Which name.
        at: Spot,
    },
    /// The drive does not work. Everything waits until it does.
    #[error("{at}: {doing}: {}", .trouble.say(.source))]
    Drive {
        /// What is the matter with it.
        trouble: Trouble,
        /// Where it showed.
        at: Spot,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: Errno,
    },
    /// The kernel said no for another reason.
    #[error("{at}: {doing}: {source}")]
    Other {
        /// Where.
        at: Spot,
        /// What was tried.
        doing: &'static str,
        /// What the kernel said.
        source: Errno,
    },
}

impl FsError {
    /// Sorts an answer of the kernel.
    pub fn new(at: &Spot, doing: &'static str, source: Errno) -> Self {
        let at = at.clone();
        let trouble = |trouble| Self::Drive { trouble, at: at.clone(), doing, source };
        match source {
            Errno::NOENT | Errno::NOTDIR => Self::Missing { at },
            Errno::EXIST | Errno::NOTEMPTY => Self::Exists { at },
            Errno::LOOP | Errno::ISDIR => Self::NotRegular { at },
            Errno::XDEV => Self::OtherFileSystem { at },
            Errno::PERM | Errno::ACCESS => Self::Denied { at, doing, cause: Denial::Unknown },
            Errno::NAMETOOLONG => Self::NameTooLong { at },
            Errno::MLINK => Self::TooManyLinks { at },
            Errno::NOSPC | Errno::DQUOT => trouble(Trouble::Full),
            Errno::ROFS => trouble(Trouble::ReadOnly),
            // EUCLEAN is how ext4, xfs and btrfs report a damaged structure.
            Errno::IO | Errno::NODEV | Errno::NXIO | Errno::STALE | Errno::UCLEAN => {
                trouble(Trouble::Failing)
            }
            // What the block layer says of a drive that fails (blk_errors in block/blk-core.c: a timeout, the medium,
            // the target, the transport), where a file system hands it through, as xfs does. Not EILSEQ: of a name it
            // says that the file system does not take its bytes, and that is no matter of the whole drive.
            Errno::TIMEDOUT | Errno::NODATA | Errno::REMOTEIO | Errno::NOLINK => {
                trouble(Trouble::Failing)
            }
            _ => Self::Other { at, doing, source },
        }
    }

    /// True when somebody else was at the same name in that moment: looking again shows what is there now.
    pub fn is_race(&self) -> bool {
        matches!(self, Self::Missing { .. } | Self::Exists { .. } | Self::Changed { .. })
    }

    /// True when the cause stays until somebody removes it. Of what is neither this nor a race nobody can say: a folder
    /// that went in that moment, a call that was interrupted, a machine short of memory. That is worth another try.
    pub fn stays(&self) -> bool {
        matches!(
            self,
            Self::Denied { .. }
                | Self::OtherFileSystem { .. }
                | Self::NameTooLong { .. }
                | Self::TooManyLinks { .. }
        )
    }

    /// The trouble with the drive, when that is why.
    pub fn trouble(&self) -> Option<Trouble> {
        match self {
            Self::Drive { trouble, .. } => Some(*trouble),
            _ => None,
        }
    }
}

/// What a folder has at one name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// A regular file.
    File(Stat),
    /// A folder.
    Dir,
    /// Something on another file system, which Larder leaves alone.
    Elsewhere,
    /// Anything else, which Larder leaves alone.
    Other,
}

/// The names in a folder, sorted, each with what is there.
pub type Listing = Vec<(Vec<u8>, Entry)>;

/// Room on the drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Space {
    /// What may still be written.
    pub free: Bytes,
    /// The size of the file system.
    pub total: Bytes,
    /// No further file or folder can be made, however much space there is.
    pub no_inodes: bool,
}

/// The drive, as far as Larder changes and reads it.
///
/// Single-threaded: the owner loop has the only one. Every mutating method does one thing that a
/// power cut leaves either done or not done; [`FileSystem::sync`] makes what was done last.
pub trait FileSystem {
    /// What is at a name; `None` when nothing is.
    fn look(&mut self, at: &Spot) -> Result<Option<Entry>, FsError>;

    /// The names in a folder with what is there, sorted; `None` when there is no such folder.
    fn list(&mut self, dir: &Spot) -> Result<Option<Listing>, FsError> {
        Ok(self.list_until(dir, &mut || false)?.flatten())
    }

    /// The same, but breaks off when `stop` says so: then the answer is `None`. It is asked before every name.
    fn list_until(
        &mut self,
        dir: &Spot,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Listing>>, FsError>;

    /// Makes a folder and those above it. That it is there already is fine.
    fn make_dir(&mut self, at: &Spot) -> Result<(), FsError>;

    /// Removes an empty folder; `false` when it is not empty or not there.
    fn remove_dir(&mut self, at: &Spot) -> Result<bool, FsError>;

    /// Gives the regular file `from`, which must be inode `ino`, another name. The name must be
    /// free and its folder there. Returns the facts of the file that was linked.
    fn link(&mut self, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, FsError>;

    /// Renames; the new name must be free and its folder there.
    fn rename(&mut self, from: &Spot, to: &Spot) -> Result<(), FsError>;

    /// Exchanges what two names mean, at once; both must be there.
    fn exchange(&mut self, a: &Spot, b: &Spot) -> Result<(), FsError>;

    /// Takes a name away, whatever file it means: callers first bring the name to a place of ours
    /// where nobody else changes it, and look.
    fn unlink(&mut self, at: &Spot) -> Result<(), FsError>;

    /// The content of a small file; `None` when it is not there. More than `limit` bytes is
    /// cut at `limit` + 1, so that the caller sees it is too large.
    fn read(&mut self, at: &Spot, limit: u64) -> Result<Option<Vec<u8>>, FsError>;

    /// `most` bytes, or fewer at its end, from `offset` of a file of any size, which must be `id`.
    fn read_part(
        &mut self,
        at: &Spot,
        id: &FileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, FsError>;

    /// Writes a new file, completely and on the disk, at a free name.
    fn write_new(&mut self, at: &Spot, content: &[u8]) -> Result<(), FsError>;

    /// Returns when every change made so far is on the disk.
    fn sync(&mut self) -> Result<(), FsError>;

    /// How much room there is.
    fn space(&mut self) -> Result<Space, FsError>;

    /// What forbids to link, rename or unlink a file; `None` when nothing that can be seen does.
    fn denial(&mut self, at: &Spot) -> Option<Denial>;

    /// The real drive behind the file system port, for those who work on opened files: leases, extents. `None`
    /// where there is none.
    fn real(&mut self) -> Option<&mut Real> {
        None
    }

    /// True for a symbolic link, where what is at a name is neither a file nor a folder.
    fn leads_elsewhere(&mut self, _at: &Spot) -> Result<bool, FsError> {
        Ok(true)
    }

    /// Everything at or below a folder. One that is not there is an empty one.
    fn scan(&mut self, from: &Spot) -> Result<Scan, FsError> {
        let mut found = Scan::default();
        let mut todo = vec![from.path.clone()];
        while let Some(dir) = todo.pop() {
            let listed = match self.list(&from.place.clone().at(dir.clone())) {
                Ok(listed) => listed.unwrap_or_default(),
                Err(e) if e.trouble().is_some() => return Err(e),
                Err(FsError::OtherFileSystem { .. }) => {
                    found.elsewhere.push(dir);
                    continue;
                }
                Err(FsError::NotRegular { at }) if dir == from.path => {
                    return Err(FsError::NotRegular { at });
                }
                Err(FsError::Missing { .. }) => continue,
                Err(_) => {
                    found.unreadable_dirs.push(dir);
                    continue;
                }
            };
            let id = found.tree.insert_dir(&dir);
            for (name, entry) in listed {
                let path = dir.join(&name);
                let here = from.place.clone().at(path.clone().unwrap_or_else(|_| dir.clone()));
                let why = match (entry, path) {
                    _ if is_private(&name) && !tells_reserved(&from.place, &name) => continue,
                    _ if is_private(&name) => Untaken::Reserved,
                    (_, Err(_)) => Untaken::TooDeep,
                    (Entry::File(stat), Ok(_)) => {
                        found.tree.insert_in(id, &name, stat);
                        continue;
                    }
                    (Entry::Dir, Ok(path)) => {
                        todo.push(path);
                        continue;
                    }
                    (Entry::Elsewhere, Ok(path)) => {
                        found.elsewhere.push(path);
                        continue;
                    }
                    (Entry::Other, Ok(_)) if self.leads_elsewhere(&here)? => Untaken::Symlink,
                    (Entry::Other, Ok(_)) => Untaken::Special,
                };
                let raw = [dir.as_bytes(), &b"/"[usize::from(dir.is_root())..], &name[..]].concat();
                found.not_taken.add(&raw, why);
            }
        }
        found.unreadable_dirs.sort();
        found.elsewhere.sort();
        Ok(found)
    }

    /// The facts of the regular file at a name; `None` when there is nothing.
    fn stat(&mut self, at: &Spot) -> Result<Option<Stat>, FsError> {
        match self.look(at)? {
            None => Ok(None),
            Some(Entry::File(stat)) => Ok(Some(stat)),
            Some(Entry::Elsewhere) => Err(FsError::OtherFileSystem { at: at.clone() }),
            Some(_) => Err(FsError::NotRegular { at: at.clone() }),
        }
    }
}
