//! What the supervisor says of its state: condition, notices and the drive in words. Pure.

use super::{Drive, Machine, Unprepared, key};
use crate::drive::decision::{Advice, Choice, NotCopied};
use crate::drive::import::Progress;
use crate::drive::ownership::Given;
use crate::model::Time;
use crate::status::{Condition, Notice, Report};

/// What was made ours on a drive, if anything is to be told of it.
pub(super) fn given(given: &Given) -> Option<Advice> {
    if given.is_nothing() {
        return None;
    }
    let mut what = Vec::new();
    if given.number > 0 {
        what.push(format!(
            "{} files and folders on the drive belonged to somebody else and are Larder's now, the first is {}",
            given.number, given.first
        ));
    }
    if given.unfinished {
        what.push("not all could be looked at in the time for it".into());
    }
    if given.refused > 0 {
        what.push(format!(
            "{} can't be given: they are protected against changes, or the drive can't read or write them",
            given.refused
        ));
    }
    let next = match (given.refused, given.unfinished) {
        (0, false) => "Nothing.",
        (0, true) => "Nothing: the next start goes on with the rest.",
        _ => {
            "Take the protection away on a computer (chattr -R -i -a BTsync) and let it check the drive, then plug it in again."
        }
    };
    let what = format!("{}.", what.join("; "));
    Some(Advice { condition: Condition::Ready, what, next: next.into() })
}

impl Machine {
    /// How things are, for LED and STATUS.txt. `wall` is the time by the house's clock.
    pub fn report(&mut self, wall: Time) -> Report {
        let mut report = self.report.clone().unwrap_or_default();
        let own = self.own_advice();
        self.since.retain(|what, _| own.iter().any(|advice| advice.what == *what));
        let own = own.into_iter().map(|advice| Notice {
            at: *self.since.entry(advice.what.clone()).or_insert(wall),
            condition: advice.condition,
            what: advice.what,
            next: advice.next,
        });
        let mut notices: Vec<Notice> = own.collect();
        notices.append(&mut report.notices);
        notices.sort_by_key(|notice| std::cmp::Reverse(notice.condition));
        let worst = notices.iter().map(|notice| notice.condition).max().unwrap_or_default();
        report.condition = self.base(worst).max(worst);
        report.notices = notices;
        report.version = env!("CARGO_PKG_VERSION").into();
        report.drive = self.drive_words();
        if report.device_id.is_none() {
            report.device_id = self.last_identity();
        }
        report
    }

    /// The device id that was heard last, unless another drive is in use: it may have another one.
    fn last_identity(&self) -> Option<String> {
        let (uuid, id) = self.identity.as_ref()?;
        let same = match &self.drive {
            Drive::Mounted(choice) => choice.uuid == *uuid,
            _ => true,
        };
        same.then(|| id.clone())
    }

    /// What holds apart from the notices.
    fn base(&self, worst: Condition) -> Condition {
        let down = self.stopping || self.ejected;
        match &self.drive {
            Drive::None if down => Condition::StoppedSafely,
            Drive::None if self.present.is_none() || self.probing => Condition::Starting,
            // A drive that is spoken of need not be waited for.
            Drive::None if worst > Condition::Starting => worst,
            Drive::None => Condition::WaitingForDrive,
            Drive::Preparing(_) | Drive::Formatting { .. } => Condition::Starting,
            Drive::Leaving { gone: true, .. } => Condition::WaitingForDrive,
            Drive::Leaving { .. } => Condition::Starting,
            Drive::Mounted(_) => {
                self.report.as_ref().map_or(Condition::Starting, |report| report.condition)
            }
        }
    }

    fn own_advice(&self) -> Vec<Advice> {
        let mut all: Vec<Advice> = Vec::new();
        if self.stopping || self.ejected {
            return all;
        }
        all.extend(self.aside.iter().filter_map(|(_, why)| why.clone()));
        all.extend(self.told.clone());
        all.extend(self.given.clone());
        all.extend(self.format_done.clone());
        all.extend(self.advice.iter().cloned());
        // The engine reads the whole file and says it better.
        if self.report.is_none() {
            all.extend(self.complaints.iter().cloned());
        }
        if let Some((choice, progress)) = &self.import {
            all.push(Advice {
                condition: Condition::Ready,
                what: format!("Copying the files of {}: {}", choice.words, imported(progress)),
                next: "Leave both drives plugged in.".into(),
            });
        }
        all.extend(self.imports_ended());
        if self.released {
            all.push(Advice {
                condition: Condition::DriveFull,
                what: "The Larder drive is full. Larder keeps its own records in a small reserve; nothing else fits."
                    .into(),
                next: "Make room: destroy on the page what nobody needs, or move it away. Larder goes on by itself."
                    .into(),
            });
        }
        if self.failures >= 3 {
            all.push(Advice {
                condition: Condition::Attention,
                what: format!("The engine ended {} times in a row.", self.failures),
                next: "It is started again and again. Switch off and on; if it stays, look at the \
                       log (ssh, `logread`) or flash a newer image."
                    .into(),
            });
        }
        all
    }

    /// One advice for each drive that something was imported from, when all of it has ended.
    fn imports_ended(&self) -> Vec<Advice> {
        let mut drives: Vec<(String, u64)> = Vec::new();
        for (choice, ..) in &self.imported {
            if !drives.contains(&key(choice)) {
                drives.push(key(choice));
            }
        }
        let ended = |choice: &Choice| self.imported.iter().any(|(done, ..)| done == choice);
        drives.retain(|drive| {
            let mut all = self.to_import.iter().filter(|choice| key(choice) == *drive);
            all.all(ended)
        });
        let each = drives.iter().map(|drive| {
            let parts: Vec<_> = self.imported.iter().filter(|(c, ..)| key(c) == *drive).collect();
            let beside = |left: &&NotCopied| (&left.disk, left.sequence) == (&drive.0, drive.1);
            let beside: Vec<_> = self.not_copied.iter().filter(beside).collect();
            imports_ended(&parts, &beside)
        });
        each.flatten().collect()
    }

    fn drive_words(&self) -> String {
        match &self.drive {
            Drive::None => "none in use".into(),
            Drive::Preparing(choice) => format!("{}: being checked", choice.words),
            Drive::Formatting { words, .. } => format!("{words}: being formatted"),
            Drive::Mounted(choice) => format!("{}: in use", choice.words),
            Drive::Leaving { gone: true, .. } => "unplugged".into(),
            Drive::Leaving { choice, .. } => {
                format!("{}: stopping, do not unplug yet", choice.words)
            }
        }
    }
}

/// Counted in hundreds, so that STATUS.txt does not change with every file.
fn imported(progress: &Progress) -> String {
    let done = progress.copied + progress.known;
    if done < 100 { "begun.".into() } else { format!("more than {} files done.", done / 100 * 100) }
}

/// What is said of a drive from which nothing more is to be copied. Only here it may be said that the drive can be
/// taken away, and never where something of it was not copied. STATUS.txt cuts long words: a list is several pieces.
fn imports_ended(parts: &[&(Choice, Progress, bool)], beside: &[&NotCopied]) -> Vec<Advice> {
    let whole = |part: &(Choice, Progress, bool)| part.2 && part.1.skipped == 0;
    let (harmless, left): (Vec<&NotCopied>, Vec<&NotCopied>) =
        beside.iter().partition(|left| left.next.is_empty());
    let all = left.is_empty() && parts.iter().all(|part| whole(part));
    let harmless: Vec<String> = harmless
        .iter()
        .map(|left| format!(" Not copied from it: {}: {}.", left.words, left.why))
        .collect();
    let mut told = Vec::new();
    for part in parts {
        let next = if all {
            format!(
                "Unplug that drive, and take `import = true` out of larder.toml.{}",
                harmless.concat()
            )
        } else if part.1.too_large.0 > 0 {
            "Keep that drive as it is. Make room on the Larder drive, or use a larger one, and plug that drive in again: \
             nothing is copied twice."
                .into()
        } else if !part.2 {
            "Keep that drive as it is, and plug it in again: it goes on where it stopped.".into()
        } else {
            format!(
                "Keep that drive as it is until you have what was not copied, too.{}",
                harmless.concat()
            )
        };
        let condition = if all { Condition::Ready } else { Condition::Attention };
        told.push(Advice { condition, what: import_ended(part), next });
        told.extend(left_out(part));
    }
    told.extend(left.iter().map(|left| Advice {
        condition: Condition::Attention,
        what: format!("NOT copied from that drive: {}: {}.", left.words, left.why),
        next: left.next.clone(),
    }));
    told
}

/// The files that were left out, by name, as far as they are known by name.
fn left_out((choice, progress, _): &(Choice, Progress, bool)) -> Vec<Advice> {
    /// Characters of one piece.
    const WORDS: usize = 200;
    let mut pieces: Vec<String> = Vec::new();
    for file in &progress.told {
        match pieces.last_mut() {
            Some(piece) if piece.chars().count() + file.chars().count() < WORDS => {
                *piece += &format!("; {file}");
            }
            _ => pieces.push(file.clone()),
        }
    }
    let more = progress.skipped.saturating_sub(progress.told.len() as u64);
    if let Some(piece) = pieces.last_mut().filter(|_| more > 0) {
        *piece += &format!("; and {more} more");
    }
    let advice = |piece: String| Advice {
        condition: Condition::Attention,
        what: format!("NOT copied from {}: {piece}.", choice.short()),
        next: String::new(),
    };
    pieces.into_iter().map(advice).collect()
}

fn import_ended((choice, progress, well): &(Choice, Progress, bool)) -> String {
    let Progress { copied, known, skipped, too_large, bytes, stopped, .. } = progress;
    let (words, bytes) = (&choice.words, crate::model::Bytes(*bytes));
    if *well && *skipped == 0 {
        return format!(
            "The files of {words} are on the Larder drive: {copied} copied ({bytes}), {known} were \
             there already or were copied earlier."
        );
    }
    let end = if *well { "ended" } else { "stopped" };
    let mut said = format!("Copying the files of {words} {end} after {copied} ({bytes}).");
    if *skipped > 0 {
        said += &format!(" {skipped} files or folders were NOT copied.");
    }
    if too_large.0 > 0 {
        let (files, bytes) = (too_large.0, crate::model::Bytes(too_large.1));
        said += &format!(" For {files} of them ({bytes}) there is no room.");
    }
    if let Some(why) = stopped {
        said += &format!(" The reason: {why}.");
    }
    said
}

/// Of a drive that could not be taken.
pub(super) fn not_prepared(choice: &Choice, unprepared: &Unprepared) -> Advice {
    let Unprepared { why, full } = unprepared;
    if *full {
        return Advice {
            condition: Condition::DriveFull,
            what: format!(
                "{} is full: there is not even room for what Larder needs to begin with.",
                choice.words
            ),
            next: "Plug it into a computer and make some room there: move away or delete what you do not need, a \
                   hundred MB or more. Then plug it in here again. The files on it are as they were."
                .into(),
        };
    }
    Advice {
        condition: Condition::DriveUnusable,
        what: format!("{} can't be used: {why}.", choice.words),
        next: "Unplug it and plug it in again. If that does not help, have it checked \
               on a Linux computer (e2fsck, xfs_repair, btrfs check)."
            .into(),
    }
}
