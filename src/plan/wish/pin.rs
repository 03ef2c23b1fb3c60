//! [pin] and [unpin]: what never makes room, and what may again.

use super::{Asked, Planned};
use crate::model::Holder;
use crate::plan::{Fact, Op};

impl Asked<'_> {
    pub(super) fn pin(&self, to: &[&Holder]) -> Planned {
        let path = &self.wish.path;
        let mut ops = Vec::new();
        for &device in to {
            let Some(replica) = self.replica(device) else { continue };
            let there = replica.links.get(path).is_some() || replica.links.dir(path).is_some();
            if !there && !replica.follows(path) {
                let label = self.label(device);
                return Planned::refused(format!("{path} is not on {label}; get it first"));
            }
            ops.push(Op::Note(Fact::Pin(device.clone(), path.clone())));
        }
        Planned::done(ops, format!("{path} stays on {}", self.labels(to)))
    }

    pub(super) fn unpin(&self, to: &[&Holder]) -> Planned {
        let path = &self.wish.path;
        let there = to.iter().filter(|device| self.replica(device).is_some());
        let unpin = |device: &&Holder| Op::Note(Fact::Unpin((*device).clone(), path.clone()));
        Planned::done(
            there.map(unpin).collect(),
            format!("{path} may make room on {} when needed", self.labels(to)),
        )
    }
}
