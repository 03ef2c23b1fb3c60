//! What the owner is told: each thing once, until it is over.

use super::settle::STUCK;
use super::{Engine, EngineError};
use crate::model::{Holder, Place, RelPath, Time};
use crate::plan::{Fact, Op, on};
use crate::status::{Condition, Notice};
use crate::watch::Names;

/// The notice about those that ask.
pub(super) const ASKING: &str = "asking";

/// Said after the first of several.
pub(super) fn and_more(others: usize) -> String {
    match others {
        0 => String::new(),
        n => format!(" (and {n} more)"),
    }
}

/// What is the matter, and the next step, of a text that says both.
pub(super) fn halves(text: &str) -> (&str, &str) {
    text.split_once("; ").unwrap_or((text, "it is tried again"))
}

impl Engine {
    /// Tells the owner something, once per key until it is untold.
    pub(super) fn raise_notice(
        &mut self,
        key: &str,
        condition: Condition,
        at: Time,
        what: impl Into<String>,
        next: impl Into<String>,
    ) {
        let notice = Notice { at, condition, what: what.into(), next: next.into() };
        let same = |old: &Notice| old.what == notice.what && old.next == notice.next;
        if !self.notices.get(key).is_some_and(same) {
            self.notices.insert(key.to_owned(), notice);
            self.stale = true;
        }
    }

    pub(super) fn clear_notice(&mut self, key: &str) {
        if self.notices.remove(key).is_some() {
            self.stale = true;
        }
    }

    /// Sets what the settings are complained of.
    pub fn complain(&mut self, complaints: &[crate::config::Complaint], now: Time) {
        match complaints {
            [] => self.clear_notice("settings"),
            [first, rest @ ..] => {
                let more = and_more(rest.len());
                let what = format!("larder.toml, line {}: {}{more}", first.line, first.what);
                let next = match first.spares_the_rest {
                    true => first.next.clone(),
                    false => format!("{}; until then the last good settings stay", first.next),
                };
                self.raise_notice("settings", Condition::SettingsError, now, what, next);
            }
        }
    }

    /// Tells of folders in a place that can't be read.
    pub(super) fn tell_blind(&mut self, key: &str, place: &str, folders: usize, now: Time) {
        let key = format!("blind {key}");
        if folders == 0 {
            self.clear_notice(&key);
            return;
        }
        let what = format!("{folders} folders in {place} can't be read");
        let next = "their owner or mode is wrong; what is in them is left as it is";
        self.raise_notice(&key, Condition::Attention, now, what, next);
    }

    /// Looks again at masters that could not be looked at: nobody tells when their folder may be read again.
    pub(super) fn look_at_unseen(&mut self, all: bool, now: Time) -> Result<(), EngineError> {
        let due = |tried: &Time| all || !(0..STUCK).contains(&now.since(*tried));
        let unseen = self.unreadable_files.iter().filter(|(_, (tried, _))| due(tried));
        let paths: Vec<RelPath> = unseen.map(|(path, _)| path.clone()).collect();
        for path in paths {
            let (Some(folder), Some(name)) = (path.parent(), path.name()) else { continue };
            self.look_home(&folder, &Names::Some([name.to_vec()].into()), now)?;
        }
        Ok(())
    }

    /// Tells of masters that can't be looked at.
    pub(super) fn tell_unseen(&mut self, now: Time) {
        let Some((_, why)) = self.unreadable_files.values().next() else {
            self.clear_notice("look");
            return;
        };
        let (why, next) = halves(why);
        let what = format!("{why}{}", and_more(self.unreadable_files.len() - 1));
        let next = format!("it is left as it is; {next}");
        self.raise_notice("look", Condition::Attention, now, what, next);
    }

    /// Tells of names that can't be taken in.
    pub(super) fn tell_stuck(&mut self, now: Time) {
        // One with a cause says more.
        let first = self.failed.iter().find(|(_, (_, why))| why.is_some());
        let Some(((device, path), (_, why))) = first.or_else(|| self.failed.iter().next()) else {
            self.clear_notice("reconcile");
            return;
        };
        let more = and_more(self.failed.len() - 1);
        let what = format!("{}{more} can't be taken in", on(device, path));
        let (what, next) = match why.as_deref().map(halves) {
            Some((why, next)) => (format!("{what}: {why}"), next.to_owned()),
            None => (what, "see that nothing else of that name is in BTsync/files".to_owned()),
        };
        self.raise_notice("reconcile", Condition::Attention, now, what, next);
    }

    /// Says in the log what a device did.
    pub(super) fn tell_what_happened(&self, device: &Holder, path: &RelPath, ops: &[Op]) {
        for op in ops {
            match op {
                Op::Link { from, to, .. } if to.place == Place::Files => {
                    log::info!("{device} brought {} ({from})", to.path);
                }
                Op::Replace { at, .. } if at.place == Place::Files => {
                    log::info!("{device} changed {path}; the old version is kept");
                }
                Op::Note(Fact::NoLink(..)) => log::info!("{device} let go of {path}"),
                _ => {}
            }
        }
    }
}
