//! What counts, when it is a mass change, and the plans of the two answers.

use super::rate::{CALM, CALM_DAY, TIMES};
use super::*;
use crate::config::Config;
use crate::model::{Action, Answer, Bytes, DeviceName, FileId, Holder, Origin, Wish, WishId};
use crate::plan::{Attempt, Fact, Op, Version, Why, World, wish};

const NOW: Time = Time::from_secs(1_795_428_000);

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn htc() -> Holder {
    Holder::Device(phone())
}

fn phone() -> DeviceName {
    DeviceName::new("HTCphone").unwrap()
}

fn stat(ino: u64) -> Stat {
    Stat { id: FileId { ino, size: 10, mtime: Time(0) }, nlink: 2, sectors: 8 }
}

fn link(ino: u64) -> Link {
    Link { id: stat(ino).id, charge: Bytes(1), used: 0 }
}

fn after(minutes: i64) -> Time {
    NOW.plus_secs(minutes * 60)
}

#[test]
fn what_a_device_did_is_told_from_what_we_have_to_do() {
    for (links, seen, home, did) in [
        (None, None, None, Doing::Nothing),
        (None, None, Some(1), Doing::Nothing),
        (None, Some(1), None, Doing::Created),
        (None, Some(1), Some(1), Doing::Nothing),
        (None, Some(1), Some(2), Doing::Created),
        (Some(1), None, Some(1), Doing::Deleted),
        (Some(1), None, None, Doing::Deleted),
        (Some(1), Some(1), Some(1), Doing::Nothing),
        // Renamed or replaced at home.
        (Some(1), Some(1), None, Doing::Nothing),
        (Some(1), Some(1), Some(2), Doing::Nothing),
        (Some(1), Some(2), Some(1), Doing::Rewrote),
        (Some(1), Some(2), None, Doing::Rewrote),
        (Some(1), Some(2), Some(3), Doing::Rewrote),
        // A cut came before it was recorded.
        (Some(1), Some(2), Some(2), Doing::Nothing),
    ] {
        let (b, s, m) = (links.map(link), seen.map(stat), home.map(stat));
        assert_eq!(doing(b.as_ref(), s.as_ref(), m.as_ref()), did, "{links:?} {seen:?} {home:?}");
    }
}

#[test]
fn a_mass_change_is_much_more_than_any_hour_before() {
    let mut change_rate = ChangeRate::default();
    assert_eq!(change_rate.mass_change(NOW, CALM, 0, 1_000), None);
    assert!(change_rate.mass_change(NOW, CALM + 1, 0, 1_000).is_some());
    // A little every minute adds up within the hour and not beyond it.
    for minute in 0..600 {
        change_rate.add(after(minute), 1, 0);
        let most = change_rate.lately(Span::Hour, after(minute)).0;
        assert!(most <= 60, "{most}");
    }
    assert_eq!(change_rate.most_rewritten, 60);
    // Who does much every hour may do three times as much, not what it does right now.
    change_rate.most_in_a_day = 1_000;
    assert_eq!(change_rate.mass_change(after(600), 2 * 60, 0, 1_000), None);
    assert_eq!(change_rate.mass_change(after(600), 3 * 60, 0, 1_000), Some(Span::Hour));
    let mut fresh = ChangeRate::default();
    for _ in 0..CALM {
        fresh.add(NOW, 1, 0);
    }
    assert!(fresh.mass_change(NOW, 1, 0, 1_000).is_some(), "the storm itself is no measure of it");
    fresh.add(after(59), 0, 0);
    assert!(fresh.mass_change(after(59), CALM, 0, 1_000).is_some());
    fresh.add(after(180), 0, 0);
    assert_eq!(fresh.most_rewritten, CALM);
    assert_eq!(fresh.mass_change(after(180), TIMES * CALM, 0, 1_000), None);
    assert!(fresh.mass_change(after(180), TIMES * CALM + 1, 0, 1_000).is_some());
}

#[test]
fn what_grows_hour_by_hour_is_a_mass_change_of_the_day() {
    // Three times as much every hour is never too much for the hour.
    let mut change_rate = ChangeRate::default();
    for (hour, rewritten) in [(0, 50), (2, 100)] {
        change_rate.add(after(60 * hour), 0, 0);
        assert_eq!(change_rate.mass_change(after(60 * hour), rewritten, 0, 10_000), None);
        change_rate.add(after(60 * hour), rewritten, 0);
    }
    change_rate.add(after(240), 0, 0);
    assert_eq!(change_rate.mass_change(after(240), CALM_DAY - 150, 0, 10_000), None);
    assert_eq!(change_rate.mass_change(after(240), CALM_DAY - 149, 0, 10_000), Some(Span::Day));
    // It began with the first of it.
    let mass_change =
        MassChange::noticed(&World::default(), &htc(), &change_rate, Span::Day, after(240));
    assert_eq!(
        (mass_change.since.0 <= NOW.0, mass_change.rewritten, mass_change.span()),
        (true, 150, Span::Day)
    );
    // Said to be in order, as much a day is; an hour's measure it is not.
    change_rate.accept(Span::Day, 201, 0);
    assert_eq!(change_rate.mass_change(after(300), TIMES * 100 + 1, 0, 10_000), Some(Span::Hour));
    // Who did 240 on many days may do three times as much on one.
    let mut change_rate = ChangeRate::default();
    for hour in 0..240 {
        change_rate.add(after(60 * hour), 10, 0);
    }
    assert_eq!(
        (change_rate.most_in_a_day, change_rate.lately(Span::Day, after(60 * 239)).0),
        (240, 240)
    );
    assert_eq!(change_rate.mass_change(after(60 * 239), CALM - 10, 0, 10_000), None);
}

#[test]
fn deletions_alone_are_a_mass_change_only_when_they_are_a_large_part() {
    let change_rate = ChangeRate::default();
    assert_eq!(change_rate.mass_change(NOW, 0, 100, 1_000), None);
    assert_eq!(change_rate.mass_change(NOW, 0, CALM, 60), None);
    assert!(change_rate.mass_change(NOW, 0, 201, 1_000).is_some());
    // Little by little, too: what is gone was a part.
    let mut change_rate = ChangeRate::default();
    change_rate.add(NOW, 0, 150);
    assert_eq!(change_rate.mass_change(after(10), 0, 49, 850), None);
    assert!(change_rate.mass_change(after(10), 0, 51, 850).is_some());
}

#[test]
fn a_clock_that_was_set_does_not_keep_a_mass_change_for_ever() {
    let mut change_rate = ChangeRate::default();
    change_rate.add(after(1_000_000), 50, 0);
    assert!(change_rate.mass_change(NOW, 1, 0, 100).is_some());
    change_rate.add(NOW, 0, 0);
    change_rate.add(after(120), 0, 0);
    assert_eq!(change_rate.mass_change(after(120), CALM, 0, 100), None);
}

#[test]
fn another_of_the_same_stem_in_its_place_is_rewriting() {
    let all = |names: &[&str]| names.iter().map(|n| path(n)).collect::<Vec<_>>();
    let count =
        |deleted: &[&str], created: &[&str]| in_disguise(all(deleted).iter(), all(created).iter());
    assert_eq!(count(&["d/a.jpg", "d/b.jpg"], &["d/a.jpg.locked", "d/b.locked"]), 2);
    assert_eq!(count(&["d/plain"], &["d/plain.crypt"]), 1);
    // Moved, or renamed as people do.
    assert_eq!(count(&["d/a.jpg"], &["e/a.jpg", "d/Lake a.jpg"]), 0);
    assert_eq!(count(&["d/.hidden"], &["d/.other"]), 0);
    let mut world = World::default();
    let came = Link { used: 100, ..link(2) };
    world.note(&Fact::Link(htc(), path("d/a.jpg"), link(1)));
    world.note(&Fact::Link(htc(), path("d/a.jpg.locked"), came));
    world.note(&Fact::Link(htc(), path("d/ab.jpg"), came));
    let replica = &world.replicas[&htc()];
    assert!(is_disguised(replica, &path("d/a.jpg"), Time::from_secs(50)));
    assert!(!is_disguised(replica, &path("d/a.jpg"), Time::from_secs(101)), "it came long ago");
    assert!(!is_disguised(replica, &path("d/ab.jpg"), Time::from_secs(50)));
}

/// A mass change on the phone: one file was taken in, one is rewritten, one deleted, one new.
fn stormy_world() -> World {
    let mut world = World::default();
    for (at, ino) in [("taken", 11), ("edited", 2), ("gone", 3)] {
        world.note(&Fact::Master(path(at), stat(ino)));
        world.note(&Fact::Link(htc(), path(at), link(ino)));
    }
    let id = stat(1).id;
    let successor = Some(stat(11).id);
    let old = Version { path: path("taken"), id, at: NOW, why: Why::Edited(htc()), successor };
    world.note(&Fact::Version(7, old));
    let mass_change = MassChange { first: 5, since: NOW, at: NOW, rewritten: 1, deleted: 0 };
    world.note(&Fact::MassChange(htc(), mass_change));
    let replica = world.replicas.get_mut(&htc()).unwrap();
    replica.held.insert(path("edited"), Some(stat(12)));
    replica.held.insert(path("gone"), None);
    replica.held.insert(path("new"), Some(stat(13)));
    world
}

fn config() -> Config {
    crate::config::parse("[devices.HTCphone]\n[devices.LinuxLaptop]\n").unwrap()
}

fn keep_mine() -> Wish {
    Wish {
        id: WishId::parse("00112233445566778899").unwrap(),
        action: Action::KeepMine,
        path: RelPath::root(),
        to: vec![htc()],
        from: None,
        with: None,
        limit_mb: None,
        seen: None,
        at: NOW,
    }
}

fn answer(world: &World, action: Action, origin: &Origin) -> (Vec<String>, Answer) {
    let wished = Wish { action, ..keep_mine() };
    let planned = wish(world, &config(), origin, &wished, Attempt::First, NOW);
    let short = |op: &Op| {
        let text = op.to_string().replace("BTsync/files/", "F:");
        let text = text.replace("BTsync/devices/HTCphone/", "P:").replace("BTsyncApp/", "");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    (planned.ops.iter().map(short).collect(), planned.answer)
}

#[test]
fn let_it_happen_takes_everything_in_and_makes_it_the_measure() {
    let world = stormy_world();
    assert_eq!(extent(&world.replicas[&htc()]), (2, 1, 1));
    let (ops, answer) = answer(&world, Action::Allow, &Origin::Home);
    assert_eq!(
        ops,
        [
            "note HTCphone changed something",
            "replace F:edited by P:edited",
            "note HTCphone has edited",
            "note HTCphone does not have gone any more",
            "link P:new -> F:new",
            "note HTCphone has new",
            "note what HTCphone changes is not held any more",
        ]
    );
    assert!(matches!(answer, Answer::Done(_)));
}

#[test]
fn keep_mine_gives_back_what_was_there_and_keeps_what_it_wrote() {
    let mut world = stormy_world();
    let laptop = Origin::Device(DeviceName::new("LinuxLaptop").unwrap());
    let (ops, _) = answer(&world, Action::KeepMine, &laptop);
    // First the masters; what the device gets is planned once they are back.
    let back = ["replace F:taken by versions/7/taken", "let go version 7"];
    assert_eq!(ops[1..], back);
    turned_back(&mut world);
    let (ops, answer) = answer(&world, Action::KeepMine, &laptop);
    assert_eq!(
        ops,
        [
            "note HTCphone changed something",
            "replace P:edited by F:edited",
            "link F:gone -> P:gone",
            "unlink P:new",
            "note what HTCphone changes is not held any more",
        ]
    );
    assert!(matches!(answer, Answer::Done(_)));
}

/// What turning back comes to.
fn turned_back(world: &mut World) {
    world.note(&Fact::Master(path("taken"), stat(1)));
    let (id, why) = (stat(11).id, Why::Stormed(htc()));
    let successor = Some(stat(1).id);
    let stormed = Version { path: path("taken"), id, at: NOW, why, successor };
    world.note(&Fact::Version(8, stormed));
    world.note(&Fact::NoVersion(7));
}

#[test]
fn what_was_rewritten_and_then_deleted_comes_back_as_it_was_before_both() {
    let mut world = stormy_world();
    world.note(&Fact::NoLink(htc(), path("taken")));
    world.replicas.get_mut(&htc()).unwrap().deleted.insert(path("taken"), (NOW, 11));
    let linked = |world: &World| {
        let wished = keep_mine();
        let planned = wish(world, &config(), &Origin::Home, &wished, Attempt::Again, NOW);
        let taken = |op: &Op| match op {
            Op::Link { ino, to, .. } if to.path == path("taken") => Some(*ino),
            _ => None,
        };
        (planned.ops.iter().filter_map(taken).collect::<Vec<_>>(), planned.more)
    };
    assert_eq!(linked(&world), (vec![], true));
    turned_back(&mut world);
    assert_eq!(linked(&world), (vec![1], false));
}

#[test]
fn what_the_device_did_not_have_is_not_given_to_it() {
    let mut world = stormy_world();
    turned_back(&mut world);
    world.note(&Fact::Master(path("new"), stat(4)));
    let (ops, _) = answer(&world, Action::KeepMine, &Origin::Home);
    assert!(ops.contains(&"unlink P:new".to_owned()), "{ops:?}");
}

#[test]
fn let_it_happen_waits_for_word_of_what_is_on_its_way_where_room_has_to_be_made() {
    let mut world = stormy_world();
    // Made there under a name that is taken at home: both are kept, if there is room for both.
    world.note(&Fact::Master(path("new"), stat(4)));
    let replica = world.replicas.get_mut(&htc()).unwrap();
    replica.untold = true;
    let mut config = config();
    config.devices.get_mut(&phone()).unwrap().quota = Some(Bytes(8_194));
    let wished = Wish { action: Action::Allow, ..keep_mine() };
    let plan = |world: &World| wish(world, &config, &Origin::Home, &wished, Attempt::Again, NOW);
    let waits = plan(&world);
    assert!(waits.ops.is_empty() && matches!(waits.answer, Answer::Waiting(_)), "{waits:?}");
    world.replicas.get_mut(&htc()).unwrap().untold = false;
    assert!(matches!(plan(&world).answer, Answer::Done(_)));
}

#[test]
fn room_for_one_is_seen_before_it_is_made_for_the_next() {
    let mut world = stormy_world();
    for (at, ino) in [("new", 4), ("newer", 5)] {
        world.note(&Fact::Master(path(at), stat(ino)));
    }
    let replica = world.replicas.get_mut(&htc()).unwrap();
    replica.held.insert(path("newer"), Some(stat(14)));
    let mut config = config();
    let wished = Wish { action: Action::Allow, ..keep_mine() };
    let plan = |config: &Config| {
        let planned = wish(&world, config, &Origin::Home, &wished, Attempt::First, NOW);
        let gets = |op: &&Op| matches!(op, Op::Replace { why: Why::Replaced, .. });
        let change_rate = |op: &Op| match op {
            Op::Note(Fact::ChangeRate(_, change_rate)) => {
                Some((change_rate.most_rewritten, change_rate.most_deleted))
            }
            _ => None,
        };
        // What is usual is known from the first part on.
        assert_eq!(planned.ops.iter().find_map(change_rate), Some((2, 1)));
        (planned.ops.iter().filter(gets).count(), planned.more)
    };
    assert_eq!(plan(&config), (2, false));
    config.devices.get_mut(&phone()).unwrap().quota = Some(Bytes(1_000_000));
    assert_eq!(plan(&config), (1, true));
}

#[test]
fn what_somebody_else_changed_in_between_is_not_turned_back() {
    let mut world = stormy_world();
    let (id, why) = (stat(11).id, Why::Replaced);
    let later = Version { path: path("taken"), id, at: NOW, why, successor: None };
    world.note(&Fact::Version(8, later));
    let (ops, _) = answer(&world, Action::KeepMine, &Origin::Home);
    assert_eq!(ops[1], "replace P:edited by F:edited");
}

#[test]
fn what_somebody_else_changed_before_is_what_comes_back() {
    let mut world = stormy_world();
    let laptop = Why::Edited(Holder::decode("LinuxLaptop").unwrap());
    let (id, successor) = (stat(21).id, Some(stat(1).id));
    let before = Version { path: path("taken"), id, at: NOW, why: laptop, successor };
    world.note(&Fact::Version(6, before));
    let (ops, _) = answer(&world, Action::KeepMine, &Origin::Home);
    assert_eq!(ops[1..], ["replace F:taken by versions/7/taken", "let go version 7"]);
}

#[test]
fn what_was_renamed_is_turned_back_where_it_is_and_what_is_gone_under_its_old_name() {
    let mut world = stormy_world();
    world.note(&Fact::NoMaster(path("taken")));
    let turned = |world: &World| answer(world, Action::KeepMine, &Origin::Home);
    assert_eq!(turned(&world).0[1..], ["restore version 7 -> F:taken"]);
    world.note(&Fact::Master(path("else/where"), stat(11)));
    let there = ["replace F:else/where by versions/7/taken", "let go version 7"];
    assert_eq!(turned(&world).0[1..], there);
    // Its inode is another file's by now.
    let other = FileId { size: 11, ..stat(11).id };
    world.note(&Fact::Master(path("else/where"), Stat { id: other, ..stat(11) }));
    assert_eq!(turned(&world).0[1..], ["restore version 7 -> F:taken"]);
    // Turned back there already, and a cut came before that was remembered.
    world.note(&Fact::Master(path("else/where"), stat(1)));
    let (id, at, why) = (stat(11).id, NOW, Why::Rescued);
    let found = Version { path: path("else/where"), id, at, why, successor: None };
    world.note(&Fact::Version(8, found));
    assert_eq!(turned(&world).0[1..], ["let go version 7"]);
}

#[test]
fn what_was_renamed_and_rewritten_once_more_is_turned_back_to_the_first() {
    let mut world = stormy_world();
    world.note(&Fact::NoMaster(path("taken")));
    world.note(&Fact::Master(path("else/where"), stat(12)));
    let (at, id, successor) = (NOW, stat(11).id, Some(stat(12).id));
    let again = |why| Version { path: path("else/where"), id, at, why, successor };
    world.note(&Fact::Version(8, again(Why::Edited(htc()))));
    let turned = |world: &World| answer(world, Action::KeepMine, &Origin::Home).0[1..].to_vec();
    let back = [
        "note version 8 of else/where is kept",
        "replace F:else/where by versions/7/taken",
        "let go version 7",
    ];
    assert_eq!(turned(&world), back);
    // Somebody else rewrote it there: that stays, and what was there before comes back beside it.
    world.note(&Fact::Version(8, again(Why::Edited(Holder::decode("LinuxLaptop").unwrap()))));
    assert_eq!(turned(&world), ["restore version 7 -> F:taken"]);
}

#[test]
fn what_the_night_joined_since_is_turned_back_all_the_same() {
    let mut world = stormy_world();
    let joined = |ino| Stat { id: FileId { mtime: Time(5), ..stat(ino).id }, ..stat(ino) };
    world.note(&Fact::Master(path("taken"), joined(41)));
    let turned = |world: &World| answer(world, Action::KeepMine, &Origin::Home).0[1].clone();
    assert_eq!(turned(&world), "replace P:edited by F:edited", "saved anew at home");
    // It is what it wrote to another file.
    let (id, at, why, successor) = (stat(31).id, NOW, Why::Edited(htc()), Some(stat(41).id));
    world.note(&Fact::Master(path("twin"), stat(41)));
    world.note(&Fact::Version(8, Version { path: path("twin"), id, at, why, successor }));
    assert_eq!(turned(&world), "replace F:taken by versions/7/taken");
}

#[test]
fn what_somebody_wrote_over_it_in_place_is_left_also_once_the_mass_change_had_it_again() {
    let mut world = stormy_world();
    let mut good = stat(11).id;
    good.size += 1;
    let (at, why, successor) = (NOW, Why::Edited(htc()), Some(stat(14).id));
    let version = Version { path: path("taken"), id: good, at, why, successor };
    world.note(&Fact::Version(8, version));
    world.note(&Fact::Master(path("taken"), stat(14)));
    world.note(&Fact::Link(htc(), path("taken"), link(14)));
    let (ops, told) = answer(&world, Action::KeepMine, &Origin::Home);
    assert!(!ops.iter().any(|op| op.contains("versions/") || op.contains("version 8")), "{ops:?}");
    let Answer::Done(told) = told else { panic!("{told:?}") };
    assert!(told.contains("1 file of it could not be turned back"), "{told}");
}

#[test]
fn what_the_mass_change_wrote_itself_is_never_what_comes_back() {
    // Known or not, what it wrote twice is nowhere any more.
    for (first, second) in [(Some(11), Some(12)), (None, None), (Some(11), None)] {
        let mut world = stormy_world();
        world.note(&Fact::NoMaster(path("taken")));
        let old = |ino, new: Option<u64>| {
            let (path, id, successor) = (path("taken"), stat(ino).id, new.map(|ino| stat(ino).id));
            Version { path, id, at: NOW, why: Why::Edited(htc()), successor }
        };
        world.note(&Fact::Version(7, old(1, first)));
        world.note(&Fact::Version(8, old(11, second)));
        let wished = keep_mine();
        let plan =
            |world: &World| wish(world, &config(), &Origin::Home, &wished, Attempt::Again, NOW).ops;
        let mut ops = plan(&world);
        let restores = |op: &Op| matches!(op, Op::Restore { version: 7, .. });
        assert!(ops.iter().any(restores), "{ops:?}");
        for op in ops.drain(..) {
            if let Op::Note(fact) = op {
                world.note(&fact);
            }
        }
        world.note(&Fact::NoVersion(7));
        world.note(&Fact::Master(path("taken"), stat(1)));
        world.note(&Fact::Link(htc(), path("taken"), link(1)));
        assert!(world.versions[&8].why == Why::Overwrote(htc()));
        let touches = |op: &Op| matches!(op, Op::Replace { at, .. } if at.path == path("taken"));
        assert!(!plan(&world).iter().any(touches));
        // Nor when a cut took the note away, where it is known.
        if second.is_some() {
            world.note(&Fact::Version(8, old(11, second)));
            assert!(!plan(&world).iter().any(touches));
        }
    }
}

#[test]
fn what_has_no_place_any_more_is_counted() {
    for in_the_way in ["taken/in the way", "taken"] {
        let mut world = stormy_world();
        world.note(&Fact::NoMaster(path("taken")));
        let id = FileId { mtime: Time(5), ..stat(30).id };
        world.note(&Fact::Master(path(in_the_way), Stat { id, ..stat(30) }));
        let (ops, answer) = answer(&world, Action::KeepMine, &Origin::Home);
        assert_eq!(ops[1], "replace P:edited by F:edited", "nothing is turned back");
        let Answer::Done(text) = answer else { panic!("{answer:?}") };
        assert!(text.contains("; 1 file of it could not be turned back"), "{text}");
    }
}

#[test]
fn what_is_held_and_not_at_home_any_more_is_counted_and_renamed_is_had_under_its_new_name() {
    let mut world = stormy_world();
    turned_back(&mut world);
    for gone in ["edited", "gone"] {
        world.note(&Fact::NoMaster(path(gone)));
        world.note(&Fact::Pin(htc(), path(gone)));
    }
    world.note(&Fact::Master(path("else/where"), stat(2)));
    let (ops, answer) = answer(&world, Action::KeepMine, &Origin::Home);
    assert_eq!(
        ops[1..ops.len() - 1],
        [
            "note HTCphone pins else/where",
            "note HTCphone unpins edited",
            "link F:else/where -> P:else/where",
            "unlink P:edited",
            "unlink P:new",
            "note HTCphone does not have gone any more",
        ]
    );
    let Answer::Done(text) = answer else { panic!("{answer:?}") };
    assert!(text.contains("; 1 file of it could not be turned back"), "{text}");
}

#[test]
fn what_an_older_larder_did_not_remember_is_turned_back_by_its_name() {
    let mut world = stormy_world();
    let old = Version { successor: None, ..world.versions[&7].clone() };
    world.note(&Fact::Version(7, old));
    let (ops, _) = answer(&world, Action::KeepMine, &Origin::Home);
    assert_eq!(ops[1..], ["replace F:taken by versions/7/taken", "let go version 7"]);
}

#[test]
fn the_storming_device_does_not_answer_for_itself() {
    let world = stormy_world();
    let own = Origin::Device(phone());
    for action in [Action::Allow, Action::KeepMine] {
        let (ops, answer) = answer(&world, action, &own);
        assert!(ops.is_empty() && matches!(answer, Answer::Refused(_)), "{answer:?}");
    }
    // Nor does its page destroy anything meanwhile, nor anybody what is held.
    for origin in [own, Origin::Home] {
        let (ops, refused) = answer(&world, Action::Delete, &origin);
        assert!(ops.is_empty() && matches!(refused, Answer::Refused(_)), "{refused:?}");
    }
    // Where nothing is held there is nothing to do.
    let mut calm = stormy_world();
    calm.note(&Fact::Resolved(htc()));
    let (ops, done) = answer(&calm, Action::Allow, &Origin::Home);
    assert!(ops.is_empty() && matches!(done, Answer::Done(_)), "{done:?}");
}
