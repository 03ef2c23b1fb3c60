//! Ledger and state agree: whatever facts come in whatever order, what a start reads from the ledger is what the state
//! had become. Facts that only the drive tells (masters, folders) are the scan's, and left out.

use super::Ledger;
use crate::model::{Bytes, DeviceName, FileId, Holder, Link, Origin, RelPath, Time, Tree, WishId};
use crate::plan::{
    ChangeRate, Evicted, Fact, MassChange, Pair, Share, ShareState, Version, Why, World,
};
use proptest::prelude::*;
use proptest::sample::select;
use std::collections::{BTreeMap, BTreeSet};

/// What is remembered of one device: links, three kinds of rules, what was evicted, changes, what it may charge.
#[derive(PartialEq, Debug, Default)]
struct Device {
    links: BTreeMap<Vec<u8>, Link>,
    rules: [BTreeSet<RelPath>; 3],
    evicted: Vec<Evicted>,
    change_rate: ChangeRate,
    mass_change: Option<MassChange>,
    used: Bytes,
}

/// What of a state is to be had again after a restart.
#[derive(PartialEq, Debug)]
struct Remembered {
    devices: BTreeMap<Holder, Device>,
    versions: BTreeMap<u64, Version>,
    shares: BTreeMap<String, Share>,
    shared: BTreeMap<Vec<u8>, FileId>,
    sums: Vec<Option<[u8; 20]>>,
    pairs: BTreeMap<DeviceName, Pair>,
    turned_away: BTreeMap<String, Time>,
}

fn files<T: Copy>(tree: &Tree<T>) -> BTreeMap<Vec<u8>, T> {
    let mut found = BTreeMap::new();
    tree.for_each(Tree::<T>::ROOT, |path, value| {
        found.insert(path.to_vec(), *value);
    });
    found
}

fn remembered(world: &World) -> Remembered {
    let mut devices = BTreeMap::new();
    for (name, replica) in &world.replicas {
        let device = Device {
            links: files(&replica.links),
            rules: [&replica.follows, &replica.exceptions, &replica.pins].map(Clone::clone),
            evicted: replica.evicted.iter().cloned().collect(),
            change_rate: replica.change_rate.clone(),
            mass_change: replica.mass_change,
            used: replica.used(),
        };
        // One of whom nothing is remembered may have an empty place, or none.
        if device != Device::default() {
            devices.insert(name.clone(), device);
        }
    }
    Remembered {
        devices,
        versions: world.versions.clone(),
        shares: world.shares.clone(),
        shared: files(&world.shared),
        sums: (0..INODES).flat_map(|ino| SIZES.map(|size| world.sum(&id(ino, size)))).collect(),
        pairs: world.pairs.clone(),
        turned_away: world.turned_away.clone(),
    }
}

const INODES: u64 = 3;
const SIZES: [u64; 2] = [1, u64::MAX];
const SHARES: [&str; 2] = ["Family", "da39-2026-11-23-100000"];

/// An inode may be used again by another content: of another size.
fn id(ino: u64, size: u64) -> FileId {
    FileId { ino: u64::MAX - ino, size, mtime: Time(-5) }
}

fn ids() -> impl Strategy<Value = FileId> {
    (0..INODES, select(&SIZES[..])).prop_map(|(ino, size)| id(ino, size))
}

fn paths() -> impl Strategy<Value = RelPath> {
    select(vec!["a", "d/e", "d/\u{fc}", "x/y/z"]).prop_map(|p| RelPath::new(p.as_bytes()).unwrap())
}

/// Devices, and a folder that people join.
fn holders() -> impl Strategy<Value = Holder> {
    select(vec![
        Holder::decode("HTCphone").unwrap(),
        Holder::decode("tablet").unwrap(),
        Holder::shared(SHARES[0]),
    ])
}

fn devices() -> impl Strategy<Value = DeviceName> {
    select(vec![DeviceName::new("HTCphone").unwrap(), DeviceName::new("tablet").unwrap()])
}

fn times() -> impl Strategy<Value = Time> {
    select(vec![i64::MIN, -1, 0, 7, i64::MAX]).prop_map(Time)
}

fn reasons() -> impl Strategy<Value = Why> {
    prop_oneof![
        select(vec![Why::Replaced, Why::Destroyed, Why::Undone, Why::Rescued]),
        holders().prop_map(Why::Edited),
        holders().prop_map(Why::Stormed),
        holders().prop_map(Why::Overwrote),
    ]
}

fn versions() -> impl Strategy<Value = Version> {
    (paths(), ids(), times(), reasons(), proptest::option::of(ids()))
        .prop_map(|(path, id, at, why, successor)| Version { path, id, at, why, successor })
}

fn shares() -> impl Strategy<Value = Share> {
    let states = vec![
        ShareState::Making,
        ShareState::Made,
        ShareState::Handed,
        ShareState::Ending { handed: false },
        ShareState::Ending { handed: true },
        ShareState::Revoked,
    ];
    let origins = prop_oneof![Just(Origin::Home), devices().prop_map(Origin::Device)];
    let wish = WishId::parse("00112233445566778899").unwrap();
    let open = (proptest::option::of(0..9u64), proptest::option::of(times())).prop_map(
        |(limit, destroyed)| {
            let revoked = destroyed.map(|_| "Family-revoked-01-12-26".to_owned());
            crate::plan::Open { limit: limit.map(Bytes), destroyed, revoked }
        },
    );
    (paths(), "[a-z]{0,3}", times(), origins, select(states), proptest::option::of(open)).prop_map(
        move |(path, with, at, origin, state, open)| {
            let peers = [(format!("ID-{with}"), with.clone())].into();
            Share { path, with, peers, at, origin, wish, state, open }
        },
    )
}

/// What was done to files, by a device that does a lot.
fn change_rates() -> impl Strategy<Value = ChangeRate> {
    (0..3u32, 0..3u32, times()).prop_map(|(rewritten, deleted, at)| {
        let mut change_rate = ChangeRate::default();
        change_rate.add(Time(at.0.clamp(-1, 7)), rewritten, deleted);
        change_rate
    })
}

fn facts() -> impl Strategy<Value = Fact> {
    // A content costs the same under each of its names.
    let links = (ids(), 0..9i64).prop_map(|(id, used)| {
        let charge = Bytes(id.ino & 0xff);
        Link { id, charge, used }
    });
    let mass_changes = (0..9u64, times(), 0..9u32).prop_map(|(first, at, rewritten)| MassChange {
        first,
        since: at,
        at,
        rewritten,
        deleted: 1,
    });
    let evicted = (paths(), 0..9u64, times()).prop_map(|(path, size, at)| Evicted {
        path,
        size: Bytes(size),
        at,
    });
    let names = || select(&SHARES[..]).prop_map(str::to_owned);
    let in_shared = || {
        (names(), paths()).prop_map(|(name, path)| {
            RelPath::new(&[name.as_bytes(), b"/", path.as_bytes()].concat()).unwrap()
        })
    };
    let pair = (times(), any::<bool>()).prop_map(|(at, section)| Pair {
        id: "ABCDEFG".to_owned(),
        at,
        section,
    });
    let of_links = prop_oneof![
        2 => (holders(), paths(), links).prop_map(|(d, p, l)| Fact::Link(d, p, l)),
        2 => (holders(), paths()).prop_map(|(d, p)| Fact::NoLink(d, p)),
        1 => (holders(), paths(), 0..9i64).prop_map(|(d, p, at)| Fact::Used(d, p, at)),
        1 => (holders(), paths(), 0..9i64).prop_map(|(d, p, at)| Fact::NotUsedSince(d, p, at)),
        1 => (holders(), evicted).prop_map(|(d, e)| Fact::Evicted(d, e)),
    ];
    let of_rules = prop_oneof![
        (holders(), paths()).prop_map(|(d, p)| Fact::Follow(d, p)),
        (holders(), paths()).prop_map(|(d, p)| Fact::Unfollow(d, p)),
        (holders(), paths()).prop_map(|(d, p)| Fact::Except(d, p)),
        (holders(), paths()).prop_map(|(d, p)| Fact::Unexcept(d, p)),
        (holders(), paths()).prop_map(|(d, p)| Fact::Pin(d, p)),
        (holders(), paths()).prop_map(|(d, p)| Fact::Unpin(d, p)),
    ];
    let of_changes = prop_oneof![
        (holders(), change_rates()).prop_map(|(d, change_rate)| Fact::ChangeRate(d, change_rate)),
        (holders(), mass_changes).prop_map(|(d, mass_change)| Fact::MassChange(d, mass_change)),
        holders().prop_map(Fact::Resolved),
        (0..4u64, versions()).prop_map(|(number, version)| Fact::Version(number, version)),
        (0..4u64).prop_map(Fact::NoVersion),
    ];
    let of_shares = prop_oneof![
        2 => (names(), shares()).prop_map(|(name, share)| Fact::Share(name, share)),
        1 => names().prop_map(Fact::NoShare),
        2 => (in_shared(), ids()).prop_map(|(path, id)| Fact::Shared(path, id)),
        1 => in_shared().prop_map(Fact::NotShared),
        1 => (ids(), any::<[u8; 20]>()).prop_map(|(id, sha1)| Fact::Sum(id, sha1)),
    ];
    let of_members = prop_oneof![
        (devices(), pair).prop_map(|(d, pair)| Fact::Paired(d, pair)),
        devices().prop_map(Fact::Unpaired),
        times().prop_map(|at| Fact::TurnedAway("HIJKLMN".to_owned(), at)),
        Just(Fact::NotTurnedAway("HIJKLMN".to_owned())),
    ];
    prop_oneof![3 => of_links, 2 => of_rules, 2 => of_changes, 2 => of_shares, 1 => of_members]
}

/// What the ledger is asked for when it is opened.
fn reloaded(ledger: Ledger, file: &std::path::Path) -> World {
    drop(ledger);
    Ledger::open(file).unwrap().load().unwrap()
}

/// Fewer where each instruction is emulated.
const CASES: u32 = if cfg!(target_arch = "arm") { 8 } else { 64 };

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_is_read_back_is_what_the_facts_made(
        facts in proptest::collection::vec(facts(), 0..60),
        committed in 0..60usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&file).unwrap();
        let mut world = World::default();
        for (n, fact) in facts.iter().enumerate() {
            ledger.record(fact).unwrap();
            world.note(fact);
            if n == committed {
                ledger.commit().unwrap();
            }
        }
        ledger.commit().unwrap();
        prop_assert_eq!(remembered(&reloaded(ledger, &file)), remembered(&world));
    }

    /// What was not committed is forgotten as a whole.
    #[test]
    fn a_cut_leaves_what_was_committed(
        before in proptest::collection::vec(facts(), 0..30),
        after in proptest::collection::vec(facts(), 0..30),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ledger.sqlite");
        let mut ledger = Ledger::open(&file).unwrap();
        let mut world = World::default();
        for fact in &before {
            ledger.record(fact).unwrap();
            world.note(fact);
        }
        ledger.commit().unwrap();
        for fact in &after {
            ledger.record(fact).unwrap();
        }
        prop_assert_eq!(remembered(&reloaded(ledger, &file)), remembered(&world));
    }
}
