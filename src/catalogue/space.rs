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

#[cfg(test)]
mod tests {
    use super::super::pack::{Reader, unpack};
    use super::*;
    use crate::model::{FileId, Time};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn files() -> Tree<Stat> {
        let mut files = Tree::new();
        for (at, size) in [("a", 1), ("d/a", 4_096), ("d/b", 5_000), ("d/z", 7), ("d/e/b", 0)] {
            let id = FileId { ino: 1, size, mtime: Time(0) };
            files.insert(&path(at), Stat { id, ..Stat::default() });
        }
        files
    }

    /// Path and mark of each name, by a reader that knows only the description.
    fn told(files: &Tree<Stat>, packed: &str) -> Vec<(String, u64)> {
        let raw = unpack(packed).unwrap();
        let mut r = Reader(&raw);
        let (mut folder, mut found) = (Vec::new(), Vec::new());
        while !r.0.is_empty() {
            folder.truncate(r.uint().unwrap() as usize);
            let own = r.uint().unwrap() as usize;
            folder.extend_from_slice(r.take(own).unwrap());
            let at = RelPath::new(&folder).unwrap();
            let dir = files.dir(&at).unwrap();
            let mut place = 0;
            for _ in 0..r.uint().unwrap() {
                place += r.int().unwrap();
                let name = files.file_at(dir, usize::try_from(place).unwrap()).unwrap().0;
                found.push((at.join(name).unwrap().to_string(), r.uint().unwrap()));
            }
        }
        found
    }

    fn packed(make: impl Fn(&View<'_>) -> String, twins: &Twins) -> Vec<(String, u64)> {
        let files = files();
        let view = View {
            nas_name: "NAS",
            files: &files,
            devices: &[],
            report: &crate::status::Report::default(),
            versions: &[],
            shares: &[],
            asking: &[],
            held: &[],
            mass_changes: &[],
            twins,
            undo: 0,
            now: Time(0),
        };
        told(&files, &make(&view))
    }

    #[test]
    fn names_are_told_by_their_places_with_what_they_cost() {
        let first = [
            (4_096, &["d/z"][..]),
            (4_096, &["d/a", "a"]),
            (8_192, &["d/b"]),
            (1_000_000, &["d/e/b"]),
            (4_096, &["gone"]),
            (4_096, &["d/z"]),
        ];
        let paths = |names: &[&str]| names.iter().map(|name| path(name)).collect();
        let first = first.map(|(cost, names)| (Bytes(cost), paths(names))).to_vec();
        let room = Room { first, ..Room::default() };
        let found = packed(|view| pack_first(view, &room), &Twins::default());
        let ought =
            [("d/z", 0), ("d/a", 0), ("a", SAME), ("d/b", 0), ("d/e/b", 1_000_002), ("d/z", 0)];
        assert_eq!(found, ought.map(|(name, mark)| (name.to_owned(), mark)));
    }

    #[test]
    fn contents_with_several_names_and_what_made_room_are_told_the_same_way() {
        let group = |names: &[&str]| names.iter().map(|name| path(name)).collect();
        let groups = vec![group(&["a", "d/z"]), group(&["d/a", "d/b"])];
        let found = packed(pack_twins, &Twins { groups, more: false });
        let ought = [("a", 0), ("d/z", SAME), ("d/a", 0), ("d/b", SAME)];
        assert_eq!(found, ought.map(|(name, mark)| (name.to_owned(), mark)));
        let went =
            |at: &str, secs| Evicted { path: path(at), size: Bytes(1), at: Time::from_secs(secs) };
        let evicted = [went("d/b", 1_795_428_000), went("a", 1_795_427_000)];
        let found = packed(|view| pack_went(view, &evicted), &Twins::default());
        let ought = [("d/b", 1_795_428_000), ("a", 1_795_427_000)];
        assert_eq!(found, ought.map(|(name, mark)| (name.to_owned(), mark)));
    }
}
