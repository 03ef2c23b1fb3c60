//! Mass changes: a device that changes much more than ever, and the two answers to it.

use super::house::{BLOCK, Drive, House, START, device, holder, is_done, path, refusal, settings};
use super::{phone_page, with_many};
use crate::model::{Action, Answer, Bytes, Origin, Place, Spot, Wish};
use crate::plan::{Why, master, on};
use crate::watch::Pending;
use rustix::io::Errno;

fn laptop_page() -> Origin {
    Origin::Device(device("LinuxLaptop"))
}

fn name(i: usize) -> String {
    format!("m/{i:03}")
}

/// The first so many files as [`with_many`] makes them.
fn as_it_was(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("{}=content {i}", name(i))).collect()
}

fn storming(house: &mut House) -> bool {
    house.engine().world().replicas[&holder("HTCphone")].mass_change.is_some()
}

/// The answer to a mass change of the phone, from a page.
fn say(house: &mut House, origin: &Origin, action: Action) -> (Wish, Answer) {
    let mut wish = house.wish(action, "");
    wish.to = vec![holder("HTCphone")];
    house.press(origin, std::slice::from_ref(&wish));
    house.turn();
    let answer = house.answer(origin, wish.id);
    (wish, answer)
}

/// A hundred files, all on phone and laptop; then the phone rewrites eighty and makes one.
fn rewritten() -> House {
    let mut house = with_many(100);
    let mut wish = house.wish(Action::Get, "m");
    wish.to = vec![holder("LinuxLaptop")];
    assert!(is_done(&house.phone_wishes(wish)));
    house.settle();
    for i in 0..80 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.phone("m/READ ME", "pay");
    house.settle();
    house
}

#[test]
fn what_is_rewritten_all_at_once_is_held() {
    let mut house = rewritten();
    assert!(storming(&mut house));
    let before = as_it_was(100);
    assert_eq!(house.masters(), before, "no master was touched");
    assert!(house.at_device("LinuxLaptop", "m/READ ME").is_none());
    assert_eq!(house.at_device("LinuxLaptop", &name(1)).unwrap(), "content 1");
    assert_eq!(house.at_phone(&name(1)).unwrap(), "encrypted 1", "what it wrote stays there");
    let told = house.told();
    assert!(told.contains("HTCphone changed 80 files and deleted 0 files, much more"), "{told}");
    assert!(told.contains("(1 file new)") && told.contains("keep yours"), "{told}");
    // Days, nights and a restart change nothing about it.
    house.wait(40 * 86_400);
    house.night();
    house.restart();
    assert!(storming(&mut house));
    assert_eq!(house.masters(), before);
    assert!(house.told().contains("HTCphone changed 80 files"), "{}", house.told());
    // What others do goes on as ever.
    house.on("LinuxLaptop", &name(99), "edited on the laptop");
    house.home("m/later", "later");
    house.settle();
    assert_eq!(house.at_home(&name(99)).unwrap(), "edited on the laptop");
    assert_eq!(house.at_phone(&name(99)).unwrap(), "edited on the laptop");
    assert_eq!(house.at_phone("m/later").unwrap(), "later");
}

#[test]
fn keep_mine_gives_the_device_back_what_it_had() {
    let mut house = rewritten();
    assert!(refusal(say(&mut house, &phone_page(), Action::KeepMine).1).contains("common page"));
    let (_, answer) = say(&mut house, &laptop_page(), Action::KeepMine);
    assert!(is_done(&answer), "{answer:?}");
    house.settle();
    let before = as_it_was(100);
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before);
    // Nothing that the phone wrote is lost at once.
    assert_eq!(house.kept().len(), 81);
    assert!(house.kept().iter().any(|kept| kept.ends_with("=pay")));
    assert!(!storming(&mut house) && !house.told().contains("at once"), "{}", house.told());
    // It is asked again the next time.
    for i in 0..51 {
        house.phone(&name(i), &format!("again {i}"));
    }
    house.settle();
    assert!(storming(&mut house));
}

#[test]
fn let_it_happen_takes_it_in_as_any_change() {
    let mut house = rewritten();
    assert!(is_done(&say(&mut house, &Origin::Home, Action::Allow).1));
    house.settle();
    assert_eq!(house.at_home(&name(1)).unwrap(), "encrypted 1");
    assert_eq!(house.at_home("m/READ ME").unwrap(), "pay");
    assert_eq!(house.at_device("LinuxLaptop", &name(1)).unwrap(), "encrypted 1");
    assert_eq!(house.kept().len(), 80, "the old contents are kept as versions");
    // As much is nothing new from now on.
    for i in 0..80 {
        house.phone(&name(i), &format!("once more {i}"));
    }
    house.settle();
    assert!(!storming(&mut house));
    assert_eq!(house.at_home(&name(1)).unwrap(), "once more 1");
    // And the wish, repeated, does nothing.
    assert!(is_done(&say(&mut house, &Origin::Home, Action::Allow).1));
}

#[test]
fn a_mass_change_that_comes_file_by_file_is_noticed_and_turned_back() {
    let mut house = with_many(100);
    for i in 0..70 {
        house.phone(&name(i), &format!("encrypted {i}"));
        house.wait(20);
    }
    assert!(storming(&mut house));
    let taken = house.masters().iter().filter(|m| m.contains("encrypted")).count();
    assert_eq!(taken, 50, "as much as no storm may be");
    // Their old contents do not expire while nobody answered.
    house.wait(40 * 86_400);
    assert_eq!(house.kept().len(), 50);
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let before = as_it_was(100);
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before);
    let by_it = house.engine().world().versions.values();
    assert!(by_it.clone().all(|v| v.why == Why::Stormed(holder("HTCphone"))));
    assert_eq!(by_it.count(), 70);
}

#[test]
fn keep_mine_goes_back_to_what_the_owner_let_happen_and_no_further() {
    let mut house = with_many(320);
    // In two parts: of the first, some was taken in before it was noticed.
    for part in [0..30, 30..70] {
        for i in part {
            house.phone(&name(i), &format!("retouched {i}"));
        }
        house.settle();
    }
    assert!(storming(&mut house));
    assert!(is_done(&say(&mut house, &Origin::Home, Action::Allow).1));
    house.settle();
    let mut allowed = house.masters();
    allowed.sort();
    house.wait(1_800);
    for i in 0..310 {
        house.phone(&name(i), &format!("encrypted {i}"));
        if i == 60 {
            house.settle();
        }
    }
    house.settle();
    assert!(storming(&mut house));
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let mut after = house.masters();
    after.sort();
    assert_eq!(after, allowed);
}

#[test]
fn a_mass_change_is_turned_back_also_when_all_that_was_old_at_the_last_answer_is_gone() {
    let mut house = with_many(300);
    for i in 0..80 {
        house.phone(&name(i), &format!("retouched {i}"));
    }
    house.settle();
    assert!(is_done(&say(&mut house, &Origin::Home, Action::Allow).1));
    for _ in 0..32 {
        house.wait(86_400);
        house.night();
    }
    assert_eq!(house.kept(), [""; 0]);
    house.restart();
    let before = house.masters();
    // File by file, so that three times as many as then are taken in before it is noticed.
    for i in 0..260 {
        house.phone(&name(i), &format!("encrypted {i}"));
        house.wait(1);
    }
    assert!(storming(&mut house));
    assert!(house.masters().iter().filter(|file| file.contains("encrypted")).count() > 200);
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    assert_eq!(house.masters(), before);
}

#[test]
fn keep_mine_leaves_what_somebody_at_home_wrote_over_it_in_place() {
    let mut house = half_taken_in();
    let now = house.now;
    house.memory().write_in_place(&master(&path(&name(20))), b"the owner's good one", now);
    house.pending = Pending { lost: true, ..Pending::default() };
    house.settle();
    let (_, answer) = say(&mut house, &Origin::Home, Action::KeepMine);
    let Answer::Done(told) = answer else { panic!("{answer:?}") };
    assert!(told.contains("1 file of it could not be turned back"), "{told}");
    house.settle();
    assert_eq!(house.at_home(&name(20)).unwrap(), "the owner's good one");
    assert_eq!(house.at_home(&name(21)).unwrap(), "content 21");
}

/// The folder `m` is renamed at home; the links of it that can follow do.
fn rename_at_home(house: &mut House, to: &str) {
    let below = |at: &Spot| at.place == Place::Files && at.path.is_within(&path("m"));
    let all: Vec<Spot> =
        house.memory().files().filter(|(at, _)| below(at)).map(|(at, _)| at.clone()).collect();
    for at in all {
        let name = format!("{to}/{}", String::from_utf8_lossy(at.path.name().unwrap()));
        house.shift(at, master(&path(&name)));
    }
    house.settle();
}

fn in_pics(all: &[String]) -> Vec<String> {
    all.iter().map(|file| file.replacen("m/", "pics/", 1)).collect()
}

/// 120 files on the phone: it rewrote forty that were taken in, then forty that are held.
fn half_taken_in() -> House {
    let mut house = with_many(120);
    for many in [0..40, 40..80] {
        for i in many {
            house.phone(&name(i), &format!("encrypted {i}"));
        }
        house.settle();
    }
    assert!(storming(&mut house));
    let taken = house.masters().iter().filter(|m| m.contains("encrypted")).count();
    assert_eq!(taken, 40);
    // What was taken in is rewritten once more.
    for i in 0..5 {
        house.phone(&name(i), &format!("encrypted again {i}"));
    }
    house.settle();
    house
}

#[test]
fn keep_mine_turns_back_what_was_renamed_at_home_meanwhile() {
    // In one life, and over a restart.
    for restarts in [false, true] {
        let mut house = half_taken_in();
        rename_at_home(&mut house, "pics");
        if restarts {
            house.restart();
        }
        assert!(storming(&mut house));
        let (_, answer) = say(&mut house, &Origin::Home, Action::KeepMine);
        let Answer::Done(text) = &answer else { panic!("{answer:?}") };
        assert!(text.ends_with("among the old versions"), "{text}");
        house.settle();
        let before = in_pics(&as_it_was(120));
        assert_eq!(house.masters(), before);
        assert_eq!(house.phone_files(), before);
        assert_eq!(house.kept().len(), 85, "what it wrote is kept");
        assert!(house.kept().iter().all(|kept| kept.contains("=encrypted")));
        assert!(!storming(&mut house));
    }
}

#[test]
fn keep_mine_gives_back_what_was_deleted_and_then_renamed_at_home() {
    let mut house = with_many(120);
    for i in 0..40 {
        house.phone_deletes(&name(i));
    }
    house.settle();
    for i in 40..100 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.phone_deletes(&name(110));
    house.settle();
    assert!(storming(&mut house));
    rename_at_home(&mut house, "pics");
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let before = in_pics(&as_it_was(120));
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before);
}

#[test]
fn keep_mine_brings_back_under_its_old_name_what_is_nowhere_at_home() {
    let mut house = half_taken_in();
    // Somebody at home takes what was encrypted for rubbish, also on the phone.
    for i in 0..20 {
        house.take(master(&path(&name(i))));
        house.phone_deletes(&name(i));
    }
    // Of others there is a new one at home, which stays.
    for i in 20..23 {
        house.home(&name(i), "saved anew");
    }
    house.settle();
    let (_, answer) = say(&mut house, &Origin::Home, Action::KeepMine);
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    let told = "; 3 files of it could not be turned back, because something else has their place";
    assert!(text.contains(told), "{text}");
    house.settle();
    for i in 0..120 {
        let now = if (20..23).contains(&i) { "saved anew".into() } else { format!("content {i}") };
        assert_eq!(house.at_home(&name(i)), Some(now));
    }
}

#[test]
fn two_devices_that_mass_change_over_the_same_files_are_both_turned_back() {
    let (laptop, phone) = (holder("LinuxLaptop"), holder("HTCphone"));
    // Each answer first, undisturbed and with the drive gone in the middle.
    let cuts = [None, Some(5), Some(34), Some(63), Some(101)];
    let orders = [(&phone, &laptop), (&laptop, &phone)];
    for ((first, second), cut) in orders.into_iter().flat_map(|o| cuts.map(|cut| (o, cut))) {
        let mut house = with_many(100);
        let mut wish = house.wish(Action::Get, "m");
        wish.to = vec![laptop.clone()];
        assert!(is_done(&house.phone_wishes(wish)));
        house.settle();
        for who in [&phone, &laptop] {
            for i in 0..70 {
                house.on(who.name(), &name(i), &format!("encrypted {i} on {who}"));
                house.wait(20);
            }
        }
        house.settle();
        for who in [&phone, &laptop] {
            assert!(house.engine().world().replicas[who].mass_change.is_some(), "{who}");
        }
        let mut left = 0;
        for who in [first, second] {
            let mut wish = house.wish(Action::KeepMine, "");
            wish.to = vec![who.clone()];
            house.press(&Origin::Home, std::slice::from_ref(&wish));
            if let Some(cut) = cut.filter(|_| who == first) {
                house.cut_from(cut);
                assert!(house.try_turn().is_err());
                house.memory().fail_from = None;
                house.restart();
            }
            house.turn();
            let answer = house.answer(&Origin::Home, wish.id);
            let Answer::Done(text) = &answer else { panic!("{answer:?}") };
            left += usize::from(text.contains("; 1 file of it could not be turned back"));
            assert!(left > 0 || text.ends_with("among the old versions"), "{text}");
            house.settle();
        }
        let before = as_it_was(100);
        // A cut while one content is between two names takes the way back to the one before it, and that is said.
        assert!(left == 0 || (left == 1 && cut.is_some()), "{first} first, cut at {cut:?}");
        let masters = house.masters();
        let other = masters.iter().zip(&before).filter(|(now, before)| now != before).count();
        assert_eq!((masters.len(), other), (before.len(), left), "{first} first, cut at {cut:?}");
        if left > 0 {
            continue;
        }
        assert_eq!(house.phone_files(), before, "{first} first");
        let at_laptop = house.all(&Place::Device(device("LinuxLaptop")));
        assert_eq!(at_laptop, before, "{first} first");
    }
}

#[test]
fn what_was_taken_in_before_a_power_cut_is_turned_back_too() {
    let mut house = with_many(100);
    for i in 0..10 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.settle();
    // The drive has the next ones, and the ledger does not know of them.
    for i in 5..40 {
        house.phone(&name(i), &format!("encrypted again {i}"));
    }
    let (pending, now) = (std::mem::take(&mut house.pending), house.now);
    house.engine().look(pending, now).unwrap();
    house.engine().reconcile(now).unwrap();
    house.restart();
    let rescued = house.engine().world().versions.values().filter(|v| v.why == Why::Rescued);
    assert_eq!(rescued.count(), 35);
    for i in 40..95 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.settle();
    assert!(storming(&mut house));
    rename_at_home(&mut house, "pics");
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let before = in_pics(&as_it_was(100));
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before);
}

#[test]
fn keep_mine_turns_back_what_was_taken_in_before_the_clock_was_set() {
    // Ahead, as after a start on a stale clock, and back.
    for days in [3, -3] {
        let mut house = with_many(120);
        house.days(2);
        house.phone(&name(119), "edited days before");
        house.days(2);
        house.phone_deletes(&name(118));
        for i in 0..40 {
            house.phone(&name(i), &format!("encrypted {i}"));
        }
        house.settle();
        house.wait(days * 86_400);
        for i in 40..100 {
            house.phone(&name(i), &format!("encrypted {i}"));
        }
        house.settle();
        assert!(storming(&mut house));
        assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
        house.settle();
        let mut before = as_it_was(120);
        before[119] = format!("{}=edited days before", name(119));
        assert_eq!(house.masters(), before, "{days}");
        assert_eq!(house.phone_files(), before, "{days}");
    }
}

#[test]
fn keep_mine_leaves_what_was_edited_long_before_on_a_clock_that_was_ahead() {
    let mut house = with_many(120);
    house.wait(10 * 86_400);
    for i in 100..114 {
        for edit in ["edited", "edited again"] {
            house.phone(&name(i), &format!("{edit} {i}"));
            house.wait(60);
        }
    }
    house.wait(-10 * 86_400);
    house.phone_deletes(&name(119));
    house.settle();
    // Before the old contents that are dated ahead get a new date.
    house.wait(12 * 3_600);
    // Those are rewritten, too, each of them counts, and nothing of it is left out.
    for i in (100..110).chain(0..60) {
        house.phone(&name(i), &format!("encrypted {i}"));
        house.wait(20);
    }
    assert!(storming(&mut house));
    let taken = house.masters().iter().filter(|m| m.contains("encrypted")).count();
    assert_eq!(taken, 50);
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let mut before = as_it_was(120);
    for (i, file) in before.iter_mut().enumerate().skip(100).take(14) {
        *file = format!("{}=edited again {i}", name(i));
    }
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before[..119], "what it deleted hours before stays deleted");
}

#[test]
fn renaming_to_another_extension_is_rewriting() {
    // All at once, and one after the other.
    for pause in [0, 15] {
        let mut house = with_many(400);
        for i in 0..70 {
            house.phone(&format!("{}.locked", name(i)), &format!("encrypted {i}"));
            house.phone_deletes(&name(i));
            if pause > 0 {
                house.wait(pause);
            }
        }
        house.settle();
        assert!(storming(&mut house), "{pause}");
        let (_, answer) = say(&mut house, &Origin::Home, Action::KeepMine);
        assert!(is_done(&answer), "{answer:?}");
        house.settle();
        let phone = house.phone_files();
        let there = (0..400).filter(|i| phone.contains(&format!("{}=content {i}", name(*i))));
        assert!(there.count() >= 400 - 51, "{pause}");
        for i in 0..400 {
            assert_eq!(house.at_home(&name(i)), Some(format!("content {i}")), "{pause}");
        }
    }
}

#[test]
fn a_mass_change_that_grows_hour_by_hour_is_noticed_within_the_day() {
    let mut house = with_many(1_000);
    let mut next = 0;
    for many in [50, 100, 300] {
        for _ in 0..many {
            house.phone(&name(next), &format!("encrypted {next}"));
            next += 1;
        }
        house.settle();
        // Somebody edits now and then.
        house.wait(2 * 3_600);
        house.phone(&name(999), &format!("edited after {next}"));
        house.settle();
    }
    assert!(storming(&mut house));
    let taken = house.masters().iter().filter(|m| m.contains("encrypted")).count();
    assert_eq!(taken, 150, "the last were too much for one day");
    assert_eq!(house.at_home(&name(999)).unwrap(), "edited after 150");
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    // What it edited within that day is turned back with the rest, and kept as an old version.
    let before = as_it_was(1_000);
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all
    };
    assert_eq!(sorted(house.masters()), sorted(before.clone()));
    assert_eq!(sorted(house.phone_files()), sorted(before));
}

#[test]
fn a_document_that_saves_itself_is_one_file() {
    let mut house = with_many(100);
    for minute in 0..600 {
        house.phone(&name(1), &format!("saved {minute}"));
        house.turn();
        house.wait(60);
    }
    assert!(!storming(&mut house), "{}", house.told());
    assert_eq!(house.at_home(&name(1)).unwrap(), "saved 599");
}

#[test]
fn keep_mine_gives_what_was_asked_for_under_a_name_that_was_held() {
    let mut house = rewritten();
    house.home("n/new", "ours");
    house.home("other", "ours, too");
    house.settle();
    for name in ["n/new", "other"] {
        house.phone(name, "encrypted");
    }
    house.settle();
    house.phone_asks(Action::Get, "n");
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    assert_eq!(house.at_phone("n/new").as_deref(), Some("ours"));
    assert_eq!(house.at_phone("other"), None, "it never had that one, nor asked for it");
    assert!(!storming(&mut house));
}

#[test]
fn keep_mine_gives_back_what_was_deleted_before_it_was_noticed() {
    let mut house = with_many(100);
    for i in 0..40 {
        house.phone_deletes(&name(i));
    }
    house.settle();
    assert!(!storming(&mut house));
    assert_eq!(house.phone_files().len(), 60);
    for i in 40..95 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.settle();
    assert!(storming(&mut house));
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    house.settle();
    let before = as_it_was(100);
    assert_eq!(house.masters(), before);
    assert_eq!(house.phone_files(), before);
    // What it deletes afterwards is deleted.
    house.phone_deletes(&name(1));
    house.settle();
    assert_eq!(house.phone_files().len(), 99);
}

#[test]
fn keep_mine_says_how_much_had_no_room() {
    let mut house = with_many(100);
    house.config.devices.insert(device("HTCphone"), settings("HTCphone", Some(100 * BLOCK)));
    house.configure();
    for i in 0..40 {
        house.phone_deletes(&name(i));
    }
    house.settle();
    // In their place comes something else, and one of the others grows at home.
    for i in 0..30 {
        house.home(&format!("n/{i}"), "new");
    }
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "n")));
    for i in 40..95 {
        house.phone(&name(i), &format!("encrypted {i}"));
    }
    house.settle();
    assert!(storming(&mut house));
    house.home(&name(50), &"x".repeat(50 * BLOCK as usize));
    house.settle();
    let (_, answer) = say(&mut house, &Origin::Home, Action::KeepMine);
    let Answer::Done(text) = &answer else { panic!("{answer:?}") };
    // 49 blocks more than it had for the one, and one for each of the thirty.
    let told = "; 31 files of it had no room on HTCphone: needs 324 kB; quota 410 kB";
    assert!(text.ends_with(told), "{text}");
    let phone = &house.engine().world().replicas[&holder("HTCphone")];
    assert!(phone.used() <= Bytes(100 * BLOCK) && phone.evicted.is_empty());
    assert_eq!(house.at_phone(&name(50)), None);
    assert_eq!(house.at_phone(&name(51)).unwrap(), "content 51");
    assert_eq!(house.phone_files().len(), 99);
    house.settle();
    assert_eq!(house.phone_files().len(), 99);
    // What it wrote is kept, as that of the others is.
    assert!(house.kept().iter().any(|kept| kept.ends_with("=encrypted 50")));
}

#[test]
fn what_is_usual_is_no_mass_change() {
    let mut house = with_many(100);
    // Thousands of new pictures, a handful of edits, and what comes from home.
    for i in 0..300 {
        house.phone(&format!("DCIM/{i}.jpg"), &format!("picture {i}"));
    }
    for i in 0..50 {
        house.phone(&name(i), &format!("edited {i}"));
    }
    for i in 50..100 {
        house.home(&name(i), &format!("replaced {i}"));
    }
    house.settle();
    assert!(!storming(&mut house), "{}", house.told());
    assert_eq!(house.masters().len(), 400);
    assert_eq!(house.at_phone(&name(60)).unwrap(), "replaced 60");
}

#[test]
fn clearing_out_a_small_part_is_no_mass_change_and_makes_none_of_the_next_edit() {
    let mut house = with_many(400);
    for i in 0..60 {
        house.phone_deletes(&name(i));
        if i % 15 == 14 {
            house.settle();
        }
    }
    house.phone(&name(99), "edited");
    house.settle();
    assert!(!storming(&mut house), "{}", house.told());
    assert_eq!(house.at_home(&name(99)).unwrap(), "edited");
    assert_eq!(house.phone_files().len(), 340);
}

#[test]
fn nobody_destroys_what_is_held_before_it_is_answered() {
    let mut house = rewritten();
    let mut by_itself = house.wish(Action::Destroy, "m");
    by_itself.seen = house.seen("m");
    let answer = house.phone_wishes(by_itself);
    assert!(refusal(answer).contains("answer that first"));
    let wish = house.wish(Action::Destroy, &name(0));
    house.press(&laptop_page(), std::slice::from_ref(&wish));
    house.turn();
    let answer = house.answer(&laptop_page(), wish.id);
    assert!(refusal(answer).contains("answer that first"));
    assert_eq!(house.masters().len(), 100);
}

#[test]
fn a_mass_change_and_its_answers_lose_nothing_wherever_they_are_cut() {
    for (action, renamed) in
        [(Action::Allow, false), (Action::KeepMine, false), (Action::KeepMine, true)]
    {
        let mut cut = 0;
        loop {
            let mut house = small_mass_change(renamed);
            let (before, expected) = {
                let before = Drive::contents(&house.memory());
                (before, undisturbed(action, renamed))
            };
            let mut wish = house.wish(action, "");
            wish.to = vec![holder("HTCphone")];
            house.press(&Origin::Home, std::slice::from_ref(&wish));
            let calls = house.memory().calls;
            house.memory().fail_from = Some((calls + cut, Errno::IO));
            let mut failed = false;
            for _ in 0..4 {
                failed |= house.try_turn().is_err();
            }
            house.memory().fail_from = None;
            assert_eq!(Drive::contents(&house.memory()), before, "{action} cut at call {cut}");
            if cut % 2 == 0 {
                // No power cut: the drive fails, and what is known by then is remembered.
                let now = house.now;
                house.engine().leave(now).unwrap();
            }
            house.restart();
            house.settle();
            assert_eq!(Drive::contents(&house.memory()), before, "{action} after call {cut}");
            let answer = house.answer(&Origin::Home, wish.id);
            assert!(is_done(&answer), "{action} cut at call {cut}: {answer:?}");
            let end = (house.masters(), house.phone_files());
            assert_eq!(end, expected, "{action} cut at call {cut}");
            assert!(house.memory().files().all(|(at, _)| at.place != crate::model::Place::Tmp));
            if !failed {
                assert!(cut > 15, "{action} makes more calls than {cut}");
                break;
            }
            // Every call while a content is between two names, a third of the others.
            cut += if cut < 60 { 1 } else { 3 };
        }
    }
}

/// A mass change is on, of few files: one taken in before, one twice, one rewritten, one deleted, one new.
fn small_mass_change(renamed: bool) -> House {
    let mut house = House::new();
    for at in ["m/taken", "m/twice", "m/edited", "m/gone"] {
        house.home(at, at);
    }
    house.turn();
    assert!(is_done(&house.phone_asks(Action::Get, "m")));
    house.phone("m/taken", "taken in by then");
    house.phone("m/twice", "taken in by then, too");
    house.settle();
    house.phone("m/twice", "and once more");
    house.settle();
    let now = house.now;
    let mass_change =
        crate::plan::MassChange { first: 0, since: START, at: now, rewritten: 2, deleted: 0 };
    let fact = crate::plan::Fact::MassChange(holder("HTCphone"), mass_change);
    house.engine().remember(&fact).unwrap();
    house.phone("m/edited", "edited and held");
    house.phone("m/new", "new and held");
    house.phone_deletes("m/gone");
    house.settle();
    let held = &house.engine().world().replicas[&holder("HTCphone")].held;
    assert_eq!(held.len(), 3);
    if renamed {
        rename_at_home(&mut house, "pics");
    }
    house
}

fn undisturbed(action: Action, renamed: bool) -> (Vec<String>, Vec<String>) {
    let mut house = small_mass_change(renamed);
    assert!(is_done(&say(&mut house, &Origin::Home, action).1));
    house.restart();
    house.settle();
    let folder = if renamed { "pics" } else { "m" };
    let gone = house.at_phone(&format!("{folder}/gone"));
    assert_eq!(gone.is_some(), action == Action::KeepMine);
    let edited = match action {
        Action::KeepMine => "m/edited",
        _ => "edited and held",
    };
    assert_eq!(house.at_home(&format!("{folder}/edited")).as_deref(), Some(edited));
    if action == Action::KeepMine {
        let files = ["edited", "gone", "taken", "twice"];
        let before = files.map(|file| format!("{folder}/{file}=m/{file}"));
        assert_eq!((house.masters(), house.phone_files()), (before.to_vec(), before.to_vec()));
    }
    (house.masters(), house.phone_files())
}

#[test]
fn a_drive_that_was_away_is_no_mass_change() {
    let mut house = rewritten();
    house.pending = Pending { lost: true, ..Pending::default() };
    house.settle();
    assert!(storming(&mut house));
    // The phone puts everything back itself: then there is nothing to ask about.
    for i in 0..80 {
        let from = master(&path(&name(i)));
        let at = on(&holder("HTCphone"), &path(&name(i)));
        house.take(at.clone());
        let ino = {
            use crate::fs::FileSystem as _;
            let memory = &mut *house.memory();
            let ino = memory.stat(&from).unwrap().unwrap().id.ino;
            memory.link(&from, ino, &at).unwrap();
            ino
        };
        assert!(ino > 0);
        house.hint(&at);
    }
    house.take(on(&holder("HTCphone"), &path("m/READ ME")));
    house.settle();
    let held = house.engine().world().replicas[&holder("HTCphone")].held.clone();
    assert!(held.is_empty(), "nothing is held any more: {held:?}");
    assert!(is_done(&say(&mut house, &Origin::Home, Action::KeepMine).1));
    assert!(!storming(&mut house));
}
