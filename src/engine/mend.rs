//! Equal files that are stored once, and then one of their names is written in place: all the names change.
//!
//! Until the night after they were joined, the inode that a join replaced waits in `versions/joined`. From there each
//! name that was not written gets its own content back. Which name was written is known from an event of writing; after
//! a scan or any other event it is not, and then both contents keep a name at home. What is not mended here is by
//! [`crate::dedup::settle`].

use super::{Engine, EngineError};
use crate::dedup::set_aside;
use crate::fs::FileSystem;
use crate::model::{FileId, RelPath, Spot, Stat, Time, Tree};
use crate::plan::{Op, Why, master};
use crate::status::Condition;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// A master with more than one name that was written in place.
#[derive(Clone, Debug)]
pub(super) struct Rewritten {
    /// What it was before.
    was: FileId,
    /// The names it was written by; none when nobody knows.
    by: BTreeSet<RelPath>,
}

/// A name, where its own content waits, and what that is.
type Waiting = (RelPath, Spot, FileId);

impl Engine {
    /// The master of that name is the same inode with another content. By which of its names it was written that does
    /// not tell: whatever led to the look may have nothing to do with it.
    pub(super) fn see_changed(&mut self, path: &RelPath, now: &Stat) {
        let Some(known) = self.world.files.get(path).filter(|_| now.nlink > 1) else { return };
        let new = || Rewritten { was: known.id, by: BTreeSet::new() };
        self.rewritten.entry(now.id.ino).or_insert_with(new);
    }

    /// Somebody wrote through these names. Comes before any other look, while it is known what they were.
    pub(super) fn see_written(
        &mut self,
        written: &BTreeMap<Spot, BTreeSet<Vec<u8>>>,
    ) -> Result<(), EngineError> {
        let all = written.iter().flat_map(|(folder, names)| names.iter().map(move |n| (folder, n)));
        for (folder, name) in all {
            let Ok(path) = folder.path.join(name) else { continue };
            let Some(known) = self.world.files.get(&path).map(|known| known.id) else { continue };
            match self.fs.stat(&master(&path)) {
                Ok(Some(now)) if now.nlink > 1 && now.id.ino == known.ino && now.id != known => {
                    let new = || Rewritten { was: known, by: BTreeSet::new() };
                    self.rewritten.entry(known.ino).or_insert_with(new).by.insert(path);
                }
                Err(e) if e.trouble().is_some() => return Err(e.into()),
                // Whatever it is now is seen by the look at it.
                _ => {}
            }
        }
        Ok(())
    }

    /// The same of everything that a scan found.
    pub(super) fn see_rewritten(&mut self, found: &Tree<Stat>) {
        let known = &self.world.files;
        let rewritten = &mut self.rewritten;
        found.for_each(Tree::<Stat>::ROOT, |path, stat| {
            if stat.nlink > 1
                && let Ok(path) = RelPath::new(path)
                && let Some(was) = known.get(&path).map(|known| known.id)
                && was.ino == stat.id.ino
                && was != stat.id
            {
                let new = || Rewritten { was, by: BTreeSet::new() };
                rewritten.entry(was.ino).or_insert_with(new);
            }
        });
    }

    /// The same of what happened before a start: a name means a file that was written after the name was joined to it, and
    /// its own content still waits.
    pub(super) fn find_rewritten(&mut self) -> Result<(), EngineError> {
        for batch in set_aside(&mut *self.fs)? {
            let name = batch.path.name().and_then(|name| std::str::from_utf8(name).ok());
            let Some(joined) = name.and_then(|name| name.parse::<i64>().ok()) else { continue };
            let found = self.fs.scan(&batch)?.tree;
            let (world, rewritten) = (&self.world, &mut self.rewritten);
            found.for_each(Tree::<Stat>::ROOT, |path, old| {
                let path = path.strip_prefix(batch.path.as_bytes()).and_then(|p| p.get(1..));
                let home = path.and_then(|path| RelPath::new(path).ok());
                let like = |id: &FileId| (id.size, id.mtime) == (old.id.size, old.id.mtime);
                // Whoever was edited since has what it was as an old version.
                let edited = |home: &RelPath| {
                    world.versions.values().any(|kept| kept.path == *home && like(&kept.id))
                };
                if let Some(home) = home
                    && let Some(now) = world.files.get(&home)
                    && (now.nlink > 1 && now.id.ino != old.id.ino)
                    && !like(&now.id)
                    && now.id.mtime.secs() >= joined
                    && !edited(&home)
                {
                    let was = FileId { ino: now.id.ino, ..old.id };
                    let new = || Rewritten { was, by: BTreeSet::new() };
                    rewritten.entry(was.ino).or_insert_with(new);
                }
            });
        }
        Ok(())
    }

    /// Gives names that changed with another one their own content back.
    pub(super) fn give_back(&mut self, now: Time) -> Result<(), EngineError> {
        if self.rewritten.is_empty() {
            return Ok(());
        }
        let known = std::mem::take(&mut self.rewritten);
        let rewritten = known.clone();
        let batches = set_aside(&mut *self.fs)?;
        if batches.is_empty() {
            return Ok(());
        }
        let mut names: HashMap<u64, Vec<RelPath>> = HashMap::new();
        self.world.files.for_each(Tree::<Stat>::ROOT, |path, stat| {
            if rewritten.contains_key(&stat.id.ino)
                && let Ok(path) = RelPath::new(path)
            {
                names.entry(stat.id.ino).or_default().push(path);
            }
        });
        let mut ops: Vec<Op> = Vec::new();
        for (ino, Rewritten { was, by }) in rewritten {
            let names = self.still_named(names.remove(&ino).unwrap_or_default(), ino)?;
            let mut joined: BTreeMap<u64, Vec<Waiting>> = BTreeMap::new();
            let mut others = Vec::new();
            for path in names {
                match waiting(&mut *self.fs, &batches, &path, &was)? {
                    Some(found) => joined.entry(found.2.ino).or_default().push(found),
                    None => others.push(path),
                }
            }
            ops.extend(own_contents(ino, &by, &joined, &others));
        }
        if ops.is_empty() {
            return Ok(());
        }
        // Devices' links are taken to be as they were recorded, or a link that changed along with its master would
        // look like an edit of the device. That is on the disk first. What it does not come to in one go is another
        // turn's, which hears the carrier, too.
        if self.reconcile(now)? {
            self.rewritten = known;
            return Ok(());
        }
        self.settle_down()?;
        for op in &ops {
            if let (true, Op::Replace { at, .. }) = (self.act(op, now)?, op) {
                log::warn!("{at}: it changed with an equal file; it has its own content again");
                let what = format!(
                    "{at} was stored once with an equal file, and that was written to: it has its own content again"
                );
                let next = "nothing is to be done; what was written is kept in the other file";
                self.raise_notice("mended", Condition::Ready, now, what, next);
            }
        }
        Ok(())
    }

    /// Brings what is known of an inode's names up to date; returns those that it still has.
    fn still_named(&mut self, names: Vec<RelPath>, ino: u64) -> Result<Vec<RelPath>, EngineError> {
        let mut still = Vec::new();
        for path in names {
            match self.fs.stat(&master(&path)) {
                Ok(Some(stat)) if stat.id.ino == ino => {
                    if self.world.files.insert(&path, stat).is_none_or(|known| known.id != stat.id)
                    {
                        self.touch(&path);
                        self.stale = true;
                    }
                    still.push(path);
                }
                Err(e) if e.trouble().is_some() => return Err(e.into()),
                _ => {}
            }
        }
        Ok(still)
    }
}

/// Where the content waits that a name had before it was joined, if it was then what `was` says.
fn waiting(
    fs: &mut dyn FileSystem,
    batches: &[Spot],
    path: &RelPath,
    was: &FileId,
) -> Result<Option<Waiting>, EngineError> {
    for batch in batches {
        let full = [batch.path.as_bytes(), b"/", path.as_bytes()].concat();
        let Ok(at) = RelPath::new(&full).map(|full| batch.place.clone().at(full)) else { continue };
        match fs.stat(&at) {
            Ok(Some(old)) if old.id.ino == was.ino => {}
            Ok(Some(old)) => {
                let same = (old.id.size, old.id.mtime) == (was.size, was.mtime);
                return Ok(same.then(|| (path.clone(), at, old.id)));
            }
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            _ => {}
        }
    }
    Ok(None)
}

/// Which names of inode `ino` get back what, when it was written by some of them, or nobody knows by which.
///
/// Names that were joined by one join were one file before (`joined`, by its inode), and so were those that were not
/// joined (`others`).
fn own_contents(
    ino: u64,
    by: &BTreeSet<RelPath>,
    joined: &BTreeMap<u64, Vec<Waiting>>,
    others: &[RelPath],
) -> Vec<Op> {
    let replace = |path: &RelPath, from: &Spot, new: u64| Op::Replace {
        at: master(path),
        old: ino,
        by: from.clone(),
        new,
        why: Why::Replaced,
    };
    let is_written = |names: &[Waiting]| names.iter().any(|(path, ..)| by.contains(path));
    let written = joined.values().find(|names| is_written(names));
    // Somebody has to keep what was written.
    let keeper = match (by.is_empty(), others.is_empty()) {
        (true, true) => joined.keys().next(),
        _ => None,
    };
    let mut ops = Vec::new();
    for (file, names) in joined {
        if !is_written(names) && keeper != Some(file) {
            ops.extend(names.iter().map(|(path, from, old)| replace(path, from, old.ino)));
        }
    }
    if let Some((_, from, old)) = written.and_then(|names| names.first())
        && !others.iter().any(|path| by.contains(path))
    {
        ops.extend(others.iter().map(|path| replace(path, from, old.ino)));
    }
    ops
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Place;

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    /// What is given back, as `name=inode`, when `written` were written of inode 1: `b` was joined to `a`, whose
    /// hard link `a2` is, by the inode 2; `c` and its hard link `c2` by the inode 3.
    fn given(written: &[&str], others: &[&str]) -> Vec<String> {
        let waiting = |name: &str, ino| {
            let aside = Place::Versions.at(path(&format!("joined/7/{name}")));
            (path(name), aside, FileId { ino, ..FileId::default() })
        };
        let joined =
            [(2, vec![waiting("b", 2)]), (3, vec![waiting("c", 3), waiting("c2", 3)])].into();
        let by = written.iter().map(|name| path(name)).collect();
        let others: Vec<_> = others.iter().map(|name| path(name)).collect();
        let shown = |op: Op| match op {
            Op::Replace { at, old: 1, new, .. } => format!("{}={new}", at.path),
            other => panic!("{other}"),
        };
        own_contents(1, &by, &joined, &others).into_iter().map(shown).collect()
    }

    #[test]
    fn whoever_was_not_written_gets_its_own_content() {
        let family: &[&str] = &["a", "a2"];
        assert_eq!(given(&["a"], family), ["b=2", "c=3", "c2=3"]);
        assert_eq!(given(&["a2"], family), ["b=2", "c=3", "c2=3"]);
        assert_eq!(given(&["b"], family), ["c=3", "c2=3", "a=2", "a2=2"]);
        assert_eq!(given(&["c2"], family), ["b=2", "a=3", "a2=3"]);
        assert_eq!(given(&["a", "b"], family), ["c=3", "c2=3"]);
        assert_eq!(given(&["b", "c"], family), ["a=2", "a2=2"]);
        assert_eq!(given(&["a", "b", "c"], family), [""; 0]);
    }

    #[test]
    fn where_nobody_knows_both_contents_keep_a_name() {
        assert_eq!(given(&[], &["a"]), ["b=2", "c=3", "c2=3"]);
        assert_eq!(given(&[], &[]), ["c=3", "c2=3"]);
    }
}
