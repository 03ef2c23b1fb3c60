//! The supervisor's hands: one loop that takes events, asks the [`Machine`] and does what it says.
//!
//! What may take long (probing, checking, formatting, mounting for an import) runs on a thread of its
//! own and answers with an event, so that a pulled drive is always noticed at once. One job runs at a
//! time, and beside it an import.

use super::address;
use super::announce::Announcer;
use super::background::{send_event, unmount};
use super::child::Child;
use super::clock::{set_clock, wall, written};
use super::importing::Import;
use super::machine::{Effect, Event, Machine};
use super::watch::{LOOK_EVERY, look, signals};
use super::{ApplianceError, Options, user};
use crate::config;
use crate::drive::decision::{Advice, Choice};
use crate::drive::devices::{self, Present};
use crate::drive::mounting::{self, Checked};
use crate::drive::ownership::{self, Given};
use crate::drive::words::words;
use crate::drive::{Disk, DriveError, OWN, format, import, reserve};
use crate::led::player::{Player, lights};
use crate::machine::Hardware;
use crate::model::show;
use crate::mounts;
use crate::status::writer::Writer;
use crate::status::{Condition, Report, text};
use crate::web::ClaimWindow;
use std::fs::File;
use std::io::{self, Write};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often a STATUS.txt that can't be opened is tried again.
const STATUS_AGAIN: Duration = Duration::from_secs(60);

/// What is not ours on our drive is given within this time, or, where all of it may be somebody else's, within that.
const TAKE_OVER: Duration = Duration::from_secs(20);
const TAKE_OVER_ALL: Duration = Duration::from_secs(600);

/// How often the machine's own address is asked for.
const NUMBER_AGAIN: Duration = Duration::from_secs(5);

/// Disks that were probed already, with the look that they answer to.
type Known = Arc<Mutex<Vec<(Present, Disk)>>>;

struct Shell<'a> {
    options: &'a Options,
    owner: (u32, u32),
    send: Sender<Event>,
    known: Known,
    engine: Option<Child>,
    import: Option<Import>,
    began: Instant,
    player: Option<Player>,
    announcer: Announcer,
    status: Option<Writer>,
    status_tried: Option<Instant>,
    shown: Option<Condition>,
    told: Vec<String>,
    number: Option<Ipv4Addr>,
    number_seen: Option<Instant>,
    hardware: Hardware,
}

pub(super) fn run(options: &Options) -> Result<(), ApplianceError> {
    let fail = |what: &str| {
        let what = what.to_owned();
        move |source| ApplianceError::Io { what, source }
    };
    let passwd = std::fs::read_to_string("/etc/passwd").map_err(fail("reading /etc/passwd"))?;
    let owner =
        user(&passwd, &options.user).ok_or_else(|| ApplianceError::NoUser(options.user.clone()))?;
    let run = &options.run;
    std::fs::create_dir_all(run).map_err(fail(&format!("making {}", run.display())))?;
    clear_leftovers(options);
    note_pid(&run.join("appliance.pid"), std::process::id().cast_signed());
    let (settings, complaints) = settings(&options.boot);
    let player = options.led.then(|| Player::start(lights(settings.led), Condition::Starting));
    let (send, hear) = channel();
    signals(send.clone()).map_err(fail("listening to signals"))?;
    look(options.clone(), send.clone());
    let shell = Shell {
        options,
        owner,
        send,
        known: Known::default(),
        engine: None,
        import: None,
        announcer: Announcer::new(options.announce.clone()),
        began: Instant::now(),
        player,
        status: None,
        status_tried: None,
        shown: None,
        told: Vec::new(),
        number: None,
        number_seen: None,
        hardware: Hardware::default(),
    };
    shell.turn(Machine::new(settings.drive, complaints), &hear);
    Ok(())
}

impl Shell<'_> {
    fn turn(mut self, mut machine: Machine, hear: &Receiver<Event>) {
        loop {
            let report = self.report(&mut machine);
            self.publish(&report);
            let event = match hear.recv_timeout(self.patience()) {
                Ok(event) => event,
                Err(RecvTimeoutError::Timeout) => Event::Tick,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if let Some(engine) = &mut self.engine {
                engine.press();
            }
            if let Some(import) = &mut self.import {
                import.press();
            }
            for effect in machine.step(event, self.now()) {
                if effect == Effect::Exit {
                    let report = self.report(&mut machine);
                    self.publish(&report);
                    return self.last_word(&report);
                }
                self.act(effect);
            }
        }
    }

    /// How things are, with the machine's address. One that is gone for a moment is still told:
    /// the card is not written for every stutter of the network.
    fn report(&mut self, machine: &mut Machine) -> Report {
        if self.number_seen.is_none_or(|at| at.elapsed() >= NUMBER_AGAIN) {
            self.number_seen = Some(Instant::now());
            self.number = address::of_this_machine().or(self.number);
        }
        let hardware = self.hardware.look();
        Report { number: self.number, machine: hardware, ..machine.report(wall()) }
    }

    /// How long to wait for an event: to the next tick, or to the moment of a kill.
    fn patience(&self) -> Duration {
        let engine = self.engine.as_ref().and_then(Child::deadline);
        let import = self.import.as_ref().and_then(Import::deadline);
        let now = Instant::now();
        engine
            .into_iter()
            .chain(import)
            .map(|at| at.saturating_duration_since(now))
            .fold(LOOK_EVERY, Duration::min)
    }

    fn act(&mut self, effect: Effect) {
        log::debug!("{effect:?}");
        match effect {
            Effect::Probe => self.probe(),
            Effect::Prepare(choice) => self.prepare(choice),
            Effect::Format { disk, sequence } => self.format(disk, sequence),
            Effect::StartEngine => self.start_engine(),
            Effect::StopEngine(within) => {
                if let Some(engine) = &mut self.engine {
                    engine.stop(Duration::from_millis(within));
                }
            }
            Effect::StartImport(choice) => {
                let send = self.send.clone();
                self.import = Some(Import::start(self.options, self.owner, choice, send));
            }
            Effect::StopImport => {
                if let Some(import) = &mut self.import {
                    import.stop();
                }
            }
            Effect::Reserve(held) => {
                let (drive, owner) = (&self.options.drive, self.owner);
                let done = if held {
                    reserve::hold(drive, owner.0, owner.1).map(drop)
                } else {
                    log::warn!("the drive is full: the reserve is given to the engine's records");
                    reserve::release(drive)
                };
                if let Err(why) = done {
                    log::warn!("{why}");
                }
            }
            Effect::Unmount(gone) => unmount(&self.options.drive, gone),
            Effect::Exit => {}
        }
    }

    /// Runs a job on a thread of its own; its answer comes as an event.
    fn job(&self, work: impl FnOnce() -> Event + Send + 'static) {
        let send = self.send.clone();
        std::thread::spawn(move || send_event(&send, work()));
    }

    fn probe(&self) {
        let (options, known) = (self.options.clone(), Arc::clone(&self.known));
        self.job(move || {
            let peek = options.run.join("peek");
            let present = devices::present(&options.roots).unwrap_or_else(|why| {
                log::error!("the disks can't be listed: {why}");
                Vec::new()
            });
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(seen, _)| present.contains(seen));
            for seen in present {
                if known.iter().all(|(before, _)| *before != seen) {
                    let disk = devices::probe(&options.roots, &seen, &peek);
                    log::info!("found {} ({})", disk.model, disk.identity);
                    for volume in &disk.volumes {
                        log::info!("found {}: {}", volume.node, words(&disk, volume));
                    }
                    known.push((seen, disk));
                }
            }
            Event::Disks(known.iter().map(|(_, disk)| disk.clone()).collect())
        });
    }

    fn prepare(&self, choice: Choice) {
        let (options, owner, send) = (self.options.clone(), self.owner, self.send.clone());
        self.job(move || {
            let given = |given| send_event(&send, Event::Given(given));
            let result = prepare(&options, &choice, owner, given);
            if let Err(why) = &result {
                log::error!("{} is not used: {why}", choice.words);
            }
            Event::Prepared(result.map(|done| done == Checked::Repaired).map_err(Into::into))
        });
    }

    fn format(&self, disk: String, sequence: u64) {
        let (roots, known) = (self.options.roots.clone(), Arc::clone(&self.known));
        self.job(move || {
            let result = format::format(&roots, &disk, sequence);
            match &result {
                Ok(()) => log::info!("{disk} was formatted, as larder.toml wishes"),
                Err(why) => log::error!("{disk} was not formatted: {why}"),
            }
            let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|(seen, _)| seen.name != disk);
            Event::Formatted(result.map_err(|why| why.to_string()))
        });
    }

    fn start_engine(&mut self) {
        let (drive, boot) =
            (self.options.drive.to_string_lossy(), self.options.boot.to_string_lossy());
        // An engine that ended and is started again must not open the window anew.
        let claim = ClaimWindow::left_since_power_on().as_secs().to_string();
        let args = [
            "run",
            "--drive",
            &drive,
            "--boot",
            &boot,
            "--report-fd",
            "1",
            "--claim-within",
            &claim,
        ];
        let (reports, end) = (self.send.clone(), self.send.clone());
        let line = move |line: &str| match serde_json::from_str::<Report>(line) {
            Ok(report) => send_event(&reports, Event::Engine(Box::new(report))),
            Err(why) => log::warn!("the engine said something that is no report: {why}"),
        };
        let ended = move |well| {
            log::info!("the engine ended{}", if well { "" } else { " with an error" });
            send_event(&end, Event::EngineEnded);
        };
        match Child::start(&self.options.engine, &args, self.owner, line, ended) {
            Ok(engine) => {
                note_pid(&self.options.run.join("engine.pid"), engine.pid());
                self.engine = Some(engine);
            }
            Err(why) => {
                log::error!("the engine can't be started: {why}");
                send_event(&self.send, Event::EngineEnded);
            }
        }
    }

    /// LED, log and STATUS.txt.
    fn publish(&mut self, report: &Report) {
        if self.shown != Some(report.condition) {
            log::info!("{}: {}", report.condition, report.drive);
            if let Some(player) = &self.player {
                player.show(report.condition);
            }
            self.shown = Some(report.condition);
        }
        for notice in report.notices.iter().filter(|notice| !self.told.contains(&notice.what)) {
            log::info!("{} {}", notice.what, notice.next);
        }
        self.announcer.announce(report.address.as_deref());
        self.told = report.notices.iter().map(|notice| notice.what.clone()).collect();
        if self.status.is_none() && self.status_tried.is_none_or(|at| at.elapsed() >= STATUS_AGAIN)
        {
            self.status_tried = Some(Instant::now());
            match Writer::open(&self.options.boot) {
                Ok(writer) => self.status = Some(writer),
                Err(why) => log::warn!("{why}"),
            }
        }
        let now = self.now();
        let status = self.status.as_mut();
        if let Some(Err(why)) =
            status.map(|file| file.offer(&text::text(report), &written(&report.machine), now))
        {
            log::warn!("{why}");
        }
    }

    /// STATUS.txt once more before the end, without waiting for it to settle.
    fn last_word(&mut self, report: &Report) {
        self.announcer.announce(None);
        let now = self.now();
        let status = self.status.as_mut();
        if let Some(Err(why)) =
            status.map(|file| file.write(&text::text(report), &written(&report.machine), now))
        {
            log::warn!("{why}");
        }
    }

    /// Milliseconds since the start.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Checks that the drive is still the one that was probed, then checks it, mounts it and makes
/// its folders.
fn prepare(
    options: &Options,
    choice: &Choice,
    owner: (u32, u32),
    told: impl FnOnce(Given),
) -> Result<Checked, DriveError> {
    let device = options.roots.dev.join(&choice.node);
    let io = |source| DriveError::Io { what: "probing", path: device.clone(), source };
    let still = || -> Result<(), DriveError> {
        let present = devices::present(&options.roots).map_err(io)?;
        let disk = present.iter().find(|p| p.name == choice.disk && p.sequence == choice.sequence);
        let disk = disk.ok_or_else(|| DriveError::Exchanged(device.clone()))?;
        let part = disk.partitions.iter().find(|(name, _)| *name == choice.node);
        let size = part.map_or(disk.size, |(_, size)| *size);
        let signature = devices::signature_of(&device, size).map_err(io)?;
        if (signature.kind, &signature.uuid) == (choice.kind, &choice.uuid) {
            Ok(())
        } else {
            Err(DriveError::Exchanged(device.clone()))
        }
    };
    still()?;
    let checked = mounting::check(&device, choice.kind)?;
    still()?;
    mounting::mount(&device, choice.kind, &options.drive)?;
    let found = mounting::prepare(&options.drive, owner.0, owner.1);
    match &found {
        Ok(found) if !found.new => {}
        Ok(_) => {
            // Out of the journal, so that a look inside finds them even when it is pulled this minute.
            unmount(&options.drive, false);
            still()?;
            mounting::mount(&device, choice.kind, &options.drive)?;
        }
        Err(_) => unmount(&options.drive, false),
    }
    let budget = if found?.theirs { TAKE_OVER_ALL } else { TAKE_OVER };
    match ownership::take_over(&options.drive, owner, budget) {
        Ok(given) => told(given),
        // Whatever can't be given now is met by the engine, which tells of it.
        Err(why) => log::error!("{why}"),
    }
    if let Err(why) = import::clear(&options.drive) {
        log::warn!("what a former import left half copied can't be removed: {why}");
    }
    if let Err(why) = reserve::hold(&options.drive, owner.0, owner.1) {
        log::warn!("{why}");
    }
    if options.clock {
        set_clock(&options.drive.join(OWN));
    }
    Ok(checked)
}

/// What a supervisor that broke down left behind: its engine and its mounts.
fn clear_leftovers(options: &Options) {
    let pid = std::fs::read_to_string(options.run.join("engine.pid")).ok();
    if let Some(pid) = pid.and_then(|pid| pid.trim().parse::<i32>().ok()) {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if command.split(|byte| *byte == 0).any(|arg| arg == b"--report-fd")
            && let Some(pid) = rustix::process::Pid::from_raw(pid)
        {
            let killed = rustix::process::kill_process_group(pid, rustix::process::Signal::KILL);
            log::warn!("an engine was left behind and is killed: {killed:?}");
        }
    }
    let peek = options.run.join("peek");
    for at in [options.drive.clone(), options.run.join("import"), peek.clone()] {
        while matches!(mounts::at(&at), Ok(Some(_))) {
            log::warn!("{} was left mounted", at.display());
            unmount(&at, false);
            if matches!(mounts::at(&at), Ok(Some(_))) {
                break;
            }
        }
    }
    if let Err(why) = mounting::let_go(&peek) {
        log::warn!("{why}");
    }
}

fn note_pid(path: &Path, pid: i32) {
    let written = File::create(path).and_then(|mut file| writeln!(file, "{pid}"));
    if let Err(why) = written {
        log::warn!("{} can't be written: {why}", path.display());
    }
}

/// The settings that concern the supervisor. Of a broken file what could be read is not used: the
/// defaults are, which touch no drive.
fn settings(boot: &Path) -> (config::Config, Vec<Advice>) {
    let path = boot.join("larder.toml");
    let bytes = match std::fs::read(&path) {
        Ok(bytes) => bytes,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            let beside = crate::daemon::look_alikes(boot);
            let alike = match beside.first() {
                Some(name) => format!(" There is {}, which is not read.", show(name.as_bytes())),
                None => String::new(),
            };
            let next = match beside.first() {
                Some(_) => "Rename it to larder.toml.",
                None => "Put it back, or flash the card anew; what is on the drive stays.",
            };
            let what = format!("larder.toml is missing from the SD card's first partition.{alike}");
            let advice = Advice { condition: Condition::SettingsError, what, next: next.into() };
            return (config::Config::default(), vec![advice]);
        }
        Err(why) => {
            let advice = Advice {
                condition: Condition::SettingsError,
                what: format!("larder.toml can't be read: {why}."),
                next: "Check the SD card in a computer.".into(),
            };
            return (config::Config::default(), vec![advice]);
        }
    };
    match config::parse_file(&bytes) {
        Ok(config) => (config, Vec::new()),
        Err(complaints) => {
            let advice = complaints.into_iter().map(|complaint| Advice {
                condition: Condition::SettingsError,
                what: format!("larder.toml, line {}: {}.", complaint.line, complaint.what),
                next: complaint.next,
            });
            (config::Config::default(), advice.collect())
        }
    }
}

/// `[led]` of the settings on the boot partition, for `larder led test`.
pub fn led(boot: &Path) -> config::Led {
    settings(boot).0.led
}
