//! What is known: the masters, what each device holds, and the old contents that are kept.

use super::mass_change::{ChangeRate, MassChange};
use super::{Asking, Fact, Pair, Running, Share};
use crate::model::{Bytes, DeviceName, FileId, Holder, Link, Live, RelPath, Stat, Time, Tree};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// Everything that plans are made from.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The masters, as the drive was last seen.
    pub files: Tree<Stat>,
    /// Names among the masters that lie on another file system: nothing is known of them, or of what is in them.
    pub elsewhere: BTreeSet<RelPath>,
    /// What each device of the settings holds, and each shared folder.
    pub replicas: BTreeMap<Holder, Replica>,
    /// Old contents, by number.
    pub versions: BTreeMap<u64, Version>,
    /// When the NAS was seen running: how old old contents are.
    pub running: Running,
    /// What is shared with other people, by the name of its folder in `shared/`.
    pub shares: BTreeMap<String, Share>,
    /// The names in `shared/` as they were recorded.
    pub shared: Tree<FileId>,
    /// Devices that were let in on the page.
    pub pairs: BTreeMap<DeviceName, Pair>,
    /// Devices that were turned away, by their ids, and when.
    pub turned_away: BTreeMap<String, Time>,
    /// Who asks to be let in at the moment, by the word of the sync engine. Kept in memory only.
    pub asking: Vec<Asking>,
    /// The names in `shared/` itself, in lower case, as they were last seen: a new folder gets none of them.
    pub in_shared: BTreeSet<String>,
    /// Inodes of masters that the deduplication joined to others just now, and to which: a link of one means
    /// the same content as a master of the other. Known only until the links have followed.
    pub deduplicated: HashMap<u64, u64>,
    /// No link was used later, as far as is recorded (seconds since 1970).
    pub(super) latest_use: i64,
    /// The sha1 of contents, by inode, with what they are true for.
    sums: HashMap<u64, (FileId, [u8; 20])>,
}

/// What one device holds, and how it wants it.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    /// Its links as they were recorded.
    pub links: Tree<Link>,
    /// Folders it follows.
    pub follows: BTreeSet<RelPath>,
    /// Files and folders below a followed one that it does not want.
    pub exceptions: BTreeSet<RelPath>,
    /// Files and folders that are never evicted.
    pub pins: BTreeSet<RelPath>,
    /// Links that are in the book but not in the folder, and since when: not believed yet. Kept in
    /// memory only; after a restart they have to settle anew.
    pub absent: BTreeMap<RelPath, Time>,
    /// Links on their way to the device, as whoever carries them tells: never evicted. In memory
    /// only; without a carrier everything counts as there.
    pub live: BTreeMap<RelPath, Live>,
    /// Somebody carries to it who has not told yet what is on its way, as after a start: all of it may
    /// be, so nothing makes room. In memory only.
    pub untold: bool,
    /// Names that the device changed while a mass change waits for the owner's word, with what is there. In
    /// memory only: the next look finds them again.
    pub held: BTreeMap<RelPath, Option<Stat>>,
    /// What the device did lately to files that it had.
    pub change_rate: ChangeRate,
    /// Names that it deleted within the last day, when, and which inodes they meant; while a mass change waits, those that
    /// it deleted before that was noticed. In memory only: after a restart, what a mass change deleted before it was noticed
    /// is got again by hand.
    pub deleted: BTreeMap<RelPath, (Time, u64)>,
    /// It did so much that the owner is asked first.
    pub mass_change: Option<MassChange>,
    /// What made room lately, the last first.
    pub evicted: VecDeque<Evicted>,
    /// Inodes that count against the quota: how many links, and what one costs. Each is charged once.
    charged: HashMap<u64, (u32, Bytes)>,
    used: Bytes,
}

/// A link that made room.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Evicted {
    /// Of which file.
    pub path: RelPath,
    /// How large it was.
    pub size: Bytes,
    /// When it went.
    pub at: Time,
}

/// So many links that made room are remembered of each device.
pub const EVICTED: usize = 200;

/// An old content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Version {
    /// The master that it was.
    pub path: RelPath,
    /// Its facts.
    pub id: FileId,
    /// Since when it is old.
    pub at: Time,
    /// Why it is.
    pub why: Why,
    /// What took its place as the master when it was replaced, where that is known: it is found by this when it
    /// was renamed since.
    pub successor: Option<FileId>,
}

/// Why a content is old.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "why", content = "by", rename_all = "kebab-case")]
pub enum Why {
    /// A device edited the file.
    Edited(Holder),
    /// It was replaced at home.
    Replaced,
    /// It was destroyed; it waits for [undo].
    Destroyed,
    /// A version was brought back in its stead.
    Undone,
    /// It was found without a name after a power cut.
    Rescued,
    /// A device wrote it in a mass change of changes that nobody wanted.
    Stormed(Holder),
    /// A device wrote it in such a mass change, and wrote over it once more: nothing to go back to.
    Overwrote(Holder),
}

impl Replica {
    /// Bytes charged to the quota.
    pub fn used(&self) -> Bytes {
        self.used
    }

    /// What one more link to an inode would cost: nothing when one is there already.
    pub fn price(&self, stat: &Stat) -> Bytes {
        if self.charged.contains_key(&stat.id.ino) { Bytes(0) } else { stat.charge() }
    }

    /// How many links of an inode the device has.
    pub fn links_of(&self, ino: u64) -> u32 {
        self.charged.get(&ino).map_or(0, |(links, _)| *links)
    }

    /// What an inode costs the quota, however many links it has.
    pub fn cost_of(&self, ino: u64) -> Bytes {
        self.charged.get(&ino).map_or(Bytes(0), |(_, cost)| *cost)
    }

    /// True when a followed folder covers the path and nothing nearer to it excepts it.
    pub fn wants(&self, path: &RelPath) -> bool {
        self.rule(path) == Some(true)
    }

    /// True when a followed folder covers the path, excepted or not.
    pub fn follows(&self, path: &RelPath) -> bool {
        covers(&self.follows, path)
    }

    /// True when the path or a folder above it is an exception, and none below that is followed.
    pub fn excepts(&self, path: &RelPath) -> bool {
        self.rule(path) == Some(false)
    }

    /// The nearest rule, from the path upwards: followed, excepted, or none.
    fn rule(&self, path: &RelPath) -> Option<bool> {
        if self.follows.is_empty() && self.exceptions.is_empty() {
            return None;
        }
        let mut at = Some(path.clone());
        while let Some(here) = at {
            if self.exceptions.contains(&here) {
                return Some(false);
            }
            if self.follows.contains(&here) {
                return Some(true);
            }
            at = here.parent();
        }
        None
    }

    /// True when something that the device did at the path, or below it, waits for the owner's word.
    pub fn holds_back(&self, path: &RelPath) -> bool {
        // What is in a folder follows it directly.
        self.held.range(path..).next().is_some_and(|(held, _)| held.is_within(path))
    }

    /// True when the path or a folder above it is pinned.
    pub fn pinned(&self, path: &RelPath) -> bool {
        covers(&self.pins, path)
    }

    fn put(&mut self, path: &RelPath, link: Link) {
        self.absent.remove(path);
        self.held.remove(path);
        if let Some(old) = self.links.insert(path, link) {
            self.uncharge(old.id.ino);
        }
        let entry = self.charged.entry(link.id.ino).or_insert((0, link.charge));
        entry.0 += 1;
        if entry.0 == 1 {
            self.used.0 += link.charge.0;
        } else {
            // The file may have grown since the first link was recorded.
            self.used.0 = self.used.0 - entry.1.0 + link.charge.0;
            entry.1 = link.charge;
        }
    }

    fn take(&mut self, path: &RelPath) {
        self.absent.remove(path);
        self.held.remove(path);
        if let Some(old) = self.links.remove(path) {
            self.uncharge(old.id.ino);
        }
    }

    fn uncharge(&mut self, ino: u64) {
        if let Some(entry) = self.charged.get_mut(&ino) {
            entry.0 -= 1;
            if entry.0 == 0 {
                self.used.0 -= entry.1.0;
                self.charged.remove(&ino);
            }
        }
    }
}

fn covers(set: &BTreeSet<RelPath>, path: &RelPath) -> bool {
    !set.is_empty() && (set.contains(path) || path.ancestors().iter().any(|a| set.contains(a)))
}

impl World {
    /// Takes a fact in.
    pub fn note(&mut self, fact: &Fact) {
        match fact {
            Fact::Master(path, stat) => {
                self.files.insert(path, *stat);
            }
            Fact::NoMaster(path) => {
                self.files.remove(path);
            }
            Fact::Folder(path) => {
                self.files.insert_dir(path);
            }
            Fact::NoFolder(path) => self.files.remove_dir(path),
            Fact::Version(number, version) => {
                self.versions.insert(*number, version.clone());
            }
            Fact::NoVersion(number) => {
                self.versions.remove(number);
            }
            Fact::Link(device, path, link) => {
                self.latest_use = self.latest_use.max(link.used);
                self.replica(device).put(path, *link);
            }
            Fact::NoLink(device, path) => self.replica(device).take(path),
            Fact::Follow(device, path) => {
                self.replica(device).follows.insert(path.clone());
            }
            Fact::Unfollow(device, path) => {
                self.replica(device).follows.remove(path);
            }
            Fact::Except(device, path) => {
                self.replica(device).exceptions.insert(path.clone());
            }
            Fact::Unexcept(device, path) => {
                self.replica(device).exceptions.remove(path);
            }
            Fact::Pin(device, path) => {
                self.replica(device).pins.insert(path.clone());
            }
            Fact::Unpin(device, path) => {
                self.replica(device).pins.remove(path);
            }
            Fact::Used(device, path, at) => {
                self.latest_use = self.latest_use.max(*at);
                if let Some(link) = self.replica(device).links.get_mut(path) {
                    link.used = link.used.max(*at);
                }
            }
            Fact::NotUsedSince(device, path, at) => {
                if let Some(link) = self.replica(device).links.get_mut(path) {
                    link.used = link.used.min(*at);
                }
            }
            Fact::Evicted(device, evicted) => {
                let all = &mut self.replica(device).evicted;
                all.retain(|old| old.path != evicted.path);
                all.push_front(evicted.clone());
                all.truncate(EVICTED);
            }
            Fact::ChangeRate(device, change_rate) => {
                self.replica(device).change_rate = change_rate.clone();
            }
            Fact::MassChange(device, mass_change) => {
                self.replica(device).mass_change = Some(*mass_change);
            }
            Fact::Resolved(device) => self.replica(device).mass_change = None,
            Fact::Share(name, share) => {
                self.shares.insert(name.clone(), share.clone());
            }
            Fact::NoShare(name) => {
                self.shares.remove(name);
                self.replicas.remove(&Holder::shared(name));
                if let Ok(root) = RelPath::new(name.as_bytes()) {
                    self.shared.remove_dir(&root);
                }
            }
            Fact::Shared(path, id) => {
                self.shared.insert(path, *id);
            }
            Fact::NotShared(path) => {
                self.shared.remove(path);
            }
            Fact::Sum(id, sha1) => {
                self.sums.insert(id.ino, (*id, *sha1));
            }
            Fact::Paired(device, pair) => {
                self.pairs.insert(device.clone(), pair.clone());
            }
            Fact::Unpaired(device) => {
                self.pairs.remove(device);
            }
            Fact::TurnedAway(id, at) => {
                self.turned_away.insert(id.clone(), *at);
            }
            Fact::NotTurnedAway(id) => {
                self.turned_away.remove(id);
            }
            Fact::Answer(..) => {}
        }
    }

    /// What a device holds.
    pub fn device(&self, device: &DeviceName) -> Option<&Replica> {
        self.replicas.get(&Holder::Device(device.clone()))
    }

    /// True while nobody has told what is on its way to a device ([`Replica::untold`]).
    pub fn is_untold(&self, device: &Holder) -> bool {
        self.replicas.get(device).is_some_and(|replica| replica.untold)
    }

    fn replica(&mut self, device: &Holder) -> &mut Replica {
        self.replicas.entry(device.clone()).or_default()
    }

    /// The number of the newest kept content of a master.
    pub fn newest_version(&self, path: &RelPath) -> Option<String> {
        let mut of_path = self.versions.iter().rev().filter(|(_, v)| v.path == *path);
        of_path.next().map(|(number, _)| number.to_string())
    }

    /// True when the one inode was joined to the other just now.
    pub fn was_deduplicated(&self, old: &FileId, new: &FileId) -> bool {
        self.deduplicated.get(&old.ino) == Some(&new.ino)
    }

    /// The sha1 of a content, where it was made.
    pub fn sum(&self, id: &FileId) -> Option<[u8; 20]> {
        self.sums.get(&id.ino).filter(|(of, _)| of == id).map(|(_, sha1)| *sha1)
    }

    /// What lies on another file system and hides a path: itself, or a folder above it.
    pub fn elsewhere_above(&self, path: &RelPath) -> Option<&RelPath> {
        let mut at = Some(path.clone());
        while let Some(here) = at.filter(|_| !self.elsewhere.is_empty()) {
            if let Some(found) = self.elsewhere.get(&here) {
                return Some(found);
            }
            at = here.parent();
        }
        None
    }

    /// True when the path is a folder among the masters.
    pub fn is_folder(&self, path: &RelPath) -> bool {
        self.files.dir(path).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(ino: u64, charge: u64) -> Link {
        Link { id: FileId { ino, ..FileId::default() }, charge: Bytes(charge), used: 0 }
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_inode_is_charged_once_at_its_newest_price() {
        let mut h = Replica::default();
        h.put(&path("a"), link(1, 100));
        h.put(&path("b"), link(1, 150));
        h.put(&path("c"), link(2, 10));
        assert_eq!((h.used(), h.links_of(1)), (Bytes(160), 2));
        h.take(&path("a"));
        assert_eq!((h.used(), h.cost_of(1), h.links_of(1)), (Bytes(160), Bytes(150), 1));
        h.put(&path("b"), link(3, 5));
        assert_eq!(h.used(), Bytes(15));
        h.take(&path("b"));
        h.take(&path("b"));
        h.take(&path("c"));
        assert_eq!((h.used(), h.charged.len()), (Bytes(0), 0));
    }

    #[test]
    fn wants_what_it_follows_but_for_exceptions() {
        let mut h = Replica::default();
        h.follows.insert(path("Photos"));
        h.exceptions.insert(path("Photos/2012"));
        h.exceptions.insert(path("Photos/x"));
        for (at, wanted) in
            [("Photos/a", true), ("Photos/2012/a", false), ("Photos/x", false), ("Music/a", false)]
        {
            assert_eq!(h.wants(&path(at)), wanted, "{at}");
        }
        h.follows = [RelPath::root()].into();
        assert!(h.wants(&path("Music/a")));
    }
}
