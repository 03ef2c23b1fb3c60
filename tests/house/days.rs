//! What people do with their devices, one day after the other.

use crate::home::{Device, House};
use crate::lab::{content, noise, program, put, remove, until};
use crate::page::{ABSENT, HERE, MOVING};
use crate::people::slow_line;
use larder::model::Action;
use std::os::unix::fs::MetadataExt as _;

fn get(at: &str) -> (Action, &str, &[&str]) {
    (Action::Get, at, &[])
}

#[test]
fn a_wish_on_the_phone_brings_the_file_and_the_page_tells_so() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone"]);
    let film = noise(1_000_000, 7);
    put(&house.drive("files"), "Films/film.mp4", &film);
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    let (address, line) = slow_line(house.sync_port(), 1_000_000_000);
    house.pair_by(&mut phone, address);
    assert_eq!(phone.state("Films/film.mp4"), ABSENT);

    // The line holds the film in its middle, so that there is a time in which it is on its way.
    let before = line.passed();
    line.hold_after(500_000);
    let id = phone.wish(&[get("Films/film.mp4")]);
    until("the page at home says that it is on its way", || {
        let page = house.page("HTCphone");
        page.is_some_and(|page| page.state("HTCphone", "Films/film.mp4") == MOVING)
    });
    assert!(house.drive("devices/HTCphone/Films/film.mp4").exists());
    assert!(!phone.file("Films/film.mp4").exists());
    line.release();
    until("the film is on the phone", || content(&phone.file("Films/film.mp4")) == film);
    phone.answered(&id);
    until("the page on the phone says here", || phone.state("Films/film.mp4") == HERE);
    let came = line.passed() - before;
    println!("a wish for 1 MB: {came} bytes came to the phone, pages and talk included");
    assert!(came < 1_500_000, "it came once: {came}");
    let (master, link) =
        (house.drive("files/Films/film.mp4"), house.drive("devices/HTCphone/Films/film.mp4"));
    assert_eq!(master.metadata().unwrap().ino(), link.metadata().unwrap().ino());
    phone.party.stop();
    house.end();
    until("nothing is left running", || house.processes().is_empty());
}

fn inode(at: &std::path::Path) -> u64 {
    at.metadata().map_or(0, |m| m.ino())
}

#[test]
fn what_devices_do_reaches_home_and_the_others() {
    let Some(program) = program() else { return };
    let mut house = House::new(&program, &["HTCphone", "LinuxLaptop"]);
    for name in ["a", "b", "c", "sub/d", "sub/e", "f"] {
        put(&house.drive("files/Photos"), name, name.repeat(1_000).as_bytes());
    }
    // Absences don't settle while this runs: what is told of one is believed by somebody's word.
    house.believes_after = Some(3_600);
    house.start();
    let mut phone = Device::new(&program, "HTCphone");
    let mut laptop = Device::new(&program, "LinuxLaptop");
    house.pair(&mut phone);
    house.pair(&mut laptop);

    // A folder, and what comes into it later.
    let id = phone.wish(&[get("Photos")]);
    phone.answered(&id);
    until("the folder is on the phone", || {
        ["a", "b", "c", "sub/d", "sub/e", "f"].iter().all(|n| phone.file("Photos").join(n).exists())
    });
    put(&house.drive("files/Photos"), "later", b"later");
    until("what came later is there too", || content(&phone.file("Photos/later")) == b"later");
    let id = laptop.wish(&[get("Photos/b"), get("Photos/c")]);
    laptop.answered(&id);
    until("the laptop has two", || {
        laptop.state("Photos/b") == HERE && laptop.state("Photos/c") == HERE
    });
    until("the pages tell of each other", || phone.page().state("LinuxLaptop", "Photos/c") == HERE);

    // Deleted on the phone.
    until("the phone has a", || phone.state("Photos/a") == HERE);
    remove(&phone.file("Photos/a"));
    phone.touched(&["Photos/a"]);
    until("the page says that a is not on the phone", || phone.state("Photos/a") == ABSENT);
    assert!(!house.drive("devices/HTCphone/Photos/a").exists());
    assert!(house.drive("files/Photos/a").exists());

    // Edited on the phone.
    phone.write("Photos/b", b"edited on the phone");
    until("the edit is at home", || {
        content(&house.drive("files/Photos/b")) == b"edited on the phone"
    });
    until("the edit is on the laptop", || {
        content(&laptop.file("Photos/b")) == b"edited on the phone"
    });
    until("home and links are one", || {
        let master = inode(&house.drive("files/Photos/b"));
        master == inode(&house.drive("devices/HTCphone/Photos/b"))
            && master == inode(&house.drive("devices/LinuxLaptop/Photos/b"))
    });
    until("the old version is kept", || {
        let versions = phone.page().house["versions"].clone();
        versions.as_array().is_some_and(|all| all.iter().any(|v| v["path"] == "Photos/b"))
    });

    // A master that is written in place, which no watcher sees in the links.
    house.judged.let_go("BTsync/files/Photos/c");
    write_in_place(&house.drive("files/Photos/c"), b"written in place at home");
    until("the change is on the phone", || {
        content(&phone.file("Photos/c")) == b"written in place at home"
    });
    until("the change is on the laptop", || {
        content(&laptop.file("Photos/c")) == b"written in place at home"
    });

    // Made on the phone, and renamed there.
    phone.write("New/note.txt", b"a note");
    until("the note is at home", || content(&house.drive("files/New/note.txt")) == b"a note");
    until("the page knows it", || phone.state("New/note.txt") == HERE);
    rename(&phone.file("Photos/sub/d"), &phone.file("Photos/sub/renamed"));
    phone.touched(&["Photos/sub/d", "Photos/sub/renamed"]);
    until("the new name is at home", || {
        content(&house.drive("files/Photos/sub/renamed")) == "sub/d".repeat(1_000).as_bytes()
    });
    until("the old name is not on the phone", || phone.state("Photos/sub/d") == ABSENT);
    assert!(house.drive("files/Photos/sub/d").exists());

    // From the phone to the laptop: the bytes stay at home.
    let id = phone.wish(&[(Action::Move, "Photos/f", &["LinuxLaptop"])]);
    phone.answered(&id);
    until("it is on the laptop", || {
        laptop.file("Photos/f").exists() && laptop.state("Photos/f") == HERE
    });
    until("it is not on the phone", || !phone.file("Photos/f").exists());
    assert!(house.drive("files/Photos/f").exists());

    // Changed on both sides while they did not hear of each other: both are kept.
    house.stop();
    put(&house.drive("files/Photos"), "b", b"changed at home");
    phone.write("Photos/b", b"changed on the phone");
    house.start();
    until("both are at home", || {
        let names = names(&house.drive("files/Photos"));
        let all: Vec<_> =
            names.iter().map(|n| content(&house.drive("files/Photos").join(n))).collect();
        all.iter().any(|c| c == b"changed at home")
            && all.iter().any(|c| c == b"changed on the phone")
    });
    println!("after a conflict: {:?}", names(&house.drive("files/Photos")));
    // What Syncthing keeps for itself is nobody's file.
    assert_eq!(names(&house.drive("files")), ["New", "Photos"]);
    phone.party.stop();
    laptop.party.stop();
    house.end();
}

fn names(at: &std::path::Path) -> Vec<String> {
    let all = std::fs::read_dir(at).unwrap();
    let mut names: Vec<_> = all.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[allow(clippy::disallowed_methods, reason = "a test plays a program that writes into a file")]
fn write_in_place(at: &std::path::Path, bytes: &[u8]) {
    std::fs::write(at, bytes).unwrap();
}

#[allow(clippy::disallowed_methods, reason = "a test plays a device, which renames its own files")]
fn rename(from: &std::path::Path, to: &std::path::Path) {
    std::fs::rename(from, to).unwrap();
}
