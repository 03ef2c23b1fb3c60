//! Where the oracle must not complain, and what it must not know.

use crate::oracle::{Charging, Kind::Quota, Snapshot, judge_contents};
use crate::scene::{PHONE, QUOTA, Scene, link, remove};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

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
        let judges = !["main.rs", "faults.rs", "limits.rs", "mutants.rs", "scene.rs"]
            .iter()
            .any(|name| at.ends_with(name));
        if judges {
            for word in ["larder::", "crate::"] {
                assert!(!text.contains(word), "{} says {word}", at.display());
            }
        }
    }
}
