//! A good drive that the real program made, with its history, and ways to break it.

use crate::drive::{self, House, LONG_AGO, seen, wish};
use crate::oracle::{Disk, History, Kind, Snapshot, Violation, judge};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// A drive of the real program with a bit of everything, and its history.
pub(crate) struct Scene {
    pub(crate) house: House,
    pub(crate) history: History,
}

pub(crate) const PHONE: &str = "HTCphone";
pub(crate) const LAPTOP: &str = "LinuxLaptop";
pub(crate) const QUOTA: u64 = 64 * 1024;

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time")
}

impl Scene {
    /// Files at home; the phone follows a folder and has an exception and a pin; the laptop has one file. There were an
    /// edit, a destroy that can be undone and one that is over, a share, a folder that others joined, an old version.
    pub(crate) fn good() -> Self {
        let settings = "undo = \"1 day\"\nkeep_versions = \"30 days\"\n[sync]\nenabled = false\n\
             [devices.HTCphone]\nquota = \"64 KiB\"\n[devices.LinuxLaptop]\n";
        let house = House::new(settings);
        let devices = [(PHONE, Some(QUOTA)), (LAPTOP, None)];
        let mut scene = Self { house, history: History::new(now(), 86_400, &devices) };
        for name in [
            "Photos/1",
            "Photos/2",
            "Photos/3",
            "doc",
            "letter",
            "waste",
            "Band/song",
            "only",
            "secret",
            "twin/a",
            "twin/b",
            "replaced",
        ] {
            scene.saves(&format!("BTsync/files/{name}"), format!("{name} one").as_bytes());
        }
        scene.house.run();
        scene.see();
        scene.asks(PHONE, 1, "get", "Photos", "");
        scene.asks(LAPTOP, 2, "get", "letter", "");
        scene.asks(LAPTOP, 3, "get", "twin", "");
        scene.asks(LAPTOP, 4, "get", "replaced", "");
        scene.asks(PHONE, 5, "share", "doc", r#","with":"friend""#);
        scene.asks(PHONE, 6, "share-folder", "Band", r#","limit_mb":5"#);
        scene.runs();
        scene.asks(PHONE, 7, "delete", "Photos/1", "");
        scene.asks(PHONE, 8, "pin", "Photos/2", "");
        scene.asks(PHONE, 9, "destroy", "waste", &seen("waste one".len()));
        scene.saves("BTsync/devices/LinuxLaptop/letter", b"letter two");
        scene.saves("BTsync/files/replaced", b"replaced two");
        scene.saves("BTsync/shared/Band/from/friend", b"a friend's");
        scene.runs();
        scene.saves("BTsync/files/Photos/later", b"Photos/later one");
        scene.runs();
        scene.runs();
        scene.history.now = now();
        scene
    }

    pub(crate) fn disk(&self) -> Disk {
        Disk::at(&self.house.drive)
    }

    pub(crate) fn at(&self, path: &str) -> PathBuf {
        self.house.drive.join(path)
    }

    pub(crate) fn see(&mut self) {
        let disk = self.disk();
        self.history.see(&Snapshot::of(&disk));
    }

    pub(crate) fn runs(&mut self) {
        self.house.run();
        self.see();
    }

    /// Somebody saves a file.
    pub(crate) fn saves(&mut self, path: &str, content: &[u8]) {
        let disk = self.disk();
        let (house, at) = (&self.house, self.at(path));
        self.history.act(&disk, || house.save(&at, content));
        if let Some(rest) = path.strip_prefix("BTsync/devices/") {
            let (device, path) = rest.split_once('/').expect("on a device");
            self.history.touched_on(device, path.as_bytes());
        } else if let Some(path) = path.strip_prefix("BTsync/files/") {
            self.history.touched_at_home(path.as_bytes());
        }
    }

    pub(crate) fn asks(&mut self, device: &str, id: u64, op: &str, path: &str, more: &str) {
        let disk = self.disk();
        let (name, what) = (format!("{id:020x}"), (op, path.as_bytes()));
        self.history.press(&Snapshot::of(&disk), device, &name, what, &[]);
        self.house.drop_list(device, &[wish(id, op, path.as_bytes(), more)]);
    }

    pub(crate) fn ledger(&self, sql: &str) {
        let db = rusqlite::Connection::open(self.at("BTsyncApp/ledger.sqlite")).expect("a ledger");
        let changed = db.execute(sql, []).expect(sql);
        assert!(changed > 0, "{sql} changes nothing");
    }

    /// Records a link on a device as the engine would.
    pub(crate) fn records(&self, device: &str, path: &str) {
        let at = self.at("BTsync/devices").join(device).join(path);
        let ino = fs::metadata(at).expect("it is there").ino();
        self.ledger(&format!(
            "INSERT INTO links SELECT id, cast('{path}' AS BLOB), {ino}, 1, 0, 0, 0 FROM devices
             WHERE name = '{device}'"
        ));
    }

    /// Changes a page as a text.
    pub(crate) fn rewrites(&self, page: &str, change: impl Fn(&str) -> String) {
        let at = self.at("BTsync/catalogue").join(page).join("catalogue.html");
        let was = fs::read_to_string(&at).expect("it was there");
        let new = change(&was);
        assert_ne!(was, new, "nothing was changed");
        fs::write(at, new).expect("changed");
    }

    /// The folder of the share of `doc`.
    pub(crate) fn share(&self) -> PathBuf {
        let doc = self.one("BTsync/shared", "/doc");
        doc.parent().expect("a folder").to_owned()
    }

    pub(crate) fn kinds(&self) -> BTreeSet<Kind> {
        self.judged().into_iter().map(|violation| violation.kind).collect()
    }

    pub(crate) fn judged(&self) -> Vec<Violation> {
        judge(&self.disk(), &self.at("BTsyncApp/ledger.sqlite"), &self.history)
    }

    /// The only file below a folder whose name ends so.
    pub(crate) fn one(&self, folder: &str, end: &str) -> PathBuf {
        let mut found = Vec::new();
        drive::walk(&self.at(folder), &mut |path, meta| {
            if meta.is_file() && path.as_os_str().as_bytes().ends_with(end.as_bytes()) {
                found.push(path.to_owned());
            }
        });
        assert_eq!(found.len(), 1, "{folder} … {end}: {found:?}");
        found.remove(0)
    }
}

pub(crate) fn remove(at: &Path) {
    fs::remove_file(at).expect("it was there");
}

/// Changes a byte in place and leaves size and time as they were.
pub(crate) fn spoil(at: &Path) {
    let mut bytes = fs::read(at).expect("it was there");
    let time = fs::metadata(at).and_then(|m| m.modified()).expect("a time");
    bytes[0] ^= 1;
    fs::write(at, bytes).expect("changed");
    let file = fs::File::options().write(true).open(at).expect("a file");
    file.set_modified(time).expect("its time");
}

/// A copy in place of a link. It is made beside it, so that it gets another inode.
pub(crate) fn copy(at: &Path) {
    let beside = at.with_extension("copy");
    fs::copy(at, &beside).expect("a copy");
    drive::set_mtime(&beside, LONG_AGO);
    fs::rename(&beside, at).expect("in its place");
}

pub(crate) fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("its folder");
    fs::hard_link(from, to).expect("a link");
}
