//! When links were last used, once the clock of the NAS was put back.
//!
//! A use has the time of a clock that may be wrong by years: after a start it may be any day, and a wrong answer from
//! the network can make it any year. Dated ahead, a file would be the last to go for years; while the clock goes behind,
//! what is got just then would be the first. Only the order of the uses matters, so what lies ahead of the clock is
//! taken back to now as soon as it is seen, which is before anything is used by the clock as it goes from then on. That
//! holds whether it was wrong before or is wrong now: nobody has to know which.

use super::{Fact, World};
use crate::model::{Link, RelPath, Time, Tree};

impl World {
    /// Takes uses that lie ahead of the clock back, at most so many at a time, the earliest of a device first. The last
    /// of a device becomes one of now, those before it are a second earlier each; those of the same second stay so if
    /// they are taken back together. None comes before a use that does not lie ahead.
    ///
    /// Looks at every link only when some use may lie ahead.
    pub fn take_uses_back(&mut self, now: Time, most: usize) -> Vec<Fact> {
        let now = now.secs();
        let mut facts = Vec::new();
        if self.latest_use <= now {
            return facts;
        }
        for (device, replica) in &self.replicas {
            let mut ahead = Vec::new();
            let mut before = i64::MIN;
            replica.links.for_each(Tree::<Link>::ROOT, |_, link| match link.used > now {
                true => ahead.push(link.used),
                false => before = before.max(link.used),
            });
            ahead.sort_unstable();
            let room = most - facts.len();
            let until = ahead.get(room).copied().unwrap_or(i64::MAX);
            let mut of_the_last = room - ahead.partition_point(|used| *used < until);
            ahead.dedup();
            replica.links.for_each(Tree::<Link>::ROOT, |path, link| {
                let Ok(rank) = ahead.binary_search(&link.used) else { return };
                if link.used > until || (link.used == until && of_the_last == 0) {
                    return;
                }
                // Paths in the book were checked when they came in.
                let Ok(path) = RelPath::new(path) else { return };
                of_the_last -= usize::from(link.used == until);
                let later = (ahead.len() - 1 - rank) as i64;
                let used = before.max(now.saturating_sub(later));
                facts.push(Fact::NotUsedSince(device.clone(), path, used));
            });
        }
        if facts.is_empty() {
            self.latest_use = now;
        }
        facts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, FileId, Holder};

    fn world(used: &[(&str, &str, i64)]) -> World {
        let mut world = World::default();
        for (device, path, used) in used {
            let link = Link { id: FileId::default(), charge: Bytes(1), used: *used };
            let path = RelPath::new(path.as_bytes()).unwrap();
            world.note(&Fact::Link(Holder::decode(device).unwrap(), path, link));
        }
        world
    }

    /// What is taken back at once, and the uses after it.
    fn taken(world: &mut World, now: i64, most: usize) -> (usize, Vec<(String, i64)>) {
        let facts = world.take_uses_back(Time::from_secs(now), most);
        facts.iter().for_each(|fact| world.note(fact));
        let mut used = Vec::new();
        for replica in world.replicas.values() {
            replica.links.for_each(Tree::<Link>::ROOT, |path, link| {
                used.push((RelPath::new(path).unwrap().to_string(), link.used));
            });
        }
        (facts.len(), used)
    }

    fn uses(of: &[(&str, i64)]) -> Vec<(String, i64)> {
        of.iter().map(|(path, used)| ((*path).to_owned(), *used)).collect()
    }

    #[test]
    fn what_lies_ahead_becomes_the_last_in_its_order() {
        let mut world = world(&[
            ("phone", "a", 50),
            ("phone", "b", 9_000),
            ("phone", "c", 98),
            ("phone", "d", 8_000),
            ("phone", "e", 9_000),
            ("tablet", "t", 7_000),
        ]);
        let ought = uses(&[("a", 50), ("b", 100), ("c", 98), ("d", 99), ("e", 100), ("t", 100)]);
        assert_eq!(taken(&mut world, 100, 9), (4, ought.clone()));
        assert_eq!(taken(&mut world, 100, 9), (0, ought.clone()));
        assert_eq!(taken(&mut world, 200, 9), (0, ought));
    }

    #[test]
    fn none_comes_before_what_does_not_lie_ahead() {
        let mut world = world(&[
            ("phone", "a", 99),
            ("phone", "b", 8_000),
            ("phone", "c", 9_000),
            ("phone", "d", 9_001),
        ]);
        let ought = uses(&[("a", 99), ("b", 99), ("c", 99), ("d", 100)]);
        assert_eq!(taken(&mut world, 100, 9), (3, ought));
    }

    #[test]
    fn more_of_one_second_than_fit_are_taken_back_all_the_same() {
        let mut world = world(&[
            ("phone", "a", 9_000),
            ("phone", "b", 9_000),
            ("phone", "c", 9_000),
            ("tablet", "t", 8_000),
        ]);
        assert_eq!(taken(&mut world, 100, 2).0, 2);
        assert_eq!(taken(&mut world, 101, 2).0, 2);
        let ought = uses(&[("a", 100), ("b", 100), ("c", 101), ("t", 101)]);
        assert_eq!(taken(&mut world, 102, 2), (0, ought));
    }

    #[test]
    fn a_few_at_a_time_come_to_the_same_order() {
        let names: Vec<String> = (10..40).map(|n| n.to_string()).collect();
        let ahead = |n: usize| 9_000 + n as i64 * 7;
        let used = names.iter().enumerate().map(|at| ("phone", at.1.as_str(), ahead(at.0)));
        let mut world = world(&used.collect::<Vec<_>>());
        let mut turns = 0;
        while taken(&mut world, 1_000 + turns, 7).0 > 0 {
            turns += 1;
        }
        let (_, after) = taken(&mut world, 1_000 + turns, 7);
        assert!(after.windows(2).all(|pair| pair[0].1 < pair[1].1), "{after:?}");
        assert!(after.iter().all(|(_, used)| (900..=1_000 + turns).contains(used)), "{after:?}");
        assert_eq!(turns, 5);
    }
}
