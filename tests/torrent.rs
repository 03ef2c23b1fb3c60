//! Torrents by the real program, held against what others make and read of the same files.
//!
//! mktorrent and transmission-show come with `.ci/setup torrent`; without them the test says that it is skipped.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)] // a test

#[path = "support/drive.rs"]
mod drive;

use drive::{House, LARDER, SETTINGS, os};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const TRACKER: &str = "http://192.0.2.1:6969/announce";

fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        println!(
            "SKIPPED: {program} is not installed (.ci/setup torrent): its reading of our torrents"
        );
    }
    there
}

fn create(house: &House, path: &str, more: &[&str]) -> Output {
    let mut command = Command::new(LARDER);
    command
        .args(["torrent", "create", path, "--drive"])
        .arg(&house.drive)
        .arg("--boot")
        .arg(&house.boot);
    command.args(more).current_dir(house.dir.path()).output().unwrap()
}

fn told(output: &Output) -> String {
    let all = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8(all).unwrap()
}

fn infohash(output: &Output) -> String {
    let told = told(output);
    let (_, rest) = told.split_once("info hash ").unwrap_or_else(|| panic!("{told}"));
    rest[..40].to_owned()
}

/// What transmission-show says after a word.
fn shown(file: &Path, word: &str) -> String {
    let output = Command::new("transmission-show").arg(file).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().find_map(|line| line.trim().strip_prefix(word)).map(str::trim);
    line.unwrap_or_else(|| panic!("no {word} in {text}")).to_owned()
}

/// A tree of files of many sizes below `files/Music`; their bytes differ.
fn furnish(house: &House) {
    let music = house.drive.join("BTsync/files/Music");
    for (at, size) in [
        ("a/one", 700_000_u32),
        ("a/two", 16_384),
        ("a-b", 1),
        ("B", 16_383),
        ("b/c/d/e", 100_000),
        ("\u{e4}\u{1f600}", 5),
    ] {
        let file = music.join(at);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let bytes: Vec<u8> = (0..size).map(|i| (i.wrapping_mul(size) >> 5) as u8).collect();
        fs::write(file, bytes).unwrap();
    }
}

#[test]
fn the_info_hash_is_that_of_mktorrent() {
    if !has("mktorrent") {
        return;
    }
    let house = House::new(SETTINGS);
    furnish(&house);
    for (name, path, more, theirs) in [
        ("one", "Music/a/one", &["--piece", "32768"][..], &["-l", "15"][..]),
        ("private", "Music/a/one", &["--piece", "65536", "--private"], &["-l", "16", "-p"]),
        ("folder", "Music/b", &["--piece", "32768"], &["-l", "15"]),
    ] {
        let ours = house.dir.path().join(format!("{name}-ours.torrent"));
        let output = create(
            &house,
            path,
            &[more, &["--tracker", TRACKER, "--out", ours.to_str().unwrap()]].concat(),
        );
        assert!(output.status.success(), "{}", told(&output));
        let other = house.dir.path().join(format!("{name}-theirs.torrent"));
        let made = Command::new("mktorrent")
            .args(theirs)
            .args(["-d", "-a", TRACKER, "-o"])
            .arg(&other)
            .arg(house.drive.join("BTsync/files").join(path))
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        if has("transmission-show") {
            assert_eq!(shown(&ours, "Hash:"), shown(&other, "Hash:"), "{name}");
            assert_eq!(shown(&ours, "Hash:"), infohash(&output), "{name}");
        }
    }
}

#[test]
fn a_client_reads_what_was_made() {
    if !has("transmission-show") {
        return;
    }
    let house = House::new(SETTINGS);
    furnish(&house);
    let output =
        create(&house, "Music", &["--tracker", TRACKER, "--web-seed", "http://192.0.2.1/files/"]);
    assert!(output.status.success(), "{}", told(&output));
    let file = house.dir.path().join("Music.torrent");
    assert_eq!(shown(&file, "Name:"), "Music");
    assert_eq!(shown(&file, "Hash:"), infohash(&output));
    assert_eq!(shown(&file, "Privacy:"), "Public torrent");
    assert_eq!(shown(&file, "Piece Count:"), "51");
    let told = told(&output);
    let magnet = format!(
        "magnet:?xt=urn:btih:{}&dn=Music&tr=http%3A%2F%2F192.0.2.1%3A6969%2Fannounce&ws=http%3A%2F%2F192.0.2.1%2Ffiles%2F",
        infohash(&output)
    );
    assert!(told.contains(&magnet), "{told}");
}

#[test]
fn names_of_every_kind_are_in_it_byte_by_byte() {
    let house = House::new(SETTINGS);
    let folder = house.drive.join("BTsync/files/odd");
    fs::create_dir_all(&folder).unwrap();
    for name in [&b"\xff\xfe"[..], b"a\nb", b"plain"] {
        fs::write(folder.join(os(name)), name).unwrap();
    }
    let output = create(&house, "odd", &[]);
    assert!(output.status.success(), "{}", told(&output));
    assert!(told(&output).contains("has a control character in its name"), "{}", told(&output));
    let made = fs::read(house.dir.path().join("odd.torrent")).unwrap();
    for name in [&b"4:pathl2:\xff\xfee"[..], b"4:pathl3:a\nbe", b"4:pathl5:plaine"] {
        assert!(made.windows(name.len()).any(|part| part == name), "{}", name.escape_ascii());
    }
}

#[test]
fn nothing_is_overwritten_and_nothing_changes_on_the_drive() {
    let house = House::new(SETTINGS);
    furnish(&house);
    let out = house.dir.path().join("mine.torrent");
    fs::write(&out, "somebody's").unwrap();
    let output = create(&house, "Music", &["--out", out.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", told(&output));
    assert!(
        told(&output).contains("there is such a file already; name another"),
        "{}",
        told(&output)
    );
    assert_eq!(fs::read(&out).unwrap(), b"somebody's");

    for (path, more, words) in [
        ("Nothing", &[][..], "there is nothing of this name at home"),
        ("Music", &["--piece", "20000"], "choose a power of two"),
        ("Music", &["--tracker", "nowhere"], "is no address of a tracker"),
    ] {
        let output = create(&house, path, &[&["--out", "new.torrent"], more].concat());
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains(words), "{}", told(&output));
        assert!(!house.dir.path().join("new.torrent").exists());
    }
    assert!(!house.drive.join("BTsyncApp/ledger.sqlite").exists(), "it opens no ledger");
}
