//! [destroy]: the master and every link go, if they are still what was seen.

use super::{Asked, Attempt, Planned};
use crate::plan::folder::{destroy_folder, seen_folder};
use crate::plan::holder::unlink_or_keep;
use crate::plan::{Op, stale_link};

impl Asked<'_> {
    pub(super) fn destroy(&self) -> Planned {
        let path = &self.wish.path;
        if path.is_root() {
            return Planned::refused("everything at once can't be destroyed; choose a folder");
        }
        if let Some(refused) = self.refused_before_the_word(path) {
            return refused;
        }
        let keep = self.config.undo > 0;
        let Some(m) = self.master() else {
            return match (self.is_folder(), self.attempt) {
                (true, _) => self.destroy_folder(keep),
                (false, Attempt::First) => self.not_there(),
                (false, Attempt::Again) => {
                    Planned::done(Vec::new(), format!("{path} is destroyed"))
                }
            };
        };
        // However often it is begun: the master goes last, so it is still the one that was seen.
        match self.wish.seen {
            None => return Planned::refused(NOT_SEEN),
            Some(seen) if !seen.matches(&m.id) => {
                return Planned::refused(format!("{path} {CHANGED}"));
            }
            Some(_) => {}
        }
        let mut ops = Vec::new();
        for (device, at, link) in self.world.links_for(path) {
            let Some(gone) = stale_link::let_go(self.world, device, &at, &link) else {
                if !self.world.looks_after(self.config, device) {
                    // An older copy on a device that nobody looks after any more.
                    continue;
                }
                return Planned::waiting(format!(
                    "the change that {} made to it to come home",
                    self.label(device)
                ));
            };
            ops.push(gone);
        }
        let devices = match ops.len() {
            0 => String::new(),
            1 => " and on one device".into(),
            n => format!(" and on {n} devices"),
        };
        unlink_or_keep(self.world, path, &mut ops);
        ops.push(Op::Destroy { path: path.clone(), id: m.id, keep });
        Planned::done(ops, format!("{path} is destroyed, at home{devices}"))
    }

    fn destroy_folder(&self, keep: bool) -> Planned {
        let path = &self.wish.path;
        let now = seen_folder(self.world, path);
        match (self.wish.seen, self.attempt) {
            (None, _) => return Planned::refused(NOT_SEEN),
            (Some(seen), Attempt::First) if seen != now => {
                return Planned::refused(format!("{path} {CHANGED}"));
            }
            // A part of it may be destroyed already; what is left can't be more or newer.
            (Some(seen), Attempt::Again) if now.size > seen.size || now.mtime > seen.mtime => {
                return Planned::refused(format!("the rest of {path} {CHANGED}"));
            }
            _ => {}
        }
        match destroy_folder(self.world, self.config, path, keep) {
            Ok(ops) => Planned::done(ops, format!("{path} and all that was in it is destroyed")),
            Err(device) => Planned::waiting(format!(
                "a change that {} made in it to come home",
                self.label(&device)
            )),
        }
    }
}

const NOT_SEEN: &str = "the page did not say what it showed; open the newest page and try again";
const CHANGED: &str =
    "has changed since the page showed it, so nothing was destroyed; look again and decide anew";
