//! What the house does, told as scenes: each action, what devices do by themselves, and what
//! comes between. Written from the design's "What an action means" and "Never".

mod access;
mod actions;
mod carried;
mod causes;
mod harvest;
mod house;
mod joined;
mod judged;
mod markers;
mod mass_changes;
mod mended;
mod night;
mod pairing;
mod random;
mod shares;
mod space;
mod unread;

use super::{MASS, SETTLE};
use crate::fs::FileSystem as _;
use crate::model::{Action, Answer, Bytes, Origin, Place, Seen, Time};
use crate::plan::{master, on};
use crate::watch::Pending;
use house::{BLOCK, House, device, holder, is_done, path, refusal, settings};

fn phone_page() -> Origin {
    Origin::Device(device("HTCphone"))
}

/// Masters a/x, a/b/y and z.
fn furnished() -> House {
    let mut house = House::new();
    for (at, content) in [("a/x", "x1"), ("a/b/y", "y1"), ("z", "z1")] {
        house.home(at, content);
    }
    house.settle();
    house
}

// Get.

#[test]
fn get_links_the_very_file() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    assert_eq!(house.phone_files(), ["a/x=x1"]);
    let inodes: Vec<u64> = {
        let memory = house.memory();
        memory.files().filter(|(at, _)| at.path == path("a/x")).map(|(_, ino)| ino).collect()
    };
    assert_eq!(inodes.len(), 2);
    assert_eq!(inodes[0], inodes[1]);
    // Again, and of what is not there.
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    let why = refusal(house.phone_asks(Action::Get, "nothing"));
    assert!(why.contains("nothing"), "{why}");
    assert_eq!(house.phone_files(), ["a/x=x1"]);
}

#[test]
fn get_goes_to_the_devices_it_names() {
    let mut house = furnished();
    let mut wish = house.wish(Action::Get, "z");
    wish.to = vec![holder("LinuxLaptop"), holder("HTCphone")];
    assert!(is_done(&house.phone_wishes(wish)));
    assert_eq!(house.at_phone("z").as_deref(), Some("z1"));
    assert_eq!(house.at_device("LinuxLaptop", "z").as_deref(), Some("z1"));
    let mut unknown = house.wish(Action::Get, "z");
    unknown.to = vec![holder("toaster")];
    assert!(refusal(house.phone_wishes(unknown)).contains("toaster"));
    // The common page belongs to no device.
    let nobody = house.wish(Action::Get, "z");
    house.press(&Origin::Home, std::slice::from_ref(&nobody));
    house.turn();
    assert!(refusal(house.answer(&Origin::Home, nobody.id)).contains("which device"));
}

#[test]
fn get_of_a_folder_keeps_following_it() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
    house.home("a/b/later", "l1");
    house.home("a/new/folder/deep", "d1");
    house.home("elsewhere", "e1");
    house.settle();
    assert_eq!(
        house.phone_files(),
        ["a/x=x1", "a/b/later=l1", "a/b/y=y1", "a/new/folder/deep=d1"].sorted()
    );
    // Also over a restart, and for what came while nobody watched.
    let late = master(&path("a/while-away"));
    house.engine = None;
    house.memory().put(&late, b"w1", house::START);
    house.restart();
    assert_eq!(house.at_phone("a/while-away").as_deref(), Some("w1"));
}

#[test]
fn get_of_everything_follows_everything() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Get, "")));
    house.home("new/one", "n1");
    house.settle();
    assert_eq!(house.phone_files(), ["z=z1", "a/x=x1", "a/b/y=y1", "new/one=n1"].sorted());
}

#[test]
fn get_does_not_overwrite_what_the_device_has_under_that_name() {
    let mut house = furnished();
    // The phone's own file is there and nobody has looked yet.
    let at = on(&holder("HTCphone"), &path("z"));
    house.memory().put(&at, b"phone's own", house::START);
    house.phone_asks(Action::Get, "z");
    house.settle();
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    assert_eq!(house.at_phone("z").as_deref(), Some("z1"));
    let both = house.masters();
    assert!(
        both.iter().any(|f| f.starts_with("z (HTCphone") && f.ends_with("=phone's own")),
        "{both:?}"
    );
}

#[test]
fn a_folder_below_one_that_was_deleted_can_be_followed_again() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "");
    assert!(is_done(&house.phone_asks(Action::Delete, "a")));
    assert_eq!(house.phone_files(), ["z=z1"]);
    assert!(is_done(&house.phone_asks(Action::Get, "a/b")));
    assert_eq!(house.phone_files(), ["z=z1", "a/b/y=y1"].sorted());
    house.home("a/b/later", "l1");
    house.home("a/not", "n1");
    house.settle();
    assert_eq!(house.phone_files(), ["z=z1", "a/b/later=l1", "a/b/y=y1"].sorted());
}

// Delete.

#[test]
fn delete_takes_the_link_only() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    let mut wish = house.wish(Action::Get, "a/x");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    assert!(is_done(&house.phone_asks(Action::Delete, "a/x")));
    assert_eq!(house.at_phone("a/x"), None);
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert_eq!(house.at_device("LinuxLaptop", "a/x").as_deref(), Some("x1"));
    // It can be got again.
    assert!(is_done(&house.phone_asks(Action::Get, "a/x")));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
}

#[test]
fn delete_in_a_followed_folder_is_remembered() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    assert!(is_done(&house.phone_asks(Action::Delete, "a/x")));
    house.home("a/x", "x2");
    house.home("a/new", "n1");
    house.settle();
    house.restart();
    assert_eq!(house.phone_files(), ["a/new=n1", "a/b/y=y1"].sorted());
    // Who gets the folder again wants all of it.
    assert!(is_done(&house.phone_asks(Action::Get, "a")));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x2"));
}

#[test]
fn delete_of_a_folder_ends_following_it() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    assert!(is_done(&house.phone_asks(Action::Delete, "a")));
    house.home("a/new", "n1");
    house.settle();
    house.restart();
    assert_eq!(house.phone_files(), [""; 0]);
    assert_eq!(house.masters().len(), 4);
}

#[test]
fn delete_waits_until_what_is_on_the_device_is_at_home() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    // Both changed, the wish comes with it; nobody has looked.
    let at = on(&holder("HTCphone"), &path("a/x"));
    house.memory().put(&at, b"phone's", house::START);
    let answer = house.phone_asks(Action::Delete, "a/x");
    house.settle();
    let answer = match answer {
        Answer::Waiting(_) => "waited",
        Answer::Done(_) => "done",
        Answer::Refused(_) => "refused",
    };
    let contents: Vec<String> = house.masters().into_iter().chain(house.kept()).collect();
    assert!(contents.iter().any(|f| f.ends_with("=phone's")), "{answer}: {contents:?}");
    assert!(contents.iter().any(|f| f.ends_with("=x1")), "{answer}: {contents:?}");
}

#[test]
fn a_wish_that_waits_is_fulfilled_when_what_it_waits_for_has_happened() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "z");
    // The master is taken away at home: the phone's copy is the only one until that settles.
    house.take(master(&path("z")));
    house.turn();
    let wish = house.wish(Action::Delete, "z");
    let id = wish.id;
    let answer = house.phone_wishes(wish);
    assert!(matches!(answer, Answer::Waiting(_)), "{answer:?}");
    house.settle();
    house.settle();
    assert!(is_done(&house.answer(&phone_page(), id)));
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    assert_eq!(house.at_phone("z"), None);
}

// Destroy.

#[test]
fn destroy_takes_the_master_and_every_link() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    let mut wish = house.wish(Action::Get, "a/x");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    assert!(is_done(&house.phone_asks(Action::Destroy, "a/x")));
    house.settle();
    house.restart();
    assert_eq!(house.masters(), ["a/b/y=y1", "z=z1"].sorted());
    assert_eq!(house.phone_files(), ["a/b/y=y1"]);
    assert_eq!(house.at_device("LinuxLaptop", "a/x"), None);
    assert_eq!(house.kept(), [""; 0]);
}

#[test]
fn destroy_of_a_folder_takes_all_of_it() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    assert!(is_done(&house.phone_asks(Action::Destroy, "a")));
    house.settle();
    house.restart();
    assert_eq!(house.masters(), ["z=z1"]);
    assert_eq!(house.phone_files(), [""; 0]);
    // A new folder of that name is a new folder.
    house.home("a/x", "x2");
    house.settle();
    assert_eq!(house.phone_files(), [""; 0]);
}

#[test]
fn destroy_takes_only_what_was_seen() {
    let mut house = furnished();
    let mut unreadable_dirs = house.wish(Action::Destroy, "a/x");
    unreadable_dirs.seen = None;
    assert!(refusal(house.phone_wishes(unreadable_dirs)).contains("newest page"));
    let stale = house.wish(Action::Destroy, "a/x");
    let stale_folder = house.wish(Action::Destroy, "a");
    house.wait(5);
    house.home("a/x", "x2");
    for wish in [stale, stale_folder] {
        assert!(refusal(house.phone_wishes(wish)).contains("changed"));
    }
    let mut all = house.wish(Action::Destroy, "");
    all.seen = house.seen("");
    refusal(house.phone_wishes(all));
    assert_eq!(house.masters(), ["z=z1", "a/x=x2", "a/b/y=y1"].sorted());
}

#[test]
fn destroy_leaves_other_entries_of_the_same_content() {
    let mut house = furnished();
    let twin = {
        let memory = &mut *house.memory();
        let ino = memory.stat(&master(&path("z"))).unwrap().unwrap().id.ino;
        memory.link(&master(&path("z")), ino, &master(&path("twin"))).unwrap();
        master(&path("twin"))
    };
    house.hint(&twin);
    house.turn();
    house.phone_asks(Action::Get, "twin");
    house.phone_asks(Action::Get, "z");
    assert!(is_done(&house.phone_asks(Action::Destroy, "z")));
    house.settle();
    assert_eq!(house.at_home("twin").as_deref(), Some("z1"));
    assert_eq!(house.phone_files(), ["twin=z1"]);
}

#[test]
fn a_destroyed_file_can_be_brought_back_while_it_waits() {
    let mut house = furnished();
    house.config.undo = 86_400;
    house.configure();
    house.phone_asks(Action::Get, "z");
    assert!(is_done(&house.phone_asks(Action::Destroy, "z")));
    assert_eq!((house.at_home("z"), house.at_phone("z")), (None, None));
    house.settle();
    house.restart();
    assert_eq!(house.kept().len(), 1);
    assert!(is_done(&house.phone_asks(Action::Undo, "z")));
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    assert_eq!(house.kept(), [""; 0]);
    // And not for ever.
    house.phone_asks(Action::Destroy, "z");
    house.wait(86_399);
    house.night();
    assert_eq!(house.kept().len(), 1);
    house.wait(1);
    house.night();
    assert_eq!(house.kept(), [""; 0]);
    refusal(house.phone_asks(Action::Undo, "z"));
}

#[test]
fn a_destroy_that_was_cut_off_does_not_take_what_came_since() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let (id, origin) = (wish.id, phone_page());
    house.press(&origin, &[wish]);
    // The wish is marked as begun, then the drive fails at the first thing that is done.
    let mut begun = false;
    for cut in 0..100 {
        let calls = house.memory().calls;
        house.memory().fail_from = Some((calls + cut, rustix::io::Errno::IO));
        let failed = house.try_turn().is_err();
        assert!(failed, "the wish was never begun before it was done");
        house.memory().fail_from = None;
        begun = house.engine().ledger.open_wishes(&origin, 0, 9).unwrap().iter().any(|w| w.begun);
        if begun {
            break;
        }
        house.open().unwrap();
    }
    assert!(begun && house.at_home("z").is_some());
    house.memory().fail_from = None;
    house.engine = None;
    let at = master(&path("z"));
    house.memory().put(&at, b"z2, never seen by who pressed", house::START.plus_secs(500));
    house.restart();
    assert!(!is_done(&house.answer(&origin, id)));
    assert!(house.at_home("z").is_some_and(|z| z.starts_with("z2")));
}

#[test]
fn destroy_does_not_wait_for_a_device_that_is_gone_for_good() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "z");
    let mut wish = house.wish(Action::Get, "z");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    house.config.devices.remove(&device("LinuxLaptop"));
    house.configure();
    house.phone("z", "z2");
    house.settle();
    assert_eq!(house.at_home("z").as_deref(), Some("z2"));
    let answer = house.phone_asks(Action::Destroy, "z");
    assert!(is_done(&answer), "{answer:?}");
    assert_eq!(house.at_home("z"), None);
}

// Move, create folder, pin.

#[test]
fn move_goes_from_one_device_to_others() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    let mut wish = house.wish(Action::Move, "a");
    wish.to = vec![holder("LinuxLaptop")];
    assert!(is_done(&house.phone_wishes(wish)));
    assert_eq!(house.phone_files(), [""; 0]);
    assert_eq!(house.at_device("LinuxLaptop", "a/b/y").as_deref(), Some("y1"));
    assert_eq!(house.masters().len(), 3);
    house.home("a/later", "l1");
    house.settle();
    assert_eq!(house.phone_files(), [""; 0]);
    assert_eq!(house.at_device("LinuxLaptop", "a/later").as_deref(), Some("l1"));
    // Not from where it is not, nor to where it comes from.
    let mut nowhere = house.wish(Action::Move, "z");
    nowhere.to = vec![holder("LinuxLaptop")];
    refusal(house.phone_wishes(nowhere));
    let mut circle = house.wish(Action::Move, "a/x");
    circle.from = Some(device("LinuxLaptop"));
    circle.to = vec![holder("LinuxLaptop")];
    refusal(house.phone_wishes(circle));
}

#[test]
fn move_takes_nothing_away_before_it_is_there() {
    let mut house = furnished();
    house.config.devices.insert(device("LinuxLaptop"), settings("LinuxLaptop", Some(1)));
    house.configure();
    house.phone_asks(Action::Get, "z");
    let mut wish = house.wish(Action::Move, "z");
    wish.to = vec![holder("LinuxLaptop")];
    let why = refusal(house.phone_wishes(wish));
    assert!(why.contains("quota"), "{why}");
    assert_eq!(house.at_phone("z").as_deref(), Some("z1"));
    // The laptop has a file of that name which nobody has seen yet.
    house.config.devices.insert(device("LinuxLaptop"), settings("LinuxLaptop", None));
    house.configure();
    let at = on(&holder("LinuxLaptop"), &path("z"));
    house.memory().put(&at, b"laptop's own", house::START);
    let mut wish = house.wish(Action::Move, "z");
    wish.to = vec![holder("LinuxLaptop")];
    house.press(&phone_page(), std::slice::from_ref(&wish));
    for _ in 0..20 {
        house.try_turn().unwrap();
        let there = house.at_device("LinuxLaptop", "z").as_deref() == Some("z1");
        assert!(there || house.at_phone("z").is_some(), "it is on neither device");
        house.now = house.now.plus_secs(1);
    }
    assert!(is_done(&house.answer(&phone_page(), wish.id)));
    assert_eq!(house.at_phone("z"), None);
    assert!(house.masters().iter().any(|f| f.ends_with("=laptop's own")));
}

#[test]
fn create_folder_makes_an_empty_one() {
    let mut house = furnished();
    assert!(is_done(&house.phone_asks(Action::Mkdir, "New/Album")));
    let there = house.memory().look(&master(&path("New/Album"))).unwrap();
    assert_eq!(there, Some(crate::fs::Entry::Dir));
    assert!(house.engine().world().is_folder(&path("New/Album")));
    assert!(is_done(&house.phone_asks(Action::Mkdir, "New/Album")));
    refusal(house.phone_asks(Action::Mkdir, "z"));
    refusal(house.phone_asks(Action::Mkdir, "z/below"));
    // It can be followed while it is empty.
    assert!(is_done(&house.phone_asks(Action::Get, "New/Album")));
    house.home("New/Album/1", "p1");
    house.settle();
    assert_eq!(house.at_phone("New/Album/1").as_deref(), Some("p1"));
}

// Quotas.

#[test]
fn room_is_made_before_a_link_by_what_was_used_longest_ago() {
    let mut house = House::with_quota(3);
    for at in ["1", "2", "3", "4"] {
        house.home(at, at);
    }
    house.turn();
    for at in ["1", "2", "3"] {
        house.wait(10);
        assert!(is_done(&house.phone_asks(Action::Get, at)));
    }
    house.wait(10);
    assert!(is_done(&house.phone_asks(Action::Open, "1")));
    assert!(is_done(&house.phone_asks(Action::Get, "4")));
    assert_eq!(house.phone_files(), ["1=1", "3=3", "4=4"]);
    assert_eq!(house.masters().len(), 4);
}

#[test]
fn a_clock_that_runs_ahead_does_not_make_a_file_stay_for_ever() {
    let mut house = House::with_quota(2);
    for at in ["1", "2", "3"] {
        house.home(at, at);
    }
    house.turn();
    house.phone_asks(Action::Get, "1");
    let mut wish = house.wish(Action::Open, "1");
    wish.at = Time::from_secs(9_000_000_000);
    house.phone_wishes(wish);
    house.wait(10);
    house.phone_asks(Action::Get, "2");
    house.wait(10);
    house.phone_asks(Action::Get, "3");
    assert_eq!(house.phone_files(), ["2=2", "3=3"]);
}

#[test]
fn pins_are_never_evicted_and_what_cannot_fit_is_refused_with_the_numbers() {
    let mut house = House::with_quota(2);
    for at in ["1", "2", "d/3"] {
        house.home(at, at);
    }
    house.turn();
    house.phone_asks(Action::Get, "1");
    house.phone_asks(Action::Get, "2");
    assert!(is_done(&house.phone_asks(Action::Pin, "1")));
    assert!(is_done(&house.phone_asks(Action::Pin, "2")));
    refusal(house.phone_asks(Action::Pin, "d/3"));
    let why = refusal(house.phone_asks(Action::Get, "d/3"));
    assert!(why.contains("quota") && why.contains("pinned") && why.contains("8.2 kB"), "{why}");
    house.restart();
    assert_eq!(house.phone_files(), ["1=1", "2=2"]);
    assert!(is_done(&house.phone_asks(Action::Unpin, "1")));
    assert!(is_done(&house.phone_asks(Action::Get, "d/3")));
    assert_eq!(house.phone_files(), ["2=2", "d/3=d/3"]);
}

#[test]
fn a_folder_that_is_too_large_brings_its_newest_files() {
    let mut house = House::with_quota(2);
    for at in ["d/1", "d/2", "d/3"] {
        house.wait(10);
        house.home(at, at);
    }
    house.turn();
    let answer = house.phone_asks(Action::Get, "d");
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    assert!(text.contains("1 file of it") && text.contains("did not fit"), "{text}");
    assert_eq!(house.phone_files(), ["d/2=d/2", "d/3=d/3"]);
    house.settle();
    house.restart();
    assert_eq!(house.phone_files(), ["d/2=d/2", "d/3=d/3"]);
}

#[test]
fn a_smaller_quota_takes_effect_and_evicts_only_what_is_at_home() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "");
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(BLOCK)));
    house.configure();
    assert_eq!(house.phone_files().len(), 1);
    assert_eq!(house.masters().len(), 3);
    // What was evicted does not come back by itself, although the folder is followed.
    house.restart();
    assert_eq!(house.phone_files().len(), 1);
}

#[test]
fn an_edit_elsewhere_that_grew_does_not_break_the_quota() {
    let mut house = House::with_quota(2);
    house.home("1", "1");
    house.home("2", "2");
    house.turn();
    house.phone_asks(Action::Get, "1");
    house.phone_asks(Action::Get, "2");
    house.phone_asks(Action::Pin, "2");
    let mut wish = house.wish(Action::Get, "2");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    let large = "L".repeat(2 * BLOCK as usize);
    house.on("LinuxLaptop", "2", &large);
    house.settle();
    assert_eq!(house.at_home("2"), Some(large.clone()));
    assert_eq!(house.phone_files(), [format!("2={large}")]);
    let larger = "M".repeat(3 * BLOCK as usize);
    house.on("LinuxLaptop", "2", &larger);
    house.settle();
    house.restart();
    assert_eq!(house.at_home("2"), Some(larger));
    let used = house.engine().world().replicas[&holder("HTCphone")].used();
    assert!(used <= Bytes(2 * BLOCK), "{used} of {}", Bytes(2 * BLOCK));
}

#[test]
fn a_name_that_is_taken_at_home_does_not_break_the_quota() {
    let mut house = House::with_quota(2);
    house.home("big", &"B".repeat(2 * BLOCK as usize));
    house.turn();
    house.phone("big", "the phone's own");
    house.settle();
    let used = house.engine().world().replicas[&holder("HTCphone")].used();
    assert!(used <= Bytes(2 * BLOCK), "{used} of {}", Bytes(2 * BLOCK));
    assert_eq!(house.masters().len(), 2);
}

#[test]
fn a_devices_own_files_are_never_evicted_before_they_are_at_home() {
    let mut house = House::with_quota(1);
    house.phone("1", "1");
    house.phone("2", "2");
    house.settle();
    assert_eq!(house.masters(), ["1=1", "2=2"]);
    assert!(house.phone_files().len() <= 1);
}

// What devices do by themselves.

#[test]
fn what_a_device_deletes_loses_its_link_once_that_has_settled() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a");
    house.phone_deletes("a/x");
    house.turn();
    house.wait(SETTLE - 1);
    let links = |house: &mut House| {
        house.engine().world().replicas[&holder("HTCphone")].links.get(&path("a/x")).is_some()
    };
    assert!(links(&mut house), "absence was believed too early");
    house.wait(2);
    assert!(!links(&mut house));
    house.settle();
    house.restart();
    assert_eq!(house.at_phone("a/x"), None, "it is remembered as an exception");
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
}

#[test]
fn what_comes_back_before_it_settled_was_never_deleted() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    // The sync engine removes the old name before it renames the new one in.
    house.phone_deletes("a/x");
    house.turn();
    house.wait(5);
    house.phone("a/x", "x2 by phone");
    house.settle();
    assert_eq!(house.at_home("a/x").as_deref(), Some("x2 by phone"));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x2 by phone"));
    assert!(house.kept()[0].ends_with("=x1"));
}

#[test]
fn an_edit_becomes_the_new_version_everywhere() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    let mut wish = house.wish(Action::Get, "a/x");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    house.phone("a/x", "x2");
    house.settle();
    assert_eq!(house.at_home("a/x").as_deref(), Some("x2"));
    assert_eq!(house.at_device("LinuxLaptop", "a/x").as_deref(), Some("x2"));
    assert_eq!(house.kept().len(), 1);
    // Kept for `keep_versions`, 30 days by default; it can be brought back.
    house.days(29);
    assert_eq!(house.kept().len(), 1);
    assert!(is_done(&house.phone_asks(Action::Undo, "a/x")));
    house.settle();
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
    assert_eq!(house.at_device("LinuxLaptop", "a/x").as_deref(), Some("x1"));
    assert!(house.kept()[0].ends_with("=x2"));
    house.days(30);
    house.night();
    assert_eq!(house.kept(), [""; 0]);
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
}

#[test]
fn what_a_device_makes_becomes_a_master() {
    let mut house = furnished();
    house.phone("DCIM/2026/p.jpg", "photo");
    house.phone("a/own", "own");
    house.settle();
    assert_eq!(house.at_home("DCIM/2026/p.jpg").as_deref(), Some("photo"));
    assert_eq!(house.at_home("a/own").as_deref(), Some("own"));
    // Deleting it on the device leaves it at home.
    house.phone_deletes("a/own");
    house.settle();
    assert_eq!(house.at_home("a/own").as_deref(), Some("own"));
}

#[test]
fn when_both_changed_both_are_kept() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    house.phone("a/x", "x by phone");
    house.home("a/x", "x at home");
    house.settle();
    house.restart();
    assert_eq!(house.at_home("a/x").as_deref(), Some("x at home"));
    let mark = "a/x (HTCphone 2026-11-23 10-00-";
    let both: Vec<_> = house.masters().into_iter().filter(|f| f.starts_with(mark)).collect();
    assert_eq!(both.len(), 1, "{:?}", house.masters());
    assert!(both[0].ends_with("=x by phone"));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x at home"));
    assert!(house.phone_files().contains(&both[0]));
}

#[test]
fn two_devices_that_edit_at_once_lose_nothing() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    let mut wish = house.wish(Action::Get, "a/x");
    wish.to = vec![holder("LinuxLaptop")];
    house.phone_wishes(wish);
    house.phone("a/x", "by phone");
    house.on("LinuxLaptop", "a/x", "by laptop");
    house.settle();
    let all = [house.masters(), house.kept()].concat();
    for content in ["=by phone", "=by laptop", "=x1"] {
        assert!(all.iter().any(|f| f.ends_with(content)), "{content}: {all:?}");
    }
    assert_eq!(house.at_phone("a/x"), house.at_home("a/x"));
    assert_eq!(house.at_device("LinuxLaptop", "a/x"), house.at_home("a/x"));
}

#[test]
fn a_rename_on_a_device_is_a_delete_and_a_create() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    let phone = |at| on(&holder("HTCphone"), &path(at));
    house.shift(phone("a/x"), phone("a/renamed"));
    house.settle();
    house.restart();
    assert_eq!(house.phone_files(), ["a/renamed=x1"]);
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert_eq!(house.at_home("a/renamed").as_deref(), Some("x1"));
}

#[test]
fn a_rename_at_home_takes_links_along() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    house.shift(master(&path("a/x")), master(&path("other/place")));
    house.settle();
    house.restart();
    assert_eq!(house.masters(), ["z=z1", "a/b/y=y1", "other/place=x1"].sorted());
    assert_eq!(house.phone_files(), ["other/place=x1"]);
}

#[test]
fn a_pin_goes_along_with_a_rename_at_home() {
    let mut house = House::with_quota(1);
    house.home("1", "1");
    house.home("2", "2");
    house.turn();
    house.phone_asks(Action::Get, "1");
    house.phone_asks(Action::Pin, "1");
    house.shift(master(&path("1")), master(&path("one")));
    house.settle();
    assert_eq!(house.phone_files(), ["one=1"]);
    refusal(house.phone_asks(Action::Get, "2"));
    assert_eq!(house.phone_files(), ["one=1"]);
}

#[test]
fn what_is_removed_at_home_without_a_wish_comes_back_from_a_device() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    house.take(master(&path("a/x")));
    house.settle();
    assert_eq!(house.at_home("a/x").as_deref(), Some("x1"));
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x1"));
}

#[test]
fn what_is_replaced_at_home_reaches_the_devices() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "a/x");
    house.home("a/x", "x2");
    house.settle();
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x2"));
    // The phone's link was the old content's last name.
    assert!(house.kept()[0].ends_with("=x1"));
    house.memory().write_in_place(&master(&path("a/x")), b"x3", house::START.plus_secs(99));
    house.hint(&master(&path("a/x")));
    house.settle();
    assert_eq!(house.at_phone("a/x").as_deref(), Some("x3"));
}

#[test]
fn a_folder_and_a_file_of_one_name_lose_nothing() {
    let mut house = furnished();
    house.phone("a", "a file where a folder is at home");
    house.phone("z/below", "a folder where a file is at home");
    house.settle();
    let all = [house.masters(), house.phone_files()].concat();
    for end in ["where a folder is at home", "where a file is at home", "=x1", "=z1"] {
        assert!(all.iter().any(|f| f.ends_with(end)), "{end}: {all:?}");
    }
}

// The mass-delete guard.

/// Masters m/0 … and all of them on the phone.
fn with_many(count: usize) -> House {
    let mut house = House::new();
    for i in 0..count {
        house.home(&format!("m/{i:03}"), &format!("content {i}"));
    }
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "m")));
    assert_eq!(house.phone_files().len(), count);
    house
}

#[test]
fn a_master_that_cannot_be_looked_at_is_told_of_until_it_can_or_is_gone() {
    let mut house = House::new();
    house.home("d/a", "a");
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "d/a")));
    let at = master(&path("d/a"));
    // Told of when somebody at home or the phone did something to it.
    for hint in [at.clone(), on(&holder("HTCphone"), &path("d/a"))] {
        for gone in [false, true] {
            house.drive.0.borrow_mut().hidden = Some(at.clone());
            house.hint(&hint);
            house.settle();
            assert!(house.told().contains("files/d/a"), "{}", house.told());
            // It is not taken for gone.
            assert!(house.engine().world().files.get(&path("d/a")).is_some());
            assert_eq!(house.at_phone("d/a").as_deref(), Some("a"));
            house.restart();
            house.hint(&hint);
            house.settle();
            house.drive.0.borrow_mut().hidden = None;
            match gone {
                // Nobody says so: it is tried from time to time, also when the clock was set back.
                false => house.wait(-86_400),
                true => {
                    house.memory().take(&at);
                    house.wait(60);
                    house.settle();
                    house.home("d/a", "a");
                    house.settle();
                }
            }
            assert_eq!(house.told(), "", "{gone}");
            assert_eq!(house.at_home("d/a").as_deref(), Some("a"));
        }
    }
}

#[test]
fn many_links_that_vanish_at_once_are_not_forgotten() {
    let mut house = with_many(100);
    for i in 0..=MASS {
        house.phone_deletes(&format!("m/{i:03}"));
    }
    house.settle();
    house.wait(86_400);
    let known = house.engine().world().replicas[&holder("HTCphone")].links.len();
    assert_eq!(known, 100);
    assert!(house.told().contains("51 of the 100 files on HTCphone vanished"));
    // One way out: they come back.
    for i in 0..=MASS {
        let (from, to) = (master(&path(&format!("m/{i:03}"))), path(&format!("m/{i:03}")));
        let to = on(&holder("HTCphone"), &to);
        let ino = house.memory().stat(&from).unwrap().unwrap().id.ino;
        house.memory().link(&from, ino, &to).unwrap();
        house.hint(&to);
    }
    house.settle();
    assert!(!house.told().contains("vanished"));
    assert_eq!(house.phone_files().len(), 100);
}

#[test]
fn the_owner_can_say_that_many_were_meant_to_go() {
    let mut house = with_many(100);
    for i in 0..=MASS {
        house.phone_deletes(&format!("m/{i:03}"));
    }
    house.settle();
    // The other way out: somebody says so on a page.
    for i in 0..=MASS {
        let mut wish = house.wish(Action::Delete, &format!("m/{i:03}"));
        wish.to = vec![holder("HTCphone")];
        house.press(&Origin::Home, &[wish]);
        house.turn();
    }
    house.settle();
    assert!(!house.told().contains("vanished"), "{}", house.told());
    assert_eq!(house.phone_files().len(), 49);
    house.restart();
    assert_eq!(house.phone_files().len(), 49, "forgotten is forgotten");
    assert_eq!(house.masters().len(), 100);
}

#[test]
fn after_a_folder_was_emptied_ordinary_deletes_work_again() {
    let mut house = with_many(20);
    let all: Vec<_> = {
        let memory = house.memory();
        let phone = Place::Device(device("HTCphone"));
        memory.files().filter(|(at, _)| at.place == phone).map(|(at, _)| at.clone()).collect()
    };
    let dirs = [on(&holder("HTCphone"), &path("m")), on(&holder("HTCphone"), &path(""))];
    for at in &all {
        house.memory().take(at);
    }
    for dir in &dirs {
        house.memory().take(dir);
    }
    house.pending = Pending { lost: true, ..Pending::default() };
    house.settle();
    assert!(house.told().contains("vanished"), "the whole folder went: nothing is forgotten");
    for at in &all {
        let from = master(&at.path);
        let ino = house.memory().stat(&from).unwrap().unwrap().id.ino;
        let parent = at.place.clone().at(at.path.parent().unwrap());
        house.memory().make_dir(&parent).unwrap();
        house.memory().link(&from, ino, at).unwrap();
    }
    house.pending = Pending { lost: true, ..Pending::default() };
    house.settle();
    assert!(!house.told().contains("vanished"), "{}", house.told());
    house.phone_deletes("m/000");
    house.settle();
    assert!(!house.told().contains("vanished"), "{}", house.told());
    assert_eq!(house.engine().world().replicas[&holder("HTCphone")].links.len(), 19);
}

#[test]
fn a_lost_watch_is_a_rescan_and_never_a_deletion() {
    let mut house = with_many(10);
    house.pending = Pending { lost: true, ..Pending::default() };
    house.settle();
    assert_eq!(house.phone_files().len(), 10);
    assert_eq!(house.masters().len(), 10);
}

// Wishes and pages.

#[test]
fn a_wish_takes_effect_once_however_often_it_arrives() {
    let mut house = furnished();
    let get = house.wish(Action::Get, "z");
    house.phone_wishes(get.clone());
    house.phone_deletes("z");
    house.settle();
    house.phone_wishes(get.clone());
    house.settle();
    house.restart();
    house.press(&phone_page(), &[get.clone(), get]);
    house.settle();
    assert_eq!(house.at_phone("z"), None);
}

#[test]
fn wishes_in_any_order_are_answered_each() {
    let mut house = furnished();
    let wishes: Vec<_> = [
        (Action::Delete, "a/x"),
        (Action::Undo, "a/x"),
        (Action::Get, "a"),
        (Action::Get, "a/x"),
        (Action::Pin, "a/x"),
        (Action::Share, "z"),
        (Action::Open, "z"),
        (Action::Destroy, "z"),
        (Action::Get, "z"),
    ]
    .into_iter()
    .map(|(action, at)| house.wish(action, at))
    .collect();
    let ids: Vec<_> = wishes.iter().map(|w| w.id).collect();
    house.press(&phone_page(), &wishes);
    house.turn();
    let answers: Vec<_> = ids.iter().map(|id| house.answer(&phone_page(), *id)).collect();
    let states: String = answers
        .iter()
        .map(|a| match a {
            Answer::Done(_) => 'd',
            Answer::Waiting(_) => 'w',
            Answer::Refused(_) => 'r',
        })
        .collect();
    assert_eq!(states, "drdddrddr", "{answers:#?}");
    assert_eq!(house.phone_files(), ["a/b/y=y1", "a/x=x1"]);
}

#[test]
fn a_device_makes_only_the_wishes_it_may() {
    let mut house = furnished();
    let mut child = settings("tablet", None);
    child.may = vec![Action::Get, Action::Open];
    house.config.devices.insert(device("tablet"), child);
    house.configure();
    let tablet = Origin::Device(device("tablet"));
    let get = house.wish(Action::Get, "z");
    let destroy = house.wish(Action::Destroy, "z");
    house.press(&tablet, &[get.clone(), destroy.clone()]);
    house.turn();
    assert!(is_done(&house.answer(&tablet, get.id)));
    assert!(refusal(house.answer(&tablet, destroy.id)).contains("may not destroy"));
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
}

#[test]
fn a_page_made_by_another_ledger_is_not_obeyed() {
    let mut house = furnished();
    let wish = house.wish(Action::Destroy, "z");
    let list = crate::worklist::Worklist {
        page: "another".into(),
        wishes: vec![wish.clone()],
        ..Default::default()
    };
    let at = House::page(&phone_page());
    let page = crate::worklist::put(house.memory().content(&at).unwrap(), &list).unwrap();
    house.memory().put(&at, &page, house::START);
    house.hint(&at);
    house.turn();
    assert!(refusal(house.answer(&phone_page(), wish.id)).contains("newest page"));
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
}

#[test]
fn conflict_copies_and_downloads_are_read_and_taken_away() {
    let mut house = furnished();
    let in_copy = house.wish(Action::Get, "a/x");
    let in_download = house.wish(Action::Get, "z");
    let in_both = house.wish(Action::Get, "a/b/y");
    let copy = house.page_with(&phone_page(), &[in_copy, in_both.clone()]);
    let download = house.worklist(&[in_download, in_both]);
    let beside = |name: &str| Place::Catalogue.at(path(&format!("HTCphone/{name}")));
    let mine = beside("my notes.html");
    for (name, content) in [
        ("catalogue.sync-conflict-20261123-100000-ABCDEFG.html", &copy),
        ("catalogue-worklist-HTCphone-2026-11-23T100000.json", &download),
        ("catalogue-worklist-HTCphone-2026-11-23T100000 (1).json", &download),
        ("my notes.html", &copy),
    ] {
        house.memory().put(&beside(name), content, house::START);
        house.hint(&beside(name));
    }
    house.turn();
    assert_eq!(house.phone_files(), ["z=z1", "a/x=x1", "a/b/y=y1"].sorted());
    let left: Vec<_> = {
        let memory = house.memory();
        let here = memory.files().filter(|(at, _)| at.place == Place::Catalogue);
        here.map(|(at, _)| at.path.to_string()).collect()
    };
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(house.memory().content(&mine).is_some(), "what is not ours stays");
}

#[test]
fn wishes_saved_in_the_very_moment_of_publishing_are_not_lost() {
    for cut in [false, true] {
        let mut house = furnished();
        let wish = house.wish(Action::Get, "z");
        let saved = house.page_with(&phone_page(), std::slice::from_ref(&wish));
        house.drive.0.borrow_mut().before_exchange = Some(Box::new(move |memory, a, b| {
            if [a, b].contains(&&House::page(&phone_page())) && !saved.is_empty() {
                memory.put(&House::page(&phone_page()), &saved, house::START);
                if cut {
                    // The power fails right after the pages were exchanged.
                    memory.fail_from = Some((memory.calls + 1, rustix::io::Errno::IO));
                }
            }
        }));
        // Something to publish.
        house.home("new", "n1");
        let turned = house.try_turn();
        assert_eq!(turned.is_err(), cut, "{turned:?}");
        house.drive.0.borrow_mut().before_exchange = None;
        if cut {
            house.memory().fail_from = None;
            house.open().unwrap();
        }
        house.turn();
        assert_eq!(house.at_phone("z").as_deref(), Some("z1"), "cut: {cut}");
        house.settle();
        assert_eq!(house.kept().len(), 0, "a page is no version of a file");
    }
}

#[test]
fn the_page_is_written_anew_when_somebody_damaged_or_removed_it() {
    let mut house = furnished();
    let at = House::page(&phone_page());
    let good = house.memory().content(&at).unwrap().to_vec();
    for damage in [&b""[..], &good[..good.len() / 2], b"\xff\xfe garbage <!--WORKLIST-BEGIN-->"] {
        house.memory().put(&at, damage, house::START);
        house.hint(&at);
        house.turn();
        let page = house.memory().content(&at).unwrap().to_vec();
        assert!(crate::worklist::find(&page).is_ok());
    }
    house.take(at.clone());
    house.turn();
    assert!(house.memory().content(&at).is_some());
    // Nothing happens: nothing is written.
    let before = house.memory().stat(&at).unwrap();
    house.wait(60);
    assert_eq!(house.memory().stat(&at).unwrap(), before);
}

#[test]
fn a_planted_link_where_the_page_should_be_stops_nothing() {
    let mut house = furnished();
    let at = House::page(&phone_page());
    house.memory().put_other(&at);
    house.hint(&at);
    house.turn();
    house.home("new", "n1");
    let mut wish = house.wish(Action::Get, "z");
    wish.to = vec![holder("LinuxLaptop")];
    house.press(&Origin::Home, &[wish]);
    house.turn();
    assert_eq!(house.at_device("LinuxLaptop", "z").as_deref(), Some("z1"));
}

#[test]
fn undo_is_done_once_although_it_names_no_version() {
    let mut house = furnished();
    house.phone_asks(Action::Get, "z");
    house.phone("z", "z2");
    house.settle();
    let wish = house.wish(Action::Undo, "z");
    house.press(&phone_page(), &[wish]);
    // Cut at every call: whatever was reached, the rerun ends at the same.
    for cut in 0..60 {
        let calls = house.memory().calls;
        house.memory().fail_from = Some((calls + cut, rustix::io::Errno::IO));
        let cut_off = house.try_turn().is_err();
        house.memory().fail_from = None;
        if !cut_off {
            break;
        }
        house.open().unwrap();
    }
    house.settle();
    assert_eq!(house.at_home("z").as_deref(), Some("z1"));
    assert_eq!(house.kept().len(), 1);
}

#[test]
fn an_action_that_failed_once_is_not_told_for_ever() {
    let mut house = furnished();
    let at = on(&holder("HTCphone"), &path("z"));
    house.memory().put(&at, b"phone's own", house::START);
    house.phone_asks(Action::Get, "z");
    house.settle();
    house.settle();
    assert_eq!(house.told(), "");
}

#[test]
fn a_page_with_many_wishes_holds_up_no_other_page() {
    let mut house = furnished();
    let laptop = Origin::Device(device("LinuxLaptop"));
    let many: Vec<_> = (0..5_000).map(|_| house.wish(Action::Open, "z")).collect();
    let one = house.wish(Action::Get, "z");
    for (origin, wishes) in
        [(phone_page(), many.as_slice()), (laptop.clone(), std::slice::from_ref(&one))]
    {
        let list = crate::worklist::parse(&house.worklist(wishes));
        let now = house.now;
        house.engine().receive(&origin, &list, now).unwrap();
    }
    let now = house.now;
    let turn = house.engine().turn(crate::watch::Pending::default(), now).unwrap();
    assert!(turn.more, "the phone's wishes are not all done yet");
    assert!(is_done(&house.answer(&laptop, one.id)));
    house.turn();
    assert_eq!(house.engine().ledger.origins_with_open_wishes().unwrap(), []);
}

#[test]
fn ten_thousand_wishes_are_worked_off_in_parts() {
    let mut house = furnished();
    let mut wishes: Vec<_> = (0..10_000).map(|_| house.wish(Action::Open, "z")).collect();
    wishes.iter_mut().for_each(|wish| wish.seen = None);
    let list = house.worklist(&wishes);
    let list = crate::worklist::parse(&list);
    assert_eq!(list.wishes.len(), 10_000);
    let now = house.now;
    house.engine().receive(&phone_page(), &list, now).unwrap();
    house.turn();
    assert!(house.engine().ledger.origins_with_open_wishes().unwrap().is_empty());
}

#[test]
fn a_wish_for_a_folder_that_changed_its_contents_since_is_refused() {
    let mut house = furnished();
    let mut wish = house.wish(Action::Destroy, "a");
    wish.seen = Some(Seen { size: 4, mtime: 0 });
    refusal(house.phone_wishes(wish));
    assert_eq!(house.masters().len(), 3);
}

trait Sorted {
    /// In the order of the drive in memory: by components.
    fn sorted(self) -> Vec<String>;
}

impl<const N: usize> Sorted for [&str; N] {
    fn sorted(self) -> Vec<String> {
        let mut all = self.map(str::to_owned).to_vec();
        all.sort_by_key(|f| path(f.split('=').next().unwrap_or_default()));
        all
    }
}

#[test]
fn a_page_folder_that_is_none_is_told_until_it_is_one() {
    for (name, origin) in
        [("HTCphone", phone_page()), ("LinuxLaptop", Origin::Device(device("LinuxLaptop")))]
    {
        let mut house = furnished();
        let folder = Place::Catalogue.at(path(name));
        let page = Place::Catalogue.at(path(&format!("{name}/catalogue.html")));
        house.memory().take(&page);
        house.memory().remove_dir(&folder).unwrap();
        house.save(folder.clone(), "in the way");
        house.engine().pages.insert(origin);
        house.turn();
        let told = house.told();
        assert!(told.contains(name) && told.contains("no folder"), "{told}");
        house.take(folder);
        house.settle();
        assert_eq!(house.told(), "");
        assert!(house.memory().content(&page).is_some());
    }
}

#[test]
fn what_is_not_taken_in_is_told_as_it_comes_and_goes() {
    let mut house = furnished();
    let told = |house: &mut House| {
        let notices = house.engine().report().notices;
        notices.into_iter().find(|n| n.what.starts_with("not taken in")).map(|n| n.what)
    };
    assert_eq!(told(&mut house), None);
    let link = crate::plan::master(&path("Docs/link"));
    house.memory().put_other(&link);
    house.hint(&link);
    house.turn();
    let once = "not taken in: 1 symbolic link (BTsync/files/Docs/link)";
    assert_eq!(told(&mut house).as_deref(), Some(once));
    // Seen again it is no second one, by a hint and by a scan.
    house.hint(&link);
    house.turn();
    house.restart();
    assert_eq!(told(&mut house).as_deref(), Some(once));
    house.phone("a", "a");
    let planted = crate::plan::on(&holder("HTCphone"), &path("planted"));
    house.memory().put_other(&planted);
    house.hint(&planted);
    house.settle();
    let twice = "not taken in: 2 symbolic links (the first is BTsync/files/Docs/link)";
    assert_eq!(told(&mut house).as_deref(), Some(twice));
    for at in [&link, &planted] {
        house.memory().take(at);
        house.hint(at);
    }
    house.turn();
    assert_eq!(told(&mut house), None);
}
