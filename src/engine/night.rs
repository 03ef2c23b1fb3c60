//! The night's work: what `plan::night` decides, done in slices between the turns.
//!
//! A slice works until it is disturbed, until its task is done, or until what it did is to be followed up; what is
//! begun is kept for the next slice. What can't be read ends the night and is told: a drive that begins to fail
//! is not to be read from end to end.

use super::notices::and_more;
use super::shares::Summing;
use super::verify::{Finding, Known, Verification};
use super::{Engine, EngineError};
use crate::dedup::{Begun, Job, Report};
use crate::fs::{FsError, Trouble};
use crate::model::{DirId, FileId, RelPath, Spot, Stat, Time, Tree};
use crate::plan::night::{Task, Todo, Tonight, night};
use crate::status::Condition;
use crate::watch::Pending;
use jiff::tz::TimeZone;
use std::collections::{BinaryHeap, VecDeque};

/// Sums are made ahead of files from this size on. A share of smaller ones is made at once.
const SUMS_FROM: u64 = 1 << 20;
/// So many files are chosen at a time to be summed.
const CHOSEN: usize = 256;
/// The ledger's name for what was done tonight.
const TONIGHT: &str = "night";

/// Asked again and again whether something else is to be done; told which names are changed by the work itself.
pub type Disturbed<'a> = dyn FnMut(&Ours<'_>) -> bool + 'a;

/// What the work in progress changes on the drive by itself.
pub struct Ours<'a> {
    /// This name.
    pub name: &'a dyn Fn(&Spot) -> bool,
    /// Names in this folder.
    pub within: &'a dyn Fn(&Spot) -> bool,
}

/// Nothing on the drive that anybody watches.
pub(super) const NOTHING: Ours<'_> = Ours { name: &|_| false, within: &|_| false };

/// What is known of the night beside the world.
pub(super) struct Night {
    zone: TimeZone,
    tonight: Tonight,
    /// When something last moved.
    stirred: Time,
    /// What is to be done now.
    task: Option<Task>,
    /// How old files must be at least; the rules' own when there is nothing here.
    pub(super) least_age: Option<i64>,
    pub(super) job: Option<Job>,
    /// What was joined and is compared before it goes. It holds over the nights: the files' facts tell.
    pub(super) letting_go: Option<Begun>,
    /// What the last job did.
    pub(super) joined: Report,
    /// Files that the job left out because something was the matter with them alone.
    pub(super) left_out: u32,
    /// The sum in the making. Those that somebody waits for are made by day.
    summing: Option<Summing>,
    /// Files to be summed next, and the inode up to which they were chosen.
    chosen: VecDeque<(RelPath, FileId)>,
    chosen_to: u64,
    verification: Verification,
    ledger_is_verified: bool,
    /// What was found was put right, and is looked at once more.
    again: bool,
    /// The next turn looks at everything, because of what was found.
    pub(super) look_at_all: bool,
    /// The pages do not show yet what was joined.
    pub(super) unpublished: bool,
}

impl Night {
    /// As it was remembered.
    pub(super) fn new(remembered: Option<&str>, now: Time) -> Self {
        let tonight = remembered.and_then(|text| serde_json::from_str(text).ok());
        Self {
            zone: TimeZone::UTC,
            tonight: tonight.unwrap_or_default(),
            stirred: now,
            task: None,
            least_age: None,
            job: None,
            letting_go: None,
            joined: Report::default(),
            left_out: 0,
            summing: None,
            chosen: VecDeque::new(),
            chosen_to: 0,
            verification: Verification::default(),
            ledger_is_verified: false,
            again: false,
            look_at_all: false,
            unpublished: false,
        }
    }

    /// Something moved: what was verified may be otherwise by now.
    pub(super) fn stir(&mut self, now: Time) {
        self.stirred = now;
        self.verification = Verification::default();
    }

    /// Somebody wants the drive for himself: nothing is otherwise than it was.
    fn make_way(&mut self, now: Time) {
        self.stirred = now;
    }

    /// The time zone of the house.
    pub(super) fn live_in(&mut self, zone: &str) {
        // The settings know only zones that there are.
        self.zone = TimeZone::get(zone).unwrap_or(TimeZone::UTC);
    }

    /// True while there is night work to do.
    pub(super) fn is_working(&self) -> bool {
        self.task.is_some()
    }

    /// True after the drive failed.
    pub(super) fn has_failed(&self) -> bool {
        self.tonight.failed
    }

    /// What failed before may work by now: somebody asks for it.
    pub(super) fn try_again(&mut self) {
        self.tonight.failed = false;
    }

    /// Lets go what only this night needs.
    fn end(&mut self) {
        self.job = None;
        self.left_out = 0;
        self.summing = None;
        self.chosen = VecDeque::new();
        self.chosen_to = 0;
        self.verification = Verification::default();
        self.ledger_is_verified = false;
        self.again = false;
    }
}

impl Engine {
    /// Decides whether there is night work to do now, and which.
    pub fn plan_night(&mut self, now: Time) -> Result<Option<Task>, EngineError> {
        // A clock that was set back must not keep it waiting.
        if self.is_busy(now) || now < self.night.stirred {
            self.night.stir(now);
        }
        let quiet = now.since(self.night.stirred);
        let state = &self.night;
        let (tonight, todo) = night(now, &self.config.night, &state.zone, quiet, &state.tonight);
        let task = match todo {
            Todo::Work(task) => Some(task),
            _ => None,
        };
        if tonight.night != self.night.tonight.night
            || matches!(todo, Todo::Day | Todo::Done | Todo::Failed)
        {
            self.night.end();
        }
        if task.is_none() {
            self.stale |= std::mem::take(&mut self.night.unpublished);
        }
        if task != self.night.task {
            match (task, todo) {
                (Some(task), _) => log::info!("in the night: {task}"),
                (None, Todo::Busy) => log::info!("the night's work waits: something moves"),
                (None, _) => log::info!("the night's work is over"),
            }
        }
        self.night.task = task;
        if tonight != self.night.tonight {
            self.night.tonight = tonight;
            self.remember_night()?;
        }
        Ok(task)
    }

    /// A file is read from the drive for somebody, such as a film over the network: the night's work rests until
    /// that is over.
    pub fn others_read(&mut self, now: Time) {
        self.night.make_way(now);
    }

    fn remember_night(&mut self) -> Result<(), EngineError> {
        // A day, names and switches always have a JSON form.
        let text = serde_json::to_string(&self.night.tonight).unwrap_or_default();
        self.ledger.set_meta(TONIGHT, &text)?;
        self.settle_down()
    }

    /// What was done tonight, as it was remembered.
    pub(super) fn remembered_night(
        ledger: &crate::ledger::Ledger,
    ) -> Result<Option<String>, EngineError> {
        Ok(ledger.meta(TONIGHT)?)
    }

    /// True while something moves that the world does not show by itself.
    fn is_busy(&self, now: Time) -> bool {
        // An absence that nobody confirms may last for weeks.
        let young = |since: &Time| now.since(*since) < self.settle + 60;
        // While a mass change waits for its answer no old content may go, and what is new is not known.
        self.any_mass_change()
            || self.carrying.moving
            || !self.dirty.is_empty()
            || self.orphan_links.values().any(young)
            || self.world.replicas.values().any(|h| h.absent.values().any(young))
    }

    /// Lets files of any age be joined, for tests and by the owner's word.
    pub fn join_from_age(&mut self, seconds: i64) {
        self.night.least_age = Some(seconds);
    }

    /// Works on what [`Self::plan_night`] decided, until it is disturbed or has to be followed up. What was
    /// done is on the disk when this returns.
    pub fn work_in_the_night(
        &mut self,
        now: Time,
        disturbed: &mut Disturbed<'_>,
    ) -> Result<(), EngineError> {
        let Some(task) = self.night.task else { return Ok(()) };
        if self.work_on(task, now, disturbed)? {
            self.night.tonight.finish(task);
            self.night.task = None;
            self.remember_night()?;
            let (tonight, settings) = (&self.night.tonight, &self.config.night);
            let is_over = |task: &Task| tonight.done.contains(task) || !task.is_wanted(settings);
            if Task::ALL.iter().all(is_over) {
                self.clear_notice("night");
            }
        } else if self.night.has_failed() {
            self.remember_night()?;
        }
        self.settle_down()
    }

    /// A whole night at once, whatever the time; for tests. None while a mass change waits for its answer.
    pub fn whole_night(&mut self, now: Time) -> Result<(), EngineError> {
        if self.any_mass_change() {
            return Ok(());
        }
        self.night.try_again();
        for task in Task::ALL {
            if !task.is_wanted(&self.config.night) {
                continue;
            }
            while !self.work_on(task, now, &mut |_| false)? && !self.night.tonight.failed {
                while self.turn(Pending::default(), now)?.more {}
            }
        }
        self.night.end();
        self.stale |= std::mem::take(&mut self.night.unpublished);
        while self.turn(Pending::default(), now)?.more {}
        self.settle_down()
    }

    /// `true`: it came to its end.
    fn work_on(
        &mut self,
        task: Task,
        now: Time,
        disturbed: &mut Disturbed<'_>,
    ) -> Result<bool, EngineError> {
        match task {
            Task::Sums => self.sum_ahead(now, disturbed),
            Task::Settle => self.let_go_what_was_joined(now, disturbed),
            Task::Dedup => self.join_equals(now, disturbed, &mut |_| {}),
            Task::Expiry => self.expire(now, &mut || disturbed(&NOTHING)),
            Task::Check => self.verify(now, disturbed),
        }
    }

    /// What could not be read or written ends the night and is told; whatever else went wrong with one file
    /// ends this task (`true`) and is another night's.
    pub(super) fn end_night(&mut self, e: &FsError, now: Time) -> bool {
        let Some(trouble) = e.trouble() else {
            log::warn!("{e}");
            return true;
        };
        log::error!("the night's work ends: {e}");
        let next = match trouble {
            Trouble::NoInodes => {
                "the drive can hold no further file, however small: remove some (empty folders count, too)"
            }
            Trouble::Full => "make room on the drive; the next night tries again",
            Trouble::ReadOnly => "unplug the drive and plug it in again to have it checked",
            Trouble::Failing => {
                "the drive may be wearing out: copy what you need from it and replace it"
            }
        };
        self.raise_notice(
            "night",
            Condition::Attention,
            now,
            format!("the night's work ended: {e}"),
            next,
        );
        self.night.tonight.failed = true;
        self.night.task = None;
        self.night.end();
        false
    }

    /// Sums of files that have none, in the order of their inodes.
    fn sum_ahead(&mut self, now: Time, disturbed: &mut Disturbed<'_>) -> Result<bool, EngineError> {
        while !disturbed(&NOTHING) {
            let begun = match self.night.summing.take() {
                Some(begun) => begun,
                None => {
                    if self.night.chosen.is_empty() && !self.choose_to_sum(disturbed) {
                        break;
                    }
                    let Some((path, id)) = self.night.chosen.pop_front() else { return Ok(true) };
                    Summing::new(path, id)
                }
            };
            match self.sum_on(begun) {
                Ok(begun) => self.night.summing = begun,
                Err(EngineError::Fs(e)) => return Ok(self.end_night(&e, now)),
                Err(e) => return Err(e),
            }
        }
        Ok(false)
    }

    /// Chooses the next files without a sum; `false` when it was disturbed and chose none.
    fn choose_to_sum(&mut self, disturbed: &mut Disturbed<'_>) -> bool {
        let mut stopped = false;
        let files = &self.world.files;
        let mut lowest: BinaryHeap<(u64, DirId, usize)> = BinaryHeap::new();
        files.for_each_dir(Tree::<Stat>::ROOT, |dir, _| {
            stopped = stopped || disturbed(&NOTHING);
            if stopped {
                return;
            }
            for (at, (_, stat)) in files.files(dir).enumerate() {
                let id = &stat.id;
                if id.size >= SUMS_FROM
                    && id.ino > self.night.chosen_to
                    && (lowest.len() < CHOSEN
                        || lowest.peek().is_some_and(|(most, ..)| id.ino < *most))
                    && self.world.sum(id).is_none()
                {
                    lowest.push((id.ino, dir, at));
                    if lowest.len() > CHOSEN {
                        lowest.pop();
                    }
                }
            }
        });
        if stopped {
            return false;
        }
        for (ino, dir, at) in lowest.into_sorted_vec() {
            // Names of one inode have one sum.
            if ino > self.night.chosen_to
                && let Some((name, stat)) = files.file_at(dir, at)
                && let Ok(path) = files.path_of(dir).join(name)
            {
                self.night.chosen_to = ino;
                self.night.chosen.push_back((path, stat.id));
            }
        }
        true
    }

    fn verify(&mut self, now: Time, disturbed: &mut Disturbed<'_>) -> Result<bool, EngineError> {
        let stop = &mut || disturbed(&NOTHING);
        let mut verification = std::mem::take(&mut self.night.verification);
        if !self.night.ledger_is_verified {
            // What is to be verified has to be there.
            self.settle_down()?;
            let Some(damage) = self.ledger.verify_until(stop)? else { return Ok(false) };
            self.night.ledger_is_verified = true;
            if let Some(what) = damage {
                verification.found.push(Finding::of_ledger(&what));
            }
        }
        let world = &self.world;
        let known = Known { world, versions: &world.versions, config: &self.config };
        match verification.go_on(&mut *self.fs, &known, stop) {
            Ok(true) => {}
            Ok(false) => {
                self.night.verification = verification;
                return Ok(false);
            }
            Err(e) => return Ok(self.end_night(&e, now)),
        }
        self.night.ledger_is_verified = false;
        let Some(first) = verification.found.first() else {
            if !std::mem::take(&mut self.night.again) {
                self.clear_notice("check");
            }
            return Ok(true);
        };
        verification.found.iter().take(100).for_each(|finding| log::warn!("verified: {finding}"));
        let more = and_more(verification.found.len() - 1);
        let what = format!("the night's check found: {}{more}", first.what);
        if std::mem::replace(&mut self.night.again, true) {
            self.night.again = false;
            self.raise_notice("check", Condition::Attention, now, what, first.next);
            return Ok(true);
        }
        // The next turn puts right what it can, by looking at everything: no work for a slice, which is to end as
        // soon as anything moves. Then all is verified once more.
        self.raise_notice("check", Condition::Ready, now, what, "Larder has put it right");
        self.night.look_at_all = true;
        self.published.clear();
        self.stale = true;
        Ok(false)
    }
}
