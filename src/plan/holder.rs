//! Who holds links, under which names: devices under the masters' own, a folder that other people joined
//! under those below the folder that is shared.

use super::{Op, Replica, Share, World};
use crate::config::Config;
use crate::model::{Holder, Link, Place, RelPath, Spot};

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
    /// All whose links are looked after: the devices of the settings, then the shared folders that others may change.
    pub fn holders(&self, config: &Config) -> impl Iterator<Item = Holder> {
        let taking = self.shares.iter().filter(|(_, share)| share.takes());
        let shared = taking.map(|(name, _)| Holder::shared(name));
        config.devices.keys().cloned().map(Holder::Device).chain(shared)
    }

    /// True of those whose links are looked after ([`Self::holders`]).
    pub fn looks_after(&self, config: &Config, holder: &Holder) -> bool {
        match holder {
            Holder::Device(device) => config.devices.contains_key(device),
            Holder::SharedFolder(_) => self.share_of(holder).is_some_and(Share::takes),
        }
    }

    /// The share whose folder this is.
    pub fn share_of(&self, holder: &Holder) -> Option<&Share> {
        self.shares.get(holder.shared_folder()?.as_str())
    }

    /// The master that a name with a holder stands for; `None` when that would be no path.
    pub fn home_of(&self, holder: &Holder, path: &RelPath) -> Option<RelPath> {
        match holder {
            Holder::Device(_) => Some(path.clone()),
            Holder::SharedFolder(_) => below(&self.share_of(holder)?.path, path),
        }
    }

    /// The name with a holder that stands for a master; `None` when it has none for it.
    pub fn path_on(&self, holder: &Holder, home: &RelPath) -> Option<RelPath> {
        let Holder::SharedFolder(_) = holder else { return Some(home.clone()) };
        let path = rest(home, &self.share_of(holder)?.path)?;
        // With the folder's name before it, it has to be a path, too.
        below(&holder.root().path, &path).map(|_| path)
    }

    /// Whose name this spot is, and which one with him.
    pub fn holder_at(&self, at: &Spot) -> Option<(Holder, RelPath)> {
        match &at.place {
            Place::Device(device) => Some((device.clone().into(), at.path.clone())),
            Place::Shared => {
                let name = std::str::from_utf8(at.path.names().next()?).ok()?;
                let joined = self.shares.get(name).is_some_and(Share::is_joined);
                let rest = below_shared(&at.path, name)?;
                joined.then(|| (Holder::shared(name), rest))
            }
            _ => None,
        }
    }

    /// Everybody who has a link for this master, and under which name.
    pub fn links_for(&self, home: &RelPath) -> Vec<(&Holder, RelPath, Link)> {
        let link = |(holder, h): (&_, &Replica)| {
            let path = self.path_on(holder, home)?;
            let link = *h.links.get(&path)?;
            Some((path, link))
        };
        let all = self.replicas.iter();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{FileId, Origin, Time, WishId};
    use crate::plan::{Fact, Open, ShareState};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    /// Two shared folders of `a`, the content of one of them destroyed, and links of `a/x` everywhere.
    fn world() -> World {
        let mut world = World::default();
        for (name, destroyed) in [("gone", Some(Time(1))), ("family", None)] {
            let share = Share {
                path: path("a"),
                with: String::new(),
                peers: [].into(),
                at: Time(0),
                origin: Origin::Home,
                wish: WishId::parse("00112233445566778899").unwrap(),
                state: ShareState::Made,
                open: Some(Open { destroyed, ..Open::default() }),
            };
            world.note(&Fact::Share(name.into(), share));
        }
        for (holder, at) in [
            ("tablet", "a/x"),
            ("shared/family", "x"),
            ("shared-phone", "a/x"),
            ("sharer", "a/x"),
            ("shared/gone", "x"),
            ("HTCphone", "a/x"),
        ] {
            let link = Link { id: FileId { ino: 7, ..FileId::default() }, ..Link::default() };
            world.note(&Fact::Link(Holder::decode(holder).unwrap(), path(at), link));
        }
        world
    }

    #[test]
    fn links_of_a_master_come_in_the_order_of_the_holders_texts() {
        let world = world();
        let found = world.links_for(&path("a/x"));
        let found: Vec<_> = found.iter().map(|(h, at, _)| format!("{h}: {at}")).collect();
        let ought = [
            "HTCphone: a/x",
            "shared-phone: a/x",
            "shared/family: x",
            "shared/gone: x",
            "sharer: a/x",
            "tablet: a/x",
        ];
        assert_eq!(found, ought);
    }

    #[test]
    fn looked_after_are_devices_of_the_settings_and_shared_folders_that_take() {
        let world = world();
        let config = crate::config::parse("[devices.tablet]\n[devices.HTCphone]").unwrap();
        let all: Vec<_> = world.holders(&config).map(|holder| holder.to_string()).collect();
        assert_eq!(all, ["HTCphone", "tablet", "shared/family"]);
        for holder in world.replicas.keys() {
            assert_eq!(world.looks_after(&config, holder), all.contains(&holder.to_string()));
        }
    }

    #[test]
    fn a_spot_is_a_holders_and_back() {
        let world = world();
        for (holder, at) in [("tablet", "a/x"), ("shared/family", "d/x"), ("shared/family", "")] {
            let name = (Holder::decode(holder).unwrap(), path(at));
            let spot = crate::plan::on(&name.0, &name.1);
            assert_eq!(world.holder_at(&spot), Some(name), "{spot}");
        }
        assert_eq!(world.holder_at(&Place::Shared.at(path("other/x"))), None);
    }
}
