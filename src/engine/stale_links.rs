//! Links that stay behind their master for want of room: told of, and brought up to date once there is some.

use super::Engine;
use super::notices::and_more;
use crate::model::{Bytes, Time};
use crate::plan::{Keep, Oldest, Replica, on, stale_link};
use crate::status::Condition;
use std::collections::BTreeMap;

impl Engine {
    /// Looks again at those that have room now, or may not stay any more; tells of the others.
    pub(super) fn tell_behind(&mut self, now: Time) {
        // What each device can have at most, so that not each of them needs a look at all it has.
        let mut rooms: BTreeMap<_, Option<Bytes>> = BTreeMap::new();
        let mut older = Vec::new();
        for name in std::mem::take(&mut self.stale_links) {
            let (device, path) = &name;
            let Some(replica) = self.world.replicas.get(device) else { continue };
            let Some(link) = stale_link(&self.world, device, path) else { continue };
            let quota = self.config.quota(device);
            let most =
                *rooms.entry(device.clone()).or_insert_with(|| Some(self.most(replica, quota?)));
            let fits = most.is_none_or(|most| link.need(replica) <= most)
                && link.room(&self.world, device, path, quota).is_ok();
            if fits || !link.stays() {
                self.dirty.entry(name).or_insert(0);
                continue;
            }
            if !link.equal {
                older.push(on(device, path));
            }
            self.stale_links.insert(name);
        }
        let Some(first) = older.first() else {
            self.clear_notice("behind");
            return;
        };
        let more = and_more(older.len() - 1);
        let what = format!(
            "{first}{more} is older than at home: it is pinned, and the newer one does not fit"
        );
        let next = "unpin something on its page, or raise the quota in larder.toml";
        self.raise_notice("behind", Condition::Attention, now, what, next);
    }

    fn most(&self, replica: &Replica, quota: Bytes) -> Bytes {
        let may_go = Oldest::on(&self.world, replica, Keep::default()).held.may_go;
        Bytes((quota.0 + may_go.0).saturating_sub(replica.used().0))
    }
}
