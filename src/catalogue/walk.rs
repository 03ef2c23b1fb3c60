//! One walk through the snapshot: every folder with its files and, for each, how it stands with
//! every device.

use super::{Live, View};
use crate::model::{DirId, FileId, Link, RelPath, Stat, Tree};
use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, Hasher, RandomState};

/// Not on the device.
const ABSENT: u8 = 0;
/// On the device.
pub(super) const HERE: u8 = 1;
/// Linked for the device, not all there yet.
pub(super) const MOVING: u8 = 2;
/// Two bits a device: so many fit in a byte.
const PER_BYTE: usize = 4;

/// One file of a folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row<'a> {
    pub(super) name: &'a [u8],
    /// Bytes.
    pub(super) size: u64,
    /// Seconds since 1970.
    pub(super) mtime: i64,
    /// How it stands with each device, two bits each, the first device lowest in the first byte.
    pub(super) states: &'a [u8],
}

/// Bytes that the states of one file take.
pub(super) const fn state_bytes(devices: usize) -> usize {
    devices.div_ceil(PER_BYTE)
}

/// The state of device number `d`.
pub(super) fn state(states: &[u8], d: usize) -> u8 {
    states[d / PER_BYTE] >> (d % PER_BYTE * 2) & 3
}

/// One folder with the files directly in it.
pub(super) struct Folder<'w> {
    /// Path of it, components joined by `/`; empty for the top.
    pub(super) path: &'w [u8],
    /// How many components.
    pub(super) depth: usize,
    /// How many devices there are.
    devices: usize,
    files: &'w [(&'w [u8], FileId)],
    states: &'w [u8],
}

/// What a folder's own files sum up to; the page adds up the folders below.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums {
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// The newest mtime, in seconds; 0 without files.
    pub(super) newest: i64,
    /// For each device: files there, files on their way.
    pub(super) devices: Vec<(u64, u64)>,
}

impl Folder<'_> {
    /// The files, in byte order of their names.
    pub(super) fn rows(&self) -> impl ExactSizeIterator<Item = Row<'_>> {
        let width = state_bytes(self.devices);
        self.files.iter().enumerate().map(move |(i, (name, id))| Row {
            name,
            size: id.size,
            mtime: id.mtime.secs(),
            states: &self.states[i * width..][..width],
        })
    }

    /// The last component of the path.
    pub(super) fn name(&self) -> &[u8] {
        self.path.rsplit(|&b| b == b'/').next().unwrap_or_default()
    }

    /// A fingerprint of all that the page tells about the folder's files.
    pub(super) fn fingerprint(&self, keys: &RandomState) -> u64 {
        let mut hasher = keys.build_hasher();
        self.files.len().hash(&mut hasher);
        for (name, id) in self.files {
            name.hash(&mut hasher);
            (id.size, id.mtime.secs()).hash(&mut hasher);
        }
        hasher.write(self.states);
        hasher.finish()
    }

    /// Adds up the files.
    pub(super) fn sums(&self) -> Sums {
        let mut sums = Sums { devices: vec![(0, 0); self.devices], ..Sums::default() };
        for row in self.rows() {
            sums.newest = if sums.files == 0 { row.mtime } else { sums.newest.max(row.mtime) };
            sums.files += 1;
            sums.bytes = sums.bytes.saturating_add(row.size);
            for (d, (here, moving)) in sums.devices.iter_mut().enumerate() {
                match state(row.states, d) {
                    HERE => *here += 1,
                    MOVING => *moving += 1,
                    _ => {}
                }
            }
        }
        sums
    }
}

/// What is on its way to one device, by folder.
type Moving<'v> = HashMap<Box<[u8]>, Vec<&'v [u8]>>;

struct Walker<'v, F> {
    view: &'v View<'v>,
    moving: Vec<Moving<'v>>,
    path: Vec<u8>,
    files: Vec<(&'v [u8], FileId)>,
    states: Vec<u8>,
    each: F,
}

/// Calls `each` with every folder, a folder before what is in it, in byte order of the names.
pub(super) fn walk<'v>(view: &'v View<'v>, each: impl FnMut(&Folder<'_>)) {
    let moving = view.devices.iter().map(|device| by_folder(device.live.keys())).collect();
    let mut walker =
        Walker { view, moving, path: Vec::new(), files: Vec::new(), states: Vec::new(), each };
    let books = vec![Some(Tree::<Link>::ROOT); view.devices.len()];
    walker.folder(Tree::<Stat>::ROOT, &books, 0);
}

/// The files on their way that progress is known of: device number, path, per cent.
pub(super) fn progress<'v>(view: &View<'v>) -> impl Iterator<Item = (usize, &'v RelPath, u8)> {
    view.devices.iter().enumerate().flat_map(|(d, device)| {
        device.live.iter().filter_map(move |(path, live)| match live {
            Live::Syncing(percent) => Some((d, path, (*percent).min(100))),
            Live::Queued => None,
        })
    })
}

fn by_folder<'v>(paths: impl Iterator<Item = &'v RelPath>) -> Moving<'v> {
    let mut all = Moving::new();
    for path in paths {
        if let (Some(folder), Some(name)) = (path.parent(), path.name()) {
            all.entry(folder.as_bytes().into()).or_default().push(name);
        }
    }
    all.values_mut().for_each(|names| names.sort_unstable());
    all
}

impl<'v, F: FnMut(&Folder<'_>)> Walker<'v, F> {
    fn folder(&mut self, dir: DirId, books: &[Option<DirId>], depth: usize) {
        self.files.clear();
        self.files.extend(self.view.files.files(dir).map(|(name, stat)| (name, stat.id)));
        let width = state_bytes(books.len());
        self.states.clear();
        self.states.resize(self.files.len() * width, ABSENT);
        for (d, device) in self.view.devices.iter().enumerate() {
            let shift = d % PER_BYTE * 2;
            let cell = |i: usize| i * width + d / PER_BYTE;
            if let Some(links) = books[d] {
                // Both sides are sorted by name: one pass through the two.
                let mut at = 0;
                for (name, _) in device.links.files(links) {
                    while self.files.get(at).is_some_and(|(n, _)| *n < name) {
                        at += 1;
                    }
                    match self.files.get(at) {
                        Some((n, _)) if *n == name => self.states[cell(at)] |= HERE << shift,
                        Some(_) => {}
                        None => break,
                    }
                }
            }
            for name in self.moving[d].get(&self.path[..]).into_iter().flatten() {
                if let Ok(i) = self.files.binary_search_by(|(n, _)| n.cmp(name)) {
                    let byte = &mut self.states[cell(i)];
                    *byte = *byte & !(3 << shift) | MOVING << shift;
                }
            }
        }
        (self.each)(&Folder {
            path: &self.path,
            depth,
            devices: books.len(),
            files: &self.files,
            states: &self.states,
        });
        let cut = self.path.len();
        for (name, sub) in self.view.files.subdirs(dir) {
            if cut > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(name);
            let below: Vec<_> = books
                .iter()
                .zip(self.view.devices)
                .map(|(links, device)| device.links.subdir((*links)?, name))
                .collect();
            self.folder(sub, &below, depth + 1);
            self.path.truncate(cut);
        }
    }
}
