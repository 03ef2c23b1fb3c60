//! Random lives of a house: the owner at home, two devices and their wishes, failing drives, power
//! cuts and restarts in any order. After every step the nevers of the design have to hold, and at
//! the end everything has to come to rest in one consistent state.

use super::house::{BLOCK, Drive, House, START, device, holder, is_done, path, settings};
use super::judged::{History, InMemory, Kind, Snapshot, Violation, judge, judge_contents};
use crate::fs::FileSystem as _;
use crate::model::{Action, Origin, Place, RelPath, Spot, Tree, Wish};
use crate::plan::{Fact, MassChange, NOTE_BEGINS, ShareState, enforce_quota, master, on};
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::BTreeSet;

/// So many lives; `LARDER_LIVES` says otherwise.
pub(super) fn lives() -> u32 {
    std::env::var("LARDER_LIVES").ok().and_then(|n| n.parse().ok()).unwrap_or(1_000)
}

const PATHS: [&str; 5] = ["a", "d/a", "d/b", "d/e/c", "z"];
const FOLDERS: [&str; 3] = ["", "d", "d/e"];
const DEVICES: [&str; 2] = ["HTCphone", "LinuxLaptop"];

#[derive(Clone, Debug)]
enum Step {
    HomeSaves(usize),
    HomeTakes(usize),
    HomeRenames(usize, usize),
    DeviceSaves(usize, usize),
    DeviceTakes(usize, usize),
    DeviceRenames(usize, usize, usize),
    /// From a device's page, an action for a file or folder, and the device it names.
    Wishes(usize, Action, usize, usize),
    /// An old wish arrives again.
    Repeats(usize),
    Waits(i64),
    Restarts,
    /// The drive fails from the nth change on.
    Fails(usize, bool),
    /// The power fails: the drive is as it was some changes ago, at most since it was synced.
    Cut(usize),
    /// A device is taken to be in a mass change.
    MassChanges(usize),
    /// Somebody answers for it, on the common page.
    Answers(usize, bool),
    /// The phone's quota, in smallest files; 0 is none.
    Quota(u64),
    /// Somebody else puts a file into one of the folders that others joined, or takes it out.
    StrangerSaves(usize, usize),
    StrangerTakes(usize, usize),
    /// The sync engine is given what is shared, and lets go of what is not.
    Carries,
}

fn step() -> impl Strategy<Value = Step> {
    let p = 0..PATHS.len();
    let d = 0..DEVICES.len();
    let all = PATHS.len() + FOLDERS.len();
    let action = prop::sample::select(vec![
        Action::Get,
        Action::Get,
        Action::Get,
        Action::Open,
        Action::Delete,
        Action::Destroy,
        Action::Move,
        Action::Mkdir,
        Action::Pin,
        Action::Unpin,
        Action::Undo,
        Action::Share,
        Action::Revoke,
        Action::ShareFolder,
        Action::ShareFolder,
        Action::RevokeShare,
        Action::DestroyFolder,
    ]);
    prop_oneof![
        3 => p.clone().prop_map(Step::HomeSaves),
        1 => p.clone().prop_map(Step::HomeTakes),
        1 => (p.clone(), p.clone()).prop_map(|(a, b)| Step::HomeRenames(a, b)),
        2 => (0usize..3, p.clone()).prop_map(|(f, p)| Step::StrangerSaves(f, p)),
        1 => (0usize..3, p.clone()).prop_map(|(f, p)| Step::StrangerTakes(f, p)),
        1 => Just(Step::Carries),
        3 => (d.clone(), p.clone()).prop_map(|(d, p)| Step::DeviceSaves(d, p)),
        1 => (d.clone(), p.clone()).prop_map(|(d, p)| Step::DeviceTakes(d, p)),
        1 => (d.clone(), p.clone(), p).prop_map(|(d, a, b)| Step::DeviceRenames(d, a, b)),
        8 => (d.clone(), action, 0..all, d).prop_map(|(o, a, p, d)| Step::Wishes(o, a, p, d)),
        1 => (0usize..8).prop_map(Step::Repeats),
        3 => prop::sample::select(vec![1, 11, 100]).prop_map(Step::Waits),
        1 => Just(Step::Restarts),
        2 => (0usize..40, any::<bool>()).prop_map(|(n, full)| Step::Fails(n, full)),
        2 => (0usize..40).prop_map(Step::Cut),
        1 => (0u64..5).prop_map(Step::Quota),
        1 => (0..DEVICES.len()).prop_map(Step::MassChanges),
        2 => (0..DEVICES.len(), any::<bool>()).prop_map(|(d, kept)| Step::Answers(d, kept)),
    ]
}

struct Life {
    house: House,
    /// Contents that somebody asked to destroy.
    doomed: BTreeSet<Vec<u8>>,
    sent: Vec<(Origin, Wish)>,
    saved: usize,
    /// What the oracle is told.
    history: History,
    /// What the drive had before the step.
    before: BTreeSet<[u8; 32]>,
}

impl Life {
    fn new(undo: bool) -> Self {
        let mut house = House::new();
        house.config.undo = if undo { 86_400 } else { 0 };
        house.configure();
        house.engine().publishes = false;
        house.drive.0.borrow_mut().remember = true;
        let devices = DEVICES.map(|name| (name, None));
        let mut history = History::new(house.now.secs(), house.config.undo, &devices);
        history.pages = false;
        let (sent, doomed, before) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
        Self { house, doomed, sent, saved: 0, history, before }
    }

    /// Opens the engine anew; without pages it is ten times as quick.
    fn open(&mut self) {
        self.house.open().unwrap();
        self.house.engine().publishes = false;
    }

    fn content(&mut self) -> String {
        self.saved += 1;
        format!("content {}", self.saved)
    }

    /// Somebody else changed the drive at a path, at home or on a device: what was there before that is on the disk as
    /// well.
    fn outside(&mut self, device: Option<&usize>, p: &usize) {
        self.house.drive.0.borrow_mut().since_sync.clear();
        let view = self.view();
        let now = Snapshot::of(&view);
        self.history.acted(&self.before, &now);
        self.before = now.sums();
        match device {
            Some(d) => self.history.touched_on(DEVICES[*d], PATHS[*p].as_bytes()),
            None => self.history.touched_at_home(PATHS[*p].as_bytes()),
        }
    }

    /// Others changed a folder that they joined.
    fn outside_in_shared(&mut self) {
        self.outside(None, &0);
        self.history.touched_at_home(b"");
    }

    fn view(&self) -> InMemory {
        InMemory::of(&mut self.house.memory())
    }

    fn exists(&self, at: &Spot) -> bool {
        self.house.memory().content(at).is_some()
    }

    /// A file can be put there: no file is where its folders should be.
    fn play(&mut self, step: &Step) {
        self.history.now = self.house.now.secs();
        let home = |p: &usize| master(&path(PATHS[*p]));
        let of = |d: &usize, p: &usize| on(&holder(DEVICES[*d]), &path(PATHS[*p]));
        match step {
            Step::HomeSaves(p) => {
                let content = self.content();
                self.house.save(home(p), &content);
                self.outside(None, p);
            }
            Step::DeviceSaves(d, p) => {
                let content = self.content();
                self.house.save(of(d, p), &content);
                self.outside(Some(d), p);
            }
            Step::StrangerSaves(f, p) => {
                let content = self.content();
                if let Some(at) = self.theirs(*f, *p) {
                    self.house.save(at, &content);
                    self.outside_in_shared();
                }
            }
            Step::StrangerTakes(f, p) => {
                if let Some(at) = self.theirs(*f, *p) {
                    self.house.take(at);
                    self.outside_in_shared();
                }
            }
            Step::Carries => self.carry(),
            Step::HomeTakes(p) => {
                self.house.take(home(p));
                self.outside(None, p);
            }
            Step::DeviceTakes(d, p) => {
                self.house.take(of(d, p));
                self.outside(Some(d), p);
            }
            Step::HomeRenames(a, b) if self.exists(&home(a)) => {
                self.house.shift(home(a), home(b));
                self.outside(None, a);
                self.outside(None, b);
            }
            Step::DeviceRenames(d, a, b) if self.exists(&of(d, a)) => {
                self.house.shift(of(d, a), of(d, b));
                self.outside(Some(d), a);
                self.outside(Some(d), b);
            }
            Step::HomeRenames(..) | Step::DeviceRenames(..) => {}
            Step::Wishes(origin, action, p, to) => {
                // A folder where others save files would be another game.
                let at = match action {
                    Action::Mkdir => FOLDERS[p % FOLDERS.len()],
                    _ => PATHS.iter().chain(&FOLDERS).nth(*p).unwrap(),
                };
                let mut wish = self.house.wish(*action, at);
                wish.to = vec![holder(DEVICES[*to])];
                if *action == Action::Destroy {
                    self.doom(&path(at));
                }
                self.send(Origin::Device(device(DEVICES[*origin])), wish);
            }
            Step::Repeats(n) => {
                if let Some((origin, wish)) = self.sent.get(*n).cloned() {
                    self.send(origin, wish);
                }
            }
            Step::Waits(seconds) => self.house.now = self.house.now.plus_secs(*seconds),
            Step::Restarts => self.open(),
            Step::Fails(n, full) => {
                let errno = if *full { Errno::NOSPC } else { Errno::IO };
                let calls = self.house.memory().calls;
                self.house.memory().fail_from = Some((calls + n, errno));
                let failed = self.house.try_turn().is_err();
                self.house.memory().fail_from = None;
                if failed {
                    self.open();
                }
            }
            Step::Cut(n) => {
                self.house.try_turn().unwrap();
                // Pages are still being written when it comes.
                self.house.engine = None;
                let mut drive = self.house.drive.0.borrow_mut();
                let back = drive.since_sync.len().saturating_sub(*n);
                if let Some(state) = drive.since_sync.get(back).cloned() {
                    drive.now = state;
                }
                drive.since_sync.clear();
                drop(drive);
                self.open();
            }
            Step::MassChanges(d) => {
                let at = self.house.now;
                let mass_change =
                    MassChange { first: 0, since: START, at, rewritten: 0, deleted: 0 };
                let fact = Fact::MassChange(holder(DEVICES[*d]), mass_change);
                self.house.engine().remember(&fact).unwrap();
                self.history.unsettled(DEVICES[*d]);
            }
            Step::Answers(d, kept) => self.answer(*d, *kept),
            Step::Quota(blocks) => {
                let quota = (*blocks > 0).then_some(blocks * BLOCK);
                let phone = device("HTCphone");
                self.history.devices.insert("HTCphone".into(), quota);
                self.house.config.devices.insert(phone, settings("HTCphone", quota));
                let (config, now) = (self.house.config.clone(), self.house.now);
                self.house.engine().configure(config, now).unwrap();
            }
        }
    }

    fn answer(&mut self, d: usize, kept: bool) {
        let action = if kept { Action::KeepMine } else { Action::Allow };
        let mut wish = self.house.wish(action, "");
        wish.to = vec![holder(DEVICES[d])];
        self.send(Origin::Home, wish);
    }

    /// A name in one of the folders that others joined and that is carried.
    fn theirs(&mut self, folder: usize, p: usize) -> Option<Spot> {
        let world = self.house.engine().world();
        let carried = |s: &&crate::plan::Share| s.is_joined() && s.state != ShareState::Making;
        let all: Vec<_> = world.shares.iter().filter(|(_, s)| carried(s)).collect();
        let (name, _) = all.get(folder % all.len().max(1))?;
        Some(on(&crate::model::Holder::shared(name), &path(PATHS[p])))
    }

    fn carry(&mut self) {
        let engine = self.house.engine();
        let has = engine.shares_to_carry().unwrap();
        engine.shares_carried(has.iter().map(|s| s.name.as_str()));
    }

    fn doom(&mut self, at: &RelPath) {
        let memory = self.house.memory();
        let below = memory
            .files()
            .filter(|(spot, _)| spot.place == Place::Files && spot.path.is_within(at))
            .filter_map(|(spot, _)| memory.content(spot).map(<[u8]>::to_vec));
        let below: Vec<_> = below.collect();
        drop(memory);
        self.doomed.extend(below);
    }

    fn send(&mut self, origin: Origin, wish: Wish) {
        let list = self.house.worklist(std::slice::from_ref(&wish));
        let list = crate::worklist::parse(&list);
        let now = self.house.now;
        self.house.engine().receive(&origin, &list, now).unwrap();
        let again = self.sent.iter().any(|(o, w)| *o == origin && w.id == wish.id);
        if !again {
            let view = self.view();
            let page = match &origin {
                Origin::Home => "",
                Origin::Device(device) => device.as_str(),
            };
            let (id, what) = (wish.id.to_string(), (wish.action.name(), wish.path.as_bytes()));
            let to: Vec<String> = wish.to.iter().map(ToString::to_string).collect();
            let to: Vec<&str> = to.iter().map(String::as_str).collect();
            self.history.press(&Snapshot::of(&view), page, &id, what, &to);
            self.sent.push((origin, wish));
        }
    }

    fn names(&self) -> Vec<(Spot, u64)> {
        let memory = self.house.memory();
        let ours = memory.files().filter(|(at, _)| at.place != Place::Catalogue);
        ours.map(|(at, ino)| (at.clone(), ino)).collect()
    }

    /// What must hold after every turn.
    fn nevers(&mut self) -> Result<(), TestCaseError> {
        let lost = self.house.drive.0.borrow().lost.clone();
        for content in lost {
            let asked = self.doomed.contains(&content) && self.house.config.undo == 0;
            let text = String::from_utf8_lossy(&content).into_owned();
            // The note that a folder was destroyed is ours.
            let note = text.starts_with(NOTE_BEGINS);
            prop_assert!(asked || note, "{text} lost its last name and nobody asked");
        }
        let view = self.view();
        self.history.now = self.house.now.secs();
        let now = Snapshot::of(&view);
        judged(&judge_contents(&now, &self.history))?;
        self.history.see(&now);
        self.before = now.sums();
        for name in DEVICES {
            let quota = self.house.config.devices[&device(name)].quota;
            let world = self.house.engine().world();
            let replica = &world.replicas[&holder(name)];
            let (_, short) = enforce_quota(world, &holder(name), quota);
            let over = quota.is_some_and(|quota| replica.used() > quota);
            prop_assert!(!over || short.is_some(), "{name} holds more than its quota");
        }
        Ok(())
    }

    /// What must hold when nothing is left to do.
    fn at_rest(&mut self) -> Result<(), TestCaseError> {
        self.house.settle();
        // A mass change is at rest only when it is answered.
        for d in 0..DEVICES.len() {
            self.answer(d, d == 0);
        }
        self.carry();
        self.house.settle();
        self.nevers()?;
        let names = self.names();
        let masters: BTreeSet<u64> =
            names.iter().filter(|(at, _)| at.place == Place::Files).map(|(_, ino)| *ino).collect();
        for (at, ino) in &names {
            prop_assert!(at.place != Place::Tmp, "{at} is left over");
            if matches!(at.place, Place::Device(_)) {
                prop_assert!(masters.contains(ino), "{at} is not at home");
            }
        }
        for name in DEVICES {
            let place = Place::Device(device(name));
            let there: BTreeSet<RelPath> = names
                .iter()
                .filter(|(at, _)| at.place == place)
                .map(|(at, _)| at.path.clone())
                .collect();
            let mut booked = BTreeSet::new();
            let links = &self.house.engine().world().replicas[&holder(name)].links;
            links.for_each(Tree::<crate::model::Link>::ROOT, |p, _| {
                booked.insert(RelPath::new(p).unwrap());
            });
            prop_assert_eq!(booked, there, "{}", name);
        }
        let in_shares = names.iter().filter(|(at, _)| at.place == Place::Shared);
        let in_shares: BTreeSet<_> = in_shares.map(|(at, ino)| (at.path.clone(), *ino)).collect();
        let world = self.house.engine().world();
        let mut known = BTreeSet::new();
        world.shared.for_each(Tree::<crate::model::FileId>::ROOT, |p, id| {
            known.insert((RelPath::new(p).unwrap(), id.ino));
        });
        for (name, share) in world.shares.iter().filter(|(_, share)| share.is_joined()) {
            let holder = crate::model::Holder::shared(name);
            let Some(replica) = world.replicas.get(&holder) else { continue };
            replica.links.for_each(Tree::<crate::model::Link>::ROOT, |p, link| {
                known.insert((on(&holder, &RelPath::new(p).unwrap()).path, link.id.ino));
            });
            let at = |(at, _): &&(RelPath, u64)| crate::plan::below_shared(at, name).is_some();
            let theirs: Vec<_> = in_shares.iter().filter(at).collect();
            if share.takes() {
                prop_assert!(theirs.iter().all(|(_, ino)| masters.contains(ino)), "{:?}", theirs);
            } else {
                // Nothing but the note.
                prop_assert_eq!(theirs.len(), 1, "{:?}", theirs);
                known.extend(theirs.into_iter().cloned());
            }
        }
        prop_assert_eq!(known, in_shares);
        let rests = |s: &crate::plan::Share| s.is_live() || s.state == ShareState::Revoked;
        prop_assert!(world.shares.values().all(rests));
        let kept = names.iter().filter(|(at, _)| at.place == Place::Versions).count();
        prop_assert_eq!(kept, self.house.engine().world().versions.len());
        judged(&judge(&self.view(), &self.house.ledger_path(), &self.history))?;
        // Everything again, and a restart: nothing changes any more.
        for (origin, wish) in self.sent.clone() {
            self.send(origin, wish);
        }
        self.house.settle();
        self.open();
        self.house.settle();
        prop_assert_eq!(self.names(), names);
        Ok(())
    }
}

/// What the oracle says of it.
fn judged(found: &[Violation]) -> Result<(), TestCaseError> {
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    prop_assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

fn live(undo: bool, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut life = Life::new(undo);
    for step in steps {
        life.play(step);
        if !matches!(step, Step::Cut(_) | Step::Fails(..)) {
            let before = Drive::contents(&life.house.memory()).len();
            life.house.turn();
            if let Step::Wishes(_, Action::Get, p, to) = step
                && let (Some((origin, wish)), Some(at)) = (life.sent.last().cloned(), PATHS.get(*p))
                && is_done(&life.house.answer(&origin, wish.id))
            {
                let there = life.house.at_device(DEVICES[*to], at).is_some();
                prop_assert!(there, "{at} is said to be there, of {before} contents");
            }
        }
        life.nevers()?;
    }
    life.at_rest()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: lives(), max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_life_breaks_a_promise(undo: bool, steps in prop::collection::vec(step(), 1..25)) {
        live(undo, &steps)?;
    }
}

/// The phone asks for everything while a file that it made itself is held: it gets the one from home.
#[test]
fn what_was_asked_for_under_a_name_that_was_held_is_there_at_rest() {
    let asks = Step::Wishes(0, Action::Get, PATHS.len(), 0);
    live(
        false,
        &[Step::HomeSaves(2), Step::MassChanges(0), Step::DeviceSaves(0, 2), asks, Step::Waits(1)],
    )
    .unwrap();
}

/// What the oracle says of a life is not nothing because it sees nothing.
#[test]
fn what_is_broken_in_a_life_is_found() {
    let mut life = Life::new(false);
    let get = Step::Wishes(0, Action::Get, 2, 0);
    for step in [Step::HomeSaves(0), Step::HomeSaves(2), Step::Waits(100), get, Step::Waits(1)] {
        life.play(&step);
        life.house.turn();
        life.nevers().unwrap();
    }
    let kinds = |life: &Life| -> BTreeSet<Kind> {
        let found = judge(&life.view(), &life.house.ledger_path(), &life.history);
        found.into_iter().map(|violation| violation.kind).collect()
    };
    assert_eq!(kinds(&life), BTreeSet::new());
    let (secret, phone) = (master(&path("a")), |at: &str| on(&holder("HTCphone"), &path(at)));
    let ino = life.house.memory().stat(&secret).unwrap().unwrap().id.ino;
    life.house.memory().link(&secret, ino, &phone("a")).unwrap();
    assert_eq!(kinds(&life), [Kind::Foreign].into());
    life.house.memory().take(&phone("d/b"));
    assert_eq!(kinds(&life), [Kind::Foreign, Kind::Missing].into());
    life.house.memory().take(&phone("a"));
    life.house.memory().take(&secret);
    assert_eq!(kinds(&life), [Kind::Lost, Kind::Missing].into());
}
