//! Which names may mean equal contents, as data: the pure part.
//!
//! In come the masters as the scan knows them and what was read of them so far; out come classes of
//! names that are equal as far as is known. Nothing here opens a file. A million files cost 32 MB:
//! one flat array, sorted in place, without paths. Whatever goes through all of them can be stopped.

use super::sort::{LOT, sort};
use super::{Mark, Rules, Way};
use crate::model::{DirId, RelPath, Stat, Time, Tree};
use std::num::NonZeroU32;
use std::ops::Range;

/// One name of a file that may be equal to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Candidate {
    /// Bytes.
    pub(super) size: u64,
    /// Its mtime where only files of one mtime may join, otherwise 0.
    pub(super) time: i64,
    /// Inode number.
    pub(super) ino: u64,
    /// What a hash said of its beginning, or of all of it.
    pub(super) part: Option<NonZeroU32>,
    /// The number of its name, and in the lowest bit whether reading it brought it into the page cache.
    name: u32,
}

/// Where the names are: candidates have numbers of 31 bits, half of what folder and position take.
#[derive(Debug)]
pub(super) struct Names<'a> {
    files: &'a Tree<Stat>,
    /// The folders that have files, with the number of the first.
    dirs: Vec<(u32, DirId)>,
}

impl<'a> Names<'a> {
    pub(super) fn new(files: &'a Tree<Stat>) -> Self {
        let (mut dirs, mut next) = (Vec::new(), 0);
        files.for_each_dir(Tree::<Stat>::ROOT, |dir, _| {
            let count = files.files(dir).len() as u32;
            if count > 0 {
                dirs.push((next, dir));
                // Two thousand million names would take 60 GB.
                next += count;
            }
        });
        Self { files, dirs }
    }

    /// Path and facts that the tree has of a candidate.
    pub(super) fn of(&self, c: &Candidate) -> Option<(RelPath, Stat)> {
        let dir = self.dirs.partition_point(|(first, _)| *first <= c.name()).checked_sub(1)?;
        let (first, dir) = self.dirs[dir];
        let (name, stat) = self.files.file_at(dir, (c.name() - first) as usize)?;
        Some((self.files.path_of(dir).join(name).ok()?, *stat))
    }
}

/// Names with equal size, time and part: a range of the candidates.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Class {
    start: u32,
    end: u32,
}

impl Class {
    /// Its names, as positions among the candidates.
    pub(super) fn names(&self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

impl Candidate {
    /// What a file must share with another to be equal, as far as is known.
    pub(super) fn like(&self) -> (u64, i64, Option<NonZeroU32>) {
        (self.size, self.time, self.part)
    }

    /// The same before anything was read.
    pub(super) fn unread(&self) -> (u64, i64) {
        (self.size, self.time)
    }

    /// Size and time in one number: an inode that has another one has another content.
    pub(super) fn key(&self) -> u64 {
        self.size.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ self.time.cast_unsigned()
    }

    /// What is remembered of it once it was compared with all that might be equal.
    pub(super) fn mark(&self) -> Mark {
        (self.ino, self.key())
    }

    /// The number of its name among [`Names`].
    pub(super) fn name(&self) -> u32 {
        self.name >> 1
    }

    /// Whether reading it brought it into the page cache.
    pub(super) fn is_cold(&self) -> bool {
        self.name & 1 == 1
    }

    pub(super) fn set_cold(&mut self, cold: bool) {
        self.name = self.name & !1 | u32::from(cold);
    }
}

/// Every name of a file that has the size (and time) of another file; `None` when it was stopped.
pub(super) fn candidates(
    names: &Names<'_>,
    rules: &Rules,
    way: Way,
    now: Time,
    stop: &mut dyn FnMut() -> bool,
) -> Option<Vec<Candidate>> {
    let mut found = Vec::with_capacity(names.files.len());
    let mut every = Every::new(stop);
    for (first, dir) in &names.dirs {
        for (number, (_, stat)) in (*first..).zip(names.files.files(*dir)) {
            if every.stops() {
                return None;
            }
            let Stat { id, .. } = *stat;
            if id.size < way.least(rules) || now.since(id.mtime) < rules.least_age {
                continue;
            }
            let time = match way {
                Way::Link => id.mtime.0,
                Way::Share => 0,
            };
            let (size, ino) = (id.size, id.ino);
            found.push(Candidate { size, time, ino, part: None, name: number << 1 });
        }
    }
    thin(&mut found, Candidate::unread, |_| true, stop).then_some(found)
}

/// Asks whether to stop for every lot of something.
pub(super) struct Every<'a> {
    stop: &'a mut dyn FnMut() -> bool,
    count: usize,
    pub(super) stopped: bool,
}

impl<'a> Every<'a> {
    pub(super) fn new(stop: &'a mut dyn FnMut() -> bool) -> Self {
        Self { stop, count: 0, stopped: false }
    }

    /// Once it stops, it stays so.
    pub(super) fn stops(&mut self) -> bool {
        if self.count.is_multiple_of(LOT) {
            self.stopped = self.stopped || (self.stop)();
        }
        self.count += 1;
        self.stopped
    }
}

/// Sorts by what `like` says, the inodes of each class in order, and drops what is alone in its class until
/// `dropped` says that it is enough. `false` when it was stopped: then some that are alone are left.
pub(super) fn thin<K: Ord>(
    found: &mut Vec<Candidate>,
    like: impl Fn(&Candidate) -> K,
    mut dropped: impl FnMut(&Candidate) -> bool,
    stop: &mut dyn FnMut() -> bool,
) -> bool {
    if !sort(found, &|c: &Candidate| (like(c), c.ino, c.name), stop) {
        return false;
    }
    let mut every = Every::new(stop);
    let mut kept = 0;
    let mut start = 0;
    let mut enough = false;
    while start < found.len() {
        if enough || every.stops() {
            found.copy_within(start.., kept);
            found.truncate(kept + found.len() - start);
            return false;
        }
        let end = start + run(&found[start..], &like);
        if found[start].ino != found[end - 1].ino {
            found.copy_within(start..end, kept);
            kept += end - start;
        } else {
            enough = !dropped(&found[start]);
        }
        start = end;
    }
    found.truncate(kept);
    if found.capacity() / 4 > found.len() {
        found.shrink_to_fit();
    }
    true
}

/// How many of the first are alike.
pub(super) fn run<K: PartialEq>(of: &[Candidate], like: impl Fn(&Candidate) -> K) -> usize {
    of.first().map_or(0, |first| {
        let first = like(first);
        of.iter().take_while(|c| like(c) == first).count()
    })
}

/// True when two files are compared at once: a first part would be one more visit to each, and two
/// files of one size and one mtime to the nanosecond are hardly ever different.
fn compared_at_once(inodes: usize, way: Way) -> bool {
    inodes == 2 && way == Way::Link
}

/// Sorts by inode, which is disk order, and calls `mark` for those whose first part is to be read.
/// `found` comes sorted by class; afterwards the marked ones come first. `None` when it was stopped.
pub(super) fn unread(
    found: &mut [Candidate],
    way: Way,
    stop: &mut dyn FnMut() -> bool,
) -> Option<usize> {
    let mut start = 0;
    while start < found.len() {
        let end = start + run(&found[start..], Candidate::unread);
        let group = &mut found[start..end];
        if compared_at_once(inodes(group).count(), way) {
            group.iter_mut().for_each(|c| c.part = Some(NonZeroU32::MIN));
        }
        start = end;
    }
    sort(found, &|c: &Candidate| (c.part.is_some(), c.ino, c.name), stop)
        .then(|| found.partition_point(|c| c.part.is_none()))
}

/// The classes, the one with the lowest inode first; `None` when it was stopped. `found` is sorted as [`thin`]
/// leaves it.
pub(super) fn classes(found: &[Candidate], stop: &mut dyn FnMut() -> bool) -> Option<Vec<Class>> {
    let mut classes = Vec::new();
    let mut start = 0;
    while start < found.len() {
        let end = start + run(&found[start..], Candidate::like);
        // Four thousand million candidates would take 128 GB.
        classes.push(Class { start: start as u32, end: end as u32 });
        start = end;
    }
    let first = |class: &Class| found[class.names()].first().map(|c| c.ino);
    sort(&mut classes, &first, stop).then_some(classes)
}

/// The names of each inode in a class: ranges of it.
pub(super) fn inodes(class: &[Candidate]) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        let names = run(&class[start..], |c| c.ino);
        start += names;
        (names > 0).then(|| start - names..start)
    })
}

/// An inode of a set of equal ones.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Inode {
    /// Inode number.
    pub(super) ino: u64,
    /// Names it has anywhere.
    pub(super) links: u32,
    /// Names of it that are candidates.
    pub(super) names: u32,
}

/// Which inode's names move to which other inode, as positions in `set`: everything to the one with
/// the most links (the fewest names change), the first of them by number; and when that has as many
/// as it may have, to the next.
pub(super) fn arrange(set: &[Inode], most_links: u32) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..set.len()).collect();
    order.sort_by_key(|&i| (std::cmp::Reverse(set[i].links), set[i].ino));
    let mut moves = Vec::new();
    let mut keep: Option<(usize, u32)> = None;
    for i in order {
        match &mut keep {
            Some((keep, room)) if set[i].names <= *room => {
                moves.push((i, *keep));
                *room -= set[i].names;
            }
            _ => keep = Some((i, most_links.saturating_sub(set[i].links))),
        }
    }
    moves
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dedup::known::Known;
    use crate::model::FileId;
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    const NOW: Time = Time::from_secs(1_795_428_000);

    #[test]
    fn a_candidate_is_small() {
        assert_eq!(size_of::<Candidate>(), 32);
        assert_eq!((size_of::<Known>(), size_of::<Mark>()), (16, 16));
    }

    /// A million names, each with an equal: the most there can be.
    #[test]
    fn a_million_files_fit_into_64_mb() {
        let mut tree = Tree::new();
        for i in 0..1_000_000u64 {
            let path = RelPath::new(format!("{:03}/{:06}", i / 1000, i).as_bytes()).unwrap();
            let id =
                FileId { ino: i + 11, size: 100 + i / 2, mtime: Time::from_secs(1_000_000_000) };
            tree.insert(&path, Stat { id, nlink: 1, sectors: 8 });
        }
        let go_on = &mut || false;
        let mut found =
            candidates(&Names::new(&tree), &Rules::default(), Way::Link, NOW, go_on).unwrap();
        assert_eq!(unread(&mut found, Way::Link, go_on), Some(0));
        thin(&mut found, Candidate::like, |_| true, go_on);
        let classes = classes(&found, go_on).unwrap();
        assert_eq!((found.len(), classes.len()), (1_000_000, 500_000));
        let bytes =
            found.capacity() * size_of::<Candidate>() + classes.capacity() * size_of::<Class>();
        // Beside them is what was read or decided on. Some is left for what the engine does with what was joined.
        assert!(bytes + found.len() * size_of::<Known>() <= 54_000_000, "{bytes}");
    }

    #[test]
    fn names_move_to_the_inode_with_the_most_and_no_further_than_allowed() {
        let inode = |ino, links, names| Inode { ino, links, names };
        assert_eq!(arrange(&[inode(5, 1, 1), inode(3, 1, 1)], 100), [(0, 1)]);
        assert_eq!(
            arrange(&[inode(3, 1, 1), inode(5, 2, 1), inode(7, 1, 1)], 100),
            [(0, 1), (2, 1)]
        );
        // 60 and 2 fill the first; 3 more start anew.
        let set = [inode(1, 60, 60), inode(2, 2, 2), inode(3, 1, 1), inode(4, 1, 1)];
        assert_eq!(arrange(&set, 62), [(1, 0), (3, 2)]);
        assert_eq!(arrange(&[inode(1, 9, 9), inode(2, 9, 9)], 9), []);
    }

    /// What a test drive has under one name.
    #[derive(Clone, Debug)]
    struct File {
        path: RelPath,
        ino: u64,
    }

    fn drive() -> impl Strategy<Value = (Vec<File>, Vec<(Vec<u8>, i64)>)> {
        let contents = prop::collection::vec(("[ab]{0,3}", 0i64..3), 1..12);
        let names =
            prop::collection::btree_map("[a-c]/[a-z]{1,2}", any::<prop::sample::Index>(), 0..60);
        (names, contents).prop_map(|(names, contents)| {
            let contents: Vec<_> =
                contents.into_iter().map(|(c, t)| (c.into_bytes(), 1_000 + t)).collect();
            let file = |(path, at): (String, prop::sample::Index)| File {
                path: RelPath::new(path.as_bytes()).unwrap(),
                ino: at.index(contents.len()) as u64,
            };
            (names.into_iter().map(file).collect(), contents)
        })
    }

    proptest! {
        #[test]
        fn finds_what_a_naive_search_finds((files, contents) in drive(), share: bool) {
            let way = if share { Way::Share } else { Way::Link };
            let rules = Rules { least_age: 0, ..Rules::default() };
            let mut tree = Tree::new();
            for file in &files {
                let (content, secs) = &contents[file.ino as usize];
                let mtime = Time::from_secs(*secs);
                let id = FileId { ino: file.ino, size: content.len() as u64, mtime };
                tree.insert(&file.path, Stat { id, nlink: 1, sectors: 8 });
            }
            // The naive search: by content and time, one after the other.
            let mut naive: BTreeMap<(Vec<u8>, i64), BTreeSet<u64>> = BTreeMap::new();
            for file in &files {
                let (content, secs) = contents[file.ino as usize].clone();
                if content.len() as u64 >= way.least(&rules) {
                    naive.entry((content, if share { 0 } else { secs })).or_default().insert(file.ino);
                }
            }
            let naive: BTreeSet<_> = naive.into_values().filter(|inodes| inodes.len() > 1).collect();

            // Ours, with a first part of one byte and then all of it.
            let go_on = &mut || false;
            let mut found = candidates(&Names::new(&tree), &rules, way, NOW, go_on).unwrap();
            let todo = unread(&mut found, way, go_on).unwrap();
            for c in &mut found[..todo] {
                let first = contents[c.ino as usize].0.first().copied();
                c.part = NonZeroU32::new(u32::from(first.unwrap_or(1)));
            }
            thin(&mut found, Candidate::like, |_| true, go_on);
            let mut ours = BTreeSet::new();
            for class in classes(&found, go_on).unwrap() {
                let mut by_content: BTreeMap<&[u8], BTreeSet<u64>> = BTreeMap::new();
                let class = &found[class.names()];
                for names in inodes(class) {
                    let ino = class[names.start].ino;
                    prop_assert!(class[names].iter().all(|c| c.ino == ino));
                    by_content.entry(&contents[ino as usize].0).or_default().insert(ino);
                }
                ours.extend(by_content.into_values().filter(|inodes| inodes.len() > 1));
            }
            prop_assert_eq!(ours, naive);
        }

        #[test]
        fn arranging_never_exceeds_the_limit_and_leaves_no_pair_that_fits(
            set in prop::collection::vec((1u32..6, 0u32..6), 2..20), most in 6u32..20
        ) {
            let set: Vec<_> = set
                .into_iter()
                .enumerate()
                .map(|(i, (names, more))| Inode { ino: i as u64, names, links: names + more })
                .collect();
            let mut links: Vec<u32> = set.iter().map(|i| i.links).collect();
            let mut moved = BTreeSet::new();
            for (drop, keep) in arrange(&set, most) {
                prop_assert!(moved.insert(drop) && drop != keep);
                links[keep] += set[drop].names;
                prop_assert!(links[keep] <= most);
            }
            // Nothing joins what itself moved away.
            prop_assert!(arrange(&set, most).iter().all(|(_, keep)| !moved.contains(keep)));
        }
    }
}
