//! Wishes: read from the pages, remembered before anything else, fulfilled once.

use super::notices::and_more;
use super::obstacles::{Lasting, Obstacle};
use super::{Engine, EngineError, TRIES};
use crate::fs::Trouble;
use crate::ledger::Entry;
use crate::model::{Action, Answer, Bytes, Holder, Origin, Time, Trait, Wish, show};
use crate::plan::{
    Attempt, Fact, Op, Replica, enforce_quota, evict, joined_meant, share_meant, wish,
};
use crate::status::Condition;
use crate::worklist;

/// So many wishes are fulfilled between two looks at the drive, those of all pages together; of each
/// page at least one.
const GROUP: usize = 256;

/// How far the operations of a wish went.
pub(super) struct Went {
    /// Something is nearer to its end.
    pub(super) got_on: bool,
    /// Something is to be tried again.
    pub(super) again: Option<Again>,
}

/// What was in the way of a wish, and may not be the next time.
pub(super) struct Again {
    /// What its answer says while it is tried.
    waits_for: String,
    /// What it says when it was tried often enough.
    refused: String,
}

impl Engine {
    /// Takes in a worklist of a page: each wish once, for good. Whose wishes they are is proven before: by the folder
    /// that the page came through and what [`crate::worklist::proof`] says, or over the network by seal or session.
    pub fn receive(
        &mut self,
        origin: &Origin,
        list: &worklist::Worklist,
        now: Time,
    ) -> Result<(), EngineError> {
        let of_another_ledger = !list.page.is_empty() && !self.knows_page(&list.page);
        for item in &list.wishes {
            let new = if of_another_ledger {
                let why = "the page was made by another NAS, or before its memory was lost; \
                           open the newest page and press again";
                self.ledger.refuse(origin, item.id, Some(item), why, now)?
            } else {
                self.ledger.receive(origin, item, now)?
            };
            if new {
                log::info!("{origin} wishes: {} {}", item.action, item.path);
                self.stale = true;
            }
        }
        for diagnostic in &list.diagnostics {
            if let Some(id) = diagnostic.wish
                && self.ledger.refuse(origin, id, None, &diagnostic.problem.to_string(), now)?
            {
                self.stale = true;
            }
            log::warn!("{origin}: {}", show(diagnostic.to_string().as_bytes()));
        }
        self.wish_cursors.clear();
        Ok(())
    }

    /// Takes in a worklist that came over the network; what it returns from is on the disk.
    pub fn receive_now(
        &mut self,
        origin: &Origin,
        list: &worklist::Worklist,
        now: Time,
    ) -> Result<(), EngineError> {
        self.receive(origin, list, now)?;
        Ok(self.ledger.commit()?)
    }

    /// Fulfils wishes, those of a page in the order of their arrival; `true` when some are left for
    /// the next turn. Every page has its turn, so that one with ten thousand wishes, or with one for
    /// a million files, holds up no other.
    pub(super) fn fulfil(&mut self, now: Time) -> Result<bool, EngineError> {
        let origins = self.ledger.origins_with_open_wishes()?;
        let most = (GROUP / origins.len().max(1)).max(1);
        let mut more = false;
        for origin in &origins {
            more |= self.fulfil_some(origin, most, now)?;
        }
        Ok(more)
    }

    /// Fulfils up to `most` wishes of a page; `true` when some are left for the next turn.
    fn fulfil_some(
        &mut self,
        origin: &Origin,
        most: usize,
        now: Time,
    ) -> Result<bool, EngineError> {
        let after = self.wish_cursors.get(origin).copied().unwrap_or(0);
        let mut group = self.ledger.open_wishes(origin, after, most)?;
        self.begin(&mut group, now)?;
        for entry in &group {
            let unfinished = self.fulfil_one(entry, now)?;
            let done_with = if unfinished { entry.seq - 1 } else { entry.seq };
            self.wish_cursors.insert(origin.clone(), done_with);
            if unfinished {
                return Ok(true);
            }
        }
        if group.len() == most {
            return Ok(true);
        }
        // Those that wait are looked at again in the next turn; at once, if some were not looked at in
        // this one, for it may have brought what they wait for.
        self.wish_cursors.remove(origin);
        Ok(after > 0)
    }

    /// Marks what can't be done twice before anything is done for it; the mark is on the disk first. What such a
    /// wish leaves open is decided with it, so that it means the same when it is repeated after a cut.
    pub(super) fn begin(&mut self, group: &mut [Entry], now: Time) -> Result<(), EngineError> {
        let mut marked = false;
        for entry in group {
            if entry.begun || entry.wish.action.is(Trait::Repeatable) {
                continue;
            }
            if let Some(meant) = self.meant(&entry.wish, now)? {
                entry.wish.with = Some(meant);
                self.ledger.amend_wish(entry.seq, &entry.wish)?;
            }
            self.ledger.begin_wish(entry.seq)?;
            marked = true;
        }
        if marked {
            self.settle_down()?;
        }
        Ok(())
    }

    /// Which one a wish means that names none: the newest version or share of its path.
    fn meant(&mut self, wish: &Wish, now: Time) -> Result<Option<String>, EngineError> {
        Ok(match wish.action {
            Action::Undo if wish.with.is_none() => self.world.newest_version(&wish.path),
            Action::Revoke => share_meant(&self.world, wish),
            Action::RevokeShare | Action::DestroyFolder => {
                let name = joined_meant(&self.world, wish);
                if let Some(name) = &name {
                    self.take_in_last(name, now)?;
                }
                name
            }
            _ => None,
        })
    }

    /// One wish, or a part of it; `true` when there is more of it to do.
    fn fulfil_one(&mut self, entry: &Entry, now: Time) -> Result<bool, EngineError> {
        let Entry { seq, origin, wish: item, begun } = entry;
        let attempt = if *begun { Attempt::Again } else { Attempt::First };
        if matches!(item.action, Action::ShareFolder | Action::RevokeShare) {
            self.look_at_names_in_shared()?;
        }
        let planned = wish(&self.world, &self.config, origin, item, attempt, now);
        let Went { got_on, again } = self.carry_out(entry, &planned.ops, now)?;
        // Without a step forward the same would be planned for ever.
        if again.is_none() && planned.more && (got_on || !self.wish_causes.contains_key(seq)) {
            self.ledger.begin_wish(*seq)?;
            // What a share is called is on the disk before anything has that name.
            if planned.ops.iter().any(|op| matches!(op, Op::Note(Fact::Share(..)))) {
                self.settle_down()?;
            }
            return Ok(true);
        }
        let fell_short = match again {
            Some(again) => Some(self.try_again(entry, again)?),
            None => self
                .wish_causes
                .get(seq)
                .map(|(number, first)| Answer::Refused(first.clone() + &and_more(number - 1))),
        };
        if matches!(fell_short, Some(Answer::Refused(_))) && item.action.is(Trait::Publishes) {
            self.give_share_up(origin, item.id, now)?;
        }
        self.say(entry, fell_short.unwrap_or(planned.answer))?;
        Ok(false)
    }

    /// Carries out what was planned for a wish, as far as it goes.
    pub(super) fn carry_out(
        &mut self,
        entry: &Entry,
        ops: &[Op],
        now: Time,
    ) -> Result<Went, EngineError> {
        let action = entry.wish.action;
        let mut went = Went { got_on: false, again: None };
        for op in ops {
            let done = match self.act(op, now) {
                Err(EngineError::Fs(e)) if e.trouble() == Some(Trouble::NoInodes) => {
                    // The page can't be written either: whoever asks the ledger is told.
                    let what = "the drive to hold one more file: it has space, but no inodes left; remove some files \
                                or empty folders";
                    let answer = Answer::Waiting(what.into());
                    self.remember(&Fact::Answer(entry.origin.clone(), entry.wish.id, answer))?;
                    self.settle_down()?;
                    return Err(e.into());
                }
                done => done?,
            };
            if done {
                // A folder that is there already counts as made: nothing is nearer to its end by it.
                went.got_on |= !matches!(op, Op::Note(_) | Op::MakeDir(_));
                continue;
            }
            // What could not be carried over is when the folder is out.
            if action.is(Trait::NeverWaits) {
                continue;
            }
            self.note_obstacle(entry.seq, op, &mut went);
            if let Op::Unlink { at, .. }
            | Op::Link { to: at, .. }
            | Op::Replace { at, .. }
            | Op::Release { at, .. } = op
                && let Some(name) = self.world.holder_at(at)
            {
                self.dirty.entry(name).or_insert(0);
            }
            // Nothing is linked for which no room was made.
            if let Op::Evict { device, path, .. } = op {
                self.dirty.entry((device.clone(), path.clone())).or_insert(0);
                break;
            }
            if action.is(Trait::InOrder) {
                break;
            }
        }
        Ok(went)
    }

    /// Notes why an operation of a wish was not done: what will not change by itself is counted, anything else is
    /// tried again.
    fn note_obstacle(&mut self, seq: i64, op: &Op, went: &mut Went) {
        match self.met.take() {
            Some(Obstacle { what, lasting: Lasting::Stays }) => {
                self.wish_causes.entry(seq).or_insert((0, what)).0 += 1;
            }
            Some(Obstacle { what, lasting: Lasting::Perhaps }) => {
                went.again =
                    Some(Again { waits_for: format!("another try: {what}"), refused: what });
            }
            _ => {
                let kept = "it kept changing while Larder worked";
                went.again = Some(Again {
                    waits_for: format!("a file that was changing ({op})"),
                    refused: format!("{kept} ({op}); try again later"),
                });
            }
        }
    }

    /// The answer to a wish that is tried again, or was often enough.
    fn try_again(&mut self, entry: &Entry, again: Again) -> Result<Answer, EngineError> {
        self.ledger.begin_wish(entry.seq)?;
        let tries = self.wish_tries.entry(entry.seq).or_insert(0);
        *tries += 1;
        Ok(if *tries < TRIES {
            Answer::Waiting(again.waits_for)
        } else {
            Answer::Refused(again.refused)
        })
    }

    /// Answers a wish. What it waits for is written once.
    fn say(&mut self, entry: &Entry, answer: Answer) -> Result<(), EngineError> {
        let Entry { seq, origin, wish: item, .. } = entry;
        if let Answer::Waiting(what) = &answer {
            if self.waiting.get(seq) == Some(what) {
                return Ok(());
            }
            self.waiting.insert(*seq, what.clone());
        } else {
            self.waiting.remove(seq);
            self.wish_tries.remove(seq);
            self.wish_causes.remove(seq);
            log::info!("{origin}: {}", Fact::Answer(origin.clone(), item.id, answer.clone()));
        }
        self.remember(&Fact::Answer(origin.clone(), item.id, answer))
    }

    /// Brings every device down to its quota: after the settings changed, and when devices made
    /// files of their own.
    pub(super) fn keep_quotas(&mut self, now: Time) -> Result<(), EngineError> {
        for device in self.devices().into_iter().map(Holder::Device) {
            if self.world.is_untold(&device) {
                // What was said of it stays said.
                continue;
            }
            let quota = self.config.quota(&device);
            let key = format!("quota {device}");
            let (going, short) = enforce_quota(&self.world, &device, quota);
            for op in evict(&self.world, &device, &going) {
                self.act(&op, now)?;
            }
            if !going.is_empty() {
                log::info!("{} files made room on {device}", going.len());
            }
            let Some(short) = short else {
                self.clear_notice(&key);
                continue;
            };
            let used = self.world.replicas.get(&device).map_or(Bytes(0), Replica::used);
            let what = format!("{device} holds {used}, more than it may: {short}");
            let next = if short.pinned.0 > 0 {
                "nothing else is removed: unpin something on its page, or raise the quota in \
                 larder.toml"
            } else {
                "nothing else is removed; it goes down by itself as soon as that is done, or raise \
                 the quota in larder.toml"
            };
            self.raise_notice(&key, Condition::Attention, now, what, next);
        }
        Ok(())
    }
}
