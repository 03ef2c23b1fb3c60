//! Room on a device: which links go, the least recently used first.
//!
//! What goes is a content: all the names that an inode has on the device go together or not at all,
//! because one of two makes no room. It was last used when any of its names was: got, opened
//! through the page, or changed by the device, whichever came last. Of those used in the same
//! second the older content goes first, by its mtime; then what comes first in the tree, a folder's
//! own files before the folders in it. So what is left of a folder is its newest part, as with a
//! folder that does not fit.
//!
//! Never goes: what is pinned; a copy that is not at home, or that a mass change holds back; what is on its way
//! to the device (all that it has, until somebody told); what costs nothing, because that makes no room; and what
//! the plan itself relies on ([`Keep`]). A link that is gone already and only not believed to be (a cut may have
//! come right after it went) goes like any other.
//!
//! What needs no room (another name of a content that the device has, an empty file) always has it, also on a
//! device that holds too much and before anybody told. What can't fit beside what is pinned never will,
//! whatever is told.

use super::{Op, Replica, World};
use crate::model::{Bytes, DirId, Holder, Link, RelPath, Tree};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Why there is no room, with the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortfall {
    /// What was needed; nothing when a device holds too much as it is.
    pub need: Bytes,
    /// The quota.
    pub quota: Bytes,
    /// How much of it is pinned.
    pub pinned: Bytes,
    /// How much of it is not at home yet.
    pub unsaved: Bytes,
    /// How much of it is on its way to the device.
    pub moving: Bytes,
}

/// Why room can't be made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoSpace {
    /// Nobody told yet what is on its way to the device ([`Replica::untold`]); perhaps there is room then.
    Untold,
    /// There is none.
    Short(Shortfall),
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.need.0 > 0 {
            write!(f, "needs {}; ", self.need)?;
        }
        write!(f, "quota {}", self.quota)?;
        let parts = [
            (self.pinned, "pinned"),
            (self.unsaved, "not safely at home yet"),
            (self.moving, "still on its way there"),
        ];
        for (bytes, what) in parts.into_iter().filter(|(bytes, _)| bytes.0 > 0) {
            write!(f, ", {bytes} of it {what}")?;
        }
        Ok(())
    }
}

/// What has to stay, whatever was used longest ago, because what is planned relies on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Keep<'a> {
    /// This file, or everything in this folder.
    pub within: Option<&'a RelPath>,
    /// Contents that get another name on the device. In ascending order.
    pub inodes: &'a [u64],
}

/// How much of what a device holds is what.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Held {
    /// May go to make room.
    pub may_go: Bytes,
    /// Pinned.
    pub pinned: Bytes,
    /// Not at home yet.
    pub unsaved: Bytes,
    /// On its way.
    pub moving: Bytes,
    /// The plan relies on it.
    pub kept: Bytes,
}

/// Why a content stays; the first that holds is told.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stays {
    Pinned,
    Unsaved,
    Moving,
    Kept,
    No,
}

/// A content that may go. The order of the fields is the order in which they go.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    used: i64,
    mtime: i64,
    /// Place of its first name in the tree.
    order: u32,
    dir: DirId,
    position: u32,
    /// Where its further names are; they are few.
    group: Option<u32>,
}

/// An inode with several names on the device.
struct Group {
    first: Entry,
    names: Vec<(DirId, u32)>,
    stays: Stays,
    cost: u64,
}

/// What may go from a device, the least recently used first.
pub struct Oldest<'w> {
    replica: &'w Replica,
    heap: BinaryHeap<Reverse<Entry>>,
    groups: Vec<Group>,
    /// The folder that was named last: those that were got together go together.
    folder: (DirId, RelPath),
    /// How much of the device is what.
    pub held: Held,
}

/// The names of some paths, by their folders.
fn by_folder<'p>(paths: impl Iterator<Item = &'p RelPath>) -> HashMap<&'p [u8], Vec<&'p [u8]>> {
    let mut folders: HashMap<&[u8], Vec<&[u8]>> = HashMap::new();
    for path in paths {
        let bytes = path.as_bytes();
        let cut = bytes.iter().rposition(|&b| b == b'/');
        let (folder, name) = cut.map_or((&b""[..], bytes), |at| (&bytes[..at], &bytes[at + 1..]));
        folders.entry(folder).or_default().push(name);
    }
    folders.values_mut().for_each(|names| names.sort_unstable());
    folders
}

impl<'w> Oldest<'w> {
    /// Looks at all that a device holds, folder by folder: a path is made only of what goes.
    pub fn on(world: &'w World, replica: &'w Replica, keep: Keep<'_>) -> Self {
        Self::first_on(world, replica, keep, usize::MAX)
    }

    /// The same for who wants only so many, in the memory of so many.
    pub fn first_on(world: &'w World, replica: &'w Replica, keep: Keep<'_>, most: usize) -> Self {
        let pins = by_folder(replica.pins.iter());
        let moving = by_folder(replica.live.keys());
        let unknown = by_folder(replica.held.keys());
        let kept = by_folder(keep.within.into_iter());
        let (mut entries, mut groups) = (Vec::new(), Vec::<Group>::new());
        let mut by_inode: HashMap<u64, u32> = HashMap::new();
        let mut held = Held::default();
        let mut order = 0;
        let links = &replica.links;
        links.for_each_dir(Tree::<Link>::ROOT, |dir, at| {
            // Paths in the book were checked when they came in.
            let Ok(path) = RelPath::new(at) else { return };
            let pinned = replica.pinned(&path);
            let mut home = world.files.dir(&path).map(|home| world.files.cursor(home));
            let kept_whole = keep.within.is_some_and(|within| path.is_within(within));
            let [pins, moving, unknown, kept] =
                [&pins, &moving, &unknown, &kept].map(|all| all.get(at).map_or(&[][..], |n| n));
            let among = |names: &[&[u8]], name: &[u8]| names.binary_search(&name).is_ok();
            for (position, (name, link)) in links.files(dir).enumerate() {
                let ino = link.id.ino;
                let master = home.as_mut().and_then(|home| home.get(name));
                let stays = if pinned || among(pins, name) {
                    Stays::Pinned
                } else if master.is_none_or(|m| m.id.ino != ino) || among(unknown, name) {
                    Stays::Unsaved
                } else if among(moving, name) {
                    Stays::Moving
                } else if kept_whole || among(kept, name) || keep.inodes.binary_search(&ino).is_ok()
                {
                    Stays::Kept
                } else {
                    Stays::No
                };
                let entry = Entry {
                    used: link.used,
                    mtime: link.id.mtime.0,
                    order,
                    dir,
                    position: position as u32,
                    group: None,
                };
                order += 1;
                if replica.links_of(ino) > 1 {
                    let new = groups.len() as u32;
                    let at = *by_inode.entry(ino).or_insert(new);
                    if at == new {
                        let (names, cost) = (Vec::new(), replica.cost_of(ino).0);
                        let first = Entry { group: Some(new), ..entry };
                        groups.push(Group { first, names, stays, cost });
                    }
                    let group = &mut groups[at as usize];
                    group.first.used = group.first.used.max(link.used);
                    group.first.mtime = group.first.mtime.max(entry.mtime);
                    group.stays = group.stays.min(stays);
                    group.names.push((dir, entry.position));
                } else {
                    held.add(stays, link.charge.0);
                    if stays == Stays::No && link.charge.0 > 0 {
                        entries.push(Reverse(entry));
                        if entries.len() / 2 >= most {
                            // The later ones go; what is left is in no order.
                            entries.select_nth_unstable_by_key(most, |Reverse(entry)| *entry);
                            entries.truncate(most);
                        }
                    }
                }
            }
        });
        for group in &groups {
            held.add(group.stays, group.cost);
            if group.stays == Stays::No && group.cost > 0 {
                entries.push(Reverse(group.first));
            }
        }
        let folder = (Tree::<Link>::ROOT, RelPath::root());
        Self { replica, heap: entries.into(), groups, folder, held }
    }

    fn link_at(&mut self, (dir, position): (DirId, u32)) -> Option<(RelPath, Link)> {
        let (name, link) = self.replica.links.file_at(dir, position as usize)?;
        if self.folder.0 != dir {
            self.folder = (dir, self.replica.links.path_of(dir));
        }
        Some((self.folder.1.join(name).ok()?, *link))
    }
}

/// A content that may go: what that gives back, and the links of it.
pub type Going = (Bytes, Vec<(RelPath, Link)>);

impl Iterator for Oldest<'_> {
    type Item = Going;

    fn next(&mut self) -> Option<Going> {
        let Reverse(entry) = self.heap.pop()?;
        Some(match entry.group {
            Some(group) => {
                let Group { names, cost, .. } = &mut self.groups[group as usize];
                // A content comes once.
                let (names, cost) = (std::mem::take(names), Bytes(*cost));
                (cost, names.into_iter().filter_map(|at| self.link_at(at)).collect())
            }
            None => {
                let links: Vec<_> = self.link_at((entry.dir, entry.position)).into_iter().collect();
                (links.first().map_or(Bytes(0), |(_, link)| link.charge), links)
            }
        })
    }
}

impl Held {
    fn add(&mut self, stays: Stays, bytes: u64) {
        let sum = match stays {
            Stays::Pinned => &mut self.pinned,
            Stays::Unsaved => &mut self.unsaved,
            Stays::Moving => &mut self.moving,
            Stays::Kept => &mut self.kept,
            Stays::No => &mut self.may_go,
        };
        sum.0 = sum.0.saturating_add(bytes);
    }

    /// That `need` bytes do not fit.
    pub fn shortfall(&self, need: Bytes, quota: Bytes) -> Shortfall {
        let Self { pinned, unsaved, moving, .. } = *self;
        Shortfall { need, quota, pinned, unsaved, moving }
    }

    /// How much of a quota there is at most for anything else, once all is at home and nothing on its way.
    pub fn at_best(&self, quota: Bytes) -> Bytes {
        Bytes(quota.0.saturating_sub(self.pinned.0.saturating_add(self.kept.0)))
    }
}

/// Chooses the links of a device that go so that `need` more bytes fit its quota, the least
/// recently used first and no more than that takes. Nothing goes when it fits as it is, or does not fit. What
/// needs nothing always fits; what the device holds too much goes then as far as it may.
pub fn make_space(
    world: &World,
    device: &Holder,
    quota: Option<Bytes>,
    need: Bytes,
    keep: Keep<'_>,
) -> Result<Vec<(RelPath, Link)>, NoSpace> {
    let (Some(quota), Some(replica)) = (quota, world.replicas.get(device)) else {
        return Ok(Vec::new());
    };
    let over = (replica.used().0.saturating_add(need.0)).saturating_sub(quota.0);
    if over == 0 || (need.0 == 0 && replica.untold) {
        return Ok(Vec::new());
    }
    let oldest = Oldest::on(world, replica, keep);
    let held = oldest.held;
    if need.0 == 0 {
        // It holds too much as it is: what may go goes, so that it is not what the plan relies on that does.
        return Ok(first_of(oldest, over));
    }
    let short = NoSpace::Short(held.shortfall(need, quota));
    if need > held.at_best(quota) {
        return Err(short);
    }
    if replica.untold {
        return Err(NoSpace::Untold);
    }
    if held.may_go.0 < over { Err(short) } else { Ok(first_of(oldest, over)) }
}

/// What goes when a device holds more than its quota: as much as is needed or, when the rest has to
/// stay, all that may go, and why it is not enough. Nothing before somebody told what is on its way.
pub fn enforce_quota(
    world: &World,
    device: &Holder,
    quota: Option<Bytes>,
) -> (Vec<(RelPath, Link)>, Option<Shortfall>) {
    let nothing = (Vec::new(), None);
    let (Some(quota), Some(replica)) = (quota, world.replicas.get(device)) else { return nothing };
    let over = replica.used().0.saturating_sub(quota.0);
    if over == 0 || replica.untold {
        return nothing;
    }
    let oldest = Oldest::on(world, replica, Keep::default());
    let held = oldest.held;
    let short = (held.may_go.0 < over).then(|| held.shortfall(Bytes(0), quota));
    (first_of(oldest, over), short)
}

/// The links of the first that may go, until so many bytes are free.
fn first_of(oldest: Oldest<'_>, mut over: u64) -> Vec<(RelPath, Link)> {
    let mut going = Vec::new();
    for (bytes, links) in oldest {
        going.extend(links);
        over = over.saturating_sub(bytes.0);
        if over == 0 {
            break;
        }
    }
    going
}

/// The operations that evict: following its folder must not bring a link back that went.
pub fn evict(world: &World, device: &Holder, going: &[(RelPath, Link)]) -> Vec<Op> {
    let op = |(path, link): &(RelPath, Link)| {
        let except = world.replicas.get(device).is_some_and(|h| h.wants(path));
        Op::Evict { device: device.clone(), path: path.clone(), ino: link.id.ino, except }
    };
    going.iter().map(op).collect()
}

#[cfg(test)]
mod tests;
