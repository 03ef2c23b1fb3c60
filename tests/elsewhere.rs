//! Drives that hold more than plain files of ours: subvolumes, snapshots and mounts below the family's folders,
//! files of another user or protected ones, and file systems that have no inodes left.
//!
//! Real file systems on loop devices. What needs root or a file system's tools says so when it is left out.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stderr)]

#[path = "support/drive.rs"]
mod drive;

use drive::{House, SETTINGS, text, walk, wish};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

const NOBODY: u32 = 65_534;

/// mkfs.btrfs looks at every loop device of the machine: one test at a time makes them.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn sh(script: &str) -> Option<String> {
    let out = Command::new("sh").args(["-c", script]).output().unwrap();
    match out.status.success() {
        true => Some(String::from_utf8_lossy(&out.stdout).trim().to_owned()),
        false => {
            eprintln!("{script}: {}", text(&out));
            None
        }
    }
}

fn possible(tools: &[&str]) -> bool {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let there = |tool: &&str| sh(&format!("command -v {tool}")).is_some();
    let possible = root && tools.iter().all(there) && sh("losetup -f").is_some();
    if !possible {
        eprintln!("SKIPPED: needs root, loop devices and {tools:?}");
    }
    possible
}

/// A file system on a loop device, mounted for one test.
struct Mounted {
    at: tempfile::TempDir,
    image: tempfile::NamedTempFile,
}

impl Mounted {
    fn new(size: &str, mkfs: &str) -> Self {
        let (at, image) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        let (file, point) = (image.path().display(), at.path().display());
        let script =
            format!("truncate -s {size} {file} && {mkfs} {file} && mount -o loop {file} {point}");
        sh(&script).expect("a mounted file system");
        std::fs::set_permissions(at.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { at, image }
    }

    fn btrfs() -> Self {
        Self::new("160M", "mkfs.btrfs -q")
    }

    /// A house on it.
    fn house(&self) -> House {
        let dir = tempfile::tempdir_in(self.at.path()).unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        House::within(dir, SETTINGS)
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _image = &self.image;
        sh(&format!("umount -R {}", self.at.path().display()));
    }
}

/// Every content on the drive outside of `but`, of plain files.
fn contents(house: &House, but: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    walk(&house.drive, &mut |path, meta| {
        if meta.is_file() && !path.starts_with(but) {
            found.push(std::fs::read(path).unwrap());
        }
    });
    found
}

fn status(house: &House) -> String {
    text(&house.larder(&["status"]).output().unwrap())
}

fn get(house: &mut House, id: u64, path: &str) {
    house.drop_list("HTCphone", &[wish(id, "get", path.as_bytes(), "")]);
    house.run();
}

#[test]
fn a_snapshot_takes_no_masters_place() {
    if !possible(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::btrfs();
    let mut house = mounted.house();
    let master = house.home(b"Docs/t");
    house.save(&master, b"first");
    house.run();
    get(&mut house, 1, "Docs/t");
    let link = house.on("HTCphone", b"Docs/t");
    assert_eq!(std::fs::read(&link).unwrap(), b"first");
    let snap = house.home(b"snap");
    let (whole, into) = (mounted.at.path().display(), snap.display());
    sh(&format!("btrfs subvolume snapshot {whole} {into}")).unwrap();
    let drive = house.drive.strip_prefix(mounted.at.path()).unwrap();
    let twin = snap.join(drive).join("BTsync/files/Docs/t");
    assert_eq!(
        std::fs::metadata(&twin).unwrap().ino(),
        std::fs::metadata(&master).unwrap().ino(),
        "the trap: one number, two files"
    );
    house.run();
    // Edited in place, then removed at home: the phone's link is its last name.
    std::fs::write(&master, b"second").unwrap();
    house.run();
    std::fs::remove_file(&master).unwrap();
    house.run();
    assert_eq!(std::fs::read(&master).unwrap(), b"second", "it is at home again");
    assert_eq!(house.check(), [""; 0]);
    std::fs::remove_file(&link).unwrap();
    house.run();
    let left = contents(&house, &snap);
    assert!(left.iter().any(|c| c == b"second"), "nothing was lost");
    assert_eq!(std::fs::read(&twin).unwrap(), b"first", "the snapshot is as it was");
    // Told once, with its name and why, and no advice to remove it.
    let told = status(&house);
    assert!(told.contains("BTsync/files/snap"), "{told}");
    assert!(told.contains("another file system"), "{told}");
    assert!(!told.contains("remove"), "{told}");
    // A get of what is in it is answered with the cause.
    let inside = format!("snap/{}/BTsync/files/Docs/t", drive.display());
    get(&mut house, 2, &inside);
    let (state, why) = house.answer(2).unwrap();
    assert_eq!(state, "refused");
    assert!(why.contains("another file system"), "{why}");
}

#[test]
fn a_subvolume_on_a_device_is_neither_read_nor_believed_gone() {
    if !possible(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::btrfs();
    let mut house = mounted.house();
    house.save(&house.home(b"d/x"), b"x");
    house.run();
    get(&mut house, 1, "d/x");
    let (d, aside) = (house.on("HTCphone", b"d"), house.on("HTCphone", b"e"));
    // Somebody puts a subvolume in the folder's place; the links lie in another folder.
    std::fs::rename(&d, &aside).unwrap();
    sh(&format!("btrfs -q subvolume create {}", d.display())).unwrap();
    std::fs::write(d.join("new"), b"new").unwrap();
    house.run();
    house.run();
    assert!(!house.home(b"d/new").exists(), "nothing of it is taken in");
    assert_eq!(std::fs::read(house.home(b"d/x")).unwrap(), b"x");
    let books = house.books();
    assert!(books.iter().any(|b| b == "link HTCphone d/x"), "not believed gone: {books:?}");
    assert_eq!(std::fs::read(d.join("new")).unwrap(), b"new");
    let told = status(&house);
    assert!(told.contains("devices/HTCphone/d") && told.contains("another file system"), "{told}");
}

#[test]
fn what_is_mounted_below_files_is_told_and_left_alone() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::new("64M", "mkfs.ext4 -q");
    let mut house = mounted.house();
    for name in ["Photos/a", "Photos/b", "z"] {
        house.save(&house.home(name.as_bytes()), name.as_bytes());
    }
    house.run();
    get(&mut house, 1, "Photos");
    let (photos, z) = (house.home(b"Photos"), house.home(b"z"));
    let bind = house.home(b"bind");
    let within = house.home(b"one");
    std::fs::create_dir(&bind).unwrap();
    std::fs::write(&within, b"").unwrap();
    sh(&format!("mount -t tmpfs none {}", photos.display())).unwrap();
    std::fs::write(photos.join("foreign"), b"foreign").unwrap();
    // The same file system once more, and a single file: no other device number, and not to be linked.
    sh(&format!("mount --bind {} {}", house.drive.display(), bind.display())).unwrap();
    sh(&format!("mount --bind {} {}", z.display(), within.display())).unwrap();
    house.run();
    house.run();
    let phone = house.on("HTCphone", b"Photos/a");
    assert_eq!(std::fs::read(&phone).unwrap(), b"Photos/a", "hidden is not gone");
    let told = status(&house);
    assert!(told.contains("3 names") && told.contains("BTsync/files/Photos"), "{told}");
    assert!(told.contains("another file system"), "{told}");
    get(&mut house, 2, "one");
    assert_eq!(house.answer(2).unwrap().0, "refused");
    let mut inside = Vec::new();
    walk(&photos, &mut |path, _| inside.push(path.to_owned()));
    assert_eq!(inside, [photos.join("foreign")], "nothing was made in it");
    for at in [&photos, &bind, &within] {
        sh(&format!("umount {}", at.display())).unwrap();
    }
    std::fs::remove_dir(&bind).unwrap();
    house.run();
    let told = status(&house);
    assert!(!told.contains("another file system"), "{told}");
    assert_eq!(std::fs::read(photos.join("a")).unwrap(), b"Photos/a");
    assert_eq!(house.check(), [""; 0]);
}

/// The program as somebody who owns the drive and is not root.
fn run_as_nobody(house: &House) {
    let mut command = house.larder(&["run", "--once", "--settle", "1"]);
    let out = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    assert!(out.status.success(), "{}", text(&out));
}

fn given_to_nobody(at: &Path) {
    sh(&format!("chown -R {NOBODY}:{NOBODY} {}", at.display())).unwrap();
}

#[test]
fn somebody_elses_files_are_named_with_the_cause() {
    if !possible(&["chattr", "mkfs.ext4"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::new("64M", "mkfs.ext4 -q");
    let mut house = mounted.house();
    let theirs = ["d/theirs", "d/protected", "d/ours", "d/closed/x"];
    for name in theirs {
        house.save(&house.home(name.as_bytes()), name.as_bytes());
    }
    given_to_nobody(house.dir.path());
    run_as_nobody(&house);
    let (other, protected) = (house.home(b"d/theirs"), house.home(b"d/protected"));
    sh(&format!("chown 0:0 {0} && chmod 0644 {0}", other.display())).unwrap();
    sh(&format!("chattr +i {}", protected.display())).unwrap();
    let closed = house.home(b"d/closed");
    sh(&format!("chown 0:0 {0} && chmod 0700 {0}", closed.display())).unwrap();
    let wishes = [
        wish(1, "get", b"d/theirs", ""),
        wish(2, "get", b"d/protected", ""),
        wish(3, "destroy", b"d/protected", &drive::seen(11)),
        wish(4, "get", b"d", ""),
    ];
    house.drop_list("HTCphone", &wishes);
    given_to_nobody(&house.drive.join("BTsync/catalogue"));
    run_as_nobody(&house);
    run_as_nobody(&house);
    let answers: Vec<_> = (1..=4).map(|id| house.answer(id).unwrap()).collect();
    sh(&format!("chattr -i {}", protected.display())).unwrap();
    for (state, why) in &answers {
        assert_eq!(state, "refused", "{answers:?}");
        assert!(!why.contains("changing"), "{why}");
    }
    assert!(answers[0].1.contains("another user"), "{answers:?}");
    assert!(answers[0].1.contains("chown"), "the next step: {answers:?}");
    assert!(answers[1].1.contains("chattr"), "{answers:?}");
    assert!(answers[2].1.contains("chattr"), "{answers:?}");
    // The rest of the folder is done all the same.
    assert_eq!(std::fs::read(house.on("HTCphone", b"d/ours")).unwrap(), b"d/ours");
    assert_eq!(std::fs::read(&protected).unwrap(), b"d/protected");
    let mut asked = house.larder(&["status"]);
    let told = text(&asked.uid(NOBODY).gid(NOBODY).output().unwrap());
    assert!(told.contains("1 folders in BTsync/files can't be read"), "{told}");
}

#[test]
fn no_inodes_left_is_said_as_such() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::new("64M", "mkfs.ext4 -q -N 128");
    let mut house = mounted.house();
    house.save(&house.home(b"x"), b"x");
    house.run();
    let fill: PathBuf = mounted.at.path().join("fill");
    std::fs::create_dir(&fill).unwrap();
    for n in 0.. {
        if std::fs::write(fill.join(n.to_string()), b"").is_err() {
            break;
        }
    }
    // Two of them for the wish and its way home; the folders that the link needs are what there is none for.
    std::fs::remove_file(fill.join("0")).unwrap();
    house.drop_list("HTCphone", &[wish(1, "get", b"x", "")]);
    while std::fs::write(fill.join("last"), b"").is_ok()
        && std::fs::rename(fill.join("last"), fill.join("0")).is_err()
    {}
    let out = house.larder(&["run", "--once", "--settle", "1"]).output().unwrap();
    let said = text(&out);
    assert!(said.contains("inodes"), "{said}");
    assert!(said.contains("number of files"), "in words for people, too: {said}");
    std::fs::remove_dir_all(&fill).unwrap();
    house.run();
    assert_eq!(std::fs::read(house.on("HTCphone", b"x")).unwrap(), b"x");
}

#[test]
fn a_devices_folder_on_another_file_system_stops_that_device_only() {
    if !possible(&["mkfs.btrfs", "btrfs"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::btrfs();
    let mut house = mounted.house();
    house.save(&house.home(b"d/x"), b"x");
    house.run();
    get(&mut house, 1, "d/x");
    let device = house.drive.join("BTsync/devices/HTCphone");
    let aside = house.drive.join("aside");
    std::fs::rename(&device, &aside).unwrap();
    sh(&format!("btrfs -q subvolume create {}", device.display())).unwrap();
    std::fs::write(device.join("new"), b"new").unwrap();
    house.run();
    let told = status(&house);
    let why = "BTsync/devices/HTCphone lies on another file system";
    assert!(told.contains(why), "{told}");
    // The house goes on for the others, and knows what it knew.
    house.drop_list("LinuxLaptop", &[wish(2, "get", b"d/x", "")]);
    house.run();
    assert_eq!(std::fs::read(house.on("LinuxLaptop", b"d/x")).unwrap(), b"x");
    let books = house.books();
    assert!(books.iter().any(|b| b == "link HTCphone d/x"), "not believed gone: {books:?}");
    assert_eq!(std::fs::read(house.home(b"d/x")).unwrap(), b"x");
    assert!(!house.home(b"new").exists(), "nothing of it is taken in");
    assert_eq!(std::fs::read(device.join("new")).unwrap(), b"new");
    sh(&format!("btrfs -q subvolume delete {}", device.display())).unwrap();
    std::fs::rename(&aside, &device).unwrap();
    house.run();
    assert!(!status(&house).contains("another file system"));
    assert_eq!(house.check(), [""; 0]);
}

#[test]
fn masters_on_another_file_system_are_told_with_the_next_step_and_not_believed_gone() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let _one = one_at_a_time();
    let mounted = Mounted::new("64M", "mkfs.ext4 -q");
    let mut house = mounted.house();
    house.save(&house.home(b"d/x"), b"x");
    house.run();
    get(&mut house, 1, "d/x");
    let files = house.drive.join("BTsync/files");
    sh(&format!("mount -t tmpfs none {}", files.display())).unwrap();
    let out = house.larder(&["run", "--once", "--settle", "1"]).output().unwrap();
    let left = std::fs::read_dir(&files).unwrap().count();
    sh(&format!("umount {}", files.display())).unwrap();
    let said = text(&out);
    assert!(said.contains("BTsync/files"), "{said}");
    assert!(said.contains("another file system") && said.contains("unmount it"), "{said}");
    assert_eq!(left, 0, "nothing was written over there");
    house.run();
    assert_eq!(std::fs::read(house.on("HTCphone", b"d/x")).unwrap(), b"x");
    assert_eq!(house.check(), [""; 0]);
}
