//! A drive as it is at one moment: every name, and the sum of a content when somebody asks for it.

use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// SHA-256 of a content.
pub(crate) type Hash = [u8; 32];

/// What a name means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum What {
    /// A folder.
    Folder,
    /// A regular file.
    File(Facts),
    /// A symbolic link, a pipe, and the like.
    Other,
}

/// What the file system says of a regular file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Facts {
    /// Device number.
    pub(crate) dev: u64,
    /// Inode number.
    pub(crate) ino: u64,
    /// Bytes.
    pub(crate) size: u64,
    /// Blocks of 512 bytes that it occupies.
    pub(crate) blocks: u64,
    /// When it was last changed, in nanoseconds since 1970.
    pub(crate) mtime: i64,
}

impl Facts {
    /// What one name of it costs a quota.
    pub(crate) fn charge(&self) -> u64 {
        self.size.max(self.blocks * 512)
    }

    /// True for two names of one file.
    pub(crate) fn is(&self, other: &Facts) -> bool {
        (self.dev, self.ino) == (other.dev, other.ino)
    }
}

/// A drive that can be read. Paths are bytes from its root, without a slash before them.
pub(crate) trait DriveView {
    /// Every name, and what it means; nothing behind a symbolic link.
    fn names(&self) -> Vec<(Vec<u8>, What)>;

    /// The sum of a regular file's bytes; `None` when it can't be read.
    fn sum(&self, path: &[u8]) -> Option<Hash>;

    /// The bytes of a file that is small enough for the memory.
    fn bytes(&self, path: &[u8]) -> Option<Vec<u8>>;
}

/// The sum of a content.
pub(crate) fn sum(content: &[u8]) -> Hash {
    Sha256::digest(content).into()
}

/// All names of one moment.
pub(crate) struct Snapshot<'v> {
    view: &'v dyn DriveView,
    pub(crate) names: BTreeMap<Vec<u8>, What>,
    sums: RefCell<HashMap<(u64, u64), Option<Hash>>>,
}

impl<'v> Snapshot<'v> {
    /// Reads all names.
    pub(crate) fn of(view: &'v dyn DriveView) -> Self {
        let names = view.names().into_iter().collect();
        Self { view, names, sums: RefCell::default() }
    }

    /// What a name means.
    pub(crate) fn what(&self, path: &[u8]) -> Option<What> {
        self.names.get(path).copied()
    }

    /// The file of a name.
    pub(crate) fn file(&self, path: &[u8]) -> Option<Facts> {
        match self.what(path) {
            Some(What::File(facts)) => Some(facts),
            _ => None,
        }
    }

    /// Everything below a folder, by the path from there.
    pub(crate) fn below<'s>(
        &'s self,
        folder: &'s [u8],
    ) -> impl Iterator<Item = (&'s [u8], What)> + 's {
        let from = super::below(folder, b"");
        let in_order = self.names.range(from..).take_while(move |(p, _)| p.starts_with(folder));
        in_order.filter_map(move |(path, what)| {
            let rest = super::rest(path, folder).filter(|rest| !rest.is_empty())?;
            Some((rest, *what))
        })
    }

    /// The names directly in a folder.
    pub(crate) fn in_folder<'s>(
        &'s self,
        folder: &'s [u8],
    ) -> impl Iterator<Item = (&'s [u8], What)> + 's {
        self.below(folder).filter(|(rest, _)| !rest.contains(&b'/'))
    }

    /// The files of a family below a folder: without what belongs to a sync engine or to unfinished business.
    pub(crate) fn files<'s>(&'s self, folder: &'s [u8]) -> BTreeMap<&'s [u8], Facts> {
        let file = |(path, what): (&'s [u8], What)| match what {
            What::File(facts) if !path.split(|&b| b == b'/').any(super::local::is_transient) => {
                Some((path, facts))
            }
            _ => None,
        };
        self.below(folder).filter_map(file).collect()
    }

    /// The sum of a name's content; each inode is read once.
    pub(crate) fn sum(&self, path: &[u8]) -> Option<Hash> {
        let facts = self.file(path)?;
        let key = (facts.dev, facts.ino);
        if let Some(known) = self.sums.borrow().get(&key) {
            return *known;
        }
        let sum = self.view.sum(path);
        self.sums.borrow_mut().insert(key, sum);
        sum
    }

    /// The bytes of a small file.
    pub(crate) fn bytes(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.view.bytes(path)
    }

    /// Every name of a family's file, where its content may have its name.
    pub(crate) fn family(&self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for place in [
            "BTsync/files",
            "BTsync/devices",
            "BTsync/shared",
            "BTsync/fleet",
            "BTsyncApp/versions",
        ] {
            for path in self.files(place.as_bytes()).into_keys() {
                let path = super::below(place.as_bytes(), path);
                // What the deduplication puts by for a moment is no place to be.
                if super::rest(&path, b"BTsyncApp/versions/joined").is_none() && !is_note(&path) {
                    all.push(path);
                }
            }
        }
        all
    }

    /// The sums of all that.
    pub(crate) fn sums(&self) -> BTreeSet<Hash> {
        self.family().iter().filter_map(|path| self.sum(path)).collect()
    }
}

/// The note that says that a folder was destroyed: ours, and no content of a family.
fn is_note(path: &[u8]) -> bool {
    super::rest(path, b"BTsync/shared").is_some()
        && path.ends_with(b"/This folder was destroyed.txt")
}
