//! Deduplication on a real folder: what joins, what does not, and who writes in between.
#![allow(clippy::disallowed_methods)]

mod settling;

use super::*;
use crate::apply::{Applier, recover};
use crate::dedup::join::{Outcome, join, put_back};
use crate::fs::{FileSystem, Memory};
use crate::model::Spot;
use crate::plan::{Fact, World};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

const THEN: u64 = 1_700_000_000;
const ANY_AGE: Rules = Rules { least_age: i64::MIN, least_size: 1, most_links: 60_000 };

/// A folder that plays the drive.
pub(super) struct House {
    dir: tempfile::TempDir,
    drive: Real,
}

fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time(now.as_nanos() as i64)
}

fn rel(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["BTsync/files", "BTsyncApp/versions", "BTsyncApp/tmp"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let drive = Real::open(dir.path()).unwrap();
        Self { dir, drive }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.dir.path().join("BTsync/files").join(path)
    }

    fn put(&self, path: &str, content: &[u8], mtime: u64) {
        let at = self.at(path);
        std::fs::create_dir_all(at.parent().unwrap()).unwrap();
        let mut file = std::fs::File::create(&at).unwrap();
        file.write_all(content).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(mtime)).unwrap();
    }

    fn ino(&self, path: &str) -> u64 {
        std::fs::symlink_metadata(self.at(path)).unwrap().ino()
    }

    fn scan(&mut self) -> Tree<Stat> {
        let handle = self.drive.handle(&master(&RelPath::root())).unwrap();
        crate::fs::scan::scan(&handle, &Place::Files, &RelPath::root()).unwrap().tree
    }

    fn run(&mut self, job: &mut Job) -> (Progress, Vec<Event>) {
        let files = self.scan();
        let mut events = Vec::new();
        let stop = &mut || false;
        let end = job.run(&mut self.drive, &files, now(), stop, &mut |e| events.push(e)).unwrap();
        (end, events)
    }

    fn job(&mut self) -> Job {
        Job::new(&mut self.drive, ANY_AGE).unwrap()
    }

    fn dedup(&mut self) -> Job {
        let mut job = self.job();
        let (end, events) = self.run(&mut job);
        assert_eq!(end, Progress::Finished);
        println!("{events:?} {:?}", job.report());
        job
    }

    fn settle(&mut self) -> Vec<Fact> {
        self.settle_with(&|_, _, _| Vec::new())
    }

    fn settle_with(&mut self, elsewhere: &Elsewhere<'_>) -> Vec<Fact> {
        let mut facts = Vec::new();
        let (mut applier, later) = (Applier::new(7), now().plus_secs(1_000));
        let (stop, tell) = (&mut || false, &mut |fact| facts.push(fact));
        let known = (&mut None, elsewhere);
        let end = settle(&mut self.drive, &mut applier, (later, 0), known, stop, tell);
        assert_eq!(end.unwrap(), Progress::Finished);
        facts
    }

    fn aside(&mut self) -> usize {
        fn count(drive: &mut Real, at: &Spot) -> usize {
            let found = drive.list(at).unwrap().unwrap_or_default();
            let below = |drive: &mut Real, (name, entry): (Vec<u8>, crate::fs::Entry)| match entry {
                crate::fs::Entry::File(_) => 1,
                _ => count(drive, &at.place.clone().at(at.path.join(&name).unwrap())),
            };
            found.into_iter().map(|found| below(drive, found)).sum()
        }
        count(&mut self.drive, &join::aside_root())
    }
}

#[test]
fn joins_what_is_equal_and_leaves_the_rest() {
    let mut house = House::new();
    let big = vec![7u8; 3 * 1024 * 1024 + 5];
    let mut nearly = big.clone();
    *nearly.last_mut().unwrap() = 8;
    house.put("a/big", &big, THEN);
    house.put("b/big again", &big, THEN);
    house.put("b/nearly", &nearly, THEN);
    house.put("c/other time", &big, THEN + 1);
    house.put("small 1", b"x", THEN);
    house.put("small 2", b"x", THEN);
    house.put("small 3", b"y", THEN);
    house.put("empty 1", b"", THEN);
    house.put("empty 2", b"", THEN);
    std::fs::hard_link(house.at("small 2"), house.at("a/second name")).unwrap();
    house.put("rights 1", b"rights", THEN);
    house.put("rights 2", b"rights", THEN);
    std::fs::set_permissions(house.at("rights 2"), PermissionsExt::from_mode(0o600)).unwrap();
    house.put("open 1", b"open!", THEN);
    house.put("open 2", b"open!", THEN);
    let open = OpenOptions::new().write(true).open(house.at("open 2")).unwrap();
    let before = house.scan();

    let job = house.dedup();
    assert_eq!(house.ino("a/big"), house.ino("b/big again"));
    assert_eq!(house.ino("small 1"), house.ino("small 2"));
    assert_eq!(house.ino("small 1"), house.ino("a/second name"));
    for (a, b) in [
        ("a/big", "b/nearly"),
        ("a/big", "c/other time"),
        ("small 1", "small 3"),
        ("empty 1", "empty 2"),
        ("rights 1", "rights 2"),
        ("open 1", "open 2"),
    ] {
        assert_ne!(house.ino(a), house.ino(b), "{a}, {b}");
    }
    assert_eq!(job.report().names, 2);
    assert_eq!(job.report().left[&Left::InUse], 1);
    assert_eq!(job.report().left[&Left::Unlike], 2);
    let after = house.scan();
    before.for_each(Tree::<Stat>::ROOT, |path, stat| {
        let path = RelPath::new(path).unwrap();
        let now = after.get(&path).unwrap();
        assert_eq!((now.id.size, now.id.mtime), (stat.id.size, stat.id.mtime), "{path}");
    });
    // The old inodes wait, and go the night after.
    assert_eq!(house.aside(), 2);
    assert_eq!(house.settle(), []);
    assert_eq!(house.aside(), 0);
    assert_eq!(house.drive.list(&join::aside_root()).unwrap(), None);
    assert_eq!(std::fs::read(house.at("b/big again")).unwrap(), big);

    drop(open);
    house.dedup();
    assert_eq!(house.ino("open 1"), house.ino("open 2"));
}

#[test]
fn leaves_young_files_alone() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    let mut job = Job::new(&mut house.drive, Rules::default()).unwrap();
    let (_, events) = house.run(&mut job);
    assert_eq!((events.len(), job.report().left.get(&Left::Young)), (0, Some(&2)));
}

#[test]
fn a_crowd_is_joined_and_no_inode_gets_more_names_than_it_may() {
    let mut house = House::new();
    for i in 0..100 {
        house.put(&format!("a/{i}"), &vec![1; 20_000 + PARTLY], THEN);
        let mut other = vec![1; 20_000 + PARTLY];
        other[19_000 + i % 3] = 0;
        house.put(&format!("b/{i}"), &other, THEN);
    }
    let mut job = Job::new(&mut house.drive, Rules { most_links: 40, ..ANY_AGE }).unwrap();
    house.run(&mut job);
    let inodes = |folder: &str| {
        (0..100).map(|i| house.ino(&format!("{folder}/{i}"))).collect::<BTreeSet<_>>().len()
    };
    // 100 names at 40 each; three contents of 33 and 34 names.
    assert_eq!((inodes("a"), inodes("b")), (3, 3));
    for i in 0..100 {
        let links = std::fs::metadata(house.at(&format!("a/{i}"))).unwrap().nlink();
        assert!(links <= 40, "{links}");
    }
}

#[test]
fn a_crowd_that_was_stopped_is_not_torn_apart() {
    let mut house = House::new();
    for i in 0..80 {
        let mut content = vec![1; 20_000 + PARTLY];
        content[19_000 + PARTLY] = i % 2;
        house.put(&format!("{i}"), &content, THEN);
    }
    let mut job = house.job();
    let mut turns = 0;
    loop {
        turns += 1;
        assert!(turns < 50, "it never ends");
        let files = house.scan();
        // All the beginnings in the first turn, then some whole files, then all of them in step.
        let mut left = if turns == 1 { 200 } else { 40 + 25 * turns };
        let mut stop = || {
            left -= 1;
            left < 0
        };
        let end = job.run(&mut house.drive, &files, now(), &mut stop, &mut |_| {}).unwrap();
        if end == Progress::Finished {
            break;
        }
    }
    assert!(turns > 2, "{turns}");
    assert!(job.hashed.is_empty());
    let inodes: BTreeSet<_> = (0..80).map(|i| house.ino(&i.to_string())).collect();
    assert_eq!(inodes.len(), 2);
}

const PARTLY: usize = read::PART;

#[test]
fn says_what_it_would_do_and_does_nothing() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    let files = house.scan();
    let mut text = Vec::new();
    let report = dry_run(&mut house.drive, &files, ANY_AGE, now(), &mut text).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(report.names, 1);
    assert!(text.contains("BTsync/files/b -> BTsync/files/a"), "{text}");
    assert!(text.lines().last().unwrap().starts_with("It would save "), "{text}");
    assert_ne!(house.ino("a"), house.ino("b"));
    assert_eq!(house.aside(), 0);
}

#[test]
fn told_to_stop_it_asks_no_more_and_goes_on_until_all_is_done() {
    let mut house = House::new();
    // Pairs are compared at once; of more than two the beginnings come first; a crowd is hashed whole.
    let block = 2 * read::BLOCK;
    for (at, (count, size)) in [(2, 3 * block), (3, block), (40, block / 4)].iter().enumerate() {
        for name in 0..*count {
            house.put(&format!("{at}/{name}"), &vec![at as u8; *size], THEN);
        }
    }
    let (mut job, mut most) = (house.job(), 0);
    loop {
        let (files, mut asked) = (house.scan(), 0);
        let mut stop = || {
            asked += 1;
            asked > most
        };
        let end = job.run(&mut house.drive, &files, now(), &mut stop, &mut |_| {}).unwrap();
        if end == Progress::Finished {
            break;
        }
        assert_eq!(asked, most + 1, "nothing is done after it");
        most += 1;
    }
    // Each file is opened once at least, and each block of it read; a slice does little of that.
    assert!(most > 60, "it was asked only {most} times");
    assert_eq!(job.report().names, 1 + 2 + 39);
}

#[test]
fn what_it_learned_is_told_in_lots_and_kept_until_then() {
    let mut house = House::new();
    for name in 0..20 {
        house.put(&name.to_string(), &[name; 30], THEN);
    }
    let mut job = house.dedup();
    let mut told = BTreeSet::new();
    for left in [13, 6, 0, 0] {
        let learned = job.take_learned(7);
        assert!(learned.compared.len() <= 7);
        told.extend(learned.compared);
        assert_eq!(told.len(), 20 - left);
    }
    // So much waits to be told that it does no more until then.
    house.put("another 1", b"another", THEN);
    house.put("another 2", b"another", THEN);
    job = house.job();
    job.learned.compared = vec![(0, 0); MUCH];
    assert_eq!(house.run(&mut job).0, Progress::Stopped);
    assert_eq!(job.report().names, 0);
    job.take_learned(MUCH);
    assert_eq!(house.run(&mut job).0, Progress::Finished);
    assert_eq!(job.report().names, 1);
}

#[test]
fn goes_on_where_it_stopped() {
    let mut house = House::new();
    let big = vec![3u8; 5 * 1024 * 1024];
    for name in ["1/a", "1/b", "2/c"] {
        house.put(name, &big, THEN);
    }
    for i in 0..20 {
        house.put(&format!("s/{i}"), format!("{:02}", i % 5).as_bytes(), THEN);
    }
    // What changed less than a second ago is compared from the start.
    std::thread::sleep(Duration::from_millis(2100));
    let mut job = house.job();
    let (mut turns, mut joined, mut blocks) = (0, 0, 0);
    loop {
        turns += 1;
        let files = house.scan();
        // Some answers a turn, after those before it reads: too few for one of the big files.
        let mut left = 80;
        let mut stop = || {
            left -= 1;
            left < 0
        };
        let mut tell = |e| joined += u32::from(matches!(e, Event::Joined(..)));
        match job.run(&mut house.drive, &files, now(), &mut stop, &mut tell).unwrap() {
            Progress::Finished => break,
            Progress::Stopped => {
                blocks += u32::from(job.begun.is_some());
            }
        }
        assert!(turns < 200, "it never ends");
    }
    assert!(blocks > 2, "stopped within a file {blocks} times");
    assert_eq!(joined, 2 + 15);
    assert_eq!(house.ino("1/a"), house.ino("2/c"));
}

#[test]
fn who_found_the_name_before_the_exchange_and_writes_after_it_loses_nothing() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    house.put("c", b"EQUAL", THEN);
    house.put("d", b"EQUAL", THEN);
    // An O_PATH descriptor is a name that was found and not yet opened.
    let found = |house: &House, name: &str| {
        let flags = rustix::fs::OFlags::PATH;
        rustix::fs::open(house.at(name), flags, rustix::fs::Mode::empty()).unwrap()
    };
    let (late, early) = (found(&house, "b"), found(&house, "d"));
    house.dedup();
    assert_eq!(house.ino("a"), house.ino("b"));
    let reopen = |fd: &rustix::fd::OwnedFd| {
        use std::os::fd::AsRawFd as _;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        OpenOptions::new().write(true).truncate(true).open(path).unwrap()
    };
    reopen(&late).write_all(b"late words").unwrap();
    // And the other writes with an old date on it, while its name has been written to since.
    let mut file = reopen(&early);
    file.write_all(b"old words").unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(THEN - 9)).unwrap();
    drop(file);

    let facts = house.settle();
    assert_eq!(std::fs::read(house.at("a")).unwrap(), b"equal");
    assert_eq!(std::fs::read(house.at("b")).unwrap(), b"late words");
    assert_eq!(std::fs::read(house.at("d")).unwrap(), b"EQUAL");
    let [Fact::Version(number, version)] = &facts[..] else { panic!("{facts:?}") };
    assert_eq!(version.path, rel("d"));
    let kept = house.dir.path().join(format!("BTsyncApp/versions/{number}/d"));
    assert_eq!(std::fs::read(kept).unwrap(), b"old words");
    assert_eq!(house.aside(), 0);
}

#[test]
fn an_unsealed_batch_is_told_by_its_bytes() {
    let mut house = House::new();
    for name in ["a", "b", "c"] {
        house.put(name, b"equal", THEN);
    }
    house.dedup();
    for (name, entry) in house.drive.list(&join::aside_root()).unwrap().unwrap() {
        if name.contains(&b'.') {
            assert_eq!(entry, crate::fs::Entry::Dir);
            let mark = join::aside_root().path.join(&name).unwrap();
            house.drive.remove_dir(&Place::Versions.at(mark)).unwrap();
        }
    }
    // c has got another content in the meantime, by a rename.
    house.put("new", b"newer", THEN + 5);
    std::fs::rename(house.at("new"), house.at("c")).unwrap();
    let facts = house.settle();
    assert_eq!(facts.len(), 1, "{facts:?}");
    assert_eq!(std::fs::read(house.at("c")).unwrap(), b"newer");
    assert_eq!(house.aside(), 0);
}

#[test]
fn recovery_leaves_what_waits_to_settle() {
    let mut house = House::new();
    house.put("a", b"equal", THEN);
    house.put("b", b"equal", THEN);
    house.dedup();
    let (facts, applier) = recover(&mut house.drive, &World::default(), 1, now()).unwrap();
    assert_eq!((facts, applier.next_number()), (vec![], 1));
    assert_eq!(house.aside(), 1);
}

#[test]
fn no_content_loses_its_last_name_wherever_the_power_fails() {
    let (a, b) = (rel("d/a"), rel("e/b"));
    for broken in [false, true] {
        for cut in 0.. {
            let mut fs = Memory::new();
            let kept = fs.put(&master(&a), b"kept", Time(1));
            let old = fs.put(&master(&b), b"old", Time(1));
            fs.calls = 0;
            fs.fail_from = Some((cut, Errno::IO));
            let asked = std::cell::Cell::new(0);
            // The lease breaks right after the exchange.
            let whole = || {
                asked.set(asked.get() + 1);
                !broken || asked.get() < 2
            };
            let joined = join(&mut fs, 5, (&b, old), (&a, kept), (&whole, &|| true));
            let contents: BTreeSet<_> = fs.contents().map(<[u8]>::to_vec).collect();
            assert_eq!(contents, [b"kept".to_vec(), b"old".to_vec()].into(), "cut at {cut}");
            let Ok(outcome) = joined else { continue };
            assert_eq!(matches!(outcome, Outcome::Joined(_)), !broken);
            let content = fs.content(&master(&b)).unwrap();
            assert_eq!(content, if broken { &b"old"[..] } else { b"kept" });
            assert!(cut > 3);
            break;
        }
    }
}

#[test]
fn what_replaced_the_name_in_the_meantime_stays() {
    let (a, b) = (rel("a"), rel("b"));
    let mut fs = Memory::new();
    let kept = fs.put(&master(&a), b"kept", Time(1));
    let old = fs.put(&master(&b), b"old", Time(1));
    fs.put(&master(&b), b"new", Time(2));
    let outcome = join(&mut fs, 5, (&b, old), (&a, kept), (&|| true, &|| true)).unwrap();
    assert_eq!(outcome, Outcome::InUse);
    assert_eq!(fs.content(&master(&b)), Some(&b"new"[..]));
    assert_eq!(fs.files().count(), 2);
    // And when it is replaced after it was joined, nothing goes back.
    let old = fs.stat(&master(&b)).unwrap().unwrap().id.ino;
    join(&mut fs, 5, (&b, old), (&a, kept), (&|| true, &|| true)).unwrap();
    fs.put(&master(&b), b"newest", Time(3));
    let aside = Place::Versions.at(rel("joined/5/b"));
    assert!(!put_back(&mut fs, &aside, &master(&b), kept).unwrap());
    assert_eq!(fs.content(&master(&b)), Some(&b"newest"[..]));
    assert_eq!(fs.content(&aside), Some(&b"new"[..]));
}

#[test]
fn what_was_compared_is_read_again_only_with_new_company() {
    let mut house = House::new();
    // As long and as old, with one beginning or not.
    let long = |first: u8, last: u8| {
        let mut content = vec![b'.'; 50_000];
        (content[0], content[49_999]) = (first, last);
        content
    };
    for (name, content) in
        [("a", long(1, 1)), ("b", long(1, 1)), ("c", long(1, 2)), ("d", long(2, 1))]
    {
        house.put(name, &content, THEN);
    }
    let mut learned: Vec<Mark> = Vec::new();
    let mut night = |house: &mut House| {
        let mut job = house.job();
        job.remember(learned.clone());
        let (_, events) = house.run(&mut job);
        let news = job.take_learned(MUCH);
        assert_eq!(job.take_learned(MUCH), Learned::default());
        learned.retain(|(ino, _)| !news.outdated.contains(ino));
        learned.retain(|(ino, _)| !news.compared.iter().any(|(new, _)| new == ino));
        learned.extend(news.compared);
        (events.len(), job.report().read)
    };
    let (joined, read) = night(&mut house);
    assert!(joined == 1 && read > 0);
    assert_eq!(night(&mut house), (0, 0), "nothing is new, so nothing is read");
    // Another one comes, with an old date on it.
    house.put("e", &long(1, 2), THEN);
    assert_eq!(night(&mut house).0, 1);
    assert_eq!(house.ino("c"), house.ino("e"));
    assert_eq!(night(&mut house), (0, 0));
    // One changes, and becomes like another.
    house.put("d", &long(1, 1), THEN);
    assert_eq!(night(&mut house).0, 1);
    // What is in use is tried again.
    house.put("f", &long(1, 1), THEN);
    let open = OpenOptions::new().write(true).open(house.at("f")).unwrap();
    assert_eq!(night(&mut house).0, 0);
    drop(open);
    assert_eq!(night(&mut house).0, 1);
    assert_eq!(night(&mut house), (0, 0));
}
