//! The words of STATUS.txt: a [`Report`] in, plain text out. Pure.
//!
//! For an owner who has no screen on the Pi and looks at the SD card in a computer. Everything
//! that comes from outside (labels, messages) is cut to one line and stripped of control
//! characters. It must never hold the present time: a text that only grew older is not written.

use super::{Condition, DeviceReport, Door, Notice, Report};
use crate::led;
use crate::model::Time;
use std::fmt::Write;
use std::net::Ipv4Addr;

/// The longest text: what does not fit is left to the page.
pub const MAX_BYTES: usize = 6_500;
/// Notices told; the page has all.
const NOTICES: usize = 8;
/// Devices told; the page has all.
const DEVICES: usize = 24;
/// Characters of one outside text.
const WORDS: usize = 300;

/// One sentence for the first line.
pub fn headline(condition: Condition) -> &'static str {
    match condition {
        Condition::Ready => "Everything is in order.",
        Condition::Working => "Everything is in order; the night work is being done.",
        Condition::Syncing => "Everything is in order; files are on their way.",
        Condition::Claimable => "Everything is in order; the page waits for its password.",
        Condition::Starting => "Larder is starting.",
        Condition::WaitingForDrive => "Larder waits for a drive: plug one in.",
        Condition::Attention => "Something wants your attention; see below.",
        Condition::SettingsError => "The settings in larder.toml have an error; see below.",
        Condition::DriveFull => "The drive is full; see below.",
        Condition::DriveUnusable => "The drive can't be used; see below.",
        Condition::StoppedSafely => "Larder has stopped. The drive may be unplugged.",
    }
}

/// The report as text: lines end with a plain newline, at most [`MAX_BYTES`] long.
pub fn text(report: &Report) -> String {
    let mut out = String::new();
    row(&mut out, "State", headline(report.condition));
    row(&mut out, "LED", led::words(report.condition));
    for notice in report.notices.iter().take(NOTICES) {
        tell(&mut out, notice);
    }
    if report.notices.len() > NOTICES {
        let more = report.notices.len() - NOTICES;
        row(&mut out, "", &format!("and {more} more: the page has them all"));
    }
    out.push('\n');
    row(&mut out, "Version", &report.version);
    let address = report.address.as_deref();
    row(&mut out, "Page", address.unwrap_or("not served yet"));
    match (address, report.number) {
        (Some(address), Some(number)) => {
            row(&mut out, "", &format!("or {}", by_number(address, number)));
        }
        (None, Some(number)) => row(&mut out, "Address", &format!("{number} in your network")),
        (_, None) => {}
    }
    if let Some(told) = password(&report.door) {
        row(&mut out, "Password", &told);
    }
    if report.number.is_some_and(|number| number.is_link_local()) {
        row(
            &mut out,
            "",
            "No router gave an address; a computer at the same cable can use this one.",
        );
    }
    let id = report.device_id.as_deref();
    row(&mut out, "Device id", id.unwrap_or("not known yet"));
    out.push('\n');
    row(&mut out, "Drive", if report.drive.is_empty() { "none" } else { &report.drive });
    if let Some((free, size)) = report.space {
        row(&mut out, "", &format!("{free} free of {size}"));
    }
    let (count, bytes) = report.files;
    if count > 0 {
        row(&mut out, "Files", &format!("{count} ({bytes})"));
    }
    if !report.devices.is_empty() {
        out.push_str("\nDevices\n");
        for device in report.devices.iter().take(DEVICES) {
            line_of(&mut out, device);
        }
        if report.devices.len() > DEVICES {
            let more = report.devices.len() - DEVICES;
            add(&mut out, &format!("  and {more} more: the page has them all\n"));
        }
        let let_in = report.devices.iter().filter(|device| device.let_in);
        let let_in: Vec<&str> = let_in.map(|device| device.name.as_str()).collect();
        if let Some(first) = let_in.first() {
            row(&mut out, "Let in", &format!("on the page: {}", let_in.join(", ")));
            let how = format!("write [devices.{first}] into larder.toml to give it a quota");
            row(&mut out, "", &how);
        }
    }
    cut(out)
}

/// Who chose the password of the page; `None` when nobody knows.
fn password(door: &Door) -> Option<String> {
    match door {
        Door::Unknown => None,
        Door::Settings => Some("the one in larder.toml".into()),
        Door::Chosen { at, from } => Some(format!(
            "chosen {} UTC from {from}; if that was not you, or it was forgotten: write password under [web] in \
             larder.toml",
            minute(*at)
        )),
        Door::Open => Some("none yet: the first who opens the page now chooses it".into()),
        Door::Closed => {
            Some("none yet: switch Larder off and on, then open the page within 30 minutes".into())
        }
    }
}

/// The same page for who knows no names of `.local`.
fn by_number(address: &str, number: Ipv4Addr) -> String {
    let port = address.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    port.map_or_else(|| format!("http://{number}"), |port| format!("http://{number}:{port}"))
}

fn row(out: &mut String, name: &str, value: &str) {
    let name = if name.is_empty() { String::new() } else { format!("{name}:") };
    add(out, &format!("{name:<12}{}\n", plain(value)));
}

fn tell(out: &mut String, notice: &Notice) {
    let since = if notice.at == Time::default() {
        String::new()
    } else {
        format!(" (since {} UTC)", &minute(notice.at))
    };
    add(out, &format!("\n  * {}{since}\n", plain(&notice.what)));
    if !notice.next.is_empty() {
        add(out, &format!("    What to do: {}\n", plain(&notice.next)));
    }
}

fn line_of(out: &mut String, device: &DeviceReport) {
    let quota = match device.quota {
        Some(quota) => format!("{} of {quota}", device.used),
        None => format!("{}, no limit", device.used),
    };
    let files = if device.files == 1 { "file" } else { "files" };
    // To the hour: a device that is simply there must not have the card written every minute.
    let seen = device.last_seen.map_or_else(
        || "not seen yet".into(),
        |at| format!("last seen {} h UTC", &at.rfc3339()[..13].replace('T', " ")),
    );
    let name = if device.label == device.name.as_str() {
        device.label.clone()
    } else {
        format!("{} ({})", device.label, device.name)
    };
    let name = plain(&name);
    add(out, &format!("  {name:<24}  {quota}, {} {files}, {seen}\n", device.files));
}

fn minute(at: Time) -> String {
    at.rfc3339()[..16].replace('T', " ")
}

fn add(out: &mut String, text: &str) {
    // Writing to a String can't fail.
    let written = out.write_str(text);
    debug_assert!(written.is_ok());
}

/// One line without control or direction characters, cut to a fair length.
fn plain(text: &str) -> String {
    let odd = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    let mut line: String =
        text.chars().take(WORDS).map(|c| if odd(c) { '\u{25af}' } else { c }).collect();
    if text.chars().nth(WORDS).is_some() {
        line.push('…');
    }
    line
}

fn cut(mut text: String) -> String {
    const MORE: &str = "... (the page has the rest)\n";
    if text.len() > MAX_BYTES {
        let mut end = MAX_BYTES - MORE.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(text[..end].rfind('\n').map_or(end, |newline| newline + 1));
        text.push_str(MORE);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Bytes, DeviceName};
    use proptest::prelude::*;

    fn sample() -> Report {
        Report {
            condition: Condition::DriveFull,
            version: "0.1.0".into(),
            address: Some("http://larder.local:8080".into()),
            number: Some(Ipv4Addr::new(192, 168, 1, 20)),
            door: Door::Chosen { at: Time::from_secs(1_795_428_000), from: "192.168.1.5".into() },
            device_id: Some("ABCDEFG-HIJKLMN".into()),
            drive: "LARDER on SanDisk Ultra, serial 4C53, 64 GB, ext4".into(),
            drive_failed: false,
            space: Some((Bytes(0), Bytes(64_000_000_000))),
            files: (12_345, Bytes(63_000_000_000)),
            devices: vec![
                DeviceReport {
                    name: DeviceName::new("HTCphone").unwrap(),
                    label: "Phone".into(),
                    used: Bytes(1_000_000_000),
                    quota: Some(Bytes(8_000_000_000)),
                    files: 120,
                    last_seen: Some(Time::from_secs(1_795_428_000)),
                    let_in: false,
                },
                DeviceReport {
                    name: DeviceName::new("LinuxLaptop").unwrap(),
                    label: "LinuxLaptop".into(),
                    used: Bytes(0),
                    quota: None,
                    files: 1,
                    last_seen: None,
                    let_in: false,
                },
            ],
            notices: vec![Notice {
                at: Time::from_secs(1_795_428_000),
                condition: Condition::DriveFull,
                what: "There is no room left on the drive.".into(),
                next: "Destroy what is not needed, or use a larger drive.".into(),
            }],
            machine: super::super::machine::Machine::default(),
        }
    }

    #[test]
    fn an_owner_reads_what_is_wrong_first_and_then_the_facts() {
        assert_eq!(
            text(&sample()),
            "\
State:      The drive is full; see below.
LED:        long light with three quick breaks

  * There is no room left on the drive. (since 2026-11-23 10:00 UTC)
    What to do: Destroy what is not needed, or use a larger drive.

Version:    0.1.0
Page:       http://larder.local:8080
            or http://192.168.1.20:8080
Password:   chosen 2026-11-23 10:00 UTC from 192.168.1.5; if that was not you, or it was forgotten: write password under [web] in larder.toml
Device id:  ABCDEFG-HIJKLMN

Drive:      LARDER on SanDisk Ultra, serial 4C53, 64 GB, ext4
            0 bytes free of 64 GB
Files:      12345 (63 GB)

Devices
  Phone (HTCphone)          1.0 GB of 8.0 GB, 120 files, last seen 2026-11-23 10 h UTC
  LinuxLaptop               0 bytes, no limit, 1 file, not seen yet
"
        );
    }

    #[test]
    fn the_machines_number_is_told_with_and_without_a_page() {
        let number = Some(Ipv4Addr::new(10, 0, 0, 3));
        let page = |address: Option<&str>, number| {
            text(&Report { address: address.map(str::to_owned), number, ..Report::default() })
        };
        let told = page(Some("http://larder.local"), number);
        assert!(told.contains("Page:       http://larder.local\n            or http://10.0.0.3\n"));
        let told = page(None, number);
        assert!(
            told.contains("Page:       not served yet\nAddress:    10.0.0.3 in your network\n")
        );
        assert!(!page(None, None).contains("Address:"));
        // One that the machine gave itself.
        let lonely = Some(Ipv4Addr::new(169, 254, 5, 81));
        let told = page(Some("http://larder.local:8080"), lonely);
        assert!(
            told.contains("or http://169.254.5.81:8080\n            No router gave an address;")
        );
        assert!(!page(None, number).contains("No router"));
    }

    #[test]
    fn a_device_that_is_there_all_the_time_changes_the_text_once_an_hour() {
        let (mut a, mut b) = (sample(), sample());
        a.devices[0].last_seen = Some(Time::from_secs(1_795_428_001));
        b.devices[0].last_seen = Some(Time::from_secs(1_795_428_001 + 3_000));
        assert_eq!(text(&a), text(&b));
    }

    proptest! {
        #[test]
        fn outside_texts_never_make_lines_of_their_own(what in any::<String>(), label in any::<String>()) {
            let mut report = sample();
            let lines = text(&report).lines().count();
            report.notices[0].what = what;
            report.devices[0].label = label;
            let text = text(&report);
            prop_assert_eq!(text.lines().count(), lines);
            prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }

        #[test]
        fn the_text_fits_the_file(words in 0usize..2_000, notices in 0usize..40, devices in 0usize..200) {
            let mut report = sample();
            report.drive = "ä".repeat(words);
            report.notices[0].what = "漢".repeat(words);
            report.notices = vec![report.notices[0].clone(); notices];
            report.devices = vec![report.devices[0].clone(); devices];
            prop_assert!(text(&report).len() <= MAX_BYTES);
        }
    }
}
