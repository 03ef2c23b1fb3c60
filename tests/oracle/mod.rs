//! An oracle that is independent of the engine: it reads a drive, its ledger and what a test recorded, and says
//! what must be there and is not. It shares no code with the engine and imports nothing of it; what it knows stands
//! in the design. It only reads.
//!
//! Take it into a test with `#[path = "oracle/mod.rs"] mod oracle;`. A test records what happens in a [`History`] and
//! ends with [`judge`], which returns the violations in words. `main.rs` beside this proves that each rule can fail.

// Each program of tests uses its part of it.
#![allow(dead_code, unused_imports)]

mod contents;
mod disk;
mod history;
mod holders;
mod layout;
mod ledger;
mod local;
mod page;
mod pages;
mod shares;
mod snapshot;
mod versions;
mod wanted;

pub(crate) use disk::Disk;
pub(crate) use history::History;
pub(crate) use ledger::Ledger;
pub(crate) use snapshot::{DriveView, Facts, Hash, Snapshot, What, sum};
use std::collections::BTreeMap;
use std::fmt;

/// Which rule is violated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A content that was acknowledged has no name where it may have one.
    Lost,
    /// Something that was asked to go, and was answered as gone, is there.
    NotGone,
    /// A device's folder has a name that it should not have.
    Foreign,
    /// A device's folder lacks a name that it should have.
    Missing,
    /// A name on a device is a copy, or an inode of its own, and not the link that was recorded.
    NotTheLink,
    /// A link on a device is not the inode of its master.
    NotTheMaster,
    /// A device holds more than its quota, and something may go.
    Quota,
    /// A version is recorded and its file is not there, or is another.
    VersionMissing,
    /// A file lies among the versions and is not recorded.
    VersionStray,
    /// The moment of a version makes no sense, or the page tells another one or none.
    VersionDate,
    /// A share lacks what it was made of.
    ShareMissing,
    /// A share has a name, or a content, that was not shared.
    ShareForeign,
    /// A page is missing or not whole.
    PageBroken,
    /// A page does not list exactly the masters.
    PageList,
    /// A page tells another state of a file on a device than the drive has.
    PageState,
    /// The generation of a page went back, or a changed page kept it.
    PageGeneration,
    /// An answer that was given is no longer known.
    Answer,
    /// A name lies outside the layout of the drive.
    Outside,
    /// Something is left over in `tmp`.
    LeftOver,
    /// The ledger can't be read.
    Ledger,
}

/// One violation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Violation {
    /// Of which rule.
    pub(crate) kind: Kind,
    /// What is the matter, naming the thing.
    pub(crate) what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.what)
    }
}

/// How a device is charged for what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Charging {
    /// Every name in full, as the design says.
    Name,
    /// Every content once, however many names it has on the device.
    Content,
}

/// What the rules find.
pub(crate) struct Verdict(Vec<Violation>);

impl Verdict {
    fn find(&mut self, kind: Kind, what: impl Into<String>) {
        self.0.push(Violation { kind, what: what.into() });
    }
}

/// Everything that is held against the rules.
pub(crate) struct Case<'a> {
    pub(crate) drive: &'a Snapshot<'a>,
    pub(crate) ledger: &'a Ledger,
    pub(crate) history: &'a History,
    /// The devices of the settings and those that were let in, with their quotas.
    pub(crate) devices: BTreeMap<String, Option<u64>>,
}

/// Judges a drive on which nothing is left to do. `ledger` is the path of the database.
pub(crate) fn judge(
    view: &dyn DriveView,
    ledger: &std::path::Path,
    history: &History,
) -> Vec<Violation> {
    let mut verdict = Verdict(Vec::new());
    let drive = &Snapshot::of(view);
    match Ledger::read(ledger) {
        Err(why) => {
            verdict.find(Kind::Ledger, format!("the ledger can't be read: {why}"));
            contents::judge(drive, None, history, &mut verdict);
        }
        Ok(ledger) => {
            contents::judge(drive, Some(&ledger), history, &mut verdict);
            let mut devices = history.devices.clone();
            for paired in &ledger.paired {
                devices.entry(paired.clone()).or_default();
            }
            let case = &Case { drive, ledger: &ledger, history, devices };
            layout::judge(case, &mut verdict);
            holders::judge(case, &mut verdict);
            wanted::judge(case, &mut verdict);
            versions::judge(case, &mut verdict);
            shares::judge(case, &mut verdict);
            pages::judge(case, &mut verdict);
        }
    }
    let mut found = verdict.0;
    found.sort();
    found.dedup();
    found
}

/// Judges what must hold at every moment, whatever is still to be done: no content is lost.
pub(crate) fn judge_contents(drive: &Snapshot<'_>, history: &History) -> Vec<Violation> {
    let mut verdict = Verdict(Vec::new());
    contents::judge(drive, None, history, &mut verdict);
    verdict.0
}

/// Bytes as text for a complaint.
fn show(path: &[u8]) -> String {
    path.escape_ascii().to_string()
}

/// A path below a folder; just the folder when there is nothing below.
fn below(folder: &[u8], path: &[u8]) -> Vec<u8> {
    match (folder.is_empty(), path.is_empty()) {
        (true, _) => path.to_vec(),
        (_, true) => folder.to_vec(),
        _ => [folder, b"/", path].concat(),
    }
}

/// What is left of a path behind a folder that it lies in, or is.
fn rest<'p>(path: &'p [u8], folder: &[u8]) -> Option<&'p [u8]> {
    if folder.is_empty() || path == folder {
        return Some(&path[folder.len()..]);
    }
    path.strip_prefix(folder)?.strip_prefix(b"/")
}

/// True when one of two paths is the other or lies in it.
fn touch(a: &[u8], b: &[u8]) -> bool {
    rest(a, b).is_some() || rest(b, a).is_some()
}
