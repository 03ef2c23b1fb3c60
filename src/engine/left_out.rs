//! What lies in the house's folders and is not taken in: links to elsewhere, pipes, what is too deep, names of ours.
//! Never passed over in silence: one notice tells how many there are of each kind, the first of them, and why.

use super::{Engine, EngineError};
use crate::fs::Entry;
use crate::fs::scan::tells_reserved;
use crate::model::{NotTaken, Spot, Time, Untaken, show};
use crate::status::Condition;
use crate::watch::Names;
use std::collections::BTreeMap;

impl Engine {
    /// Notes what a scan from a folder on did not take in.
    pub(super) fn note_not_taken(&mut self, from: &Spot, found: NotTaken) {
        let known = self.not_taken.entry(from.place.clone()).or_default();
        known.forget(from.path.as_bytes());
        known.extend(found);
    }

    /// Looks whether a name is taken in: `true` when it is not, which is noted. What was noted of it before is
    /// forgotten.
    pub(super) fn is_left_out(&mut self, at: &Spot) -> Result<bool, EngineError> {
        if let Some(known) = self.not_taken.get_mut(&at.place) {
            known.forget(at.path.as_bytes());
        }
        let reserved = at.path.name().is_some_and(|name| tells_reserved(&at.place, name));
        let why = match self.fs.look(at) {
            Ok(Some(_)) if reserved => Untaken::Reserved,
            Ok(Some(Entry::Other)) if self.fs.leads_elsewhere(at)? => Untaken::Symlink,
            Ok(Some(Entry::Other)) => Untaken::Special,
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            // That it can't be looked at is told elsewhere.
            Ok(_) | Err(_) => return Ok(reserved),
        };
        self.not_taken.entry(at.place.clone()).or_default().add(at.path.as_bytes(), why);
        Ok(reserved)
    }

    /// A folder is listed anew of which no name below can be a path: what was too deep there may be gone.
    pub(super) fn relist_too_deep(&mut self, folder: &Spot, names: &Names) {
        if *names == Names::All
            && !folder.path.has_room_for(1)
            && let Some(known) = self.not_taken.get_mut(&folder.place)
        {
            known.forget(folder.path.as_bytes());
        }
    }

    /// Notes a name that can't be a path.
    pub(super) fn leave_too_deep(&mut self, folder: &Spot, name: &[u8]) {
        let path = [folder.path.as_bytes(), b"/", name].concat();
        self.not_taken.entry(folder.place.clone()).or_default().add(&path, Untaken::TooDeep);
    }

    /// Tells what is not taken in: of each reason how many there are, and the first.
    pub(super) fn tell_not_taken(&mut self, now: Time) {
        let mut all: BTreeMap<Untaken, (u64, String)> = BTreeMap::new();
        for (place, not_taken) in &self.not_taken {
            for (why, count, first) in not_taken.list() {
                let first = || format!("{}/{}", place.folder(), show(first));
                all.entry(why).or_insert_with(|| (0, first())).0 += count;
            }
        }
        if all.is_empty() {
            self.clear_notice("not taken");
            return;
        }
        let each = all.iter().map(|(why, (count, first))| {
            let first = if *count == 1 { first.clone() } else { format!("the first is {first}") };
            format!("{} ({first})", why.words(*count))
        });
        let what = format!("not taken in: {}", each.collect::<Vec<_>>().join("; "));
        let next = "they stay as they are, on no device and in no list: put the files themselves there, higher up or \
                    under another name";
        self.raise_notice("not taken", Condition::Ready, now, what, next);
    }
}
