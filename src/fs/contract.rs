//! What every drive does: one suite, run on the real one and on the one in memory.

use super::{Entry, FileSystem, FsError, Memory, Real};
use crate::model::{DeviceName, Place, RelPath, Spot};

fn files(path: &str) -> Spot {
    Place::Files.at(RelPath::new(path.as_bytes()).unwrap())
}

fn phone(path: &str) -> Spot {
    Place::Device(DeviceName::new("HTCphone").unwrap()).at(RelPath::new(path.as_bytes()).unwrap())
}

fn tmp(path: &str) -> Spot {
    Place::Tmp.at(RelPath::new(path.as_bytes()).unwrap())
}

fn ino(fs: &mut dyn FileSystem, at: &Spot) -> u64 {
    fs.stat(at).unwrap().unwrap().id.ino
}

/// Both drives, the real one in a temporary folder with symbolic links and a pipe planted.
fn drives() -> (tempfile::TempDir, Real, Memory) {
    let dir = tempfile::tempdir().unwrap();
    for place in ["BTsync/files", "BTsync/devices/HTCphone", "BTsyncApp/tmp", "outside"] {
        std::fs::create_dir_all(dir.path().join(place)).unwrap();
    }
    let phone_dir = dir.path().join("BTsync/devices/HTCphone");
    std::os::unix::fs::symlink("../../../outside", phone_dir.join("evil")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", phone_dir.join("passwd")).unwrap();
    let mut memory = Memory::new();
    memory.make_dir(&phone("")).unwrap();
    memory.put_other(&phone("evil"));
    memory.put_other(&phone("passwd"));
    let real = Real::open(dir.path()).unwrap();
    (dir, real, memory)
}

fn each(test: impl Fn(&mut dyn FileSystem)) {
    let (_dir, mut real, mut memory) = drives();
    println!("on the real drive");
    test(&mut real);
    println!("on the drive in memory");
    test(&mut memory);
}

#[test]
fn links_give_one_content_two_names() {
    each(|fs| {
        fs.make_dir(&files("a")).unwrap();
        fs.write_new(&files("a/x"), b"hello").unwrap();
        let x = ino(fs, &files("a/x"));
        let stat = fs.link(&files("a/x"), x, &phone("x")).unwrap();
        assert_eq!((stat.id.ino, stat.id.size, stat.nlink), (x, 5, 2));
        assert_eq!(fs.stat(&phone("x")).unwrap().unwrap(), stat);
        assert_eq!(fs.read(&phone("x"), 100).unwrap().unwrap(), b"hello");
        fs.unlink(&phone("x")).unwrap();
        assert_eq!(fs.stat(&phone("x")).unwrap(), None);
        assert_eq!(fs.stat(&files("a/x")).unwrap().unwrap().nlink, 1);
        fs.sync().unwrap();
    });
}

#[test]
fn nothing_is_overwritten() {
    each(|fs| {
        fs.write_new(&files("x"), b"1").unwrap();
        fs.write_new(&files("y"), b"2").unwrap();
        let x = ino(fs, &files("x"));
        let taken =
            |r: Result<(), FsError>| matches!(r, Err(FsError::Exists { at }) if at == files("y"));
        assert!(taken(fs.link(&files("x"), x, &files("y")).map(|_| ())));
        assert!(taken(fs.rename(&files("x"), &files("y"))));
        assert!(taken(fs.write_new(&files("y"), b"3")));
        assert_eq!(fs.read(&files("y"), 9).unwrap().unwrap(), b"2");
        assert_eq!(ino(fs, &files("x")), x);
    });
}

#[test]
fn only_the_inode_that_was_meant_is_linked() {
    each(|fs| {
        fs.write_new(&files("x"), b"1").unwrap();
        let x = ino(fs, &files("x"));
        let changed = fs.link(&files("x"), x + 1, &phone("x"));
        assert!(matches!(changed, Err(FsError::Changed { at }) if at == files("x")));
        assert_eq!(fs.look(&phone("x")).unwrap(), None);
        let missing = fs.link(&files("none"), x, &phone("x"));
        assert!(matches!(missing, Err(FsError::Missing { at }) if at == files("none")));
        let no_folder = fs.link(&files("x"), x, &phone("no/folder/x"));
        assert!(matches!(no_folder, Err(FsError::Missing { at }) if at == phone("no/folder/x")));
    });
}

#[test]
fn symbolic_links_lead_nowhere() {
    each(|fs| {
        fs.write_new(&files("x"), b"1").unwrap();
        let x = ino(fs, &files("x"));
        assert_eq!(fs.look(&phone("evil")).unwrap(), Some(Entry::Other));
        for r in [
            fs.link(&files("x"), x, &phone("evil/x")).map(|_| ()),
            fs.link(&phone("passwd"), x, &files("p")).map(|_| ()),
            fs.read(&phone("passwd"), 10).map(|_| ()),
            fs.stat(&phone("evil")).map(|_| ()),
            fs.make_dir(&phone("evil")),
            fs.make_dir(&phone("evil/below")),
        ] {
            assert!(matches!(r, Err(FsError::NotRegular { .. })), "{r:?}");
        }
        assert_eq!(fs.look(&files("p")).unwrap(), None);
    });
}

#[test]
fn exchange_keeps_both() {
    each(|fs| {
        fs.write_new(&files("x"), b"old").unwrap();
        fs.write_new(&tmp("1"), b"new").unwrap();
        fs.exchange(&tmp("1"), &files("x")).unwrap();
        assert_eq!(fs.read(&files("x"), 9).unwrap().unwrap(), b"new");
        assert_eq!(fs.read(&tmp("1"), 9).unwrap().unwrap(), b"old");
        assert!(matches!(fs.exchange(&tmp("none"), &files("x")), Err(FsError::Missing { .. })));
        fs.rename(&tmp("1"), &files("kept")).unwrap();
        assert_eq!(fs.look(&tmp("1")).unwrap(), None);
    });
}

#[test]
fn folders_are_made_with_those_above_and_removed_when_empty() {
    each(|fs| {
        fs.make_dir(&files("a/b/c")).unwrap();
        fs.make_dir(&files("a/b")).unwrap();
        fs.write_new(&files("a/b/x"), b"1").unwrap();
        assert!(matches!(fs.make_dir(&files("a/b/x")), Err(FsError::NotRegular { .. })));
        assert!(!fs.remove_dir(&files("a/b")).unwrap());
        assert!(fs.remove_dir(&files("a/b/c")).unwrap());
        assert!(!fs.remove_dir(&files("a/b/c")).unwrap());
        let names: Vec<_> =
            fs.list(&files("a/b")).unwrap().unwrap().into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, [b"x"]);
        let mut asked = 0;
        let mut stop = || {
            asked += 1;
            true
        };
        assert_eq!(fs.list_until(&files("a/b"), &mut stop).unwrap(), None);
        assert_eq!(asked, 1, "once for its one name");
        assert_eq!(fs.list_until(&files("nowhere"), &mut || true).unwrap(), Some(None));
        assert_eq!(fs.list(&files("nowhere")).unwrap(), None);
        // A handle kept to a folder that was made anew must not matter.
        fs.unlink(&files("a/b/x")).unwrap();
        assert!(fs.remove_dir(&files("a/b")).unwrap());
        fs.make_dir(&files("a/b")).unwrap();
        fs.write_new(&files("a/b/y"), b"2").unwrap();
        assert_eq!(fs.read(&files("a/b/y"), 9).unwrap().unwrap(), b"2");
    });
}

#[test]
fn reading_is_cut_one_byte_past_the_limit() {
    each(|fs| {
        fs.write_new(&files("x"), b"12345").unwrap();
        assert_eq!(fs.read(&files("x"), 3).unwrap().unwrap(), b"1234");
        assert_eq!(fs.read(&files("none"), 3).unwrap(), None);
        assert!(fs.space().unwrap().free.0 > 0);
    });
}

#[test]
fn names_of_any_bytes_are_names() {
    each(|fs| {
        for name in
            [&b"\xff\xfe"[..], b"new\nline", "\u{202e}gpj.exe".as_bytes(), b"...", &[b'x'; 255]]
        {
            let at = Place::Files.at(RelPath::new(name).unwrap());
            fs.write_new(&at, b"1").unwrap();
            let ino = ino(fs, &at);
            let to = Place::Device(DeviceName::new("HTCphone").unwrap()).at(at.path.clone());
            fs.link(&at, ino, &to).unwrap();
            assert_eq!(fs.stat(&to).unwrap().unwrap().id.ino, ino);
        }
    });
}

#[test]
fn what_has_no_content_can_be_taken_away_and_is_never_followed() {
    each(|fs| {
        fs.unlink(&phone("passwd")).unwrap();
        assert_eq!(fs.look(&phone("passwd")).unwrap(), None);
        fs.make_dir(&phone("folder")).unwrap();
        assert!(fs.unlink(&phone("folder")).is_err());
    });
    assert!(std::path::Path::new("/etc/passwd").exists());
}

/// A tmpfs on a folder of the real drive, as far as that may be mounted here.
struct MountedOn(std::path::PathBuf);

impl MountedOn {
    fn new(at: std::path::PathBuf) -> Option<Self> {
        std::fs::create_dir_all(&at).unwrap();
        let flags = rustix::mount::MountFlags::empty();
        match rustix::mount::mount("none", &at, "tmpfs", flags, None::<&std::ffi::CStr>) {
            Ok(()) => Some(Self(at)),
            Err(e) => {
                eprintln!("SKIPPED on the real drive: nothing can be mounted here ({e})");
                None
            }
        }
    }
}

impl Drop for MountedOn {
    fn drop(&mut self) {
        rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
}

#[test]
fn what_lies_on_another_file_system_is_seen_and_neither_entered_nor_touched() {
    let test = |fs: &mut dyn FileSystem| {
        fs.write_new(&files("x"), b"1").unwrap();
        let x = ino(fs, &files("x"));
        assert_eq!(fs.look(&phone("mounted")).unwrap(), Some(Entry::Elsewhere));
        let listed = fs.list(&phone("")).unwrap().unwrap();
        assert!(listed.contains(&(b"mounted".to_vec(), Entry::Elsewhere)), "{listed:?}");
        let found = fs.scan(&phone("")).unwrap();
        assert_eq!(found.elsewhere, [phone("mounted").path]);
        assert_eq!((found.tree.len(), found.unreadable_dirs.len()), (0, 0));
        for refused in [
            fs.look(&phone("mounted/x")).map(|_| ()),
            fs.list(&phone("mounted")).map(|_| ()),
            fs.stat(&phone("mounted")).map(|_| ()),
            fs.read(&phone("mounted/x"), 9).map(|_| ()),
            fs.link(&files("x"), x, &phone("mounted/x")).map(|_| ()),
            fs.make_dir(&phone("mounted")),
            fs.make_dir(&phone("mounted/below")),
            fs.write_new(&phone("mounted/new"), b"2"),
            fs.rename(&files("x"), &phone("mounted/x")),
            fs.unlink(&phone("mounted/x")),
        ] {
            assert!(matches!(refused, Err(FsError::OtherFileSystem { .. })), "{refused:?}");
        }
        assert_eq!(ino(fs, &files("x")), x);
    };
    let (dir, mut real, mut memory) = drives();
    memory.put_elsewhere(&phone("mounted"));
    println!("on the drive in memory");
    test(&mut memory);
    println!("on the real drive");
    let at = dir.path().join("BTsync/devices/HTCphone/mounted");
    if let Some(mounted) = MountedOn::new(at) {
        test(&mut real);
        assert_eq!(std::fs::read_dir(&mounted.0).unwrap().count(), 0);
    }
}

#[test]
fn a_place_on_another_file_system_hides_what_is_in_it_and_is_no_error() {
    let test = |fs: &mut dyn FileSystem| {
        assert_eq!(fs.look(&phone("")).unwrap(), Some(Entry::Elsewhere));
        for from in [phone(""), phone("a/b")] {
            let found = fs.scan(&from).unwrap();
            assert_eq!(found.elsewhere, std::slice::from_ref(&from.path), "{from}");
            assert_eq!((found.tree.len(), found.unreadable_dirs.len()), (0, 0), "{from}");
        }
        for refused in
            [fs.make_dir(&phone("")), fs.make_dir(&phone("a")), fs.write_new(&phone("x"), b"1")]
        {
            assert!(matches!(refused, Err(FsError::OtherFileSystem { .. })), "{refused:?}");
        }
        assert_eq!(fs.scan(&files("")).unwrap().elsewhere, [], "only that place");
    };
    let (dir, mut real, mut memory) = drives();
    memory.put_elsewhere(&phone(""));
    println!("on the drive in memory");
    test(&mut memory);
    let dry = super::DryRun::new(memory).make_dir(&phone(""));
    assert!(matches!(dry, Err(FsError::OtherFileSystem { .. })), "{dry:?}");
    println!("on the real drive");
    if let Some(mounted) = MountedOn::new(dir.path().join("BTsync/devices/HTCphone")) {
        test(&mut real);
        assert_eq!(std::fs::read_dir(&mounted.0).unwrap().count(), 0);
    }
}
