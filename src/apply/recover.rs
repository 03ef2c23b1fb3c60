//! What is in transit, by its names, and how that is put in order after a cut.

use super::{Applier, ApplyError, keep_at, tidy};
use crate::fs::{Entry, FileSystem};
use crate::model::{FileId, Place, RelPath, Spot, Stat, Time};
use crate::plan::{Fact, NOTE_BEGINS, Replica, Version, Why, World, kept, master, on};
use std::collections::HashSet;

/// A page in transit is the engine's matter: `tmp/page@` and the device's name.
pub const PAGE_IN_TRANSIT: &str = "page@";
const DOOMED: &str = "destroy@";
const NOTE: &str = "note@";

/// Where a text of ours is before it has its name, and before it goes.
pub(super) fn note_in_transit() -> Spot {
    Place::Tmp.at(RelPath::new(NOTE.as_bytes()).unwrap_or_default())
}

/// Where the content of a destroyed master is before it goes.
pub(super) fn doomed(id: &FileId, path: &RelPath) -> Spot {
    let folder = doomed_folder(id);
    let full = [folder.as_bytes(), b"/", path.as_bytes()].concat();
    let path = RelPath::new(&full).or_else(|_| {
        let name = path.name().unwrap_or(b"file");
        RelPath::new(&[folder.as_bytes(), b"/", name].concat())
    });
    // A text of ours and one checked name are a path.
    Place::Tmp.at(path.unwrap_or_default())
}

fn doomed_folder(id: &FileId) -> String {
    format!("{DOOMED}{}@{}@{}", id.ino, id.size, id.mtime.0)
}

/// Puts in order what a cut left in `tmp`, and finds old contents that the ledger does not know.
///
/// A name in `tmp` whose content has another name is superfluous. One that is a content's last name
/// becomes an old version, so that it is kept and can be brought back.
pub fn recover(
    fs: &mut dyn FileSystem,
    world: &World,
    next: u64,
    now: Time,
) -> Result<(Vec<Fact>, Applier), ApplyError> {
    let mut left = Vec::new();
    walk(fs, &Place::Tmp.at(RelPath::root()), &mut left)?;
    let mut old = Vec::new();
    walk(fs, &Place::Versions.at(RelPath::root()), &mut old)?;
    left.retain(|(at, _)| !at.path.as_bytes().starts_with(PAGE_IN_TRANSIT.as_bytes()));
    let numbers = left.iter().chain(&old).filter_map(|(spot, _)| split(&spot.path)).map(|(n, _)| n);
    let numbers = numbers.chain(world.versions.keys().copied());
    // What was answered, and what a mass change begins with, is told by numbers: none is given twice.
    let told = |h: &Replica| {
        h.change_rate.spoken_of.max(h.mass_change.map_or(0, |mass_change| mass_change.first))
    };
    let next = world.replicas.values().map(told).fold(next, u64::max);
    let mut applier = Applier::new(numbers.max().map_or(0, |n| n + 1).max(next));
    let inodes: HashSet<u64> = world.versions.values().map(|v| v.id.ino).collect();
    let mut facts = Vec::new();
    for (at, stat) in &old {
        if let Some((number, path)) = split(&at.path)
            && !world.versions.contains_key(&number)
        {
            let (id, why) = (stat.id, Why::Rescued);
            let version = Version { path, id, at: now, why, successor: None };
            facts.push(rescued(fs, world, &inodes, (number, version))?);
        }
    }
    for (at, stat) in &left {
        // A link in transit and its sibling may both be here: look again at each.
        let folder = at.path.names().next().unwrap_or_default();
        let decided = folder == doomed_folder(&stat.id).as_bytes()
            || folder == was_read(stat.id.ino).as_bytes()
            || folder == NOTE.as_bytes() && is_note(fs, at)?;
        if decided || fs.stat(at)?.is_some_and(|s| s.nlink > 1) {
            fs.unlink(at)?;
        } else {
            let path = match split(&at.path) {
                Some((_, path)) => path,
                None => without_folder(&at.path),
            };
            let number = applier.number();
            log::warn!("{} had lost its name; it is kept as version {number}", path);
            let kept = keep_at(fs, at, number, &path, Why::Rescued, now)?;
            facts.push(match kept {
                Fact::Version(number, version) => rescued(fs, world, &inodes, (number, version))?,
                other => other,
            });
            debug_assert_eq!(stat.nlink, 1, "{at}");
        }
        tidy(fs, at)?;
    }
    sweep(fs, &Place::Tmp.at(RelPath::root()))?;
    let there: HashSet<&Spot> = old.iter().map(|(at, _)| at).collect();
    for (number, version) in &world.versions {
        if !there.contains(&kept(*number, &version.path)) {
            facts.push(Fact::NoVersion(*number));
        }
    }
    Ok((facts, applier))
}

/// What is known of an old content that was found. When somebody had a link of it by our book, and has what is the
/// master now, it was that which took its place: he wrote it, or has got it since. An old content, of which `old` are the
/// inodes, was brought back in its stead: by the answer to a mass change, if a device in one has what was found.
fn rescued(
    fs: &mut dyn FileSystem,
    world: &World,
    old: &HashSet<u64>,
    (number, mut version): (u64, Version),
) -> Result<Fact, ApplyError> {
    let mut id_at = |at: &Spot| match fs.stat(at) {
        Err(e) if e.trouble().is_some() => Err(e),
        // What is no file has no part in this.
        seen => Ok(seen.ok().flatten().map(|stat| stat.id)),
    };
    let other = |now: &FileId| now.ino != version.id.ino;
    let now = id_at(&master(&version.path))?.filter(other);
    if now.is_some_and(|now| old.contains(&now.ino)) {
        let wrote =
            |(_, h): &(&_, &Replica)| h.mass_change.is_some() && h.links_of(version.id.ino) > 0;
        let device = world.replicas.iter().find(wrote).map(|(device, _)| device.clone());
        version.why = device.map_or(Why::Undone, Why::Stormed);
    } else if let Some(now) = now {
        for (holder, at, link) in world.links_for(&version.path) {
            let had = link.id.ino == version.id.ino;
            if had && id_at(&on(holder, &at))?.is_some_and(|has| has.ino == now.ino) {
                version.successor = Some(now);
            }
        }
    }
    Ok(Fact::Version(number, version))
}

/// Removes the empty folders below one.
fn sweep(fs: &mut dyn FileSystem, dir: &Spot) -> Result<(), ApplyError> {
    for (name, entry) in fs.list(dir)?.unwrap_or_default() {
        if let (Entry::Dir, Ok(path)) = (entry, dir.path.join(&name)) {
            let below = dir.place.clone().at(path);
            sweep(fs, &below)?;
            fs.remove_dir(&below)?;
        }
    }
    Ok(())
}

/// A worklist that was read, on its way out.
pub fn was_read(ino: u64) -> String {
    format!("read@{ino}")
}

/// A path without its first folder, if it lies in one.
fn without_folder(path: &RelPath) -> RelPath {
    let bytes = path.as_bytes();
    match bytes.iter().position(|&b| b == b'/') {
        // A part of a checked path is a path.
        Some(i) => RelPath::new(&bytes[i + 1..]).unwrap_or_default(),
        None => path.clone(),
    }
}

/// Number and path of a numbered spot.
fn split(path: &RelPath) -> Option<(u64, RelPath)> {
    let (number, rest) = path.as_bytes().split_at(path.as_bytes().iter().position(|&b| b == b'/')?);
    let number = std::str::from_utf8(number).ok()?.parse().ok()?;
    Some((number, RelPath::new(&rest[1..]).ok()?))
}

fn walk(
    fs: &mut dyn FileSystem,
    dir: &Spot,
    found: &mut Vec<(Spot, Stat)>,
) -> Result<(), ApplyError> {
    for (name, entry) in fs.list(dir)?.unwrap_or_default() {
        let Ok(path) = dir.path.join(&name) else { continue };
        let at = dir.place.clone().at(path);
        match entry {
            Entry::File(stat) => found.push((at, stat)),
            Entry::Dir => walk(fs, &at, found)?,
            Entry::Elsewhere | Entry::Other => {}
        }
    }
    Ok(())
}

/// True for a text of ours, or the beginning of one that a cut left.
fn is_note(fs: &mut dyn FileSystem, at: &Spot) -> Result<bool, ApplyError> {
    let read = fs.read(at, 2 * NOTE_BEGINS.len() as u64)?.unwrap_or_default();
    let both = read.len().min(NOTE_BEGINS.len());
    Ok(read[..both] == NOTE_BEGINS.as_bytes()[..both])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Memory;

    #[test]
    fn many_old_contents_are_found_and_what_is_not_there_is_forgotten() {
        const MANY: u64 = 1_000;
        let (mut fs, mut world) = (Memory::new(), World::default());
        for number in 0..MANY {
            let path = RelPath::new(format!("d/{number}").as_bytes()).unwrap();
            if number % 100 != 7 {
                fs.put(&kept(number, &path), b"old", Time(1));
            }
            if number % 100 != 9 {
                let (id, why) = (FileId::default(), Why::Replaced);
                let version = Version { path, id, at: Time(1), why, successor: None };
                world.note(&Fact::Version(number, version));
            }
        }
        let (facts, applier) = recover(&mut fs, &world, 1, Time(2)).unwrap();
        let (mut found, mut gone) = (Vec::new(), Vec::new());
        for fact in facts {
            match fact {
                Fact::Version(number, _) => found.push(number),
                Fact::NoVersion(number) => gone.push(number),
                other => panic!("{other:?}"),
            }
        }
        found.sort_unstable();
        let every = |first| (first..MANY).step_by(100).collect::<Vec<_>>();
        assert_eq!((found, gone), (every(9), every(7)));
        assert_eq!(applier.next_number(), MANY);
    }
}
