//! [move]: from one device to others. First it is there, then it is not here.

use super::{Asked, Attempt, Planned};
use crate::model::Holder;
use crate::plan::CHUNK;
use crate::plan::folder::Linked;

impl Asked<'_> {
    pub(super) fn move_on(&self, from: Option<&Holder>, to: &[&Holder]) -> Planned {
        let path = &self.wish.path;
        let Some(from) = from else {
            return Planned::refused("say from which device: this page belongs to no device");
        };
        let targets: Vec<&Holder> = to.iter().copied().filter(|d| *d != from).collect();
        if targets.is_empty() {
            return Planned::refused("choose another device to move it to");
        }
        let at_source = self
            .replica(from)
            .is_some_and(|h| h.links.get(path).is_some() || h.links.dir(path).is_some());
        if !at_source && self.attempt == Attempt::First {
            return Planned::refused(format!("{path} is not on {}", self.label(from)));
        }
        let Linked { mut ops, hollow, missing } = match self.link_to(&targets) {
            Ok(linked) => linked,
            Err(refused) => return refused,
        };
        if !missing.is_empty() {
            return Planned::refused(format!("nothing was moved{missing}"));
        }
        // First there, then not here: the links of this part are made before any is taken away.
        let links = ops.len();
        if links < CHUNK {
            match self.unlink_from(&[from]) {
                Ok(more) => ops.extend(more),
                Err(planned) => return planned,
            }
        }
        let (source, target) = (self.label(from), self.labels(&targets));
        let mut planned = Planned::done(ops, format!("{path} went from {source} to {target}"));
        if links < CHUNK {
            planned.ops.splice(links..links, hollow);
        }
        planned
    }
}
