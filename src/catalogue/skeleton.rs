//! The skeleton: every folder of the tree with the sums of its own files, so that a page can draw
//! the tree, its totals and its filters before a single section is opened.
//!
//! Raw form: how many devices, folders and sections · files of each section · then one column each
//! over the folders in the order of the walk: depth, bytes in common with the name before, bytes
//! of its own, those bytes, files, bytes in them, newest mtime (difference to the folder before),
//! and for each device files there and files on their way. A folder's files are the next so many
//! of all the sections together.

use super::pack::{common, put_int, put_uint};
use super::walk::{Folder, Sums};

/// The columns of the skeleton that is being made.
pub(super) struct Skeleton {
    folders: u64,
    last: Vec<u8>,
    last_newest: i64,
    depths: Vec<u8>,
    shared: Vec<u8>,
    own: Vec<u8>,
    names: Vec<u8>,
    files: Vec<u8>,
    bytes: Vec<u8>,
    newest: Vec<u8>,
    devices: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Skeleton {
    /// One without folders, for so many devices.
    pub(super) fn new(devices: usize) -> Self {
        Self {
            folders: 0,
            last: Vec::new(),
            last_newest: 0,
            depths: Vec::new(),
            shared: Vec::new(),
            own: Vec::new(),
            names: Vec::new(),
            files: Vec::new(),
            bytes: Vec::new(),
            newest: Vec::new(),
            devices: vec![Default::default(); devices],
        }
    }

    /// Adds the next folder of the walk.
    pub(super) fn push(&mut self, folder: &Folder<'_>, sums: &Sums) {
        let name = folder.name();
        let prefix = common(&self.last, name);
        put_uint(&mut self.depths, folder.depth as u64);
        put_uint(&mut self.shared, prefix as u64);
        put_uint(&mut self.own, (name.len() - prefix) as u64);
        self.names.extend_from_slice(&name[prefix..]);
        self.last.truncate(prefix);
        self.last.extend_from_slice(&name[prefix..]);
        put_uint(&mut self.files, sums.files);
        put_uint(&mut self.bytes, sums.bytes);
        put_int(&mut self.newest, sums.newest.wrapping_sub(self.last_newest));
        self.last_newest = sums.newest;
        for ((here, moving), sum) in self.devices.iter_mut().zip(&sums.devices) {
            put_uint(here, sum.0);
            put_uint(moving, sum.1);
        }
        self.folders += 1;
    }

    /// The raw skeleton over sections of so many files each.
    pub(super) fn finish(&self, sections: impl ExactSizeIterator<Item = u32>) -> Vec<u8> {
        let mut raw = Vec::new();
        put_uint(&mut raw, self.devices.len() as u64);
        put_uint(&mut raw, self.folders);
        put_uint(&mut raw, sections.len() as u64);
        for files in sections {
            put_uint(&mut raw, u64::from(files));
        }
        let columns = [
            &self.depths,
            &self.shared,
            &self.own,
            &self.names,
            &self.files,
            &self.bytes,
            &self.newest,
        ];
        for column in columns.into_iter().chain(self.devices.iter().flat_map(|(a, b)| [a, b])) {
            raw.extend_from_slice(column);
        }
        raw
    }
}
