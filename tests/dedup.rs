//! Deduplication against the world: writers that race with it, power that fails in the middle of it, and
//! the file systems it meets.
//!
//! The race has 10,000 pairs, unless `LARDER_RACE_TRIALS` says otherwise; `LARDER_RACE_DIR` says on which drive it is
//! held. What needs root, strace or a file system's tools says so when it is left out.
#![allow(missing_docs, clippy::disallowed_methods, clippy::unwrap_used, clippy::print_stdout)]

use larder::apply::{Applier, recover};
use larder::dedup::{Elsewhere, Event, Job, Left, Progress, Rules, Way, settle};
use larder::fs::Real;
use larder::lease;
use larder::model::{Place, RelPath, Stat, Time, Tree};
use larder::plan::World;
use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

const ANY_AGE: Rules = Rules { least_age: i64::MIN, least_size: 1, most_links: 60_000 };
const THEN: u64 = 1_700_000_000;
/// Nothing is known of where else a content may lie.
const NOWHERE: &Elsewhere<'static> = &|_, _, _| Vec::new();

fn now() -> Time {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Time(now.as_nanos() as i64)
}

fn lay_out(root: &Path) {
    for folder in ["BTsync/files", "BTsyncApp/versions", "BTsyncApp/tmp"] {
        std::fs::create_dir_all(root.join(folder)).unwrap();
    }
}

fn put(root: &Path, path: &str, content: &[u8], mtime: u64) -> PathBuf {
    let at = root.join("BTsync/files").join(path);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    let mut file = File::create(&at).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(mtime)).unwrap();
    at
}

fn scan(drive: &mut Real) -> Tree<Stat> {
    let handle = drive.handle(&Place::Files.at(RelPath::root())).unwrap();
    larder::fs::scan::scan(&handle, &Place::Files, &RelPath::root()).unwrap().tree
}

fn dedup(root: &Path) -> Vec<Event> {
    dedup_and_report(root, &AtomicUsize::new(0)).0
}

/// What happened, and how many files were left alone because somebody wrote. Counts how often it was
/// asked whether to stop.
fn dedup_and_report(root: &Path, asked: &AtomicUsize) -> (Vec<Event>, u64) {
    let mut drive = Real::open(root).unwrap();
    let files = scan(&mut drive);
    let mut job = Job::new(&mut drive, ANY_AGE).unwrap();
    let mut events = Vec::new();
    let stop = &mut || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    job.run(&mut drive, &files, now(), stop, &mut |event| events.push(event)).unwrap();
    (events, job.report().left.get(&Left::InUse).copied().unwrap_or(0))
}

/// What the next night does, and a start before it.
fn next_night(root: &Path) {
    let mut drive = Real::open(root).unwrap();
    let later = now().plus_secs(10_000);
    let (_, mut applier) = recover(&mut drive, &World::default(), 1, later).unwrap();
    let (stop, tell) = (&mut || false, &mut |_| {});
    let known = (&mut None, NOWHERE);
    let end = settle(&mut drive, &mut applier, (later, 0), known, stop, tell).unwrap();
    assert_eq!(end, Progress::Finished);
}

/// Every content below a folder, by its bytes.
fn contents(root: &Path) -> BTreeSet<Vec<u8>> {
    let mut found = BTreeSet::new();
    let mut todo = vec![root.to_owned()];
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                todo.push(entry.path());
            } else {
                found.insert(std::fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// What a writer does to one name.
#[derive(Clone, Copy, Debug)]
enum Deed {
    InPlace,
    Rewrite,
    Append,
    CutOff,
    RenameOver,
    Remove,
    /// Both names in place, each at its own offset.
    Both,
}

const DEEDS: [Deed; 7] = [
    Deed::InPlace,
    Deed::Rewrite,
    Deed::Append,
    Deed::CutOff,
    Deed::RenameOver,
    Deed::Remove,
    Deed::Both,
];
const LENGTH: usize = 5_000;

fn original(trial: usize) -> Vec<u8> {
    let mut content = format!("{trial:08} original ").into_bytes();
    content.resize(LENGTH, b'.');
    content
}

fn mark(trial: usize, name: usize) -> Vec<u8> {
    format!("<written {trial:08} {name}>").into_bytes()
}

fn write(deed: Deed, path: &Path, trial: usize, name: usize) {
    let mark = mark(trial, name);
    let open = || OpenOptions::new().write(true).open(path).unwrap();
    match deed {
        Deed::InPlace | Deed::Both => open().write_all_at(&mark, name as u64 * 100).unwrap(),
        Deed::Rewrite => std::fs::write(path, &mark).unwrap(),
        Deed::Append => {
            OpenOptions::new().append(true).open(path).unwrap().write_all(&mark).unwrap();
        }
        Deed::CutOff => open().set_len(7).unwrap(),
        Deed::RenameOver => {
            let fresh = path.with_extension("fresh");
            std::fs::write(&fresh, &mark).unwrap();
            std::fs::rename(fresh, path).unwrap();
        }
        Deed::Remove => std::fs::remove_file(path).unwrap(),
    }
}

/// What the name must have after the deed, by itself.
fn expected(deed: Deed, trial: usize, name: usize) -> Option<Vec<u8>> {
    let mut content = original(trial);
    let mark = mark(trial, name);
    match deed {
        Deed::InPlace | Deed::Both => {
            content[name * 100..][..mark.len()].copy_from_slice(&mark);
        }
        Deed::Rewrite | Deed::RenameOver => content = mark,
        Deed::Append => content.extend_from_slice(&mark),
        Deed::CutOff => content.truncate(7),
        Deed::Remove => return None,
    }
    Some(content)
}

/// Joins some pairs that nobody writes to. For each, how often it had been asked whether to stop when the pair before
/// was joined, and when it was.
fn undisturbed(root: &Path, pairs: usize) -> Vec<(usize, usize)> {
    lay_out(root);
    for trial in 0..pairs {
        for name in ["a", "b"] {
            put(root, &format!("{name}/{trial}"), &original(trial), THEN + trial as u64);
        }
    }
    let mut drive = Real::open(root).unwrap();
    let files = scan(&mut drive);
    let asked = AtomicUsize::new(0);
    let mut moments = Vec::new();
    let stop = &mut || {
        asked.fetch_add(1, Ordering::Relaxed);
        false
    };
    let tell = &mut |_| moments.push(asked.load(Ordering::Relaxed));
    let mut job = Job::new(&mut drive, ANY_AGE).unwrap();
    job.run(&mut drive, &files, now(), stop, tell).unwrap();
    assert_eq!(moments.len(), pairs);
    for folder in ["BTsync", "BTsyncApp"] {
        std::fs::remove_dir_all(root.join(folder)).unwrap();
    }
    let each = moments[1] - moments[0];
    moments.iter().map(|&to| (to.saturating_sub(each), to)).collect()
}

#[test]
fn no_write_is_lost_to_a_race() {
    const PAIRS: usize = 16;
    let trials = std::env::var("LARDER_RACE_TRIALS").ok().and_then(|n| n.parse().ok());
    let trials: usize = trials.unwrap_or(10_000);
    let base = std::env::var_os("LARDER_RACE_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = tempfile::tempdir_in(base).unwrap();
    let root = dir.path();
    let mut state =
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
    println!("seed {state}");
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let moments = undisturbed(root, PAIRS);
    let (mut joined, mut held, mut versions, mut met) = (0, 0, 0, 0);
    for round in 0..trials.div_ceil(PAIRS) {
        lay_out(root);
        let mut pairs = Vec::new();
        for trial in round * PAIRS..(round + 1) * PAIRS {
            let names = ["a", "b"].map(|name| {
                put(root, &format!("{name}/{trial}"), &original(trial), THEN + trial as u64)
            });
            let deed = DEEDS[random(DEEDS.len() as u64) as usize];
            pairs.push((trial, names, deed, random(2) as usize));
        }
        // The writer follows by how often it was asked whether to stop, a little before or after each pair is
        // joined, so that it meets every step.
        let moments: Vec<_> = moments
            .iter()
            .map(|(from, to)| {
                let turn = from + random((to - from) as u64 + 2) as usize;
                (turn, Duration::from_nanos(random(250_000)))
            })
            .collect();
        let (asked, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (events, in_use) = std::thread::scope(|scope| {
            scope.spawn(|| {
                for ((trial, names, deed, name), (turn, time)) in pairs.iter().zip(&moments) {
                    while asked.load(Ordering::Relaxed) < *turn && !ended.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                    let until = Instant::now() + *time;
                    while Instant::now() < until {
                        std::hint::spin_loop();
                    }
                    write(*deed, &names[*name], *trial, *name);
                    if matches!(deed, Deed::Both) {
                        write(*deed, &names[1 - *name], *trial, 1 - *name);
                    }
                }
            });
            let done = dedup_and_report(root, &asked);
            ended.store(true, Ordering::Relaxed);
            done
        });
        met += in_use;
        let is_joined = |e: &&Event| matches!(e, Event::Joined(..) | Event::Shared(_));
        joined += events.iter().filter(is_joined).count();
        held += events.iter().filter(|e| matches!(e, Event::PutBack(..))).count();
        next_night(root);
        let all = contents(root);
        for (trial, names, deed, name) in &pairs {
            let about = format!("trial {trial}: {deed:?} on {}", names[*name].display());
            let read = |name: usize| std::fs::read(&names[name]).ok();
            let ino = |name: usize| std::fs::metadata(&names[name]).ok().map(|m| m.ino());
            let one = ino(0).is_some() && ino(0) == ino(1);
            let (writers, others): (&[usize], &[usize]) = match (deed, name) {
                (Deed::Both, _) => (&[0, 1], &[]),
                (_, 0) => (&[0], &[1]),
                _ => (&[1], &[0]),
            };
            for &writer in writers {
                let want = expected(*deed, *trial, writer);
                let both = || {
                    let mut content = expected(Deed::Both, *trial, 0).unwrap();
                    content[100..][..mark(0, 0).len()].copy_from_slice(&mark(*trial, 1));
                    content
                };
                let has = read(writer);
                let at_its_name =
                    has == want || (matches!(deed, Deed::Both) && one && has == Some(both()));
                // Two writers at the same moment may leave one of them a version.
                let kept = matches!(deed, Deed::Both) && want.is_some_and(|w| all.contains(&w));
                versions += usize::from(!at_its_name && kept);
                assert!(
                    at_its_name || kept,
                    "{about}: {:?}",
                    has.map(|h| String::from_utf8_lossy(&h).into_owned())
                );
            }
            for &other in others {
                let has = read(other);
                assert!(
                    has == Some(original(*trial)) || (one && has == read(*name)),
                    "{about}: {has:?}"
                );
            }
        }
        for folder in ["BTsync", "BTsyncApp"] {
            std::fs::remove_dir_all(root.join(folder)).unwrap();
        }
    }
    println!(
        "{trials} trials: {joined} joined, {met} in use, {held} put back late, {versions} kept as versions"
    );
    assert!(joined > 0 && joined < trials, "the writer never met the join: {joined}");
}

/// The tree on which power fails.
fn house(root: &Path) {
    lay_out(root);
    put(root, "a/one", b"equal", THEN);
    put(root, "b/two", b"equal", THEN);
    put(root, "b/three", b"equal", THEN);
    std::fs::hard_link(root.join("BTsync/files/b/two"), root.join("BTsync/files/second")).unwrap();
    put(root, "c/x", b"another", THEN + 5);
    put(root, "c/y", b"another", THEN + 5);
    put(root, "c/z", b"unequal", THEN + 5);
}

fn check(root: &Path, about: &str) {
    for (path, content) in [
        ("a/one", &b"equal"[..]),
        ("b/two", b"equal"),
        ("b/three", b"equal"),
        ("second", b"equal"),
        ("c/x", b"another"),
        ("c/y", b"another"),
        ("c/z", b"unequal"),
    ] {
        let has = std::fs::read(root.join("BTsync/files").join(path));
        assert_eq!(has.ok().as_deref(), Some(content), "{about}: {path}");
    }
}

/// Not a test: what the one below kills.
#[test]
#[ignore = "run by another test"]
fn child() {
    let Some(root) = std::env::var_os("LARDER_TEST_ROOT") else { return };
    let root = Path::new(&root);
    let mut drive = Real::open(root).unwrap();
    let files = scan(&mut drive);
    let (stop, later) = (&mut || false, now().plus_secs(1_000));
    let mut job = Job::new(&mut drive, ANY_AGE).unwrap();
    let fine = job.run(&mut drive, &files, now(), stop, &mut |_| {}).is_ok()
        && settle(
            &mut drive,
            &mut Applier::new(1),
            (later, 0),
            (&mut None, NOWHERE),
            stop,
            &mut |_| {},
        )
        .is_ok();
    std::process::exit(if fine { 0 } else { 3 });
}

#[test]
fn power_may_fail_at_every_call() {
    let strace = Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    if !strace.is_ok_and(|s| s.success()) {
        println!("LEFT OUT: strace is missing or may not trace; install strace");
        return;
    }
    let mut cases = 0;
    // All that changes the drive, and what takes and asks for leases: without one it goes on as if somebody wrote.
    for call in ["linkat", "renameat2", "unlinkat", "mkdirat", "syncfs", "fsync", "fcntl"] {
        for what in ["signal=KILL", "error=EIO"] {
            if (call, what) == ("fcntl", "error=EIO") {
                continue;
            }
            for nth in 1.. {
                let dir = tempfile::tempdir().unwrap();
                let root = dir.path();
                house(root);
                let about = format!("{call} {nth} {what}");
                let status = Command::new("strace")
                    .args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}")])
                    .args(["-e", &format!("inject={call}:{what}:when={nth}")])
                    .arg(std::env::current_exe().unwrap())
                    .args(["--exact", "child", "--ignored", "--test-threads=1"])
                    .env("LARDER_TEST_ROOT", root)
                    .output()
                    .unwrap()
                    .status;
                check(root, &about);
                next_night(root);
                check(root, &about);
                assert!(!root.join("BTsyncApp/versions/joined").exists(), "{about}");
                // And what was not done is done the next time.
                dedup(root);
                next_night(root);
                check(root, &about);
                let ino = |path: &str| {
                    std::fs::metadata(root.join("BTsync/files").join(path)).unwrap().ino()
                };
                assert!(ino("a/one") == ino("second") && ino("c/x") == ino("c/y"), "{about}");
                match (status.code(), status.signal()) {
                    (Some(0), _) => break,
                    (Some(3), _) => assert_eq!(what, "error=EIO", "{about}"),
                    (_, Some(9)) | (Some(137), _) => assert_eq!(what, "signal=KILL", "{about}"),
                    other => panic!("{about}: {other:?}"),
                }
                cases += 1;
            }
        }
    }
    println!("{cases} cases");
    assert!(cases > 20, "{cases} cases");
}

/// A file system of its own in a file, mounted until it is dropped.
struct Mounted {
    dir: tempfile::TempDir,
}

impl Mounted {
    fn new(kind: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("LEFT OUT: {kind}: only root can mount");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().join("image");
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        std::fs::create_dir(dir.path().join("drive")).unwrap();
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let made = Command::new(format!("mkfs.{kind}")).args(["-q", force]).arg(&image).output();
        let mounted = Command::new("mount")
            .args(["-t", kind, "-o", "loop"])
            .args([&image, &dir.path().join("drive")])
            .output();
        match (made, mounted) {
            (Ok(made), Ok(mounted)) if made.status.success() && mounted.status.success() => {
                Some(Self { dir })
            }
            (made, mounted) => {
                println!("LEFT OUT: {kind}: {made:?} {mounted:?}");
                None
            }
        }
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("drive")
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        Command::new("umount").arg(self.root()).status().unwrap();
    }
}

#[test]
fn each_file_system_in_its_way() {
    for (kind, way) in [("ext4", Way::Link), ("btrfs", Way::Share), ("xfs", Way::Share)] {
        let Some(mounted) = Mounted::new(kind) else { continue };
        let root = mounted.root();
        lay_out(&root);
        assert_eq!(Way::of(&mut Real::open(&root).unwrap()).unwrap(), way, "{kind}");
        let big: Vec<u8> = (0..9_000_001u32).map(|i| (i / 7 % 253) as u8).collect();
        let mut unequal = big.clone();
        unequal[8_999_999] ^= 1;
        let a = put(&root, "a", &big, THEN);
        let b = put(&root, "b", &big, THEN);
        let c = put(&root, "c", &big, THEN + 60);
        let d = put(&root, "d", &unequal, THEN);
        rustix::fs::sync();
        let facts = |path: &Path| std::fs::metadata(path).unwrap();
        let lies = |path: &Path| lease::extents(File::open(path).unwrap().as_fd(), 0).unwrap();
        assert!(lies(&a) != lies(&b) && !lies(&a).is_empty(), "{kind}");
        let events = dedup(&root);
        match way {
            Way::Link => {
                assert_eq!(facts(&a).ino(), facts(&b).ino());
                assert_eq!(events.len(), 1, "{events:?}");
                assert_ne!(facts(&a).ino(), facts(&c).ino(), "its mtime is another");
            }
            Way::Share => {
                assert_eq!(events.len(), 2, "{kind}: {events:?}");
                assert_ne!(facts(&a).ino(), facts(&b).ino());
                let place = |path: &Path| lies(path).first().map(|e| e.lies);
                assert_eq!(place(&a), place(&b), "{kind}");
                assert_eq!(place(&a), place(&c), "{kind}");
                // Nothing is shared twice.
                assert_eq!(dedup(&root), [], "{kind}");
            }
        }
        assert_eq!(std::fs::read(&b).unwrap(), big, "{kind}");
        assert_eq!(std::fs::read(&c).unwrap(), big, "{kind}");
        assert_eq!(std::fs::read(&d).unwrap(), unequal, "{kind}");
        for (path, secs) in [(&a, THEN), (&b, THEN), (&c, THEN + 60), (&d, THEN)] {
            assert_eq!(facts(path).mtime(), secs as i64, "{kind}");
        }
        next_night(&root);
        assert_eq!(contents(&root), [big, unequal].into(), "{kind}");
    }
}
