//! Which files are on their way to which peer. Pure: facts in, what to ask and what to tell out.
//!
//! A file is on its way from when Syncthing has looked at it until the peer is proved to have it.
//! Nobody is asked about single files while 10,000 are on their way: one list of what the peer
//! still needs answers for all of them, asked for when the peer said that it has taken something,
//! and the more seldom the longer the list takes.

use crate::model::RelPath;
use crate::transport::{FolderId, PeerId};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::{Duration, Instant};

/// Never ask more often than this about one folder of one peer.
const SHORTEST: Duration = Duration::from_millis(300);
/// Asking may take this part of the time: one in ten.
const SHARE: u32 = 10;
/// Up to so many files are asked for one by one, which is quicker than the list.
pub(super) const FEW: usize = 8;
/// How many files are followed at most for one folder of one peer.
const MOST: usize = 200_000;

/// A folder and one of its peers.
pub(super) type Way = (FolderId, PeerId);

/// A file that was asked about, and as the how manieth it was put on its way: what is said of a
/// content that was replaced in the meantime says nothing of the new one.
pub(super) type Asked = (RelPath, u64);

/// What is on its way.
#[derive(Default)]
pub(super) struct Tracker {
    ways: BTreeMap<Way, Files>,
    count: u64,
}

#[derive(Default)]
struct Files {
    waiting: BTreeMap<RelPath, Waiting>,
    percent: BTreeMap<RelPath, u8>,
    due: bool,
    not_before: Option<Instant>,
    last: Option<Last>,
}

/// What the last list cost.
#[derive(Clone, Copy)]
struct Last {
    at: Instant,
    took: Duration,
    needed: u64,
}

#[derive(Clone, Copy)]
struct Waiting {
    number: u64,
    /// The peer was once seen to need it, which proves that the engine has it.
    seen: bool,
}

impl Files {
    fn follows(&self, (path, number): &Asked) -> bool {
        self.waiting.get(path).is_some_and(|w| w.number == *number)
    }
}

impl Tracker {
    /// The engine has looked at these files of a folder.
    pub(super) fn add(&mut self, way: Way, paths: impl IntoIterator<Item = RelPath>) {
        let files = self.ways.entry(way).or_default();
        for path in paths {
            if files.waiting.len() >= MOST {
                break;
            }
            files.percent.remove(&path);
            self.count += 1;
            files.waiting.insert(path, Waiting { number: self.count, seen: false });
        }
        files.due = true;
    }

    /// These are gone, or changed once more and not yet looked at: nothing is told of them.
    pub(super) fn forget(&mut self, folder: &FolderId, paths: &[RelPath]) {
        for ((of, _), files) in &mut self.ways {
            if of == folder {
                for path in paths {
                    files.waiting.remove(path);
                    files.percent.remove(path);
                }
            }
        }
        self.ways.retain(|_, files| !files.waiting.is_empty());
    }

    /// Nothing of a folder, or nothing to a peer, is on its way any more.
    pub(super) fn drop_ways(&mut self, gone: impl Fn(&Way) -> bool) {
        self.ways.retain(|way, _| !gone(way));
    }

    /// The peer may have taken something. `needed`: how many things it lacks now, where known; the
    /// list costs as much as it is long, so towards the end it is asked for more often.
    pub(super) fn touched(&mut self, way: &Way, needed: Option<u64>) {
        let Some(files) = self.ways.get_mut(way) else { return };
        files.due = true;
        if let (Some(needed), Some(last)) = (needed, files.last) {
            let part = needed.min(last.needed) as f64 / last.needed.max(1) as f64;
            files.not_before = Some(last.at + SHORTEST.max((last.took * SHARE).mul_f64(part)));
        }
    }

    /// Everything is to be asked again: the engine was restarted.
    pub(super) fn touch_all(&mut self) {
        for files in self.ways.values_mut() {
            files.due = true;
        }
    }

    /// These peers are to be asked again, in case one of them was missed.
    pub(super) fn touch_peers(&mut self, peers: &BTreeSet<PeerId>) {
        for ((_, peer), files) in &mut self.ways {
            files.due |= peers.contains(peer);
        }
    }

    /// Whether nothing is on its way.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// When the next question is due, if any.
    pub(super) fn next(&self, now: Instant) -> Option<Instant> {
        self.ways.values().filter(|f| f.due).map(|f| f.not_before.unwrap_or(now)).min()
    }

    /// A question that is due now: about which way, and about which files. It counts as asked.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<(Way, Vec<Asked>)> {
        let (way, files) =
            self.ways.iter_mut().find(|(_, f)| f.due && f.not_before.is_none_or(|t| t <= now))?;
        files.due = false;
        // Until the answer is here.
        files.not_before = Some(now + Duration::from_secs(120));
        files.last = None;
        Some((way.clone(), files.waiting.iter().map(|(p, w)| (p.clone(), w.number)).collect()))
    }

    /// The answer came: of the files that were `asked` for, the peer needs those in `needed`.
    /// Returned are those that it has, and those of which that must be asked singly, because the
    /// engine was never seen to have them. All are followed until they have [`Tracker::arrived`].
    pub(super) fn answered(
        &mut self,
        way: &Way,
        asked: &[Asked],
        needed: &HashSet<&[u8]>,
        now: Instant,
        took: Duration,
    ) -> (Vec<Asked>, Vec<Asked>) {
        let (mut here, mut unsure) = (Vec::new(), Vec::new());
        let Some(files) = self.ways.get_mut(way) else { return (here, unsure) };
        files.not_before = Some(now + SHORTEST.max(took * SHARE));
        files.last = Some(Last { at: now, took, needed: needed.len() as u64 });
        for one in asked {
            // Not followed any more: gone, or changed since.
            let Some(waiting) = files.waiting.get_mut(&one.0).filter(|w| w.number == one.1) else {
                continue;
            };
            if needed.contains(one.0.as_bytes()) {
                waiting.seen = true;
            } else if waiting.seen {
                here.push(one.clone());
            } else {
                unsure.push(one.clone());
            }
        }
        (here, unsure)
    }

    /// The peer is proved to have these, or will never get them: they are followed no more.
    /// Returned are those that were followed, so those that it is true of.
    pub(super) fn arrived(&mut self, way: &Way, asked: Vec<Asked>) -> Vec<RelPath> {
        let Some(files) = self.ways.get_mut(way) else { return Vec::new() };
        let mut paths = Vec::with_capacity(asked.len());
        for one in asked {
            if files.follows(&one) {
                files.waiting.remove(&one.0);
                files.percent.remove(&one.0);
                paths.push(one.0);
            }
        }
        if files.waiting.is_empty() {
            self.ways.remove(way);
        }
        paths
    }

    /// The peer has so much of these files; returned is what is news: percent below 100.
    pub(super) fn progress(
        &mut self,
        way: &Way,
        files: impl IntoIterator<Item = (RelPath, u8)>,
    ) -> Vec<(RelPath, u8)> {
        let Some(known) = self.ways.get_mut(way) else { return Vec::new() };
        let mut news = Vec::new();
        for (path, percent) in files {
            let percent = percent.min(99);
            if known.waiting.contains_key(&path)
                && known.percent.insert(path.clone(), percent) != Some(percent)
            {
                news.push((path, percent));
            }
        }
        news
    }

    /// Whether a file is followed on this way.
    pub(super) fn follows(&self, way: &Way, path: &RelPath) -> bool {
        self.ways.get(way).is_some_and(|files| files.waiting.contains_key(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way() -> Way {
        (FolderId::new("f").unwrap(), PeerId::new("P").unwrap())
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn needs<'a>(names: &[&'a str]) -> HashSet<&'a [u8]> {
        names.iter().map(|n| n.as_bytes()).collect()
    }

    fn names(asked: &[Asked]) -> Vec<String> {
        asked.iter().map(|(path, _)| path.to_string()).collect()
    }

    #[test]
    fn what_was_needed_and_no_longer_is_has_arrived() {
        let mut t = Tracker::default();
        let now = Instant::now();
        t.add(way(), [path("a"), path("b"), path("c")]);
        let (w, asked) = t.take_due(now).unwrap();
        assert_eq!(asked.len(), 3);
        let (here, unsure) = t.answered(&w, &asked, &needs(&["a", "b"]), now, SHORTEST);
        assert_eq!((names(&here), names(&unsure)), (vec![], vec!["c".to_owned()]));
        // Not before its time, however often the peer says something.
        t.touched(&w, None);
        assert!(t.take_due(now).is_none());
        let later = t.next(now).unwrap();
        assert_eq!(later - now, SHORTEST * SHARE);
        t.touched(&w, Some(1));
        assert_eq!(t.next(now).unwrap() - now, SHORTEST * SHARE / 2);
        let (w, asked) = t.take_due(later).unwrap();
        let (here, unsure) = t.answered(&w, &asked, &needs(&["b"]), later, SHORTEST);
        assert_eq!((names(&here), names(&unsure)), (vec!["a".to_owned()], vec!["c".to_owned()]));
        assert_eq!(t.arrived(&w, here), [path("a")]);
        t.arrived(&w, unsure);
        assert!(!t.is_empty());
        t.arrived(&w, asked);
        assert!(t.is_empty());
    }

    #[test]
    fn what_changed_while_it_was_asked_for_is_not_told() {
        let mut t = Tracker::default();
        let now = Instant::now();
        t.add(way(), [path("a")]);
        let (w, asked) = t.take_due(now).unwrap();
        t.answered(&w, &asked, &needs(&["a"]), now, SHORTEST);
        t.touched(&w, None);
        let (w, asked) = t.take_due(now + Duration::from_secs(60)).unwrap();
        // Changed again and looked at again, while the list was on its way.
        t.add(way(), [path("a")]);
        assert_eq!(t.answered(&w, &asked, &needs(&[]), now, SHORTEST), (vec![], vec![]));
        assert_eq!(t.arrived(&w, asked), []);
        assert!(t.follows(&w, &path("a")));
        t.forget(&w.0, &[path("a")]);
        assert!(t.is_empty());
    }

    #[test]
    fn progress_is_told_when_it_changes() {
        let mut t = Tracker::default();
        t.add(way(), [path("a")]);
        let at = |n| [(path("a"), n), (path("stranger"), n)];
        assert_eq!(t.progress(&way(), at(10)), [(path("a"), 10)]);
        assert_eq!(t.progress(&way(), at(10)), []);
        assert_eq!(t.progress(&way(), at(100)), [(path("a"), 99)]);
        t.drop_ways(|w| *w == way());
        assert_eq!(t.progress(&way(), at(5)), []);
    }
}
