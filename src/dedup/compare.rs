//! One turn of work: reads, compares and joins class by class.
//!
//! In come the candidates; out go events. Every byte is read once where a class is small: its files are
//! compared in step. Crowds are hashed whole first, so that files with a common beginning are not each
//! compared with each.

use super::extents::{Sharing, share};
use super::group::{self, Candidate, Inode, inodes};
use super::join::{self, Batch, Outcome};
use super::kind::Kind;
use super::known::{self, Known};
use super::read::{self, Begun, Compared, Facts, Opened, PART, Reader};
use super::{DedupError, Event, Job, Join, Left, MUCH, Progress, Way};
use crate::fs::{FsError, Real};
use crate::lease;
use crate::model::{Bytes, RelPath, Stat, Time};
use crate::plan::master;
use rustix::io::Errno;
use std::ops::Range;
use std::os::fd::{AsFd as _, OwnedFd};

/// Most files compared in step: open files, leases and buffers stay few.
const WIDE: usize = 32;
/// Classes, and files whose first part is read, that the drive is asked for ahead.
const AHEAD: usize = 24;
/// Bytes of each file that it is asked for.
const AHEAD_BYTES: u64 = 256 * 1024;

/// Everything one turn works with.
pub(super) struct Work<'a> {
    job: &'a mut Job,
    drive: &'a mut Real,
    reader: Reader<'a>,
    now: Time,
    stop: &'a mut dyn FnMut() -> bool,
    tell: &'a mut dyn FnMut(Event),
    /// The batch that fills, and the one before it: its leases are held until this one is full.
    batches: [Option<Batch>; 2],
    /// The last file was not in the page cache: the next ones are asked for ahead.
    cold: bool,
}

/// Whether to go on.
type Turn = Result<Progress, DedupError>;

impl<'a> Work<'a> {
    pub(super) fn new(
        job: &'a mut Job,
        drive: &'a mut Real,
        reader: Reader<'a>,
        now: Time,
        stop: &'a mut dyn FnMut() -> bool,
        tell: &'a mut dyn FnMut(Event),
    ) -> Self {
        Self { job, drive, reader, now, stop, tell, batches: [None, None], cold: true }
    }

    /// All of a turn. Leaves `found` with what was read of each.
    pub(super) fn all(&mut self, found: &mut Vec<Candidate>) -> Turn {
        let Some(todo) = group::unread(found, self.job.way, self.stop) else {
            return Ok(Progress::Stopped);
        };
        if self.parts(&mut found[..todo])? == Progress::Stopped {
            return Ok(Progress::Stopped);
        }
        // What has a beginning of its own is decided on.
        let alone = |c: &Candidate| {
            known::note(&mut self.job.known, Known::decided(c.mark()));
            if !self.job.dry {
                self.job.learned.compared.push(c.mark());
            }
            self.job.learned.compared.len() < MUCH
        };
        if !group::thin(found, Candidate::like, alone, self.stop) {
            return Ok(Progress::Stopped);
        }
        let Some(classes) = group::classes(found, self.stop) else {
            return Ok(Progress::Stopped);
        };
        let mut asked = 0;
        for (i, class) in classes.iter().enumerate() {
            asked = asked.max(i);
            while self.cold && asked < classes.len().min(i + AHEAD) {
                if self.ask(&mut found[classes[asked].names()], AHEAD_BYTES) == Progress::Stopped {
                    return Ok(Progress::Stopped);
                }
                asked += 1;
            }
            let class = &mut found[class.names()];
            let left = self.left_for_now();
            let much = self.job.learned.compared.len() >= MUCH;
            if much || (self.stop)() || self.class(class)? == Progress::Stopped {
                return Ok(Progress::Stopped);
            }
            for c in &*class {
                self.job.hashed.remove(&c.mark());
                known::note(&mut self.job.known, Known::decided(c.mark()));
            }
            // What was left alone may be another night's.
            if !self.job.dry && self.left_for_now() == left {
                self.job.learned.compared.extend(class.iter().map(Candidate::mark));
            }
            // What is decided on need not be known a second time.
            class.iter_mut().for_each(|c| c.part = None);
        }
        Ok(Progress::Finished)
    }

    /// Lets all leases go.
    pub(super) fn end(&mut self) -> Result<(), DedupError> {
        for batch in [self.batches[1].take(), self.batches[0].take()].into_iter().flatten() {
            self.seal(batch)?;
        }
        Ok(())
    }

    /// Reads first parts, in inode order.
    fn parts(&mut self, found: &mut [Candidate]) -> Turn {
        let (mut at, mut asked) = (0, 0);
        while at < found.len() {
            let names = at..at + group::run(&found[at..], |c| c.ino);
            if self.cold && asked <= at {
                let end = found.len().min(at + AHEAD);
                if self.ask(&mut found[at..end], PART as u64) == Progress::Stopped {
                    return Ok(Progress::Stopped);
                }
                asked = end;
            }
            at = names.end;
            if (self.stop)() {
                return Ok(Progress::Stopped);
            }
            let Some(mut file) = self.open(&found[names.start])? else { continue };
            if found[names.start].is_cold() {
                file.cold = Some(true);
            }
            let part = self.reader.part(&mut file);
            let part = part.map_err(|e| self.trouble(&found[names.start], "read", e))?;
            self.job.report.read += file.facts.size.min(PART as u64);
            self.cold = file.cold == Some(true);
            for c in &mut found[names] {
                c.part = Some(part);
                c.set_cold(file.cold == Some(true));
            }
        }
        Ok(Progress::Finished)
    }

    /// Has the drive fetch the beginnings of files that come next, of no more than are compared in step.
    fn ask(&mut self, found: &mut [Candidate], length: u64) -> Progress {
        let mut files = 0;
        let mut at = 0;
        while at < found.len() && files < WIDE {
            if (self.stop)() {
                return Progress::Stopped;
            }
            let names = at..at + group::run(&found[at..], |c| c.ino);
            (at, files) = (names.end, files + 1);
            // Whatever is the matter with it shows when it is its turn.
            if let Ok(Some(mut file)) = self.reader.open(&found[names.start]) {
                let cold = file.prime(length.min(file.facts.size));
                found[names].iter_mut().for_each(|c| c.set_cold(c.is_cold() || cold));
            }
        }
        Progress::Finished
    }

    /// Compares and joins the names of one class.
    fn class(&mut self, class: &mut [Candidate]) -> Turn {
        if inodes(class).count() <= WIDE || class[0].size <= PART as u64 {
            return self.alike(class);
        }
        for names in inodes(class) {
            if self.job.hashed.contains_key(&class[names.start].mark()) {
                continue;
            }
            let Some(mut file) = self.open(&class[names.start])? else { continue };
            let hash = self.reader.whole(&mut file, self.stop);
            let hash = hash.map_err(|e| self.trouble(&class[names.start], "read", e))?;
            let Some(hash) = hash else { return Ok(Progress::Stopped) };
            self.job.report.read += file.facts.size;
            self.job.hashed.insert(class[names.start].mark(), hash);
        }
        // Only now that all are there: a crowd with hashes of the whole and of the beginning would be told apart
        // by them when it is stopped.
        for c in class.iter_mut() {
            c.part = self.job.hashed.get(&c.mark()).copied().or(c.part);
        }
        class.sort_unstable_by_key(|c| (c.part, c.ino, c.name()));
        let mut rest = class;
        while !rest.is_empty() {
            let (alike, others) = rest.split_at_mut(group::run(rest, |c| c.part));
            rest = others;
            if inodes(alike).nth(1).is_some() && self.alike(alike)? == Progress::Stopped {
                return Ok(Progress::Stopped);
            }
        }
        Ok(Progress::Finished)
    }

    /// Compares what is alike as far as is known, some at a time, each time with the one that the
    /// others joined.
    fn alike(&mut self, class: &[Candidate]) -> Turn {
        let mut rest: Vec<Range<usize>> = inodes(class).collect();
        let mut leader: Option<Range<usize>> = None;
        while !rest.is_empty() {
            let some = rest.len().min(WIDE - usize::from(leader.is_some()));
            let these: Vec<_> = leader.take().into_iter().chain(rest.drain(..some)).collect();
            match self.some(class, &these)? {
                (Progress::Stopped, _) => return Ok(Progress::Stopped),
                (Progress::Finished, keep) => leader = keep.map(|i| these[i].clone()),
            }
        }
        Ok(Progress::Finished)
    }

    /// Compares some files in step and joins the equal ones. Returns the one that has the others' names.
    fn some(
        &mut self,
        class: &[Candidate],
        these: &[Range<usize>],
    ) -> Result<(Progress, Option<usize>), DedupError> {
        let leased = self.job.way == Way::Link && !self.job.dry;
        let mut files = Vec::new();
        // For each file, whose it is in `these`.
        let mut whose = Vec::new();
        let mut kinds: Vec<(Kind, Vec<usize>)> = Vec::new();
        for (i, names) in these.iter().enumerate() {
            if (self.stop)() {
                return Ok((Progress::Stopped, None));
            }
            let c = &class[names.start];
            let Some(mut file) = self.open(c)? else { continue };
            if self.now.since(file.facts.born) < self.job.rules.least_age {
                self.left(Left::Young);
                continue;
            }
            if leased && let Err(e) = lease::take(file.fd.as_fd()) {
                match e {
                    Errno::AGAIN => self.left(Left::InUse),
                    Errno::ACCESS | Errno::PERM => self.left(Left::NotOurs),
                    e => return Err(self.trouble(c, "take a lease on", e)),
                }
                continue;
            }
            if c.is_cold() {
                file.cold = Some(true);
            }
            // Extents can be shared whoever owns the files.
            let kind = match self.job.way {
                Way::Link => Kind::of(&file).map_err(|e| self.trouble(c, "look at", e))?,
                Way::Share => Kind::default(),
            };
            match kinds.iter_mut().find(|(k, _)| *k == kind) {
                Some((_, set)) => set.push(files.len()),
                None => kinds.push((kind, vec![files.len()])),
            }
            files.push(file);
            whose.push(i);
        }
        let alone = kinds.iter().filter(|(_, set)| set.len() < 2).count();
        if kinds.len() > 1 {
            (0..alone).for_each(|_| self.left(Left::Unlike));
        }
        let sets: Vec<_> = kinds.into_iter().map(|(_, set)| set).filter(|s| s.len() > 1).collect();
        if self.job.way == Way::Share && !self.job.dry {
            let names: Vec<_> = whose.iter().map(|&i| &class[these[i].start]).collect();
            return Ok((self.share(&names, &files)?, None));
        }
        let from = Begun::go_on(self.job.begun.take().as_ref(), &files);
        let stays = |f: &Opened| !leased || lease::intact(f.fd.as_fd());
        let compared = read::compare(&mut files, sets, from, self.stop, &stays);
        files.iter().for_each(Opened::forget);
        let compared =
            compared.map_err(|(i, e)| self.trouble(&class[these[whose[i]].start], "read", e))?;
        let sets = match compared {
            Compared::Equal(sets) => sets,
            Compared::Stopped(offset) => {
                self.job.begun = Begun::new(&files, offset, self.now);
                return Ok((Progress::Stopped, None));
            }
        };
        if let Some(first) = files.first() {
            self.job.report.read += first.facts.size * files.len() as u64;
        }
        let mut files: Vec<_> = files.into_iter().map(Some).collect();
        let mut keep = None;
        for set in sets.iter().rev() {
            let names: Vec<_> = set.iter().map(|&f| &class[these[whose[f]].clone()]).collect();
            let mut own: Vec<_> = set.iter().map(|&f| files[f].take()).collect();
            keep = self.set(&names, &mut own)?.map(|i| whose[set[i]]);
        }
        Ok((Progress::Finished, keep))
    }

    /// Joins a set of equal inodes; returns the one that got names last.
    fn set(
        &mut self,
        names: &[&[Candidate]],
        files: &mut [Option<Opened>],
    ) -> Result<Option<usize>, DedupError> {
        let inode = |(names, file): (&&[Candidate], &Option<Opened>)| Inode {
            ino: names[0].ino,
            links: file.as_ref().map_or(u32::MAX, |f| f.facts.links),
            names: names.len() as u32,
        };
        let set: Vec<_> = names.iter().zip(&*files).map(inode).collect();
        let moves = group::arrange(&set, self.job.rules.most_links);
        for _ in moves.len() + 1..set.len() {
            self.left(Left::Links);
        }
        let mut last = Some(0);
        for (from, to) in moves {
            last = Some(to);
            let (Some(old), Some(kept)) = (files[from].take(), &files[to]) else { continue };
            let Some((with, _)) = self.reader.name(&names[to][0]) else { continue };
            let mut joined = Vec::new();
            for c in names[from] {
                let Some((path, _)) = self.reader.name(c) else { continue };
                let saves = if joined.is_empty() { old.facts.sectors * 512 } else { 0 };
                let (with, size) = (with.clone(), c.size);
                let plan = Join { path: path.clone(), with, size, saves: Bytes(saves) };
                if self.job.dry {
                    self.done(&plan);
                    (self.tell)(Event::Found(plan));
                    joined.push(path);
                } else if let Some(stat) = self.one(&plan, &old, kept)? {
                    self.done(&plan);
                    (self.tell)(Event::Joined(plan, stat));
                    joined.push(path);
                }
            }
            if !joined.is_empty() && !self.job.dry {
                // Its names are of another inode now.
                self.job.hashed.remove(&names[from][0].mark());
                self.hold(old.fd, kept.facts.ino, joined)?;
            }
        }
        Ok(last)
    }

    fn done(&mut self, join: &Join) {
        self.job.report.names += 1;
        self.job.report.saved = Bytes(self.job.report.saved.0 + join.saves.0);
    }

    /// Joins one name.
    fn one(
        &mut self,
        plan: &Join,
        old: &Opened,
        kept: &Opened,
    ) -> Result<Option<Stat>, DedupError> {
        let whole = |file: &Opened| {
            lease::intact(file.fd.as_fd())
                && Facts::of(&file.fd).is_ok_and(|now| file.facts.still(&now))
        };
        let batch = match &self.batches[0] {
            Some(batch) => batch.number(),
            None => {
                // Seconds are never negative where files have a day of age.
                let from = u64::try_from(self.now.secs()).unwrap_or(0);
                self.batches[0].insert(Batch::new(self.drive, from)?).number()
            }
        };
        let outcome = join::join(
            self.drive,
            batch,
            (&plan.path, old.facts.ino),
            (&plan.with, kept.facts.ino),
            (&|| whole(old), &|| whole(kept)),
        )?;
        let why = match outcome {
            Outcome::Joined(stat) => return Ok(Some(stat)),
            Outcome::InUse => Left::InUse,
            Outcome::Unkept => Left::Gone,
            Outcome::TooLong => Left::TooLong,
        };
        self.left(why);
        Ok(None)
    }

    fn hold(&mut self, old: OwnedFd, kept: u64, paths: Vec<RelPath>) -> Result<(), DedupError> {
        let Some(batch) = &mut self.batches[0] else { return Ok(()) };
        batch.hold(old, kept, paths);
        if batch.is_full() {
            let full = self.batches[0].take();
            if let Some(before) = std::mem::replace(&mut self.batches[1], full) {
                self.seal(before)?;
            }
        }
        Ok(())
    }

    fn seal(&mut self, batch: Batch) -> Result<(), DedupError> {
        if batch.is_empty() {
            return Ok(());
        }
        for path in batch.seal(self.drive)? {
            log::info!("{}: somebody writes to it, so it is not joined", master(&path));
            self.left(Left::InUse);
            (self.tell)(Event::PutBack(path));
        }
        Ok(())
    }

    /// Lets the files of a class share their extents, each with the first that it is equal to.
    fn share(&mut self, names: &[&Candidate], files: &[Opened]) -> Turn {
        let mut first: Vec<usize> = Vec::new();
        'files: for (i, file) in files.iter().enumerate() {
            for &with in &first {
                if (self.stop)() {
                    return Ok(Progress::Stopped);
                }
                let shared = share(&files[with], file, self.stop);
                for f in [&files[with], file] {
                    f.forget();
                }
                match shared {
                    Ok(Sharing::Differs) => continue,
                    Ok(Sharing::Stopped) => return Ok(Progress::Stopped),
                    Ok(Sharing::Already) => {}
                    Ok(Sharing::Shared) => {
                        let (a, b) = (self.reader.name(names[with]), self.reader.name(names[i]));
                        if let (Some((with, _)), Some((path, _))) = (a, b) {
                            let saves = Bytes(file.facts.sectors * 512);
                            let plan = Join { path, with, size: file.facts.size, saves };
                            self.done(&plan);
                            (self.tell)(Event::Shared(plan));
                        }
                    }
                    Err(e) if join::cannot_share(e) => self.left(Left::Unshared),
                    Err(Errno::TXTBSY | Errno::PERM | Errno::ACCESS) => self.left(Left::InUse),
                    Err(e) => return Err(self.trouble(names[i], "share the extents of", e)),
                }
                continue 'files;
            }
            first.push(i);
        }
        Ok(Progress::Finished)
    }

    fn left(&mut self, why: Left) {
        *self.job.report.left.entry(why).or_default() += 1;
    }

    /// How many files were left alone for a reason that may not hold another night.
    fn left_for_now(&self) -> u64 {
        let why = [Left::InUse, Left::Young, Left::Unlike, Left::NotOurs, Left::Gone];
        why.iter().filter_map(|why| self.job.report.left.get(why)).sum()
    }

    /// Opens a candidate; `None`, and noted, when it is not what it was.
    fn open(&mut self, c: &Candidate) -> Result<Option<Opened>, DedupError> {
        let opened = match self.reader.open(c) {
            Err(Errno::ACCESS | Errno::PERM) => {
                self.left(Left::NotOurs);
                return Ok(None);
            }
            opened => opened.map_err(|e| self.trouble(c, "open", e))?,
        };
        if opened.is_none() {
            self.left(Left::Gone);
        }
        Ok(opened)
    }

    /// An error at a candidate, which is left out from now on.
    fn trouble(&mut self, c: &Candidate, doing: &'static str, e: Errno) -> DedupError {
        known::note(&mut self.job.known, Known::decided(c.mark()));
        let path = self.reader.name(c).map(|(path, _)| path).unwrap_or_default();
        FsError::new(&master(&path), doing, e).into()
    }
}
