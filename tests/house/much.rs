//! Much at once, gone again from either side, and what a hostile device plants.

use crate::home::{Device, House};
use crate::lab::{content, noise, program, put, until, until_all};
use crate::page::{ABSENT, HERE};
use larder::model::Action;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::time::Instant;

/// Syncthing reads every byte of a hole, and gives way to everybody while it does.
const SPARSE: u64 = 100_000_000;

#[test]
fn a_thousand_small_files_and_a_large_one_arrive_and_leave() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let name = |i: usize| format!("{}/{i}.jpg", i % 10);
    for i in 0..1_000 {
        put(&house.drive("files/Small"), &name(i), &noise(4_000, i as u64 + 1));
    }
    let large = std::fs::File::create(house.drive("files/sparse")).unwrap();
    large.set_len(SPARSE).unwrap();
    drop(large);
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);

    let begun = Instant::now();
    let wish = phone.wish(&[(Action::Get, "sparse", &[]), (Action::Get, "Small", &[])]);
    phone.answered(&wish);
    let here = |page: &crate::page::Page| {
        page.files.values().filter(|states| states[0] == HERE).count() as u64
    };
    until_all("its page says that all is there", 1_001, || here(&phone.page()));
    println!("1,000 small files and 100 MB sparse, on the page: {:?}", begun.elapsed());
    for i in (0..1_000).step_by(37) {
        let (at, expected) = (phone.file("Small").join(name(i)), noise(4_000, i as u64 + 1));
        assert_eq!(content(&at), expected, "{i}");
    }
    let there = phone.file("sparse").metadata().unwrap();
    assert_eq!(there.len(), SPARSE);
    assert!(there.blocks() * 512 < 10_000_000, "still sparse");

    // Deleted on the page: gone from the phone, kept at home.
    let wish = phone.wish(&[(Action::Delete, "sparse", &[]), (Action::Delete, "Small/3", &[])]);
    phone.answered(&wish);
    until("they are gone from the phone", || {
        !phone.file("sparse").exists() && !phone.file("Small").join(name(3)).exists()
    });
    until("the page says so", || {
        phone.state("sparse") == ABSENT && phone.state("Small/3/3.jpg") == ABSENT
    });
    assert_eq!(house.drive("files/sparse").metadata().unwrap().len(), SPARSE);
    assert_eq!(content(&house.drive("files/Small").join(name(3))), noise(4_000, 4));
    assert!(phone.file("Small").join(name(4)).exists());
    phone.party.stop();
    house.end();
}

#[test]
fn what_a_hostile_phone_plants_stays_what_it_is() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone", "LinuxLaptop"]);
    put(&house.drive("files"), "letter", b"a letter");
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    house.pair(&mut phone);
    let wish = phone.wish(&[(Action::Get, "letter", &[])]);
    phone.answered(&wish);
    until("the letter is there", || phone.state("letter") == HERE);

    // Links to everything that it should not reach, and names that want to be something else.
    let files = phone.file("");
    let secret = house.drive("../BTsyncApp/ledger.sqlite");
    symlink(&secret, files.join("ledger")).unwrap();
    symlink("/etc", files.join("etc")).unwrap();
    symlink(house.drive("devices/LinuxLaptop"), files.join("laptop")).unwrap();
    let long = "x".repeat(240);
    let odd =
        ["a\nb", "\x1b[31mred", "gpj.\u{202e}exe", "<script>alert(1)<", "-rf", " ", long.as_str()];
    for name in odd {
        put(&files, &format!("odd/{name}"), b"odd");
    }
    put(&files, "set", b"id");
    std::fs::set_permissions(
        files.join("set"),
        std::os::unix::fs::PermissionsExt::from_mode(0o6777),
    )
    .unwrap();
    phone.touched(&[]);
    for name in odd {
        let at = house.drive("files/odd").join(name);
        until(&format!("{name:?} is at home"), || content(&at) == b"odd");
    }
    until("the file with bits is at home", || content(&house.drive("files/set")) == b"id");
    assert_eq!(house.drive("files/set").metadata().unwrap().mode() & 0o6000, 0);
    until("the page lists the odd names", || {
        let page = house.page("HTCphone");
        page.is_some_and(|p| odd.iter().all(|n| p.files.contains_key(&format!("odd/{n}"))))
    });
    // No link became a master, and none was followed.
    for name in ["ledger", "etc", "laptop"] {
        assert!(house.drive("files").join(name).symlink_metadata().is_err(), "{name}");
    }
    let masters = house.common().files;
    assert!(masters.keys().all(|p| !p.starts_with("etc") && !p.starts_with("laptop")));
    // A file behind a link that is a folder by now goes to a folder of that name, nowhere else.
    crate::lab::remove(&files.join("etc"));
    put(&files, "etc/larder-was-here", b"evil");
    phone.touched(&[]);
    until("it is a folder at home", || {
        content(&house.drive("files/etc/larder-was-here")) == b"evil"
    });
    assert!(!std::path::Path::new("/etc/larder-was-here").exists());
    assert_eq!(content(&house.drive("files/letter")), b"a letter");
    // The house still does what its people wish.
    let wish = phone.wish(&[(Action::Delete, "letter", &[])]);
    phone.answered(&wish);
    phone.party.stop();
    house.end();
}
