//! What lies on the drive and is not taken in, and why: never passed over in silence.

use std::collections::BTreeMap;

/// So many are remembered by path; beyond, they are only counted until the next whole scan.
const MOST: usize = 1_000;

/// Why something is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Untaken {
    /// A symbolic link: what it leads to may lie anywhere.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
    /// More than 64 folders deep, or a path of more than 4,096 bytes.
    TooDeep,
    /// A name that the sync engine or Larder keeps for itself.
    Reserved,
}

impl Untaken {
    /// What `count` of them are, for people.
    pub fn words(self, count: u64) -> String {
        let (one, many) = match self {
            Self::Symlink => ("symbolic link", "symbolic links"),
            Self::Special => ("pipe, socket or device", "pipes, sockets or devices"),
            Self::TooDeep => ("name more than 64 folders deep", "names more than 64 folders deep"),
            Self::Reserved => (
                "name that Larder or the sync engine keeps for itself",
                "names that Larder or the sync engine keep for themselves",
            ),
        };
        format!("{count} {}", if count == 1 { one } else { many })
    }
}

/// What is not taken in from one place, by path. Paths are raw bytes: the ones meant here may be too deep for a
/// [`super::RelPath`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NotTaken {
    known: BTreeMap<Box<[u8]>, Untaken>,
    more: BTreeMap<Untaken, u64>,
}

impl NotTaken {
    /// Notes one; that it is known already changes nothing.
    pub fn add(&mut self, path: &[u8], why: Untaken) {
        if self.known.len() < MOST || self.known.contains_key(path) {
            self.known.insert(path.into(), why);
        } else {
            *self.more.entry(why).or_default() += 1;
        }
    }

    /// Adds all that `others` has.
    pub fn extend(&mut self, others: Self) {
        for (path, why) in others.known {
            self.add(&path, why);
        }
        for (why, count) in others.more {
            *self.more.entry(why).or_default() += count;
        }
    }

    /// Forgets a path and all below it; `true` when there was any.
    pub fn forget(&mut self, path: &[u8]) -> bool {
        let before = self.known.len();
        self.known.retain(|known, _| !is_within(known, path));
        if path.is_empty() {
            self.more.clear();
        }
        self.known.len() < before
    }

    /// True when everything is taken in.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.more.is_empty()
    }

    /// Each reason with its number and the first path.
    pub fn list(&self) -> Vec<(Untaken, u64, &[u8])> {
        let mut all: BTreeMap<Untaken, (u64, &[u8])> = BTreeMap::new();
        for (path, why) in &self.known {
            all.entry(*why).or_insert((0, path)).0 += 1;
        }
        for (why, count) in &self.more {
            all.entry(*why).or_insert((0, b"")).0 += count;
        }
        all.into_iter().map(|(why, (count, first))| (why, count, first)).collect()
    }
}

fn is_within(path: &[u8], folder: &[u8]) -> bool {
    folder.is_empty()
        || path.strip_prefix(folder).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_number_and_first_path() {
        let mut all = NotTaken::default();
        assert!(all.is_empty());
        all.add(b"b/link", Untaken::Symlink);
        all.add(b"a/link", Untaken::Symlink);
        all.add(b"a/link", Untaken::Symlink);
        all.add(b"pipe", Untaken::Special);
        assert_eq!(
            all.list(),
            [(Untaken::Symlink, 2, &b"a/link"[..]), (Untaken::Special, 1, &b"pipe"[..])]
        );
        assert!(all.forget(b"a") && !all.forget(b"pip"));
        assert_eq!(all.list()[0], (Untaken::Symlink, 1, &b"b/link"[..]));
        assert!(all.forget(b""));
        assert!(all.is_empty());
    }

    #[test]
    fn of_very_many_the_number_is_kept() {
        let mut all = NotTaken::default();
        for n in 0..1_500 {
            all.add(format!("{n:05}").as_bytes(), Untaken::Special);
        }
        assert_eq!(all.list(), [(Untaken::Special, 1_500, &b"00000"[..])]);
        let mut twice = all.clone();
        twice.extend(all);
        assert_eq!(twice.list()[0].1, 2_000);
        assert_eq!(Untaken::Special.words(1), "1 pipe, socket or device");
    }
}
