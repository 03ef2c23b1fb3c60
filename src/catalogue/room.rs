//! What would make room on a device, and which masters share a content: names by their place in the
//! tree that the page has already, two or three bytes each.
//!
//! Raw form: runs of names in one folder, back to back. A run: bytes in common with the folder before ·
//! bytes of its own · those bytes · how many names · for each its place among the folder's files, in byte
//! order of their names (difference to the one before) · a mark. What the mark says is up to the list.

use super::View;
use super::pack::{common, pack, put_int, put_uint};
use crate::model::{Bytes, RelPath, Stat, Tree};
use crate::plan::Evicted;

/// So many contents that would go first are on a page.
pub const FIRST_TO_GO: usize = 1_000;
/// So many links of a device that made room are on a page, the last first.
const WENT: usize = 50;
/// So many names of contents that are shared are on a page.
pub const TWINS: usize = 2_000;
/// What a content costs is almost always its size, rounded up to this.
const BLOCK: u64 = 4_096;

/// Room on one device: what would go, and what would not.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Room {
    /// How much may go to make room.
    pub may_go: Bytes,
    /// How much is pinned.
    pub pinned: Bytes,
    /// How much is not at home yet.
    pub unsaved: Bytes,
    /// How much is on its way to it.
    pub moving: Bytes,
    /// What would go, in this order: what each content gives back, and its names.
    pub first: Vec<(Bytes, Vec<RelPath>)>,
}

/// Masters that share a content.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Twins {
    /// The names of each content.
    pub groups: Vec<Vec<RelPath>>,
    /// There are more.
    pub more: bool,
}

/// The name before belongs to the same content.
const SAME: u64 = 1;

/// Packs what would go first. Marks: 0, the content costs its size rounded up; 1, it is the one of
/// the name before; n + 2, it costs n bytes.
pub(super) fn pack_first(view: &View<'_>, room: &Room) -> String {
    let mut runs = Runs::default();
    for (cost, names) in &room.first {
        for (n, path) in names.iter().enumerate() {
            runs.put(view.files, path, |stat| match n {
                0 if stat.id.size.next_multiple_of(BLOCK) == cost.0 => 0,
                0 => cost.0 + 2,
                _ => SAME,
            });
        }
    }
    pack(&runs.finish())
}

/// Packs what made room lately. Marks: when, in seconds since 1970.
pub(super) fn pack_went(view: &View<'_>, evicted: &[Evicted]) -> String {
    let mut runs = Runs::default();
    for went in evicted.iter().take(WENT) {
        runs.put(view.files, &went.path, |_| went.at.secs().unsigned_abs());
    }
    pack(&runs.finish())
}

/// Packs which masters share a content. Marks: 0 begins a content, 1 is another name of it.
pub(super) fn pack_twins(view: &View<'_>) -> String {
    let mut runs = Runs::default();
    for group in &view.twins.groups {
        for (n, path) in group.iter().enumerate() {
            runs.put(view.files, path, |_| if n == 0 { 0 } else { SAME });
        }
    }
    pack(&runs.finish())
}

#[derive(Default)]
struct Runs {
    out: Vec<u8>,
    folder: Option<RelPath>,
    before: Vec<u8>,
    names: Vec<u8>,
    count: u64,
    last: i64,
}

impl Runs {
    fn put(&mut self, files: &Tree<Stat>, path: &RelPath, mark: impl Fn(&Stat) -> u64) {
        let (Some(folder), Some(name)) = (path.parent(), path.name()) else { return };
        let Some(dir) = files.dir(&folder) else { return };
        let Some((place, stat)) = files.position(dir, name) else { return };
        if self.folder.as_ref() != Some(&folder) {
            self.close();
            self.folder = Some(folder);
        }
        put_int(&mut self.names, place as i64 - self.last);
        put_uint(&mut self.names, mark(stat));
        self.last = place as i64;
        self.count += 1;
    }

    fn close(&mut self) {
        let Some(folder) = self.folder.take() else { return };
        let folder = folder.as_bytes();
        let shared = common(&self.before, folder);
        put_uint(&mut self.out, shared as u64);
        put_uint(&mut self.out, (folder.len() - shared) as u64);
        self.out.extend_from_slice(&folder[shared..]);
        put_uint(&mut self.out, self.count);
        self.out.append(&mut self.names);
        self.before = folder.to_vec();
        (self.count, self.last) = (0, 0);
    }

    fn finish(mut self) -> Vec<u8> {
        self.close();
        self.out
    }
}
