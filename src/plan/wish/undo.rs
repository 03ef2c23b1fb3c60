//! [undo]: an old version comes back, and what is there now becomes one.

use super::{Asked, Attempt, Planned};
use crate::plan::{Op, Why, kept, master};

impl Asked<'_> {
    pub(super) fn undo(&self) -> Planned {
        let path = &self.wish.path;
        let wanted = self.wish.with.as_deref();
        let found = self.world.versions.iter().rev().find(|(number, v)| match wanted {
            Some(text) => text == number.to_string() && v.path == *path,
            None => v.path == *path,
        });
        let Some((&number, version)) = found else {
            return match self.attempt {
                Attempt::Again => Planned::done(Vec::new(), format!("{path} is back")),
                Attempt::First => {
                    Planned::refused(format!("no old version of {path} is kept any more"))
                }
            };
        };
        let ops = match self.master() {
            // Cut off between bringing it back and forgetting the version.
            Some(m) if m.id.ino == version.id.ino => vec![Op::DropVersion(number)],
            Some(m) => vec![
                Op::Replace {
                    at: master(path),
                    old: m.id.ino,
                    by: kept(number, path),
                    new: version.id.ino,
                    why: Why::Undone,
                },
                Op::DropVersion(number),
            ],
            None if self.is_folder() => {
                return Planned::refused(format!("a folder is at {path} now; rename it first"));
            }
            None => vec![Op::Restore { version: number, path: path.clone() }],
        };
        Planned::done(ops, format!("{path} is back as it was on {}", version.id.mtime.day()))
    }
}
