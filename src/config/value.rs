//! The values that have a form of their own: sizes, durations, times of day, ids, zones, pins.

use super::Role;
use super::complaint::{Wrong, clip, closest};
use super::section::{integer, kind_of, list, text};
use crate::model::dialect::{SYNCTHING, is_sent};
use crate::model::{Action, Bytes, DeviceName, SizeError, Trait};
use toml::de::DeValue;

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// A hundred years: longer is meant as "for ever", and sums of times must not overflow.
const LONGEST: i64 = 36_525 * DAY;
/// Sizes without a unit below this are hardly meant: who writes 8 means 8 GB.
const SMALLEST_BARE: u64 = 1_000_000;

/// A name that people read: of the appliance, of a device.
pub(super) fn label(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let label = text(key, value)?.trim();
    let fits = (1..=64).contains(&label.chars().count()) && !label.chars().any(char::is_control);
    if fits {
        Ok(label.to_owned())
    } else {
        Err(Wrong::new(format!("`{key}` must have 1 to 64 characters"), "write a shorter name"))
    }
}

/// A name on the network: one label of RFC 1123 (2.1), in lower case. `localhost` would lead everybody to himself.
pub(super) fn hostname(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = text(key, value)?.trim().to_ascii_lowercase();
    if is_host_label(&name) && name != "localhost" {
        return Ok(name);
    }
    // What may have been meant: without the domain, and what can't be in a name left out.
    let first = name.split('.').next().unwrap_or_default();
    let fit: Vec<&str> =
        first.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty()).collect();
    let meant = fit.join("-");
    let meant = if is_host_label(&meant) && meant != "localhost" { &meant } else { "attic" };
    Err(Wrong::new(
        format!("`{}` can't be a name on the network", clip(&name)),
        format!(
            "write {key} = \"{meant}\": 1 to 63 letters from a to z, digits and hyphens, with no hyphen at either end"
        ),
    ))
}

fn is_host_label(name: &str) -> bool {
    (1..=63).contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A size; `None` is "none", no limit.
pub(super) fn quota(key: &str, value: &DeValue<'_>) -> Result<Option<Bytes>, Wrong> {
    let example = format!("write {key} = \"8 GB\", or {key} = \"none\" for no limit");
    let (bytes, bare) = match value {
        DeValue::String(text) if is_none(text) => return Ok(None),
        DeValue::String(text) => {
            let bytes = Bytes::parse(text).map_err(|error| match error {
                SizeError::Form(_) => Wrong::new(format!("`{}` is no size", clip(text)), &*example),
                SizeError::TwoReadings { large, small, .. } => Wrong::new(
                    format!("`{}` can be read in two ways", clip(text)),
                    format!("write {key} = \"{large}\" or {key} = \"{small}\""),
                ),
            })?;
            (bytes, text.trim().ends_with(|c: char| c.is_ascii_digit()))
        }
        DeValue::Integer(number) => {
            let wrong = || Wrong::new(format!("`{}` is no size", clip(number.as_str())), &*example);
            let number = integer(value).and_then(|n| u64::try_from(n).ok()).ok_or_else(wrong)?;
            (Bytes(number), true)
        }
        DeValue::Float(number) => {
            let number = clip(number.as_str());
            let next = format!("write {key} = \"{number} GB\"");
            return Err(Wrong::new(format!("`{number}` has no unit"), next));
        }
        other => {
            return Err(Wrong::new(
                format!("`{key}` must be a size, not {}", kind_of(other)),
                example,
            ));
        }
    };
    if bare && bytes.0 == 0 {
        let next = format!(
            "write {key} = \"none\" for no limit, or \"0 bytes\" if it is to hold nothing at all"
        );
        return Err(Wrong::new(format!("`{key}` would let the device hold nothing"), next));
    }
    if bare && (1..SMALLEST_BARE).contains(&bytes.0) {
        let next = format!("write the unit: {key} = \"{} GB\", or \"{} bytes\"", bytes.0, bytes.0);
        return Err(Wrong::new(format!("`{key}` would be only {bytes}"), next));
    }
    Ok(Some(bytes))
}

/// `undo`: seconds; "none" is 0.
pub(super) fn undo(key: &str, value: &DeValue<'_>) -> Result<i64, Wrong> {
    if value.as_str().is_some_and(is_none) { Ok(0) } else { duration(key, value, "1 day") }
}

/// `keep_versions`: seconds, at least an hour.
pub(super) fn keep_versions(key: &str, value: &DeValue<'_>) -> Result<i64, Wrong> {
    let reason = "old versions are the safety net under every edit";
    let next = format!("write at least {key} = \"1 hour\"; {reason}");
    if value.as_str().is_some_and(is_none) {
        return Err(Wrong::new(format!("`{key}` can't be none"), next));
    }
    match duration(key, value, "30 days")? {
        seconds if seconds < HOUR => {
            Err(Wrong::new(format!("`{key}` is shorter than an hour"), next))
        }
        seconds => Ok(seconds),
    }
}

/// `versions_share`: a part of the drive, in per cent.
pub(super) fn share(key: &str, value: &DeValue<'_>) -> Result<u8, Wrong> {
    let example = format!("write {key} = \"10 %\", from \"1 %\" to \"50 %\"");
    if let DeValue::Integer(number) = value {
        let number = clip(number.as_str());
        let next = format!("write {key} = \"{number} %\"");
        return Err(Wrong::new(format!("`{number}` has no %"), next));
    }
    let text = text(key, value)?;
    let number = text.trim().strip_suffix('%').map(str::trim_end);
    match number.and_then(|number| number.parse().ok()) {
        Some(share @ 1..=50) => Ok(share),
        Some(_) => Err(Wrong::new(format!("`{key}` must be from 1 to 50 per cent"), example)),
        None => Err(Wrong::new(format!("`{}` is no part of a drive", clip(text)), example)),
    }
}

/// A number and a unit of time.
fn duration(key: &str, value: &DeValue<'_>, example: &str) -> Result<i64, Wrong> {
    let example = format!("write {key} = \"{example}\"");
    if let DeValue::Integer(number) = value {
        let number = clip(number.as_str());
        let next = format!("write {key} = \"{number} days\"");
        return Err(Wrong::new(format!("`{number}` has no unit"), next));
    }
    let text = text(key, value)?;
    let wrong = |why: &str| Wrong::new(format!("`{}` {why}", clip(text)), &*example);
    let lower = text.trim().to_lowercase();
    let digits = lower.find(|c: char| !c.is_ascii_digit()).unwrap_or(lower.len());
    let (number, unit) = lower.split_at(digits);
    let unit = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1,
        "min" | "minute" | "minutes" => MINUTE,
        "h" | "hour" | "hours" => HOUR,
        "d" | "day" | "days" => DAY,
        "week" | "weeks" => 7 * DAY,
        "year" | "years" => 365 * DAY,
        "month" | "months" => return Err(wrong("has no fixed length, count in days")),
        "" if !number.is_empty() => return Err(wrong("has no unit")),
        _ => return Err(wrong("is no length of time")),
    };
    let seconds = number.parse::<i64>().ok().and_then(|n| n.checked_mul(unit));
    match seconds {
        Some(seconds) if seconds <= LONGEST => Ok(seconds),
        Some(_) => Err(wrong("is longer than a hundred years")),
        None if number.is_empty() => Err(wrong("is no length of time")),
        None => Err(wrong("is longer than a hundred years")),
    }
}

/// A time of day, in minutes after midnight.
pub(super) fn time_of_day(key: &str, value: &DeValue<'_>) -> Result<u16, Wrong> {
    let wrong = |shown: String| {
        Wrong::new(
            format!("`{shown}` is no time of day"),
            format!("write {key} = \"01:00\", from \"00:00\" to \"23:59\""),
        )
    };
    let (hour, minute) = match value {
        DeValue::Datetime(toml::value::Datetime { date: None, time: Some(time), offset: None }) => {
            (u16::from(time.hour), u16::from(time.minute))
        }
        DeValue::String(text) => {
            let part = |part: &str| {
                let fits =
                    (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
                part.parse().ok().filter(|_| fits)
            };
            let parts = text.trim().split_once(':');
            parts
                .and_then(|(hour, minute)| Some((part(hour)?, part(minute)?)))
                .ok_or_else(|| wrong(clip(text)))?
        }
        other => return Err(wrong(kind_of(other).into())),
    };
    if hour < 24 && minute < 60 {
        Ok(hour * 60 + minute)
    } else {
        Err(wrong(format!("{hour:02}:{minute:02}")))
    }
}

/// A time zone by its IANA name, in its official spelling.
pub(super) fn timezone(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let name = text(key, value)?.trim();
    if let Ok(zone) = jiff::tz::TimeZone::get(name)
        && let Some(official) = zone.iana_name()
    {
        return Ok(official.to_owned());
    }
    let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    let zones = || zones.iter().map(String::as_str);
    let city = |zone: &str| zone.rsplit('/').next().unwrap_or_default().replace('_', " ");
    let wanted = name.replace('_', " ");
    let meant = zones()
        .find(|zone| city(zone).eq_ignore_ascii_case(&wanted))
        .or_else(|| closest(name, zones()));
    let next = match meant {
        Some(zone) => format!("did you mean \"{zone}\"?"),
        None => "write it like \"Europe/Berlin\", or \"UTC\"".into(),
    };
    Err(Wrong::new(format!("there is no time zone `{}`", clip(name)), next))
}

/// A pin by its BCM number; `None` is "none".
pub(super) fn pin(key: &str, value: &DeValue<'_>) -> Result<Option<u8>, Wrong> {
    if value.as_str().is_some_and(is_none) {
        return Ok(None);
    }
    // 0 and 1 are for the identification of add-on boards, and 28 up are not on the header
    // (Raspberry Pi documentation, "GPIO and the 40-pin header").
    match integer(value).and_then(|n| u8::try_from(n).ok()) {
        Some(pin @ 2..=27) => Ok(Some(pin)),
        _ => Err(Wrong::new(
            format!("`{key}` must be the BCM number of a header pin, 2 to 27, without quotes"),
            format!("write {key} = 17 (the eleventh pin of the header), or {key} = \"none\""),
        )),
    }
}

/// A TCP port.
pub(super) fn port(key: &str, value: &DeValue<'_>) -> Result<u16, Wrong> {
    integer(value).and_then(|n| u16::try_from(n).ok()).filter(|&port| port != 0).ok_or_else(|| {
        Wrong::new(
            format!("`{key}` must be a number from 1 to 65535, without quotes"),
            format!("write {key} = 8080"),
        )
    })
}

/// A role.
pub(super) fn role(key: &str, value: &DeValue<'_>) -> Result<Role, Wrong> {
    let text = text(key, value)?;
    match text.trim() {
        "device" => Ok(Role::Device),
        "nas" => Ok(Role::Nas),
        "vault" => Ok(Role::Vault),
        // The others do not work yet, so they are no choice.
        other => Err(choice("role", other, &["device"])),
    }
}

/// Wishes that may be made, each once and in the order of [`Action::ALL`]. Those of the common page
/// are no device's.
pub(super) fn may(key: &str, value: &DeValue<'_>) -> Result<Vec<Action>, Wrong> {
    let DeValue::Array(items) = value else {
        return Err(Wrong::new(
            format!("`{key}` must be a list in square brackets, not {}", kind_of(value)),
            format!("write {key} = [\"get\", \"open\", \"delete\"]"),
        ));
    };
    let mut named = Vec::with_capacity(items.len());
    for item in items.iter() {
        let name = text("may", item.get_ref())?.trim();
        let names: Vec<_> = Action::of_devices().into_iter().map(Action::name).collect();
        let known = Action::parse(name).filter(|action| !action.is(Trait::AtHome));
        named.push(known.ok_or_else(|| choice("wish", name, &names))?);
    }
    Ok(Action::of_devices().into_iter().filter(|action| named.contains(action)).collect())
}

fn choice(what: &str, word: &str, words: &[&str]) -> Wrong {
    let next = match closest(word, words.iter().copied()) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("write {}", list(words.iter().copied())),
    };
    Wrong::new(format!("there is no {what} `{}`", clip(word)), next)
}

/// The sync engine's id of a device, in its usual form: eight groups of seven, joined by `-`.
pub(super) fn device_id(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    SYNCTHING.read_id(text(key, value)?).map_err(|why| {
        let next =
            "copy it from the sync app of the device: eight groups of seven letters and digits";
        Wrong::new(format!("`{key}` {why}"), next)
    })
}

/// A device's name, which is also that of its folders on the drive.
pub(super) fn device_name(key: &str) -> Result<DeviceName, Wrong> {
    let next = "choose another name, such as HTCphone";
    let name = DeviceName::new(key).map_err(|_| {
        Wrong::new(
            format!("`{}` can't be the name of a device", clip(key)),
            "use 1 to 64 letters, digits, `.`, `_` or `-`, beginning with a letter or digit; `label` may hold any text",
        )
    })?;
    let lower = key.to_ascii_lowercase();
    let stem = lower.split('.').next().unwrap_or_default();
    let reserved = if matches!(&*lower, "files" | "devices" | "shared") {
        Some("a folder of Larder has this name")
    } else if stem == "catalogue" || lower.starts_with("catalogue-worklist-") {
        Some("the catalogue has this name")
    } else if !is_sent(key.as_bytes()) {
        Some("sync engines pass over such a name")
    } else if lower.ends_with('.') || is_windows_device(stem) {
        Some("Windows can't store this name")
    } else {
        None
    };
    match reserved {
        Some(why) => Err(Wrong::new(format!("a device can't be called `{key}`: {why}"), next)),
        None => Ok(name),
    }
}

/// Names that Windows keeps for itself, with any extension (Microsoft, "Naming Files, Paths, and
/// Namespaces").
fn is_windows_device(stem: &str) -> bool {
    let numbered = |prefix| {
        stem.strip_prefix(prefix)
            .is_some_and(|n: &str| n.len() == 1 && n.as_bytes()[0].is_ascii_digit())
    };
    matches!(stem, "con" | "prn" | "aux" | "nul") || numbered("com") || numbered("lpt")
}

/// The serial number of a drive.
pub(super) fn serial(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let serial = text(key, value)?.trim();
    if (1..=128).contains(&serial.len())
        && serial.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    {
        Ok(serial.to_owned())
    } else {
        Err(Wrong::new(
            format!("`{key}` must be the serial number of one drive"),
            "copy it from STATUS.txt, or put # before the line",
        ))
    }
}

/// The name of a wireless network: 1 to 32 bytes (IEEE 802.11).
pub(super) fn ssid(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let ssid = text(key, value)?;
    if (1..=32).contains(&ssid.len()) && !ssid.chars().any(char::is_control) {
        Ok(ssid.to_owned())
    } else {
        Err(Wrong::new(
            format!("`{key}` must be the name of a network, 1 to 32 bytes long"),
            "copy the name that phones show",
        ))
    }
}

/// The passphrase of a wireless network: 8 to 63 printable ASCII characters (IEEE 802.11i).
pub(super) fn passphrase(key: &str, value: &DeValue<'_>) -> Result<Option<String>, Wrong> {
    let phrase = text(key, value)?;
    if (8..=63).contains(&phrase.len()) && phrase.bytes().all(|b| b.is_ascii_graphic() || b == b' ')
    {
        Ok(Some(phrase.to_owned()))
    } else {
        // Does not repeat it: complaints are shown on pages and in STATUS.txt.
        Err(Wrong::new(
            format!("`{key}` must have 8 to 63 plain characters"),
            "copy it from the router; for an open network put # before the line",
        ))
    }
}

/// A password that people type into a browser.
pub(super) fn password(key: &str, value: &DeValue<'_>) -> Result<Option<String>, Wrong> {
    let password = text(key, value)?;
    let count = password.chars().count();
    if (8..=128).contains(&count) && !password.chars().any(char::is_control) {
        Ok(Some(password.to_owned()))
    } else {
        // Does not repeat it, as above.
        Err(Wrong::new(
            format!("`{key}` must have 8 to 128 characters on one line"),
            "choose another; with # before the line the one chosen on the page counts",
        ))
    }
}

/// A country by its two letters (ISO 3166-1).
pub(super) fn country(key: &str, value: &DeValue<'_>) -> Result<String, Wrong> {
    let country = text(key, value)?.trim();
    if country.len() == 2 && country.bytes().all(|b| b.is_ascii_alphabetic()) {
        Ok(country.to_ascii_uppercase())
    } else {
        Err(Wrong::new(
            format!("`{key}` must be a country in two letters, not `{}`", clip(country)),
            format!("write it like {key} = \"DE\""),
        ))
    }
}

fn is_none(text: impl AsRef<str>) -> bool {
    text.as_ref().trim().eq_ignore_ascii_case("none")
}
