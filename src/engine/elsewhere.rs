//! What lies on another file system below our folders: mounts, subvolumes, snapshots.
//!
//! Their inode numbers are not ours, so the port hands nothing of them out. They are never descended into, never
//! removed, and told in one notice. What such a thing hides is unread, not gone.

use super::settle::STUCK;
use super::{Engine, EngineError};
use crate::fs::Entry;
use crate::model::{Place, RelPath, Spot, Time};
use crate::plan::master;
use crate::status::Condition;
use crate::watch::Names;

impl Engine {
    /// A folder was scanned: these names in it are all that lie elsewhere.
    pub(super) fn note_elsewhere(&mut self, from: &Spot, found: &[RelPath]) {
        if from.place == Place::Files {
            self.world.elsewhere.retain(|path| !path.is_within(&from.path));
            self.world.elsewhere.extend(found.iter().cloned());
        } else {
            self.hidden.retain(|at| at.place != from.place || !at.path.is_within(&from.path));
            self.hidden.extend(found.iter().map(|path| from.place.clone().at(path.clone())));
        }
    }

    /// A name at home, or a folder above it, was met that lies elsewhere.
    pub(super) fn note_one_elsewhere(&mut self, path: &RelPath) {
        if self.world.elsewhere_above(path).is_some() {
            return;
        }
        let all = path.ancestors().into_iter().chain([path.clone()]).filter(|p| !p.is_root());
        for here in all {
            if matches!(self.fs.look(&master(&here)), Ok(Some(Entry::Elsewhere))) {
                self.world.elsewhere.insert(here);
                return;
            }
        }
    }

    /// Looks again at what lay elsewhere: nobody tells when something is unmounted.
    pub(super) fn look_elsewhere(&mut self, now: Time) -> Result<(), EngineError> {
        if (0..STUCK).contains(&now.since(self.looked_elsewhere)) {
            return Ok(());
        }
        self.looked_elsewhere = now;
        for path in self.world.elsewhere.clone() {
            let still = matches!(self.fs.look(&master(&path)), Ok(Some(Entry::Elsewhere)));
            if let (false, Some(folder), Some(name)) = (still, path.parent(), path.name()) {
                self.world.elsewhere.remove(&path);
                self.look_home(&folder, &Names::Some([name.to_vec()].into()), now)?;
            }
        }
        let mut back = Vec::new();
        for at in self.hidden.clone() {
            if !matches!(self.fs.look(&at), Ok(Some(Entry::Elsewhere))) {
                self.hidden.remove(&at);
                back.extend(self.world.holder_at(&at).map(|(holder, _)| holder));
            }
        }
        for holder in back {
            self.scan_device(&holder, now)?;
        }
        Ok(())
    }

    /// Tells of all that lies elsewhere.
    pub(super) fn tell_elsewhere(&mut self, now: Time) {
        let home = self.world.elsewhere.iter().map(master);
        let all = home.chain(self.hidden.iter().cloned());
        let Some(first) = all.min() else {
            self.clear_notice("elsewhere");
            return;
        };
        let number = self.world.elsewhere.len() + self.hidden.len();
        let why = "another file system (a mount, a subvolume or a snapshot)";
        let what = match number {
            1 => format!("{first} lies on {why}: nothing in it is taken in or changed"),
            n => format!(
                "{n} names lie on {why}, the first is {first}: nothing in them is taken in or changed"
            ),
        };
        let next = "to have it in the catalogue, copy what you want of it into an ordinary folder in BTsync/files";
        self.raise_notice("elsewhere", Condition::Ready, now, what, next);
    }
}
