//! Carries operations out, one at a time, so that a cut at any moment loses nothing.
//!
//! In comes an [`Op`], out come the [`Fact`]s that hold afterwards. The journal is the drive itself:
//! a content that is between two names lies at `tmp/<number>/<path>`, an old one at
//! `versions/<number>/<path>`, so that [`recover`] knows what it was without asking anybody. A name is
//! never removed where others work: it is renamed into `tmp` first, looked at there, and goes back
//! when it is not what was meant.

mod recover;

pub use recover::{PAGE_IN_TRANSIT, recover, was_read};

use crate::fs::{Entry, FileSystem, FsError};
use crate::model::{Bytes, Holder, Link, Place, RelPath, Spot, Stat, Time, dialect};
use crate::plan::{Evicted, Fact, Op, Version, Why, World, in_transit, kept, master, on};
use recover::{doomed, note_in_transit};

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The drive said no.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// Unlinking would have been the end of the content.
    #[error("{at}: it is the last name of its content, so it stays")]
    LastName {
        /// Which name.
        at: Spot,
    },
}

/// Carries out operations.
#[derive(Debug)]
pub struct Applier {
    /// The number that the next old content, or the next name in transit, gets.
    next: u64,
}

impl Applier {
    /// Starts numbering above everything that was numbered before.
    pub fn new(next: u64) -> Self {
        Self { next }
    }

    /// Does one thing. On an error nothing has changed but what the facts so far say: an operation
    /// is done or not done.
    pub fn apply(
        &mut self,
        fs: &mut dyn FileSystem,
        world: &World,
        op: &Op,
        now: Time,
    ) -> Result<Vec<Fact>, ApplyError> {
        Ok(match op {
            Op::Note(fact) => vec![fact.clone()],
            // The engine makes sums beside its turns.
            Op::Sum { .. } => Vec::new(),
            Op::Release { at, ino, was } => self.release(fs, world, at, *ino, was, now)?,
            Op::RemoveFolder(at) => {
                clear_out(fs, at)?;
                Vec::new()
            }
            Op::Write { at, text } => {
                write(fs, at, text)?;
                Vec::new()
            }
            Op::Erase { at, text } => {
                erase(fs, at, text)?;
                Vec::new()
            }
            Op::MakeDir(at) => {
                fs.make_dir(at)?;
                match at.place {
                    Place::Files => vec![Fact::Folder(at.path.clone())],
                    _ => Vec::new(),
                }
            }
            Op::RemoveDir(at) => match (fs.remove_dir(at)?, &at.place) {
                (true, Place::Files) => vec![Fact::NoFolder(at.path.clone())],
                _ => Vec::new(),
            },
            Op::Link { from, ino, to } => {
                let stat = link(fs, from, *ino, to)?;
                there(world, to, stat, now).into_iter().collect()
            }
            Op::Evict { device, path, ino, except } => {
                let link = world.replicas.get(device).and_then(|h| h.links.get(path));
                let size = Bytes(link.map_or(0, |link| link.id.size));
                let mut facts = self.unlink(fs, world, &on(device, path), *ino)?;
                let evicted = Evicted { path: path.clone(), size, at: now };
                facts.push(Fact::Evicted(device.clone(), evicted));
                // Both or neither: an exception without it would keep what comes to that name away,
                // and it without the exception would be followed back in.
                if *except {
                    facts.push(Fact::Except(device.clone(), path.clone()));
                }
                facts
            }
            Op::Unlink { at, ino } => self.unlink(fs, world, at, *ino)?,
            Op::Replace { at, old, by, new, why } => {
                // What it was goes by the name of its master.
                let home = world.holder_at(at).and_then(|(who, path)| world.home_of(&who, &path));
                let was = home.unwrap_or_else(|| at.path.clone());
                let (stat, kept) = self.replace(fs, (at, *old), (by, *new), (&was, why), now)?;
                let facts = there(world, at, stat, now).into_iter().chain(kept).collect();
                used_as_before(world, at, facts)
            }
            Op::Destroy { path, id, keep } => {
                let at = master(path);
                match fs.stat(&at)? {
                    None => return Ok(vec![Fact::NoMaster(path.clone())]),
                    Some(stat) if stat.id != *id => {
                        return Err(FsError::Changed { at }.into());
                    }
                    Some(_) => {}
                }
                let mut facts = vec![Fact::NoMaster(path.clone())];
                if *keep {
                    let number = self.number();
                    facts.push(keep_at(fs, &at, number, path, Why::Destroyed, now)?);
                } else {
                    // The name in transit says what was decided on, so that a cut before the last
                    // step leaves no doubt whether it is the one.
                    let transit = doomed(id, path);
                    carry(fs, &at, id.ino, &transit)?;
                    fs.unlink(&transit)?;
                    tidy(fs, &transit)?;
                }
                facts
            }
            Op::Rename { from, to, ino } => {
                make_space_for(fs, to)?;
                carry(fs, from, *ino, to)?;
                let gone = match &from.place {
                    Place::Files => Some(Fact::NoMaster(from.path.clone())),
                    _ => gone(world, from),
                };
                let now_there = fs.stat(to)?.and_then(|stat| there(world, to, stat, now));
                used_as_before(world, from, gone.into_iter().chain(now_there).collect())
            }
            Op::Restore { version, path } => {
                let (from, to) = (kept(*version, path), master(path));
                let stat = fs.stat(&from)?.ok_or(FsError::Missing { at: from.clone() })?;
                make_space_for(fs, &to)?;
                carry(fs, &from, stat.id.ino, &to)?;
                tidy(fs, &from)?;
                vec![Fact::Master(path.clone(), stat), Fact::NoVersion(*version)]
            }
            Op::DropVersion(number) => {
                if let Some(version) = world.versions.get(number) {
                    let at = kept(*number, &version.path);
                    match fs.unlink(&at) {
                        Ok(()) | Err(FsError::Missing { .. }) => {}
                        Err(e) => return Err(e.into()),
                    }
                    tidy(fs, &at)?;
                }
                vec![Fact::NoVersion(*number)]
            }
        })
    }

    /// The number that comes next.
    #[cfg(test)]
    pub(crate) fn next_number(&self) -> u64 {
        self.next
    }

    /// Puts a file that lies in one of our own places among the old contents of `path`.
    pub fn keep(
        &mut self,
        fs: &mut dyn FileSystem,
        at: &Spot,
        path: &RelPath,
        why: Why,
        now: Time,
    ) -> Result<Fact, ApplyError> {
        let number = self.number();
        keep_at(fs, at, number, path, why, now)
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    fn unlink(
        &mut self,
        fs: &mut dyn FileSystem,
        world: &World,
        at: &Spot,
        ino: u64,
    ) -> Result<Vec<Fact>, ApplyError> {
        let gone = gone(world, at).into_iter().collect();
        // One fixed name: apply is single-threaded, and recovery empties it.
        let transit = Place::Tmp.at(RelPath::new(b"unlink").unwrap_or_default());
        match carry(fs, at, ino, &transit) {
            Ok(()) => {}
            Err(ApplyError::Fs(FsError::Missing { .. })) => return Ok(gone),
            Err(e) => return Err(e),
        }
        let last = fs.stat(&transit)?.is_some_and(|stat| stat.nlink < 2);
        if last {
            fs.rename(&transit, at)?;
            return Err(ApplyError::LastName { at: at.clone() });
        }
        fs.unlink(&transit)?;
        Ok(gone)
    }

    /// Unlinks a name in a share, or one that a mass change left on a device. A content whose last name it
    /// was becomes an old version: neither destroys anything.
    fn release(
        &mut self,
        fs: &mut dyn FileSystem,
        world: &World,
        at: &Spot,
        ino: u64,
        was: &RelPath,
        now: Time,
    ) -> Result<Vec<Fact>, ApplyError> {
        match self.unlink(fs, world, at, ino) {
            Err(ApplyError::LastName { .. }) => {
                let holder = world.holder_at(at).map(|(holder, _)| holder);
                let stormed = |d: &Holder| world.replicas.get(d)?.mass_change.map(|_| d.clone());
                let why = holder.as_ref().and_then(stormed).map_or(Why::Replaced, Why::Stormed);
                let kept = self.keep(fs, at, was, why, now)?;
                Ok(gone(world, at).into_iter().chain([kept]).collect())
            }
            done => done,
        }
    }

    fn replace(
        &mut self,
        fs: &mut dyn FileSystem,
        (at, old): (&Spot, u64),
        (by, new): (&Spot, u64),
        (was_at, why): (&RelPath, &Why),
        now: Time,
    ) -> Result<(Stat, Option<Fact>), ApplyError> {
        let number = self.number();
        let transit = in_transit(number, was_at);
        let stat = link(fs, by, new, &transit)?;
        if let Err(e) = fs.exchange(&transit, at) {
            fs.unlink(&transit)?;
            tidy(fs, &transit)?;
            return Err(e.into());
        }
        // What was at the name lies in transit now, whatever it was: nothing can be lost any more.
        let was = match fs.look(&transit)? {
            Some(Entry::File(was)) if was.id.ino == old => was,
            _ => {
                fs.exchange(&transit, at)?;
                fs.unlink(&transit)?;
                tidy(fs, &transit)?;
                return Err(FsError::Changed { at: at.clone() }.into());
            }
        };
        let mut kept = None;
        if at.place == Place::Files || was.nlink < 2 {
            let mut fact = keep_at(fs, &transit, number, was_at, why.clone(), now)?;
            if let (Fact::Version(_, version), Place::Files) = (&mut fact, &at.place) {
                version.successor = Some(stat.id);
            }
            kept = Some(fact);
        } else {
            fs.unlink(&transit)?;
        }
        tidy(fs, &transit)?;
        Ok((stat, kept))
    }
}

/// The fact that a file is at a spot now.
fn there(world: &World, at: &Spot, stat: Stat, now: Time) -> Option<Fact> {
    if at.place == Place::Files {
        return Some(Fact::Master(at.path.clone(), stat));
    }
    if let Some((holder, path)) = world.holder_at(at) {
        let link = Link { id: stat.id, charge: stat.charge(), used: now.secs() };
        return Some(Fact::Link(holder, path, link));
    }
    (at.place == Place::Shared).then(|| Fact::Shared(at.path.clone(), stat.id))
}

/// The fact that a link is not at a spot any more.
fn gone(world: &World, at: &Spot) -> Option<Fact> {
    match world.holder_at(at) {
        Some((holder, path)) => Some(Fact::NoLink(holder, path)),
        None => (at.place == Place::Shared).then(|| Fact::NotShared(at.path.clone())),
    }
}

/// What Larder does to a link by itself is no use of it: it was last used when the one at `was` was.
fn used_as_before(world: &World, was: &Spot, mut facts: Vec<Fact>) -> Vec<Fact> {
    let Some((holder, path)) = world.holder_at(was) else { return facts };
    let before = world.replicas.get(&holder).and_then(|h| h.links.get(&path)).map(|l| l.used);
    for fact in &mut facts {
        if let (Fact::Link(_, _, link), Some(used)) = (fact, before) {
            link.used = used;
        }
    }
    facts
}

/// Links, making the folder first when it is not there. That the name means this very file already
/// is as good.
fn link(fs: &mut dyn FileSystem, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, ApplyError> {
    match fs.link(from, ino, to) {
        Err(FsError::Missing { at }) if at == *to => {
            make_space_for(fs, to)?;
            Ok(fs.link(from, ino, to)?)
        }
        Err(FsError::Exists { at }) if at == *to => match fs.stat(to)? {
            Some(stat) if stat.id.ino == ino => Ok(stat),
            _ => Err(FsError::Exists { at }.into()),
        },
        other => Ok(other?),
    }
}

fn make_space_for(fs: &mut dyn FileSystem, at: &Spot) -> Result<(), ApplyError> {
    let folder = at.path.parent().unwrap_or_default();
    Ok(fs.make_dir(&at.place.clone().at(folder))?)
}

/// Renames the file that is inode `ino`; brings back whatever else was there instead.
fn carry(fs: &mut dyn FileSystem, from: &Spot, ino: u64, to: &Spot) -> Result<(), ApplyError> {
    make_space_for(fs, to)?;
    fs.rename(from, to)?;
    match fs.look(to)? {
        Some(Entry::File(stat)) if stat.id.ino == ino => Ok(()),
        _ => {
            fs.rename(to, from)?;
            Err(FsError::Changed { at: from.clone() }.into())
        }
    }
}

/// Puts what is at `at` among the old contents.
fn keep_at(
    fs: &mut dyn FileSystem,
    at: &Spot,
    number: u64,
    path: &RelPath,
    why: Why,
    now: Time,
) -> Result<Fact, ApplyError> {
    let stat = fs.stat(at)?.ok_or(FsError::Missing { at: at.clone() })?;
    let to = kept(number, path);
    make_space_for(fs, &to)?;
    carry(fs, at, stat.id.ino, &to)?;
    let version = Version { path: path.clone(), id: stat.id, at: now, why, successor: None };
    Ok(Fact::Version(number, version))
}

/// Writes a text of ours completely in transit, then gives it its name.
fn write(fs: &mut dyn FileSystem, at: &Spot, text: &str) -> Result<(), ApplyError> {
    if is_text(fs, at, text)? {
        return Ok(());
    }
    let transit = note_in_transit();
    if fs.look(&transit)?.is_some() {
        fs.unlink(&transit)?;
    }
    fs.write_new(&transit, text.as_bytes())?;
    make_space_for(fs, at)?;
    if let Err(e) = fs.rename(&transit, at) {
        fs.unlink(&transit)?;
        return Err(e.into());
    }
    Ok(())
}

/// Takes a text of ours away; what else is there stays.
fn erase(fs: &mut dyn FileSystem, at: &Spot, text: &str) -> Result<(), ApplyError> {
    if !is_text(fs, at, text)? {
        return Ok(());
    }
    let transit = note_in_transit();
    fs.rename(at, &transit)?;
    if is_text(fs, &transit, text)? {
        fs.unlink(&transit)?;
    } else {
        fs.rename(&transit, at)?;
    }
    Ok(())
}

/// True when a file has exactly this text.
pub fn is_text(fs: &mut dyn FileSystem, at: &Spot, text: &str) -> Result<bool, FsError> {
    match fs.read(at, text.len() as u64) {
        Ok(read) => Ok(read.is_some_and(|read| read == text.as_bytes())),
        Err(e) if e.trouble().is_some() => Err(e),
        Err(_) => Ok(false),
    }
}

/// Removes what a sync engine leaves in a folder that it let go of (its marker, its list of what to
/// pass over, what it had half received) and what others planted that has no content (symbolic
/// links, pipes), then the folders of which that was all. Files of other names stay.
fn clear_out(fs: &mut dyn FileSystem, at: &Spot) -> Result<(), ApplyError> {
    for (name, entry) in fs.list(at)?.unwrap_or_default() {
        let Ok(path) = at.path.join(&name) else { continue };
        let here = at.place.clone().at(path);
        let transient = dialect::is_private(&name);
        match entry {
            // What may be a family's stays.
            Entry::Elsewhere => {}
            Entry::File(_) if !transient => {}
            Entry::File(_) | Entry::Other => fs.unlink(&here)?,
            Entry::Dir if !transient => clear_out(fs, &here)?,
            Entry::Dir => {
                let marker = dialect::is_marker(&name);
                for (name, entry) in fs.list(&here)?.unwrap_or_default() {
                    let marker = marker && dialect::is_in_marker(&name);
                    if let (true, Entry::File(_), Ok(path)) = (marker, entry, here.path.join(&name))
                    {
                        fs.unlink(&here.place.clone().at(path))?;
                    }
                }
                fs.remove_dir(&here)?;
            }
        }
    }
    fs.remove_dir(at)?;
    Ok(())
}

/// Removes the empty folders above a name in `tmp` or `versions`.
fn tidy(fs: &mut dyn FileSystem, at: &Spot) -> Result<(), ApplyError> {
    for folder in at.path.ancestors().into_iter().rev() {
        if folder.is_root() || !fs.remove_dir(&at.place.clone().at(folder))? {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::Memory;
    use crate::model::Holder;
    use crate::plan::on;
    use rustix::io::Errno;
    use std::collections::BTreeSet;

    const NOW: Time = Time::from_secs(1_795_428_000);

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn htc() -> Holder {
        Holder::decode("HTCphone").unwrap()
    }

    /// A master, a phone's link of it, a phone's edit, and an unsaved file.
    fn house() -> Memory {
        let mut fs = Memory::new();
        fs.make_dir(&on(&htc(), &RelPath::root())).unwrap();
        let x = fs.put(&master(&path("d/x")), b"x", NOW);
        fs.link(&master(&path("d/x")), x, &on(&htc(), &path("x"))).unwrap();
        fs.put(&master(&path("d/y")), b"y", NOW);
        fs.put(&on(&htc(), &path("d/y")), b"y edited", NOW);
        fs.put(&on(&htc(), &path("new")), b"new", NOW);
        fs.calls = 0;
        fs
    }

    fn ino(fs: &mut Memory, at: &Spot) -> u64 {
        fs.stat(at).unwrap().unwrap().id.ino
    }

    fn ops(fs: &mut Memory) -> Vec<Op> {
        let phone = |p: &str| on(&htc(), &path(p));
        let x = fs.stat(&master(&path("d/x"))).unwrap().unwrap();
        vec![
            Op::Link {
                from: phone("new"),
                ino: ino(fs, &phone("new")),
                to: master(&path("deep/er/new")),
            },
            Op::Replace {
                at: master(&path("d/y")),
                old: ino(fs, &master(&path("d/y"))),
                by: phone("d/y"),
                new: ino(fs, &phone("d/y")),
                why: Why::Edited(htc()),
            },
            Op::Unlink { at: phone("x"), ino: x.id.ino },
            Op::Rename {
                from: phone("new"),
                to: phone("folder/renamed"),
                ino: ino(fs, &phone("new")),
            },
            Op::Destroy { path: path("d/x"), id: x.id, keep: true },
            Op::MakeDir(master(&path("empty"))),
        ]
    }

    fn contents(fs: &Memory) -> BTreeSet<Vec<u8>> {
        fs.contents().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn each_operation_does_what_it_says() {
        let mut fs = house();
        let mut world = World::default();
        let mut applier = Applier::new(1);
        for op in ops(&mut fs) {
            for fact in applier.apply(&mut fs, &world, &op, NOW).unwrap() {
                world.note(&fact);
            }
        }
        let names: Vec<_> = fs.files().map(|(at, _)| at.to_string()).collect();
        assert_eq!(
            names,
            [
                "BTsync/files/d/y",
                "BTsync/files/deep/er/new",
                "BTsync/devices/HTCphone/d/y",
                "BTsync/devices/HTCphone/folder/renamed",
                "BTsyncApp/versions/1/d/y",
                "BTsyncApp/versions/2/d/x",
            ]
        );
        assert_eq!(world.versions[&1].why, Why::Edited(htc()));
        let back = Op::Restore { version: 2, path: path("d/x") };
        applier.apply(&mut fs, &world, &back, NOW).unwrap();
        assert_eq!(fs.content(&master(&path("d/x"))), Some(&b"x"[..]));
    }

    #[test]
    fn of_what_a_sync_engine_leaves_only_its_marker_is_opened() {
        let mut fs = Memory::new();
        let at = |p: &str| on(&htc(), &path(p));
        for name in [
            ".stfolder/syncthing-folder-a7225d.txt",
            ".stfolder.removed-20261123-100000/syncthing-folder-a7225d.txt",
            "d/.stignore",
            "d/film.!sync",
            ".stversions/syncthing-folder-of-ours.txt",
        ] {
            fs.put(&at(name), name.as_bytes(), NOW);
        }
        let sweep = Op::RemoveFolder(on(&htc(), &RelPath::root()));
        Applier::new(1).apply(&mut fs, &World::default(), &sweep, NOW).unwrap();
        let left: Vec<_> = fs.files().map(|(at, _)| at.path.to_string()).collect();
        assert_eq!(left, [".stversions/syncthing-folder-of-ours.txt"]);
    }

    #[test]
    fn nothing_is_lost_wherever_the_power_fails() {
        let before = contents(&house());
        for cut in 0.. {
            let mut fs = house();
            let todo = ops(&mut fs);
            fs.fail_from = Some((cut, Errno::IO));
            let mut world = World::default();
            let mut applier = Applier::new(1);
            let mut failed = false;
            for op in &todo {
                match applier.apply(&mut fs, &world, op, NOW) {
                    Ok(facts) => facts.iter().for_each(|f| world.note(f)),
                    Err(_) => {
                        failed = true;
                        break;
                    }
                }
            }
            assert_eq!(contents(&fs), before, "cut at call {cut}");
            fs.fail_from = None;
            // The ledger forgot everything since the start.
            let (facts, _) = recover(&mut fs, &World::default(), 1, NOW).unwrap();
            assert_eq!(contents(&fs), before, "recovered after a cut at call {cut}");
            assert!(fs.files().all(|(at, _)| at.place != Place::Tmp), "cut at call {cut}");
            let kept_files = fs.files().filter(|(at, _)| at.place == Place::Versions).count();
            let known = facts.iter().filter(|f| matches!(f, Fact::Version(..))).count();
            assert_eq!(kept_files, known, "cut at call {cut}");
            if !failed {
                assert!(cut > 20, "the operations make more calls than {cut}");
                return;
            }
        }
    }

    #[test]
    fn what_is_not_meant_is_left_alone() {
        let mut fs = house();
        let world = World::default();
        let mut applier = Applier::new(1);
        let x = fs.stat(&master(&path("d/x"))).unwrap().unwrap().id;
        let other = crate::model::FileId { size: 99, ..x };
        let before: Vec<_> = fs.files().map(|(at, ino)| (at.clone(), ino)).collect();
        for op in [
            Op::Unlink { at: on(&htc(), &path("x")), ino: 999 },
            Op::Unlink {
                at: on(&htc(), &path("new")),
                ino: ino(&mut fs, &on(&htc(), &path("new"))),
            },
            Op::Destroy { path: path("d/x"), id: other, keep: false },
            Op::Replace {
                at: master(&path("d/y")),
                old: 999,
                by: master(&path("d/x")),
                new: x.ino,
                why: Why::Replaced,
            },
            Op::Rename { from: master(&path("d/x")), to: master(&path("z")), ino: 999 },
        ] {
            assert!(applier.apply(&mut fs, &world, &op, NOW).is_err(), "{op}");
            let after: Vec<_> = fs.files().map(|(at, ino)| (at.clone(), ino)).collect();
            assert_eq!(after, before, "{op}");
        }
    }
}
