//! Names and things made to do harm, through the whole engine with the real program: nothing outside
//! the drive is touched, nothing is lost, and everybody else's wishes are fulfilled all the same.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/drive.rs"]
mod drive;
#[path = "support/hostile.rs"]
mod hostile;

use drive::{House, SETTINGS, text, wish};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;

/// Names of unfinished business, which are left alone on purpose.
fn is_transient(name: &[u8]) -> bool {
    larder::model::is_private(name)
}

#[test]
fn every_name_that_a_file_system_stores_is_carried_both_ways() {
    let table = hostile::load();
    let mut house = House::new(SETTINGS);
    let names: Vec<&Vec<u8>> = table
        .names
        .iter()
        .chain(&table.paths)
        .filter(|n| {
            !is_transient(n) && n.len() < 3_000 && n.iter().filter(|&&b| b == b'/').count() < 62
        })
        .collect();
    assert!(names.len() >= 100, "{} names", names.len());
    let mut items = Vec::new();
    for (i, name) in names.iter().enumerate() {
        let folder = format!("h{i}/").into_bytes();
        let path = [&folder, &***name].concat();
        house.save(&house.home(&path), format!("home {i}").as_bytes());
        items.push(wish(i as u64 + 1, "get", &path, ""));
        let own = [format!("p{i}/").as_bytes(), name].concat();
        house.save(&house.on("HTCphone", &own), format!("phone {i}").as_bytes());
    }
    house.drop_list("HTCphone", &items);
    house.run();
    for (i, name) in names.iter().enumerate() {
        let path = [format!("h{i}/").as_bytes(), name].concat();
        let got = std::fs::metadata(house.on("HTCphone", &path));
        let home = std::fs::metadata(house.home(&path)).expect("the master");
        let same = got.is_ok_and(|got| got.ino() == home.ino());
        assert!(same, "{}: {:?}", path.escape_ascii(), house.answer(i as u64 + 1));
        let own = [format!("p{i}/").as_bytes(), name].concat();
        let adopted = std::fs::read(house.home(&own)).expect("adopted");
        assert_eq!(adopted, format!("phone {i}").as_bytes(), "{}", own.escape_ascii());
    }
    assert_eq!(house.check(), [""; 0]);
    println!("{} names both ways", names.len());
}

#[test]
fn paths_that_lead_out_are_refused_and_touch_nothing() {
    let table = hostile::load();
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let outside = house.dir.path().join("outside");
    house.save(&outside, b"outside");
    let before = names_outside(&house);
    let mut items = Vec::new();
    let mut paths: Vec<String> = table.encoded.iter().map(|(path, _)| path.clone()).collect();
    paths.extend(table.refused.iter().map(|(raw, _)| drive::percent(raw)));
    paths.push("..%2f..%2f..%2foutside".into());
    for (i, path) in paths.iter().enumerate() {
        for (j, op) in ["get", "destroy", "mkdir", "delete", "undo", "move"].iter().enumerate() {
            let id = (i * 10 + j + 1) as u64;
            let seen = r#""seen":{"size":7,"mtime":1700000000},"to":["LinuxLaptop"]"#;
            items.push(format!(r#"{{"id":"{id:020x}","op":"{op}","path":{path:?},{seen},"at":"2026-11-23T10:00:00Z"}}"#));
        }
    }
    for part in items.chunks(500) {
        house.drop_list("HTCphone", part);
    }
    house.run();
    assert_eq!(names_outside(&house), before);
    assert_eq!(std::fs::read(house.home(b"doc")).expect("doc"), b"doc");
    assert_eq!(std::fs::read(&outside).expect("outside"), b"outside");
    assert_eq!(house.check(), [""; 0]);
}

/// Everything beside the drive's own folders.
fn names_outside(house: &House) -> Vec<String> {
    let mut all = Vec::new();
    drive::walk(house.dir.path(), &mut |path, meta| {
        if !path.starts_with(house.drive.join("BTsync"))
            && !path.starts_with(house.drive.join("BTsyncApp"))
        {
            let size = if meta.is_dir() { 0 } else { meta.len() };
            all.push(format!("{} {} {size}", path.display(), meta.ino()));
        }
    });
    all.sort();
    all
}

/// A house with a secret beside the drive and a wish of the laptop's that must not suffer.
fn besieged() -> (House, std::path::PathBuf) {
    let mut house = House::new(SETTINGS);
    house.save(&house.home(b"doc"), b"doc");
    let secret = house.dir.path().join("secrets");
    house.save(&secret.join("secret"), b"secret");
    house.run();
    house.drop_list("LinuxLaptop", &[wish(1, "get", b"doc", "")]);
    (house, secret)
}

fn withstands(house: &House, secret: &Path) {
    let before = names_outside(house);
    house.run();
    house.run();
    assert_eq!(names_outside(house), before);
    assert_eq!(std::fs::read(secret.join("secret")).expect("the secret"), b"secret");
    assert!(!house.home(b"secret").exists() && !house.home(b"evil/secret").exists());
    assert_eq!(std::fs::read(house.on("LinuxLaptop", b"doc")).expect("got"), b"doc");
}

#[test]
fn planted_links_lead_nowhere() {
    let (mut house, secret) = besieged();
    symlink(secret.join("secret"), house.on("HTCphone", b"file")).expect("planted");
    symlink(&secret, house.on("HTCphone", b"evil")).expect("planted");
    symlink(&secret, house.on("LinuxLaptop", b"sub")).expect("planted");
    house.save(&house.home(b"sub/one"), b"one");
    house.drop_list("LinuxLaptop", &[wish(2, "get", b"sub", ""), wish(3, "get", b"file", "")]);
    withstands(&house, &secret);
    assert!(!secret.join("one").exists());
}

#[test]
fn links_and_folders_in_place_of_the_page_stop_nothing() {
    for as_folder in [false, true] {
        let (house, secret) = besieged();
        let page = house.page("HTCphone");
        std::fs::remove_file(&page).expect("the page");
        if as_folder {
            std::fs::create_dir_all(page.join("full/of")).expect("planted");
            std::fs::write(page.join("full/of/things"), b"x").expect("planted");
        } else {
            symlink(secret.join("secret"), &page).expect("planted");
        }
        withstands(&house, &secret);
        assert_eq!(std::fs::symlink_metadata(&page).expect("it stays").is_dir(), as_folder);
    }
}

#[test]
fn a_link_in_place_of_the_catalogue_folder_is_not_followed() {
    let (house, secret) = besieged();
    let folder = house.drive.join("BTsync/catalogue/HTCphone");
    std::fs::remove_dir_all(&folder).expect("the folder");
    symlink(&secret, &folder).expect("planted");
    let before = names_outside(&house);
    let out = house.larder(&["run", "--once"]).output().expect("larder starts");
    println!("{}", text(&out));
    assert_eq!(names_outside(&house), before);
    assert!(!secret.join("catalogue.html").exists());
}

#[test]
fn a_link_in_place_of_a_devices_folder_is_not_followed() {
    let (house, secret) = besieged();
    let folder = house.drive.join("BTsync/devices/HTCphone");
    std::fs::remove_dir_all(&folder).expect("the folder");
    symlink(&secret, &folder).expect("planted");
    let before = names_outside(&house);
    let out = house.larder(&["run", "--once"]).output().expect("larder starts");
    println!("{}", text(&out));
    assert_eq!(names_outside(&house), before);
    assert!(!house.home(b"secret").exists());
}

#[test]
fn pipes_setuid_sparse_deep_and_long_things_do_no_harm() {
    let settings = SETTINGS.replace("[devices.HTCphone]", "[devices.HTCphone]\nquota = \"1 MB\"");
    let mut house = House::new(&settings);
    house.run();
    let pipe = house.on("HTCphone", b"pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).expect("a pipe");
    let setuid = house.on("HTCphone", b"setuid");
    house.save(&setuid, b"#!/bin/sh\n");
    std::fs::set_permissions(&setuid, std::fs::Permissions::from_mode(0o4755)).expect("setuid");
    // Two gigabytes that occupy nothing.
    let sparse = house.home(b"sparse");
    house.save(&sparse, b"");
    std::fs::File::options().write(true).open(&sparse).expect("it").set_len(2 << 30).expect("long");
    let deep = vec!["d"; 70].join("/");
    house.save(&house.on("HTCphone", deep.as_bytes()).join("f"), b"deep");
    let long = [b'x'; 255];
    house.save(&house.on("HTCphone", &long), b"long");
    house.drop_list("HTCphone", &[wish(1, "get", b"sparse", "")]);
    house.run();
    let (state, why) = house.answer(1).expect("an answer");
    assert!(state == "refused" && why.contains("quota"), "{state}: {why}");
    assert!(!house.on("HTCphone", b"sparse").exists());
    assert_eq!(std::fs::read(house.home(b"setuid")).expect("kept"), b"#!/bin/sh\n");
    assert_eq!(std::fs::read(house.home(&long)).expect("kept"), b"long");
    let deepest = house.on("HTCphone", deep.as_bytes()).join("f");
    assert_eq!(std::fs::read(deepest).expect("it stays on the device"), b"deep");
    assert!(!house.home(b"pipe").exists());
}

#[test]
fn a_name_swapped_while_the_engine_looks_betrays_nothing() {
    let (house, secret) = besieged();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let at = house.on("HTCphone", b"swapped");
    let beside = house.on("HTCphone", b".larder-beside");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut n = 0u64;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                n += 1;
                // Now a file, now a link to the secret, each put there by a rename.
                let made = match n % 2 {
                    0 => std::fs::write(&beside, b"innocent"),
                    _ => symlink(secret.join("secret"), &beside),
                };
                if made.is_ok() {
                    std::fs::rename(&beside, &at).expect("swapped");
                }
            }
        });
        for _ in 0..30 {
            let out = house.larder(&["run", "--once", "--settle", "1"]).output();
            let out = out.expect("larder starts");
            assert!(out.status.success(), "{}", text(&out));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    drive::walk(&house.drive.join("BTsync/files"), &mut |path, meta| {
        assert!(!meta.is_symlink(), "{}", path.display());
        if meta.is_file() {
            assert_ne!(std::fs::read(path).expect("a master"), b"secret", "{}", path.display());
        }
    });
    assert_eq!(std::fs::metadata(secret.join("secret")).expect("it").nlink(), 1);
    assert_eq!(std::fs::read(house.on("LinuxLaptop", b"doc")).expect("got"), b"doc");
}
