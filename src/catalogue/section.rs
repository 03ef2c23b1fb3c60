//! A section: some thousand files in the order of the walk, as columns.
//!
//! Raw form, numbers as in `pack`: how many files · for each, bytes in common with the name before
//! · for each, bytes of its own · those bytes · sizes · mtimes (seconds, difference to the one
//! before) · states, one column for every four devices. Alike stands beside alike, so deflate finds
//! it. Sections are cut where the names say so (content-defined), so that a file that comes or goes
//! changes the section it lies in and no other.

use super::pack::{Reader, common, put_int, put_uint};
use super::walk::Row;

/// A section has at least so many files, unless it is the last.
const MIN: u32 = 4096;
/// After [`MIN`], one name in so many ends a section: about 8,000 files in all.
const ODDS: u32 = 4096;
/// A section has at most so many files.
const MAX: u32 = 16_384;

/// The columns of the section that is being filled.
#[derive(Default)]
pub(super) struct Columns {
    files: u32,
    last: Vec<u8>,
    shared: Vec<u8>,
    own: Vec<u8>,
    names: Vec<u8>,
    sizes: Vec<u8>,
    mtimes: Vec<u8>,
    last_mtime: i64,
    states: Vec<Vec<u8>>,
}

impl Columns {
    /// Adds a file. True when the section is full with it and must be taken.
    pub(super) fn push(&mut self, row: &Row<'_>) -> bool {
        let prefix = common(&self.last, row.name);
        put_uint(&mut self.shared, prefix as u64);
        put_uint(&mut self.own, (row.name.len() - prefix) as u64);
        self.names.extend_from_slice(&row.name[prefix..]);
        self.last.truncate(prefix);
        self.last.extend_from_slice(&row.name[prefix..]);
        put_uint(&mut self.sizes, row.size);
        put_int(&mut self.mtimes, row.mtime.wrapping_sub(self.last_mtime));
        self.last_mtime = row.mtime;
        self.states.resize_with(row.states.len(), Vec::new);
        for (column, &byte) in self.states.iter_mut().zip(row.states) {
            column.push(byte);
        }
        self.files += 1;
        self.files >= MAX || (self.files >= MIN && fnv(row.name).is_multiple_of(ODDS))
    }

    /// The raw section and how many files it has; the columns are empty again.
    pub(super) fn take(&mut self) -> (Vec<u8>, u32) {
        let files = self.files;
        let mut raw = Vec::with_capacity(
            8 + self.shared.len()
                + self.own.len()
                + self.names.len()
                + self.sizes.len()
                + self.mtimes.len()
                + self.states.len() * files as usize,
        );
        put_uint(&mut raw, u64::from(files));
        let columns = [&self.shared, &self.own, &self.names, &self.sizes, &self.mtimes];
        for column in columns.into_iter().chain(&self.states) {
            raw.extend_from_slice(column);
        }
        *self = Self::default();
        (raw, files)
    }

    /// True without a file.
    pub(super) fn is_empty(&self) -> bool {
        self.files == 0
    }
}

/// The files of a section, read back to find out what changed since.
pub(super) struct Files {
    names: Vec<u8>,
    ends: Vec<usize>,
    sizes: Vec<u64>,
    mtimes: Vec<i64>,
    /// Row by row.
    states: Vec<u8>,
    width: usize,
}

impl Files {
    /// Reads a raw section; `None` for bytes that are none.
    pub(super) fn read(raw: &[u8], width: usize) -> Option<Self> {
        let mut raw = Reader(raw);
        let count = usize::try_from(raw.uint()?).ok().filter(|&n| n <= MAX as usize)?;
        let lengths = |raw: &mut Reader<'_>| -> Option<Vec<usize>> {
            (0..count).map(|_| usize::try_from(raw.uint()?).ok()).collect()
        };
        let shared = lengths(&mut raw)?;
        let own = lengths(&mut raw)?;
        let (mut names, mut ends, mut start) = (Vec::new(), Vec::with_capacity(count), 0);
        for (prefix, suffix) in shared.into_iter().zip(own) {
            let from = names.len();
            if start + prefix > from {
                return None;
            }
            names.extend_from_within(start..start + prefix);
            names.extend_from_slice(raw.take(suffix)?);
            start = from;
            ends.push(names.len());
        }
        let sizes = (0..count).map(|_| raw.uint()).collect::<Option<_>>()?;
        let mut last = 0i64;
        let mtimes = (0..count)
            .map(|_| {
                last = last.wrapping_add(raw.int()?);
                Some(last)
            })
            .collect::<Option<_>>()?;
        let mut states = vec![0; count * width];
        for plane in 0..width {
            for (i, &byte) in raw.take(count)?.iter().enumerate() {
                states[i * width + plane] = byte;
            }
        }
        Some(Self { names, ends, sizes, mtimes, states, width })
    }

    /// The file at a place in the section.
    pub(super) fn row(&self, i: usize) -> Option<Row<'_>> {
        let start = if i == 0 { 0 } else { *self.ends.get(i - 1)? };
        Some(Row {
            name: &self.names[start..*self.ends.get(i)?],
            size: self.sizes[i],
            mtime: self.mtimes[i],
            states: &self.states[i * self.width..][..self.width],
        })
    }
}

/// FNV-1a, 32 bits: spreads names well enough to cut by, and is the same in every run.
fn fnv(name: &[u8]) -> u32 {
    let mix =
        name.iter().fold(0x811c_9dc5u32, |h, &b| (h ^ u32::from(b)).wrapping_mul(0x0100_0193));
    mix ^ (mix >> 15)
}
