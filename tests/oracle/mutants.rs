//! A good drive, and what is found when one thing of it is broken.

use crate::drive::{self, House, LONG_AGO, seen, wish};
use crate::oracle::{
    Charging, Disk, History, Kind, Kind::*, Snapshot, Violation, judge, judge_contents,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

/// What is broken, and which kinds must be found for it: the first and, where it breaks more, the others.
type Mutant = (&'static str, fn(&mut Scene), &'static [Kind]);

/// A drive of the real program with a bit of everything, and its history.
struct Scene {
    house: House,
    history: History,
}

const PHONE: &str = "HTCphone";
const LAPTOP: &str = "LinuxLaptop";
const QUOTA: u64 = 64 * 1024;

fn now() -> i64 {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a time")
}

impl Scene {
    /// Files at home; the phone follows a folder and has an exception and a pin; the laptop has one file. There were an
    /// edit, a destroy that can be undone and one that is over, a share, a folder that others joined, an old version.
    fn good() -> Self {
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

    fn disk(&self) -> Disk {
        Disk::at(&self.house.drive)
    }

    fn at(&self, path: &str) -> PathBuf {
        self.house.drive.join(path)
    }

    fn see(&mut self) {
        let disk = self.disk();
        self.history.see(&Snapshot::of(&disk));
    }

    fn runs(&mut self) {
        self.house.run();
        self.see();
    }

    /// Somebody saves a file.
    fn saves(&mut self, path: &str, content: &[u8]) {
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

    fn asks(&mut self, device: &str, id: u64, op: &str, path: &str, more: &str) {
        let disk = self.disk();
        let (name, what) = (format!("{id:020x}"), (op, path.as_bytes()));
        self.history.press(&Snapshot::of(&disk), device, &name, what, &[]);
        self.house.drop_list(device, &[wish(id, op, path.as_bytes(), more)]);
    }

    fn ledger(&self, sql: &str) {
        let db = rusqlite::Connection::open(self.at("BTsyncApp/ledger.sqlite")).expect("a ledger");
        let changed = db.execute(sql, []).expect(sql);
        assert!(changed > 0, "{sql} changes nothing");
    }

    /// Records a link on a device as the engine would.
    fn records(&self, device: &str, path: &str) {
        let at = self.at("BTsync/devices").join(device).join(path);
        let ino = fs::metadata(at).expect("it is there").ino();
        self.ledger(&format!(
            "INSERT INTO links SELECT id, cast('{path}' AS BLOB), {ino}, 1, 0, 0, 0 FROM devices
             WHERE name = '{device}'"
        ));
    }

    /// Changes a page as a text.
    fn rewrites(&self, page: &str, change: impl Fn(&str) -> String) {
        let at = self.at("BTsync/catalogue").join(page).join("catalogue.html");
        let was = fs::read_to_string(&at).expect("it was there");
        let new = change(&was);
        assert_ne!(was, new, "nothing was changed");
        fs::write(at, new).expect("changed");
    }

    /// The folder of the share of `doc`.
    fn share(&self) -> PathBuf {
        let doc = self.one("BTsync/shared", "/doc");
        doc.parent().expect("a folder").to_owned()
    }

    fn kinds(&self) -> BTreeSet<Kind> {
        self.judged().into_iter().map(|violation| violation.kind).collect()
    }

    fn judged(&self) -> Vec<Violation> {
        judge(&self.disk(), &self.at("BTsyncApp/ledger.sqlite"), &self.history)
    }

    /// The only file below a folder whose name ends so.
    fn one(&self, folder: &str, end: &str) -> PathBuf {
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

fn remove(at: &Path) {
    fs::remove_file(at).expect("it was there");
}

/// Changes a byte in place and leaves size and time as they were.
fn spoil(at: &Path) {
    let mut bytes = fs::read(at).expect("it was there");
    let time = fs::metadata(at).and_then(|m| m.modified()).expect("a time");
    bytes[0] ^= 1;
    fs::write(at, bytes).expect("changed");
    let file = fs::File::options().write(true).open(at).expect("a file");
    file.set_modified(time).expect("its time");
}

/// A copy in place of a link. It is made beside it, so that it gets another inode.
fn copy(at: &Path) {
    let beside = at.with_extension("copy");
    fs::copy(at, &beside).expect("a copy");
    drive::set_mtime(&beside, LONG_AGO);
    fs::rename(&beside, at).expect("in its place");
}

fn link(from: &Path, to: &Path) {
    fs::create_dir_all(to.parent().expect("a folder")).expect("its folder");
    fs::hard_link(from, to).expect("a link");
}

const MUTANTS: &[Mutant] = &[
    (
        "a version's file is gone",
        |s| remove(&s.one("BTsyncApp/versions", "/letter")),
        &[Lost, VersionMissing],
    ),
    (
        "a version's row is gone",
        |s| s.ledger("DELETE FROM versions WHERE path = x'6c6574746572'"),
        &[VersionStray, VersionDate],
    ),
    (
        "a version is another file",
        |s| copy(&s.one("BTsyncApp/versions", "/letter")),
        &[VersionMissing],
    ),
    ("a byte of a version is another", |s| spoil(&s.one("BTsyncApp/versions", "/letter")), &[Lost]),
    (
        "a version is of a day to come",
        |s| s.ledger("UPDATE versions SET at = at + 9e14"),
        &[VersionDate],
    ),
    (
        "a destroyed file is gone before its time, with its row",
        |s| {
            remove(&s.one("BTsyncApp/versions", "/waste"));
            s.ledger("DELETE FROM versions WHERE path = x'7761737465'");
        },
        &[Lost, VersionDate],
    ),
    ("a byte of a master's only name is another", |s| spoil(&s.at("BTsync/files/only")), &[Lost]),
    ("a master's only name is gone", |s| remove(&s.at("BTsync/files/only")), &[Lost, PageList]),
    (
        "a master lies only where the deduplication puts things by",
        |s| {
            link(&s.at("BTsync/files/only"), &s.at("BTsyncApp/versions/joined/1/only"));
            remove(&s.at("BTsync/files/only"));
        },
        &[Lost, PageList],
    ),
    (
        "a link is a copy",
        |s| copy(&s.at("BTsync/devices/LinuxLaptop/letter")),
        &[NotTheLink, NotTheMaster],
    ),
    (
        "a copy is recorded as a link",
        |s| {
            copy(&s.at("BTsync/devices/LinuxLaptop/letter"));
            s.ledger("DELETE FROM links WHERE path = x'6c6574746572'");
            s.records(LAPTOP, "letter");
        },
        &[NotTheMaster],
    ),
    (
        "a device has a link that nobody asked for",
        |s| {
            link(&s.at("BTsync/files/secret"), &s.at("BTsync/devices/HTCphone/secret"));
        },
        &[Foreign, PageState],
    ),
    (
        "a device has a file that did not come home",
        |s| {
            fs::write(s.at("BTsync/devices/HTCphone/new"), b"new").expect("a file");
        },
        &[Foreign, NotTheMaster],
    ),
    (
        "a link is gone",
        |s| remove(&s.at("BTsync/devices/LinuxLaptop/letter")),
        &[Missing, PageState],
    ),
    (
        "a followed file is gone, with its row",
        |s| {
            remove(&s.at("BTsync/devices/HTCphone/Photos/3"));
            s.ledger("DELETE FROM links WHERE path = x'50686f746f732f33'");
        },
        &[Missing, PageState],
    ),
    (
        "a file that was got is gone, with its row and rule",
        |s| {
            remove(&s.at("BTsync/devices/LinuxLaptop/twin/a"));
            s.ledger("DELETE FROM links WHERE path = x'7477696e2f61'");
            s.ledger("DELETE FROM rules WHERE path = x'7477696e'");
        },
        &[Missing, PageState],
    ),
    (
        "a deleted file came back",
        |s| {
            link(&s.at("BTsync/files/Photos/1"), &s.at("BTsync/devices/HTCphone/Photos/1"));
            s.records(PHONE, "Photos/1");
        },
        &[NotGone, PageState],
    ),
    (
        "a destroyed file came back",
        |s| {
            link(&s.one("BTsyncApp/versions", "/waste"), &s.at("BTsync/files/waste"));
        },
        &[NotGone, PageList],
    ),
    (
        "a device holds too much",
        |s| {
            fs::write(s.at("BTsync/files/film"), vec![7; 100_000]).expect("a film");
            link(&s.at("BTsync/files/film"), &s.at("BTsync/devices/HTCphone/film"));
            s.records(PHONE, "film");
        },
        &[Quota, PageList],
    ),
    ("a share lacks its file", |s| remove(&s.share().join("doc")), &[ShareMissing]),
    ("a share has a copy", |s| copy(&s.share().join("doc")), &[ShareMissing, ShareForeign]),
    (
        "a share has a link of something else",
        |s| {
            link(&s.at("BTsync/files/secret"), &s.share().join("secret"));
        },
        &[ShareForeign],
    ),
    (
        "a share has a recorded link of something else",
        |s| {
            let at = s.share().join("secret");
            link(&s.at("BTsync/files/secret"), &at);
            let below = at.strip_prefix(s.at("BTsync/shared")).expect("a share");
            let (path, ino) = (below.display(), fs::metadata(&at).expect("a link").ino());
            s.ledger(&format!(
                "INSERT INTO share_links VALUES (cast('{path}' AS BLOB), {ino}, 0, 0)"
            ));
        },
        &[ShareForeign],
    ),
    (
        "a share is forgotten",
        |s| s.ledger("DELETE FROM shares WHERE path = x'646f63'"),
        &[ShareForeign],
    ),
    (
        "a joined folder has a link of something else",
        |s| {
            link(&s.at("BTsync/files/secret"), &s.at("BTsync/shared/Band/secret"));
        },
        &[Foreign, NotTheMaster, ShareForeign],
    ),
    ("a joined folder lacks a link", |s| remove(&s.at("BTsync/shared/Band/song")), &[Missing]),
    (
        "a page is cut off",
        |s| s.rewrites(PHONE, |page| page[..page.len() - 30].into()),
        &[PageBroken],
    ),
    ("a page is empty", |s| s.rewrites(LAPTOP, |_| String::new()), &[PageBroken]),
    ("a page is gone", |s| remove(&s.house.page(PHONE)), &[PageBroken]),
    (
        "a page is a symbolic link",
        |s| {
            let at = s.house.page(PHONE);
            fs::rename(&at, s.at("BTsync/files/page")).expect("moved");
            std::os::unix::fs::symlink("../../files/page", at).expect("a symbolic link");
        },
        &[PageBroken, PageList],
    ),
    (
        "a page has something behind the worklist",
        |s| s.rewrites(PHONE, |page| format!("{page}x")),
        &[PageBroken],
    ),
    (
        "the data of a page is damaged",
        |s| {
            s.rewrites(PHONE, |page| page.replacen("class=\"data\">", "class=\"data\">AAAA", 1));
        },
        &[PageBroken],
    ),
    (
        "a page is an older one",
        |s| {
            s.rewrites(PHONE, |page| {
                let at = page.rfind("\"gen\":").expect("a generation") + 6;
                let end = page[at..].find(',').expect("its end");
                page.replace(&format!("\"gen\":{}", &page[at..at + end]), "\"gen\":1")
            });
        },
        &[PageGeneration],
    ),
    (
        "a page changed and kept its generation",
        |s| {
            s.rewrites(PHONE, |page| page.replacen("\"now\":1", "\"now\":2", 1));
        },
        &[PageGeneration],
    ),
    (
        "a page is another's",
        |s| {
            let (own, other) = ("\"device\":\"HTCphone\"", "\"device\":\"LinuxLaptop\"");
            s.rewrites(PHONE, |page| page.replace(own, other));
        },
        &[PageBroken, PageGeneration],
    ),
    (
        "a master is not on the pages",
        |s| {
            fs::write(s.at("BTsync/files/new"), b"new").expect("a file");
        },
        &[PageList],
    ),
    (
        "a master is larger than the pages say",
        |s| {
            fs::write(s.at("BTsync/files/only"), b"only one, and more").expect("a file");
            s.history.contents.retain(|_, places| !places.contains(&b"BTsync/files/only"[..]));
        },
        &[PageList],
    ),
    (
        "a file was renamed at home behind the engine's back",
        |s| {
            fs::rename(s.at("BTsync/files/letter"), s.at("BTsync/files/renamed")).expect("renamed");
        },
        &[NotTheMaster, PageList],
    ),
    (
        "a name is left over in tmp",
        |s| {
            link(&s.at("BTsync/files/only"), &s.at("BTsyncApp/tmp/1/only"));
        },
        &[LeftOver],
    ),
    (
        "a file lies beside the folders",
        |s| {
            fs::write(s.at("BTsync/stray"), b"stray").expect("a file");
        },
        &[Outside],
    ),
    (
        "a file lies among the engine's",
        |s| {
            fs::write(s.at("BTsyncApp/stray"), b"stray").expect("a file");
        },
        &[Outside],
    ),
    (
        "a worklist was not harvested",
        |s| {
            s.house.drop_list(PHONE, &[]);
        },
        &[Outside],
    ),
    (
        "a device that nobody knows has a folder",
        |s| {
            fs::create_dir(s.at("BTsync/devices/stranger")).expect("a folder");
        },
        &[Outside],
    ),
    ("a wish is forgotten", |s| s.ledger("DELETE FROM wishes WHERE action = 'pin'"), &[Answer]),
    (
        "an answer is forgotten",
        |s| {
            s.ledger("UPDATE wishes SET answer = NULL WHERE action = 'pin'");
        },
        &[Answer],
    ),
    (
        "the ledger is damaged",
        |s| {
            fs::write(s.at("BTsyncApp/ledger.sqlite"), [b'x'; 5_000]).expect("damage");
        },
        &[Ledger],
    ),
];

#[test]
fn a_good_drive_is_good() {
    let scene = Scene::good();
    assert_eq!(scene.judged(), []);
    assert_eq!(scene.house.check(), [""; 0]);
    assert!(scene.history.contents.len() > 10 && scene.history.shown.len() > 1);
}

#[test]
fn each_thing_that_is_broken_is_found() {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut wrong = Vec::new();
        while let Some((what, breaks, expected)) = MUTANTS.get(next.fetch_add(1, Ordering::Relaxed))
        {
            let mut scene = Scene::good();
            breaks(&mut scene);
            if scene.kinds() != expected.iter().copied().collect() {
                wrong.push(format!("{what}: {:#?}, and not {expected:?}", scene.judged()));
            }
        }
        wrong
    };
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let mut wrong = worker();
        wrong.extend(other.join().expect("the other half"));
        wrong
    });
    println!("{} mutants", MUTANTS.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_device_is_charged_by_name_or_by_content() {
    let mut scene = Scene::good();
    link(&scene.at("BTsync/files/Photos/3"), &scene.at("BTsync/files/Photos/again"));
    scene.runs();
    let phone = scene.at("BTsync/devices/HTCphone/Photos");
    let ino = |name: &str| fs::metadata(phone.join(name)).expect("it is followed").ino();
    assert_eq!(ino("3"), ino("again"));
    // Photos/2, 3, later and again: three contents of a block each, under four names.
    let three = scene.history.devices.insert(PHONE.into(), Some(3 * 4_096));
    assert_eq!(three, Some(Some(QUOTA)));
    scene.history.charging = Charging::Content;
    assert_eq!(scene.judged(), []);
    scene.history.charging = Charging::Name;
    assert_eq!(scene.kinds(), [Quota].into());
    scene.history.devices.insert(PHONE.into(), Some(4 * 4_096));
    assert_eq!(scene.judged(), []);
    // What is pinned may not go, whatever it takes.
    scene.history.devices.insert(PHONE.into(), Some(4_096));
    assert_eq!(scene.kinds(), [Quota].into());
    scene.ledger("UPDATE rules SET path = x'50686f746f73' WHERE rule = 'pin'");
    assert_eq!(scene.judged(), []);
}

#[test]
fn what_may_be_gone_is_not_missed() {
    let mut scene = Scene::good();
    for old in ["/waste", "/letter"] {
        remove(&scene.one("BTsyncApp/versions", old));
    }
    let lost = |scene: &Scene| judge_contents(&Snapshot::of(&scene.disk()), &scene.history).len();
    assert_eq!(lost(&scene), 2);
    // The destroyed one when it can't be undone any more, the old one when the day is over that the page showed.
    scene.history.now += 86_400;
    assert_eq!(lost(&scene), 1);
    scene.history.now += 29 * 86_400;
    assert_eq!(lost(&scene), 0);
    // And what somebody threw away himself.
    let mut scene = Scene::good();
    let (disk, at) = (scene.disk(), scene.at("BTsync/files/only"));
    scene.history.act(&disk, || remove(&at));
    assert_eq!(lost(&scene), 0);
    // Not when it was there again.
    fs::write(&at, b"only one").expect("a file");
    scene.see();
    remove(&at);
    assert_eq!(lost(&scene), 1);
}

#[test]
fn the_oracle_knows_nothing_of_the_engine() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracle");
    for entry in fs::read_dir(folder).expect("the oracle") {
        let at = entry.expect("an entry").path();
        let text = fs::read_to_string(&at).expect("a source");
        assert!(text.lines().count() <= 500, "{} is too long", at.display());
        if !at.ends_with("mutants.rs") && !at.ends_with("main.rs") {
            for word in ["larder::", "crate::"] {
                assert!(!text.contains(word), "{} says {word}", at.display());
            }
        }
    }
}
