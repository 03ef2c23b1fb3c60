//! The real program, killed at every call that changes the drive, and with every such call failing.
//!
//! strace counts the calls of one run over all actions, then runs again for each of them and kills
//! the program there, or lets the call fail. A run after that, undisturbed, has to arrive where an
//! undisturbed run alone arrives, and `larder check` must find every promise kept.

#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::print_stderr)]

#[path = "support/drive.rs"]
mod drive;
#[path = "support/judged.rs"]
mod judged;
#[path = "oracle/mod.rs"]
mod oracle;

use drive::{House, SETTINGS, seen, text, wish};
use judged::judged;
use oracle::History;
use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Calls that change names: every one of them is a place to be cut.
const NAMES: [&str; 6] = ["linkat", "renameat2", "unlinkat", "mkdirat", "syncfs", "fsync"];
/// Calls of which there are too many (the ledger's, and all files opened): a sample.
const OTHERS: [&str; 4] = ["openat", "pwrite64", "write", "fdatasync"];
/// So many of each of those.
const SAMPLE: usize = 20;

/// One run in which absences settle quickly.
const RUN: [&str; 4] = ["run", "--once", "--settle", "1"];

fn strace_is_here() -> bool {
    let here =
        Command::new(drive::program("strace")).arg("-V").output().is_ok_and(|o| o.status.success());
    if !here {
        eprintln!("SKIPPED: there is no strace on this machine, so nothing was killed anywhere");
    }
    here
}

/// Which settings the scene is played with.
#[derive(Clone, Copy)]
enum Scene {
    /// A destroyed file is gone at once.
    AtOnce,
    /// It waits a day.
    Waits,
    /// The phone is full, and gets something.
    Full,
    /// The phone changed more than ever, and is given back what it had.
    MassChange,
    /// Folders that other people joined are shared, revoked and destroyed.
    People,
    /// A night: equal files are joined, one of them on a phone and one in a share; an old content goes.
    Night,
}

/// How the program is run in a scene, and how often until what it left to the next night is done.
fn run_in(scene: Scene) -> (Vec<&'static str>, usize) {
    match scene {
        Scene::Night => (RUN.into_iter().chain(["--night"]).collect(), 3),
        _ => (RUN.to_vec(), 1),
    }
}

/// Runs the program until nothing is left to do.
fn run_out(house: &House, scene: Scene) -> Result<(), String> {
    let (args, times) = run_in(scene);
    for _ in 0..times {
        let out = house.larder(&args).output().expect("larder starts");
        if !out.status.success() {
            return Err(text(&out));
        }
    }
    Ok(())
}

/// A house before a night in which equal files are joined.
fn night() -> House {
    let settings =
        format!("undo = \"none\"\nkeep_versions = \"1 hour\"\n{SETTINGS}[sync]\nenabled = false\n");
    let mut house = House::new(&settings);
    for name in ["one", "album/two", "album/three"] {
        house.save(&house.home(name.as_bytes()), &[b'e'; 9_000]);
    }
    house.save(&house.home(b"alone"), b"nobody is like this one");
    house.drop_list(
        "HTCphone",
        &[wish(100, "get", b"album", ""), wish(101, "share", b"one", r#","with":"friend""#)],
    );
    house.run();
    // Settings that complain know no device, and nothing of this scene would be so.
    assert!(house.on("HTCphone", b"album/three").exists());
    house
}

/// A full phone, and a get that takes ten of its files away.
fn full() -> House {
    let quota = "[devices.HTCphone]\nquota = \"84 KiB\"\n";
    let mut house = House::new(&SETTINGS.replace("[devices.HTCphone]\n", quota));
    for n in 10..30 {
        house.save(&house.home(format!("small/{n}").as_bytes()), format!("small {n}").as_bytes());
    }
    house.save(&house.home(b"film"), &[b'F'; 40_000]);
    house.save(&house.home(b"pinned"), b"pinned one");
    house
        .drop_list("HTCphone", &[wish(100, "get", b"pinned", ""), wish(101, "pin", b"pinned", "")]);
    house.drop_list("HTCphone", &[wish(102, "get", b"small", "")]);
    house.run();
    house.drop_list("HTCphone", &[wish(50, "get", b"film", "")]);
    house
}

/// A phone that rewrote, renamed and made files in a mass change; the laptop's owner keeps his.
fn mass_change() -> House {
    let mut house = House::new(SETTINGS);
    let name = |n: usize| format!("m/{n:02}").into_bytes();
    for n in 0..70 {
        house.save(&house.home(&name(n)), format!("content {n}").as_bytes());
    }
    let to_both = r#","to":["HTCphone","LinuxLaptop"]"#;
    house.drop_list("HTCphone", &[wish(100, "get", b"m", to_both)]);
    house.run();
    for n in 0..55 {
        house.save(&house.on("HTCphone", &name(n)), format!("encrypted {n}").as_bytes());
    }
    for n in 60..63 {
        std::fs::remove_file(house.on("HTCphone", &name(n))).expect("it is there");
    }
    house.save(&house.on("HTCphone", b"m/READ ME"), b"pay");
    house.run();
    assert!(std::fs::read(house.home(&name(0))).is_ok_and(|c| c == b"content 0"), "it is held");
    let of_phone = r#","to":["HTCphone"]"#;
    house.drop_list("LinuxLaptop", &[wish(51, "keep-mine", b"", of_phone)]);
    house
}

/// A house in which everything is about to happen at once.
fn house(scene: Scene) -> House {
    let undo = match scene {
        Scene::People => return people(),
        Scene::Night => return night(),
        Scene::AtOnce => "undo = \"none\"\n",
        Scene::Waits => "undo = \"1 day\"\n",
        Scene::Full => return full(),
        Scene::MassChange => return mass_change(),
    };
    // Room on the phone for 20 of the smallest files.
    let settings = format!("{undo}{SETTINGS}")
        .replace("[devices.HTCphone]\n", "[devices.HTCphone]\nquota = \"80 KiB\"\n");
    let mut house = House::new(&settings);
    for name in [
        "Photos/1",
        "Photos/2",
        "Photos/3",
        "Trash/1",
        "Trash/deep/2",
        "doc",
        "movable",
        "edited",
        "both",
        "back",
        "replaced",
    ] {
        house.save(&house.home(name.as_bytes()), format!("{name} one").as_bytes());
    }
    house.save(&house.home(b"large"), &[b'L'; 30_000]);
    let gets = ["Photos", "Trash", "doc", "movable", "edited", "both", "back", "replaced"];
    let on_both = r#","to":["HTCphone","LinuxLaptop"]"#;
    let items: Vec<_> =
        (100..).zip(gets).map(|(id, p)| wish(id, "get", p.as_bytes(), on_both)).collect();
    house.drop_list("HTCphone", &items);
    house.run();
    house.save(&house.on("HTCphone", b"back"), b"back two");
    house.run();
    // From here on it is the traced run's.
    house.save(&house.on("HTCphone", b"edited"), b"edited two");
    house.save(&house.on("HTCphone", b"both"), b"both by phone");
    house.save(&house.home(b"both"), b"both at home");
    house.save(&house.home(b"replaced"), b"replaced two");
    house.save(&house.home(b"Photos/later"), b"Photos/later one");
    house.save(&house.on("HTCphone", b"DCIM/new.jpg"), b"new");
    house.save(&house.on("LinuxLaptop", b"large"), b"a name that is taken");
    let to_laptop = r#","to":["LinuxLaptop"]"#;
    house.drop_list(
        "HTCphone",
        &[
            wish(1, "delete", b"Photos/1", ""),
            wish(2, "destroy", b"doc", &seen(7)),
            wish(3, "move", b"movable", to_laptop),
            wish(4, "mkdir", b"New/Album", ""),
            wish(5, "pin", b"Photos/2", ""),
            wish(6, "undo", b"back", ""),
            wish(7, "destroy", b"Trash", &seen(27 - 4)),
            wish(8, "get", b"large", ""),
            wish(9, "open", b"Photos/3", ""),
            wish(10, "get", b"nothing", ""),
        ],
    );
    house
}

/// A house with two folders that other people joined, in which they have just been busy. Without a sync
/// engine nobody has to let go of anything.
fn people() -> House {
    let mut house = House::new(&format!("undo = \"none\"\n{SETTINGS}[sync]\nenabled = false\n"));
    for name in ["Band/1", "Band/deep/2", "Secret/1", "Secret/deep/2", "New/1", "New/deep/2"] {
        house.save(&house.home(name.as_bytes()), format!("{name} one").as_bytes());
    }
    let shares = [
        wish(100, "share-folder", b"Band", r#","limit_mb":5"#),
        wish(101, "share-folder", b"Secret", r#","limit_mb":-1"#),
    ];
    house.drop_list("HTCphone", &shares);
    house.run();
    // From here on it is the traced run's.
    let theirs = |at: &str| house.drive.join("BTsync/shared").join(at);
    house.save(&theirs("Band/1"), b"Band/1 by a friend");
    house.save(&theirs("Band/from/3"), b"from a friend");
    house.save(&theirs("Secret/4"), b"from somebody");
    house.save(&house.home(b"Band/5"), b"new at home");
    house.save(&house.home(b"Secret/1"), b"changed at home");
    house.drop_list(
        "HTCphone",
        &[
            wish(1, "share-folder", b"New", r#","limit_mb":1"#),
            wish(2, "revoke-share", b"Band", ""),
            wish(3, "destroy-folder", b"Secret", ""),
        ],
    );
    house
}

/// What the oracle has to know of a scene in which nothing has run yet.
fn history(house: &House, scene: Scene) -> History {
    let (undo, quota) = match scene {
        Scene::Waits => (86_400, Some(80 << 10)),
        Scene::AtOnce => (0, Some(80 << 10)),
        Scene::Full => (0, Some(84 << 10)),
        Scene::MassChange | Scene::People | Scene::Night => (0, None),
    };
    judged::recorded(house, undo, quota)
}

struct End {
    state: Vec<String>,
    books: Vec<String>,
}

fn end(house: &House) -> End {
    End { state: house.state(), books: house.books() }
}

/// How often the undisturbed run makes each call, in its main thread, which alone changes things.
fn count(scene: Scene) -> BTreeMap<&'static str, usize> {
    let house = house(scene);
    let log = house.dir.path().join("calls");
    let mut strace = Command::new(drive::program("strace"));
    strace.args(["-f", "-qq", "-o"]).arg(&log);
    strace.arg("-e").arg(format!("trace={},{}", NAMES.join(","), OTHERS.join(",")));
    strace.arg(drive::LARDER);
    house.add_to(&mut strace, &run_in(scene).0);
    let out = strace.output().expect("strace starts");
    assert!(out.status.success(), "{}", text(&out));
    let log = std::fs::read_to_string(log).expect("the calls");
    let main = log.split(' ').next().expect("a process").to_owned();
    let mut counts = BTreeMap::new();
    for line in log.lines().filter(|line| line.starts_with(&main)) {
        let call = line[main.len()..].trim_start();
        for name in NAMES.into_iter().chain(OTHERS) {
            if call.starts_with(&format!("{name}(")) {
                *counts.entry(name).or_insert(0) += 1;
            }
        }
    }
    counts
}

/// Runs the program with one injection; what it said, or nothing when it did not come to an end.
fn disturbed(house: &House, call: &str, what: &str, scene: Scene) -> Option<std::process::Output> {
    let mut strace = Command::new(drive::program("strace"));
    strace.args(["-f", "-qq", "-o", "/dev/null", "-e"]).arg(format!("trace={call}"));
    strace.arg("-e").arg(format!("inject={call}:{what}")).arg(drive::LARDER);
    house.add_to(&mut strace, &run_in(scene).0);
    strace.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = strace.spawn().expect("strace starts");
    let deadline = Instant::now() + Duration::from_secs(20);
    while Instant::now() < deadline {
        if child.try_wait().expect("strace is ours").is_some() {
            return Some(child.wait_with_output().expect("strace is ours"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let group = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL).expect("it ends");
    child.wait().expect("strace is ours");
    None
}

/// Findings that would mean that something was recorded which is not so.
fn false_records(house: &House) -> Vec<String> {
    let lies = |line: &String| {
        // A link or an old content that went just before the cut is still in the books: done, and
        // not recorded yet.
        line.contains("is not whole")
            || line.contains("damaged")
            || (line.contains("holds") && line.contains(" of "))
    };
    house.check().into_iter().filter(lies).collect()
}

/// What is done according to the answers must be so on the drive.
fn false_answers(house: &House, scene: Scene) -> Vec<u64> {
    let done = |id: u64| house.answer(id).is_some_and(|(state, _)| state == "done");
    if matches!(scene, Scene::People) {
        let shared = |at: &str| house.drive.join("BTsync/shared").join(at).exists();
        let so = [
            (1, shared("New/1") && shared("New/deep/2")),
            (2, !shared("Band")),
            (
                3,
                !shared("Secret/1") && !shared("Secret/deep/2") && house.home(b"Secret/1").exists(),
            ),
        ];
        return so.into_iter().filter(|(id, so)| !so && done(*id)).map(|(id, _)| id).collect();
    }
    let at_phone = |p: &[u8]| house.on("HTCphone", p).exists();
    let at_laptop = |p: &[u8]| house.on("LinuxLaptop", p).exists();
    let at_home = |p: &[u8]| house.home(p).exists();
    let so: [(u64, bool); 8] = [
        (1, !at_phone(b"Photos/1")),
        (2, !at_home(b"doc") && !at_phone(b"doc") && !at_laptop(b"doc")),
        (3, at_laptop(b"movable") && !at_phone(b"movable")),
        (4, at_home(b"New/Album")),
        (6, std::fs::read(house.home(b"back")).is_ok_and(|c| c == b"back one")),
        (50, at_phone(b"film") && at_phone(b"pinned") && at_home(b"small/10")),
        (51, std::fs::read(house.on("HTCphone", b"m/00")).is_ok_and(|c| c == b"content 0")),
        (7, !at_home(b"Trash/1") && !at_home(b"Trash/deep/2") && !at_phone(b"Trash/1")),
    ];
    so.into_iter().filter(|(id, so)| !so && done(*id)).map(|(id, _)| id).collect()
}

/// Plays all cases on two threads; the first complaint of each.
fn play(cases: &[(&'static str, String)], expected: &End, scene: Scene) -> Vec<String> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut wrong = Vec::new();
        while let Some((call, what)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(why) = one(call, what, expected, scene) {
                wrong.push(format!("{call} {what}: {why}"));
            }
        }
        wrong
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(worker);
        let mut wrong = worker();
        wrong.extend(other.join().expect("the other half"));
        wrong
    })
}

fn one(call: &str, what: &str, expected: &End, scene: Scene) -> Result<(), String> {
    let house = house(scene);
    let mut history = history(&house, scene);
    let Some(out) = disturbed(&house, call, what, scene) else {
        return Err("it did not come to an end".into());
    };
    if !house.drive.join("BTsyncApp/ledger.sqlite").exists() {
        return Err("the ledger is gone".into());
    }
    let lies = false_records(&house);
    if !lies.is_empty() {
        return Err(format!("recorded and not so: {lies:?} after {}", text(&out)));
    }
    let lies = false_answers(&house, scene);
    if !lies.is_empty() {
        return Err(format!("answered as done and not so: {lies:?}"));
    }
    // What is on the drive after the cut may be with a device by now.
    judged::see(&house, &mut history);
    run_out(&house, scene).map_err(|said| format!("does not go on: {said}"))?;
    let found = house.check();
    if !found.is_empty() {
        return Err(format!("check: {found:?}"));
    }
    let found = judged(&house, &history);
    if !found.is_empty() {
        return Err(format!("oracle: {found:#?}"));
    }
    let end = end(&house);
    for (is, ought) in [(&end.state, &expected.state), (&end.books, &expected.books)] {
        let more: Vec<_> = is.iter().filter(|line| !ought.contains(line)).collect();
        let less: Vec<_> = ought.iter().filter(|line| !is.contains(line)).collect();
        if !more.is_empty() || !less.is_empty() {
            return Err(format!("ends elsewhere: more {more:#?}, less {less:#?}"));
        }
    }
    Ok(())
}

/// Every number, or a sample spread evenly.
fn numbers(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (1..=count).collect();
    }
    (0..most).map(|i| 1 + i * (count - 1) / (most - 1)).collect()
}

fn expected(scene: Scene) -> End {
    let house = house(scene);
    let history = history(&house, scene);
    run_out(&house, scene).expect("an undisturbed run");
    assert_eq!(house.check(), [""; 0]);
    assert_eq!(judged(&house, &history), [""; 0]);
    assert_eq!(false_answers(&house, scene), [0; 0]);
    end(&house)
}

fn complain(wrong: &[String], tried: usize) {
    println!("{tried} states tried");
    assert!(wrong.is_empty(), "{} of {tried} states:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn killed_anywhere_it_arrives_where_it_would_have() {
    if !strace_is_here() {
        return;
    }
    let mut tried = 0;
    let mut wrong = Vec::new();
    for scene in
        [Scene::AtOnce, Scene::Waits, Scene::Full, Scene::MassChange, Scene::People, Scene::Night]
    {
        let expected = expected(scene);
        let counts = count(scene);
        println!("{counts:?}");
        let mut cases = Vec::new();
        for (call, count) in counts {
            let sampled =
                OTHERS.contains(&call) || matches!(scene, Scene::Waits | Scene::MassChange);
            let most = if sampled { SAMPLE } else { usize::MAX };
            let kill = |n| (call, format!("signal=KILL:when={n}"));
            cases.extend(numbers(count, most).into_iter().map(kill));
        }
        tried += cases.len();
        wrong.extend(play(&cases, &expected, scene));
    }
    complain(&wrong, tried);
}

#[test]
fn failing_calls_are_never_recorded_as_done() {
    if !strace_is_here() {
        return;
    }
    let (mut wrong, mut tried) = (Vec::new(), 0);
    for (scene, most) in
        [(Scene::AtOnce, 12), (Scene::Full, 4), (Scene::People, 12), (Scene::Night, 4)]
    {
        let expected = expected(scene);
        let mut cases = Vec::new();
        for (call, count) in count(scene) {
            for (error, from_then_on) in
                [("EIO", ""), ("EIO", "+"), ("ENOSPC", "+"), ("EROFS", "+"), ("EDQUOT", "")]
            {
                // A drive that may not be written is still synced, and reads do not fail for room.
                let senseless = matches!(call, "fsync" | "syncfs" | "fdatasync") && error != "EIO"
                    || call == "openat"
                    || call == "write";
                if senseless {
                    continue;
                }
                let fail = |n| (call, format!("error={error}:when={n}{from_then_on}"));
                cases.extend(numbers(count, most).into_iter().map(fail));
            }
        }
        tried += cases.len();
        wrong.extend(play(&cases, &expected, scene));
    }
    complain(&wrong, tried);
}
