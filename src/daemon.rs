//! The loop: the only place that sees all modules.
//!
//! Hints from the watch, the settings file, signals and the clock come together here and become turns
//! of the engine. The drive may come and go: the engine is opened when it is there and dropped when it
//! fails, and nothing is ever written to where the drive should be.

mod carrying;
mod claim;
mod drive;
mod error;
mod network;
mod night;
mod settings;
mod stop;

pub use error::DaemonError;
pub use night::join_now;
pub use settings::{look_alikes, read_settings};

use carrying::Carrying;
use claim::Claim;
use drive::Drive;
use network::Network;
use settings::{SettingsFile, settings_file, settings_of, update};
use stop::Stop;

use crate::config::{Change, Settings};
use crate::engine::{Engine, EngineError, SETTLE, lay_out};
use crate::fs::{DryRun, Real};
use crate::ledger::{Ledger, LedgerError};
use crate::machine::Hardware;
use crate::model::Time;
use crate::plan::Op;
use crate::status::{self, Condition, Notice, Report};
use crate::watch::{Pending, Watch};
use crate::web::ClaimWindow;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::Notify;

/// The ledger's name for the last good settings.
const GOOD_SETTINGS: &str = "good-settings";
/// Changes that come so close together are looked at together.
const DEBOUNCE: Duration = Duration::from_millis(50);
/// How often the settings and the drive are looked after.
const TICK: Duration = Duration::from_secs(1);
/// After a failure the drive is tried again after so long, then twice as long, up to a minute.
const RETRY: Duration = Duration::from_secs(2);

/// What to do about a STATUS.txt of another length.
const SAVED_STATUS: &str =
    "or keep your larder.toml and flash the card anew; STATUS.txt is to be read, never to be saved";

/// Where things are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The drive's root.
    pub drive: PathBuf,
    /// The folder of `larder.toml` and STATUS.txt.
    pub boot: PathBuf,
}

/// Who may reach the house.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Reach {
    /// Everybody on the local network, as the settings say.
    #[default]
    Network,
    /// This machine alone, and nobody is called: for tests and demonstrations.
    Loopback,
}

impl Places {
    /// The ledger.
    pub fn ledger(&self) -> PathBuf {
        self.drive.join("BTsyncApp/ledger.sqlite")
    }

    fn settings(&self) -> PathBuf {
        self.boot.join("larder.toml")
    }
}

/// Remembers the text of the settings on the drive, if it is good, and believes what it leaves out.
fn keep_settings(places: &Places, engine: &mut Engine) -> Result<(), DaemonError> {
    let text = read_settings(places).and_then(|bytes| String::from_utf8(bytes).ok());
    let Some(text) = text else { return Ok(()) };
    let Ok(config) = crate::config::parse_file(text.as_bytes()) else { return Ok(()) };
    if engine.recall(GOOD_SETTINGS)?.as_ref() != Some(&text) {
        engine.keep_in_mind(GOOD_SETTINGS, &text)?;
    }
    // Not when it was changed again just now: that is looked at in the next turn.
    if config == *engine.settings() {
        engine.trust_settings(now())?;
    }
    Ok(())
}

/// The time now.
pub fn now() -> Time {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time(i64::try_from(since.as_nanos()).unwrap_or(i64::MAX))
}

/// Opens the file system port to a drive, if the drive is Larder's or empty, and makes the folders on it.
pub(crate) fn open_drive(places: &Places) -> Result<Real, DaemonError> {
    let root = &places.drive;
    let no_drive = |source| DaemonError::NoDrive { root: root.clone(), source };
    let names: Vec<_> = std::fs::read_dir(root)
        .map_err(no_drive)?
        .filter_map(|entry| Some(entry.ok()?.file_name()))
        .filter(|name| name != "lost+found")
        .collect();
    if !names.is_empty() && !names.iter().any(|name| name == "BTsync") {
        return Err(DaemonError::Foreign { root: root.clone() });
    }
    Real::open(root).map_err(|e| no_drive(e.into()))
}

/// The last good settings outlive a restart: a file that is broken or missing then must not make the devices, and what
/// they wished, unknown, nor end old contents that it was to keep.
fn recall_settings(ledger: &Ledger, settings: &mut Settings) -> Result<(), LedgerError> {
    if settings.are_of_the_file() {
        return Ok(());
    }
    let text = ledger.meta(GOOD_SETTINGS)?;
    let config = text.and_then(|text| crate::config::parse(&text).ok());
    if config.is_some() {
        log::warn!("larder.toml is broken or missing; the last good settings stay");
    }
    // Never those of the drive that was there before.
    settings.restore(config.unwrap_or_default());
    Ok(())
}

/// What is known of a drive, without changing anything on it.
pub fn open_to_read(places: &Places) -> Result<Engine, DaemonError> {
    let mut settings = settings_of(places);
    let fs = DryRun::new(open_drive(places)?);
    let ledger = Ledger::open_copy(&places.ledger()).map_err(EngineError::from)?;
    recall_settings(&ledger, &mut settings).map_err(EngineError::from)?;
    let mut engine = Engine::open(Box::new(fs), ledger, settings.current().clone(), now())?;
    engine.complain(settings.complaints(), now());
    Ok(engine)
}

/// Opens the engine on a drive to work on it.
fn open_to_work(places: &Places, settings: &mut Settings) -> Result<(Engine, Claim), DaemonError> {
    let fs = open_drive(places)?;
    make_private(&places.drive.join("BTsyncApp"))
        .map_err(|source| LedgerError::Folder { path: places.ledger(), source })
        .map_err(EngineError::from)?;
    let claim = Claim::take(places)?;
    let ledger = open_ledger(places).map_err(EngineError::from)?;
    recall_settings(&ledger, settings).map_err(EngineError::from)?;
    let mut engine = Engine::open(Box::new(fs), ledger, settings.current().clone(), now())?;
    engine.complain(settings.complaints(), now());
    keep_settings(places, &mut engine)?;
    Ok((engine, claim))
}

/// Opens the ledger; one that is damaged is put aside and a new one begun, which loses wishes' answers
/// and pins but no file.
fn open_ledger(places: &Places) -> Result<Ledger, LedgerError> {
    let path = places.ledger();
    match Ledger::open(&path) {
        Err(e) if e.is_damage() => {
            let aside = path.with_extension(format!("damaged-{}", now().secs()));
            log::error!("{e}; it is kept as {} and a new one is begun", aside.display());
            Ledger::put_aside(&path, &aside)?;
            Ledger::open(&path)
        }
        other => other,
    }
}

fn make_private(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match std::fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Runs until nothing is left to do: what has settled by then is done, what is done is published.
/// Returns the operations. Absences settle after `settle` seconds, [`SETTLE`] without. With `night`, a whole night's
/// work follows, on files of any age.
pub fn run_once(
    places: &Places,
    dry_run: bool,
    settle: Option<u32>,
    night: bool,
) -> Result<Vec<Op>, DaemonError> {
    let (mut engine, _claim) = match dry_run {
        true => (open_to_read(places)?, None),
        false => {
            let (engine, claim) = open_to_work(places, &mut settings_of(places))?;
            (engine, Some(claim))
        }
    };
    let settle = settle.map_or(SETTLE, i64::from);
    engine.settle_after(settle);
    engine.runs_on(Hardware::default().look());
    engine.collect_operations();
    let mut operations = Vec::new();
    let mut idle = None;
    loop {
        let turn = engine.turn(Pending::default(), now())?;
        operations.extend(engine.take_planned());
        if turn.more {
            continue;
        }
        // Absences have to settle, from when everything was looked at; more than that is not waited for.
        let patience = Duration::from_secs(settle.unsigned_abs() + 2);
        let idle = idle.get_or_insert_with(Instant::now).elapsed();
        match turn.again_in {
            Some(seconds) if engine.is_settling() && !dry_run && idle < patience => {
                std::thread::sleep(Duration::from_secs(seconds.unsigned_abs().min(2)));
            }
            _ => break,
        }
    }
    if night {
        engine.join_from_age(i64::MIN);
        engine.whole_night(now())?;
        operations.extend(engine.take_planned());
    }
    Ok(operations)
}

/// The running house.
struct Daemon {
    places: Places,
    reach: Reach,
    /// Seconds.
    settle: i64,
    settings: Settings,
    settings_seen: Option<SettingsFile>,
    drive: Option<Drive>,
    network: Network,
    notify: Arc<Notify>,
    stop: Stop,
    /// There is night work to do.
    night: bool,
    /// Why there is no drive in use, and whether the drive itself failed.
    failed: Option<(Notice, bool)>,
    retry: Duration,
    next_try: Instant,
    hardware: Hardware,
    report: Box<dyn FnMut(&Report) + Send>,
    reported: Option<Report>,
}

/// Runs until it is told to stop (SIGTERM, SIGINT). Absences that nobody can vouch for settle after `settle` seconds,
/// [`SETTLE`] without. The password of the page may be chosen for `claim` from now on. Each new state goes to `report`.
pub async fn run(
    places: Places,
    reach: Reach,
    settle: Option<u32>,
    claim: Duration,
    report: Box<dyn FnMut(&Report) + Send>,
) -> Result<(), DaemonError> {
    let notify = Arc::new(Notify::new());
    let stop = Stop::new(&notify)?;
    let claim = ClaimWindow::for_the_next(claim);
    let mut daemon = Daemon {
        places,
        reach,
        settle: settle.map_or(SETTLE, i64::from),
        settings: Settings::default(),
        settings_seen: None,
        drive: None,
        network: Network::begin(&notify, reach, claim),
        notify: Arc::clone(&notify),
        stop: stop.clone(),
        night: false,
        failed: None,
        retry: RETRY,
        next_try: Instant::now(),
        hardware: Hardware::default(),
        report,
        reported: None,
    };
    let mut wait = Duration::ZERO;
    loop {
        tokio::select! {
            () = notify.notified() => if !stop.is_told() { tokio::time::sleep(DEBOUNCE).await },
            () = tokio::time::sleep(wait) => {}
        }
        if stop.is_told() {
            break;
        }
        wait = tokio::task::block_in_place(|| daemon.turn());
    }
    tokio::task::block_in_place(|| daemon.let_go());
    let mut last = daemon.reported.take().unwrap_or_default();
    last.condition = Condition::StoppedSafely;
    (daemon.report)(&last);
    log::info!("stopped");
    Ok(())
}

impl Daemon {
    /// One turn of everything; says how long to wait for the next one.
    fn turn(&mut self) -> Duration {
        let settings_changed = self.look_at_settings();
        if settings_changed {
            self.network.configure(self.settings.current());
        }
        self.network.look_at_name();
        let gone = self.drive.as_ref().is_some_and(|drive| self.drive_id() != Some(drive.id));
        if gone {
            log::warn!("the drive is gone");
            self.let_go();
        }
        let mut worked = self.work(settings_changed);
        if matches!(&worked, Err(e) if e.is_full()) && self.drive.is_some() {
            // Old contents go before anybody is told that the drive is full.
            self.let_go();
            worked = self.work(false);
        }
        let mut wait =
            worked.and_then(|wait| self.plan_night(wait)).unwrap_or_else(|e| self.fail(&e));
        let engine = self.drive.as_mut().map(|drive| &mut drive.engine);
        if let Err(e) = self.network.deliver(engine) {
            wait = self.fail(&e.into());
        }
        // Before a slice of the night's work, so that the lamp shows it.
        self.tell();
        if std::mem::take(&mut self.night) {
            wait = self.work_in_the_night().unwrap_or_else(|e| self.fail(&e));
        }
        wait
    }

    /// Lets the drive go, remembers why, and says how long to wait before it is tried again.
    fn fail(&mut self, e: &DaemonError) -> Duration {
        self.let_go();
        let notice = e.notice(now());
        if self.failed.as_ref().is_none_or(|(f, _)| f.what != notice.what) {
            log::error!("{e}");
        }
        self.failed = Some((notice, e.is_failed_drive()));
        if matches!(e, DaemonError::NoDrive { .. }) {
            // Looking for a drive costs nothing: it is used as soon as it is back.
            self.next_try = Instant::now();
            self.retry = RETRY;
        } else {
            self.next_try = Instant::now() + self.retry;
            self.retry = (self.retry * 2).min(Duration::from_secs(60));
        }
        TICK
    }

    /// Stops using the drive: the web first, so that no file of it is open.
    fn let_go(&mut self) {
        if let Err(e) = self.network.show(&self.places, None, &[]) {
            log::warn!("{e}");
        }
        if let Some(drive) = self.drive.take() {
            drive.close();
        }
    }

    fn drive_id(&self) -> Option<(u64, u64)> {
        std::fs::metadata(&self.places.drive).ok().map(|m| (m.dev(), m.ino()))
    }

    fn look_at_settings(&mut self) -> bool {
        let seen = settings_file(&self.places);
        let first = self.reported.is_none();
        if self.settings_seen.as_ref() == Some(&seen) && !first {
            return false;
        }
        self.settings_seen = Some(seen);
        let change = update(&mut self.settings, &self.places);
        for complaint in self.settings.complaints() {
            log::error!("larder.toml, {complaint}");
        }
        change != Change::None || first
    }

    fn work(&mut self, settings_changed: bool) -> Result<Duration, DaemonError> {
        if self.drive.is_none() {
            let early = Instant::now() < self.next_try;
            if early && self.drive_id().is_some() && self.failed.is_some() {
                return Ok(TICK);
            }
            self.open()?;
        }
        let Some(Drive { engine, watch, carrying, .. }) = &mut self.drive else { return Ok(TICK) };
        if settings_changed {
            engine.configure(self.settings.current().clone(), now())?;
            engine.complain(self.settings.complaints(), now());
            keep_settings(&self.places, engine)?;
            match carrying {
                Some(carrying) if !carrying.outdated(engine.config()) => {
                    carrying.want(engine)?;
                }
                // Other settings for it, or none ran: it may have been switched on.
                _ => {
                    if let Some(old) = carrying.take() {
                        old.end();
                    }
                    *carrying = Carrying::begin(&self.places, self.reach, engine, &self.notify)?;
                }
            }
        }
        if carrying.is_none() && Carrying::is_possible(engine) {
            // Installed just now.
            *carrying = Carrying::begin(&self.places, self.reach, engine, &self.notify)?;
        }
        engine.served_at(self.network.address());
        engine.runs_on(self.hardware.look());
        match self.network.trouble() {
            Some((what, next)) => engine.mention("web", now(), &what, &next),
            None => engine.unmention("web"),
        }
        if let Some(carrying) = carrying {
            carrying.hear(engine)?;
        }
        // Wishes that came over the network are in the ledger before this turn fulfils them.
        self.network.deliver(Some(engine))?;
        let turn = engine.turn(watch.take(), now())?;
        if let Some(carrying) = carrying {
            carrying.tell(engine)?;
        }
        self.network.show(&self.places, Some(engine), &[])?;
        self.retry = RETRY;
        Ok(if turn.more { Duration::ZERO } else { TICK })
    }

    fn open(&mut self) -> Result<(), DaemonError> {
        let notify = Arc::clone(&self.notify);
        let Some(id) = self.drive_id() else {
            // Opening it says why.
            return open_drive(&self.places).map(|_| ());
        };
        // The folders have to be there before they are watched, the watch before they are scanned.
        lay_out(&mut open_drive(&self.places)?)?;
        let watch = Watch::start(&self.places.drive, move || notify.notify_one())?;
        let (mut engine, claim) = open_to_work(&self.places, &mut self.settings)?;
        // Whose password it is may be known by the drive alone.
        self.network.configure(self.settings.current());
        engine.settle_after(self.settle);
        if let Some(fault) = status::writer::fault(&self.places.boot) {
            // The file can't say it itself: the lamp and the page do.
            let what = format!("STATUS.txt on the SD card is not written any more: {fault}");
            engine.alert("status-file", now(), &what, SAVED_STATUS);
        }
        let carrying = Carrying::begin(&self.places, self.reach, &mut engine, &self.notify)?;
        self.drive = Some(Drive { engine, watch, carrying, id, claim });
        self.failed = None;
        log::info!("the drive is in use: {}", self.places.drive.display());
        Ok(())
    }

    fn tell(&mut self) {
        let mut report = match &self.drive {
            Some(drive) => {
                let mut report = drive.engine.report();
                self.network.tell_access(&mut report);
                report
            }
            None => self.reported.clone().unwrap_or_default(),
        };
        report.drive_failed = false;
        if let Some((notice, drive_failed)) = &self.failed {
            report.condition = notice.condition;
            report.notices = vec![notice.clone()];
            report.drive_failed = *drive_failed;
        }
        if !self.reported.as_ref().is_some_and(|told| told.says_the_same(&report)) {
            report.machine = self.hardware.look();
            (self.report)(&report);
            self.reported = Some(report);
        }
    }
}
