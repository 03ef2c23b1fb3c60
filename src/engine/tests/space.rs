//! Room on a device: scenes, and thousands of random steps against a naive model of it that shares nothing
//! with the plan but these words: what was used longest ago goes first, all names of a content together, and
//! never what is pinned, not at home, or on its way. What is pinned stays as it is where the newer one does not fit.

use super::Sorted as _;
use super::house::{BLOCK, House, device, holder, is_done, path, refusal, settings};
use crate::engine::News;
use crate::fs::FileSystem as _;
use crate::model::{Action, Answer, Bytes, Link, Origin, Place, RelPath, Time, Tree, Wish};
use crate::plan::{CHUNK, EVICTED, master, on};
use proptest::prelude::*;
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};

fn blocks(n: u64) -> String {
    "x".repeat((n * BLOCK) as usize)
}

fn arrive(house: &mut House, paths: &[&str]) {
    let paths = paths.iter().map(|p| path(p)).collect();
    let now = house.now;
    house.engine().hear(News::Here(holder("HTCphone"), paths), now).unwrap();
}

/// Somebody carries to the phone, and told that these files are on their way.
fn carry(house: &mut House, lacking: &[&str]) {
    let now = house.now;
    let lacking = lacking.iter().map(|p| path(p)).collect();
    house.engine().carried([holder("HTCphone")]);
    house.engine().hear(News::Lacking(holder("HTCphone"), lacking), now).unwrap();
}

fn evicted(house: &mut House) -> Vec<String> {
    let replica = &house.engine().world().replicas[&holder("HTCphone")];
    replica.evicted.iter().map(|e| format!("{} {}", e.path, e.size)).collect()
}

#[test]
fn what_is_on_its_way_is_never_evicted_and_the_refusal_says_so() {
    let mut house = House::with_quota(2);
    carry(&mut house, &[]);
    for at in ["1", "2", "3"] {
        house.home(at, at);
    }
    house.turn();
    for at in ["1", "2"] {
        assert!(is_done(&house.phone_asks(Action::Get, at)));
        house.wait(10);
    }
    let why = refusal(house.phone_asks(Action::Get, "3"));
    assert!(why.contains("8.2 kB of it still on its way there"), "{why}");
    // The second has arrived: it goes, although the first was got before it.
    arrive(&mut house, &["2"]);
    assert!(is_done(&house.phone_asks(Action::Get, "3")));
    assert_eq!(house.phone_files(), ["1=1", "3=3"]);
    // A lowered quota waits for what is on its way, says so, and goes on when it has arrived.
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
    house.configure();
    assert_eq!(house.phone_files(), ["1=1", "3=3"]);
    assert!(house.told().contains("HTCphone holds 8.2 kB, more than it may"), "{}", house.told());
    arrive(&mut house, &["1", "3"]);
    house.turn();
    assert_eq!(house.phone_files(), ["3=3"]);
    assert!(!house.told().contains("more than it may"));
}

/// A full phone after a restart: "1" is still on its way to it, and nobody has told that yet.
fn restarted() -> House {
    let mut house = House::with_quota(2);
    carry(&mut house, &[]);
    for at in ["1", "2", "3", "d/4"] {
        house.home(at, at);
    }
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "1")));
    house.wait(10);
    assert!(is_done(&house.phone_asks(Action::Get, "2")));
    arrive(&mut house, &["2"]);
    house.restart();
    house.engine().carried([holder("HTCphone")]);
    house
}

#[test]
fn after_a_restart_nothing_goes_before_it_is_known_what_is_on_its_way() {
    let mut house = restarted();
    let answer = house.phone_asks(Action::Get, "3");
    let waits = |what: &str| what == "word of what is still on its way to HTCphone";
    assert!(matches!(&answer, Answer::Waiting(what) if waits(what)), "{answer:?}");
    // What needs no room does not wait.
    assert!(is_done(&house.phone_asks(Action::Get, "1")));
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
    house.configure();
    assert_eq!(house.phone_files(), ["1=1", "2=2"]);
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(2 * BLOCK)));
    house.configure();
    assert!(!house.told().contains("more than it may"), "{}", house.told());
    carry(&mut house, &["1"]);
    house.turn();
    assert_eq!(house.phone_files(), ["1=1", "3=3"], "the one that has arrived made room");
}

/// The phone holds more than it may: "1", which is pinned.
fn too_full() -> House {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    let ino = house.memory().stat(&master(&path("1"))).unwrap().unwrap().id.ino;
    for twin in ["twin", "d/twin"] {
        house.memory().make_dir(&master(&path("d"))).unwrap();
        house.memory().link(&master(&path("1")), ino, &master(&path(twin))).unwrap();
        house.hint(&master(&path(twin)));
    }
    for empty in ["empty", "d/empty"] {
        house.home(empty, "");
    }
    house.home("2", "2");
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "1")));
    assert!(is_done(&house.phone_asks(Action::Pin, "1")));
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(1)));
    house.configure();
    assert!(house.told().contains("more than it may"), "{}", house.told());
    house
}

#[test]
fn what_needs_no_room_comes_to_a_device_that_holds_too_much() {
    // Nor does it wait for word of what is on its way.
    for untold in [false, true] {
        let mut house = too_full();
        if untold {
            house.restart();
            house.engine().carried([holder("HTCphone")]);
        }
        for at in ["1", "twin", "empty", "d"] {
            let answer = house.phone_asks(Action::Get, at);
            assert!(is_done(&answer), "{at}: {answer:?}");
        }
        // What comes into the folder that it follows now needs none, either.
        house.home("d/none", "");
        house.turn();
        let there = ["1=1", "d/empty=", "d/none=", "d/twin=1", "empty=", "twin=1"];
        assert_eq!(house.phone_files(), there);
        let why = refusal(house.phone_asks(Action::Get, "2"));
        assert!(why.ends_with("needs 4.1 kB; quota 1 byte, 4.1 kB of it pinned"), "{why}");
    }
}

#[test]
fn what_was_just_got_is_not_what_goes_from_a_device_that_holds_too_much() {
    for at in ["1", "d"] {
        let mut house = House::with_quota(2);
        house.home("1", "1");
        house.home("d/1", "1");
        house.wait(10);
        house.home("2", "2");
        house.turn();
        assert!(is_done(&house.phone_asks(Action::Get, at)));
        assert!(is_done(&house.phone_asks(Action::Get, "2")));
        // A lower quota and the next get come together, within the second: the older content would go.
        house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
        let (config, now) = (house.config.clone(), house.now);
        house.engine().configure(config, now).unwrap();
        assert!(is_done(&house.phone_asks(Action::Get, at)));
        let there = house.phone_files();
        assert!(!there.is_empty() && there.iter().all(|file| file.ends_with("1=1")), "{there:?}");
    }
}

#[test]
fn what_can_never_fit_does_not_wait_for_that_word() {
    let mut house = restarted();
    house.phone_asks(Action::Pin, "2");
    house.home("large", &blocks(2));
    house.home("many/1", &blocks(2));
    house.home("many/2", &blocks(3));
    let why = refusal(house.phone_asks(Action::Get, "large"));
    let numbers = "needs 8.2 kB; quota 8.2 kB, 4.1 kB of it pinned";
    assert_eq!(why, format!("large does not fit HTCphone: {numbers}"));
    let why = refusal(house.phone_asks(Action::Get, "many"));
    let numbers = "needs 20 kB; quota 8.2 kB, 4.1 kB of it pinned";
    assert_eq!(why, format!("nothing of many fits HTCphone: {numbers}"));
    // One of it may.
    house.home("many/3", "3");
    assert!(matches!(house.phone_asks(Action::Get, "many"), Answer::Waiting(_)));
    carry(&mut house, &[]);
    house.turn();
    assert_eq!(house.phone_files(), ["2=2", "many/3=3"]);
    // What comes into the folder and can never fit is left out at once, too.
    house.restart();
    house.engine().carried([holder("HTCphone")]);
    house.home("many/4", &blocks(2));
    house.turn();
    let phone = &house.engine().world().replicas[&holder("HTCphone")];
    assert!(phone.excepts(&path("many/4")), "{:?}", phone.exceptions);
}

#[test]
fn a_folder_that_waits_for_that_word_gets_what_was_left_out_of_it_before() {
    let mut house = House::with_quota(2);
    carry(&mut house, &[]);
    for at in ["d/1", "d/2", "d/3"] {
        house.home(at, at);
    }
    house.turn();
    house.phone_asks(Action::Get, "d");
    arrive(&mut house, &["d/1", "d/2", "d/3"]);
    for at in ["d/1", "d/2", "d/3"] {
        house.phone_asks(Action::Delete, at);
    }
    assert_eq!(house.phone_files(), [""; 0]);
    house.restart();
    house.engine().carried([holder("HTCphone")]);
    assert!(matches!(house.phone_asks(Action::Get, "d"), Answer::Waiting(_)));
    carry(&mut house, &[]);
    house.turn();
    assert_eq!(house.phone_files().len(), 2, "as much as fits");
}

/// All of `d` is on the phone; the laptop, which is full, has what is left of it after "d/a" made room there. Nobody
/// has told yet what is on its way to it.
fn with_a_gap() -> House {
    let mut house = House::new();
    let laptop = device("LinuxLaptop");
    house.config.devices.insert(laptop.clone(), settings("LinuxLaptop", Some(3 * BLOCK)));
    house.configure();
    for at in ["d/a", "d/b", "1", "2"] {
        house.home(at, at);
        house.wait(10);
    }
    assert!(is_done(&house.phone_asks(Action::Get, "d")));
    for at in ["d", "1", "2"] {
        let mut wish = house.wish(Action::Get, at);
        wish.to = vec![laptop.clone().into()];
        assert!(is_done(&house.phone_wishes(wish)));
        house.wait(10);
    }
    assert_eq!(house.all(&Place::Device(laptop.clone())), ["1=1", "2=2", "d/b=d/b"]);
    let replica = &house.engine().world().replicas[&holder("LinuxLaptop")];
    assert!(replica.exceptions.contains(&path("d/a")), "it does not come back by itself");
    house.restart();
    house.engine().carried([laptop.into()]);
    house
}

/// The phone moves `d` to the laptop.
fn moves_on(house: &mut House) -> (Wish, Answer) {
    let mut wish = house.wish(Action::Move, "d");
    wish.to = vec![holder("LinuxLaptop")];
    let answer = house.phone_wishes(wish.clone());
    (wish, answer)
}

#[test]
fn a_folder_whose_move_waits_for_that_word_goes_whole() {
    // Room can be made, or there is enough of it by then.
    for quota in [3, 5] {
        let mut house = with_a_gap();
        let laptop = device("LinuxLaptop");
        let (wish, answer) = moves_on(&mut house);
        assert!(matches!(answer, Answer::Waiting(_)), "{answer:?}");
        assert_eq!(house.phone_files(), ["d/a=d/a", "d/b=d/b"]);
        let settings = settings("LinuxLaptop", Some(quota * BLOCK));
        house.config.devices.insert(laptop.clone(), settings);
        house.configure();
        let now = house.now;
        house.engine().hear(News::Lacking(laptop.clone().into(), vec![]), now).unwrap();
        house.turn();
        let answer = house.answer(&Origin::Device(device("HTCphone")), wish.id);
        assert!(is_done(&answer), "{answer:?}");
        assert_eq!(house.phone_files(), [""; 0]);
        let there = house.all(&Place::Device(laptop));
        assert!(there.ends_with(&["d/a=d/a".into(), "d/b=d/b".into()]), "{there:?}");
    }
}

#[test]
fn a_folder_goes_whole_when_a_cut_came_right_after_its_move_was_begun() {
    let mut house = with_a_gap();
    let (laptop, origin) = (device("LinuxLaptop"), Origin::Device(device("HTCphone")));
    house.config.devices.insert(laptop.clone(), settings("LinuxLaptop", None));
    let mut wish = house.wish(Action::Move, "d");
    wish.to = vec![laptop.clone().into()];
    let list = house.worklist(std::slice::from_ref(&wish));
    let now = house.now;
    house.engine().receive(&origin, &crate::worklist::parse(&list), now).unwrap();
    let open = house.engine().ledger.open_wishes(&origin, 0, 9).unwrap();
    house.engine().ledger.begin_wish(open[0].seq).unwrap();
    house.engine().ledger.commit().unwrap();
    house.restart();
    assert!(is_done(&house.answer(&origin, wish.id)));
    assert_eq!(house.phone_files(), [""; 0]);
    let there = house.all(&Place::Device(laptop));
    assert_eq!(there, ["1=1", "2=2", "d/a=d/a", "d/b=d/b"]);
}

#[test]
fn a_large_folder_for_two_devices_goes_whole_to_the_second_too() {
    let mut house = House::new();
    let laptop = device("LinuxLaptop");
    house.config.devices.insert(laptop.clone(), settings("LinuxLaptop", None));
    house.configure();
    house.home("d/left out", "x");
    house.turn();
    let mut wish = house.wish(Action::Get, "d");
    wish.to = vec![laptop.clone().into()];
    assert!(is_done(&house.phone_wishes(wish)));
    let mut wish = house.wish(Action::Delete, "d/left out");
    wish.to = vec![laptop.clone().into()];
    assert!(is_done(&house.phone_wishes(wish)));
    assert_eq!(house.all(&Place::Device(laptop.clone())), [""; 0]);
    // The first part is the phone's alone.
    for n in 0..=CHUNK {
        house.home(&format!("d/{}/{n}", n % 100), "");
    }
    house.turn();
    let mut wish = house.wish(Action::Get, "d");
    wish.to = vec![holder("HTCphone"), laptop.clone().into()];
    assert!(is_done(&house.phone_wishes(wish)));
    house.settle();
    let there = house.all(&Place::Device(laptop));
    assert!(there.contains(&"d/left out=x".into()), "{}", there.len());
    assert_eq!(there.len(), CHUNK + 2);
}

#[test]
fn the_word_is_not_waited_for_for_ever() {
    let mut house = restarted();
    assert!(matches!(house.phone_asks(Action::Get, "d"), Answer::Waiting(_)));
    // A clock that is put right by years, or back again, says nothing about how long it was waited.
    for years in [50, -50] {
        house.wait(years * 365 * 86_400);
        assert_eq!(house.phone_files(), ["1=1", "2=2"]);
    }
    let now = house.now;
    house.engine().hear(News::Silent(holder("HTCphone")), now).unwrap();
    house.turn();
    assert_eq!(house.phone_files(), ["2=2", "d/4=d/4"]);
}

#[test]
fn what_comes_into_a_followed_folder_waits_for_that_word_too() {
    let mut house = House::with_quota(2);
    carry(&mut house, &[]);
    for at in ["d/1", "d/2"] {
        house.home(at, at);
    }
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "d")));
    house.restart();
    let now = house.now;
    house.engine().carried([holder("HTCphone")]);
    house.home("d/3", "3");
    // An edit comes home all the same.
    house.phone("d/1", "edited");
    house.turn();
    assert_eq!(house.at_home("d/1").as_deref(), Some("edited"));
    assert_eq!(house.phone_files(), ["d/1=edited", "d/2=d/2"]);
    let phone = |house: &mut House| house.engine().world().replicas[&holder("HTCphone")].clone();
    assert!(phone(&mut house).exceptions.is_empty(), "it was not left out");
    house.engine().hear(News::Lacking(holder("HTCphone"), vec![path("d/1")]), now).unwrap();
    house.turn();
    assert_eq!(house.phone_files(), ["d/1=edited", "d/3=3"]);
}

#[test]
fn what_a_device_made_counts_and_only_what_may_go_goes() {
    let mut house = House::with_quota(3);
    for at in ["1", "2"] {
        house.home(at, at);
        house.turn();
        house.wait(1);
        house.phone_asks(Action::Get, at);
    }
    // The phone makes more than it may hold; it is on its way home, so to say: not proved there.
    carry(&mut house, &[]);
    house.phone("DCIM/film", &blocks(4));
    house.turn();
    assert_eq!(house.phone_files(), [format!("DCIM/film={}", blocks(4))]);
    assert_eq!(house.masters().len(), 3);
    let told = house.told();
    assert!(told.contains("holds 16 kB, more than it may: quota 12 kB"), "{told}");
    assert!(told.contains("nothing else is removed"), "{told}");
    // A get has no room to be made for it, and takes nothing away.
    let why = refusal(house.phone_asks(Action::Get, "1"));
    assert!(why.contains("needs 4.1 kB; quota 12 kB"), "{why}");
    // Once it is all there it may go like any other.
    arrive(&mut house, &["DCIM/film"]);
    house.turn();
    assert_eq!(house.phone_files(), [""; 0]);
    assert_eq!(house.masters().len(), 3);
}

#[test]
fn of_equally_old_ones_the_older_content_goes_first() {
    let mut house = House::with_quota(3);
    for at in ["d/b", "d/a", "c"] {
        house.home(at, at);
        house.wait(10);
    }
    house.home("new", "new");
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "d")));
    assert!(is_done(&house.phone_asks(Action::Get, "c")));
    assert!(is_done(&house.phone_asks(Action::Get, "new")));
    assert_eq!(house.phone_files(), ["c=c", "d/a=d/a", "new=new"].sorted());
}

#[test]
fn what_larder_does_to_a_link_is_no_use_of_it() {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    house.home("2", "2");
    house.home("3", "3");
    house.turn();
    house.phone_asks(Action::Get, "1");
    house.wait(10);
    house.phone_asks(Action::Get, "2");
    house.wait(10);
    // It is edited at home and reaches the phone, then renamed at home.
    house.home("1", "1 edited");
    house.settle();
    house.shift(master(&path("1")), master(&path("one")));
    house.settle();
    assert_eq!(house.phone_files(), ["2=2", "one=1 edited"]);
    assert!(is_done(&house.phone_asks(Action::Get, "3")));
    assert_eq!(house.phone_files(), ["2=2", "3=3"]);
}

#[test]
fn two_names_of_a_content_go_together_or_not_at_all() {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    let ino = house.memory().stat(&master(&path("1"))).unwrap().unwrap().id.ino;
    house.memory().link(&master(&path("1")), ino, &master(&path("twin"))).unwrap();
    house.hint(&master(&path("twin")));
    house.home("2", "2");
    house.home("3", "3");
    house.turn();
    for at in ["1", "twin", "2"] {
        assert!(is_done(&house.phone_asks(Action::Get, at)));
        house.wait(10);
    }
    assert!(is_done(&house.phone_asks(Action::Pin, "twin")));
    assert!(is_done(&house.phone_asks(Action::Get, "3")));
    assert_eq!(house.phone_files(), ["1=1", "3=3", "twin=1"], "taking `1` would make no room");
    house.phone_asks(Action::Unpin, "twin");
    house.wait(10);
    assert!(is_done(&house.phone_asks(Action::Get, "2")));
    assert_eq!(house.phone_files(), ["2=2", "3=3"]);
}

#[test]
fn a_second_name_of_a_content_never_costs_the_first_its_place() {
    let mut house = House::with_quota(3);
    house.home("1", "1");
    let ino = house.memory().stat(&master(&path("1"))).unwrap().unwrap().id.ino;
    house.memory().make_dir(&master(&path("d"))).unwrap();
    house.memory().link(&master(&path("1")), ino, &master(&path("d/twin"))).unwrap();
    house.hint(&master(&path("d/twin")));
    for at in ["d/2", "d/3", "d/4"] {
        house.wait(10);
        house.home(at, at);
    }
    house.turn();
    house.phone_asks(Action::Get, "1");
    house.wait(10);
    let answer = house.phone_asks(Action::Get, "d");
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("1 file of it did not fit"), "{text}");
    assert_eq!(house.phone_files(), ["1=1", "d/3=d/3", "d/4=d/4", "d/twin=1"]);
}

#[test]
fn a_folder_of_which_nothing_fits_is_refused_and_nothing_changes() {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    house.home("d/large", &blocks(3));
    house.turn();
    house.phone_asks(Action::Get, "1");
    let why = refusal(house.phone_asks(Action::Get, "d"));
    assert!(why.contains("nothing of d fits HTCphone: needs 12 kB; quota 8.2 kB"), "{why}");
    assert_eq!(house.phone_files(), ["1=1"]);
    house.home("d/small", "s");
    house.settle();
    assert_eq!(house.phone_files(), ["1=1"], "it does not follow the folder");
}

#[test]
fn a_refusal_counts_a_content_with_two_names_once() {
    let mut house = House::with_quota(2);
    house.home("d/large", &blocks(3));
    let from = master(&path("d/large"));
    let ino = house.memory().stat(&from).unwrap().unwrap().id.ino;
    house.memory().link(&from, ino, &master(&path("d/twin"))).unwrap();
    house.hint(&master(&path("d/twin")));
    house.turn();
    let why = refusal(house.phone_asks(Action::Get, "d"));
    assert!(why.contains("nothing of d fits HTCphone: needs 12 kB; quota 8.2 kB"), "{why}");
    house.home("d/small", "s");
    house.turn();
    let answer = house.phone_asks(Action::Get, "d");
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("2 files of it did not fit"), "{text}");
    assert!(text.contains("needs 12 kB"), "{text}");
}

#[test]
fn what_made_room_is_remembered_and_told_with_its_size() {
    let mut house = House::with_quota(1);
    for at in ["1", "2", "3"] {
        house.home(at, at);
    }
    house.turn();
    for at in ["1", "2", "3"] {
        house.phone_asks(Action::Get, at);
        house.wait(1);
    }
    assert_eq!(evicted(&mut house), ["2 1 byte", "1 1 byte"]);
    house.restart();
    assert_eq!(evicted(&mut house), ["2 1 byte", "1 1 byte"]);
    // Told is what could be got again, for a month.
    let told = |house: &mut House| -> Vec<String> {
        let now = house.now;
        let told = house.engine().lately_evicted(now).remove(&device("HTCphone")).unwrap();
        told.iter().map(|e| e.path.to_string()).collect()
    };
    assert_eq!(told(&mut house), ["2", "1"]);
    house.phone_asks(Action::Destroy, "1");
    house.phone_asks(Action::Get, "2");
    assert_eq!(told(&mut house), ["3"]);
    house.wait(31 * 86_400);
    assert_eq!(told(&mut house), [""; 0]);
    // Not without bounds.
    let many: Vec<String> = (0..EVICTED + 30).map(|n| format!("many/{n}")).collect();
    for at in &many {
        house.home(at, "m");
    }
    let quota = Some(300 * BLOCK);
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", quota));
    house.configure();
    house.phone_asks(Action::Get, "many");
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
    house.configure();
    house.restart();
    assert_eq!(evicted(&mut house).len(), EVICTED);
}

#[test]
fn a_get_that_evicts_is_finished_wherever_it_is_cut() {
    for cut in 0.. {
        let mut house = House::with_quota(2);
        for at in ["1", "2"] {
            house.home(at, at);
        }
        house.home("3", &blocks(2));
        house.turn();
        for at in ["1", "2"] {
            house.phone_asks(Action::Get, at);
            house.wait(10);
        }
        let origin = Origin::Device(device("HTCphone"));
        let wish = house.wish(Action::Get, "3");
        house.press(&origin, std::slice::from_ref(&wish));
        let calls = house.memory().calls;
        house.memory().fail_from = Some((calls + cut, Errno::IO));
        let failed = house.try_turn().is_err();
        house.memory().fail_from = None;
        let used = house.engine().world().replicas[&holder("HTCphone")].used();
        assert!(used <= Bytes(2 * BLOCK), "cut at call {cut}: {used}");
        house.restart();
        let answer = house.answer(&origin, wish.id);
        assert!(is_done(&answer), "cut at call {cut}: {answer:?}");
        assert_eq!(house.phone_files(), [format!("3={}", blocks(2))], "cut at call {cut}");
        assert_eq!(house.masters().len(), 3, "cut at call {cut}");
        if !failed {
            assert!(cut > 8, "it makes more calls than {cut}");
            return;
        }
    }
}

#[test]
fn what_could_not_go_is_no_exception() {
    let mut house = House::with_quota(1);
    house.home("d/1", "1");
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "d")));
    // The phone edits it and nobody has looked yet, when another one needs the room.
    let at = on(&holder("HTCphone"), &path("d/1"));
    let now = house.now;
    house.memory().put(&at, b"1 edited", now);
    house.home("d/2", "2");
    house.try_turn().unwrap();
    let replica = &house.engine().world().replicas[&holder("HTCphone")];
    assert!(replica.exceptions.is_empty(), "{:?}", replica.exceptions);
    assert_eq!(house.phone_files(), ["d/1=1 edited"]);
}

#[test]
fn a_pinned_copy_stays_when_the_newer_one_does_not_fit_and_the_owner_is_told() {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    house.home("2", "2");
    house.turn();
    for at in ["1", "2"] {
        house.phone_asks(Action::Get, at);
        assert!(is_done(&house.phone_asks(Action::Pin, at)));
    }
    let before = house.phone_files();
    house.home("1", &blocks(2));
    house.settle();
    assert_eq!(house.phone_files(), before);
    for _ in 0..2 {
        let told = house.told();
        assert!(told.contains("HTCphone/1 is older than at home: it is pinned"), "{told}");
        assert!(!told.contains("check found"), "{told}");
        house.restart();
        house.night();
    }
    // With room it comes up to date by itself.
    house.phone_asks(Action::Unpin, "2");
    house.turn();
    assert_eq!(house.phone_files(), [format!("1={}", blocks(2))]);
    assert_eq!(house.told(), "");
    assert!(house.kept().iter().any(|kept| kept.ends_with("/1=1")), "{:?}", house.kept());
    // One that is no longer pinned makes room, and is told as what did.
    house.home("1", &blocks(3));
    house.settle();
    assert_eq!(house.phone_files(), [format!("1={}", blocks(2))]);
    house.phone_asks(Action::Unpin, "1");
    house.turn();
    assert_eq!(house.phone_files(), [""; 0]);
    assert_eq!(house.told(), "");
    assert_eq!(evicted(&mut house), ["1 12 kB", "2 1 byte"]);
}

#[test]
fn what_stays_behind_goes_when_the_owner_says_so_and_is_kept() {
    for action in [Action::Delete, Action::Destroy, Action::Get] {
        let mut house = House::with_quota(2);
        house.home("1", "1");
        house.home("2", "2");
        house.turn();
        for at in ["1", "2"] {
            house.phone_asks(Action::Get, at);
            house.phone_asks(Action::Pin, at);
        }
        house.home("1", &blocks(2));
        house.settle();
        let answer = house.phone_asks(action, "1");
        if action == Action::Get {
            assert!(refusal(answer).contains("does not fit"));
            assert_eq!(house.phone_files(), ["1=1", "2=2"]);
            continue;
        }
        assert!(is_done(&answer), "{action}: {answer:?}");
        assert_eq!(house.phone_files(), ["2=2"], "{action}");
        assert!(house.kept().iter().any(|kept| kept.ends_with("/1=1")), "{action}");
        assert_eq!(house.told(), "");
    }
}

// A wrong clock.

/// Ten years.
const YEARS: i64 = 10 * 365 * 86_400;

/// A phone that may hold three of the files `a` to `f`.
fn three_of_six() -> House {
    let mut house = House::with_quota(3);
    for at in ["a", "b", "c", "d", "e", "f"] {
        house.home(at, "x");
    }
    house.settle();
    house
}

/// Gets something a minute later.
fn gets(house: &mut House, at: &str) {
    house.wait(60);
    assert!(is_done(&house.phone_asks(Action::Get, at)));
}

#[test]
fn what_was_used_by_a_clock_that_ran_ahead_is_not_the_last_to_go() {
    let mut house = three_of_six();
    house.now = house.now.plus_secs(YEARS);
    gets(&mut house, "a");
    gets(&mut house, "b");
    house.now = house.now.plus_secs(-YEARS);
    gets(&mut house, "c");
    house.wait(60);
    house.phone_asks(Action::Open, "a");
    house.restart();
    for (new, there) in [("d", ["a", "c", "d"]), ("e", ["a", "d", "e"]), ("f", ["d", "e", "f"])] {
        gets(&mut house, new);
        assert_eq!(house.phone_files(), there.map(|at| format!("{at}=x")));
    }
}

#[test]
fn what_is_used_by_a_clock_that_goes_behind_is_not_the_first_to_go() {
    let mut house = three_of_six();
    for at in ["b", "a"] {
        gets(&mut house, at);
    }
    // It starts anew, and the clock with it.
    let right = house.now;
    house.now = Time::from_secs(60);
    house.restart();
    for at in ["c", "d"] {
        gets(&mut house, at);
    }
    assert_eq!(house.phone_files(), ["a=x", "c=x", "d=x"]);
    house.now = right.plus_secs(3_600);
    for (new, there) in [("e", ["c", "d", "e"]), ("f", ["d", "e", "f"])] {
        gets(&mut house, new);
        assert_eq!(house.phone_files(), there.map(|at| format!("{at}=x")));
    }
}

// The naive model.

const PATHS: [&str; 8] = ["a", "b", "d/a", "d/b", "d/e/c", "d/e/f", "d.x", "z"];
const FOLDERS: [&str; 3] = ["", "d", "d/e"];

#[derive(Clone, Debug)]
enum Step {
    HomeSaves(usize, u64),
    HomeLinks(usize, usize),
    PhoneSaves(usize, u64),
    Gets(usize),
    GetsFolder(usize),
    Opens(usize),
    Deletes(usize),
    Destroys(usize),
    Pins(usize),
    Unpins(usize),
    Arrives(usize),
    AllArrive,
    Quota(u64),
    /// The carrier tells at once what is on its way.
    Restarts,
    /// It takes its time.
    RestartsUntold,
    Tells,
    /// It does not tell.
    Keeps,
    /// The clock of the NAS jumps: it is ahead by so many seconds from now on.
    Clock(i64),
}

fn step() -> impl Strategy<Value = (i64, Step)> {
    let p = || 0..PATHS.len();
    let all = || 0..PATHS.len() + FOLDERS.len();
    let step = prop_oneof![
        4 => (p(), 0u64..4).prop_map(|(p, n)| Step::HomeSaves(p, n)),
        1 => (p(), p()).prop_map(|(a, b)| Step::HomeLinks(a, b)),
        2 => (p(), 0u64..4).prop_map(|(p, n)| Step::PhoneSaves(p, n)),
        8 => p().prop_map(Step::Gets),
        2 => (0..FOLDERS.len()).prop_map(Step::GetsFolder),
        3 => p().prop_map(Step::Opens),
        1 => p().prop_map(Step::Deletes),
        1 => p().prop_map(Step::Destroys),
        1 => all().prop_map(Step::Pins),
        1 => all().prop_map(Step::Unpins),
        2 => p().prop_map(Step::Arrives),
        3 => Just(Step::AllArrive),
        3 => (0u64..9).prop_map(Step::Quota),
        1 => Just(Step::Restarts),
        2 => Just(Step::RestartsUntold),
        2 => Just(Step::Tells),
        1 => Just(Step::Keeps),
        1 => prop::sample::select(vec![0, 0, 3, -3, 3_600, -86_400, YEARS]).prop_map(Step::Clock),
    ];
    (prop::sample::select(vec![0, 0, 1, 7]), step)
}

#[derive(Clone, Copy, PartialEq, Debug)]
struct Content {
    number: u64,
    cost: u64,
    mtime: i64,
}

#[derive(Default)]
struct Model {
    now: i64,
    /// By how much the clock is ahead.
    ahead: i64,
    masters: BTreeMap<String, Content>,
    phone: BTreeMap<String, (Content, i64)>,
    pins: BTreeSet<String>,
    follows: BTreeSet<String>,
    excepts: BTreeSet<String>,
    moving: BTreeSet<String>,
    /// Folders that something was in since the start.
    folders: BTreeSet<String>,
    quota: Option<u64>,
    /// Nobody told yet what of it was moving before a restart, and that is what was.
    untold: bool,
    before: BTreeSet<String>,
    /// Names that may have room once that is told.
    roomless: BTreeSet<String>,
    /// Wishes that wait, and when they were pressed, on what.
    waiting: Vec<(Step, i64, Option<Content>)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Room {
    Is,
    IsNot,
    /// Nobody knows before it is told what is on its way.
    Unknown,
}

/// A path and everything above it, from the path on.
fn upwards(at: &str) -> Vec<String> {
    let mut all = vec![at.to_owned()];
    let mut rest = at;
    while let Some(cut) = rest.rfind('/') {
        rest = &rest[..cut];
        all.push(rest.to_owned());
    }
    if !at.is_empty() {
        all.push(String::new());
    }
    all
}

fn within(at: &str, folder: &str) -> bool {
    upwards(at).iter().any(|up| up == folder)
}

/// A folder's own files before the folders in it, by name.
fn place(at: &str) -> (Vec<&str>, &str) {
    let mut names: Vec<&str> = at.split('/').collect();
    let name = names.pop().unwrap();
    (names, name)
}

fn in_order<'a>(all: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut all: Vec<String> = all.cloned().collect();
    all.sort_by_key(|at| at.split('/').map(str::to_owned).collect::<Vec<_>>());
    all
}

impl Model {
    fn used(&self) -> u64 {
        let contents: BTreeMap<u64, u64> =
            self.phone.values().map(|(c, _)| (c.number, c.cost)).collect();
        contents.values().sum()
    }

    fn has(&self, number: u64) -> bool {
        self.phone.values().any(|(c, _)| c.number == number)
    }

    fn price(&self, c: &Content) -> u64 {
        if self.has(c.number) { 0 } else { c.cost }
    }

    fn wants(&self, at: &str) -> bool {
        for up in upwards(at) {
            if self.excepts.contains(&up) {
                return false;
            }
            if self.follows.contains(&up) {
                return true;
            }
        }
        false
    }

    /// Contents that may go, in order: their names and costs.
    fn oldest(&self, keep: &str, numbers: &[u64]) -> Vec<(Vec<String>, u64)> {
        let mut contents: BTreeMap<u64, Vec<&String>> = BTreeMap::new();
        for (at, (c, _)) in &self.phone {
            contents.entry(c.number).or_default().push(at);
        }
        let mut may_go = Vec::new();
        for (number, names) in contents {
            let stays = |at: &&String| {
                upwards(at).iter().any(|up| self.pins.contains(up))
                    || self.masters.get(*at).is_none_or(|m| m.number != number)
                    || self.moving.contains(*at)
                    || (keep != "-" && within(at, keep))
            };
            let content = self.phone[names[0]].0;
            if content.cost == 0 || numbers.contains(&number) || names.iter().any(stays) {
                continue;
            }
            let used = names.iter().map(|at| self.phone[*at].1).max().unwrap();
            let first = names.iter().map(|at| place(at)).min().unwrap();
            may_go.push((used, content.mtime, first, names, content.cost));
        }
        may_go.sort();
        let plain = |(.., names, cost): (_, _, _, Vec<&String>, u64)| {
            (names.into_iter().cloned().collect(), cost)
        };
        may_go.into_iter().map(plain).collect()
    }

    fn evict(&mut self, names: Vec<String>) {
        for at in names {
            if self.wants(&at) {
                self.excepts.insert(at.clone());
            }
            self.loses(&at);
        }
    }

    fn loses(&mut self, at: &str) {
        self.phone.remove(at);
        self.moving.remove(at);
        self.before.remove(at);
    }

    /// What never goes for it: what is pinned, or meant to stay and as far as anybody knows arrived.
    fn for_good(&self, keep: &str, numbers: &[u64]) -> u64 {
        let mut contents: BTreeMap<u64, Vec<&String>> = BTreeMap::new();
        for (at, (c, _)) in &self.phone {
            contents.entry(c.number).or_default().push(at);
        }
        let stays = |(number, names): &(&u64, &Vec<&String>)| {
            let any = |is: &dyn Fn(&str) -> bool| names.iter().any(|at| is(at));
            let moves = |at: &str| self.moving.contains(at) && !self.before.contains(at);
            let kept = |at: &str| numbers.contains(number) || (keep != "-" && within(at, keep));
            any(&|at| self.pinned(at))
                || (!any(&|at| self.behind(at) || !self.masters.contains_key(at))
                    && !any(&moves)
                    && any(&kept))
        };
        let staying = contents.iter().filter(stays);
        staying.map(|(_, names)| self.phone[names[0]].0.cost).sum()
    }

    /// Makes room, or says that there is none and does nothing.
    fn room(&mut self, need: u64, keep: &str, numbers: &[u64]) -> Room {
        let Some(quota) = self.quota else { return Room::Is };
        if self.used() + need <= quota {
            return Room::Is;
        }
        if need == 0 {
            let may_go = if self.untold { Vec::new() } else { self.oldest(keep, numbers) };
            for (names, _) in may_go {
                if self.used() > quota {
                    self.evict(names);
                }
            }
            return Room::Is;
        }
        if self.untold {
            let never = need + self.for_good(keep, numbers) > quota;
            return if never { Room::IsNot } else { Room::Unknown };
        }
        let may_go = self.oldest(keep, numbers);
        let can: u64 = may_go.iter().map(|(_, cost)| cost).sum();
        if self.used() + need > quota + can {
            return Room::IsNot;
        }
        for (names, _) in may_go {
            if self.used() + need <= quota {
                break;
            }
            self.evict(names);
        }
        Room::Is
    }

    fn link(&mut self, at: &str, used: i64) {
        self.phone.insert(at.to_owned(), (self.masters[at], used));
        self.moving.insert(at.to_owned());
        self.before.remove(at);
        self.roomless.remove(at);
        self.folders.extend(upwards(at).into_iter().skip(1));
    }

    fn starts(&mut self) {
        let folders = self.phone.keys().flat_map(|at| upwards(at).into_iter().skip(1));
        self.folders = folders.chain([String::new()]).collect();
    }

    /// What the master of a name needs, beside what the phone has there.
    fn need(&self, at: &str) -> u64 {
        let price = self.price(&self.masters[at]);
        let Some((old, _)) = self.phone.get(at) else { return price };
        let alone = self.phone.values().filter(|(c, _)| c.number == old.number).count() == 1;
        price.saturating_sub(if alone { old.cost } else { 0 })
    }

    /// `true`: it waits.
    fn get(&mut self, at: &str) -> bool {
        let Some(m) = self.masters.get(at).copied() else { return false };
        let room = self.room(self.need(at), at, &[m.number]);
        if room == Room::Is {
            self.excepts.remove(at);
            self.link(at, self.now);
        }
        room == Room::Unknown
    }

    /// `true`: it waits.
    fn get_folder(&mut self, folder: &str, pressed: i64) -> bool {
        let mut wanted: Vec<(String, Content)> = Vec::new();
        for (at, m) in &self.masters {
            if within(at, folder) && !self.phone.contains_key(at) {
                wanted.push((at.clone(), *m));
            }
        }
        let names = |at: &str| at.split('/').map(str::to_owned).collect::<Vec<_>>();
        wanted.sort_by_key(|(at, c)| (std::cmp::Reverse(c.mtime), names(at)));
        let has: Vec<u64> = wanted.iter().map(|(_, c)| c.number).filter(|n| self.has(*n)).collect();
        if self.untold
            && let Some(quota) = self.quota
        {
            let new: BTreeMap<u64, u64> = wanted.iter().map(|(_, c)| (c.number, c.cost)).collect();
            let new = new.into_iter().filter(|(number, _)| !has.contains(number));
            let new: Vec<u64> = new.map(|(_, cost)| cost).filter(|cost| *cost > 0).collect();
            let rest = quota.saturating_sub(self.for_good(folder, &has));
            let fits = self.used() + new.iter().sum::<u64>() <= quota;
            if !fits && new.iter().any(|cost| *cost <= rest) {
                return true;
            }
        }
        let can: u64 = self.oldest(folder, &has).iter().map(|(_, cost)| cost).sum();
        let limit = self.quota.map_or(u64::MAX, |quota| quota + can);
        let mut full = self.used();
        let mut numbers = has.clone();
        let (mut chosen, mut left) = (Vec::new(), Vec::new());
        for (at, c) in wanted {
            let price = if numbers.contains(&c.number) { 0 } else { c.cost };
            if price == 0 || full + price <= limit {
                full += price;
                numbers.push(c.number);
                chosen.push(at);
            } else {
                left.push(at);
            }
        }
        let some = self.phone.keys().any(|at| within(at, folder));
        let need = full - self.used();
        // With nothing to get it is followed all the same.
        if chosen.is_empty() && !left.is_empty() && !some {
            return false;
        }
        self.follows.insert(folder.to_owned());
        self.excepts.retain(|at| !within(at, folder));
        self.excepts.extend(left);
        assert_eq!(self.room(need, folder, &has), Room::Is);
        for at in chosen {
            self.link(&at, self.now);
        }
        let there = self.phone.iter_mut().filter(|(at, _)| within(at, folder));
        there.for_each(|(_, (_, used))| *used = (*used).max(pressed));
        false
    }

    /// A master is there that the phone does not know.
    fn reaches_phone(&mut self, at: &str) {
        self.roomless.remove(at);
        let Some(m) = self.masters.get(at).copied() else { return };
        let there = self.phone.get(at).copied();
        if there.is_none() && !self.wants(at) || there.is_some_and(|(c, _)| c.number == m.number) {
            return;
        }
        let room = match self.need(at) {
            0 if there.is_some() => Room::Is,
            need => self.room(need, at, &[m.number]),
        };
        match room {
            Room::Is => self.link(at, there.map_or(self.now, |(_, used)| used)),
            Room::Unknown => drop(self.roomless.insert(at.to_owned())),
            Room::IsNot if self.pinned(at) && there.is_some() => {}
            Room::IsNot => {
                self.loses(at);
                if self.wants(at) {
                    self.excepts.insert(at.to_owned());
                }
            }
        }
    }

    /// What the phone does not know is looked at, all of it, in order.
    fn all_reach_phone(&mut self) {
        for at in in_order(self.masters.keys()) {
            self.reaches_phone(&at);
        }
    }

    /// The phone saves a file, and what it has beside it in the same top folder is looked at again.
    fn phone_saves(&mut self, at: &str, content: Content) {
        let top = at.split_once('/').map(|(top, _)| top);
        let there = self.phone.keys().filter(|name| top.is_some_and(|top| within(name, top)));
        for name in in_order(there.filter(|name| *name != at).chain([&at.to_owned()])) {
            if name == at {
                self.masters.insert(name, content);
                self.link(at, self.now);
            } else {
                self.reaches_phone(&name);
            }
        }
    }

    /// A wish is looked at; `true`: it waits.
    fn fulfil(&mut self, step: &Step, pressed: i64, seen: Option<Content>) -> bool {
        let pressed = pressed.min(self.now);
        match step {
            Step::Gets(p) => return self.get(PATHS[*p]),
            Step::GetsFolder(f) => return self.get_folder(FOLDERS[*f], pressed),
            Step::Opens(p) => {
                if let Some((_, used)) = self.phone.get_mut(PATHS[*p]) {
                    *used = (*used).max(pressed);
                }
            }
            Step::Deletes(p) => {
                let at = PATHS[*p];
                if self.behind(at) && !self.pinned(at) {
                    return true;
                }
                if self.phone.contains_key(at) {
                    self.evict(vec![at.into()]);
                    self.pins.remove(at);
                } else if self.follows.iter().any(|f| within(at, f)) {
                    // Told of a file that is not there as of a folder: it does not come by itself.
                    self.pins.remove(at);
                    self.excepts.insert(at.into());
                }
            }
            Step::Destroys(p) => {
                let at = PATHS[*p];
                let as_seen =
                    |m: &Content| seen.is_some_and(|s| (s.cost, s.mtime) == (m.cost, m.mtime));
                if !self.masters.get(at).is_some_and(as_seen) {
                    return false;
                }
                if self.behind(at) && !self.pinned(at) {
                    return true;
                }
                self.masters.remove(at);
                self.loses(at);
            }
            Step::Pins(p) => {
                let at = any(*p);
                let there = self.phone.contains_key(at) || self.folders.contains(at);
                if there || self.follows.iter().any(|f| within(at, f)) {
                    self.pins.insert(at.into());
                }
            }
            Step::Unpins(p) => drop(self.pins.remove(any(*p))),
            _ => unreachable!("no wish: {step:?}"),
        }
        false
    }

    /// The wishes in the order in which they were pressed, and what follows, until nothing changes.
    fn come_to_rest(&mut self) {
        loop {
            let before = (self.phone.clone(), self.waiting.len());
            for (step, pressed, seen) in std::mem::take(&mut self.waiting) {
                if self.fulfil(&step, pressed, seen) {
                    self.waiting.push((step, pressed, seen));
                }
            }
            self.enforce_quota();
            self.catch_up();
            if (&self.phone, self.waiting.len()) == (&before.0, before.1) {
                return;
            }
        }
    }

    /// The clock is another one. What it says was used later was used before all that is used from now on, in the
    /// same order, and not before what it says was used earlier.
    fn clock_jumps(&mut self, ahead: i64) {
        self.now += ahead - self.ahead;
        self.ahead = ahead;
        let uses: BTreeSet<i64> = self.phone.values().map(|(_, used)| *used).collect();
        let earlier = uses.iter().copied().filter(|used| *used <= self.now).max();
        for (_, used) in self.phone.values_mut().filter(|(_, used)| *used > self.now) {
            let later = uses.iter().filter(|other| **other > *used).count() as i64;
            *used = (self.now - later).max(earlier.unwrap_or(i64::MIN));
        }
    }

    fn pinned(&self, at: &str) -> bool {
        upwards(at).iter().any(|up| self.pins.contains(up))
    }

    /// The phone has an older content than there is at home, because the newer one does not fit.
    fn behind(&self, at: &str) -> bool {
        let old = self.phone.get(at);
        old.is_some_and(|(c, _)| self.masters.get(at).is_some_and(|m| m.number != c.number))
    }

    /// What is behind comes up to date, or goes when it may not stay so any more.
    fn catch_up(&mut self) {
        loop {
            let before = self.phone.clone();
            let behind = before.keys().filter(|at| self.behind(at) && !self.roomless.contains(*at));
            for at in behind.cloned().collect::<Vec<_>>() {
                let pinned = self.pinned(&at);
                self.reaches_phone(&at);
                // It is looked at whenever there is room.
                if pinned {
                    self.roomless.remove(&at);
                }
            }
            self.enforce_quota();
            if self.phone == before {
                return;
            }
        }
    }

    fn enforce_quota(&mut self) {
        let Some(quota) = self.quota.filter(|_| !self.untold) else { return };
        for (names, _) in self.oldest("-", &[]) {
            if self.used() <= quota {
                return;
            }
            self.evict(names);
        }
    }
}

fn any<'a>(p: usize) -> &'a str {
    PATHS.iter().chain(&FOLDERS).nth(p).unwrap()
}

struct Life {
    house: House,
    model: Model,
    saved: u64,
}

impl Life {
    fn new() -> Self {
        let mut life = Self { house: House::new(), model: Model::default(), saved: 0 };
        life.house.engine().publishes = false;
        carry(&mut life.house, &[]);
        life.model.now = life.house.now.secs();
        life.model.starts();
        for p in 0..PATHS.len() {
            life.play(&Step::HomeSaves(p, 1 + p as u64 % 3));
            life.house.turn();
        }
        life
    }

    fn content(&mut self, n: u64) -> (String, Content) {
        self.saved += 1;
        let text = match n {
            0 => String::new(),
            n => format!("{:0width$}", self.saved, width = (n * BLOCK) as usize),
        };
        (text, Content { number: self.saved, cost: n * BLOCK, mtime: self.model.now })
    }

    fn wish(&mut self, action: Action, at: &str, step: &Step) {
        let (now, seen) = (self.model.now, self.model.masters.get(at).copied());
        self.model.waiting.push((step.clone(), now, seen));
        let wish = self.house.wish(action, at);
        let list = crate::worklist::parse(&self.house.worklist(&[wish]));
        let now = self.house.now;
        let origin = Origin::Device(device("HTCphone"));
        self.house.engine().receive(&origin, &list, now).unwrap();
    }

    fn play(&mut self, step: &Step) {
        let now = self.house.now;
        match step {
            Step::HomeSaves(p, n) => {
                let (text, content) = self.content(*n);
                self.house.home(PATHS[*p], &text);
                self.model.masters.insert(PATHS[*p].into(), content);
                self.model.reaches_phone(PATHS[*p]);
            }
            Step::HomeLinks(a, b) => {
                let (a, b) = (PATHS[*a], PATHS[*b]);
                let Some(m) = self.model.masters.get(a).copied() else { return };
                if self.model.masters.contains_key(b) || self.model.phone.contains_key(b) {
                    return;
                }
                let from = master(&path(a));
                let ino = self.house.memory().stat(&from).unwrap().unwrap().id.ino;
                self.house.memory().link(&from, ino, &master(&path(b))).unwrap();
                self.house.hint(&master(&path(b)));
                self.model.masters.insert(b.into(), m);
                self.model.reaches_phone(b);
            }
            Step::PhoneSaves(p, n) => {
                let at = PATHS[*p];
                let there = self.model.phone.contains_key(at);
                let taken = !there && self.model.masters.contains_key(at);
                if taken || self.model.behind(at) {
                    return;
                }
                let (text, content) = self.content(*n);
                self.house.phone(at, &text);
                self.model.phone_saves(at, content);
            }
            Step::Gets(p) => self.wish(Action::Get, PATHS[*p], step),
            Step::GetsFolder(f) => self.wish(Action::Get, FOLDERS[*f], step),
            Step::Opens(p) => self.wish(Action::Open, PATHS[*p], step),
            Step::Deletes(p) => self.wish(Action::Delete, PATHS[*p], step),
            Step::Destroys(p) => self.wish(Action::Destroy, PATHS[*p], step),
            Step::Pins(p) => self.wish(Action::Pin, any(*p), step),
            Step::Unpins(p) => self.wish(Action::Unpin, any(*p), step),
            Step::Arrives(p) => {
                let here = News::Here(holder("HTCphone"), vec![path(PATHS[*p])]);
                self.house.engine().hear(here, now).unwrap();
                self.model.moving.remove(PATHS[*p]);
                self.model.before.remove(PATHS[*p]);
            }
            Step::AllArrive => {
                let here: Vec<_> = PATHS.iter().map(|p| path(p)).collect();
                self.house.engine().hear(News::Here(holder("HTCphone"), here), now).unwrap();
                self.model.moving.clear();
                self.model.before.clear();
            }
            Step::Quota(n) => {
                let quota = (*n > 0).then_some(n * BLOCK);
                self.house.config.devices.insert(device("HTCphone"), settings("HTCphone", quota));
                let config = self.house.config.clone();
                self.house.engine().configure(config, now).unwrap();
                self.model.quota = quota;
            }
            Step::Restarts => {
                // Nothing is on its way as far as anybody knows, until the carrier tells.
                self.house.open().unwrap();
                self.house.engine().publishes = false;
                self.model.starts();
                self.raise_notice();
                self.model.all_reach_phone();
            }
            Step::RestartsUntold => {
                self.house.open().unwrap();
                self.house.engine().publishes = false;
                self.house.engine().carried([holder("HTCphone")]);
                self.model.starts();
                self.model.untold = true;
                self.model.before = self.model.moving.clone();
                self.model.roomless.clear();
                self.model.all_reach_phone();
            }
            Step::Tells => {
                if self.model.untold {
                    self.raise_notice();
                    self.model.all_reach_phone();
                }
            }
            Step::Keeps => {
                let silent = News::Silent(holder("HTCphone"));
                self.house.engine().hear(silent, now).unwrap();
                let before = std::mem::take(&mut self.model.before);
                self.model.moving.retain(|at| !before.contains(at));
                if std::mem::take(&mut self.model.untold) {
                    self.model.all_reach_phone();
                }
            }
            Step::Clock(ahead) => {
                self.model.clock_jumps(*ahead);
                self.house.now = Time::from_secs(self.model.now);
            }
        }
        self.model.come_to_rest();
    }

    /// The carrier tells what is on its way.
    fn raise_notice(&mut self) {
        self.model.untold = false;
        self.model.before.clear();
        let moving: Vec<_> = self.model.moving.iter().map(String::as_str).collect();
        carry(&mut self.house, &moving);
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let world = self.house.engine().world();
        let replica = &world.replicas[&holder("HTCphone")];
        let mut there = BTreeMap::new();
        replica.links.for_each(Tree::<Link>::ROOT, |at, link| {
            let at = RelPath::new(at).unwrap().to_string();
            there.insert(at, (link.charge.0, link.id.mtime.secs(), link.used));
        });
        let ought: BTreeMap<_, _> = self
            .model
            .phone
            .iter()
            .map(|(at, (c, used))| (at.clone(), (c.cost, c.mtime, *used)))
            .collect();
        prop_assert_eq!(there, ought);
        prop_assert_eq!(replica.used().0, self.model.used());
        let moving: BTreeSet<_> = replica.live.keys().map(ToString::to_string).collect();
        prop_assert_eq!(moving, &self.model.moving - &self.model.before);
        // Never above the quota by our doing: only with what must not go.
        let over = self.model.quota.is_some_and(|quota| self.model.used() > quota);
        let may_go = !self.model.untold && !self.model.oldest("-", &[]).is_empty();
        prop_assert!(!over || !may_go);
        // Every link is one of the master, and nothing lost its last name.
        let named: Vec<_> = self.house.phone_files();
        let masters: BTreeSet<_> = self.house.masters().into_iter().collect();
        let behind = |file: &&String| self.model.behind(file.split('=').next().unwrap());
        prop_assert!(named.iter().filter(|f| !behind(f)).all(|file| masters.contains(file)));
        prop_assert_eq!(masters.len(), self.model.masters.len());
        let origin = Origin::Device(device("HTCphone"));
        let waiting = self.house.engine().ledger.open_wishes(&origin, 0, 100).unwrap();
        let waiting: Vec<_> =
            waiting.iter().map(|w| (w.wish.action, w.wish.path.to_string())).collect();
        prop_assert_eq!(waiting.len(), self.model.waiting.len(), "{:?}", waiting);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: super::random::lives(), max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn room_is_made_as_a_naive_model_makes_it(steps in prop::collection::vec(step(), 1..40)) {
        let mut life = Life::new();
        for (seconds, step) in steps {
            life.house.now = life.house.now.plus_secs(seconds);
            life.model.now += seconds;
            life.play(&step);
            // What waits is looked at again in the next turn.
            for _ in 0..3 {
                life.house.turn();
            }
            life.compare()?;
        }
    }
}
