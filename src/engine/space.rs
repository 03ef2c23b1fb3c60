//! What the pages tell of room: what would go first, what went lately, and which masters share a content.

use super::Engine;
use crate::catalogue::{FIRST_TO_GO, Room, TWINS, Twins};
use crate::model::{DeviceName, DirId, Holder, RelPath, Stat, Time, Tree};
use crate::plan::{Evicted, Keep, Oldest};
use std::collections::BTreeMap;

/// What made room is told for so many seconds: a month.
const TOLD: i64 = 30 * 86_400;
/// So many names of one content are told.
const NAMES: usize = 8;

/// Which masters share a content, and the state of the masters that this is of.
#[derive(Default)]
pub(super) struct KnownTwins {
    pub(super) known: Twins,
    pub(super) of: Option<u64>,
}

impl Engine {
    /// What would make room on each device that has a quota.
    pub(super) fn rooms(&self) -> BTreeMap<DeviceName, Room> {
        let limited = self.config.devices.iter().filter(|(_, settings)| settings.quota.is_some());
        let replica = |device| self.world.device(device);
        limited
            .filter_map(|(device, _)| Some((device, replica(device)?)))
            .map(|(device, replica)| {
                let keep = Keep::default();
                let mut oldest = Oldest::first_on(&self.world, replica, keep, FIRST_TO_GO);
                let held = oldest.held;
                let first = oldest.by_ref().take(FIRST_TO_GO);
                let first = first.map(|(bytes, links)| {
                    (bytes, links.into_iter().map(|(path, _)| path).collect::<Vec<RelPath>>())
                });
                let room = Room {
                    may_go: held.may_go,
                    pinned: held.pinned,
                    unsaved: held.unsaved,
                    moving: held.moving,
                    first: first.collect(),
                };
                (device.clone(), room)
            })
            .collect()
    }

    /// What made room on each device within the last month, and could be got again.
    pub(super) fn lately_evicted(&self, now: Time) -> BTreeMap<DeviceName, Vec<Evicted>> {
        let told = |(holder, replica): (&Holder, &crate::plan::Replica)| {
            let device = holder.device()?.clone();
            let there = |path: &RelPath| {
                replica.links.get(path).is_some() || self.world.files.get(path).is_none()
            };
            let lately = replica.evicted.iter().filter(|e| now.since(e.at) < TOLD);
            Some((device, lately.filter(|e| !there(&e.path)).cloned().collect()))
        };
        self.world.replicas.iter().filter_map(told).collect()
    }

    /// Adds the masters up and finds which share a content, when they changed since that was last known.
    pub(super) fn know_masters(&mut self) {
        if self.twins.of == Some(self.world.files.changes()) {
            return;
        }
        self.weigh_masters();
        let files = &self.world.files;
        self.twins = KnownTwins { known: twins(files), of: Some(files.changes()) };
    }
}

fn twins(files: &Tree<Stat>) -> Twins {
    let mut inodes = Vec::with_capacity(files.len());
    files.for_each_dir(Tree::<Stat>::ROOT, |dir, _| {
        inodes.extend(files.files(dir).map(|(_, stat)| stat.id.ino));
    });
    inodes.sort_unstable();
    let mut shared: Vec<u64> =
        inodes.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]).collect();
    drop(inodes);
    shared.dedup();
    if shared.is_empty() {
        return Twins::default();
    }
    let mut names: Vec<Vec<(DirId, usize)>> = vec![Vec::new(); shared.len()];
    files.for_each_dir(Tree::<Stat>::ROOT, |dir, _| {
        for (at, (_, stat)) in files.files(dir).enumerate() {
            if let Ok(group) = shared.binary_search(&stat.id.ino) {
                names[group].push((dir, at));
            }
        }
    });
    // In the order of the tree, so that the names of one folder lie together.
    names.sort_unstable();
    let mut found = Twins::default();
    let mut told = 0;
    for group in names {
        if told >= TWINS {
            found.more = true;
            break;
        }
        found.more |= group.len() > NAMES;
        let path =
            |(dir, at): (DirId, usize)| files.path_of(dir).join(files.file_at(dir, at)?.0).ok();
        let paths: Vec<RelPath> = group.into_iter().take(NAMES).filter_map(path).collect();
        told += paths.len();
        found.groups.push(paths);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::FileId;

    #[test]
    fn finds_the_names_that_share_a_content_and_no_more_than_fit() {
        let mut files = Tree::new();
        let mut put = |at: &str, ino| {
            let id = FileId { ino, ..FileId::default() };
            files.insert(&RelPath::new(at.as_bytes()).unwrap(), Stat { id, ..Stat::default() });
        };
        for (at, ino) in [("a", 1), ("d/b", 2), ("d/c", 1), ("d/e/f", 3), ("g", 2), ("h", 4)] {
            put(at, ino);
        }
        for n in 0..20 {
            put(&format!("many/{n:02}"), 5);
        }
        let found = twins(&files);
        let names: Vec<Vec<String>> =
            found.groups.iter().map(|g| g.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(names[..2], [vec!["a", "d/c"], vec!["g", "d/b"]]);
        assert_eq!((names[2].len(), found.more), (NAMES, true));
        for n in 0..2 * TWINS {
            let id = FileId { ino: 1_000 + n as u64 / 2, ..FileId::default() };
            let at = RelPath::new(format!("x/{n}").as_bytes()).unwrap();
            files.insert(&at, Stat { id, ..Stat::default() });
        }
        let found = twins(&files);
        let told: usize = found.groups.iter().map(Vec::len).sum();
        assert!(told < TWINS + NAMES && found.more, "{told}");
    }
}
