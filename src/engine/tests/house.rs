//! A house to play in: a drive in memory that somebody else changes too, a real ledger, a clock
//! that stands still until it is told to move.

#![allow(clippy::needless_pass_by_value, reason = "scenes read better when they hand things over")]

use crate::config::{Config, Device, Role};
use crate::engine::{Engine, EngineError, SETTLE, Turn};
use crate::fs::{Entry, FileSystem, FsError, Listing, Memory, Space};
use crate::ledger::Ledger;
use crate::model::{
    Action, Answer, Bytes, DeviceName, FileId, Holder, Origin, Place, RelPath, Seen, Spot, Stat,
    Time, Wish, WishId,
};
use crate::plan::{master, on};
use crate::watch::Pending;
use crate::worklist::{self, Worklist};
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

pub(super) const START: Time = Time::from_secs(1_795_428_000);
/// What the smallest file costs a quota on the drive in memory.
pub(super) const BLOCK: u64 = 4096;

pub(super) fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

pub(super) fn device(name: &str) -> DeviceName {
    DeviceName::new(name).unwrap()
}

/// A device as who holds links.
pub(super) fn holder(device: &str) -> Holder {
    Holder::decode(device).unwrap()
}

/// Called with the drive just before two names are exchanged.
pub(super) type BeforeExchange = Box<dyn FnMut(&mut Memory, &Spot, &Spot)>;

/// The drive in memory, with its states since the last sync: where a power cut may lead back to.
#[derive(Default)]
pub(super) struct Drive {
    pub(super) now: Memory,
    pub(super) since_sync: Vec<Memory>,
    pub(super) remember: bool,
    pub(super) before_exchange: Option<BeforeExchange>,
    /// This file can't be looked at.
    pub(super) hidden: Option<Spot>,
    /// This file can't be read or removed.
    pub(super) damaged: Option<Spot>,
    /// A link of this name fails so, and how many times.
    pub(super) unlinkable: Option<(Spot, rustix::io::Errno, usize)>,
    /// The contents of files of the house that lost their last name by a call of the engine.
    pub(super) lost: Vec<Vec<u8>>,
    /// How many folders were listed.
    pub(super) listed: usize,
}

impl Drive {
    fn damage(&self, at: &Spot, doing: &'static str) -> Result<(), FsError> {
        match self.damaged.as_ref() == Some(at) {
            true => Err(FsError::new(at, doing, rustix::io::Errno::IO)),
            false => Ok(()),
        }
    }

    /// Every content with a name, but those of the pages.
    pub(super) fn contents(memory: &Memory) -> BTreeSet<Vec<u8>> {
        memory
            .files()
            .filter(|(at, _)| at.place != Place::Catalogue)
            .filter_map(|(at, _)| memory.content(at))
            .filter(|content| !content.starts_with(b"<!doctype") && !content.starts_with(b"{"))
            .map(<[u8]>::to_vec)
            .collect()
    }
}

/// The engine's handle on it.
#[derive(Clone)]
pub(super) struct Handle(pub(super) Rc<RefCell<Drive>>);

impl Handle {
    fn change<T>(&self, act: impl FnOnce(&mut Memory) -> Result<T, FsError>) -> Result<T, FsError> {
        let mut drive = self.0.borrow_mut();
        let before = drive.remember.then(|| drive.now.clone());
        let done = act(&mut drive.now);
        if let Some(before) = before {
            let after = Drive::contents(&drive.now);
            let lost = Drive::contents(&before).into_iter().filter(|c| !after.contains(c));
            let lost: Vec<_> = lost.collect();
            drive.lost.extend(lost);
            drive.since_sync.push(before);
        }
        done
    }
}

impl FileSystem for Handle {
    fn look(&mut self, at: &Spot) -> Result<Option<Entry>, FsError> {
        if self.0.borrow().hidden.as_ref() == Some(at) {
            return Err(FsError::new(at, "look", rustix::io::Errno::ACCESS));
        }
        self.0.borrow_mut().now.look(at)
    }
    fn list_until(
        &mut self,
        dir: &Spot,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Listing>>, FsError> {
        let mut drive = self.0.borrow_mut();
        drive.listed += 1;
        drive.now.list_until(dir, stop)
    }
    fn make_dir(&mut self, at: &Spot) -> Result<(), FsError> {
        self.change(|m| m.make_dir(at))
    }
    fn remove_dir(&mut self, at: &Spot) -> Result<bool, FsError> {
        self.change(|m| m.remove_dir(at))
    }
    fn link(&mut self, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, FsError> {
        if let Some((at, errno, times)) = &mut self.0.borrow_mut().unlinkable
            && at == to
            && *times > 0
        {
            *times -= 1;
            return Err(FsError::new(to, "link", *errno));
        }
        self.change(|m| m.link(from, ino, to))
    }
    fn rename(&mut self, from: &Spot, to: &Spot) -> Result<(), FsError> {
        self.change(|m| m.rename(from, to))
    }
    fn exchange(&mut self, a: &Spot, b: &Spot) -> Result<(), FsError> {
        let hook = self.0.borrow_mut().before_exchange.take();
        if let Some(mut hook) = hook {
            let mut drive = self.0.borrow_mut();
            hook(&mut drive.now, a, b);
            drive.before_exchange = Some(hook);
        }
        self.change(|m| m.exchange(a, b))
    }
    fn unlink(&mut self, at: &Spot) -> Result<(), FsError> {
        self.0.borrow().damage(at, "remove")?;
        self.change(|m| m.unlink(at))
    }
    fn read(&mut self, at: &Spot, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        self.0.borrow_mut().now.read(at, limit)
    }
    fn read_part(
        &mut self,
        at: &Spot,
        id: &FileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, FsError> {
        self.0.borrow().damage(at, "read")?;
        self.0.borrow_mut().now.read_part(at, id, offset, most)
    }
    fn write_new(&mut self, at: &Spot, content: &[u8]) -> Result<(), FsError> {
        self.change(|m| m.write_new(at, content))
    }
    fn sync(&mut self) -> Result<(), FsError> {
        let mut drive = self.0.borrow_mut();
        drive.now.sync()?;
        drive.since_sync.clear();
        Ok(())
    }
    fn denial(&mut self, at: &Spot) -> Option<crate::fs::Denial> {
        self.0.borrow_mut().now.denial(at)
    }
    fn space(&mut self) -> Result<Space, FsError> {
        self.0.borrow_mut().now.space()
    }
}

/// The house.
pub(super) struct House {
    pub(super) drive: Handle,
    dir: tempfile::TempDir,
    pub(super) engine: Option<Engine>,
    pub(super) config: Config,
    pub(super) now: Time,
    pub(super) pending: Pending,
    next_wish: u64,
}

/// Where ledgers are quick to write.
fn quick_dir() -> tempfile::TempDir {
    match std::path::Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm").unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

pub(super) fn settings(label: &str, quota: Option<u64>) -> Device {
    Device {
        label: label.into(),
        id: None,
        quota: quota.map(Bytes),
        role: Role::Device,
        may: Action::ALL.to_vec(),
    }
}

impl House {
    /// A phone and a laptop without quotas, and nothing at home.
    pub(super) fn new() -> Self {
        // What is destroyed is gone at once, unless a test says otherwise.
        let mut config = Config { undo: 0, ..Config::default() };
        config.devices.insert(device("HTCphone"), settings("HTCphone", None));
        config.devices.insert(device("LinuxLaptop"), settings("LinuxLaptop", None));
        Self::with(config)
    }

    pub(super) fn with(config: Config) -> Self {
        let mut house = Self {
            drive: Handle(Rc::default()),
            dir: quick_dir(),
            engine: None,
            config,
            now: START,
            pending: Pending::default(),
            next_wish: 1,
        };
        house.open().unwrap();
        house.settle();
        house
    }

    /// The phone has a quota of so many of the smallest files.
    pub(super) fn with_quota(blocks: u64) -> Self {
        let mut house = Self::new();
        let quota = Some(blocks * BLOCK);
        house.config.devices.insert(device("HTCphone"), settings("HTCphone", quota));
        house.configure();
        house
    }

    pub(super) fn configure(&mut self) {
        let (config, now) = (self.config.clone(), self.now);
        self.engine().configure(config, now).unwrap();
        self.settle();
    }

    /// Where its ledger is.
    pub(super) fn ledger_path(&self) -> std::path::PathBuf {
        self.dir.path().join("ledger.sqlite")
    }

    pub(super) fn try_open(&mut self) -> Result<Engine, EngineError> {
        let ledger = Ledger::open(&self.ledger_path())?;
        Engine::open(Box::new(self.drive.clone()), ledger, self.config.clone(), self.now)
    }

    /// Closes the engine as a cut would and opens it again.
    pub(super) fn open(&mut self) -> Result<(), EngineError> {
        self.engine = None;
        self.pending = Pending::default();
        self.engine = Some(self.try_open()?);
        Ok(())
    }

    pub(super) fn restart(&mut self) {
        self.open().unwrap();
        self.settle();
    }

    pub(super) fn engine(&mut self) -> &mut Engine {
        self.engine.as_mut().expect("the engine is open")
    }

    pub(super) fn memory(&self) -> std::cell::RefMut<'_, Memory> {
        std::cell::RefMut::map(self.drive.0.borrow_mut(), |drive| &mut drive.now)
    }

    pub(super) fn try_turn(&mut self) -> Result<Turn, EngineError> {
        let pending = std::mem::take(&mut self.pending);
        let now = self.now;
        self.engine().turn(pending, now)
    }

    /// Every call from the one `cut` calls from now on fails, as when the power goes.
    pub(super) fn cut_from(&mut self, cut: usize) {
        let calls = self.memory().calls;
        self.memory().fail_from = Some((calls + cut, rustix::io::Errno::IO));
    }

    /// One turn; `true` when the power went in it, and is back. At every second cut what was done since
    /// the last sync is lost.
    pub(super) fn is_cut_off(&mut self, cut: usize) -> bool {
        if self.try_turn().is_ok() {
            return false;
        }
        self.memory().fail_from = None;
        let back = self.drive.0.borrow().since_sync.first().cloned();
        if let (true, Some(back)) = (cut % 2 == 1, back) {
            *self.memory() = back;
            self.memory().fail_from = None;
        }
        self.open().unwrap();
        true
    }

    /// Turns until nothing is left to do right away.
    pub(super) fn turn(&mut self) {
        for _ in 0..100 {
            if !self.try_turn().unwrap().more {
                return;
            }
        }
        panic!("the engine never comes to rest");
    }

    pub(super) fn wait(&mut self, seconds: i64) {
        self.now = self.now.plus_secs(seconds);
        self.turn();
    }

    /// The house runs on for so many days.
    pub(super) fn days(&mut self, days: i64) {
        (0..days).for_each(|_| self.wait(86_400));
    }

    /// What is to happen has happened.
    pub(super) fn settle(&mut self) {
        self.turn();
        self.wait(SETTLE + 1);
        self.wait(1);
    }

    /// Somebody at home saves a file.
    pub(super) fn home(&mut self, at: &str, content: &str) -> u64 {
        self.save(master(&path(at)), content)
    }

    /// A device's file arrives, as its sync engine brings it.
    pub(super) fn on(&mut self, name: &str, at: &str, content: &str) -> u64 {
        self.save(on(&holder(name), &path(at)), content)
    }

    pub(super) fn phone(&mut self, at: &str, content: &str) -> u64 {
        self.on("HTCphone", at, content)
    }

    pub(super) fn save(&mut self, at: Spot, content: &str) -> u64 {
        let ino = self.memory().put(&at, content.as_bytes(), self.now);
        self.hint(&at);
        ino
    }

    /// The name and those of the folders above it, as events name them.
    pub(super) fn hint(&mut self, at: &Spot) {
        for folder in at.path.ancestors().into_iter().skip(1) {
            self.pending.add(&at.place.clone().at(folder));
        }
        self.pending.add(at);
    }

    pub(super) fn take(&mut self, at: Spot) {
        self.memory().take(&at);
        self.hint(&at);
    }

    pub(super) fn phone_deletes(&mut self, at: &str) {
        self.take(on(&holder("HTCphone"), &path(at)));
    }

    pub(super) fn shift(&mut self, from: Spot, to: Spot) {
        self.memory().shift(&from, &to);
        self.hint(&from);
        self.hint(&to);
    }

    fn at(&self, at: &Spot) -> Option<String> {
        self.memory().content(at).map(|c| String::from_utf8_lossy(c).into_owned())
    }

    pub(super) fn at_home(&self, at: &str) -> Option<String> {
        self.at(&master(&path(at)))
    }

    pub(super) fn at_device(&self, name: &str, at: &str) -> Option<String> {
        self.at(&on(&holder(name), &path(at)))
    }

    pub(super) fn at_phone(&self, at: &str) -> Option<String> {
        self.at_device("HTCphone", at)
    }

    /// Everything in a place, as `path=content`.
    pub(super) fn all(&self, place: &Place) -> Vec<String> {
        let memory = self.memory();
        let here = memory.files().filter(|(at, _)| at.place == *place);
        here.map(|(at, _)| {
            format!("{}={}", at.path, String::from_utf8_lossy(memory.content(at).unwrap()))
        })
        .collect()
    }

    pub(super) fn masters(&self) -> Vec<String> {
        self.all(&Place::Files)
    }

    pub(super) fn phone_files(&self) -> Vec<String> {
        self.all(&Place::Device(device("HTCphone")))
    }

    pub(super) fn kept(&self) -> Vec<String> {
        self.all(&Place::Versions)
    }

    /// A wish for a path, not yet sent.
    pub(super) fn wish(&mut self, action: Action, at: &str) -> Wish {
        let id = WishId::parse(&format!("{:020x}", self.next_wish)).unwrap();
        self.next_wish += 1;
        Wish {
            id,
            action,
            path: path(at),
            to: Vec::new(),
            from: None,
            with: None,
            limit_mb: None,
            seen: self.seen(at),
            at: self.now,
        }
    }

    /// What a page shows of a file or folder now.
    pub(super) fn seen(&self, at: &str) -> Option<Seen> {
        let memory = &mut *self.memory();
        let below: Vec<Spot> = memory
            .files()
            .filter(|(spot, _)| spot.place == Place::Files && spot.path.is_within(&path(at)))
            .map(|(spot, _)| spot.clone())
            .collect();
        let mut seen: Option<Seen> = None;
        for spot in below {
            let id = memory.stat(&spot).unwrap().unwrap().id;
            let (size, mtime) = seen.map_or((0, i64::MIN), |s| (s.size, s.mtime));
            seen = Some(Seen { size: size + id.size, mtime: mtime.max(id.mtime.secs()) });
        }
        seen
    }

    pub(super) fn page(origin: &Origin) -> Spot {
        Place::Catalogue.at(match origin {
            Origin::Home => path("catalogue.html"),
            Origin::Device(d) => path(&format!("{d}/catalogue.html")),
        })
    }

    /// The page with wishes saved into it, as a browser writes it.
    pub(super) fn page_with(&self, origin: &Origin, wishes: &[Wish]) -> Vec<u8> {
        let memory = self.memory();
        let page = memory.content(&Self::page(origin)).expect("there is a page");
        let mut list = worklist::parse(worklist::find(page).unwrap());
        list.wishes.extend_from_slice(wishes);
        worklist::put_text(page, &self.sealed(origin, &list)).unwrap()
    }

    /// Saves wishes into the page of somebody.
    pub(super) fn press(&mut self, origin: &Origin, wishes: &[Wish]) {
        let (page, at) = (self.page_with(origin, wishes), Self::page(origin));
        self.memory().put(&at, &page, self.now);
        self.hint(&at);
    }

    /// A whole night's work.
    pub(super) fn night(&mut self) {
        let now = self.now;
        self.engine().whole_night(now).unwrap();
    }

    /// One wish from the phone's page, and its answer.
    pub(super) fn phone_wishes(&mut self, wish: Wish) -> Answer {
        let origin = Origin::Device(device("HTCphone"));
        self.press(&origin, std::slice::from_ref(&wish));
        self.turn();
        self.answer(&origin, wish.id)
    }

    /// One wish of the simple kind, from the phone's page.
    pub(super) fn phone_asks(&mut self, action: Action, at: &str) -> Answer {
        let wish = self.wish(action, at);
        self.phone_wishes(wish)
    }

    pub(super) fn answer(&mut self, origin: &Origin, id: WishId) -> Answer {
        let answers = self.engine().ledger.answers(origin, 1000).unwrap();
        let found = answers.into_iter().find(|a| a.id == id).expect("the wish arrived");
        found.answer.unwrap_or(Answer::Waiting("its turn".into()))
    }

    /// A worklist as the phone's page saves it as a file.
    pub(super) fn worklist(&mut self, wishes: &[Wish]) -> Vec<u8> {
        let origin = Origin::Device(device("HTCphone"));
        let list = Worklist {
            version: 2,
            page: self.engine().page_id(&origin),
            device: Some("HTCphone".into()),
            wishes: wishes.to_vec(),
            ..Worklist::default()
        };
        self.sealed(&origin, &list).into_bytes()
    }

    /// A worklist with the seal of a page, where the page has a key.
    pub(super) fn sealed(&self, origin: &Origin, list: &Worklist) -> String {
        let engine = self.engine.as_ref().expect("the engine runs");
        let text = worklist::to_json(list);
        let key = engine.page_keys().into_iter().find(|key| key.origin == *origin);
        match key {
            Some(key) => worklist::mac::seal(&key.key, worklist::mac::Sealed::Worklist, &text),
            None => text,
        }
    }

    /// What the owner is told at the moment.
    pub(super) fn told(&mut self) -> String {
        let notices = self.engine().report().notices;
        notices.into_iter().map(|n| format!("{}; {}\n", n.what, n.next)).collect()
    }
}

pub(super) fn is_done(answer: &Answer) -> bool {
    matches!(answer, Answer::Done(_))
}

pub(super) fn refusal(answer: Answer) -> String {
    match answer {
        Answer::Refused(why) => why,
        other => panic!("not refused: {other:?}"),
    }
}
