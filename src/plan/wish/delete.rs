//! [delete]: off a device; what is at home stays.

use super::{Asked, Planned};
use crate::model::Holder;
use crate::plan::folder::delete_folder;
use crate::plan::{Fact, Op, stale_link};

impl Asked<'_> {
    pub(super) fn delete(&self, to: &[&Holder]) -> Planned {
        match self.unlink_from(to) {
            Ok(ops) => Planned::done(
                ops,
                format!("{} is gone from {}; it stays at home", self.wish.path, self.labels(to)),
            ),
            Err(planned) => planned,
        }
    }

    pub(super) fn unlink_from(&self, devices: &[&Holder]) -> Result<Vec<Op>, Planned> {
        let path = &self.wish.path;
        let mut ops = Vec::new();
        for &device in devices {
            let Some(replica) = self.replica(device) else { continue };
            if replica.holds_back(path) {
                return Err(self.not_before_the_word(device));
            }
            if let Some(link) = replica.links.get(path) {
                let Some(gone) = stale_link::let_go(self.world, device, path, link) else {
                    return Err(Planned::waiting(format!(
                        "the copy on {} to be safely at home",
                        self.label(device)
                    )));
                };
                if replica.wants(path) {
                    ops.push(Op::Note(Fact::Except(device.clone(), path.clone())));
                }
                if replica.pins.contains(path) {
                    ops.push(Op::Note(Fact::Unpin(device.clone(), path.clone())));
                }
                ops.push(gone);
            } else if replica.links.dir(path).is_some() || replica.follows(path) {
                ops.extend(delete_folder(self.world, device, path));
            }
        }
        Ok(ops)
    }
}
