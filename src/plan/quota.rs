//! Room on a device: which links go, the least recently used first.

use super::{Fact, Op, World, on};
use crate::model::{Bytes, DeviceName, Link, RelPath, Tree};
use std::collections::HashMap;

/// Why there is no room, with the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shortfall {
    /// What was needed.
    pub need: Bytes,
    /// The quota.
    pub quota: Bytes,
    /// How much of it is pinned.
    pub pinned: Bytes,
    /// How much can't be evicted for other reasons: not at home yet, or being transferred.
    pub unsaved: Bytes,
}

impl std::fmt::Display for Shortfall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "needs {}; quota {}", self.need, self.quota)?;
        if self.pinned.0 > 0 {
            write!(f, ", {} of it pinned", self.pinned)?;
        }
        if self.unsaved.0 > 0 {
            write!(f, ", {} of it not safely at home yet", self.unsaved)?;
        }
        Ok(())
    }
}

/// Chooses the links of a device that go so that `need` more bytes fit its quota: the least
/// recently used first, of equally old ones by name. Takes no pinned link, nothing below
/// `protect`, and no link whose inode does not have its name in `files/`.
///
/// Returns nothing when it fits as it is.
pub fn make_room(
    world: &World,
    device: &DeviceName,
    quota: Option<Bytes>,
    need: Bytes,
    protect: Option<&RelPath>,
) -> Result<Vec<(RelPath, Link)>, Shortfall> {
    let (Some(quota), Some(holding)) = (quota, world.devices.get(device)) else {
        return Ok(Vec::new());
    };
    let mut over = (holding.used().0.saturating_add(need.0)).saturating_sub(quota.0);
    if over == 0 {
        return Ok(Vec::new());
    }
    let mut may_go: Vec<(RelPath, Link)> = Vec::new();
    let (mut pinned, mut unsaved) = (Bytes(0), Bytes(0));
    holding.book.for_each(Tree::<Link>::ROOT, |path, link| {
        // Paths in the book were checked when they came in.
        let Ok(path) = RelPath::new(path) else { return };
        let at_home = world.files.get(&path).is_some_and(|m| m.id.ino == link.id.ino);
        if holding.pinned(&path) {
            pinned.0 += link.charge.0;
        } else if !at_home {
            unsaved.0 += link.charge.0;
        } else if !protect.is_some_and(|p| path.is_within(p)) {
            may_go.push((path, *link));
        }
    });
    may_go.sort_unstable_by(|a, b| (a.1.used, &a.0).cmp(&(b.1.used, &b.0)));
    // Several links may share an inode: it is given back with the last of them.
    let mut left = HashMap::new();
    let mut going = Vec::new();
    for (path, link) in may_go {
        if over == 0 {
            break;
        }
        let links = left.entry(link.id.ino).or_insert_with(|| holding.links_of(link.id.ino));
        *links -= 1;
        if *links == 0 {
            over = over.saturating_sub(holding.cost_of(link.id.ino).0);
        }
        going.push((path, link));
    }
    if over > 0 { Err(Shortfall { need, quota, pinned, unsaved }) } else { Ok(going) }
}

/// The operations that evict: the link goes, and following its folder must not bring it back.
pub fn evict(world: &World, device: &DeviceName, going: &[(RelPath, Link)]) -> Vec<Op> {
    let mut ops = Vec::new();
    for (path, link) in going {
        if world.devices.get(device).is_some_and(|h| h.follows(path)) {
            ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
        }
        ops.push(Op::Unlink { at: on(device, path), ino: link.id.ino });
    }
    ops
}
