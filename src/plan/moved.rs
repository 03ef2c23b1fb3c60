//! Masters that were renamed at home, found by their inodes.
//!
//! A content that was joined has several names at home: then a link whose name is gone follows to the one that is
//! new, not to one that has long been there beside it. When nobody saw which is new (the engine did not run), it
//! takes one that the device does not have yet, and of these one that ends alike.

use super::World;
use crate::model::{Holder, RelPath, Stat, Tree};
use std::collections::{HashMap, HashSet};

/// A device's link.
pub type LinkName = (Holder, RelPath);

/// Where the masters of links went whose own names are gone at home: one walk over all masters. `appeared` are the
/// names at home that are new. Links that go to no other name are not in the answer.
pub fn moved_masters(
    world: &World,
    missing: &[(LinkName, u64)],
    recent_names: impl Fn(&RelPath) -> bool,
) -> HashMap<LinkName, RelPath> {
    let mut names: HashMap<u64, Vec<RelPath>> =
        missing.iter().map(|(_, ino)| (*ino, Vec::new())).collect();
    if names.is_empty() {
        return HashMap::new();
    }
    world.files.for_each(Tree::<Stat>::ROOT, |path, stat| {
        if let Some(names) = names.get_mut(&stat.id.ino) {
            names.extend(RelPath::new(path));
        }
    });
    let mut found = HashMap::new();
    // Each new name is for one of a device's links; those that end alike choose first.
    let mut taken: HashSet<(&Holder, &RelPath)> = HashSet::new();
    for alike in [true, false] {
        for (link, ino) in missing {
            let (device, path) = link;
            if found.contains_key(link) {
                continue;
            }
            let has = |to: &RelPath| {
                let links = world.replicas.get(device).map(|h| &h.links);
                let there = world.path_on(device, to).zip(links);
                there.is_some_and(|(at, links)| links.get(&at).is_some())
            };
            let rank = |to: &&RelPath| {
                let used = taken.contains(&(device, *to)) || has(to);
                (!recent_names(to), used, to.name() != path.name())
            };
            let names = names.get(ino).map(Vec::as_slice).unwrap_or_default();
            let Some(best) = names.iter().min_by_key(rank) else { continue };
            if alike && rank(&best) != (false, false, false) {
                continue;
            }
            taken.insert((device, best));
            found.insert(link.clone(), best.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, FileId, Link};
    use crate::plan::Fact;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn phone() -> Holder {
        Holder::decode("HTCphone").unwrap()
    }

    /// Where the links of inode 1 went that the phone has, and of which the masters are gone.
    fn moved(missing: &[&str], has: &[&str], masters: &[&str], new: &[&str]) -> Vec<String> {
        let mut world = World::default();
        let id = FileId { ino: 1, ..FileId::default() };
        for at in missing.iter().chain(has) {
            let link = Link { id, charge: Bytes(1), used: 0 };
            world.note(&Fact::Link(phone(), path(at), link));
        }
        for at in masters {
            world.note(&Fact::Master(path(at), Stat { id, ..Stat::default() }));
        }
        let links: Vec<_> = missing.iter().map(|at| ((phone(), path(at)), 1)).collect();
        let found = moved_masters(&world, &links, |at| new.iter().any(|n| path(n) == *at));
        let to = |link: &(LinkName, u64)| found.get(&link.0).map_or("".into(), ToString::to_string);
        links.iter().map(to).collect()
    }

    #[test]
    fn a_link_follows_to_the_name_that_is_new() {
        assert_eq!(moved(&["d/x"], &[], &["e/y"], &[]), ["e/y"]);
        assert_eq!(moved(&["d/x"], &[], &[], &[]), [""]);
        // Its twin has long been there.
        assert_eq!(moved(&["d/x"], &[], &["a/twin", "d/y"], &["d/y"]), ["d/y"]);
        assert_eq!(moved(&["d/x"], &["a/twin"], &["a/twin", "d/y"], &["d/y"]), ["d/y"]);
        // The device has the new one already, because it follows the folder.
        assert_eq!(moved(&["d/x"], &["d/y"], &["a/twin", "d/y"], &["d/y"]), ["d/y"]);
    }

    #[test]
    fn twins_that_are_renamed_together_stay_two() {
        let masters = ["e/x", "e/y"];
        assert_eq!(moved(&["d/x", "d/y"], &[], &masters, &masters), ["e/x", "e/y"]);
        assert_eq!(moved(&["d/y", "d/x"], &[], &masters, &masters), ["e/y", "e/x"]);
        assert_eq!(moved(&["d/u", "d/y"], &[], &masters, &masters), ["e/x", "e/y"]);
    }

    #[test]
    fn when_nobody_saw_which_is_new_it_is_one_that_the_device_lacks() {
        let masters = ["a/twin", "e/u", "e/x"];
        assert_eq!(moved(&["d/x"], &["a/twin"], &masters, &[]), ["e/x"]);
        assert_eq!(moved(&["d/z"], &["a/twin"], &masters, &[]), ["e/u"]);
    }
}
