//! Who holds links, under which names: devices under the masters' own, a folder that other people joined
//! under those below the folder that is shared.

use super::{Op, Replica, Share, World};
use crate::model::{DeviceName, Link, Place, RelPath, Spot};

/// Where in the folder of that name a path in `shared/` lies.
pub fn below_shared(path: &RelPath, name: &str) -> Option<RelPath> {
    rest(path, &RelPath::new(name.as_bytes()).ok()?)
}

/// A master that is destroyed goes from every share, too.
pub(super) fn unlink_or_keep(world: &World, path: &RelPath, ops: &mut Vec<Op>) {
    let of_path = world.shares.iter().filter(|(_, share)| path.is_within(&share.path));
    // What others joined holds its links as devices do.
    for (name, share) in of_path.filter(|(_, share)| !share.is_joined()) {
        let Some(at) = share.spot(name, path) else { continue };
        if let Some(id) = world.shared.get(&at.path) {
            ops.push(Op::Release { at, ino: id.ino, was: path.clone() });
        }
    }
}

impl World {
    /// The folders that other people join and may change, as those who hold links.
    pub fn joined(&self) -> impl Iterator<Item = DeviceName> {
        let taking = self.shares.iter().filter(|(_, share)| share.takes());
        taking.map(|(name, _)| DeviceName::joined(name))
    }

    /// True when this is a folder that other people join and may change.
    pub fn is_joined(&self, holder: &DeviceName) -> bool {
        holder.joined_folder().and_then(|name| self.shares.get(name)).is_some_and(Share::takes)
    }

    /// The master that a name with a holder stands for; `None` when that would be no path.
    pub fn home_of(&self, holder: &DeviceName, path: &RelPath) -> Option<RelPath> {
        match holder.joined_folder() {
            None => Some(path.clone()),
            Some(name) => below(&self.shares.get(name)?.path, path),
        }
    }

    /// The name with a holder that stands for a master; `None` when it has none for it.
    pub fn path_on(&self, holder: &DeviceName, home: &RelPath) -> Option<RelPath> {
        let Some(name) = holder.joined_folder() else { return Some(home.clone()) };
        let path = rest(home, &self.shares.get(name)?.path)?;
        // With the folder's name before it, it has to be a path, too.
        below(&RelPath::new(name.as_bytes()).ok()?, &path).map(|_| path)
    }

    /// Whose name this spot is, and which one with him.
    pub fn holder_at(&self, at: &Spot) -> Option<(DeviceName, RelPath)> {
        match &at.place {
            Place::Device(device) => Some((device.clone(), at.path.clone())),
            Place::Shared => {
                let name = std::str::from_utf8(at.path.names().next()?).ok()?;
                let joined = self.shares.get(name).is_some_and(Share::is_joined);
                let rest = below_shared(&at.path, name)?;
                joined.then(|| (DeviceName::joined(name), rest))
            }
            _ => None,
        }
    }

    /// Everybody who has a link for this master, and under which name.
    pub fn links_for(&self, home: &RelPath) -> Vec<(&DeviceName, RelPath, Link)> {
        let link = |(holder, h): (&_, &Replica)| {
            let path = self.path_on(holder, home)?;
            let link = *h.links.get(&path)?;
            Some((path, link))
        };
        let all = self.devices.iter();
        all.filter_map(|(d, h)| link((d, h)).map(|(path, link)| (d, path, link))).collect()
    }
}

/// A path and another one below it.
pub(super) fn below(folder: &RelPath, path: &RelPath) -> Option<RelPath> {
    match (folder.is_root(), path.is_root()) {
        (true, _) => Some(path.clone()),
        (_, true) => Some(folder.clone()),
        _ => RelPath::new(&[folder.as_bytes(), b"/", path.as_bytes()].concat()).ok(),
    }
}

/// What of a path lies below a folder.
pub(super) fn rest(path: &RelPath, folder: &RelPath) -> Option<RelPath> {
    if !path.is_within(folder) {
        return None;
    }
    let names: Vec<&[u8]> = path.names().skip(folder.depth()).collect();
    RelPath::new(&names.join(&b'/')).ok()
}
