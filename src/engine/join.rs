//! Equal files in the engine: joined in slices of the night, or by the owner's word, and followed up: the master is
//! another inode then, so devices' links, shares and sums come along, and nobody is told that anything is new.

use super::night::NOTHING;
use super::{Disturbed, Engine, EngineError, Ours};
use crate::dedup::{self, DedupError, Event, Job, Learned, Progress, Rules};
use crate::model::{Place, RelPath, Spot, Stat, Time, Tree};
use crate::plan::{Fact, World, follow_in_shares, kept, master};
use crate::status::Condition;
use crate::watch::Pending;
use std::cell::{Cell, RefCell};
use std::collections::HashSet;

/// What was joined is let go half a day later: the next night, however the window lies.
const LET_GO_AFTER: i64 = 12 * 60 * 60;
/// So many joined names that devices hold are followed up at a time: their links are replaced in one go.
const HELD: usize = 256;
/// So many events are kept in memory at a time.
const EVENTS: usize = 4_096;
/// So much of what was learned is written between two questions whether to stop.
const LEARNED: usize = 2_048;
/// With so many files that can't be read for reasons of their own, joining is given up for tonight.
const LEFT_OUT: u32 = 100;

/// Where what a name at home meant before it was joined may lie, too: as an old version of it, when it was edited
/// or destroyed since, or by the names that it was joined to.
fn also_at(world: &World, at: &RelPath, size: u64, mtime: Time) -> Vec<Spot> {
    let old = world.versions.iter().rev().filter(|(_, v)| v.path == *at && v.id.size == size);
    let mut also: Vec<Spot> = old.map(|(number, v)| kept(*number, &v.path)).collect();
    if !also.is_empty() {
        // Not all masters are gone through for each that was edited.
        return also;
    }
    let mut inodes = HashSet::new();
    world.files.for_each(Tree::<Stat>::ROOT, |path, stat| {
        if (stat.id.size, stat.id.mtime) == (size, mtime)
            && inodes.insert(stat.id.ino)
            && let Ok(path) = RelPath::new(path)
        {
            also.push(master(&path));
        }
    });
    also
}

impl Engine {
    /// Lets go what was joined the night before.
    pub(super) fn let_go_what_was_joined(
        &mut self,
        now: Time,
        disturbed: &mut Disturbed<'_>,
    ) -> Result<bool, EngineError> {
        let Some(drive) = self.fs.real() else { return Ok(true) };
        let least_age = self.night.least_age.map_or(LET_GO_AFTER, |age| age.clamp(0, LET_GO_AFTER));
        let mut facts = Vec::new();
        let (stop, tell) = (&mut || disturbed(&NOTHING), &mut |fact| facts.push(fact));
        let ended = {
            let world = &self.world;
            let elsewhere = |at: &RelPath, size, mtime| also_at(world, at, size, mtime);
            let known = (&mut self.night.letting_go, &elsewhere as &dedup::Elsewhere<'_>);
            dedup::settle(drive, &mut self.applier, (now, least_age), known, stop, tell)
        };
        for fact in &facts {
            self.remember(fact)?;
        }
        match ended {
            Ok(progress) => Ok(progress == Progress::Finished),
            Err(DedupError::Fs(e)) if e.trouble().is_some() => Ok(self.end_night(&e, now)),
            // One batch that is not as expected must not keep the rest of the night.
            Err(e) => {
                log::warn!("{e}");
                Ok(true)
            }
        }
    }

    /// Joins equal masters, and takes the devices' links along. `told` hears of each that was joined.
    pub(super) fn join_equals(
        &mut self,
        now: Time,
        disturbed: &mut Disturbed<'_>,
        told: &mut dyn FnMut(&Event),
    ) -> Result<bool, EngineError> {
        let Some(drive) = self.fs.real() else { return Ok(true) };
        let mut job = match self.night.job.take() {
            Some(job) => job,
            None => {
                let least_age = self.night.least_age.unwrap_or(Rules::default().least_age);
                let made = Job::new(drive, Rules { least_age, ..Rules::default() });
                let mut job = match made {
                    Ok(job) => job,
                    Err(DedupError::Fs(e)) => return Ok(self.end_night(&e, now)),
                    Err(DedupError::Print(_)) => return Ok(true),
                };
                job.remember(self.ledger.compared()?);
                job
            }
        };
        let Some(drive) = self.fs.real() else { return Ok(true) };
        let world = &self.world;
        let events = RefCell::new(Vec::new());
        let ours: RefCell<HashSet<RelPath>> = RefCell::default();
        let folders: RefCell<HashSet<RelPath>> = RefCell::default();
        let held = Cell::new(0);
        let mut tell = |event: Event| {
            told(&event);
            if let Event::Joined(join, _) = &event {
                held.set(held.get() + world.links_for(&join.path).len());
                folders.borrow_mut().insert(join.path.parent().unwrap_or_default());
                ours.borrow_mut().insert(join.path.clone());
            }
            events.borrow_mut().push(event);
        };
        let is_home = |at: &Spot| at.place == Place::Files;
        let name = |at: &Spot| is_home(at) && ours.borrow().contains(&at.path);
        let within = |at: &Spot| is_home(at) && folders.borrow().contains(&at.path);
        let mut stop = || {
            held.get() >= HELD
                || events.borrow().len() >= EVENTS
                || disturbed(&Ours { name: &name, within: &within })
        };
        let ended = job.run(drive, &world.files, now, &mut stop, &mut tell);
        self.night.joined = job.report().clone();
        let all_told = loop {
            let learned = job.take_learned(LEARNED);
            if learned == Learned::default() {
                break true;
            }
            self.ledger.note_compared(&learned.compared, &learned.outdated)?;
            if disturbed(&Ours { name: &name, within: &within }) {
                break false;
            }
        };
        self.night.job = Some(job);
        self.take_joins(events.into_inner(), now)?;
        match ended {
            Ok(_) if !all_told => Ok(false),
            Ok(Progress::Stopped) => Ok(false),
            Ok(Progress::Finished) => {
                let report = &self.night.joined;
                log::info!("equal files: {report}");
                if report.names > 0 {
                    let what = format!(
                        "equal files are stored once: {} saved in {} names, free from the next night on",
                        report.saved, report.names
                    );
                    self.raise_notice(
                        "dedup",
                        Condition::Ready,
                        now,
                        what,
                        "nothing is to be done",
                    );
                }
                self.night.job = None;
                Ok(true)
            }
            Err(DedupError::Fs(e)) if e.trouble().is_some() => Ok(self.end_night(&e, now)),
            // The job goes on without the file: one that can't be read must not keep all others from being joined.
            Err(DedupError::Fs(e)) => {
                log::warn!("left alone: {e}");
                self.night.left_out += 1;
                Ok(self.night.left_out >= LEFT_OUT)
            }
            Err(DedupError::Print(_)) => Ok(true),
        }
    }

    /// Takes in what was joined: the masters are other inodes, and whoever has a link of one gets the new one.
    pub(super) fn take_joins(&mut self, events: Vec<Event>, now: Time) -> Result<(), EngineError> {
        // The pages say the same as before: they are not written for each slice.
        let stale = std::mem::replace(&mut self.stale, false);
        for event in events {
            match event {
                Event::Joined(join, stat) => {
                    let before = self.world.files.get(&join.path).map(|m| m.id);
                    if let Some(before) = before {
                        self.world.deduplicated.insert(before.ino, stat.id.ino);
                    }
                    self.remember(&Fact::Master(join.path.clone(), stat))?;
                    let Some(before) = before else { continue };
                    if let (Some(sum), None) = (self.world.sum(&before), self.world.sum(&stat.id)) {
                        self.remember(&Fact::Sum(stat.id, sum))?;
                    }
                    for op in follow_in_shares(&self.world, &join.path, before.ino, stat.id.ino) {
                        self.act(&op, now)?;
                    }
                }
                Event::PutBack(path) => {
                    if let Ok(Some(stat)) = self.fs.stat(&master(&path)) {
                        self.remember(&Fact::Master(path, stat))?;
                    }
                }
                Event::Found(_) | Event::Shared(_) => {}
            }
        }
        while self.reconcile(now)? {}
        self.world.deduplicated.clear();
        self.night.unpublished |= std::mem::replace(&mut self.stale, stale);
        Ok(())
    }

    /// True for a fact that says no more than that a content lies elsewhere now.
    pub(super) fn is_deduplicated(&self, fact: &Fact) -> bool {
        let (before, now) = match fact {
            Fact::Link(device, path, link) => {
                let before = self.world.replicas.get(device).and_then(|h| h.links.get(path));
                (before.map(|b| b.id), link.id)
            }
            Fact::Master(path, stat) => (self.world.files.get(path).map(|m| m.id), stat.id),
            _ => return false,
        };
        before.is_some_and(|before| self.world.was_deduplicated(&before, &now))
    }

    /// Joins everything that is equal now, by the owner's word; `told` hears of each. Returns what it saves.
    pub fn join_now(
        &mut self,
        now: Time,
        told: &mut dyn FnMut(&Event),
    ) -> Result<dedup::Report, EngineError> {
        self.night.try_again();
        while !self.join_equals(now, &mut |_| false, told)? && !self.night.has_failed() {
            self.settle_down()?;
        }
        self.stale |= std::mem::take(&mut self.night.unpublished);
        while self.turn(Pending::default(), now)?.more {}
        Ok(self.night.joined.clone())
    }
}
