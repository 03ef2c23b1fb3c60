//! What the supervisor says of its state: condition, notices and the drive in words. Pure.

use super::{Drive, Machine};
use crate::drive::decide::{Advice, Choice};
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
        what.push(format!("{} are protected against changes and can't be given", given.refused));
    }
    let next = match (given.refused, given.unfinished) {
        (0, false) => "Nothing.",
        (0, true) => "Nothing: the next start goes on with the rest.",
        _ => {
            "Take the protection away on a computer (chattr -R -i -a BTsync), then plug the drive in again."
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
        for (choice, progress, well) in &self.imported {
            all.push(import_ended(choice, progress, *well));
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

fn import_ended(choice: &Choice, progress: &Progress, well: bool) -> Advice {
    let Progress { copied, known, skipped, bytes, told, .. } = progress;
    let left = if told.is_empty() {
        String::new()
    } else {
        format!(" Left out: {skipped} ({}).", told.join("; "))
    };
    let bytes = crate::model::Bytes(*bytes);
    if well {
        Advice {
            condition: Condition::Ready,
            what: format!(
                "The files of {} are on the Larder drive: {copied} copied ({bytes}), {known} were \
                 there already.{left}",
                choice.words
            ),
            next: "Unplug that drive, and take `import = true` out of larder.toml.".into(),
        }
    } else {
        Advice {
            condition: Condition::Attention,
            what: format!(
                "Copying the files of {} stopped after {copied} ({bytes}).{left}",
                choice.words
            ),
            next: "See whether the Larder drive is full, then plug the other drive in again: it \
                   goes on where it stopped."
                .into(),
        }
    }
}
