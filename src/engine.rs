//! The engine: one owner of everything that is known and of the only door to the drive.
//!
//! A turn takes what happened (hints from the watch, pages, settings, time), looks, plans, applies,
//! remembers and publishes, in that order. It is synchronous and single-threaded, runs on any
//! [`FileSystem`] and with any clock, and never works on without an end: long work is cut into parts,
//! and [`Turn::more`] asks for the next one.
//!
//! An error means that the drive does not work. Nothing is recorded as done then; whoever owns the
//! engine drops it and opens it again when the drive is back, and it finds its way from what is there.

mod access;
mod carry;
mod devices;
mod elsewhere;
mod error;
mod harvest;
mod join;
mod joined;
mod layout;
mod left_out;
mod lookup;
mod markers;
mod mass_changes;
mod mend;
mod night;
mod notices;
mod obstacles;
mod publish;
mod reconcile;
mod retention;
mod settle;
mod shares;
mod space;
mod stale_links;
#[cfg(test)]
mod tests;
mod verify;
mod wishes;

pub use carry::News;
pub use error::EngineError;
pub use layout::lay_out;
pub use night::{Disturbed, Ours};
pub use shares::{Access, Carried};
pub use verify::{Finding, Known, Verification};

use crate::apply::{Applier, ApplyError, recover};
use crate::catalogue::Encoder;
use crate::config::Config;
use crate::fs::{FileSystem, Space};
use crate::ledger::Ledger;
use crate::model::{
    Bytes, DeviceName, FileId, Holder, NotTaken, Origin, Place, RelPath, Spot, Time,
};
use crate::plan::{Fact, LinkName, Op, World, in_force, on};
use crate::status::{Notice, machine::Machine};
use crate::watch::Pending;
use error::{drive_error, of_one_device};
use layout::remembered;
use std::collections::{BTreeMap, BTreeSet};

/// How long something has to be absent before it is believed, in seconds, where no sync engine can
/// be asked. The sync engine removes an old name before it renames the new one in.
pub const SETTLE: i64 = 10;
/// More vanished links than this, and more than a fifth of the device's, are held.
pub const MASS: usize = 50;
/// More pages than this are not written in one turn.
const GENERATIONS_A_TURN: u64 = 1_000;
/// While there is more to do, disk and pages are brought up to date every so many seconds.
const PACE: i64 = 10;
/// How often an operation that met a moving target is tried.
const TRIES: u32 = 5;
/// Earlier than any time.
const AT_ONCE: Time = Time(i64::MIN);

/// What a turn leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// There is more to do right away.
    pub more: bool,
    /// Look again after so many seconds, because something has to settle or expires.
    pub again_in: Option<i64>,
}

/// The engine on one drive.
pub struct Engine {
    fs: Box<dyn FileSystem>,
    ledger: Ledger,
    world: World,
    /// The settings as they were given, and with what was decided on the page.
    settings: Config,
    config: Config,
    applier: Applier,
    encoder: Encoder,
    /// Names in holders' folders to look at, and how often that was tried in vain.
    dirty: BTreeMap<LinkName, u32>,
    /// Links whose master is gone, and since when: not believed yet.
    orphan_links: BTreeMap<LinkName, Time>,
    /// Names at home that are new, with a content that has other names, and since when.
    recent_names: BTreeMap<RelPath, Time>,
    /// Links that stay behind their master, for want of room.
    stale_links: BTreeSet<LinkName>,
    /// Those whose whole folder was gone.
    vanished_roots: BTreeSet<Holder>,
    /// Holders' folders that could not be read completely.
    unreadable_dirs: BTreeMap<Holder, Vec<RelPath>>,
    /// What lies in the house's folders and is not taken in.
    not_taken: BTreeMap<Place, NotTaken>,
    /// Pages to read.
    pages: BTreeSet<Origin>,
    /// What we last wrote as each page: its file and its fingerprint.
    published: BTreeMap<Origin, (FileId, u64)>,
    beside: harvest::Beside,
    /// Of each page, wishes from here on (by arrival) have not been looked at in this round.
    wish_cursors: BTreeMap<Origin, i64>,
    /// What each wish that is done in parts met so far that stays in its way: how often, and the first.
    wish_causes: BTreeMap<i64, (usize, String)>,
    /// How often each waiting wish met a moving target.
    wish_tries: BTreeMap<i64, u32>,
    /// What was last said of each waiting wish.
    waiting: BTreeMap<i64, String>,
    /// Names in holders' folders that could not be taken in: when that was last tried, and why not.
    failed: BTreeMap<LinkName, (Time, Option<String>)>,
    /// What the last operation that could not be done met.
    met: Option<obstacles::Obstacle>,
    /// What may not be done to files and folders, and when that was last seen.
    obstacles: BTreeMap<Spot, (Time, String)>,
    /// In places other than `files/`: what lies on another file system.
    hidden: BTreeSet<Spot>,
    /// When what lies on another file system was last looked at.
    looked_elsewhere: Time,
    /// Masters with more than one name that were written in place, by inode.
    rewritten: BTreeMap<u64, mend::Rewritten>,
    /// Masters that can't be looked at: when that was last tried, and why.
    unreadable_files: BTreeMap<RelPath, (Time, String)>,
    /// Pages are written; tests of many thousand turns do without.
    publishes: bool,
    /// An operation of this turn met something that had changed.
    unruly: bool,
    notices: BTreeMap<String, Notice>,
    /// Something the pages show has changed.
    stale: bool,
    /// Operations planned, for `--dry-run`.
    planned: Option<Vec<Op>>,
    epoch: String,
    generation: u64,
    space: Space,
    /// Bytes of all masters, as of the last scan or page.
    weight: Bytes,
    carrying: carry::Carrying,
    markers: markers::Markers,
    decided: devices::Decided,
    shares: shares::Shares,
    twins: space::KnownTwins,
    folders: joined::Folders,
    night: night::Night,
    /// Old contents came, may take less or come of age: from then on they are to be weighed.
    weigh: Option<Time>,
    /// The drive was short of room then, and no old content could go.
    in_vain: Option<Time>,
    /// When it was last remembered that the NAS runs.
    running_noted: Time,
    /// When what was done was last brought to the disk and the pages.
    settled: Time,
    address: Option<String>,
    /// How the hardware fares, for the pages.
    machine: Machine,
    settle: i64,
    /// So many names are looked at in one turn.
    looks: usize,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("masters", &self.world.files.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// Opens a drive: makes the layout, puts in order what a cut left, and scans everything.
    pub fn open(
        mut fs: Box<dyn FileSystem>,
        mut ledger: Ledger,
        config: Config,
        now: Time,
    ) -> Result<Self, EngineError> {
        lay_out(&mut *fs)?;
        let mut world = ledger.load()?;
        world.running = Self::remembered_running(&ledger)?;
        world.running.look(now);
        let known = in_force(&config, &world.pairs);
        retention::make_space_to_begin(&mut *fs, &world, &known, now).map_err(drive_error)?;
        let (facts, applier) = recover(&mut *fs, &world, 1, now).map_err(drive_error)?;
        for fact in &facts {
            ledger.record(fact)?;
            world.note(fact);
        }
        let epoch = remembered(&mut ledger, "epoch")?;
        // Pages written after the last commit may have numbers it does not know. Committed before the first page.
        let generation = ledger.meta("generation")?.and_then(|text| text.parse().ok()).unwrap_or(0)
            + GENERATIONS_A_TURN;
        ledger.set_meta("generation", &generation.to_string())?;
        ledger.commit()?;
        let night = night::Night::new(Self::remembered_night(&ledger)?.as_deref(), now);
        let space = fs.space()?;
        let mut engine = Self {
            fs,
            ledger,
            world,
            settings: Config::default(),
            config: Config::default(),
            applier,
            encoder: Encoder::new(),
            dirty: BTreeMap::new(),
            orphan_links: BTreeMap::new(),
            recent_names: BTreeMap::new(),
            stale_links: BTreeSet::new(),
            vanished_roots: BTreeSet::new(),
            unreadable_dirs: BTreeMap::new(),
            not_taken: BTreeMap::new(),
            pages: BTreeSet::new(),
            published: BTreeMap::new(),
            beside: harvest::Beside::new(),
            wish_cursors: BTreeMap::new(),
            wish_tries: BTreeMap::new(),
            wish_causes: BTreeMap::new(),
            waiting: BTreeMap::new(),
            failed: BTreeMap::new(),
            met: None,
            obstacles: BTreeMap::new(),
            hidden: BTreeSet::new(),
            looked_elsewhere: now,
            rewritten: BTreeMap::new(),
            unreadable_files: BTreeMap::new(),
            publishes: true,
            unruly: false,
            notices: BTreeMap::new(),
            stale: true,
            planned: None,
            epoch,
            generation,
            space,
            weight: Bytes(0),
            carrying: carry::Carrying::default(),
            markers: markers::Markers::default(),
            decided: devices::Decided::default(),
            shares: shares::Shares::default(),
            twins: space::KnownTwins::default(),
            folders: joined::Folders::default(),
            night,
            weigh: Some(AT_ONCE),
            in_vain: None,
            running_noted: AT_ONCE,
            settled: now,
            address: None,
            machine: Machine::default(),
            settle: SETTLE,
            looks: lookup::LOOKS,
        };
        engine.finish_pages(now)?;
        let devices = engine.adopt(config)?;
        engine.scan_home(now)?;
        for device in devices {
            engine.scan_device(&device, now)?;
        }
        engine.scan_joined(now)?;
        engine.tell_not_taken(now);
        engine.find_rewritten()?;
        engine.tell_elsewhere(now);
        Ok(engine)
    }

    /// Lets absences be believed after so many seconds; for tests and hasty demonstrations.
    pub fn settle_after(&mut self, seconds: i64) {
        self.settle = seconds;
    }

    /// Collects the operations from now on, for [`Self::take_planned`].
    pub fn collect_operations(&mut self) {
        self.planned = Some(Vec::new());
    }

    /// The operations since the last call.
    pub fn take_planned(&mut self) -> Vec<Op> {
        self.planned.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// True while something absent has yet to be believed.
    pub fn is_settling(&self) -> bool {
        let absent = |d: &Holder| {
            !self.is_held(d) && self.world.replicas.get(d).is_some_and(|h| !h.absent.is_empty())
        };
        !self.orphan_links.is_empty() || self.holders().iter().any(absent)
    }

    /// What is known.
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    fn devices(&self) -> Vec<DeviceName> {
        self.config.devices.keys().cloned().collect()
    }

    /// All whose links are looked after: the devices of the settings and the folders of other people.
    fn holders(&self) -> Vec<Holder> {
        self.world.holders(&self.config).collect()
    }

    /// True when somebody's links are looked after.
    fn looks_after(&self, holder: &Holder) -> bool {
        self.world.looks_after(&self.config, holder)
    }

    /// Puts settings in force: folders for new devices, quotas at once.
    pub fn configure(&mut self, config: Config, now: Time) -> Result<(), EngineError> {
        let new = self.adopt(config)?;
        if !new.is_empty() {
            // What a new device follows may have come while nobody looked for it.
            self.scan_home(now)?;
        }
        for device in new {
            self.scan_device(&device, now)?;
        }
        Ok(())
    }

    /// Puts settings in force without looking at anything; returns the devices that are new.
    fn adopt(&mut self, config: Config) -> Result<Vec<Holder>, EngineError> {
        let mut new = Vec::new();
        let before = std::mem::replace(&mut self.config, in_force(&config, &self.world.pairs));
        self.settings = config;
        for device in self.devices() {
            if before.devices.contains_key(&device) {
                continue;
            }
            // A device's name has the form of a name in a path.
            let page = RelPath::new(device.as_str().as_bytes()).unwrap_or_default();
            let holder = Holder::Device(device);
            for at in [on(&holder, &RelPath::root()), Place::Catalogue.at(page)] {
                of_one_device(self.fs.make_dir(&at))?;
            }
            self.world.replicas.entry(holder.clone()).or_default();
            new.push(holder);
        }
        // A device that left the settings keeps its folder and its rows in the ledger, so that
        // nothing is lost when it comes back; plans do not see it.
        for device in before.devices.keys() {
            if self.config.devices.contains_key(device) {
                continue;
            }
            log::info!(
                "{device} does not belong to the house any more; its files stay where they are"
            );
            self.drop_queue(device)?;
            self.clear_page_notice(device);
        }
        self.pages = self.origins();
        self.wish_cursors.clear();
        self.stale = true;
        self.weigh = Some(AT_ONCE);
        self.night.live_in(&self.config.nas.timezone);
        Ok(new)
    }

    /// One turn: looks where something happened, reads the pages, acts, publishes.
    pub fn turn(&mut self, pending: Pending, now: Time) -> Result<Turn, EngineError> {
        self.unruly = false;
        self.see_running(now)?;
        self.look(pending, now)?;
        let more_looks = self.reconcile(now)?;
        self.give_back(now)?;
        self.harvest(now)?;
        let more_wishes = self.fulfil(now)?;
        self.follow_decisions(now)?;
        let more_shares = self.make_sums()? | self.end_shares(now)? | self.tend_joined(now)?;
        let more_after = self.reconcile(now)?;
        self.keep_quotas(now)?;
        self.tell_behind(now);
        self.tell_not_taken(now);
        self.tend_markers(now)?;
        self.tell_elsewhere(now);
        self.tell_obstacles(now);
        self.tell_of_devices(now);
        self.keep_space(now)?;
        if !self.unruly {
            self.clear_notice("operation");
        }
        let more = more_looks || more_wishes || more_shares || more_after || !self.dirty.is_empty();
        if more || self.stale || self.carrying.stale {
            self.night.stir(now);
        }
        // Long work comes in many turns. Until it is done, the disk and the pages wait for a while:
        // what a cut takes back is found again by looking.
        if !more || now.since(self.settled) >= PACE {
            self.settle_down()?;
            if (self.stale || self.carrying.is_due(now)) && self.publishes {
                self.publish(now)?;
            }
            self.settled = now;
        }
        Ok(Turn { more, again_in: self.next_deadline(now) })
    }

    /// Brings to the disk what was done, then what is remembered of it.
    fn settle_down(&mut self) -> Result<(), EngineError> {
        self.fs.sync()?;
        self.ledger.commit()?;
        Ok(())
    }

    /// Does one thing and remembers it. `Ok(false)`: it met something that had changed.
    fn act(&mut self, op: &Op, now: Time) -> Result<bool, EngineError> {
        match self.applier.apply(&mut *self.fs, &self.world, op, now) {
            Ok(facts) => {
                if let Some(planned) = &mut self.planned {
                    planned.push(op.clone());
                }
                log::debug!("{op}");
                for fact in &facts {
                    self.remember(fact)?;
                }
                match op {
                    Op::Sum { path, id } => self.want_sum(path, *id),
                    Op::Write { at, .. } => self.note_written(at),
                    _ => {}
                }
                Ok(true)
            }
            Err(ApplyError::Fs(e)) if e.trouble().is_some() => Err(e.into()),
            Err(e) => {
                log::info!("not now: {op}: {e}");
                self.stumble(&e, now);
                Ok(false)
            }
        }
    }

    fn remember(&mut self, fact: &Fact) -> Result<(), EngineError> {
        self.ledger.record(fact)?;
        // What was joined is the same content: nobody has to be told, nothing is on its way.
        let elsewhere = !self.world.deduplicated.is_empty() && self.is_deduplicated(fact);
        self.world.note(fact);
        if !elsewhere {
            self.note_for_carrier(fact);
        }
        self.note_decision(fact);
        match fact {
            Fact::Master(path, _) | Fact::NoMaster(path) => self.touch(path),
            Fact::Resolved(device) => {
                self.in_vain = None;
                self.calm_down(device)?;
            }
            Fact::Version(..) => {
                self.in_vain = None;
                self.weigh = Some(AT_ONCE);
            }
            Fact::Sum(..) | Fact::ChangeRate(..) => return Ok(()),
            _ => {}
        }
        self.stale = true;
        Ok(())
    }

    /// A master changed: look at the links of it, and at the devices that follow its folder.
    fn touch(&mut self, path: &RelPath) {
        for (device, replica) in &self.world.replicas {
            let Some(path) = self.world.path_on(device, path) else { continue };
            if (replica.links.get(&path).is_some() || replica.wants(&path))
                && self.looks_after(device)
            {
                self.dirty.entry((device.clone(), path)).or_insert(0);
            }
        }
    }
}
