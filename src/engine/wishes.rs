//! Wishes: read from the pages, remembered before anything else, fulfilled once.

use super::notices::and_more;
use super::obstacles::{Lasting, Obstacle};
use super::{Engine, EngineError, TRIES};
use crate::fs::Trouble;
use crate::ledger::Entry;
use crate::model::{Action, Answer, Bytes, Origin, Time, show};
use crate::plan::{Attempt, Fact, Holding, Op, come_down, evict, joined_meant, share_meant, wish};
use crate::status::Condition;
use crate::worklist;

/// So many wishes are fulfilled between two looks at the drive, those of all pages together; of each
/// page at least one.
const GROUP: usize = 256;

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
        // What can't be done twice is marked before it is begun, and the mark is on the disk.
        let mut marked = false;
        for entry in &mut group {
            let once = !matches!(entry.wish.action, Action::Get | Action::Open | Action::Mkdir);
            if once && !entry.begun {
                if entry.wish.action == Action::Undo && entry.wish.with.is_none() {
                    // Done again after a cut, the newest version would be another one.
                    entry.wish.with = self.world.newest_version(&entry.wish.path);
                    self.ledger.amend_wish(entry.seq, &entry.wish)?;
                }
                if entry.wish.action == Action::Revoke
                    && let Some(name) = share_meant(&self.world, &entry.wish)
                {
                    entry.wish.with = Some(name);
                    self.ledger.amend_wish(entry.seq, &entry.wish)?;
                }
                if matches!(entry.wish.action, Action::RevokeShare | Action::DestroyFolder)
                    && let Some(name) = joined_meant(&self.world, &entry.wish)
                {
                    self.take_in_last(&name, now)?;
                    entry.wish.with = Some(name);
                    self.ledger.amend_wish(entry.seq, &entry.wish)?;
                }
                self.ledger.begin_wish(entry.seq)?;
                marked = true;
            }
        }
        if marked {
            self.settle_down()?;
        }
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

    /// One wish, or a part of it; `true` when there is more of it to do.
    fn fulfil_one(&mut self, entry: &Entry, now: Time) -> Result<bool, EngineError> {
        let Entry { seq, origin, wish: item, begun } = entry;
        let attempt = if *begun { Attempt::Again } else { Attempt::First };
        if matches!(item.action, Action::ShareFolder | Action::RevokeShare) {
            self.look_at_names_in_shared()?;
        }
        let planned = wish(&self.world, &self.config, origin, item, attempt, now);
        let (mut moved, mut got_on) = (None, false);
        for op in &planned.ops {
            let done = match self.act(op, now) {
                Err(EngineError::Fs(e)) if e.trouble() == Some(Trouble::NoInodes) => {
                    // The page can't be written either: whoever asks the ledger is told.
                    let what = "the drive to hold one more file: it has space, but no inodes left; remove some files \
                                or empty folders";
                    let answer = Answer::Waiting(what.into());
                    self.remember(&Fact::Answer(origin.clone(), item.id, answer))?;
                    self.settle_down()?;
                    return Err(e.into());
                }
                done => done?,
            };
            // A revoke waits for nobody; what could not be carried over is when the folder is out.
            if done {
                // A folder that is there already counts as made: nothing is nearer to its end by it.
                got_on |= !matches!(op, Op::Note(_) | Op::MakeDir(_));
            } else if item.action != Action::RevokeShare {
                match self.met.take() {
                    Some(Obstacle { what, lasting: Lasting::Stays }) => {
                        self.wish_causes.entry(*seq).or_insert((0, what)).0 += 1;
                    }
                    Some(Obstacle { what, lasting: Lasting::Perhaps }) => {
                        moved = Some((format!("another try: {what}"), what));
                    }
                    _ => {
                        let changing = format!("a file that was changing ({op})");
                        let kept = "it kept changing while Larder worked";
                        moved = Some((changing, format!("{kept} ({op}); try again later")));
                    }
                }
                if let Op::Unlink { at, .. }
                | Op::Link { to: at, .. }
                | Op::Replace { at, .. }
                | Op::Release { at, .. } = op
                    && let Some(name) = self.world.holder_at(at)
                {
                    self.dirty.entry(name).or_insert(0);
                }
                // What comes first in these is what the rest relies on; nothing is linked for which
                // no room was made.
                if let Op::Evict { device, path, .. } = op {
                    self.dirty.entry((device.clone(), path.clone())).or_insert(0);
                    break;
                }
                if matches!(
                    item.action,
                    Action::Move
                        | Action::Destroy
                        | Action::Undo
                        | Action::Share
                        | Action::Allow
                        | Action::KeepMine
                        | Action::ShareFolder
                        | Action::DestroyFolder
                ) {
                    break;
                }
            }
        }
        let answer = match moved {
            Some((waits_for, refused)) => {
                self.ledger.begin_wish(*seq)?;
                let tries = self.wish_tries.entry(*seq).or_insert(0);
                *tries += 1;
                if *tries < TRIES {
                    Answer::Waiting(waits_for)
                } else {
                    if matches!(item.action, Action::Share | Action::ShareFolder) {
                        self.give_share_up(origin, item.id, now)?;
                    }
                    Answer::Refused(refused)
                }
            }
            // Without a step forward the same would be planned for ever.
            None if planned.more && (got_on || !self.wish_causes.contains_key(seq)) => {
                self.ledger.begin_wish(*seq)?;
                // What a share is called is on the disk before anything has that name.
                if planned.ops.iter().any(|op| matches!(op, Op::Note(Fact::Share(..)))) {
                    self.settle_down()?;
                }
                return Ok(true);
            }
            None => match self.wish_causes.get(seq) {
                None => planned.answer,
                Some((number, first)) => {
                    let text = first.clone() + &and_more(number - 1);
                    if matches!(item.action, Action::Share | Action::ShareFolder) {
                        self.give_share_up(origin, item.id, now)?;
                    }
                    Answer::Refused(text)
                }
            },
        };
        if let Answer::Waiting(what) = &answer {
            if self.waiting.get(seq) == Some(what) {
                return Ok(false);
            }
            self.waiting.insert(*seq, what.clone());
        } else {
            self.waiting.remove(seq);
            self.wish_tries.remove(seq);
            self.wish_causes.remove(seq);
            log::info!("{origin}: {}", Fact::Answer(origin.clone(), item.id, answer.clone()));
        }
        self.remember(&Fact::Answer(origin.clone(), item.id, answer))?;
        Ok(false)
    }

    /// Brings every device down to its quota: after the settings changed, and when devices made
    /// files of their own.
    pub(super) fn keep_quotas(&mut self, now: Time) -> Result<(), EngineError> {
        for device in self.devices() {
            if self.world.is_untold(&device) {
                // What was said of it stays said.
                continue;
            }
            let quota = self.config.devices.get(&device).and_then(|d| d.quota);
            let key = format!("quota {device}");
            let (going, short) = come_down(&self.world, &device, quota);
            for op in evict(&self.world, &device, &going) {
                self.act(&op, now)?;
            }
            if !going.is_empty() {
                log::info!("{} files made room on {device}", going.len());
            }
            let Some(short) = short else {
                self.untell(&key);
                continue;
            };
            let used = self.world.devices.get(&device).map_or(Bytes(0), Holding::used);
            let what = format!("{device} holds {used}, more than it may: {short}");
            let next = if short.pinned.0 > 0 {
                "nothing else is removed: unpin something on its page, or raise the quota in \
                 larder.toml"
            } else {
                "nothing else is removed; it goes down by itself as soon as that is done, or raise \
                 the quota in larder.toml"
            };
            self.tell(&key, Condition::Attention, now, what, next);
        }
        Ok(())
    }
}
