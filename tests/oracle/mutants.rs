//! One thing after the other of a good drive is broken, and must be found as what it is.

use crate::oracle::{Kind, Kind::*};
use crate::scene::{LAPTOP, PHONE, Scene, copy, link, remove, spoil};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is broken, and exactly which kinds must be found for it.
type Mutant = (&'static str, fn(&mut Scene), &'static [Kind]);

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
