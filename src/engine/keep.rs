//! Old contents and the room they take: what goes by day, because the drive needs the room, and what goes
//! in the night, because its time is over.

use super::{Engine, EngineError};
use crate::apply::{Applier, ApplyError};
use crate::config::Config;
use crate::fs::{FileSystem, FsError};
use crate::model::{Bytes, Time};
use crate::plan::{Op, World, kept, versions};
use crate::status::Condition;
use std::collections::BTreeMap;

/// Weighed again for those that come of age: not before so many seconds.
const PAUSE: i64 = 300;

impl Engine {
    /// Sees to it that old contents take no more of the drive than they may, and nothing when the drive needs
    /// the room.
    pub(super) fn keep_room(&mut self, now: Time) -> Result<(), EngineError> {
        self.space = self.fs.space()?;
        let (free, total) = (self.space.free, self.space.total);
        // What it replaced may be all that is left of a family's pictures.
        let storm = versions::storm_since(&self.world, &self.config);
        if storm.is_none() {
            self.let_go(&versions::overdue(&self.world, &self.config, now), now)?;
            self.keep_share(total, now)?;
        }
        if !versions::is_short(free, total) {
            self.untell("space");
            return Ok(());
        }
        let costs = costs(&mut *self.fs, &self.world)?;
        let going = versions::make_space(&self.world, free, total, &costs, storm, now);
        if going.is_empty() {
            let what = format!("only {free} of {total} are left on the drive");
            let next = match storm {
                None => "destroy what nobody needs, or use a larger drive",
                Some(_) => {
                    "answer first what to make of all that a device changed: until then the old \
                     contents of it stay"
                }
            };
            self.tell("space", Condition::Attention, now, what, next);
            return Ok(());
        }
        log::info!("the drive is nearly full: {} old contents go", going.len());
        self.let_go(&going, now)
    }

    /// Lets go what is more than the share of old contents.
    fn keep_share(&mut self, total: Bytes, now: Time) -> Result<(), EngineError> {
        let too_much = |world: &World, config: &Config| {
            versions::at_most(world) > versions::allowance(config, total)
        };
        // Looked at one by one only when it matters.
        if self.weigh.is_none_or(|from| now < from) {
            return Ok(());
        }
        if too_much(&self.world, &self.config) {
            let costs = costs(&mut *self.fs, &self.world)?;
            let going = versions::over_their_share(&self.world, &self.config, total, &costs, now);
            if !going.is_empty() {
                log::info!("old contents take more than their share of the drive");
            }
            self.let_go(&going, now)?;
        }
        // Many that came one by one are not weighed anew for each.
        let next = versions::comes_of_age(&self.world, now).map(|at| at.max(now.plus_secs(PAUSE)));
        self.weigh = next.filter(|_| too_much(&self.world, &self.config));
        Ok(())
    }

    fn let_go(&mut self, going: &[Op], now: Time) -> Result<(), EngineError> {
        for op in going {
            log::info!("{op}");
            self.act(op, now)?;
        }
        Ok(())
    }

    /// Goes on with what goes in the night; `true` when nothing is left of it.
    pub(super) fn expire(
        &mut self,
        now: Time,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<bool, EngineError> {
        for op in versions::expired(&self.world, &self.config, now) {
            if stop() {
                return Ok(false);
            }
            match self.act(&op, now) {
                Ok(_) => {}
                Err(EngineError::Fs(e)) => return Ok(self.end_night(&e, now)),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// What each old content frees when it goes: nothing when it has another name.
fn costs(fs: &mut dyn FileSystem, world: &World) -> Result<BTreeMap<u64, Bytes>, FsError> {
    let mut costs = BTreeMap::new();
    for (number, version) in &world.versions {
        let stat = match fs.stat(&kept(*number, &version.path)) {
            Ok(stat) => stat,
            Err(e) if e.trouble().is_some() => return Err(e),
            Err(_) => None,
        };
        let alone = stat.filter(|stat| stat.nlink == 1);
        costs.insert(*number, alone.map_or(Bytes(0), |stat| Bytes(u64::from(stat.sectors) * 512)));
    }
    Ok(costs)
}

/// Makes room on a drive that is so full that not even the ledger can be written; recovery finds out what went.
pub(super) fn make_room_to_begin(
    fs: &mut dyn FileSystem,
    world: &World,
    config: &Config,
    now: Time,
) -> Result<(), ApplyError> {
    let space = fs.space()?;
    if world.versions.is_empty() || !versions::is_short(space.free, space.total) {
        return Ok(());
    }
    let costs = costs(fs, world)?;
    let storm = versions::storm_since(world, config);
    for op in versions::make_space(world, space.free, space.total, &costs, storm, now) {
        log::info!("the drive is nearly full: {op}");
        Applier::new(0).apply(fs, world, &op, now)?;
    }
    Ok(())
}
