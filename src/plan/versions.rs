//! How long old contents are kept: until their time is over, until they take more of the drive than they
//! may, or until the drive needs the room.
//!
//! What was destroyed and can still be brought back goes last: that was promised by name. Of the rest the
//! oldest goes first. But what got old within the last hour may be what a storm replaces that nobody has noticed
//! yet ([`WINDOW`]): it never goes for its share, and only goes when the drive would be short without. While a
//! storm waits for the owner's word nothing goes that got old since it began.

use super::night::CLOCK_IS_SET;
use super::storm::WINDOW;
use super::{Fact, Op, Version, Why, World};
use crate::config::Config;
use crate::model::{Bytes, Time};
use std::collections::BTreeMap;

/// Kept beyond their time by so many seconds, they go by day, too: there seem to be no nights in this house.
const NO_NIGHTS: i64 = 3 * 86_400;
/// A moment so many seconds ahead was told by a clock that was wrong.
const AHEAD: i64 = 86_400;
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
/// away anew, with the time of now.
pub fn expired(world: &World, config: &Config, now: Time) -> Vec<Op> {
    expired_by(world, config, now, 0)
}

/// What goes by day, because it should have gone some nights ago.
pub fn overdue(world: &World, config: &Config, now: Time) -> Vec<Op> {
    expired_by(world, config, now, NO_NIGHTS)
}

fn expired_by(world: &World, config: &Config, now: Time, more: i64) -> Vec<Op> {
    if now < CLOCK_IS_SET {
        return Vec::new();
    }
    let op = |(number, v): (&u64, &Version)| {
        if v.at < CLOCK_IS_SET || now.since(v.at) < -AHEAD {
            return Some(Op::Note(Fact::Version(*number, Version { at: now, ..v.clone() })));
        }
        let over = now.since(v.at) >= kept_for(config, &v.why).saturating_add(more);
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
    Bytes(counted.fold(0, |sum, v| sum.saturating_add(v.id.size)))
}

/// Since when the earliest storm lasts that waits for the owner's word.
pub fn storm_since(world: &World, config: &Config) -> Option<Time> {
    let ours = |device| config.devices.contains_key(device) || world.is_joined(device);
    let storms = world.devices.iter().filter(|(device, _)| ours(device));
    storms.filter_map(|(_, holding)| Some(holding.storm?.since)).min()
}

/// True for what may be the beginning of a storm that is not noticed yet.
fn is_fresh(version: &Version, now: Time) -> bool {
    let asked_for = matches!(version.why, Why::Destroyed | Why::Stormed(_));
    !asked_for && now.since(version.at) < WINDOW
}

/// When the next of those comes of age that [`over_their_share`] leaves for now.
pub fn comes_of_age(world: &World, now: Time) -> Option<Time> {
    let fresh = world.versions.values().filter(|v| is_fresh(v, now));
    fresh.map(|v| v.at.plus_secs(WINDOW)).min()
}

/// What goes because old contents take more of the drive than their share. `costs` says what each frees when it
/// goes. What was destroyed is not counted: it goes when its time is over.
pub fn over_their_share(
    world: &World,
    config: &Config,
    total: Bytes,
    costs: &BTreeMap<u64, Bytes>,
    now: Time,
) -> Vec<Op> {
    let counted = || world.versions.iter().filter(|(_, v)| v.why != Why::Destroyed);
    let sum = counted().fold(0u64, |sum, (n, _)| sum.saturating_add(cost(costs, *n)));
    let over = sum.saturating_sub(allowance(config, total).0);
    free(counted().filter(|(_, v)| !is_fresh(v, now)), costs, over, now)
}

/// What goes because the drive needs room; nothing that got old since `storm` began ([`storm_since`]).
pub fn make_space(
    world: &World,
    free_now: Bytes,
    total: Bytes,
    costs: &BTreeMap<u64, Bytes>,
    storm: Option<Time>,
    now: Time,
) -> Vec<Op> {
    if !is_short(free_now, total) {
        return Vec::new();
    }
    let need = (total.0 / ENOUGH).saturating_sub(free_now.0);
    let before = world.versions.iter().filter(|(_, v)| storm.is_none_or(|since| v.at < since));
    free(before, costs, need, now)
}

fn cost(costs: &BTreeMap<u64, Bytes>, number: u64) -> u64 {
    costs.get(&number).map_or(0, |cost| cost.0)
}

/// Lets go until `need` bytes are free, in the order of the room; what frees nothing stays.
fn free<'a>(
    of: impl Iterator<Item = (&'a u64, &'a Version)>,
    costs: &BTreeMap<u64, Bytes>,
    mut need: u64,
    now: Time,
) -> Vec<Op> {
    let mut order: Vec<_> = of.filter(|(number, _)| cost(costs, **number) > 0).collect();
    order.sort_by_key(|(number, v)| (is_fresh(v, now), v.why == Why::Destroyed, v.at, **number));
    let mut going = Vec::new();
    for (number, _) in order {
        if need == 0 {
            break;
        }
        need = need.saturating_sub(cost(costs, *number));
        going.push(Op::DropVersion(*number));
    }
    going
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{DeviceName, FileId, RelPath};

    const NOW: Time = Time::from_secs(1_795_428_000);
    const DAY: i64 = 86_400;

    /// Versions by number: days ago, why, size.
    fn world(versions: &[(u64, i64, Why, u64)]) -> World {
        let mut world = World::default();
        for (number, days, why, size) in versions {
            let path = RelPath::new(format!("{number}").as_bytes()).unwrap();
            let id = FileId { ino: *number, size: *size, mtime: Time(0) };
            let version = Version { path, id, at: NOW.plus_secs(-days * DAY), why: why.clone() };
            world.note(&Fact::Version(*number, version));
        }
        world
    }

    fn edited() -> Why {
        Why::Edited(DeviceName::new("HTCphone").unwrap())
    }

    fn config() -> Config {
        Config { undo: DAY, ..Config::default() }
    }

    fn costs(world: &World) -> BTreeMap<u64, Bytes> {
        world.versions.iter().map(|(n, v)| (*n, Bytes(v.id.size))).collect()
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
    fn the_oldest_go_when_they_take_more_than_their_share() {
        let world = world(&[
            (1, 3, edited(), 40),
            (2, 9, Why::Replaced, 40),
            (3, 1, edited(), 40),
            (4, 20, Why::Destroyed, 500),
        ]);
        let mut costs = costs(&world);
        let over = |total, costs: &_| {
            going(&over_their_share(&world, &config(), Bytes(total), costs, NOW))
        };
        // A tenth of the drive, by default.
        assert_eq!(over(1_200, &costs), [0; 0]);
        assert_eq!(over(1_100, &costs), [2]);
        assert_eq!(over(700, &costs), [2, 1]);
        assert_eq!(over(0, &costs), [2, 1, 3], "what was destroyed waits for its time");
        assert_eq!(at_most(&world), Bytes(120));
        // One that has another name frees nothing and stays.
        costs.insert(2, Bytes(0));
        assert_eq!(over(700, &costs), [1]);
    }

    #[test]
    fn a_full_drive_takes_the_oldest_edits_first_and_what_can_be_undone_last() {
        let world = world(&[
            (1, 3, edited(), 30),
            (2, 9, Why::Destroyed, 30),
            (3, 1, Why::Rescued, 30),
            (4, 0, Why::Destroyed, 30),
        ]);
        let costs = costs(&world);
        let short =
            |free, total| going(&make_space(&world, Bytes(free), Bytes(total), &costs, None, NOW));
        assert_eq!(short(20, 1_000), [0; 0], "two in a hundred are enough");
        assert_eq!(short(19, 1_000), [1]);
        assert_eq!(short(0, 1_500), [1, 3]);
        assert_eq!(short(0, 3_000), [1, 3, 2]);
        assert_eq!(short(0, 30_000), [1, 3, 2, 4]);
        assert!(is_short(Bytes(19), Bytes(1_000)) && !is_short(Bytes(0), Bytes(0)));
    }

    /// Versions that got old so many minutes ago.
    fn lately(minutes: &[(u64, i64, Why)]) -> World {
        let mut world = world(&[]);
        for (number, minutes, why) in minutes {
            let path = RelPath::new(format!("{number}").as_bytes()).unwrap();
            let id = FileId { ino: *number, size: 40, mtime: Time(0) };
            let at = NOW.plus_secs(-minutes * 60);
            world.note(&Fact::Version(*number, Version { path, id, at, why: why.clone() }));
        }
        world
    }

    #[test]
    fn what_a_storm_may_have_replaced_outlives_its_share_and_goes_last() {
        let stormed = Why::Stormed(DeviceName::new("HTCphone").unwrap());
        let world = lately(&[
            (1, 50, edited()),
            (2, 70, edited()),
            (3, 5, Why::Destroyed),
            (4, 5, stormed),
            (5, 59, Why::Replaced),
        ]);
        let costs = costs(&world);
        let over = over_their_share(&world, &config(), Bytes(0), &costs, NOW);
        assert_eq!(going(&over), [2, 4]);
        assert_eq!(comes_of_age(&world, NOW), Some(NOW.plus_secs(60)));
        let hour = NOW.plus_secs(3_600);
        assert_eq!(comes_of_age(&world, hour), None);
        let later = over_their_share(&world, &config(), Bytes(0), &costs, hour);
        assert_eq!(going(&later), [2, 5, 1, 4]);
        let all = make_space(&world, Bytes(0), Bytes(30_000), &costs, None, NOW);
        assert_eq!(going(&all), [2, 4, 3, 5, 1]);
    }

    #[test]
    fn a_full_drive_takes_only_what_is_older_than_a_storm_that_waits() {
        let mut world = lately(&[(1, 300, edited()), (2, 100, edited()), (3, 99, edited())]);
        let costs = costs(&world);
        let phone = DeviceName::new("HTCphone").unwrap();
        let since = NOW.plus_secs(-100 * 60);
        let storm = crate::plan::Storm { since, at: NOW, rewritten: 1, deleted: 0 };
        world.note(&Fact::Storm(phone.clone(), storm));
        let mut config = config();
        assert_eq!(storm_since(&world, &config), None, "nobody could answer for it");
        config.devices.insert(phone, crate::config::Device::named("HTC phone"));
        let storm = storm_since(&world, &config);
        assert_eq!(storm, Some(since));
        let all = make_space(&world, Bytes(0), Bytes(30_000), &costs, storm, NOW);
        assert_eq!(going(&all), [1]);
    }
}
