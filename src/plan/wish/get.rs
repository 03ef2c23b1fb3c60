//! [get] and [open]: what a device has, and what it used last.

use super::{Asked, Planned};
use crate::model::{Bytes, Holder};
use crate::plan::folder::{Linked, is_empty};
use crate::plan::{Fact, Op};

impl Asked<'_> {
    pub(super) fn get(&self, to: &[&Holder]) -> Planned {
        match self.link_to(to) {
            Ok(Linked { ops, hollow, missing }) => {
                let what = match is_empty(self.world, &self.wish.path) {
                    true => format!(
                        "{} has no files in it yet; {} gets the empty folder, and what comes into it from now on",
                        self.what(),
                        self.labels(to)
                    ),
                    false => format!("{} is on its way to {}", self.what(), self.labels(to)),
                };
                let mut planned = Planned::done(ops, what + &missing);
                // They come with the last part.
                if !planned.more {
                    planned.ops.extend(hollow);
                }
                planned
            }
            Err(refused) => refused,
        }
    }

    fn what(&self) -> String {
        match (self.wish.path.is_root(), self.master()) {
            (true, _) => "everything".into(),
            (_, Some(m)) => format!("{} ({})", self.wish.path, Bytes(m.id.size)),
            _ => self.wish.path.to_string(),
        }
    }

    pub(super) fn open(&self, to: &[&Holder]) -> Planned {
        // A device whose clock runs ahead must not make its files the last to go for ever.
        let at = self.wish.at.min(self.now).secs();
        let used = |&&device: &&&Holder| {
            self.replica(device).is_some_and(|h| h.links.get(&self.wish.path).is_some())
        };
        let note =
            |device: &&Holder| Op::Note(Fact::Used((*device).clone(), self.wish.path.clone(), at));
        Planned::done(to.iter().filter(used).map(note).collect(), "noted")
    }
}
