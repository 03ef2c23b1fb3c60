//! The night: when it works and when it rests, what it does to old contents, what it verifies, and that
//! whoever holds what was joined notices nothing. Cut off anywhere.

use super::house::{BLOCK, House, device, holder, is_done, path, settings};
use super::{furnished, phone_page};
use crate::config::Config;
use crate::dedup::{Event, Join};
use crate::engine::{Engine, Known, News, Verification};
use crate::fs::{FileSystem as _, Memory, Real};
use crate::ledger::Ledger;
use crate::model::{Action, Bytes, Origin, Place, RelPath, Spot, Time, Tree};
use crate::plan::night::Task;
use crate::plan::{kept, master, on};
use crate::status::Condition;
use crate::watch::Pending;
use rustix::io::Errno;
use std::cell::Cell;

const DAY: i64 = 86_400;

/// A file that is summed ahead of need.
fn large(letter: char) -> String {
    letter.to_string().repeat(1 << 20)
}

impl House {
    /// It is night, and nothing has moved for long.
    fn fall_asleep(&mut self) {
        let day = DAY - (self.now.secs() - 3_600).rem_euclid(DAY);
        self.wait(day);
        self.wait(60);
    }

    fn tonight(&mut self) -> Option<Task> {
        let now = self.now;
        self.engine().plan_night(now).unwrap()
    }

    /// A slice of the night's work, disturbed after so many questions.
    fn slice(&mut self, questions: usize) {
        let (now, asked) = (self.now, Cell::new(0));
        let mut disturbed = |_: &crate::engine::Ours<'_>| {
            asked.set(asked.get() + 1);
            asked.get() > questions
        };
        self.engine().work_in_the_night(now, &mut disturbed).unwrap();
    }

    /// The night goes on until all is done.
    fn sleep(&mut self) {
        for _ in 0..100 {
            self.wait(11);
            if self.tonight().is_some() {
                self.slice(1_000);
            }
        }
        assert_eq!(self.tonight(), None);
    }

    /// What the night does to two names of equal contents: the second means the first one's inode, its own
    /// waits aside.
    pub(super) fn join(&mut self, keep: &str, other: &str) -> Event {
        let mut memory = self.memory();
        let event = join(&mut memory, keep, other).unwrap();
        drop(memory);
        event
    }

    pub(super) fn take_joins(&mut self, events: Vec<Event>) {
        let now = self.now;
        self.engine().take_joins(events, now).unwrap();
        self.engine().settle_down().unwrap();
    }

    fn ino(&self, at: &Spot) -> u64 {
        self.memory().stat(at).unwrap().unwrap().id.ino
    }

    fn condition(&mut self) -> Condition {
        self.engine().report().condition
    }

    fn sums(&mut self) -> usize {
        let world = self.engine().world();
        let mut sums = 0;
        world.files.for_each(Tree::<crate::model::Stat>::ROOT, |_, stat| {
            sums += usize::from(world.sum(&stat.id).is_some());
        });
        sums
    }
}

fn join(memory: &mut Memory, keep: &str, other: &str) -> Result<Event, crate::fs::FsError> {
    let (keep, other) = (path(keep), path(other));
    let aside = format!("joined/1/{other}");
    let aside = Place::Versions.at(path(&aside));
    let kept = memory.stat(&master(&keep))?.unwrap().id.ino;
    memory.make_dir(&Place::Versions.at(aside.path.parent().unwrap()))?;
    let stat = memory.link(&master(&keep), kept, &aside)?;
    memory.exchange(&aside, &master(&other))?;
    let join = Join { path: other, with: keep, size: stat.id.size, saves: Bytes(0) };
    Ok(Event::Joined(join, stat))
}

#[test]
fn works_in_the_window_while_nothing_moves_and_goes_on_where_it_stopped() {
    let mut house = House::new();
    for letter in ['a', 'b', 'c'] {
        house.home(&letter.to_string(), &large(letter));
    }
    house.home("small", "s");
    house.settle();
    assert_eq!((house.tonight(), house.condition()), (None, Condition::Ready));
    house.fall_asleep();
    assert_eq!(house.tonight(), Some(Task::Sums));
    assert_eq!(house.condition(), Condition::Working);
    house.slice(3);
    assert_eq!(house.sums(), 1, "it worked until it was disturbed");
    assert!(!house.try_turn().unwrap().more, "what the night began is no work for the day");
    // Somebody looks at a film over the network: it rests, and for a moment after that.
    let now = house.now;
    house.engine().others_read(now);
    assert_eq!((house.tonight(), house.condition()), (None, Condition::Ready));
    house.wait(9);
    assert_eq!(house.tonight(), None);
    house.wait(1);
    assert_eq!(house.tonight(), Some(Task::Sums));
    // Bytes move: the same.
    let now = house.now;
    house.engine().hear(News::Moving(true), now).unwrap();
    house.turn();
    assert_eq!((house.tonight(), house.condition()), (None, Condition::Syncing));
    house.engine().hear(News::Moving(false), now).unwrap();
    house.wait(9);
    assert_eq!(house.tonight(), None);
    house.wait(1);
    assert_eq!(house.tonight(), Some(Task::Sums));
    house.slice(1_000);
    assert_eq!(house.sums(), 3, "the small one is summed when it is asked for");
    // So does a wish, and whatever happens at home.
    assert_eq!(house.tonight(), Some(Task::Settle));
    assert!(is_done(&house.phone_asks(Action::Get, "small")));
    assert_eq!(house.tonight(), None);
    house.wait(10);
    house.home("new", "n");
    house.turn();
    assert_eq!(house.tonight(), None);
    house.wait(10);
    // On a drive in memory there is nothing to join.
    house.slice(1_000);
    for task in [Task::Settle, Task::Dedup, Task::Expiry] {
        assert_eq!(house.tonight(), Some(task));
        house.slice(1_000);
    }
    // Over a restart it knows what it did tonight.
    assert_eq!(house.tonight(), Some(Task::Check));
    house.restart();
    house.wait(10);
    assert_eq!(house.tonight(), Some(Task::Check));
    house.slice(1_000);
    assert_eq!((house.tonight(), house.condition()), (None, Condition::Ready));
    assert_eq!(house.told(), "");
    house.fall_asleep();
    assert_eq!(house.tonight(), Some(Task::Sums));
    // By day it is over, wherever it was.
    house.wait(4 * 3_600);
    assert_eq!(house.tonight(), None);
}

#[test]
fn waits_for_no_absence_that_nobody_confirms() {
    let mut house = furnished();
    house.engine().carried([holder("HTCphone")]);
    house.phone_asks(Action::Get, "z");
    house.engine().hear(News::Here(holder("HTCphone"), vec![path("z")]), Time(0)).unwrap();
    house.settle();
    house.fall_asleep();
    house.take(on(&holder("HTCphone"), &path("z")));
    house.turn();
    house.wait(20);
    assert_eq!(house.tonight(), None, "it may be on its way to another name");
    house.wait(120);
    assert!(house.engine().is_settling(), "the phone is away and says nothing");
    assert_eq!(house.tonight(), Some(Task::Sums));
}

#[test]
fn a_share_of_what_was_summed_is_made_at_once() {
    let mut house = House::new();
    house.home("film", &"f".repeat(20 << 20));
    house.settle();
    house.night();
    let mut wish = house.wish(Action::Share, "film");
    wish.with = Some("Friend".into());
    house.press(&Origin::Home, std::slice::from_ref(&wish));
    house.try_turn().unwrap();
    assert!(!house.engine().is_summing());
    house.turn();
    assert!(is_done(&house.answer(&Origin::Home, wish.id)));
}

#[test]
fn what_can_not_be_read_ends_the_night_and_is_told() {
    let mut house = House::new();
    house.home("good", &large('g'));
    house.home("bad", &large('b'));
    house.settle();
    house.drive.0.borrow_mut().damaged = Some(master(&path("bad")));
    house.fall_asleep();
    assert_eq!(house.tonight(), Some(Task::Sums));
    house.slice(100);
    let told = house.told();
    assert!(told.contains("the night's work ended: BTsync/files/bad"), "{told}");
    assert!(told.contains("wearing out"), "{told}");
    assert_eq!(house.condition(), Condition::Attention);
    house.wait(60);
    assert_eq!(house.tonight(), None);
    house.restart();
    house.wait(60);
    assert_eq!(house.tonight(), None, "it does not try again tonight");
    // The day goes on, and so does another night.
    assert!(is_done(&house.phone_asks(Action::Get, "good")));
    house.drive.0.borrow_mut().damaged = None;
    house.fall_asleep();
    while house.tonight().is_some() {
        house.slice(1_000);
    }
    assert_eq!(house.told(), "");
    assert_eq!(house.sums(), 2);
}

// Old contents.

/// A phone that edited `1` and then `2`, and a file that was destroyed and can be brought back, each of
/// a hundred blocks: a page takes some fifteen.
fn with_versions() -> House {
    let mut house = House::new();
    house.config.undo = 10 * DAY;
    house.configure();
    let large = |letter: &str| letter.repeat(100 * BLOCK as usize);
    house.home("doomed", &large("d"));
    house.settle();
    house.phone_asks(Action::Destroy, "doomed");
    for at in ["1", "2"] {
        house.home(at, &large(at));
        house.settle();
        house.phone_asks(Action::Get, at);
        house.phone(at, "edited");
        house.settle();
    }
    assert_eq!(house.kept_paths(), ["doomed", "1", "2"]);
    house
}

impl House {
    fn kept_paths(&mut self) -> Vec<String> {
        let versions = &self.engine().world().versions;
        let paths: Vec<_> = versions.values().map(|v| v.path.to_string()).collect();
        assert_eq!(paths.len(), self.all(&Place::Versions).len());
        paths
    }

    /// So many blocks are left on the drive.
    fn fill(&mut self, free: u64) {
        let mut memory = self.memory();
        memory.capacity = 1 << 40;
        let used = memory.capacity - memory.space().unwrap().free.0;
        memory.capacity = used + free * BLOCK;
    }
}

#[test]
fn old_contents_go_in_the_night_and_by_day_only_when_there_are_no_nights() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "z");
    house.phone("z", "z2");
    house.settle();
    house.days(31);
    assert_eq!(house.kept().len(), 1);
    house.night();
    assert_eq!(house.kept(), [""; 0]);
    house.phone("z", "z3");
    house.settle();
    house.days(33);
    assert_eq!(house.kept(), [""; 0], "a house that is off at night");
}

#[test]
fn a_clock_that_jumps_takes_no_old_content_with_it_whether_the_house_runs_or_starts() {
    let mut house = with_versions();
    house.days(5);
    let right = house.now;
    // A wrong answer from the network, then a start in another year, each with a night.
    for days in [4_000, -300] {
        house.now = right.plus_secs(days * DAY);
        house.turn();
        house.night();
        house.restart();
        house.night();
        assert_eq!(house.kept_paths(), ["doomed", "1", "2"], "{days}");
    }
    house.now = right.plus_secs(DAY / 2);
    house.restart();
    house.days(24);
    house.night();
    assert_eq!(house.kept_paths(), ["1", "2"], "what is destroyed has its own time");
    house.days(2);
    house.night();
    assert_eq!(house.kept(), [""; 0]);
}

#[test]
fn the_owner_is_told_when_no_old_content_can_go_from_a_full_drive() {
    let mut house = with_versions();
    house.days(1);
    house.memory().put(&master(&path("filler")), &vec![b'f'; 7_000 * BLOCK as usize], Time(0));
    house.fill(140);
    // Somebody else has a name of each.
    let names: Vec<Spot> = {
        let memory = house.memory();
        memory.files().map(|(at, _)| at.clone()).filter(|at| at.place == Place::Versions).collect()
    };
    for (n, at) in names.iter().enumerate() {
        let mut memory = house.memory();
        let ino = memory.stat(at).unwrap().unwrap().id.ino;
        let other = Place::Tmp.at(path(&format!("other-{n}")));
        memory.link(at, ino, &other).unwrap();
    }
    house.turn();
    assert!(house.told().contains("are left on the drive"), "{}", house.told());
    // They are weighed again after a while, not in each turn.
    for n in 0..names.len() {
        house.memory().unlink(&Place::Tmp.at(path(&format!("other-{n}")))).unwrap();
    }
    house.turn();
    assert_eq!(house.kept_paths().len(), 3);
    house.wait(300);
    assert_eq!(house.kept_paths(), ["doomed", "2"]);
    house.turn();
    assert_eq!(house.told(), "");
}

#[test]
fn an_old_content_that_can_not_be_removed_ends_the_night_and_no_other_is_tried() {
    let mut house = with_versions();
    house.days(30);
    house.wait(DAY / 2);
    assert_eq!(house.kept_paths(), ["1", "2"]);
    let first = house.engine().world().versions.first_key_value().map(|(n, v)| kept(*n, &v.path));
    house.drive.0.borrow_mut().damaged = first;
    house.fall_asleep();
    while house.tonight().is_some() {
        house.slice(1_000);
    }
    let told = house.told();
    assert!(told.contains("the night's work ended: ") && told.contains("wearing out"), "{told}");
    assert_eq!(house.kept_paths(), ["1", "2"]);
    house.drive.0.borrow_mut().damaged = None;
    house.fall_asleep();
    house.sleep();
    assert_eq!(house.kept(), [""; 0], "another night goes on where this one ended");
    assert_eq!(house.told(), "");
}

#[test]
fn a_nearly_full_drive_takes_old_contents_before_anybody_is_told() {
    let mut house = with_versions();
    house.days(1);
    // A drive of some 7,500 blocks: short below 150 free ones, enough from 230 on.
    house.memory().put(&master(&path("filler")), &vec![b'f'; 7_000 * BLOCK as usize], Time(0));
    house.fill(300);
    house.turn();
    assert_eq!(house.kept_paths().len(), 3);
    for left in [&["doomed", "2"][..], &["doomed"], &[]] {
        house.fill(140);
        house.turn();
        assert_eq!(house.kept_paths(), left, "the oldest edit goes first, what can be undone last");
        assert_eq!(house.told(), "");
    }
    // Now there is nothing left to let go.
    house.fill(100);
    house.turn();
    let told = house.told();
    assert!(told.contains("are left on the drive"), "{told}");
    assert_eq!(house.condition(), Condition::Attention);
    house.fill(1_000);
    house.turn();
    assert_eq!(house.told(), "");
}

#[test]
fn a_drive_without_a_byte_left_is_opened_by_letting_old_contents_go() {
    let mut house = with_versions();
    house.days(1);
    house.memory().put(&master(&path("filler")), &vec![b'f'; 7_000 * BLOCK as usize], Time(0));
    house.fill(100);
    house.open().unwrap();
    assert_eq!(house.kept_paths(), ["doomed"]);
    house.fill(0);
    house.open().unwrap();
    assert_eq!(house.kept_paths(), [""; 0]);
    house.settle();
    assert_eq!(house.at_home("1").as_deref(), Some("edited"));
}

#[test]
fn old_contents_take_no_more_than_their_share() {
    let mut house = with_versions();
    house.days(1);
    house.memory().capacity = 1_500 * BLOCK;
    house.turn();
    assert_eq!(house.kept_paths().len(), 3, "looked at when something changes");
    house.home("3", "three");
    house.settle();
    house.phone_asks(Action::Get, "3");
    house.phone("3", "edited");
    house.settle();
    // 150 of 1,500 blocks are theirs, and what was destroyed does not count.
    assert_eq!(house.kept_paths(), ["doomed", "2", "3"]);
    house.config.versions_share = 1;
    house.configure();
    assert_eq!(house.kept_paths(), ["doomed", "3"]);
}

#[test]
fn what_a_mass_change_that_nobody_noticed_yet_replaced_outlives_its_share() {
    let mut house = with_versions();
    house.config.versions_share = 1;
    house.memory().capacity = 1_500 * BLOCK;
    house.configure();
    assert_eq!(house.kept_paths(), ["doomed", "1", "2"]);
    // It is looked at again by itself, without anything that changes.
    let again = house.try_turn().unwrap().again_in.unwrap();
    assert!((3_600..86_400).contains(&again), "{again}");
    house.wait(again);
    house.wait(300);
    assert_eq!(house.kept_paths(), ["doomed"]);
    assert_eq!(house.try_turn().unwrap().again_in, None);
}

/// A mass change of the phone that began so many seconds ago waits for an answer.
fn begin_mass_change(house: &mut House, ago: i64) {
    let now = house.now;
    let since = now.plus_secs(-ago);
    let versions = house.engine().world().versions.clone();
    let first = versions.iter().find(|(_, v)| v.at >= since).map_or(u64::MAX, |(n, _)| *n);
    let mass_change = crate::plan::MassChange { first, since, at: now, rewritten: 1, deleted: 0 };
    let fact = crate::plan::Fact::MassChange(holder("HTCphone"), mass_change);
    house.engine().remember(&fact).unwrap();
    house.turn();
}

#[test]
fn a_full_drive_takes_nothing_that_a_mass_change_replaced_and_the_owner_is_told() {
    let mut house = with_versions();
    house.days(1);
    house.memory().put(&master(&path("filler")), &vec![b'f'; 7_000 * BLOCK as usize], Time(0));
    house.fill(300);
    // Of the three only the last is of the mass change.
    let versions = house.engine().world().versions.clone();
    let last = versions.values().map(|v| v.at).max().unwrap();
    let ago = house.now.since(last);
    begin_mass_change(&mut house, ago);
    assert!(!house.told().contains("are left on the drive"), "{}", house.told());
    for left in [&["doomed", "2"][..], &["2"], &["2"]] {
        house.fill(140);
        house.turn();
        assert_eq!(house.kept_paths(), left);
    }
    let told = house.told();
    assert!(told.contains("are left on the drive; answer first"), "{told}");
    // Nor when it is opened, without a byte left.
    house.fill(0);
    house.open().unwrap();
    assert_eq!(house.kept_paths(), ["2"]);
    let calm = crate::plan::Fact::Resolved(holder("HTCphone"));
    house.engine().remember(&calm).unwrap();
    house.turn();
    assert_eq!(house.kept_paths(), [""; 0]);
}

// Verification.

#[test]
fn what_is_found_is_put_right_and_told() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "z");
    house.settle();
    house.fall_asleep();
    // Nobody tells: a link goes, a file comes.
    let phone = |at: &str| on(&holder("HTCphone"), &path(at));
    house.memory().take(&phone("z"));
    house.memory().put(&phone("own"), b"own", super::house::START);
    house.sleep();
    let told = house.told();
    assert!(told.contains("the night's check found: "), "{told}");
    assert!(told.contains("(and 1 more); Larder has put it right"), "{told}");
    assert_eq!(house.at_home("own").as_deref(), Some("own"));
    assert_eq!(house.condition(), Condition::Ready);
    house.fall_asleep();
    house.sleep();
    assert_eq!(house.told(), "");
}

/// A phone that has `a` and `b`, these of them pinned, and whose new settings let it hold one.
fn brought_down(pinned: &[&str]) -> House {
    let mut house = House::with_quota(2);
    for at in ["a", "b"] {
        house.home(at, "x");
        house.turn();
        house.phone_asks(Action::Get, at);
    }
    for at in pinned {
        house.phone_asks(Action::Pin, at);
    }
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
    house
}

#[test]
fn what_is_pinned_above_a_lowered_quota_is_no_broken_promise() {
    let mut house = brought_down(&["a", "b"]);
    house.configure();
    let holds = "HTCphone holds 8.2 kB, more than it may: quota 4.1 kB, 8.2 kB of it pinned";
    let told = house.told();
    assert!(told.starts_with(holds) && told.lines().count() == 1, "{told}");
    house.fall_asleep();
    house.sleep();
    assert_eq!(house.told(), told, "the check has nothing to add");
}

#[test]
fn what_may_go_above_a_quota_is_found() {
    let found = |pinned: &[&str], untold: bool| {
        let mut house = brought_down(pinned);
        let (config, mut fs) = (house.config.clone(), house.drive.clone());
        if untold {
            house.engine().carried([holder("HTCphone")]);
        }
        let world = house.engine().world();
        let known = Known { world, versions: &world.versions, config: &config };
        let mut verification = Verification::default();
        assert!(verification.go_on(&mut fs, &known, &mut || false).unwrap());
        verification.found.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let broken =
        "HTCphone holds 8.2 kB of 4.1 kB; `larder check --repair` or an ordinary run puts it right";
    assert_eq!(found(&[], false), [broken]);
    assert_eq!(found(&["a"], false), [broken]);
    assert_eq!(found(&["a", "b"], false), [""; 0]);
    assert_eq!(found(&[], true), [""; 0], "all of it may be on its way");
}

#[test]
fn what_is_found_is_put_right_by_the_next_turn_and_not_by_the_night() {
    let mut house = House::new();
    for n in 0..50 {
        house.home(&format!("d{n}/a"), "x");
    }
    house.phone_asks(Action::Get, "d7/a");
    house.settle();
    house.fall_asleep();
    house.memory().take(&on(&holder("HTCphone"), &path("d7/a")));
    while house.tonight() != Some(Task::Check) {
        house.slice(10_000);
    }
    // How much it looks at after the last question whether somebody else wants the drive.
    let (now, drive, listed) = (house.now, house.drive.clone(), Cell::new(0));
    let mut disturbed = |_: &crate::engine::Ours<'_>| {
        if let Ok(drive) = drive.0.try_borrow() {
            listed.set(drive.listed);
        }
        false
    };
    house.engine().work_in_the_night(now, &mut disturbed).unwrap();
    assert!(house.told().contains("the night's check found: "), "{}", house.told());
    assert_eq!(house.drive.0.borrow().listed, listed.get());
    house.try_turn().unwrap();
    assert!(house.drive.0.borrow().listed > listed.get() + 50, "everything was looked at");
    house.wait(11);
    assert_eq!(house.engine().world().replicas[&holder("HTCphone")].links.len(), 0);
}

#[test]
fn what_is_found_twice_is_the_owners_matter() {
    let mut house = with_versions();
    let kept = house.all(&Place::Versions)[0].split('=').next().unwrap().to_owned();
    house.memory().take(&Place::Versions.at(path(&kept)));
    house.fall_asleep();
    house.sleep();
    let told = house.told();
    assert!(told.contains("is recorded and not kept; `larder check --repair`"), "{told}");
    assert_eq!(house.condition(), Condition::Attention);
}

// Joined masters.

/// Equal files `keep` and `other` on a phone with a quota that they just fill.
fn twins() -> House {
    let mut house = House::with_quota(3);
    for at in ["keep", "other"] {
        house.home(at, "equal");
    }
    house.settle();
    house.phone_asks(Action::Get, "other");
    house.wait(10);
    house.phone_asks(Action::Get, "keep");
    house.settle();
    house
}

#[test]
fn devices_follow_what_was_joined_and_nobody_notices() {
    let mut house = twins();
    let phone = |at: &str| on(&holder("HTCphone"), &path(at));
    house.engine().carried([holder("HTCphone")]);
    house.engine().take_changed();
    let used = |house: &mut House| {
        let replica = &house.engine().world().replicas[&holder("HTCphone")];
        (replica.links.get(&path("other")).unwrap().used, replica.used())
    };
    let (before, charged) = used(&mut house);
    assert_eq!(charged, Bytes(2 * BLOCK));
    house.wait(100);
    let page = house.ino(&House::page(&phone_page()));
    let event = house.join("keep", "other");
    house.take_joins(vec![event]);
    assert_eq!(house.ino(&phone("other")), house.ino(&phone("keep")));
    assert_eq!(house.ino(&phone("other")), house.ino(&master(&path("other"))));
    // As long unused as it was, charged once, not on its way, and no old content of it.
    assert_eq!(used(&mut house), (before, Bytes(BLOCK)));
    assert_eq!(house.engine().on_the_way(&device("HTCphone")), 0);
    assert_eq!(house.engine().take_changed().len(), 0);
    assert_eq!(house.engine().world().versions.len(), 0);
    assert_eq!(house.all(&Place::Versions), ["joined/1/other=equal"]);
    // Nothing moved, nothing is left to do, and no page was written for it.
    house.turn();
    assert_eq!(house.ino(&House::page(&phone_page())), page);
    house.settle();
    assert_eq!(house.phone_files(), ["keep=equal", "other=equal"]);
    // It is remembered.
    house.restart();
    assert_eq!(used(&mut house), (before, Bytes(BLOCK)));
    // Destroying one leaves the other, everywhere.
    assert!(is_done(&house.phone_asks(Action::Destroy, "keep")));
    house.settle();
    assert_eq!(house.phone_files(), ["other=equal"]);
    assert_eq!(house.masters(), ["other=equal"]);
}

#[test]
fn an_edit_after_a_join_is_the_edited_names_alone() {
    let mut house = twins();
    let event = house.join("keep", "other");
    house.take_joins(vec![event]);
    house.phone("other", "edited");
    house.settle();
    assert_eq!(house.masters(), ["keep=equal", "other=edited"]);
    assert_eq!(house.phone_files(), ["keep=equal", "other=edited"]);
}

#[test]
fn a_link_goes_with_its_master_and_not_to_the_twin() {
    for scan in [false, true] {
        let mut house = twins();
        house.phone_asks(Action::Delete, "keep");
        let event = house.join("keep", "other");
        house.take_joins(vec![event]);
        house.shift(master(&path("other")), master(&path("z/renamed")));
        house.pending.lost = scan;
        house.settle();
        assert_eq!(house.phone_files(), ["z/renamed=equal"]);
        // Both of them on the phone, and a folder that both lie in.
        house.phone_asks(Action::Get, "keep");
        house.settle();
        house.shift(master(&path("keep")), master(&path("z/a")));
        house.pending.lost = scan;
        house.settle();
        assert_eq!(house.phone_files(), ["z/a=equal", "z/renamed=equal"]);
        for at in ["a", "renamed"] {
            house.shift(master(&path(&format!("z/{at}"))), master(&path(&format!("y/{at}"))));
        }
        house.pending.lost = scan;
        house.settle();
        assert_eq!(house.phone_files(), ["y/a=equal", "y/renamed=equal"]);
    }
}

#[test]
fn an_edit_of_what_was_joined_is_no_conflict_before_the_link_has_followed() {
    let mut house = twins();
    let _event = house.join("keep", "other");
    // A cut kept the engine from hearing of it.
    house.engine = None;
    house.phone("other", "edited");
    house.restart();
    assert_eq!(house.masters(), ["keep=equal", "other=edited"]);
    assert_eq!(house.phone_files(), ["keep=equal", "other=edited"]);
    assert!(house.kept().iter().any(|kept| kept.ends_with("/other=equal")), "{:?}", house.kept());
}

#[test]
fn a_share_follows_what_was_joined_so_that_a_destroy_ends_it_too() {
    let mut house = twins();
    let mut wish = house.wish(Action::Share, "other");
    wish.with = Some("Friend".into());
    house.press(&Origin::Home, std::slice::from_ref(&wish));
    house.turn();
    house.turn();
    assert!(is_done(&house.answer(&Origin::Home, wish.id)));
    let old = house.ino(&master(&path("other")));
    let event = house.join("keep", "other");
    house.take_joins(vec![event]);
    let holds = |house: &House, ino| {
        let memory = house.memory();
        let names = memory.files().filter(|(_, of)| *of == ino);
        names.map(|(at, _)| at.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(holds(&house, old), ["BTsyncApp/versions/joined/1/other"]);
    // The sum of the content went along: another share needs none.
    let world = house.engine().world();
    let stat = *world.files.get(&path("other")).unwrap();
    assert!(world.sum(&stat.id).is_some());
    // It is let go the next night; then the destroy leaves nothing of it.
    house.memory().take(&Place::Versions.at(path("joined/1/other")));
    for at in ["other", "keep"] {
        assert!(is_done(&house.phone_asks(Action::Destroy, at)));
    }
    house.settle();
    assert_eq!(house.all(&Place::Versions), [""; 0]);
    assert_eq!(house.all(&Place::Shared), [""; 0]);
}

#[test]
fn a_join_is_followed_wherever_it_is_cut() {
    let phone = |at: &str| on(&holder("HTCphone"), &path(at));
    for cut in 0.. {
        let mut house = twins();
        house.drive.0.borrow_mut().remember = true;
        let calls = house.memory().calls;
        house.memory().fail_from = Some((calls + cut, Errno::IO));
        let joined = join(&mut house.memory(), "keep", "other");
        let now = house.now;
        let followed = joined.is_ok_and(|event| {
            let engine = house.engine();
            engine.take_joins(vec![event], now).is_ok() && engine.settle_down().is_ok()
        });
        house.memory().fail_from = None;
        house.restart();
        let joined = house.ino(&master(&path("keep"))) == house.ino(&master(&path("other")));
        for at in ["keep", "other"] {
            let same = house.ino(&phone(at)) == house.ino(&master(&path(at)));
            assert!(same, "cut at call {cut}: {at}");
        }
        assert_eq!(house.phone_files(), ["keep=equal", "other=equal"], "cut at call {cut}");
        assert_eq!(house.drive.0.borrow().lost, Vec::<Vec<u8>>::new());
        let replica = &house.engine().world().replicas[&holder("HTCphone")];
        let charged = if joined { 1 } else { 2 };
        assert_eq!(replica.used(), Bytes(charged * BLOCK), "cut at call {cut}");
        assert_eq!(house.engine().world().versions.len(), 0, "cut at call {cut}");
        if followed {
            assert!(cut > 8 && joined, "it makes more calls than {cut}");
            return;
        }
    }
}

// On a real drive.

/// Files on a real drive are as old as they are.
pub(super) fn clock() -> Time {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    Time(now.as_nanos() as i64)
}

pub(super) struct Drive {
    pub(super) dir: tempfile::TempDir,
    pub(super) engine: Engine,
    now: Time,
}

impl Drive {
    pub(super) fn open(dir: tempfile::TempDir, config: Config, now: Time) -> Self {
        let root = dir.path().join("drive");
        std::fs::create_dir_all(root.join("BTsyncApp")).unwrap();
        let ledger = Ledger::open(&root.join("BTsyncApp/ledger.sqlite")).unwrap();
        let fs = Box::new(Real::open(&root).unwrap());
        let mut engine = Engine::open(fs, ledger, config, now).unwrap();
        while engine.turn(Pending::default(), now).unwrap().more {}
        Self { dir, engine, now }
    }

    #[allow(clippy::disallowed_methods, reason = "somebody else puts the file there")]
    pub(super) fn put(dir: &tempfile::TempDir, at: &str, content: &[u8]) {
        let at = dir.path().join("drive/BTsync/files").join(at);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        std::fs::write(&at, content).unwrap();
        let then = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        std::fs::File::open(&at).unwrap().set_modified(then).unwrap();
    }

    fn ino(&self, at: &str) -> u64 {
        use std::os::unix::fs::MetadataExt as _;
        std::fs::metadata(self.dir.path().join("drive/BTsync").join(at)).unwrap().ino()
    }

    fn aside(&self) -> usize {
        let root = self.dir.path().join("drive/BTsyncApp/versions/joined");
        let Ok(batches) = std::fs::read_dir(root) else { return 0 };
        batches.filter(|b| b.as_ref().unwrap().path().read_dir().unwrap().count() > 0).count()
    }
}

pub(super) fn two_devices(dedup: bool) -> Config {
    let mut config = Config { undo: 0, ..Config::default() };
    config.night.dedup = dedup;
    for name in ["HTCphone", "LinuxLaptop"] {
        config.devices.insert(device(name), settings(name, None));
    }
    config
}

#[test]
fn a_real_night_joins_and_the_next_one_lets_go() {
    let dir = tempfile::tempdir().unwrap();
    for at in ["a/1", "a/2", "b/3"] {
        Drive::put(&dir, at, b"equal and long enough");
    }
    Drive::put(&dir, "b/4", b"unequal, but as long!");
    let now = clock();
    let mut drive = Drive::open(dir, two_devices(true), now);
    let list = crate::worklist::Worklist {
        wishes: vec![crate::model::Wish {
            id: crate::model::WishId::parse("00112233445566778899").unwrap(),
            action: Action::Get,
            path: RelPath::root(),
            to: vec![holder("HTCphone"), holder("LinuxLaptop")],
            from: None,
            with: None,
            limit_mb: None,
            seen: None,
            at: now,
        }],
        ..Default::default()
    };
    let engine = &mut drive.engine;
    engine.receive(&phone_page(), &list, now).unwrap();
    while engine.turn(Pending::default(), now).unwrap().more {}
    engine.join_from_age(i64::MIN);
    engine.whole_night(now).unwrap();
    assert_eq!(engine.night.joined.names, 2);
    for at in ["a/1", "a/2", "b/3"] {
        for place in ["files", "devices/HTCphone", "devices/LinuxLaptop"] {
            assert_eq!(drive.ino(&format!("{place}/{at}")), drive.ino("files/a/1"), "{place}/{at}");
        }
    }
    assert_ne!(drive.ino("files/b/4"), drive.ino("files/a/1"));
    assert_eq!(drive.aside(), 1);
    let held = drive.engine.world().replicas[&holder("HTCphone")].used();
    assert_eq!(held, Bytes(2 * 4096));
    assert_eq!(drive.engine.world().versions.len(), 0);
    let told: Vec<_> = drive.engine.report().notices.into_iter().map(|n| n.what).collect();
    assert!(
        told[0].starts_with("equal files are stored once: 8.2 kB saved in 2 names"),
        "{told:?}"
    );
    // The night after: what was joined goes, and what was compared is not read again.
    let mut drive = Drive::open(drive.dir, two_devices(true), drive.now);
    let later = drive.now.plus_secs(2 * DAY);
    drive.engine.join_from_age(i64::MIN);
    drive.engine.whole_night(later).unwrap();
    assert_eq!((drive.engine.night.joined.names, drive.engine.night.joined.read), (0, 0));
    assert_eq!(drive.aside(), 0);
    assert_eq!(drive.engine.world().versions.len(), 0);
    let root = drive.dir.path().join("drive/BTsync/devices/LinuxLaptop/b/3");
    assert_eq!(std::fs::read(root).unwrap(), b"equal and long enough");
}

#[test]
fn an_edit_and_a_destroy_after_a_real_join_leave_no_old_content_twice() {
    let dir = tempfile::tempdir().unwrap();
    for at in ["1", "2", "3"] {
        Drive::put(&dir, at, b"equal and long enough");
    }
    let now = clock();
    let mut drive = Drive::open(dir, two_devices(true), now);
    let asks = |drive: &mut Drive, n: u8, action, path: &str| {
        let wish = crate::model::Wish {
            id: crate::model::WishId::parse(&format!("001122334455667788{n:02}")).unwrap(),
            action,
            path: RelPath::new(path.as_bytes()).unwrap(),
            to: vec![holder("HTCphone")],
            from: None,
            with: None,
            limit_mb: None,
            seen: Some(crate::model::Seen { size: 21, mtime: 1_700_000_000 }),
            at: now,
        };
        let list = crate::worklist::Worklist { wishes: vec![wish], ..Default::default() };
        drive.engine.receive(&phone_page(), &list, now).unwrap();
        while drive.engine.turn(Pending::default(), now).unwrap().more {}
    };
    asks(&mut drive, 1, Action::Get, "");
    drive.engine.join_from_age(i64::MIN);
    drive.engine.whole_night(now).unwrap();
    assert_eq!(drive.engine.night.joined.names, 2);
    // The phone edits one of them, as its sync engine brings it; another one is destroyed.
    let phone = drive.dir.path().join("drive/BTsync/devices/HTCphone");
    #[allow(clippy::disallowed_methods, reason = "somebody else puts the file there")]
    {
        std::fs::write(phone.join("fresh"), b"edited").unwrap();
        std::fs::rename(phone.join("fresh"), phone.join("2")).unwrap();
    }
    let lost = || Pending { lost: true, ..Pending::default() };
    while drive.engine.turn(lost(), now).unwrap().more {}
    asks(&mut drive, 2, Action::Destroy, "3");
    let home = drive.dir.path().join("drive/BTsync/files");
    assert_eq!(std::fs::read(home.join("2")).unwrap(), b"edited");
    assert!(!home.join("3").exists());
    let versions = |drive: &Drive| -> Vec<String> {
        let all = drive.engine.world().versions.values();
        all.map(|v| format!("{} {:?}", v.path, v.why)).collect()
    };
    let edited = ["2 Edited(HTCphone)"];
    assert_eq!(versions(&drive), edited);
    drive.engine.whole_night(now.plus_secs(2 * DAY)).unwrap();
    assert_eq!((versions(&drive), drive.aside()), (edited.map(str::to_owned).to_vec(), 0));
}

#[test]
fn a_real_night_joins_nothing_when_the_owner_wants_none_of_it() {
    let dir = tempfile::tempdir().unwrap();
    for at in ["1", "2"] {
        Drive::put(&dir, at, b"equal and long enough");
    }
    let mut drive = Drive::open(dir, two_devices(false), clock());
    drive.engine.join_from_age(i64::MIN);
    drive.engine.whole_night(drive.now).unwrap();
    assert_ne!(drive.ino("files/1"), drive.ino("files/2"));
    assert_eq!(drive.aside(), 0);
}
