//! The choice by itself: its numbers, and its cost among very many links.

use super::*;
use crate::model::{FileId, Live, Stat, Time};
use crate::plan::{EVICTED, Fact};

fn device() -> Holder {
    Holder::decode("HTCphone").unwrap()
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

/// A world in which the phone has these: path, inode, cost, last use.
fn world(links: &[(&str, u64, u64, i64)]) -> World {
    let mut world = World::default();
    for (at, ino, cost, used) in links {
        let id = FileId { ino: *ino, size: *cost, mtime: Time::from_secs(1) };
        world.note(&Fact::Master(path(at), Stat { id, ..Stat::default() }));
        let link = Link { id, charge: Bytes(*cost), used: *used };
        world.note(&Fact::Link(device(), path(at), link));
    }
    world
}

fn room(world: &World, quota: u64, need: u64) -> Result<Vec<String>, String> {
    let keep = Keep::default();
    let chosen = make_space(world, &device(), Some(Bytes(quota)), Bytes(need), keep);
    let names = |going: Vec<(RelPath, Link)>| going.iter().map(|(p, _)| p.to_string()).collect();
    chosen.map(names).map_err(|why| match why {
        NoSpace::Short(short) => short.to_string(),
        NoSpace::Untold => "untold".into(),
    })
}

#[test]
fn as_much_goes_as_is_needed_and_in_order() {
    let world = world(&[("a", 1, 10, 3), ("b", 2, 10, 1), ("d/c", 3, 10, 2), ("d/e", 4, 10, 2)]);
    assert_eq!(room(&world, 40, 0).unwrap(), [""; 0]);
    assert_eq!(room(&world, 40, 1).unwrap(), ["b"]);
    assert_eq!(room(&world, 40, 11).unwrap(), ["b", "d/c"]);
    assert_eq!(room(&world, 40, 40).unwrap(), ["b", "d/c", "d/e", "a"]);
    assert_eq!(room(&world, 40, 41).unwrap_err(), "needs 41 bytes; quota 40 bytes");
}

#[test]
fn the_refusal_has_the_numbers() {
    let links =
        [("a", 1, 10, 3), ("b", 2, 20, 1), ("d/c", 3, 30, 2), ("d/e", 4, 40, 2), ("f", 5, 1, 0)];
    let mut world = world(&links);
    world.note(&Fact::Pin(device(), path("a")));
    world.note(&Fact::Pin(device(), path("d")));
    world.note(&Fact::NoMaster(path("b")));
    world.replicas.get_mut(&device()).unwrap().live.insert(path("f"), Live::Queued);
    assert_eq!(
        room(&world, 101, 5).unwrap_err(),
        "needs 5 bytes; quota 101 bytes, 80 bytes of it pinned, 20 bytes of it not safely at home \
         yet, 1 byte of it still on its way there"
    );
    // What is too much as it is comes down as far as it may.
    world.note(&Fact::Unpin(device(), path("d")));
    let (going, short) = enforce_quota(&world, &device(), Some(Bytes(5)));
    assert_eq!(going.iter().map(|(p, _)| p.to_string()).collect::<Vec<_>>(), ["d/c", "d/e"]);
    let short = short.unwrap().to_string();
    assert!(short.starts_with("quota 5 bytes, 10 bytes of it pinned, "), "{short}");
}

#[test]
fn what_needs_none_has_room_and_what_never_fits_has_none_before_anything_is_told() {
    let mut world = world(&[("a", 1, 10, 1), ("b", 2, 10, 2), ("c", 3, 10, 3)]);
    world.note(&Fact::Pin(device(), path("a")));
    for untold in [false, true] {
        world.replicas.get_mut(&device()).unwrap().untold = untold;
        // What is too much anyhow goes, once that is told.
        let goes: &[&str] = if untold { &[] } else { &["b", "c"] };
        assert_eq!(room(&world, 5, 0).unwrap(), goes);
        assert_eq!(room(&world, 35, 5).unwrap(), [""; 0]);
        let short = "needs 21 bytes; quota 30 bytes, 10 bytes of it pinned";
        assert_eq!(room(&world, 30, 21).unwrap_err(), short);
        let goes = if untold { Err("untold".into()) } else { Ok(vec!["b".into(), "c".into()]) };
        assert_eq!(room(&world, 30, 20), goes);
        let (going, short) = enforce_quota(&world, &device(), Some(Bytes(5)));
        assert_eq!((going.len(), short.is_some()), if untold { (0, false) } else { (2, true) });
    }
    // What the plan relies on stays, too.
    let keep = Keep { within: None, inodes: &[2] };
    let none = make_space(&world, &device(), Some(Bytes(30)), Bytes(11), keep).unwrap_err();
    assert!(matches!(none, NoSpace::Short(_)), "{none:?}");
}

#[test]
fn what_costs_nothing_makes_no_room() {
    let world = world(&[("a", 1, 0, 1), ("b", 2, 10, 2), ("c", 3, 0, 0), ("d", 3, 0, 0)]);
    assert_eq!(room(&world, 10, 10).unwrap(), ["b"]);
    let (going, short) = enforce_quota(&world, &device(), Some(Bytes(0)));
    assert_eq!((going.len(), short), (1, None));
}

#[test]
fn what_a_mass_change_holds_back_stays() {
    let mut world = world(&[("a", 1, 10, 1), ("b", 2, 10, 2)]);
    world.replicas.get_mut(&device()).unwrap().held.insert(path("a"), None);
    assert_eq!(room(&world, 20, 5).unwrap(), ["b"]);
}

/// Not held to a time here: debug builds and busy machines differ. `make bench` measures it.
#[test]
fn among_a_hundred_thousand_links_few_paths_are_made() {
    let mut world = World::default();
    for n in 0..100_000u64 {
        let at = path(&format!("Photos/{}/{}/{n}.jpg", n % 20, n / 40));
        let id = FileId { ino: n + 1, size: 1_000, mtime: Time::from_secs(n as i64 % 977) };
        world.note(&Fact::Master(at.clone(), Stat { id, ..Stat::default() }));
        let link = Link { id, charge: Bytes(4_096), used: (n * 7_919 % 100_003) as i64 };
        world.note(&Fact::Link(device(), at, link));
    }
    let replica = &world.replicas[&device()];
    let quota = Some(replica.used());
    let begun = std::time::Instant::now();
    let going =
        make_space(&world, &device(), quota, Bytes(EVICTED as u64 * 4_096), Keep::default());
    let took = begun.elapsed();
    let going = going.unwrap();
    assert_eq!(going.len(), EVICTED);
    assert!(going.windows(2).all(|two| two[0].1.used <= two[1].1.used));
    let newest = going.last().unwrap().1.used;
    let mut older = 0;
    replica.links.for_each(Tree::<Link>::ROOT, |_, link| older += usize::from(link.used < newest));
    assert_eq!(older, EVICTED - 1);
    let first = Oldest::first_on(&world, replica, Keep::default(), EVICTED);
    let names: Vec<_> = first.take(EVICTED).flat_map(|(_, links)| links).collect();
    assert_eq!(names, going, "the first of all are the first of some");
    log::info!("chosen in {took:?}");
}
