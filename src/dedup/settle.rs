//! The night after: lets go of old inodes that nobody wrote to, and keeps those that somebody did.
//!
//! In come the folders `versions/joined/<batch>`; out come facts about what was kept. An old inode is let
//! go when its bytes have another name: when nothing happened to it, or to what its name means, since its batch was
//! sealed, or else (a power cut left the batch unsealed, or names came and went, such as a device's link that followed
//! the join) when it is equal to what its name means now, or to what it may be elsewhere: after an edit, a version.
//! Whatever else lies there may have been written to by somebody who had found the name before it was exchanged: it
//! gets its name back if that is certain and newer than whatever happened to what the name means now. Or the file that
//! it was joined to was written in place by another name: then this one gets its own content back. Otherwise it is
//! kept as a version, and the name stays as it is.

use super::join::{aside_root, batch_folder, put_back, read_mark};
use super::read::{Begun, Compared, Facts, Opened, compare, open_beneath};
use super::{DedupError, Progress};
use crate::apply::{Applier, ApplyError};
use crate::fs::{Entry, FileSystem as _, FsError, Real};
use crate::lease;
use crate::model::{Place, RelPath, Spot, Time};
use crate::plan::{Fact, Why, master};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::AsFd as _;

/// Frees what was joined `least_age` seconds ago or longer. Call it before a night's first
/// [`super::Job`], and after `apply::recover` at a start.
///
/// Files in use stay for the next night. `begun` is what the call before was stopped at. `elsewhere` tells where a
/// content may lie, too, that had a name at home, a size and an mtime.
pub fn settle(
    drive: &mut Real,
    applier: &mut Applier,
    (now, least_age): (Time, i64),
    (begun, elsewhere): (&mut Option<Begun>, &Elsewhere<'_>),
    stop: &mut dyn FnMut() -> bool,
    tell: &mut dyn FnMut(Fact),
) -> Result<Progress, DedupError> {
    let mut batches: BTreeMap<u64, Option<Time>> = BTreeMap::new();
    let Some(listed) = drive.list_until(&aside_root(), stop)? else {
        return Ok(Progress::Stopped);
    };
    for (name, entry) in listed.unwrap_or_default() {
        if let (Entry::Dir, Some((batch, until))) = (entry, read_mark(&name)) {
            let seal = batches.entry(batch).or_default();
            *seal = until.or(*seal);
        }
    }
    // The exchanges must be on the disk before the old inodes go.
    drive.sync()?;
    let mut work = Work { drive, applier, now, begun, elsewhere, stop, tell };
    for (batch, until) in batches {
        if i64::try_from(batch).is_ok_and(|made| made.saturating_add(least_age) > now.secs()) {
            continue;
        }
        let folder = batch_folder(batch);
        if !work.empty((&folder, until), &folder.path)? {
            return Ok(Progress::Stopped);
        }
        // A power cut may have come between the folder and its mark.
        if let (None, Some(until)) = (work.drive.look(&folder)?, until) {
            let mark = [folder.path.as_bytes(), format!(".{}", until.0).as_bytes()].concat();
            work.drive.remove_dir(&Place::Versions.at(RelPath::new(&mark).unwrap_or_default()))?;
        }
    }
    drive.remove_dir(&aside_root())?;
    drive.sync()?;
    Ok(Progress::Finished)
}

/// Where a content may lie, too: it had that name at home, that size and that mtime.
pub type Elsewhere<'a> = dyn Fn(&RelPath, u64, Time) -> Vec<Spot> + 'a;

/// What became of an old inode.
enum Gone {
    /// Nobody missed it.
    Free,
    /// Its name means it again.
    Back,
    /// It is a version now.
    Kept(Fact),
    /// Somebody has it open for writing.
    InUse,
    Stopped,
}

/// Everything it works with.
struct Work<'a> {
    drive: &'a mut Real,
    applier: &'a mut Applier,
    now: Time,
    /// The comparison that was stopped last.
    begun: &'a mut Option<Begun>,
    elsewhere: &'a Elsewhere<'a>,
    stop: &'a mut dyn FnMut() -> bool,
    tell: &'a mut dyn FnMut(Fact),
}

impl Work<'_> {
    /// Empties a folder as far as that goes, and removes it if it is empty; `false` when told to stop.
    fn empty(
        &mut self,
        (folder, until): (&Spot, Option<Time>),
        path: &RelPath,
    ) -> Result<bool, DedupError> {
        let at = Place::Versions.at(path.clone());
        let Some(listed) = self.drive.list_until(&at, self.stop)? else { return Ok(false) };
        for (name, entry) in listed.unwrap_or_default() {
            if (self.stop)() {
                return Ok(false);
            }
            let Ok(path) = path.join(&name) else { continue };
            match entry {
                Entry::Dir => {
                    if !self.empty((folder, until), &path)? {
                        return Ok(false);
                    }
                }
                Entry::File(_) => {
                    let was = &path.as_bytes()[folder.path.as_bytes().len() + 1..];
                    let was = RelPath::new(was).unwrap_or_default();
                    match self.let_go(&Place::Versions.at(path), &was, until) {
                        Ok(Gone::Stopped) => return Ok(false),
                        Ok(Gone::Kept(fact)) => (self.tell)(fact),
                        Ok(Gone::Free | Gone::Back | Gone::InUse) => {}
                        // One that is not as expected must not keep the others.
                        Err(DedupError::Fs(e)) if e.trouble().is_none() => log::warn!("{e}"),
                        Err(e) => return Err(e),
                    }
                }
                Entry::Elsewhere | Entry::Other => {}
            }
        }
        self.drive.remove_dir(&at)?;
        Ok(true)
    }

    fn let_go(
        &mut self,
        aside: &Spot,
        path: &RelPath,
        until: Option<Time>,
    ) -> Result<Gone, DedupError> {
        let fail = |e| FsError::new(aside, "look at what was joined", e);
        let old = self.open(aside)?;
        match lease::take(old.fd.as_fd()) {
            Ok(()) => {}
            Err(Errno::AGAIN) => return Ok(Gone::InUse),
            Err(e) => return Err(fail(e).into()),
        }
        // Looked at again under the lease.
        let facts = Facts::of(&old.fd).map_err(fail)?;
        let at = master(path);
        let named = self.open(&at).ok();
        let superfluous = match until {
            _ if facts.links > 1 => true,
            // Nobody wrote to it, nor to what the name means.
            Some(until)
                if named
                    .as_ref()
                    .is_some_and(|named| are_unwritten(&facts, &named.facts, until)) =>
            {
                true
            }
            // Unsealed, or names came and went, which changes the ctime too: the bytes tell.
            _ => {
                let found = match self.is_also_at(aside, facts.size, std::slice::from_ref(&at)) {
                    Ok(Some(false)) => {
                        let also = (self.elsewhere)(path, facts.size, facts.mtime);
                        self.is_also_at(aside, facts.size, &also)
                    }
                    found => found,
                };
                match found? {
                    Some(equal) => equal,
                    None => return Ok(Gone::Stopped),
                }
            }
        };
        if superfluous {
            self.drive.unlink(aside)?;
            return Ok(Gone::Free);
        }
        if let Some(named) = named.filter(|n| is_written_last(&facts, until, &n.facts))
            && put_back(self.drive, aside, &at, named.facts.ino)?
        {
            log::warn!("{at}: somebody wrote to it while it was joined; it has that content again");
            return Ok(Gone::Back);
        }
        if let Some(until) = until
            && let Ok(named) = self.open(&at)
            && is_other_one_written(&facts, &named.facts, until)
            && self.has_other_name(&at, path, &named.facts)
            && put_back(self.drive, aside, &at, named.facts.ino)?
        {
            log::warn!("{at}: it changed with an equal file; it has its own content again");
            return Ok(Gone::Back);
        }
        log::warn!(
            "{at}: what was joined is another content than it is now; it is kept as a version"
        );
        match self.applier.keep(self.drive, aside, path, Why::Rescued, self.now) {
            Ok(fact) => Ok(Gone::Kept(fact)),
            Err(ApplyError::Fs(e)) => Err(e.into()),
            Err(ApplyError::LastName { at }) => Err(FsError::Changed { at }.into()),
        }
    }

    fn open(&mut self, at: &Spot) -> Result<Opened, FsError> {
        let folder = self.drive.handle(&at.place.clone().at(RelPath::root()))?;
        let opened = open_beneath(&folder, &at.path).and_then(Opened::new);
        opened.map_err(|e| FsError::new(at, "look at what was joined", e))
    }

    /// Whether what a name means has another name at home, so that nobody loses it when this one is given back.
    fn has_other_name(&mut self, at: &Spot, path: &RelPath, named: &Facts) -> bool {
        let others = (self.elsewhere)(path, named.size, named.mtime);
        let others = others.iter().filter(|other| other.place == Place::Files && *other != at);
        let mut found = false;
        for other in others {
            found |= self.open(other).is_ok_and(|other| other.facts.ino == named.ino);
        }
        found
    }

    /// Whether a content also lies at one of some names; `None` when told to stop.
    fn is_also_at(
        &mut self,
        aside: &Spot,
        size: u64,
        names: &[Spot],
    ) -> Result<Option<bool>, FsError> {
        for at in names {
            let Ok(other) = self.open(at) else { continue };
            if other.facts.size != size {
                continue;
            }
            let old = self.open(aside)?;
            let equal = self.are_equal([old, other]);
            match equal.map_err(|e| FsError::new(aside, "compare what was joined", e))? {
                Some(false) => {}
                found => return Ok(found),
            }
        }
        Ok(Some(false))
    }

    /// Whether two files of one size are equal to the last byte; `None` when told to stop. A large pair goes on
    /// where it was stopped, or it would never come to its end.
    fn are_equal(&mut self, pair: [Opened; 2]) -> Result<Option<bool>, Errno> {
        let mut pair = Vec::from(pair);
        let from = Begun::go_on(self.begun.as_ref(), &pair);
        let compared = compare(&mut pair, vec![vec![0, 1]], from, self.stop, &|_| true);
        pair.iter().for_each(Opened::forget);
        match compared.map_err(|(_, e)| e)? {
            Compared::Equal(sets) => Ok(Some(!sets.is_empty())),
            Compared::Stopped(offset) => {
                *self.begun = Begun::new(&pair, offset, self.now);
                Ok(None)
            }
        }
    }
}

/// True when nothing happened since the seal, to the old inode or to the one that its name means: they were compared
/// before it, to the last byte.
fn are_unwritten(old: &Facts, named: &Facts, until: Time) -> bool {
    let alike = (old.size, old.mtime) == (named.size, named.mtime);
    alike && old.ctime <= until && named.ctime <= until
}

/// True when it was the joined file that was written, by another of its names, and not the old inode: the one is younger
/// than the seal or carries the very mtime of the other, as programs do that set it back.
fn is_other_one_written(old: &Facts, named: &Facts, until: Time) -> bool {
    let alike = (old.size, old.mtime) == (named.size, named.mtime);
    old.mtime <= until && (alike || named.mtime > until) && named.links > 1
}

/// True when the old inode was certainly written to after it was joined, and nothing has happened since to what the
/// name means now. Only then does it get its name back: an edit of the name, another file that was put there or an
/// old content that was brought back is newer than any write before it, however old the mtime that it carries.
///
/// A write sets the mtime to its moment; one that somebody set by hand and that tells less is no proof. The other's
/// ctime is behind every write to it, and behind the moment at which it got the name.
fn is_written_last(old: &Facts, until: Option<Time>, named: &Facts) -> bool {
    // Without a seal nobody knows until when writers were held up.
    let written = until.is_some_and(|until| until < old.mtime) && old.mtime <= old.ctime;
    written && named.mtime < old.mtime && named.ctime < old.mtime && named.links > 1
}
