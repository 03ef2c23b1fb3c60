//! Old contents and the room they take: what goes by day, because the drive needs the room, and what goes
//! in the night, because its time is over.

use super::lookup::LOOKS;
use super::{Engine, EngineError};
use crate::apply::{Applier, ApplyError};
use crate::config::Config;
use crate::fs::{FileSystem, FsError};
use crate::ledger::Ledger;
use crate::model::{Bytes, Time};
use crate::plan::{Op, Running, World, kept, versions};
use crate::status::Condition;
use std::collections::BTreeMap;

/// Weighed again for those that come of age, or where nothing could go: not before so many seconds.
const PAUSE: i64 = 300;
/// That the NAS runs is remembered so often, in seconds.
const REMEMBERED: i64 = 6 * 3_600;
/// The ledger's name for when it ran.
const RUNNING: &str = "running";

impl Engine {
    /// The NAS runs, and it is now. It is remembered now and then only: a drive may be asleep.
    pub(super) fn see_running(&mut self, now: Time) -> Result<(), EngineError> {
        let jumped = self.world.running.look(now);
        if jumped || !(0..REMEMBERED).contains(&now.since(self.running_noted)) {
            self.remember_running(now)?;
        }
        // Nothing is used by a clock that was put back before what it says of all earlier uses is put right.
        loop {
            let back = self.world.take_uses_back(now, LOOKS);
            if back.is_empty() {
                break;
            }
            log::info!("the clock was put back: {} links were used before now", back.len());
            for fact in back {
                self.act(&Op::Note(fact), now)?;
            }
        }
        Ok(())
    }

    /// It is about to stop. What is written last tells a Pi without a network the time at its next start, too.
    pub fn leave(&mut self, now: Time) -> Result<(), EngineError> {
        self.world.running.look(now);
        self.remember_running(now)?;
        Ok(self.ledger.commit()?)
    }

    fn remember_running(&mut self, now: Time) -> Result<(), EngineError> {
        self.running_noted = now;
        // Moments always have a JSON form.
        let text = serde_json::to_string(&self.world.running).unwrap_or_default();
        Ok(self.ledger.set_meta(RUNNING, &text)?)
    }

    /// When it was seen running, as that was remembered.
    pub(super) fn remembered_running(ledger: &Ledger) -> Result<Running, EngineError> {
        let text = ledger.meta(RUNNING)?;
        Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Sees to it that old contents take no more of the drive than they may, and nothing when the drive needs
    /// the room.
    pub(super) fn keep_space(&mut self, now: Time) -> Result<(), EngineError> {
        self.space = self.fs.space()?;
        // What it replaced may be all that is left of a family's pictures.
        let mass_change = versions::mass_change_since(&self.world, &self.config);
        if mass_change.is_none() {
            let mut gone = self.let_go(&versions::overdue(&self.world, &self.config, now), now)?;
            gone += self.keep_share(self.space.total, now)?;
            if gone > 0 {
                self.space = self.fs.space()?;
            }
        }
        let (free, total) = (self.space.free, self.space.total);
        if self.space.no_inodes {
            let what = format!(
                "the drive has {free} free, but its number of files is used up (no inodes left): no file or folder \
                 can be made any more"
            );
            let next = "remove some files or empty folders, however small";
            self.raise_notice("inodes", Condition::DriveFull, now, what, next);
        } else {
            self.clear_notice("inodes");
        }
        if !versions::is_short(free, total) {
            self.in_vain = None;
            self.clear_notice("space");
            return Ok(());
        }
        // Where nothing could go, all are not weighed anew in each turn.
        if self.in_vain.is_some_and(|at| (0..PAUSE).contains(&now.since(at))) {
            return Ok(());
        }
        let weights = weights(&mut *self.fs, &self.world)?;
        let going = versions::make_space(&self.world, free, total, &weights, mass_change);
        if !going.is_empty() {
            log::info!("the drive is nearly full: {} old contents go", going.len());
            if self.let_go(&going, now)? > 0 {
                return Ok(());
            }
        }
        self.in_vain = Some(now);
        let what = format!("only {free} of {total} are left on the drive");
        let next = match mass_change {
            None => "destroy what nobody needs, or use a larger drive",
            Some(_) => {
                "answer first what to make of all that a device changed: until then the old \
                 contents of it stay"
            }
        };
        self.raise_notice("space", Condition::Attention, now, what, next);
        Ok(())
    }

    /// Lets go what is more than the share of old contents; says how many went.
    fn keep_share(&mut self, total: Bytes, now: Time) -> Result<usize, EngineError> {
        let too_much = |world: &World, config: &Config| {
            versions::at_most(world) > versions::allowance(config, total)
        };
        // Looked at one by one only when it matters.
        if self.weigh.is_none_or(|from| now < from) {
            return Ok(0);
        }
        let mut gone = 0;
        if too_much(&self.world, &self.config) {
            let weights = weights(&mut *self.fs, &self.world)?;
            let going = versions::over_their_share(&self.world, &self.config, total, &weights);
            if !going.is_empty() {
                log::info!("old contents take more than their share of the drive");
            }
            gone = self.let_go(&going, now)?;
        }
        // Many that came one by one are not weighed anew for each.
        self.weigh = match too_much(&self.world, &self.config) {
            true => versions::comes_of_age(&self.world, now).map(|at| at.max(now.plus_secs(PAUSE))),
            false => None,
        };
        Ok(gone)
    }

    /// How many went.
    fn let_go(&mut self, going: &[Op], now: Time) -> Result<usize, EngineError> {
        let mut gone = 0;
        for op in going {
            log::info!("{op}");
            gone += usize::from(self.act(op, now)?);
        }
        Ok(gone)
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

/// What each old content takes on the drive, and how many names that has.
fn weights(
    fs: &mut dyn FileSystem,
    world: &World,
) -> Result<BTreeMap<u64, versions::Weight>, FsError> {
    let mut weights = BTreeMap::new();
    for (number, version) in &world.versions {
        match fs.stat(&kept(*number, &version.path)) {
            Ok(Some(stat)) => {
                let bytes = Bytes(u64::from(stat.sectors) * 512);
                let weight = versions::Weight { ino: stat.id.ino, names: stat.nlink, bytes };
                weights.insert(*number, weight);
            }
            Err(e) if e.trouble().is_some() => return Err(e),
            // What can't be looked at frees nothing.
            _ => {}
        }
    }
    Ok(weights)
}

/// Makes room on a drive that is so full that not even the ledger can be written; recovery finds out what went.
pub(super) fn make_space_to_begin(
    fs: &mut dyn FileSystem,
    world: &World,
    config: &Config,
    now: Time,
) -> Result<(), ApplyError> {
    let space = fs.space()?;
    if world.versions.is_empty() || !versions::is_short(space.free, space.total) {
        return Ok(());
    }
    let weights = weights(fs, world)?;
    let mass_change = versions::mass_change_since(world, config);
    for op in versions::make_space(world, space.free, space.total, &weights, mass_change) {
        log::info!("the drive is nearly full: {op}");
        Applier::new(0).apply(fs, world, &op, now)?;
    }
    Ok(())
}
