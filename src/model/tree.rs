//! A tree of files, held compactly: the index of a drive with millions of files, or the book of
//! what one device holds.
//!
//! Folders are numbered; each keeps its files in one sorted array and their names in one buffer
//! beside it. A file costs the value, 8 bytes and its name; nothing is allocated per file.

use super::RelPath;
use std::cmp::Ordering;

/// A folder of one [`Tree`]. Valid until that folder is removed from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub struct DirId(u32);

/// Files with a value each, in named folders, in byte order of their names.
#[derive(Clone, Debug)]
pub struct Tree<T> {
    dirs: Vec<Dir<T>>,
    free: Vec<u32>,
    len: usize,
    changes: u64,
}

#[derive(Clone, Debug)]
struct Dir<T> {
    parent: u32,
    name: Box<[u8]>,
    /// Sorted by name.
    subdirs: Vec<u32>,
    /// Sorted by name.
    files: Vec<Slot<T>>,
    /// Names of the files, in no order. Removed names stay until the buffer is compacted.
    names: Vec<u8>,
    /// Bytes in `names` that no file uses any more.
    dead: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot<T> {
    start: u32,
    len: u32,
    value: T,
}

impl<T> Default for Dir<T> {
    fn default() -> Self {
        Self {
            parent: 0,
            name: Box::default(),
            subdirs: Vec::new(),
            files: Vec::new(),
            names: Vec::new(),
            dead: 0,
        }
    }
}

impl<T> Default for Tree<T> {
    fn default() -> Self {
        Self { dirs: vec![Dir::default()], free: Vec::new(), len: 0, changes: 0 }
    }
}

impl<T: Copy> Dir<T> {
    fn name_of(&self, slot: &Slot<T>) -> &[u8] {
        &self.names[slot.start as usize..][..slot.len as usize]
    }

    fn find(&self, name: &[u8]) -> Result<usize, usize> {
        // Scans and folder gets come in order: look at the end first.
        if self.files.last().is_none_or(|last| self.name_of(last) < name) {
            return Err(self.files.len());
        }
        self.files.binary_search_by(|slot| self.name_of(slot).cmp(name))
    }

    fn push_name(&mut self, name: &[u8]) -> (u32, u32) {
        let start = self.names.len();
        self.names.extend_from_slice(name);
        // A folder's names together stay below 4 GiB: 16 million names of 255 bytes.
        (start as u32, name.len() as u32)
    }

    fn compact(&mut self) {
        if self.dead <= self.names.len() / 2 + 64 {
            return;
        }
        let old = std::mem::take(&mut self.names);
        self.names.reserve_exact(old.len() - self.dead);
        for slot in &mut self.files {
            let name = &old[slot.start as usize..][..slot.len as usize];
            slot.start = self.names.len() as u32;
            self.names.extend_from_slice(name);
        }
        self.dead = 0;
    }
}

impl<T: Copy> Tree<T> {
    /// The top folder.
    pub const ROOT: DirId = DirId(0);

    /// A tree with nothing but its top folder.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many files there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any file (there may be folders).
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How often files came, went or changed: of one tree, the same number is the same state.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How many folders there are, the top one included.
    pub fn dir_count(&self) -> usize {
        self.dirs.len() - self.free.len()
    }

    /// The folder at a path.
    pub fn dir(&self, path: &RelPath) -> Option<DirId> {
        path.names().try_fold(Self::ROOT, |at, name| self.subdir(at, name))
    }

    /// The folder of that name within another.
    pub fn subdir(&self, dir: DirId, name: &[u8]) -> Option<DirId> {
        let i = self.find_subdir(dir, name).ok()?;
        Some(DirId(self.at(dir).subdirs[i]))
    }

    /// The value of the file at a path.
    pub fn get(&self, path: &RelPath) -> Option<&T> {
        let dir = self.dir(&path.parent()?)?;
        self.get_in(dir, path.name()?)
    }

    /// The value of the file at a path, to be changed.
    pub fn get_mut(&mut self, path: &RelPath) -> Option<&mut T> {
        let dir = self.dir(&path.parent()?)?;
        let d = &mut self.dirs[dir.0 as usize];
        let i = d.find(path.name()?).ok()?;
        self.changes += 1;
        Some(&mut d.files[i].value)
    }

    /// The value of a file of that name in a folder.
    pub fn get_in(&self, dir: DirId, name: &[u8]) -> Option<&T> {
        let d = self.at(dir);
        d.find(name).ok().map(|i| &d.files[i].value)
    }

    /// Puts a file at a path, making its folders; returns the value it had.
    ///
    /// The root itself can't be a file: nothing happens then.
    pub fn insert(&mut self, path: &RelPath, value: T) -> Option<T> {
        let dir = self.insert_dir(&path.parent()?);
        self.insert_in(dir, path.name()?, value)
    }

    /// Puts a file into a folder; returns the value it had.
    pub fn insert_in(&mut self, dir: DirId, name: &[u8], value: T) -> Option<T> {
        self.changes += 1;
        let d = &mut self.dirs[dir.0 as usize];
        match d.find(name) {
            Ok(i) => Some(std::mem::replace(&mut d.files[i].value, value)),
            Err(i) => {
                let (start, len) = d.push_name(name);
                d.files.insert(i, Slot { start, len, value });
                self.len += 1;
                None
            }
        }
    }

    /// Makes the folders of a path.
    pub fn insert_dir(&mut self, path: &RelPath) -> DirId {
        path.names().fold(Self::ROOT, |at, name| self.insert_subdir(at, name))
    }

    /// Makes a folder within another; returns it, also when it was there.
    pub fn insert_subdir(&mut self, dir: DirId, name: &[u8]) -> DirId {
        match self.find_subdir(dir, name) {
            Ok(i) => DirId(self.at(dir).subdirs[i]),
            Err(i) => {
                let new = Dir { parent: dir.0, name: name.into(), ..Dir::default() };
                let id = match self.free.pop() {
                    Some(id) => {
                        self.dirs[id as usize] = new;
                        id
                    }
                    None => {
                        self.dirs.push(new);
                        (self.dirs.len() - 1) as u32
                    }
                };
                self.dirs[dir.0 as usize].subdirs.insert(i, id);
                DirId(id)
            }
        }
    }

    /// Takes a file away. Its folder stays.
    pub fn remove(&mut self, path: &RelPath) -> Option<T> {
        let dir = self.dir(&path.parent()?)?;
        self.remove_in(dir, path.name()?)
    }

    /// Takes a file out of a folder.
    pub fn remove_in(&mut self, dir: DirId, name: &[u8]) -> Option<T> {
        let d = &mut self.dirs[dir.0 as usize];
        let i = d.find(name).ok()?;
        let slot = d.files.remove(i);
        d.dead += slot.len as usize;
        d.compact();
        self.len -= 1;
        self.changes += 1;
        Some(slot.value)
    }

    /// Takes a folder away with all that is in it; the top folder is emptied.
    pub fn remove_dir(&mut self, path: &RelPath) {
        let Some(dir) = self.dir(path) else { return };
        self.changes += 1;
        if dir != Self::ROOT {
            let parent = self.at(dir).parent as usize;
            self.dirs[parent].subdirs.retain(|&id| id != dir.0);
        }
        let mut below = vec![dir.0];
        while let Some(id) = below.pop() {
            let gone = std::mem::take(&mut self.dirs[id as usize]);
            self.len -= gone.files.len();
            below.extend(&gone.subdirs);
            if id != Self::ROOT.0 {
                self.free.push(id);
            }
        }
    }

    /// The files of a folder, by name.
    pub fn files(&self, dir: DirId) -> impl ExactSizeIterator<Item = (&[u8], &T)> {
        let d = self.at(dir);
        d.files.iter().map(|slot| (d.name_of(slot), &slot.value))
    }

    /// The files of a folder from a name on, by name.
    pub fn files_from(&self, dir: DirId, name: &[u8]) -> impl Iterator<Item = (&[u8], &T)> {
        let d = self.at(dir);
        let (Ok(from) | Err(from)) = d.find(name);
        d.files[from..].iter().map(|slot| (d.name_of(slot), &slot.value))
    }

    /// Looks files of one folder up, cheapest when they are asked for in the order of their names.
    pub fn cursor(&self, dir: DirId) -> Cursor<'_, T> {
        Cursor { dir: self.at(dir), next: 0 }
    }

    /// The position of a file among [`Tree::files`], and its value.
    pub fn position(&self, dir: DirId, name: &[u8]) -> Option<(usize, &T)> {
        let d = self.at(dir);
        d.find(name).ok().map(|i| (i, &d.files[i].value))
    }

    /// The file at a position of [`Tree::files`], without walking there. Positions hold until a
    /// file comes into the folder or goes out of it.
    pub fn file_at(&self, dir: DirId, position: usize) -> Option<(&[u8], &T)> {
        let d = self.dirs.get(dir.0 as usize)?;
        d.files.get(position).map(|slot| (d.name_of(slot), &slot.value))
    }

    /// The folders of a folder, by name.
    pub fn subdirs(&self, dir: DirId) -> impl ExactSizeIterator<Item = (&[u8], DirId)> {
        self.at(dir).subdirs.iter().map(|&id| (&*self.dirs[id as usize].name, DirId(id)))
    }

    /// The path of a folder.
    pub fn path_of(&self, dir: DirId) -> RelPath {
        let mut names = Vec::new();
        let mut at = dir.0;
        while at != 0 {
            names.push(&*self.dirs[at as usize].name);
            at = self.dirs[at as usize].parent;
        }
        names.reverse();
        // Made of names that were checked when they came in; deeper trees than a path may be are
        // cut by the scan.
        RelPath::new(&names.join(&b'/')).unwrap_or_default()
    }

    /// Calls `each` with every folder at or below `dir`, a folder before what is in it.
    pub fn for_each_dir(&self, dir: DirId, mut each: impl FnMut(DirId, &[u8])) {
        let mut path = self.path_of(dir).as_bytes().to_vec();
        self.descend(dir, &mut path, &mut each);
    }

    /// Calls `each` with the path and value of every file at or below `dir`, folder by folder.
    pub fn for_each(&self, dir: DirId, mut each: impl FnMut(&[u8], &T)) {
        let mut path = Vec::new();
        self.for_each_dir(dir, |d, at| {
            path.clear();
            path.extend_from_slice(at);
            if !at.is_empty() {
                path.push(b'/');
            }
            let cut = path.len();
            for (name, value) in self.files(d) {
                path.truncate(cut);
                path.extend_from_slice(name);
                each(&path, value);
            }
        });
    }

    /// Gives back the memory that growing left over in one folder's files.
    pub fn shrink_dir(&mut self, dir: DirId) {
        let d = &mut self.dirs[dir.0 as usize];
        d.files.shrink_to_fit();
        d.names.shrink_to_fit();
    }

    /// Gives back the memory that growing left over. Worth it once, after a full scan.
    pub fn shrink(&mut self) {
        for d in &mut self.dirs {
            d.files.shrink_to_fit();
            d.names.shrink_to_fit();
            d.subdirs.shrink_to_fit();
        }
        self.dirs.shrink_to_fit();
    }

    fn descend(&self, dir: DirId, path: &mut Vec<u8>, each: &mut impl FnMut(DirId, &[u8])) {
        each(dir, path);
        let cut = path.len();
        for (name, sub) in self.subdirs(dir) {
            if cut > 0 {
                path.push(b'/');
            }
            path.extend_from_slice(name);
            self.descend(sub, path, each);
            path.truncate(cut);
        }
    }

    fn at(&self, dir: DirId) -> &Dir<T> {
        &self.dirs[dir.0 as usize]
    }

    fn find_subdir(&self, dir: DirId, name: &[u8]) -> Result<usize, usize> {
        let subdirs = &self.at(dir).subdirs;
        let cmp = |&id: &u32| (*self.dirs[id as usize].name).cmp(name);
        if subdirs.last().is_none_or(|last| cmp(last) == Ordering::Less) {
            return Err(subdirs.len());
        }
        subdirs.binary_search_by(cmp)
    }
}

/// Where somebody is who looks up the files of a folder by name.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'t, T> {
    dir: &'t Dir<T>,
    /// Behind the file that was found last.
    next: usize,
}

impl<'t, T: Copy> Cursor<'t, T> {
    /// The value of the file of that name. It costs one comparison when it is the one behind the last.
    pub fn get(&mut self, name: &[u8]) -> Option<&'t T> {
        let dir = self.dir;
        let at = match dir.files.get(self.next) {
            Some(slot) if dir.name_of(slot) == name => self.next,
            _ => dir.find(name).ok()?,
        };
        self.next = at + 1;
        Some(&dir.files[at].value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn all(tree: &Tree<u32>) -> Vec<(RelPath, u32)> {
        let mut found = Vec::new();
        tree.for_each(Tree::<u32>::ROOT, |p, v| found.push((RelPath::new(p).unwrap(), *v)));
        found.sort();
        found
    }

    #[test]
    fn keeps_files_in_folders() {
        let mut tree = Tree::new();
        assert_eq!(tree.insert(&path("a/b/c"), 1), None);
        assert_eq!(tree.insert(&path("a/b/c"), 2), Some(1));
        tree.insert(&path("a/x"), 3);
        assert_eq!(tree.get(&path("a/b/c")), Some(&2));
        assert_eq!(tree.get(&path("a/b")), None);
        assert_eq!(tree.path_of(tree.dir(&path("a/b")).unwrap()), path("a/b"));
        tree.remove_dir(&path("a/b"));
        assert_eq!((tree.len(), tree.dir_count()), (1, 2));
        assert_eq!(tree.dir(&path("a/b")), None);
        assert_eq!(tree.insert(&RelPath::root(), 9), None);
        tree.remove_dir(&RelPath::root());
        assert_eq!((tree.len(), tree.dir_count()), (0, 1));
    }

    proptest! {
        #[test]
        fn behaves_like_a_sorted_map(
            steps in prop::collection::vec(("[ab]{1}(/[abc]{1}){0,3}", 0u8..4, any::<u32>()), 0..200)
        ) {
            // Files and folders of one name are different things here as in a naive map of paths:
            // files get a suffix that no folder has.
            let mut tree = Tree::new();
            let mut naive = BTreeMap::new();
            for (text, step, value) in steps {
                let file = path(&format!("{text}.f"));
                match step {
                    0 | 1 => prop_assert_eq!(tree.insert(&file, value), naive.insert(file, value)),
                    2 => prop_assert_eq!(tree.remove(&file), naive.remove(&file)),
                    _ => {
                        let dir = path(&text);
                        tree.remove_dir(&dir);
                        naive.retain(|p, _| !p.is_within(&dir));
                    }
                }
                prop_assert_eq!(tree.len(), naive.len());
            }
            prop_assert_eq!(all(&tree), naive.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn a_cursor_finds_what_a_look_up_finds(
            there in prop::collection::btree_set("[a-c]{1,3}", 0..20),
            asked in prop::collection::vec("[a-c]{1,3}", 0..40),
        ) {
            let mut tree = Tree::new();
            for (value, name) in there.iter().enumerate() {
                tree.insert(&path(name), value as u32);
            }
            let mut cursor = tree.cursor(Tree::<u32>::ROOT);
            for name in there.iter().chain(&asked) {
                let looked_up = tree.get_in(Tree::<u32>::ROOT, name.as_bytes());
                prop_assert_eq!(cursor.get(name.as_bytes()), looked_up);
            }
        }
    }
}
