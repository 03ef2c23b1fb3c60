//! How long old contents are kept: until their time is over, until they take more of the drive than they
//! may, or until the drive needs the room.
//!
//! Their time is that in which the NAS was seen running ([`super::Running`]): a clock that jumps ends nothing.
//! What was destroyed and can still be brought back goes last: that was promised by name. Of the rest the
//! oldest goes first, in the order in which they were put away, whatever the clock said. But what got old within
//! the last hour may be what a mass change replaces that nobody has noticed yet, and so may the first that a name left
//! within the last day ([`Span`]): it never goes for its share, and only goes when the drive would be short without.
//! All of a day would be too dear: a film that is cut all day long leaves an old content every time. While a mass change waits for the owner's word nothing
//! goes because its time is over, and nothing at all that got old since it began.

use super::mass_change::Span;
use super::night::CLOCK_IS_SET;
use super::{Fact, Op, Version, Why, World};
use crate::config::Config;
use crate::model::{Bytes, Time};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Kept beyond their time by so many seconds, they go by day, too: there seem to be no nights in this house.
const NO_NIGHTS: i64 = 3 * 86_400;
/// A moment so many seconds ahead was told by a clock that was wrong.
const AHEAD: i64 = 86_400;
/// What a file takes on a drive is its size, rounded up to this.
const BLOCK: u64 = 4_096;
/// The drive is short of room below one part in so many (the sync engine takes nothing in any more at one in
/// a hundred) …
const SHORT: u64 = 50;
/// … and room is made up to one part in so many.
const ENOUGH: u64 = 33;

/// How long a content is kept that is old for this reason, in seconds.
pub fn kept_for(config: &Config, why: &Why) -> i64 {
    match why {
        Why::Destroyed => config.undo,
        _ => config.keep_versions,
    }
}

/// What goes in the night because its time is over. What was put away by a clock that was wrong is put
/// away anew, with the time of now, once the clock has proved to be right.
pub fn expired(world: &World, config: &Config, now: Time) -> Vec<Op> {
    expired_by(world, config, now, 0)
}

/// What goes by day, because it should have gone some nights ago.
pub fn overdue(world: &World, config: &Config, now: Time) -> Vec<Op> {
    expired_by(world, config, now, NO_NIGHTS)
}

fn expired_by(world: &World, config: &Config, now: Time, more: i64) -> Vec<Op> {
    if now < CLOCK_IS_SET || mass_change_since(world, config).is_some() {
        return Vec::new();
    }
    let op = |(number, v): (&u64, &Version)| {
        if v.at < CLOCK_IS_SET || now.since(v.at) < -AHEAD {
            let anew = || Op::Note(Fact::Version(*number, Version { at: now, ..v.clone() }));
            return world.running.is_steady().then(anew);
        }
        let over = world.running.since(v.at) >= kept_for(config, &v.why).saturating_add(more);
        over.then_some(Op::DropVersion(*number))
    };
    world.versions.iter().filter_map(op).collect()
}

/// True when the drive needs room.
pub fn is_short(free: Bytes, total: Bytes) -> bool {
    free.0 < total.0 / SHORT
}

/// How much old contents may take of a drive of that size.
pub fn allowance(config: &Config, total: Bytes) -> Bytes {
    Bytes(total.0 / 100 * u64::from(config.versions_share))
}

/// The most that the old contents which [`over_their_share`] counts can take: they may have other names.
pub fn at_most(world: &World) -> Bytes {
    let counted = world.versions.values().filter(|v| v.why != Why::Destroyed);
    let blocks = |v: &Version| v.id.size.checked_next_multiple_of(BLOCK).unwrap_or(u64::MAX);
    Bytes(counted.fold(0, |sum, v| sum.saturating_add(blocks(v))))
}

/// The number of the old content that the earliest mass change begins with which waits for the owner's word.
pub fn mass_change_since(world: &World, config: &Config) -> Option<u64> {
    let mass_changes = world.replicas.iter().filter(|(who, _)| world.looks_after(config, who));
    mass_changes.filter_map(|(_, replica)| Some(replica.mass_change?.first)).min()
}

/// What may be the beginning of a mass change that is not noticed yet, by number, and the seconds for which it is.
fn fresh(world: &World) -> BTreeMap<u64, i64> {
    let mut names = HashSet::new();
    let mut fresh = BTreeMap::new();
    for (number, version) in &world.versions {
        if matches!(version.why, Why::Destroyed | Why::Stormed(_) | Why::Overwrote(_)) {
            continue;
        }
        let age = world.running.since(version.at);
        let first = age < Span::Day.length() && names.insert(&version.path);
        let left = if first { Span::Day } else { Span::Hour }.length() - age;
        if left > 0 {
            fresh.insert(*number, left);
        }
    }
    fresh
}

/// When the next of those comes of age that [`over_their_share`] leaves for now.
pub fn comes_of_age(world: &World, now: Time) -> Option<Time> {
    fresh(world).into_values().map(|left| now.plus_secs(left)).min()
}

/// What an old content takes on the drive.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Weight {
    /// Its inode.
    pub ino: u64,
    /// How many names that has, wherever they are: it is free when the last of them goes.
    pub names: u32,
    /// What it takes.
    pub bytes: Bytes,
}

/// What goes because old contents take more of the drive than their share. `weights` says what each takes. What
/// was destroyed is not counted: it goes when its time is over.
pub fn over_their_share(
    world: &World,
    config: &Config,
    total: Bytes,
    weights: &BTreeMap<u64, Weight>,
) -> Vec<Op> {
    let counted = || world.versions.iter().filter(|(_, v)| v.why != Why::Destroyed);
    let inodes: HashMap<u64, u64> =
        alone(counted(), weights).into_iter().map(|(_, _, w)| (w.ino, w.bytes.0)).collect();
    let sum = inodes.values().fold(0u64, |sum, bytes| sum.saturating_add(*bytes));
    let over = sum.saturating_sub(allowance(config, total).0);
    let fresh = fresh(world);
    let of_age = counted().filter(|(number, _)| !fresh.contains_key(number));
    free(of_age, &fresh, weights, over)
}

/// What goes because the drive needs room; nothing that got old since `mass_change` began ([`mass_change_since`]).
pub fn make_space(
    world: &World,
    free_now: Bytes,
    total: Bytes,
    weights: &BTreeMap<u64, Weight>,
    mass_change: Option<u64>,
) -> Vec<Op> {
    if !is_short(free_now, total) {
        return Vec::new();
    }
    let need = (total.0 / ENOUGH).saturating_sub(free_now.0);
    let before = world.versions.range(..mass_change.unwrap_or(u64::MAX));
    free(before, &fresh(world), weights, need)
}

type Weighed<'a> = (u64, &'a Version, Weight);

/// Those that free something when all of them go: all names of their inodes are among them.
fn alone<'a>(
    of: impl Iterator<Item = (&'a u64, &'a Version)>,
    weights: &BTreeMap<u64, Weight>,
) -> Vec<Weighed<'a>> {
    let weighed = of.filter_map(|(number, v)| Some((*number, v, *weights.get(number)?)));
    let mut all: Vec<Weighed<'_>> = weighed.filter(|(_, _, w)| w.bytes.0 > 0).collect();
    let mut here: HashMap<u64, u32> = HashMap::new();
    for (_, _, weight) in &all {
        *here.entry(weight.ino).or_default() += 1;
    }
    all.retain(|(_, _, w)| here.get(&w.ino) == Some(&w.names));
    all
}

/// Lets go until `need` bytes are free, in the order of the room; what frees nothing stays.
fn free<'a>(
    of: impl Iterator<Item = (&'a u64, &'a Version)>,
    fresh: &BTreeMap<u64, i64>,
    weights: &BTreeMap<u64, Weight>,
    mut need: u64,
) -> Vec<Op> {
    let mut order = alone(of, weights);
    order.sort_by_key(|(number, v, _)| {
        (fresh.contains_key(number), v.why == Why::Destroyed, *number)
    });
    let mut gone: HashMap<u64, u32> = HashMap::new();
    let mut freed = HashSet::new();
    let mut going = Vec::new();
    for (number, _, weight) in order {
        if need == 0 {
            break;
        }
        going.push((number, weight.ino));
        let names = gone.entry(weight.ino).or_default();
        *names += 1;
        if *names == weight.names {
            need = need.saturating_sub(weight.bytes.0);
            freed.insert(weight.ino);
        }
    }
    going.retain(|(_, ino)| freed.contains(ino));
    going.into_iter().map(|(number, _)| Op::DropVersion(number)).collect()
}

/// Until when an old content is kept, when nothing needs its room before.
pub fn until(world: &World, config: &Config, version: &Version, now: Time) -> Time {
    let left = kept_for(config, &version.why).saturating_sub(world.running.since(version.at));
    now.plus_secs(left.max(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceName, FileId, Holder, RelPath};
    use proptest::prelude::*;

    const NOW: Time = Time::from_secs(1_795_428_000);
    const DAY: i64 = 86_400;

    /// Versions by number: days ago, why, size. The NAS has been running for long.
    fn world(versions: &[(u64, i64, Why, u64)]) -> World {
        let mut world = World::default();
        (-100..=0).for_each(|day| {
            world.running.look(NOW.plus_secs(day * DAY));
        });
        for (number, days, why, size) in versions {
            let path = RelPath::new(format!("{number}").as_bytes()).unwrap();
            let id = FileId { ino: *number, size: *size, mtime: Time(0) };
            let (at, why) = (NOW.plus_secs(-days * DAY), why.clone());
            let version = Version { path, id, at, why, successor: None };
            world.note(&Fact::Version(*number, version));
        }
        world
    }

    fn edited() -> Why {
        Why::Edited(Holder::decode("HTCphone").unwrap())
    }

    fn config() -> Config {
        Config { undo: DAY, ..Config::default() }
    }

    fn weights(world: &World) -> BTreeMap<u64, Weight> {
        let weight = |v: &Version| Weight { ino: v.id.ino, names: 1, bytes: Bytes(v.id.size) };
        world.versions.iter().map(|(n, v)| (*n, weight(v))).collect()
    }

    fn going(ops: &[Op]) -> Vec<u64> {
        let number = |op: &Op| match op {
            Op::DropVersion(number) => *number,
            other => panic!("{other}"),
        };
        ops.iter().map(number).collect()
    }

    #[test]
    fn each_goes_when_its_time_is_over() {
        let world = world(&[
            (1, 31, edited(), 1),
            (2, 29, edited(), 1),
            (3, 2, Why::Destroyed, 1),
            (4, 0, Why::Destroyed, 1),
            (5, 30, Why::Rescued, 1),
            (6, 33, Why::Replaced, 1),
        ]);
        assert_eq!(going(&expired(&world, &config(), NOW)), [1, 3, 5, 6]);
        // By day only what no night has taken for days.
        assert_eq!(going(&overdue(&world, &config(), NOW)), [6]);
        // With a clock that was never set nothing is over.
        assert_eq!(expired(&world, &config(), Time::from_secs(100)), []);
    }

    /// The clock jumps to that day from now, and goes on from there for so many hours.
    fn jumps(world: &mut World, day: i64, hours: i64) -> Time {
        let at = |hour| NOW.plus_secs(day * DAY + hour * 3_600);
        (0..=hours).for_each(|hour| {
            world.running.look(at(hour));
        });
        at(hours)
    }

    #[test]
    fn what_a_wrong_clock_put_away_is_kept_from_now_on() {
        let mut world = world(&[(1, 0, edited(), 1), (2, -400, edited(), 1)]);
        world.versions.get_mut(&1).unwrap().at = Time::from_secs(60);
        let ops = expired(&world, &config(), NOW);
        assert_eq!(ops.len(), 2);
        for op in &ops {
            let Op::Note(fact) = op else { panic!("{op}") };
            world.note(fact);
        }
        assert!(world.versions.values().all(|v| v.at == NOW));
        assert_eq!(expired(&world, &config(), NOW), []);
    }

    #[test]
    fn a_clock_that_jumps_ends_nothing() {
        let versions = [(1, 29, edited(), 1), (2, 0, Why::Destroyed, 1), (3, 0, edited(), 1)];
        let begun = world(&versions);
        // Ahead, for years or for three days, and it stays there.
        for day in [3, 35, 4_000] {
            let mut world = begun.clone();
            let now = jumps(&mut world, day, 0);
            assert_eq!(expired(&world, &config(), now), [], "{day} days");
            assert_eq!(overdue(&world, &config(), now), [], "{day} days");
            let total = over_their_share(&world, &config(), Bytes(0), &weights(&world));
            assert_eq!(going(&total), [1], "what is fresh stays fresh");
            let now = jumps(&mut world, day, 24);
            assert_eq!(going(&expired(&world, &config(), now)), [1, 2], "{day} days");
            assert_eq!(until(&world, &config(), &world.versions[&3], now), now.plus_secs(29 * DAY));
        }
        // Back, as after a start without a clock, and ahead again.
        let mut world = begun;
        for _ in 0..40 {
            let now = jumps(&mut world, -200, 0);
            assert_eq!(expired(&world, &config(), now), [], "nor is anything put away anew");
            let now = jumps(&mut world, 0, 0);
            assert_eq!(expired(&world, &config(), now), []);
        }
        let now = jumps(&mut world, 0, 24);
        assert_eq!(going(&expired(&world, &config(), now)), [1, 2]);
    }

    #[test]
    fn nothing_expires_while_a_mass_change_waits_for_its_answer() {
        let mut world = world(&[(1, 90, edited(), 1)]);
        let (phone, mut config) = (DeviceName::new("HTCphone").unwrap(), config());
        config.devices.insert(phone.clone(), crate::config::Device::named("HTC phone"));
        let mass_change =
            crate::plan::MassChange { first: 1, since: NOW, at: NOW, rewritten: 1, deleted: 0 };
        world.note(&Fact::MassChange(phone.clone().into(), mass_change));
        assert_eq!(expired(&world, &config, NOW), []);
        assert_eq!(overdue(&world, &config, NOW), []);
        world.note(&Fact::Resolved(phone.into()));
        assert_eq!(going(&expired(&world, &config, NOW)), [1]);
    }

    #[test]
    fn the_oldest_go_when_they_take_more_than_their_share() {
        let world = world(&[
            (1, 20, Why::Destroyed, 500),
            (2, 9, Why::Replaced, 40),
            (3, 3, edited(), 40),
            (4, 1, edited(), 40),
        ]);
        let mut weights = weights(&world);
        let over =
            |total, weights: &_| going(&over_their_share(&world, &config(), Bytes(total), weights));
        // A tenth of the drive, by default.
        assert_eq!(over(1_200, &weights), [0; 0]);
        assert_eq!(over(1_100, &weights), [2]);
        assert_eq!(over(700, &weights), [2, 3]);
        assert_eq!(over(0, &weights), [2, 3, 4], "what was destroyed waits for its time");
        assert_eq!(at_most(&world), Bytes(3 * BLOCK), "a block each");
        // One that has another name frees nothing and stays.
        weights.get_mut(&2).unwrap().names = 2;
        assert_eq!(over(700, &weights), [3]);
    }

    #[test]
    fn a_full_drive_takes_the_oldest_edits_first_and_what_can_be_undone_last() {
        let mut world = world(&[
            (1, 9, Why::Destroyed, 30),
            (2, 3, edited(), 30),
            (3, 1, Why::Rescued, 30),
            (4, 0, Why::Destroyed, 30),
        ]);
        let weights = weights(&world);
        let short = |world: &_, free, total| {
            going(&make_space(world, Bytes(free), Bytes(total), &weights, None))
        };
        assert_eq!(short(&world, 20, 1_000), [0; 0], "two in a hundred are enough");
        assert_eq!(short(&world, 19, 1_000), [2]);
        assert_eq!(short(&world, 0, 1_500), [2, 3]);
        assert_eq!(short(&world, 0, 3_000), [2, 3, 1]);
        assert_eq!(short(&world, 0, 30_000), [2, 3, 1, 4]);
        assert!(is_short(Bytes(19), Bytes(1_000)) && !is_short(Bytes(0), Bytes(0)));
        // Whatever the clock said when it was put away, the one that came later is the younger one.
        world.versions.get_mut(&3).unwrap().at = NOW.plus_secs(-50 * DAY);
        assert_eq!(short(&world, 19, 1_000), [2]);
    }

    #[test]
    fn old_names_of_one_content_free_it_together() {
        let world = world(&[
            (1, 9, edited(), 30),
            (2, 8, edited(), 30),
            (3, 7, edited(), 30),
            (4, 6, Why::Destroyed, 30),
        ]);
        let weight = |ino, names| Weight { ino, names, bytes: Bytes(30) };
        let mut weights: BTreeMap<u64, Weight> =
            [(1, weight(1, 2)), (2, weight(2, 1)), (3, weight(1, 2)), (4, weight(4, 1))].into();
        let over =
            |total, weights: &_| going(&over_their_share(&world, &config(), Bytes(total), weights));
        assert_eq!(over(600, &weights), [0; 0], "counted once");
        assert_eq!(over(590, &weights), [2], "the first alone frees nothing, so it stays");
        assert_eq!(over(290, &weights), [1, 2, 3]);
        // One of its names can still be brought back, by promise.
        weights.insert(4, weight(1, 3));
        weights.entry(1).and_modify(|w| w.names = 3);
        weights.entry(3).and_modify(|w| w.names = 3);
        assert_eq!(over(0, &weights), [2]);
        let all = make_space(&world, Bytes(0), Bytes(30_000), &weights, None);
        assert_eq!(going(&all), [1, 2, 3, 4]);
    }

    /// Versions that got old so many minutes ago, of names with a letter each.
    fn lately(minutes: &[(u64, &str, i64, Why)]) -> World {
        let mut world = world(&[]);
        for (number, name, minutes, why) in minutes {
            let path = RelPath::new(name.as_bytes()).unwrap();
            let id = FileId { ino: *number, size: 40, mtime: Time(0) };
            let at = NOW.plus_secs(-minutes * 60);
            let version = Version { path, id, at, why: why.clone(), successor: None };
            world.note(&Fact::Version(*number, version));
        }
        world
    }

    #[test]
    fn what_a_mass_change_may_have_replaced_outlives_its_share_and_goes_last() {
        let stormed = Why::Stormed(Holder::decode("HTCphone").unwrap());
        let mut world = lately(&[
            (1, "a", 25 * 60, edited()),
            // The first of the day, and what it was cut to since.
            (2, "a", 23 * 60, edited()),
            (3, "a", 70, edited()),
            (4, "a", 59, edited()),
            (5, "b", 50, Why::Replaced),
            (6, "c", 5, Why::Destroyed),
            (7, "c", 5, stormed),
        ]);
        let weights = weights(&world);
        let over = |world: &World| going(&over_their_share(world, &config(), Bytes(0), &weights));
        assert_eq!(over(&world), [1, 3, 7]);
        assert_eq!(comes_of_age(&world, NOW), Some(NOW.plus_secs(60)));
        let all = make_space(&world, Bytes(0), Bytes(30_000), &weights, None);
        assert_eq!(going(&all), [1, 3, 7, 6, 2, 4, 5]);
        let hour = NOW.plus_secs(3_600);
        world.running.look(hour);
        // Of what was cut today the third is the first now; it was put away 70 minutes ago.
        assert_eq!(over(&world), [1, 2, 4, 7]);
        assert_eq!(comes_of_age(&world, hour), Some(hour.plus_secs(86_400 - 130 * 60)));
        world.running.look(NOW.plus_secs(86_400));
        assert_eq!(comes_of_age(&world, NOW.plus_secs(86_400)), None);
        assert_eq!(over(&world), [1, 2, 3, 4, 5, 7]);
    }

    #[test]
    fn a_full_drive_takes_only_what_is_older_than_a_mass_change_that_waits() {
        let mut world = lately(&[
            (1, "a", 300, edited()),
            (2, "b", 200, edited()),
            (3, "c", 100, edited()),
            (4, "d", 99, edited()),
        ]);
        // Whatever the clock said.
        world.versions.get_mut(&2).unwrap().at = NOW.plus_secs(60);
        world.versions.get_mut(&4).unwrap().at = Time::from_secs(60);
        let weights = weights(&world);
        let phone = DeviceName::new("HTCphone").unwrap();
        let since = NOW.plus_secs(-100 * 60);
        let mass_change =
            crate::plan::MassChange { first: 3, since, at: NOW, rewritten: 1, deleted: 0 };
        world.note(&Fact::MassChange(phone.clone().into(), mass_change));
        let mut config = config();
        assert_eq!(mass_change_since(&world, &config), None, "nobody could answer for it");
        config.devices.insert(phone, crate::config::Device::named("HTC phone"));
        let mass_change = mass_change_since(&world, &config);
        assert_eq!(mass_change, Some(3));
        let all = make_space(&world, Bytes(0), Bytes(30_000), &weights, mass_change);
        assert_eq!(going(&all), [1, 2]);
    }

    /// What goes, thought simply: inode after inode, in the order of the youngest of its names, until it is enough.
    fn naively(world: &World, weights: &BTreeMap<u64, Weight>, free: u64, total: u64) -> Vec<u64> {
        let mut need = (total / ENOUGH).saturating_sub(free);
        if free >= total / SHORT {
            need = 0;
        }
        let key = |n: u64| {
            let v = &world.versions[&n];
            let fresh = |v: &Version, hours: i64| {
                NOW.since(v.at) < hours * 3_600 && v.why != Why::Destroyed
            };
            let mut before = world.versions.range(..n).map(|(_, v)| v);
            let first = !before.any(|other| other.path == v.path && fresh(other, 24));
            (fresh(v, if first { 24 } else { 1 }), v.why == Why::Destroyed, n)
        };
        let mut inodes: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
        for (number, weight) in weights {
            inodes.entry(weight.ino).or_default().push(*number);
        }
        let mut inodes: Vec<Vec<u64>> = inodes.into_values().collect();
        inodes.retain(|all| all.len() == weights[&all[0]].names as usize);
        inodes.sort_by_key(|all| all.iter().map(|n| key(*n)).max());
        let mut going = Vec::new();
        for all in inodes {
            if need == 0 {
                break;
            }
            need = need.saturating_sub(weights[&all[0]].bytes.0);
            going.extend(all);
        }
        going.sort_by_key(|n| key(*n));
        going
    }

    proptest! {
        #[test]
        fn what_goes_is_what_a_simple_reading_lets_go(
            all in prop::collection::vec((0u64..6, 0usize..6, 0u8..4, 0u8..3), 0..12),
            elsewhere in prop::collection::vec(any::<bool>(), 6),
            sizes in prop::collection::vec(1u64..60, 6),
            free in 0u64..100, total in 0u64..9_000,
        ) {
            let mut world = world(&[]);
            // The clock is put right all the time: only their numbers tell which is older.
            for (number, (ino, hours, why, name)) in (1u64..).zip(&all) {
                let path = RelPath::new(&[b'a' + name]).unwrap();
                let why = if *why == 0 { Why::Destroyed } else { edited() };
                let id = FileId { ino: *ino, ..FileId::default() };
                let at = NOW.plus_secs(-1_800 * [0, 1, 2, 5, 47, 48][*hours]);
                let version = Version { path, id, at, why, successor: None };
                world.note(&Fact::Version(number, version));
            }
            let names = |ino: u64| {
                let here = all.iter().filter(|(i, ..)| *i == ino).count() as u32;
                here + u32::from(elsewhere[ino as usize])
            };
            let weight = |v: &Version| {
                let ino = v.id.ino;
                Weight { ino, names: names(ino), bytes: Bytes(sizes[ino as usize]) }
            };
            let weights: BTreeMap<u64, Weight> =
                world.versions.iter().map(|(n, v)| (*n, weight(v))).collect();
            let ops = make_space(&world, Bytes(free), Bytes(total), &weights, None);
            prop_assert_eq!(going(&ops), naively(&world, &weights, free, total));
        }
    }
}
