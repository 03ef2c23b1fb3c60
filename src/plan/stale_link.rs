//! Links that stay behind: the master was replaced at home, and there is no room on the device for the new one.
//! Such a link goes, but for two kinds. What is pinned stays as it was: the owner was promised that nothing takes
//! it away. And nobody loses a file because its content lies elsewhere now, in a few blocks more.
//!
//! They are brought up to date as soon as there is room. Until then the owner's word about them counts as
//! about any other, and what has its last name there is kept as an old version.

use super::quota::{Keep, NoSpace, make_space};
use super::{Fact, Op, Replica, Why, World, master, on};
use crate::model::{Bytes, FileId, Holder, Link, RelPath, Stat, Time};

/// A link that means another inode than its master.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Behind {
    /// As far as anybody can tell, the same content.
    pub equal: bool,
    /// It is pinned.
    pub pinned: bool,
    /// The link.
    pub link: Link,
    /// The master.
    pub master: Stat,
}

/// Whether a device's link is behind its master, and how.
pub fn stale_link(world: &World, device: &Holder, path: &RelPath) -> Option<Behind> {
    let replica = world.replicas.get(device)?;
    let link = *replica.links.get(path)?;
    let master = *world.files.get(&world.home_of(device, path)?)?;
    let equal = world.was_deduplicated(&link.id, &master.id) || like(&link.id, &master.id);
    let stale_link = Behind { equal, pinned: replica.pinned(path), link, master };
    (link.id.ino != master.id.ino).then_some(stale_link)
}

impl Behind {
    /// True for what stays where there is no room for the new one.
    pub fn stays(&self) -> bool {
        self.equal || self.pinned
    }

    /// What the new one needs beside what the old one leaves.
    pub fn need(&self, replica: &Replica) -> Bytes {
        let freed = match replica.links_of(self.link.id.ino) {
            1 => replica.cost_of(self.link.id.ino).0,
            _ => 0,
        };
        Bytes(replica.price(&self.master).0.saturating_sub(freed))
    }

    /// What makes room for the new one; `Err` when nothing can, or not yet.
    pub fn room(
        &self,
        world: &World,
        device: &Holder,
        path: &RelPath,
        quota: Option<Bytes>,
    ) -> Result<Vec<(RelPath, Link)>, NoSpace> {
        let need = world.replicas.get(device).map_or(Bytes(0), |replica| self.need(replica));
        if need == Bytes(0) {
            return Ok(Vec::new());
        }
        let keep = Keep { within: Some(path), inodes: &[self.master.id.ino] };
        make_space(world, device, quota, need, keep)
    }
}

/// The same size and mtime: as far as that tells, the same content.
pub(super) fn like(a: &FileId, b: &FileId) -> bool {
    (a.size, a.mtime) == (b.size, b.mtime)
}

/// How a device gets the master of a path, room for it being made: in place of the older one that is there.
pub(super) fn get(world: &World, device: &Holder, path: &RelPath, m: &Stat, now: Time) -> Vec<Op> {
    let (by, at, new) = (master(path), on(device, path), m.id.ino);
    let gone = world.replicas.get(device).is_some_and(|replica| replica.absent.contains_key(path));
    match stale_link(world, device, path).filter(|_| !gone) {
        None => vec![Op::Link { from: by, ino: new, to: at }],
        Some(old) => vec![
            Op::Replace { at, old: old.link.id.ino, by, new, why: Why::Replaced },
            Op::Note(Fact::Used(device.clone(), path.clone(), now.secs())),
        ],
    }
}

/// How a link goes because the owner says so; `None` while the device's own change of it is not at home.
pub(super) fn let_go(world: &World, device: &Holder, path: &RelPath, link: &Link) -> Option<Op> {
    let (at, ino) = (on(device, path), link.id.ino);
    match stale_link(world, device, path) {
        Some(stale_link) if stale_link.stays() => {
            Some(Op::Release { at, ino, was: world.home_of(device, path)? })
        }
        Some(_) => None,
        None => world.files.get(&world.home_of(device, path)?).map(|_| Op::Unlink { at, ino }),
    }
}
