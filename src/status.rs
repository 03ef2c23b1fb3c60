//! What the house tells the world about itself: one [`Report`] feeds the log, the LED, STATUS.txt
//! and the pages.
//!
//! [`text`] turns a report into what an owner reads, [`layout`] says which bytes make it a file
//! that survives a power cut at any moment (both pure), [`writer`] and [`fat`] put it there.

pub mod fat;
pub mod layout;
pub mod machine;
pub mod text;
pub mod writer;

use crate::model::{Bytes, DeviceName, Time};
use machine::Machine;
use serde::{Deserialize, Serialize};
use std::net::Ipv4Addr;

/// The one state that the LED shows. Ordered by urgency: of several that hold, the greatest shows.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
pub enum Condition {
    /// Everything is in order and nothing moves.
    #[default]
    Ready,
    /// Night work.
    Working,
    /// Bytes move to or from a device.
    Syncing,
    /// The page has no password yet, and who opens it now chooses one.
    Claimable,
    /// Starting up.
    Starting,
    /// No drive is plugged in.
    WaitingForDrive,
    /// The owner is asked something; the page and STATUS.txt say what.
    Attention,
    /// The settings have an error; the last good ones are in force.
    SettingsError,
    /// There is no room on the drive.
    DriveFull,
    /// The drive can't be used: wrong file system, damaged, read-only or failing.
    DriveUnusable,
    /// Stopped; the drive may be unplugged.
    StoppedSafely,
}

impl Condition {
    /// All conditions, the least urgent first.
    pub const ALL: [Self; 11] = [
        Self::Ready,
        Self::Working,
        Self::Syncing,
        Self::Claimable,
        Self::Starting,
        Self::WaitingForDrive,
        Self::Attention,
        Self::SettingsError,
        Self::DriveFull,
        Self::DriveUnusable,
        Self::StoppedSafely,
    ];

    /// Its name, as in reports and in the table of the LED.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Working => "working",
            Self::Syncing => "syncing",
            Self::Claimable => "claimable",
            Self::Starting => "starting",
            Self::WaitingForDrive => "waiting-for-drive",
            Self::Attention => "attention",
            Self::SettingsError => "settings-error",
            Self::DriveFull => "drive-full",
            Self::DriveUnusable => "drive-unusable",
            Self::StoppedSafely => "stopped-safely",
        }
    }
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that somebody should know.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Notice {
    /// Since when.
    pub at: Time,
    /// What the LED makes of it; `Ready` for something merely told.
    pub condition: Condition,
    /// What is the matter, naming the thing.
    pub what: String,
    /// What to do about it.
    pub next: String,
}

/// One device, as told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DeviceReport {
    /// Its name.
    pub name: DeviceName,
    /// What people call it.
    pub label: String,
    /// Bytes charged to it.
    pub used: Bytes,
    /// Its quota; `None` is no limit.
    pub quota: Option<Bytes>,
    /// How many files it holds.
    pub files: u64,
    /// When the sync engine last saw it, where there is one.
    pub last_seen: Option<Time>,
    /// It was let in on the page, and the settings do not know its id.
    #[serde(default)]
    pub let_in: bool,
}

/// Who may use the page over the network.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Door {
    /// Nobody knows: no drive is in use, or the page is not served.
    #[default]
    Unknown,
    /// The password stands in the settings.
    Settings,
    /// The password was chosen on the page.
    Chosen {
        /// When.
        at: Time,
        /// The address of whoever chose it.
        from: String,
    },
    /// There is none, and who opens the page now chooses it.
    Open,
    /// There is none, and it is too late to choose one.
    Closed,
}

/// The state of the house. What a line of JSON leaves out has its default.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// What the LED shows.
    pub condition: Condition,
    /// Version of Larder.
    pub version: String,
    /// Where the common page is served on the local network.
    pub address: Option<String>,
    /// This machine's number in the local network.
    pub number: Option<Ipv4Addr>,
    /// Who may use that page.
    pub door: Door,
    /// The sync engine's id of this NAS, to pair with.
    pub device_id: Option<String>,
    /// The drive, in words: label, size, state.
    pub drive: String,
    /// The drive failed or takes no writes any more: whoever supervises leaves it alone.
    pub drive_failed: bool,
    /// Free bytes on the drive, and its size.
    pub space: Option<(Bytes, Bytes)>,
    /// How many masters there are, and their bytes.
    pub files: (u64, Bytes),
    /// The devices.
    pub devices: Vec<DeviceReport>,
    /// What somebody should know, the most urgent first.
    pub notices: Vec<Notice>,
    /// How the hardware fares.
    pub machine: Machine,
}

impl Report {
    /// True when nothing is different that somebody should hear of: that the load changed alone is no news.
    pub fn says_the_same(&self, other: &Self) -> bool {
        *self == Self { machine: self.machine.clone(), ..other.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Load;

    #[test]
    fn a_changed_load_is_no_news() {
        let report = |load, files| Report {
            files: (files, Bytes(files)),
            machine: Machine { load: Some(Load(load)), ..Machine::default() },
            ..Report::default()
        };
        assert!(report(31, 1).says_the_same(&report(98, 1)));
        assert!(!report(31, 1).says_the_same(&report(31, 2)));
        assert_eq!(text::text(&report(31, 1)), text::text(&report(98, 1)));
    }

    #[test]
    fn a_report_of_a_former_version_says_nothing_of_the_machine() {
        let report: Report = serde_json::from_str("{\"version\": \"0.1.0\"}").unwrap();
        assert_eq!(report.machine, Machine::default());
    }
}
