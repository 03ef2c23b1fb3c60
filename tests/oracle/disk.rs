//! A real drive, read with the standard library.

use super::snapshot::{DriveView, Facts, Hash, What};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// What tells that a file is as it was read: device, inode, size, and when anything of it last changed, which nobody
/// can set.
type Same = (u64, u64, u64, i64, i64);

/// A drive by the path of its root. Each file is read once as long as it stays as it is.
pub(crate) struct Disk(PathBuf, RefCell<HashMap<Same, Hash>>);

impl Disk {
    /// The drive at a path.
    pub(crate) fn at(root: &Path) -> Self {
        Self(root.to_owned(), RefCell::default())
    }

    fn path(&self, path: &[u8]) -> PathBuf {
        self.0.join(OsStr::from_bytes(path))
    }

    fn walk(&self, folder: &[u8], found: &mut Vec<(Vec<u8>, What)>) {
        // A folder that went meanwhile, or can't be read, shows as one with nothing in it.
        let Ok(entries) = std::fs::read_dir(self.path(folder)) else { return };
        for entry in entries.flatten() {
            let path = super::below(folder, entry.file_name().as_bytes());
            let Ok(meta) = std::fs::symlink_metadata(self.path(&path)) else { continue };
            if meta.is_dir() {
                found.push((path.clone(), What::Folder));
                // A sync engine's home is its own.
                if path != b"BTsyncApp/syncthing" {
                    self.walk(&path, found);
                }
            } else if meta.is_file() {
                let mtime = meta.mtime() * 1_000_000_000 + meta.mtime_nsec();
                let (dev, ino, size) = (meta.dev(), meta.ino(), meta.size());
                let facts = Facts { dev, ino, size, blocks: meta.blocks(), mtime };
                found.push((path, What::File(facts)));
            } else {
                found.push((path, What::Other));
            }
        }
    }
}

impl DriveView for Disk {
    fn names(&self) -> Vec<(Vec<u8>, What)> {
        let mut found = Vec::new();
        self.walk(b"", &mut found);
        found
    }

    fn sum(&self, path: &[u8]) -> Option<Hash> {
        let mut file = std::fs::File::open(self.path(path)).ok()?;
        let meta = file.metadata().ok()?;
        let same = (meta.dev(), meta.ino(), meta.size(), meta.ctime(), meta.ctime_nsec());
        if let Some(sum) = self.1.borrow().get(&same) {
            return Some(*sum);
        }
        let mut digest = Sha256::new();
        let mut part = vec![0; 1 << 18];
        loop {
            match file.read(&mut part).ok()? {
                0 => {
                    let sum = digest.finalize().into();
                    self.1.borrow_mut().insert(same, sum);
                    return Some(sum);
                }
                n => digest.update(&part[..n]),
            }
        }
    }

    fn bytes(&self, path: &[u8]) -> Option<Vec<u8>> {
        std::fs::read(self.path(path)).ok()
    }
}
