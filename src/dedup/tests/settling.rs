//! The night after a join: whoever has the name by then keeps it.

use super::*;

/// Longer than a tick of the clock that files are dated by.
fn tick() {
    std::thread::sleep(Duration::from_millis(50));
}

impl House {
    fn phone(&self, path: &str) -> PathBuf {
        self.dir.path().join("BTsync/devices/phone").join(path)
    }

    /// Gives the phone what the name means now, in place of what it had.
    fn follow(&self, path: &str) {
        let at = self.phone(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let fresh = at.with_extension("fresh");
        std::fs::hard_link(self.at(path), &fresh).unwrap();
        std::fs::rename(&fresh, &at).unwrap();
    }

    /// Equal files `a` and `b`; the phone has `b`, and its link followed the join.
    fn joined_and_followed() -> Self {
        let mut house = Self::new();
        house.put("a", b"equal", THEN);
        house.put("b", b"equal", THEN);
        house.follow("b");
        // Of two inodes the one with more names stays.
        for other in ["a", "again"] {
            std::fs::hard_link(house.at("a"), house.phone(other)).unwrap();
        }
        house.dedup();
        assert_eq!(house.ino("a"), house.ino("b"));
        house.follow("b");
        house
    }

    /// Another file takes the name, and the phone follows.
    fn replace(&self, path: &str, content: &[u8], mtime: u64) {
        self.put("fresh", content, mtime);
        std::fs::rename(self.at("fresh"), self.at(path)).unwrap();
        self.follow(path);
    }

    /// Where the old inode of a joined name waits.
    fn old(&self, path: &str) -> PathBuf {
        let root = self.dir.path().join("BTsyncApp/versions/joined");
        let mut found = std::fs::read_dir(root).unwrap().map(|b| b.unwrap().path().join(path));
        found.find(|at| at.exists()).unwrap()
    }

    fn read(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.at(path)).unwrap()
    }

    fn kept(&self, facts: &[Fact]) -> Vec<Vec<u8>> {
        let content = |fact: &Fact| {
            let Fact::Version(number, version) = fact else { panic!("{fact:?}") };
            let at = format!("BTsyncApp/versions/{number}/{}", version.path);
            std::fs::read(self.dir.path().join(at)).unwrap()
        };
        facts.iter().map(content).collect()
    }
}

#[test]
fn an_older_content_that_has_the_name_by_now_keeps_it() {
    for mtime in [THEN - 100, THEN, THEN + 100] {
        let mut house = House::joined_and_followed();
        house.replace("b", b"brought back", mtime);
        house.settle();
        assert_eq!(house.read("b"), b"brought back");
        assert_eq!(house.read("a"), b"equal");
        assert_eq!(house.aside(), 0);
    }
}

#[test]
fn what_has_the_name_since_a_late_write_keeps_it_and_the_write_is_a_version() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    house.dedup();
    std::fs::write(house.old("b"), b"late words").unwrap();
    tick();
    house.replace("b", b"brought back", THEN - 100);
    let facts = house.settle();
    assert_eq!(house.read("b"), b"brought back");
    assert_eq!(house.kept(&facts), [b"late words"]);
    assert_eq!(house.aside(), 0);
}

#[test]
fn a_late_write_after_the_phone_followed_has_the_name_again() {
    let mut house = House::joined_and_followed();
    tick();
    std::fs::write(house.old("b"), b"late words").unwrap();
    assert_eq!(house.settle(), []);
    assert_eq!((house.read("a"), house.read("b")), (b"equal".to_vec(), b"late words".to_vec()));
    assert_eq!(house.aside(), 0);
}

#[test]
fn what_lies_elsewhere_too_goes_and_what_does_not_is_kept() {
    let elsewhere = |path: &RelPath, size: u64, _: Time| {
        assert_eq!((path.to_string().as_str(), size), ("b", 5));
        vec![master(&rel("none")), master(&rel("other")), master(&rel("a"))]
    };
    // Edited, and `a` still has what `b` was.
    let mut house = House::joined_and_followed();
    house.put("other", b"OTHER", THEN);
    house.replace("b", b"edited", THEN + 100);
    assert_eq!(house.settle_with(&elsewhere), []);
    assert_eq!((house.read("b"), house.aside()), (b"edited".to_vec(), 0));
    // A late write that nobody else has.
    let mut house = House::joined_and_followed();
    house.put("other", b"OTHER", THEN);
    std::fs::write(house.old("b"), b"words").unwrap();
    tick();
    house.replace("b", b"edited", THEN + 100);
    let facts = house.settle_with(&elsewhere);
    assert_eq!((house.kept(&facts), house.aside()), (vec![b"words".to_vec()], 0));
}

#[test]
fn a_large_one_comes_to_its_end_in_short_slices() {
    let mut house = House::new();
    let film = vec![3u8; 5 << 20];
    for name in ["a", "b"] {
        house.put(name, &film, THEN);
    }
    house.follow("b");
    for again in ["a", "again"] {
        std::fs::hard_link(house.at("a"), house.phone(again)).unwrap();
    }
    house.dedup();
    house.follow("b");
    let (mut begun, mut slices) = (None, 0);
    loop {
        slices += 1;
        assert!(slices < 50, "it never ends");
        let mut left = 12;
        let mut stop = || {
            left -= 1;
            left < 0
        };
        let when = (now().plus_secs(1_000), 0);
        let (drive, applier) = (&mut house.drive, &mut Applier::new(7));
        let tell = &mut |fact| panic!("{fact:?}");
        let known: (_, &Elsewhere<'_>) = (&mut begun, &|_, _, _| Vec::new());
        match settle(drive, applier, when, known, &mut stop, tell).unwrap() {
            Progress::Finished => break,
            Progress::Stopped => assert!(begun.is_some()),
        }
    }
    assert!(slices > 5, "{slices}");
    assert_eq!((house.aside(), house.read("b") == film), (0, true));
}

#[test]
fn a_late_write_that_has_its_time_put_back_is_not_let_go() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    house.dedup();
    tick();
    let mut old = OpenOptions::new().write(true).open(house.old("b")).unwrap();
    old.write_all(b"EQUAL").unwrap();
    old.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(THEN)).unwrap();
    drop(old);
    let facts = house.settle();
    assert_eq!(house.kept(&facts), [b"EQUAL"]);
    assert_eq!((house.read("a"), house.aside()), (b"equal".to_vec(), 0));
}

#[test]
fn another_folder_that_takes_the_place_does_not_pass_for_what_was_joined() {
    let mut house = House::new();
    for (path, content) in [("a", "equal"), ("d/b", "equal"), ("other/b", "others")] {
        house.put(path, content.as_bytes(), THEN);
    }
    std::fs::hard_link(house.at("a"), house.at("again")).unwrap();
    house.dedup();
    assert_eq!(house.ino("a"), house.ino("d/b"));
    tick();
    // A folder that is renamed leaves the times of what is in it as they are.
    std::fs::rename(house.at("d"), house.at("away")).unwrap();
    std::fs::rename(house.at("other"), house.at("d")).unwrap();
    let facts = house.settle();
    assert_eq!(house.kept(&facts), [b"equal"]);
    assert_eq!((house.read("d/b"), house.aside()), (b"others".to_vec(), 0));
}

#[test]
fn what_nobody_wrote_to_is_not_read_again() {
    let mut house = House::new();
    let film = vec![3u8; 5 << 20];
    for name in ["a", "b"] {
        house.put(name, &film, THEN);
    }
    house.dedup();
    let mut asked = 0;
    let mut stop = || {
        asked += 1;
        false
    };
    let when = (now().plus_secs(1_000), 0);
    let known: (_, &Elsewhere<'_>) = (&mut None, &|_, _, _| Vec::new());
    let (drive, applier) = (&mut house.drive, &mut Applier::new(7));
    let tell = &mut |fact| panic!("{fact:?}");
    let end = settle(drive, applier, when, known, &mut stop, tell).unwrap();
    assert_eq!((end, house.aside()), (Progress::Finished, 0));
    // Compared in pieces it asks between them, above fifty times: see `a_large_one_comes_to_its_end_in_short_slices`.
    assert!(asked < 12, "{asked}");
}
