//! Masters that mean again what they meant before a mass change, wherever they are by now. Pure.

use super::MassChange;
use crate::model::{FileId, Holder, RelPath, Stat};
use crate::plan::{CHUNK, Fact, LinkName, Op, Version, Why, World, kept, master, moved_masters};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What a device wrote over a master since its mass change began.
struct Change<'w> {
    /// What was there before, and its number.
    number: u64,
    was: &'w Version,
    /// What took its place: by the device, by a cut in the middle of that, by other mass changes. `None`: not known.
    wrote: Vec<Option<FileId>>,
    /// Somebody else changed it since, so it is left alone.
    changed: bool,
    /// An answer has turned it back, to this or to something else.
    turned: bool,
    /// Old contents that are a part of it, of what a mass change wrote and overwrote again.
    parts: Vec<(u64, &'w Version)>,
}

/// What becomes of it.
enum Turn<'w> {
    /// What was written lies here: it goes for what was there before.
    Back(RelPath, &'w Stat),
    /// What was there before gets the name that it had.
    Restore,
    /// It is back already, and a cut came before its old content was forgotten.
    Already,
    /// Something else is there.
    Left,
    /// It is nobody's any more, or another answer turned it back.
    Over,
}

/// Plans that masters which the device replaced since the mass change began mean again what they meant before. What was
/// renamed at home since is found by what the device wrote; what is nowhere comes back under its old name. Says which
/// could not be turned back, because something else has their place.
pub(super) fn roll_back(
    world: &World,
    device: &Holder,
    mass_change: &MassChange,
    ops: &mut Vec<Op>,
) -> BTreeSet<RelPath> {
    let mut chains: BTreeMap<&RelPath, Vec<(u64, &Version)>> = BTreeMap::new();
    let mut put_away = HashMap::new();
    for (number, version) in world.versions.range(mass_change.first..) {
        chains.entry(&version.path).or_default().push((*number, version));
        put_away.insert(version.id.ino, (*number, version));
    }
    let changes = chains.values().filter_map(|chain| Change::of(world, device, chain));
    let mut changes: Vec<Change<'_>> = changes.collect();
    changes.iter_mut().for_each(|change| change.go_on(world, device, &put_away));
    let parts: HashSet<u64> =
        changes.iter().flat_map(|change| change.parts.iter().map(|(number, _)| *number)).collect();
    changes.retain(|change| !parts.contains(&change.number));
    // The night may have joined what was written here to what was written there. Of another size it is somebody
    // else's, in place or by an inode that was free again; another time is no change of it.
    let written: Written =
        changes.iter().flat_map(|c| c.wrote.iter().flatten().map(|id| (id.ino, id.size))).collect();
    let moved = moved(world, device, &changes, &written);
    let (mut left, mut taken) = (BTreeSet::new(), HashSet::new());
    for change in &changes {
        if ops.len() >= CHUNK {
            break;
        }
        let (number, was) = (change.number, change.was);
        let now = moved.get(&(device.clone(), was.path.clone()));
        let turn = change.turn(world, now, &put_away, &written);
        if matches!(turn, Turn::Back(..) | Turn::Restore | Turn::Already) {
            // First: once it is back, nothing tells any more that they were parts of it.
            ops.extend(change.disown(device));
        }
        match turn {
            // Two that would be at one name: the other is another part's.
            Turn::Back(at, m) if taken.insert(at.clone()) => {
                ops.push(Op::Replace {
                    at: master(&at),
                    old: m.id.ino,
                    by: kept(number, &was.path),
                    new: was.id.ino,
                    why: Why::Stormed(device.clone()),
                });
                ops.push(Op::DropVersion(number));
            }
            Turn::Restore if taken.insert(was.path.clone()) => {
                ops.push(Op::Restore { version: number, path: was.path.clone() });
            }
            Turn::Already => ops.push(Op::DropVersion(number)),
            Turn::Left => drop(left.insert(was.path.clone())),
            Turn::Back(..) | Turn::Restore | Turn::Over => {}
        }
    }
    left
}

/// Where those went that are not at their names any more: one walk over all masters.
fn moved(
    world: &World,
    device: &Holder,
    changes: &[Change<'_>],
    written: &Written,
) -> HashMap<LinkName, RelPath> {
    let missing = changes.iter().filter(|change| change.there(world, written).is_none());
    let missing = missing
        .filter_map(|change| Some(((device.clone(), change.was.path.clone()), change.last()?.ino)));
    moved_masters(world, &missing.collect::<Vec<_>>(), |_| true)
}

/// True for what a mass change wrote over an old content: that of the device, or of another one. What was found after a cut
/// is nobody's reason to leave anything.
fn is_mass_change(world: &World, device: &Holder, number: u64, version: &Version) -> bool {
    match &version.why {
        Why::Edited(other) => {
            let mass_change = world.replicas.get(other).and_then(|h| h.mass_change);
            other == device || mass_change.is_some_and(|mass_change| number >= mass_change.first)
        }
        why => matches!(why, Why::Rescued | Why::Overwrote(_)),
    }
}

/// The same content, as far as that is seen: another time alone is no change of it.
fn same(a: &FileId, b: &FileId) -> bool {
    (a.ino, a.size) == (b.ino, b.size)
}

/// What mass changes wrote: inodes and sizes.
type Written = HashSet<(u64, u64)>;

/// All old contents since a mass change began, by their inodes, with their numbers.
type PutAway<'w> = HashMap<u64, (u64, &'w Version)>;

impl<'w> Change<'w> {
    /// The change that a device made, from all old contents of one name since the mass change began.
    fn of(world: &World, device: &Holder, chain: &[(u64, &'w Version)]) -> Option<Self> {
        let edited = |v: &Version| matches!(&v.why, Why::Edited(d) if d == device);
        // Found after a cut: what took its place is what the device has, or had when it wrote again.
        let has = |ino| world.replicas.get(device).is_some_and(|h| h.links_of(ino) > 0);
        let rescued = |v: &Version| {
            let wrote = v.successor.filter(|_| v.why == Why::Rescued);
            let again = |ino| chain.iter().any(|(_, v)| v.id.ino == ino && edited(v));
            wrote.is_some_and(|id| has(id.ino) || again(id.ino))
        };
        let stormy = |number: u64, v: &Version| is_mass_change(world, device, number, v);
        let turned = |v: &Version| matches!(v.why, Why::Stormed(_));
        let first = chain.iter().position(|(_, v)| edited(v) || rescued(v))?;
        let (number, was) = chain[first];
        let since = || chain[first..].iter().copied();
        let wrote: Vec<Option<FileId>> =
            since().filter(|(n, v)| stormy(*n, v)).map(|(_, v)| v.successor).collect();
        // Written over it in place, before the mass change had it again.
        let others =
            |v: &Version| wrote.iter().flatten().any(|id| id.ino == v.id.ino && !same(id, &v.id));
        Some(Self {
            number,
            was,
            changed: since().any(|(n, v)| others(v) || (!stormy(n, v) && !turned(v))),
            wrote,
            turned: since().any(|(_, v)| turned(v)),
            parts: since().skip(1).filter(|(n, v)| stormy(*n, v)).collect(),
        })
    }

    /// Follows what it wrote to other names, where a mass change overwrote that.
    fn go_on(&mut self, world: &World, device: &Holder, put_away: &PutAway<'w>) {
        let mut newest = self.number;
        while let Some((number, version)) = self.last().and_then(|id| put_away.get(&id.ino)) {
            let goes_on = *number > newest && version.path != self.was.path;
            if !goes_on || !is_mass_change(world, device, *number, version) {
                break;
            }
            // What is not known leads nowhere.
            let Some(wrote) = version.successor else { break };
            newest = *number;
            self.parts.push((newest, version));
            self.wrote.push(Some(wrote));
        }
    }

    /// Notes of what a mass change wrote, and overwrote again, that it is no content to turn back to.
    fn disown(&self, device: &Holder) -> impl Iterator<Item = Op> {
        let wrote = |v: &Version| {
            let known = self.wrote.iter().flatten().any(|id| same(id, &v.id));
            matches!(v.why, Why::Edited(_)) && (known || self.wrote.contains(&None))
        };
        let theirs = self.parts.iter().filter(move |(_, v)| wrote(v));
        theirs.map(|(number, version)| {
            let why = Why::Overwrote(device.clone());
            Op::Note(Fact::Version(*number, Version { why, ..(*version).clone() }))
        })
    }

    /// What was written last, as far as that is known.
    fn last(&self) -> Option<FileId> {
        self.wrote.last().copied().flatten()
    }

    /// The master, while it is still what was written.
    fn there(&self, world: &'w World, written: &Written) -> Option<&'w Stat> {
        let m = world.files.get(&self.was.path)?;
        let unknown = self.wrote.contains(&None) && !self.turned;
        (unknown || written.contains(&(m.id.ino, m.id.size))).then_some(m)
    }

    /// What becomes of it. `moved` is where a master means what was written last, should it not be at its name;
    /// `written` is all that was written.
    fn turn(
        &self,
        world: &'w World,
        moved: Option<&RelPath>,
        put_away: &PutAway<'_>,
        written: &Written,
    ) -> Turn<'w> {
        let path = &self.was.path;
        let means = |at: &RelPath| world.files.get(at).is_some_and(|m| m.id.ino == self.was.id.ino);
        if means(path) {
            return Turn::Already;
        }
        let here = world.files.get(path);
        if self.changed {
            // Of what was destroyed nothing is left to turn back.
            return if here.is_some() { Turn::Left } else { Turn::Over };
        }
        if let Some(m) = self.there(world, written) {
            return Turn::Back(path.clone(), m);
        }
        let last = self.last();
        // Its inode may be another file's by now.
        let at = moved.and_then(|at| Some((at, world.files.get(at)?)));
        if let Some((at, m)) = at.filter(|(_, m)| Some(m.id) == last) {
            return Turn::Back(at.clone(), m);
        }
        if let Some((_, away)) = last.and_then(|id| put_away.get(&id.ino)) {
            if means(&away.path) {
                return Turn::Already;
            }
            // An old content is there again, by an answer or by somebody's wish.
            if matches!(away.why, Why::Stormed(_) | Why::Undone) {
                return Turn::Over;
            }
        }
        let in_the_way = |above: &RelPath| world.files.get(above).is_some();
        match here {
            None if !world.is_folder(path) && !path.ancestors().iter().any(in_the_way) => {
                Turn::Restore
            }
            _ if self.turned => Turn::Over,
            _ => Turn::Left,
        }
    }
}
