//! What the engine costs, paired with its peers in the same run: `make bench-engine`.
//!
//! `cargo bench --bench engine -- [--files N] [--dir DIR] [--rounds N]`. Makes a tree of N empty
//! files (names and folders as families have them) in DIR, takes medians, and prints one line a
//! figure. Everything is done on the real file system by the real engine.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod common;

use common::get;
use larder::config::Config;
use larder::engine::Engine;
use larder::fs::Real;
use larder::ledger::Ledger;
use larder::model::{Bytes, DeviceName, FileId, Holder, Link, Origin, RelPath, Stat, Time};
use larder::plan::{Fact, Keep, World, make_space};
use larder::watch::Pending;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Options {
    files: usize,
    dir: PathBuf,
    rounds: usize,
    /// Only measure the memory of an engine on this drive, in this process.
    memory: Option<PathBuf>,
}

fn options() -> Options {
    let mut options = Options {
        files: 100_000,
        dir: std::env::temp_dir().join(format!("larder-bench-{}", std::process::id())),
        rounds: 5,
        memory: None,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap();
        match arg.as_str() {
            "--files" => options.files = value().parse().unwrap(),
            "--dir" => options.dir = value().into(),
            "--rounds" => options.rounds = value().parse().unwrap(),
            "--memory" => options.memory = Some(value().into()),
            // cargo's own.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    options
}

/// Photos by year and event, music by artist and album, documents: 40 files a folder.
fn make_tree(files: &Path, count: usize) {
    let mut made = 0;
    let mut folder = 0;
    while made < count {
        let dir = match folder % 4 {
            0 | 1 => files.join(format!("Photos/{}/{}-event {folder}", 2004 + folder % 20, folder)),
            2 => files.join(format!("Music/Artist {}/Album {folder}", folder % 997)),
            _ => files.join(format!("Documents/{}/Letters {folder}", 2004 + folder % 20)),
        };
        std::fs::create_dir_all(&dir).unwrap();
        for i in 0..40.min(count - made) {
            let name = match folder % 4 {
                0 => format!("DSC_{:05}.JPG", made + i),
                1 => format!("IMG-2012{:04}-WA{i:04}.jpg", folder % 1231),
                2 => format!("{i:02} - Song number {i}.mp3"),
                _ => format!("Letter to {i} of {folder}.pdf"),
            };
            // Sizes and times as families have them; the files are holes and need no room.
            let lot = ((made + i) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let file = std::fs::File::create(dir.join(name)).unwrap();
            file.set_len(20_000 + lot % 8_000_000).unwrap();
            let taken = 1_100_000_000 + folder as u64 * 40_000 + lot % 40_000;
            file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(taken)).unwrap();
        }
        made += 40;
        folder += 1;
    }
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn time(work: impl FnOnce()) -> Duration {
    let begun = Instant::now();
    work();
    begun.elapsed()
}

fn now() -> Time {
    larder::daemon::now()
}

fn config() -> Config {
    larder::config::parse("[devices.HTCphone]\n[devices.win7Laptop]\n").unwrap()
}

fn open(drive: &Path) -> Engine {
    std::fs::create_dir_all(drive.join("BTsyncApp")).unwrap();
    let ledger = Ledger::open(&drive.join("BTsyncApp/ledger.sqlite")).unwrap();
    Engine::open(Box::new(Real::open(drive).unwrap()), ledger, config(), now()).unwrap()
}

fn run_all(engine: &mut Engine) {
    while engine.turn(Pending::default(), now()).unwrap().more {}
}

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn memory(drive: &Path) {
    let before = resident();
    let mut engine = open(drive);
    let scanned = resident();
    run_all(&mut engine);
    println!("{} {}", scanned - before, resident() - before);
}

fn sync() {
    assert!(Command::new("sync").status().unwrap().success());
}

fn figure(what: &str, ours: Duration, peer: Option<(&str, Duration)>) {
    match peer {
        Some((name, theirs)) => println!(
            "{what:<44} {:>9.1} ms   {name:<22} {:>9.1} ms   ratio {:.2}",
            ours.as_secs_f64() * 1e3,
            theirs.as_secs_f64() * 1e3,
            ours.as_secs_f64() / theirs.as_secs_f64()
        ),
        None => println!("{what:<44} {:>9.1} ms", ours.as_secs_f64() * 1e3),
    }
}

fn main() {
    let options = options();
    if let Some(drive) = &options.memory {
        return memory(drive);
    }
    choice(100_000, options.rounds);
    let drive = options.dir.join("drive");
    assert!(!options.dir.exists(), "{}: is there already; remove it", options.dir.display());
    let files = drive.join("BTsync/files");
    std::fs::create_dir_all(&files).unwrap();
    println!("{} files in {}", options.files, options.dir.display());
    make_tree(&files, options.files);
    sync();

    // First scan, each beside find in the same round.
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        theirs.push(time(|| {
            let find = Command::new("find")
                .arg(&files)
                .args(["-printf", "%s %T@ %p\\n"])
                .stdout(Stdio::null())
                .status();
            assert!(find.unwrap().success());
        }));
        ours.push(time(|| {
            let fs = Real::open(&drive).unwrap();
            let found = scan(fs);
            assert_eq!(found, options.files);
        }));
    }
    figure("first scan", median(ours), Some(("find -printf", median(theirs))));

    // Restart with a known drive.
    run_all(&mut open(&drive));
    let restart = (0..options.rounds).map(|_| time(|| run_all(&mut open(&drive)))).collect();
    figure("warm restart, scan and pages included", median(restart), None);

    // A folder of everything, beside cp -al of the same: as it is (its links are in memory when it
    // returns), and brought to the disk as ours are.
    let (mut ours, mut theirs, mut synced) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..options.rounds as u64 {
        let copy = options.dir.join(format!("copy {round}"));
        sync();
        let copied = time(|| {
            assert!(
                Command::new("cp").arg("-al").arg(&files).arg(&copy).status().unwrap().success()
            );
        });
        theirs.push(copied);
        synced.push(
            copied
                + time(|| {
                    assert!(Command::new("sync").arg("-f").arg(&copy).status().unwrap().success());
                }),
        );
        let mut engine = open(&drive);
        run_all(&mut engine);
        sync();
        ours.push(time(|| {
            let origin = Origin::Device(DeviceName::new("HTCphone").unwrap());
            engine.receive(&origin, &get(round + 1, "", now()), now()).unwrap();
            run_all(&mut engine);
        }));
        let held = engine.world().replicas.values().map(|h| h.links.len()).sum::<usize>();
        assert_eq!(held, options.files, "everything is linked");
        drop(engine);
        // Put aside, not removed: for a minute after a removal ext4 looks long for new inodes
        // (`recently_deleted` in fs/ext4/ialloc.c), and whoever comes next would pay for it.
        for (i, gone) in ["BTsync/devices/HTCphone", "BTsyncApp"].iter().enumerate() {
            let aside = options.dir.join(format!("aside {round} {i}"));
            std::fs::rename(drive.join(gone), aside).unwrap();
        }
    }
    let ours = median(ours);
    figure(
        "get of all, on the disk, page written",
        ours,
        Some(("cp -al; sync -f", median(synced))),
    );
    figure("  the same", ours, Some(("cp -al, not synced", median(theirs))));

    // One wish.
    let mut engine = open(&drive);
    run_all(&mut engine);
    let mut first = None;
    engine.world().files.for_each(larder::model::Tree::<larder::model::Stat>::ROOT, |p, _| {
        first.get_or_insert_with(|| String::from_utf8(p.to_vec()).unwrap());
    });
    let origin = Origin::Device(DeviceName::new("win7Laptop").unwrap());
    let path = first.unwrap();
    let one = time(|| {
        engine.receive(&origin, &get(1_000_000, &path, now()), now()).unwrap();
        run_all(&mut engine);
    });
    assert!(drive.join("BTsync/devices/win7Laptop").join(&path).exists());
    figure("wish -> link and pages written", one, None);
    drop(engine);

    let page = std::fs::metadata(drive.join("BTsync/catalogue/catalogue.html")).unwrap().len();
    println!(
        "page                                         {page:>9} bytes   {:.2} a file",
        page as f64 / options.files as f64
    );
    let probe = Command::new(std::env::current_exe().unwrap())
        .arg("--memory")
        .arg(&drive)
        .output()
        .unwrap();
    let figures = String::from_utf8(probe.stdout).unwrap();
    let mut bytes = figures.split_whitespace().map(|n| n.parse::<f64>().unwrap());
    let mut each = || bytes.next().unwrap() / options.files as f64;
    println!(
        "resident memory a file: {:.0} bytes after the scan, {:.0} with pages",
        each(),
        each()
    );

    // A start looks for each old content.
    for number in 1..=10_000 {
        let at = drive.join(format!("BTsyncApp/versions/{number}"));
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("a photo.jpg"), "as it was").unwrap();
    }
    run_all(&mut open(&drive));
    let restart = (0..options.rounds).map(|_| time(|| run_all(&mut open(&drive)))).collect();
    figure("warm restart with 10,000 old contents", median(restart), None);
    std::fs::remove_dir_all(&options.dir).unwrap();
}

/// So long a choice may take.
const CHOICE: Duration = Duration::from_millis(50);

/// A get under a quota: what goes, chosen among many links. In memory; nothing is evicted.
fn choice(links: u64, rounds: usize) {
    let device = Holder::decode("HTCphone").unwrap();
    let mut world = World::default();
    for n in 0..links {
        let folder = n / 40;
        let at = format!("Photos/{}/{folder}-event/DSC_{n:05}.JPG", 2004 + folder % 20);
        let at = RelPath::new(at.as_bytes()).unwrap();
        // Folders were got one by one, over a year.
        let lot = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
        let mtime = Time::from_secs(1_100_000_000 + lot as i64);
        let id = FileId { ino: n + 1, size: 1_000_000 + lot, mtime };
        world.note(&Fact::Master(at.clone(), Stat { id, ..Stat::default() }));
        let used = 1_700_000_000 + (folder * 7_919 % 2_503) as i64 * 10_000;
        world.note(&Fact::Link(device.clone(), at, Link { id, charge: Bytes(id.size), used }));
    }
    let used = world.replicas[&device].used();
    for (what, need) in
        [("a photo", 3_000_000), ("a film", 4_000_000_000), ("half of all", used.0 / 2)]
    {
        let mut chosen = 0;
        let times = (0..rounds.max(5))
            .map(|_| {
                time(|| {
                    let keep = Keep::default();
                    let going = make_space(&world, &device, Some(used), Bytes(need), keep);
                    chosen = going.unwrap().len();
                })
            })
            .collect();
        let what = format!("choice of {chosen} of {links} links for {what}");
        let took = median(times);
        figure(&what, took, None);
        let held = if took <= CHOICE { "held" } else { "MISSED" };
        println!("  at most {} ms were wanted: {held}", CHOICE.as_millis());
    }
}

fn scan(mut fs: Real) -> usize {
    use larder::fs::FileSystem as _;
    fs.scan(&larder::plan::master(&RelPath::root())).unwrap().tree.len()
}
