//! The supervisor's decisions. Pure: events and the time in, effects as data out, and at any
//! moment one [`Report`] for LED and STATUS.txt.
//!
//! One drive, one engine, one job at a time. What must hold: the engine runs only while its drive
//! is mounted; a drive is unmounted only after the engine has ended; a drive that was pulled,
//! failed or set aside is not touched again until it is plugged in anew.

mod words;

use crate::config;
use crate::drive::advice::done;
use crate::drive::decide::decide;
use crate::drive::decision::{Advice, Choice, Decision, NotCopied};
use crate::drive::import::Progress;
use crate::drive::ownership::Given;
use crate::drive::{Disk, DriveError, reserve};
use crate::model::Time;
use crate::status::{Condition, Report};
use std::collections::BTreeMap;

/// Why a drive could not be taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Unprepared {
    /// In words.
    pub why: String,
    /// There was no room for Larder's folders, and that is all.
    pub full: bool,
}

impl From<DriveError> for Unprepared {
    fn from(why: DriveError) -> Self {
        Self { full: why.is_full(), why: why.to_string() }
    }
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// Half a second passed.
    Tick,
    /// These disks are plugged in now: kernel name and number of the plugging-in.
    Present(Vec<(String, u64)>),
    /// All disks have been probed.
    Disks(Vec<Disk>),
    /// The drive was checked and mounted (`Ok(true)`: repaired on the way), or why it was not.
    Prepared(Result<bool, Unprepared>),
    /// Files of others on the drive that is being prepared are Larder's now.
    Given(Given),
    /// The disk was formatted, or why it was not.
    Formatted(Result<(), String>),
    /// The kernel made the mounted drive read-only or shut it down.
    Sick,
    /// The engine says how things are.
    Engine(Box<Report>),
    /// The engine ended.
    EngineEnded,
    /// An import got further.
    Import(Progress),
    /// The import ended; false: not in order.
    ImportEnded(bool),
    /// Stop everything and end.
    Stop,
    /// Stop everything so that the drive may be unplugged, and stay.
    Eject,
}

/// What to do now, in this order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Probe the disks; answers [`Event::Disks`].
    Probe,
    /// Check, mount and prepare a drive; answers [`Event::Prepared`].
    Prepare(Choice),
    /// Format a disk; answers [`Event::Formatted`].
    Format {
        /// Kernel name.
        disk: String,
        /// Which plugging-in.
        sequence: u64,
    },
    /// Start the engine; answers [`Event::EngineEnded`] when it ends.
    StartEngine,
    /// Ask the engine to stop, and kill it after so many milliseconds.
    StopEngine(u64),
    /// Start to import; answers [`Event::ImportEnded`].
    StartImport(Choice),
    /// End the import.
    StopImport,
    /// Hold the reserve on the drive (`true`), or give it to the engine's records.
    Reserve(bool),
    /// Unmount the drive; `true`: it is gone, do not wait for it.
    Unmount(bool),
    /// End the program.
    Exit,
}

/// How long a pulled or failing drive's engine gets to end by itself, in milliseconds: with half a
/// second to notice, two seconds in all.
pub const GONE_MS: u64 = 1_000;
/// How long the engine gets when nothing presses.
pub const CALM_MS: u64 = 10_000;
/// An engine that ran this long was healthy.
const HEALTHY_MS: u64 = 60_000;
/// The longest wait before the engine is started again.
const LONGEST_WAIT_MS: u64 = 60_000;

#[derive(Clone, PartialEq, Eq, Debug)]
enum Drive {
    None,
    Preparing(Choice),
    Formatting {
        disk: String,
        sequence: u64,
        words: String,
    },
    Mounted(Choice),
    /// The engine is asked to stop; then the drive is unmounted.
    Leaving {
        choice: Choice,
        gone: bool,
    },
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Engine {
    Off,
    Running { since: u64 },
    Waiting { until: u64 },
}

/// The supervisor's state.
#[derive(Clone, Debug)]
pub struct Machine {
    settings: config::Drive,
    complaints: Vec<Advice>,
    drive: Drive,
    engine: Engine,
    failures: u32,
    /// The drive was full, and its reserve was given away.
    released: bool,
    report: Option<Report>,
    /// The number of the drive that was served last, and the device id that belongs to it.
    identity: Option<(String, String)>,
    /// `None`: not looked yet.
    present: Option<Vec<(String, u64)>>,
    disks: Vec<Disk>,
    probing: bool,
    probe_again: bool,
    advice: Vec<Advice>,
    /// Plugged-in disks that are left alone until plugged in anew, and why.
    aside: Vec<((String, u64), Option<Advice>)>,
    told: Option<Advice>,
    /// What was made ours on the drive.
    given: Option<Advice>,
    /// The wish to format is fulfilled. Forgotten in the settings until the next start.
    format_done: Option<Advice>,
    import: Option<(Choice, Progress)>,
    imported: Vec<(Choice, Progress, bool)>,
    /// All that is to be imported, begun or not, and what lies beside it and is not.
    to_import: Vec<Choice>,
    not_copied: Vec<NotCopied>,
    ejected: bool,
    stopping: bool,
    since: BTreeMap<String, Time>,
}

impl Machine {
    /// A supervisor that knows the settings (and what is wrong with them) and nothing else.
    pub fn new(settings: config::Drive, complaints: Vec<Advice>) -> Self {
        Self {
            settings,
            complaints,
            drive: Drive::None,
            engine: Engine::Off,
            failures: 0,
            released: false,
            report: None,
            identity: None,
            present: None,
            disks: Vec::new(),
            probing: false,
            probe_again: false,
            advice: Vec::new(),
            aside: Vec::new(),
            told: None,
            given: None,
            format_done: None,
            import: None,
            imported: Vec::new(),
            to_import: Vec::new(),
            not_copied: Vec::new(),
            ejected: false,
            stopping: false,
            since: BTreeMap::new(),
        }
    }

    /// Takes an event at `now` (milliseconds of a clock that only goes forward).
    pub fn step(&mut self, event: Event, now: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Tick => {}
            Event::Present(present) => self.present(present, &mut effects),
            Event::Disks(disks) => {
                self.probing = false;
                self.disks = disks;
            }
            Event::Prepared(result) => self.prepared(result, &mut effects),
            Event::Given(given) => self.given = words::given(&given),
            Event::Formatted(result) => self.formatted(result),
            Event::Sick => self.sick(&mut effects),
            // A last word that arrives after the end is an old one.
            Event::Engine(report) => {
                if let Engine::Running { .. } = self.engine {
                    // It would try the drive again in a moment, and write to it.
                    let drive_failed = report.drive_failed;
                    if let (Drive::Mounted(choice), Some(id)) = (&self.drive, &report.device_id) {
                        self.identity = Some((choice.uuid.clone(), id.clone()));
                    }
                    if !drive_failed {
                        self.reserve(&report, &mut effects);
                    }
                    self.report = Some(*report);
                    if drive_failed {
                        self.sick(&mut effects);
                    }
                }
            }
            Event::EngineEnded => self.engine_ended(now, &mut effects),
            Event::Import(progress) => {
                if let Some((_, so_far)) = &mut self.import {
                    *so_far = progress;
                }
            }
            Event::ImportEnded(well) => {
                if let Some((choice, progress)) = self.import.take() {
                    self.imported.push((choice, progress, well));
                }
            }
            Event::Stop => {
                self.stopping = true;
                self.leave(false, CALM_MS, &mut effects);
            }
            Event::Eject => {
                self.ejected = true;
                if let Drive::Mounted(choice) = &self.drive {
                    self.aside.push((key(choice), None));
                }
                self.leave(false, CALM_MS, &mut effects);
            }
        }
        self.go_on(now, &mut effects);
        effects
    }

    fn present(&mut self, present: Vec<(String, u64)>, effects: &mut Vec<Effect>) {
        let gone = |key: &(String, u64)| !present.contains(key);
        self.aside.retain(|(key, _)| !gone(key));
        self.imported.retain(|(choice, ..)| !gone(&key(choice)));
        self.disks.retain(|disk| !gone(&(disk.name.clone(), disk.sequence)));
        if self.present.as_ref().is_some_and(|before| *before != present) {
            // Whatever is plugged or pulled ends the rest after an eject; that a disk is held for a look
            // inside, which is heard of too, does not.
            self.ejected = false;
        }
        if self.import.as_ref().is_some_and(|(choice, _)| gone(&key(choice))) {
            effects.push(Effect::StopImport);
        }
        if matches!(&self.drive, Drive::Mounted(c) | Drive::Leaving { choice: c, .. } if gone(&key(c)))
        {
            self.leave(true, GONE_MS, effects);
        }
        self.present = Some(present);
        self.probe_again = true;
    }

    /// Ends the engine and then the mount; at once when no engine runs.
    fn leave(&mut self, gone: bool, within: u64, effects: &mut Vec<Effect>) {
        let (choice, was_gone) = match &self.drive {
            Drive::Mounted(choice) => (choice.clone(), false),
            Drive::Leaving { choice, gone } => (choice.clone(), *gone),
            _ => return,
        };
        if self.import.is_some() && !effects.contains(&Effect::StopImport) {
            effects.push(Effect::StopImport);
        }
        let gone = gone || was_gone;
        if let Engine::Running { .. } = self.engine {
            effects.push(Effect::StopEngine(within));
            self.drive = Drive::Leaving { choice, gone };
        } else {
            self.unmounted(gone, effects);
        }
    }

    fn unmounted(&mut self, gone: bool, effects: &mut Vec<Effect>) {
        effects.push(Effect::Unmount(gone));
        self.drive = Drive::None;
        self.engine = Engine::Off;
        self.failures = 0;
        self.released = false;
        self.report = None;
        self.told = None;
        self.given = None;
    }

    fn prepared(&mut self, result: Result<bool, Unprepared>, effects: &mut Vec<Effect>) {
        let Drive::Preparing(choice) = self.drive.clone() else { return };
        match result {
            Err(why) => {
                self.drive = Drive::None;
                self.set_aside(key(&choice), Some(words::not_prepared(&choice, &why)));
            }
            Ok(repaired) => {
                self.told = repaired.then(|| Advice {
                    condition: Condition::Ready,
                    what: format!("{} had errors, which were repaired.", choice.words),
                    next: "Nothing. If it happens often, the drive or its power supply is failing."
                        .into(),
                });
                let pulled = !self.is_present(&key(&choice));
                self.drive = Drive::Mounted(choice);
                if pulled || self.stopping || self.ejected {
                    self.leave(pulled, GONE_MS, effects);
                }
            }
        }
    }

    fn formatted(&mut self, result: Result<(), String>) {
        let Drive::Formatting { disk, sequence, words } = self.drive.clone() else { return };
        self.drive = Drive::None;
        // It is looked at again even when nothing else was plugged in.
        self.disks.retain(|known| known.name != disk);
        self.probe_again = true;
        if let Err(why) = result {
            let advice = Advice {
                condition: Condition::DriveUnusable,
                what: format!("{words} could not be formatted: {why}."),
                next: "Unplug it and plug it in again; try another USB port, or another drive."
                    .into(),
            };
            self.set_aside((disk, sequence), Some(advice));
        } else {
            self.no_more_formatting(done(&words));
        }
    }

    /// Whatever comes with that serial number later is somebody's again.
    fn no_more_formatting(&mut self, told: Advice) {
        self.settings.format = None;
        self.format_done = Some(told);
    }

    fn sick(&mut self, effects: &mut Vec<Effect>) {
        let Drive::Mounted(choice) = self.drive.clone() else { return };
        let advice = Advice {
            condition: Condition::DriveUnusable,
            what: format!(
                "{} failed while it was in use; nothing more is written to it.",
                choice.words
            ),
            next: "Unplug it and plug it in again: it is checked then. Try another USB port and \
                   power supply; if it happens again, copy the drive and replace it."
                .into(),
        };
        self.set_aside(key(&choice), Some(advice));
        self.leave(true, GONE_MS, effects);
    }

    fn set_aside(&mut self, key: (String, u64), why: Option<Advice>) {
        if self.is_present(&key) {
            self.aside.push((key, why));
        }
    }

    fn is_present(&self, key: &(String, u64)) -> bool {
        self.present.as_ref().is_some_and(|present| present.contains(key))
    }

    /// Gives the reserve away when the engine found no room, and holds it again when there is plenty.
    fn reserve(&mut self, report: &Report, effects: &mut Vec<Effect>) {
        let Drive::Mounted(_) = self.drive else { return };
        let mut conditions = report.notices.iter().map(|notice| notice.condition);
        let full = report.condition == Condition::DriveFull
            || conditions.any(|condition| condition == Condition::DriveFull);
        let plenty = report.space.is_some_and(|(free, total)| reserve::fits(free, total));
        if self.released != full && (full || plenty) {
            self.released = full;
            effects.push(Effect::Reserve(!full));
        }
    }

    fn engine_ended(&mut self, now: u64, effects: &mut Vec<Effect>) {
        let Engine::Running { since } = self.engine else { return };
        self.engine = Engine::Off;
        match self.drive.clone() {
            Drive::Leaving { gone, .. } => self.unmounted(gone, effects),
            Drive::Mounted(_) => {
                self.failures =
                    if now.saturating_sub(since) >= HEALTHY_MS { 0 } else { self.failures };
                let wait = (1_000u64 << self.failures.min(10)).min(LONGEST_WAIT_MS);
                self.failures += 1;
                self.report = None;
                self.engine = Engine::Waiting { until: now + wait };
            }
            _ => {}
        }
    }

    /// Whatever is to be done next in this state.
    fn go_on(&mut self, now: u64, effects: &mut Vec<Effect>) {
        if self.stopping {
            if self.drive == Drive::None && !effects.contains(&Effect::Exit) {
                effects.push(Effect::Exit);
            }
            return;
        }
        let busy = matches!(self.drive, Drive::Preparing(_) | Drive::Formatting { .. });
        if self.probe_again && !self.probing && !busy {
            (self.probe_again, self.probing) = (false, true);
            effects.push(Effect::Probe);
        }
        let in_use = match &self.drive {
            Drive::Mounted(choice) => Some(choice.node.clone()),
            _ => None,
        };
        let decision = self.decision(in_use.as_deref());
        match (&self.drive, self.engine) {
            (Drive::None, _) if !self.probing && !self.ejected => self.begin(&decision, effects),
            (Drive::Mounted(_), Engine::Off) => {
                self.engine = Engine::Running { since: now };
                effects.push(Effect::StartEngine);
            }
            (Drive::Mounted(_), Engine::Waiting { until }) if now >= until => {
                self.engine = Engine::Running { since: now };
                effects.push(Effect::StartEngine);
            }
            (Drive::Mounted(_), Engine::Running { .. }) if self.import.is_none() => {
                let new = |choice: &&Choice| self.imported.iter().all(|(done, ..)| done != *choice);
                if let Some(choice) = decision.import.iter().find(new) {
                    self.import = Some((choice.clone(), Progress::default()));
                    effects.push(Effect::StartImport(choice.clone()));
                }
            }
            _ => {}
        }
        self.advice = decision.advice;
        self.to_import = decision.import;
        self.not_copied = decision.not_copied;
        if let Some(done) = decision.done {
            self.no_more_formatting(done);
        }
    }

    fn decision(&self, in_use: Option<&str>) -> Decision {
        let fit = |disk: &&Disk| {
            let key = (disk.name.clone(), disk.sequence);
            self.is_present(&key) && self.aside.iter().all(|(aside, _)| *aside != key)
        };
        let disks: Vec<Disk> = self.disks.iter().filter(fit).cloned().collect();
        decide(&disks, &self.settings, in_use)
    }

    fn begin(&mut self, decision: &Decision, effects: &mut Vec<Effect>) {
        if let Some(choice) = &decision.mount {
            self.drive = Drive::Preparing(choice.clone());
            effects.push(Effect::Prepare(choice.clone()));
        } else if let Some((name, identity)) = &decision.format {
            let sequence = self.disks.iter().find(|d| d.name == *name).map_or(0, |d| d.sequence);
            let words = format!("The drive with serial {identity}");
            self.drive = Drive::Formatting { disk: name.clone(), sequence, words };
            effects.push(Effect::Format { disk: name.clone(), sequence });
        }
    }
}

fn key(choice: &Choice) -> (String, u64) {
    (choice.disk.clone(), choice.sequence)
}

#[cfg(test)]
mod tests;
