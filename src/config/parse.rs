//! From the text of `larder.toml` to a [`Config`]: reads the tables, checks what spans several
//! settings, and gathers every complaint before it gives up.

use super::complaint::{Complaint, Lines, Wrong, clip, syntax};
use super::section::{Critic, Section, boolean};
use super::{Config, Device, Role, Wifi, value};
use crate::model::DeviceName;
use std::collections::BTreeMap;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Largest file that is read, in bytes. A hundred devices with long remarks fit; more lines of
/// mistakes than this would keep a Pi busy for seconds.
pub const MAX_BYTES: usize = 128 << 10;
/// Most complaints at once; more are only counted.
const MAX_COMPLAINTS: usize = 20;

/// Reads the bytes of the file: as [`parse`], and complains of what is no text.
pub fn parse_bytes(bytes: &[u8]) -> Result<Config, Vec<Complaint>> {
    let save = "open it in a text editor and save it as plain text, encoding UTF-8";
    let whole = |what: &str, next: &str| Err(vec![Wrong::new(what, next).at(1)]);
    if bytes.len() > MAX_BYTES {
        return whole(
            &format!(
                "the file has {} bytes, and no settings need more than {MAX_BYTES}",
                bytes.len()
            ),
            "put a copy of the example in its place",
        );
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return whole("the file is saved as UTF-16", save);
    }
    if bytes.contains(&0) {
        return whole("the file is no text", "put a copy of the example in its place");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => parse_text(text),
        Err(error) => {
            let before = &bytes[..error.valid_up_to()];
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            Err(vec![Wrong::new("there is a character that is not UTF-8", save).at(line)])
        }
    }
}

/// Reads the file as it lies on the card. One in which nothing stands, not even a remark, is what a card or an editor
/// leaves of a file that was not written to its end: no word of an owner.
pub fn parse_file(bytes: &[u8]) -> Result<Config, Vec<Complaint>> {
    let text = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if !text.iter().all(|b| b.is_ascii_whitespace() || *b == 0) {
        return parse_bytes(bytes);
    }
    let what = match bytes.len() {
        0 => "the file is empty (0 bytes)",
        _ => "there is nothing in the file but blanks",
    };
    let next =
        "write your settings into it anew (`larder config example` prints all that it may say)";
    Err(vec![Wrong::new(what, next).at(1)])
}

/// Reads the text of the file. Either everything in it is good, or all that is wrong is told, in
/// the order of the lines. An empty text gives the defaults.
pub fn parse(text: &str) -> Result<Config, Vec<Complaint>> {
    parse_bytes(text.as_bytes())
}

fn parse_text(text: &str) -> Result<Config, Vec<Complaint>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (root, errors) = DeTable::parse_recoverable(text);
    let mut critic =
        Critic { lines: Lines::new(text), complaints: Vec::new(), left_out: Vec::new() };
    let config = read(&mut critic, root.get_ref());
    let Critic { lines, mut complaints, left_out } = critic;
    let config = Config { left_out, ..config };

    // What the parser could not read explains itself; what follows from it would only confuse.
    let broken: Vec<Complaint> =
        errors.iter().take(MAX_COMPLAINTS * 2).map(|error| syntax(error, &lines)).collect();
    for error in &broken {
        let muted = if lines.text(error.line).starts_with('[') {
            lines.under(error.line)
        } else {
            error.line..error.line + 1
        };
        complaints.retain(|complaint| !muted.contains(&complaint.line));
    }
    complaints.extend(broken);
    if complaints.is_empty() && errors.is_empty() {
        return Ok(config);
    }
    complaints.sort_by_key(|complaint| complaint.line);
    complaints.dedup();
    if complaints.len() > MAX_COMPLAINTS {
        let line = complaints[MAX_COMPLAINTS].line;
        complaints.truncate(MAX_COMPLAINTS);
        let next = "put these right first, or begin again with a copy of the example";
        complaints.push(Wrong::new("more is wrong from here on", next).at(line));
    }
    Err(complaints)
}

/// Reads everything that can be read, with the defaults for the rest.
fn read(critic: &mut Critic<'_>, root: &DeTable<'_>) -> Config {
    let mut config = Config::default();
    critic.check_keys("", "", root);
    let top = Section::new(root, 0);
    top.read(critic, "keep_versions", &mut config.keep_versions, value::keep_versions);
    top.read(critic, "versions_share", &mut config.versions_share, value::share);
    top.read(critic, "undo", &mut config.undo, value::undo);
    let open = |critic: &mut Critic<'_>, name: &'static str| {
        root.get(name).and_then(|value| critic.section(name, name, value))
    };
    if let Some(nas) = open(critic, "nas") {
        nas.read(critic, "name", &mut config.nas.name, value::label);
        nas.read(critic, "hostname", &mut config.nas.hostname, value::hostname);
        nas.read(critic, "timezone", &mut config.nas.timezone, value::timezone);
    }
    if let Some(night) = open(critic, "night") {
        night.read(critic, "from", &mut config.night.from, value::time_of_day);
        night.read(critic, "to", &mut config.night.to, value::time_of_day);
        night.read(critic, "dedup", &mut config.night.dedup, boolean);
        if config.night.from == config.night.to {
            let at = night.get("to").or(night.get("from")).map_or(night.at, |(_, at)| at);
            let next = "make `to` later than `from`; it may be on the next day";
            critic.add(at, Wrong::new("the night begins and ends at the same time", next));
        }
    }
    if let Some(led) = open(critic, "led") {
        led.read(critic, "pin", &mut config.led.pin, value::pin);
        led.read(critic, "active_low", &mut config.led.active_low, boolean);
    }
    if let Some(web) = open(critic, "web") {
        web.read(critic, "enabled", &mut config.web.enabled, boolean);
        web.read(critic, "port", &mut config.web.port, value::port);
        web.read(critic, "password", &mut config.web.password, value::password);
        web.read(critic, "readers", &mut config.web.readers, boolean);
    }
    if let Some(sync) = open(critic, "sync") {
        sync.read(critic, "enabled", &mut config.sync.enabled, boolean);
        sync.read(critic, "port", &mut config.sync.port, value::port);
        sync.read(critic, "internet", &mut config.sync.internet, boolean);
    }
    if let Some(drive) = open(critic, "drive") {
        let some = |key: &str, v: &DeValue<'_>| value::serial(key, v).map(Some);
        drive.read(critic, "format", &mut config.drive.format, some);
        drive.read(critic, "adopt", &mut config.drive.adopt, some);
        drive.read(critic, "import", &mut config.drive.import, boolean);
    }
    if let Some(section) = open(critic, "wifi") {
        config.wifi = wifi(critic, &section);
    }
    if let Some(value) = root.get("devices") {
        config.devices = devices(critic, value);
    }
    config
}

fn wifi(critic: &mut Critic<'_>, section: &Section<'_>) -> Option<Wifi> {
    let mut wifi = Wifi { ssid: String::new(), password: None, country: String::new() };
    section.read(critic, "ssid", &mut wifi.ssid, value::ssid);
    section.read(critic, "password", &mut wifi.password, value::passphrase);
    section.read(critic, "country", &mut wifi.country, value::country);
    for (key, next) in [
        ("ssid", "write ssid = \"…\" below it, the name that phones show"),
        ("country", "write country = \"DE\" below it, with your own two letters"),
    ] {
        if section.get(key).is_none() {
            critic.add(section.at, Wrong::new(format!("[wifi] has no `{key}`"), next));
        }
    }
    Some(wifi)
}

/// The wireless network of a settings file, whatever else is wrong in it: a slip in another section must not
/// take the network away over which it is told. `None` when there is no `[wifi]`, or its name or password
/// can't be read (an open network is not tried in place of one with a password).
pub fn wifi_of(bytes: &[u8]) -> Option<Wifi> {
    let own = lines_of(bytes, "wifi")?;
    let root = DeTable::parse(&own).ok()?;
    let section = Section::new(root.get_ref(), 0);
    let ssid = value::ssid("ssid", section.get("ssid")?.0).ok()?;
    let password = match section.get("password") {
        Some((password, _)) => value::passphrase("password", password).ok()?,
        None => None,
    };
    let country = section.get("country").and_then(|(c, _)| value::country("country", c).ok());
    Some(Wifi { ssid, password, country: country.unwrap_or_default() })
}

/// The name on the network of a settings file, whatever else is wrong in it: a slip in another section must not give the
/// machine another address. `None` when it can't be told, as of a file with nothing in it: the name stays as it is then.
pub fn hostname_of(bytes: &[u8]) -> Option<String> {
    if let Ok(config) = parse_file(bytes) {
        return Some(config.nas.hostname);
    }
    let own = lines_of(bytes, "nas")?;
    let root = DeTable::parse(&own).ok()?;
    match Section::new(root.get_ref(), 0).get("hostname") {
        Some((value, _)) => value::hostname("hostname", value).ok(),
        None => Some(Config::default().nas.hostname),
    }
}

/// The lines below a heading. Only they are read where the rest may be wrong: a slip before them can change what the
/// parser takes them for.
fn lines_of(bytes: &[u8], section: &str) -> Option<String> {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(MAX_BYTES)]);
    let lines = Lines::new(text.strip_prefix('\u{feff}').unwrap_or(&text));
    let is_heading = |text: &str| {
        let inside = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
        inside.is_some_and(|(name, _)| name.trim() == section)
    };
    let heading = (1..=lines.count()).find(|&n| is_heading(lines.text(n)))?;
    let own: Vec<&str> = lines.under(heading).skip(1).map(|n| lines.text(n)).collect();
    let own = own.join("\n");
    (!own.contains(char::REPLACEMENT_CHARACTER)).then_some(own)
}

fn devices(critic: &mut Critic<'_>, value: &Spanned<DeValue<'_>>) -> BTreeMap<DeviceName, Device> {
    let DeValue::Table(table) = value.get_ref() else {
        let next = "write [devices.HTCphone] for each device, and its settings below it";
        let wrong = Wrong::new("`devices` must be headings, one for each device", next);
        critic.add(value.span().start, wrong);
        return BTreeMap::new();
    };
    // In the order of the file, so that of two that clash the second is complained of.
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);

    let mut devices = BTreeMap::new();
    let mut names: BTreeMap<String, (String, usize)> = BTreeMap::new();
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    for (key, value) in entries {
        let text: &str = key.get_ref();
        let at = key.span().start;
        let name = critic.take(at, value::device_name(text));
        let line = critic.lines.line(at);
        if let Some((other, first)) = names.get(&text.to_ascii_lowercase()) {
            let what = format!("`{}` and `{other}` (line {first}) differ only in case", clip(text));
            let next =
                "give one of the two another name: some drives and Windows can't tell them apart";
            critic.add(at, Wrong::new(what, next));
        }
        names.entry(text.to_ascii_lowercase()).or_insert((clip(text), line));
        let heading = format!("devices.{text}");
        let Some(section) = critic.section("devices.<name>", &heading, value) else { continue };
        let device = device(critic, text, &section);
        if let Some(id) = &device.id {
            if let Some(other) = ids.get(id) {
                let at = section.get("id").map_or(at, |(_, at)| at);
                let what = format!("`{}` has the same id as `{other}`", clip(text));
                critic.add(at, Wrong::new(what, "every device has its own; copy it again"));
            }
            ids.entry(id.clone()).or_insert(clip(text));
        }
        if device.role != Role::Device {
            // What is kept there could not be got back: better nothing than a copy that is none.
            let at = section.get("role").map_or(at, |(_, at)| at);
            let role = if device.role == Role::Vault { "vault" } else { "nas" };
            let what =
                format!("role = \"{role}\" does not work yet, so `{}` is left out", clip(text));
            let next = "write role = \"device\", or put # before the lines of this device; all other settings are in force";
            critic.leave_out(at, Wrong::new(what, next));
            continue;
        }
        if let Some(name) = name {
            devices.insert(name, device);
        }
    }
    devices
}

fn device(critic: &mut Critic<'_>, name: &str, section: &Section<'_>) -> Device {
    let mut device = Device::named(name);
    section.read(critic, "label", &mut device.label, value::label);
    let some = |key: &str, v: &DeValue<'_>| value::device_id(key, v).map(Some);
    section.read(critic, "id", &mut device.id, some);
    section.read(critic, "quota", &mut device.quota, value::quota);
    section.read(critic, "role", &mut device.role, value::role);
    section.read(critic, "may", &mut device.may, value::may);
    device
}
