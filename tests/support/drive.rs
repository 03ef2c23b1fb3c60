//! A drive in a temporary folder, and the real program on it.
//!
//! Take it into a test with `#[path = "support/drive.rs"] mod drive;`.

// A test takes what it needs of it, from wherever it lies.
#![allow(dead_code, unreachable_pub)]

#[path = "environment.rs"]
mod environment;
#[path = "port.rs"]
mod ports;

use larder::worklist::mac::{Sealed, seal};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime};

#[allow(unused_imports, reason = "each program of tests uses its part of it")]
pub(crate) use environment::{hermetic, program};
#[allow(unused_imports, reason = "each program of tests uses its part of it")]
pub(crate) use ports::free_port;

/// The program under test.
pub const LARDER: &str = env!("CARGO_BIN_EXE_larder");

/// A phone and a laptop.
pub const SETTINGS: &str = "[devices.HTCphone]\n[devices.LinuxLaptop]\n";

/// Seconds since 1970 that files of the tests were last changed at.
pub const LONG_AGO: u64 = 1_700_000_000;

/// A drive, a boot folder, and where they lie.
pub struct House {
    /// Removed at the end.
    pub dir: tempfile::TempDir,
    /// The drive's root.
    pub drive: PathBuf,
    /// The folder of larder.toml.
    pub boot: PathBuf,
    web_port: u16,
    lists: u64,
}

/// In memory, where that is to be had: many runs, and nothing to wear out.
pub fn quick_dir() -> tempfile::TempDir {
    let made = match Path::new("/dev/shm").is_dir() {
        true => tempfile::tempdir_in("/dev/shm"),
        false => tempfile::tempdir(),
    };
    made.expect("a temporary folder")
}

/// Raw bytes as a path.
pub fn os(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The percent-encoded form in which pages write paths.
pub fn percent(bytes: &[u8]) -> String {
    bytes
        .iter()
        .map(|&b| match b {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                char::from(b).to_string()
            }
            _ => format!("%{b:02X}"),
        })
        .collect()
}

/// One wish; `more` is further members, each with a comma before it.
pub fn wish(id: u64, op: &str, path: &[u8], more: &str) -> String {
    format!(
        r#"{{"id":"{id:020x}","op":"{op}","path":"{}","at":"2026-11-23T10:00:00Z"{more}}}"#,
        percent(path)
    )
}

/// The member that says what a page showed of a file of the tests.
pub fn seen(size: usize) -> String {
    format!(r#","seen":{{"size":{size},"mtime":{LONG_AGO}}}"#)
}

/// A worklist of the first form, which counts by the folder of its page.
pub fn list(items: &[String]) -> String {
    format!(r#"{{"v":1,"page":"","key":"","gen":1,"items":[{}]}}"#, items.join(","))
}

/// A worklist as a page saves it, with its seal; `None` when that is no page of a device.
pub fn sealed_list(page: &[u8], items: &[String]) -> Option<String> {
    let page = std::str::from_utf8(page).ok()?;
    let cfg = page.split("id=\"cfg\">").nth(1)?.split("</script>").next()?;
    let cfg: serde_json::Value = serde_json::from_str(cfg).ok()?;
    let text = format!(
        r#"{{"v":2,"page":{},"device":{},"gen":{},"nonce":"00","items":[{}]}}"#,
        cfg["page"],
        cfg["device"],
        cfg["gen"],
        items.join(",")
    );
    Some(seal(cfg["key"].as_str()?, Sealed::Worklist, &text))
}

impl House {
    /// An empty drive with these settings beside it.
    pub fn new(settings: &str) -> Self {
        Self::within(quick_dir(), settings)
    }

    /// The same in a folder of the test's choice.
    pub fn within(dir: tempfile::TempDir, settings: &str) -> Self {
        let house = Self {
            drive: dir.path().join("drive"),
            boot: dir.path().join("boot"),
            dir,
            web_port: ports::free_port(),
            lists: 0,
        };
        std::fs::create_dir_all(house.drive.join("BTsync")).expect("a drive");
        std::fs::create_dir_all(&house.boot).expect("a boot folder");
        house.settings(settings);
        house
    }

    /// Writes larder.toml anew. What the test says nothing of is not left to this machine: the port of the web is one
    /// that nobody has, and it is day.
    pub fn settings(&self, text: &str) {
        let mut text = text.to_owned();
        if !text.contains("[web]") {
            text.push_str(&format!("\n[web]\nport = {}\n", self.web_port));
        }
        if !text.contains("[night]") {
            text.push_str(&format!("\n{}", environment::by_day()));
        }
        std::fs::write(self.boot.join("larder.toml"), text).expect("larder.toml");
    }

    /// A master's place.
    pub fn home(&self, path: &[u8]) -> PathBuf {
        self.drive.join("BTsync/files").join(os(path))
    }

    /// A place in a device's folder.
    pub fn on(&self, device: &str, path: &[u8]) -> PathBuf {
        self.drive.join("BTsync/devices").join(device).join(os(path))
    }

    /// A device's page.
    pub fn page(&self, device: &str) -> PathBuf {
        self.drive.join("BTsync/catalogue").join(device).join("catalogue.html")
    }

    /// Saves a file as programs do: beside, then renamed over.
    pub fn save(&self, at: &Path, content: &[u8]) {
        let folder = at.parent().expect("a folder");
        std::fs::create_dir_all(folder).expect("its folder");
        let beside = folder.join(".larder-test");
        std::fs::write(&beside, content).expect("the new content");
        set_mtime(&beside, LONG_AGO);
        std::fs::rename(&beside, at).expect("the new name");
    }

    /// Drops a worklist into a device's page folder, as a browser's download arrives; before there is a page, as a
    /// conflict copy of one of the first form.
    pub fn drop_list(&mut self, device: &str, items: &[String]) {
        self.lists += 1;
        let folder = self.drive.join("BTsync/catalogue").join(device);
        let page = std::fs::read(self.page(device)).unwrap_or_default();
        match sealed_list(&page, items) {
            Some(list) => {
                let name = format!("catalogue-worklist-{device}-{}.json", self.lists);
                self.save(&folder.join(name), list.as_bytes());
            }
            None => {
                let name =
                    format!("catalogue.sync-conflict-20261123-{:06}-ABCDEFG.html", self.lists);
                let list = larder::worklist::parse(list(items).as_bytes());
                self.save(&folder.join(name), larder::worklist::encode(&list).as_bytes());
            }
        }
    }

    /// The program with these words and this house.
    pub fn larder(&self, words: &[&str]) -> Command {
        let mut command = Command::new(LARDER);
        self.add_to(&mut command, words);
        command
    }

    /// Adds the words and this house to a command, in an environment of its own.
    pub fn add_to(&self, command: &mut Command, words: &[&str]) {
        command.args(words).arg("--drive").arg(&self.drive).arg("--boot").arg(&self.boot);
        environment::hermetic(command);
    }

    /// `larder run --once`, which must succeed.
    pub fn run(&self) {
        let out = self.larder(&["run", "--once", "--settle", "1"]).output().expect("larder starts");
        assert!(out.status.success(), "{}", text(&out));
    }

    /// What `larder check` finds, a line each; empty when every promise holds.
    pub fn check(&self) -> Vec<String> {
        let out = self.larder(&["check"]).output().expect("larder starts");
        let lines: Vec<_> =
            String::from_utf8_lossy(&out.stdout).lines().map(String::from).collect();
        match out.status.code() {
            Some(0) => Vec::new(),
            Some(3) => lines,
            _ => panic!("{}", text(&out)),
        }
    }

    /// Every name on the drive with what it means: files with their content and which names share
    /// an inode, folders, links. Without what depends on the clock and on how often was tried.
    pub fn state(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut inodes: BTreeMap<u64, String> = BTreeMap::new();
        for place in [
            "BTsync/files",
            "BTsync/devices",
            "BTsync/shared",
            "BTsyncApp/versions",
            "BTsyncApp/tmp",
        ] {
            walk(&self.drive.join(place), &mut |path, meta| {
                let name = path.strip_prefix(&self.drive).expect("below the drive");
                let name = normal(&name.as_os_str().as_bytes().escape_ascii().to_string());
                let what = if meta.is_dir() {
                    if name.contains("versions") {
                        return;
                    }
                    "folder".into()
                } else if meta.is_file() {
                    let first = inodes.entry(meta.ino()).or_insert_with(|| name.clone());
                    let content = std::fs::read(path).expect("a file is read");
                    let content = content[..content.len().min(60)].escape_ascii().to_string();
                    format!("{} {} = {first}", normal(&content), meta.len())
                } else {
                    "other".into()
                };
                found.push(format!("{name}: {what}"));
            });
        }
        found.sort();
        found
    }

    /// What the ledger has: links, rules, and how each wish was answered.
    pub fn books(&self) -> Vec<String> {
        let ledger = self.drive.join("BTsyncApp/ledger.sqlite");
        let db = rusqlite::Connection::open(ledger).expect("the ledger");
        let mut all = Vec::new();
        for sql in [
            "SELECT 'link ' || name || ' ' || cast(path AS TEXT) FROM links JOIN devices ON id = device",
            "SELECT rule || ' ' || name || ' ' || cast(path AS TEXT) FROM rules JOIN devices ON id = device",
            "SELECT 'version ' || cast(path AS TEXT) FROM versions",
            "SELECT 'wish ' || id || ' ' || coalesce(json_extract(answer, '$.state'), 'open') FROM wishes",
        ] {
            let mut rows = db.prepare(sql).expect("a question");
            let rows = rows.query_map([], |row| row.get::<_, String>(0)).expect("an answer");
            all.extend(rows.map(|row| normal(&row.expect("a row"))));
        }
        all.sort();
        all
    }

    /// The answer to a wish: its state and text; `None` before it has one.
    pub fn answer(&self, id: u64) -> Option<(String, String)> {
        let ledger = self.drive.join("BTsyncApp/ledger.sqlite");
        let db = rusqlite::Connection::open(ledger).ok()?;
        db.busy_timeout(Duration::from_secs(5)).ok()?;
        db.query_row(
            "SELECT json_extract(answer, '$.state'), json_extract(answer, '$.text')
             FROM wishes WHERE id = ?1 AND answer IS NOT NULL",
            [format!("{id:020x}")],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .ok()
    }
}

/// What a program said.
pub fn text(out: &Output) -> String {
    let (stdout, stderr) =
        (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    format!("{}\n{stdout}{stderr}", out.status)
}

/// Sets when a file was last changed.
pub fn set_mtime(at: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(at).expect("a file");
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).expect("its time");
}

/// Every name below a folder, never through a link.
pub fn walk(dir: &Path, each: &mut dyn FnMut(&Path, &std::fs::Metadata)) {
    let Ok(entries) = std::fs::read_dir(dir) else { return };
    for entry in entries {
        let path = entry.expect("an entry").path();
        let meta = std::fs::symlink_metadata(&path).expect("a look");
        each(&path, &meta);
        if meta.is_dir() {
            walk(&path, each);
        }
    }
}

/// A text without the moments and numbers that differ from run to run.
fn normal(text: &str) -> String {
    // `shared/<sha1>-2026-11-23-100000/…`, `name (HTCphone 2026-11-23 10-00-00).ext`, `versions/17/…`
    let text = without_the_time_of_a_share(text);
    let text = text.as_str();
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(" 20") {
        let moment = rest.as_bytes().get(at + 1..at + 20);
        let fits = moment.is_some_and(|m| {
            m.iter().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b' ' | b':'))
        });
        out.push_str(&rest[..at]);
        if fits {
            out.push_str(" then");
            rest = &rest[at + 20..];
        } else {
            out.push_str(" 20");
            rest = &rest[at + 3..];
        }
    }
    out.push_str(rest);
    match out.strip_prefix("BTsyncApp/versions/").and_then(|rest| rest.split_once('/')) {
        Some((_, path)) => format!("BTsyncApp/versions/N/{path}"),
        None => out,
    }
}

/// A text in which shares are named by what is shared alone.
fn without_the_time_of_a_share(text: &str) -> String {
    const SUM: usize = 40;
    const TIME: &str = "-0000-00-00-000000";
    let mut parts = text.split("BTsync/shared/");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let fits = |(at, byte): (usize, u8)| match TIME.as_bytes()[at] {
            b'0' => byte.is_ascii_digit(),
            other => byte == other,
        };
        let time = part.as_bytes().get(SUM..SUM + TIME.len());
        let is_share = time.is_some_and(|time| time.iter().copied().enumerate().all(fits));
        out.push_str("BTsync/shared/");
        match is_share {
            true => out.extend([&part[..SUM], "-then", &part[SUM + TIME.len()..]]),
            false => out.push_str(part),
        }
    }
    out
}
