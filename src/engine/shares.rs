//! Shares in the engine: the sums they are named by, what the carrier has of them, and their end.
//!
//! A share ends in the order that the design asks for: the carrier lets go of it, then its links go,
//! then its folder. That it is to end is in the ledger, so that a cut in between is finished.

use super::lookup::within_any;
use super::{Engine, EngineError};
use crate::catalogue::ShareView;
use crate::fs::FsError;
use crate::fs::scan::Scan;
use crate::model::{Bytes, FileId, Place, RelPath, Stat, Time};
use crate::plan::{CHUNK, Fact, Op, Share, ShareState, emptied_shares, end_share, master};
use sha1::{Digest as _, Sha1};
use std::collections::{BTreeMap, BTreeSet};

/// So much of a file is read at a time.
const PART: usize = 1 << 20;
/// So many parts are read in a turn: a third of a second on the slowest board, so that wishes wait
/// no longer than that.
const PARTS: usize = 8;

/// A share as the carrier needs it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Carried {
    /// The name of its folder in `shared/`.
    pub name: String,
    /// Device ids as they were written, and what we call those people.
    pub peers: BTreeMap<String, String>,
    /// What they may do.
    pub access: Access,
}

/// What other people may do with a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Fetch it; what they change is not taken.
    Fetch,
    /// Put files in and change them.
    Join {
        /// The folder is at its limit: nothing more is taken until it is below.
        held: bool,
    },
}

/// A sum in the making.
pub(super) struct Summing {
    path: RelPath,
    id: FileId,
    sum: Sha1,
    /// How far it is.
    offset: u64,
}

impl Summing {
    /// Begins with a master.
    pub(super) fn new(path: RelPath, id: FileId) -> Self {
        Self { path, id, sum: Sha1::new(), offset: 0 }
    }
}

/// What is known of shares beside the world.
#[derive(Default)]
pub(super) struct Shares {
    /// Sums to make.
    wanted: BTreeMap<RelPath, FileId>,
    /// The sum in the making.
    summing: Option<Summing>,
    /// Shares that are to end and that the carrier let go of.
    let_go: BTreeSet<String>,
    /// The carrier's folder ids, by the names of the shares.
    ids: BTreeMap<String, String>,
}

impl Engine {
    /// A sum is asked for.
    pub(super) fn want_sum(&mut self, path: &RelPath, id: FileId) {
        self.shares.wanted.insert(path.clone(), id);
    }

    /// True while a sum is asked for or in the making.
    #[cfg(test)]
    pub(super) fn is_summing(&self) -> bool {
        self.shares.summing.is_some() || !self.shares.wanted.is_empty()
    }

    /// Goes on with the sums that are asked for; `true` when that was any: there is more to
    /// read, or whoever waits for it can go on.
    pub(super) fn make_sums(&mut self) -> Result<bool, EngineError> {
        let mut worked = false;
        for _ in 0..PARTS {
            let begun = match self.shares.summing.take() {
                Some(begun) => begun,
                None => match self.shares.wanted.pop_first() {
                    Some((path, id)) => Summing::new(path, id),
                    None => return Ok(worked),
                },
            };
            worked = true;
            self.shares.summing = self.sum_on(begun)?;
        }
        Ok(worked)
    }

    /// Reads one part more; what is left to read comes back, nothing when the sum is known or can't be made.
    pub(super) fn sum_on(&mut self, begun: Summing) -> Result<Option<Summing>, EngineError> {
        let Summing { path, id, mut sum, offset } = begun;
        let at = master(&path);
        match self.fs.read_part(&at, &id, offset, PART) {
            Ok(part) => {
                sum.update(&part);
                let offset = offset + part.len() as u64;
                if part.len() == PART {
                    return Ok(Some(Summing { path, id, sum, offset }));
                }
                // True only of what did not change until its end was read.
                let same = matches!(self.fs.stat(&at), Ok(Some(stat)) if stat.id == id);
                if same && offset == id.size {
                    self.remember(&Fact::Sum(id, sum.finalize().into()))?;
                }
            }
            Err(e) if e.trouble().is_some() => return Err(e.into()),
            // It is another file by now: whoever wants it asks anew.
            Err(e) => log::info!("no sum: {e}"),
        }
        Ok(None)
    }

    /// The shares that the carrier shall have. From now on it may have them: that is remembered
    /// before this returns, so that none ends while it does.
    pub fn shares_to_carry(&mut self) -> Result<Vec<Carried>, EngineError> {
        let live = self.world.shares.iter().filter(|(_, share)| share.is_live());
        let live: Vec<_> = live.map(|(name, share)| (name.clone(), share.clone())).collect();
        let mut carried = Vec::new();
        for (name, mut share) in live {
            let access = match share.takes() {
                true => Access::Join { held: self.is_full(&name) },
                false => Access::Fetch,
            };
            carried.push(Carried { name: name.clone(), peers: share.peers.clone(), access });
            if share.state == ShareState::Made {
                share.state = ShareState::Handed;
                self.remember(&Fact::Share(name, share))?;
                self.settle_down()?;
            }
        }
        Ok(carried)
    }

    /// The carrier has exactly these shares: those that are to end and not among them may go.
    pub fn shares_carried<'a>(&mut self, has: impl IntoIterator<Item = &'a str>) {
        let has: BTreeSet<&str> = has.into_iter().collect();
        let ending = self.world.shares.iter().filter(|(_, share)| share.is_ending());
        let gone = ending.map(|(name, _)| name).filter(|name| !has.contains(name.as_str()));
        self.shares.let_go = gone.cloned().collect();
    }

    /// The folder ids that the carrier uses, for those that the shares are for.
    pub fn share_ids(&mut self, ids: BTreeMap<String, String>) {
        self.stale |= self.shares.ids != ids;
        self.shares.ids = ids;
    }

    /// Ends what is to end and may; `true` when that was anything.
    pub(super) fn end_shares(&mut self, now: Time) -> Result<bool, EngineError> {
        for op in emptied_shares(&self.world) {
            self.act(&op, now)?;
        }
        let may = |name: &str, state| match state {
            ShareState::Ending { handed: false } => true,
            // With the sync engine switched off, nobody carries anything.
            ShareState::Ending { handed: true } => {
                !self.config.sync.enabled || self.shares.let_go.contains(name)
            }
            _ => false,
        };
        let due = self.world.shares.iter().filter(|(name, share)| may(name, share.state));
        let due: Vec<String> = due.map(|(name, _)| name.clone()).collect();
        if due.is_empty() {
            return Ok(false);
        }
        // That it is to end reaches the disk before anything of it goes.
        self.settle_down()?;
        let mut more = false;
        for name in due {
            if self.world.shares.get(&name).is_some_and(Share::is_joined) {
                more |= self.end_folder(&name, now)?;
                continue;
            }
            self.look_at_share(&name)?;
            for op in end_share(&self.world, &name) {
                if !self.act(&op, now)? {
                    // It moved under our hands: again in the next turn.
                    return Ok(more);
                }
            }
            more = true;
            if !self.world.shares.contains_key(&name) {
                log::info!("the share {name} is over");
                self.shares.let_go.remove(&name);
            }
        }
        Ok(more)
    }

    /// What is in a share's folder, also what a cut kept from being recorded and what others put there.
    fn look_at_share(&mut self, name: &str) -> Result<(), EngineError> {
        let root = RelPath::new(name.as_bytes()).unwrap_or_default();
        let found = match self.fs.scan(&Place::Shared.at(root.clone())) {
            Ok(found) => found,
            Err(FsError::NotRegular { .. }) => Scan::default(),
            Err(e) => return Err(e.into()),
        };
        let unread: Vec<RelPath> =
            found.unreadable_dirs.into_iter().chain(found.elsewhere).collect();
        let found = found.tree;
        let mut known = Vec::new();
        if let Some(dir) = self.world.shared.dir(&root) {
            self.world.shared.for_each(dir, |p, _: &FileId| known.extend(RelPath::new(p)));
        }
        let mut there = Vec::new();
        if let Some(dir) = found.dir(&root) {
            found.for_each_dir(dir, |_, p| {
                if let Ok(p) = RelPath::new(p) {
                    self.world.shared.insert_dir(&p);
                }
            });
            found.for_each(dir, |p, stat: &Stat| {
                if let Ok(p) = RelPath::new(p) {
                    there.push((p, stat.id));
                }
            });
        }
        let gone = |p: &RelPath| found.get(p).is_none() && !within_any(&unread, p);
        for path in known.into_iter().filter(gone) {
            self.remember(&Fact::NotShared(path))?;
        }
        // No more than is taken away at a time.
        for (path, id) in there.into_iter().take(CHUNK) {
            if self.world.shared.get(&path) != Some(&id) {
                self.remember(&Fact::Shared(path, id))?;
            }
        }
        Ok(())
    }

    /// A wish for a share was given up: what there is of it goes.
    pub(super) fn give_share_up(
        &mut self,
        origin: &crate::model::Origin,
        wish: crate::model::WishId,
        now: Time,
    ) -> Result<(), EngineError> {
        let ours = |(_, s): &(&String, &Share)| s.wish == wish && s.origin == *origin;
        let begun = self.world.shares.iter().find(ours).map(|(n, s)| (n.clone(), s.ended()));
        if let Some((name, ended)) = begun {
            self.act(&Op::Note(Fact::Share(name, ended)), now)?;
        }
        Ok(())
    }

    /// The shares for the pages, the newest first: the one that a revoke without a word means.
    pub(super) fn share_views(&self) -> Vec<ShareView> {
        let live = self.world.shares.iter().filter(|(_, share)| share.is_live());
        let mut views: Vec<_> = live
            .map(|(name, share)| ShareView {
                path: share.path.clone(),
                with: share.with.clone(),
                at: share.at,
                link: match (&self.carrying.identity, self.shares.ids.get(name)) {
                    (Some(device), Some(folder)) => {
                        format!("Device ID: {device}\nFolder ID: {folder}")
                    }
                    _ => String::new(),
                },
                folder: share.is_joined(),
                name: name.clone(),
                people: people_in(share),
                used: if share.is_joined() { self.used_in(name) } else { Bytes(0) },
                limit: share.open.as_ref().and_then(|open| open.limit),
                full: self.is_full(name),
                destroyed: share.open.as_ref().and_then(|open| open.destroyed),
            })
            .collect();
        views.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.path.cmp(&b.path)));
        views
    }
}

/// Who may have a share, each in a word: several devices of one person are one.
fn people_in(share: &Share) -> Vec<String> {
    let mut people = Vec::new();
    for (id, word) in &share.peers {
        let short = id.split('-').next().unwrap_or(id).to_owned();
        let word = if word.is_empty() { short } else { word.clone() };
        if !people.contains(&word) {
            people.push(word);
        }
    }
    people
}
