//! What is known of inodes from one turn to the next, and from earlier nights: 16 bytes each. Pure, like the groups.

use super::group::{Candidate, Every, run, thin};
use super::{Mark, sort::sort};
use std::num::NonZeroU32;

/// What a job knows of an inode.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    ino: u64,
    /// 31 bits of its key, and whether it was cold. One that is taken for another joins nothing: bytes are compared,
    /// and what was decided on is looked at again another night.
    short: u32,
    /// What was read of it; `None` once it is decided on.
    part: Option<NonZeroU32>,
}

impl Known {
    /// An inode that is decided on.
    pub(super) fn decided((ino, key): Mark) -> Self {
        Self { ino, short: short(key) << 1, part: None }
    }

    /// One of which something was read.
    pub(super) fn read(c: &Candidate) -> Self {
        Self { short: short(c.key()) << 1 | u32::from(c.is_cold()), ino: c.ino, part: c.part }
    }

    fn is_of(&self) -> (u64, u32) {
        (self.ino, self.short >> 1)
    }
}

fn short(key: u64) -> u32 {
    ((key ^ key >> 31) as u32) >> 1
}

/// Notes one, unless it is the last that was noted: of an inode's names only the first.
pub(super) fn note(known: &mut Vec<Known>, one: Known) {
    if known.last() != Some(&one) {
        known.push(one);
    }
}

/// Drops the classes of which every inode was compared by an earlier job, and puts them among what was decided
/// on, before anything else is known. Returns the inodes of which what was remembered is not true any more; `None`
/// when it was stopped, and what is remembered is still there. `found` comes sorted by class.
pub(super) fn skip_compared(
    found: &mut Vec<Candidate>,
    remembered: &mut Vec<Mark>,
    known: &mut Vec<Known>,
    stop: &mut dyn FnMut() -> bool,
) -> Option<Vec<u64>> {
    #[derive(Clone, Copy, PartialEq)]
    enum Met {
        No,
        WithNew,
        Alone,
    }
    if !sort(remembered, &|mark| *mark, stop) {
        return None;
    }
    let mut every = Every::new(stop);
    let mut met = vec![Met::No; remembered.len()];
    let (mut start, mut kept) = (0, 0);
    while start < found.len() {
        if every.stops() {
            return None;
        }
        let end = start + run(&found[start..], Candidate::unread);
        let at = |c: &Candidate| remembered.binary_search(&c.mark()).ok();
        let all = found[start..end].iter().all(|c| at(c).is_some());
        for i in found[start..end].iter().filter_map(at) {
            met[i] = if all { Met::Alone } else { Met::WithNew };
        }
        if !all {
            found.copy_within(start..end, kept);
            kept += end - start;
        }
        start = end;
    }
    found.truncate(kept);
    let not_met = remembered.iter().zip(&met).filter(|(_, met)| **met == Met::No);
    let outdated = not_met.map(|((ino, _), _)| *ino).collect();
    // In place: at a million files a second list would be as large as what may be used.
    let mut met = met.into_iter();
    remembered.retain(|_| met.next() == Some(Met::Alone));
    // Of the same size, so that the new list takes no memory of its own.
    *known = std::mem::take(remembered).into_iter().map(Known::decided).collect();
    Some(outdated)
}

/// Takes over what was read, and drops what was decided on; what is alone then goes too. Only what was decided on is
/// left in `known`. `false` when it was stopped: `known` is as good as before.
pub(super) fn recall(
    found: &mut Vec<Candidate>,
    known: &mut Vec<Known>,
    stop: &mut dyn FnMut() -> bool,
) -> bool {
    if !sort(known, &|k| (k.is_of(), k.part), stop) {
        return false;
    }
    // Of one that was read and then decided on, the decision comes first.
    known.dedup_by_key(|k| k.is_of());
    let mut every = Every::new(stop);
    found.retain_mut(|c| {
        if every.stops() {
            return true;
        }
        let is_of = (c.ino, short(c.key()));
        let Ok(i) = known.binary_search_by_key(&is_of, Known::is_of) else { return true };
        c.part = known[i].part;
        c.set_cold(known[i].short & 1 == 1);
        c.part.is_some()
    });
    if every.stopped || !thin(found, Candidate::unread, |_| true, stop) {
        return false;
    }
    known.retain(|k| k.part.is_none());
    true
}
