//! The night's work as the engine does it: how soon it rests when something moves, and what memory joining takes.
//!
//! `cargo bench --bench night -- [--files N] [--joined N] [--stops N] [--dir DIR]`; `--memory [--slices N]` measures
//! the memory alone. Makes N files (holes) in threes of one size and time, a third of them in one folder that a device
//! holds, and two large ones. Each of the night's tasks is disturbed so often (what lets go of joined files in the
//! second night), at moments that nobody chose; what is told is the time from such a moment until the work has
//! returned, with all that it did on the disk. Then the job that joins runs in short slices on a fresh tree of
//! `--joined` files (a million), and the most memory that it took beside the engine is told. The trees lie in memory,
//! if so many files fit there and DIR does not say otherwise.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::disallowed_methods)]

mod common;

use common::get;
use larder::config::Config;
use larder::engine::Engine;
use larder::fs::Real;
use larder::ledger::Ledger;
use larder::model::{DeviceName, Origin, Time};
use larder::plan::night::Task;
use larder::watch::Pending;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A file that takes a while to be read.
const LARGE: u64 = 1 << 30;
/// Seconds that nothing moves before the night's work goes on, and one more.
const QUIET: i64 = larder::plan::night::QUIET + 1;

struct Options {
    files: u64,
    /// Files of which memory is measured.
    joined: u64,
    stops: usize,
    dir: PathBuf,
    /// Only measure memory, in this process.
    memory: bool,
    /// Of so many slices of the job that joins.
    slices: u32,
}

fn options() -> Options {
    let (files, joined, dir) = (100_000, 1_000_000, PathBuf::new());
    let mut options = Options { files, joined, stops: 100, dir, memory: false, slices: u32::MAX };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut value = || args.next().unwrap();
        match arg.as_str() {
            "--files" => options.files = value().parse().unwrap(),
            "--joined" => options.joined = value().parse().unwrap(),
            "--stops" => options.stops = value().parse().unwrap(),
            "--dir" => options.dir = value().into(),
            "--memory" => options.memory = true,
            "--slices" => options.slices = value().parse().unwrap(),
            // cargo's own.
            "--bench" => {}
            other => panic!("unknown option {other}"),
        }
    }
    if options.dir.as_os_str().is_empty() {
        // tmpfs has an inode for every two pages of memory (tmpfs(5)), and the ledger is there, too.
        let memory = Path::new("/dev/shm");
        let needed = options.files.max(options.joined) / 10 * 11;
        let fits = rustix::fs::statvfs(memory).is_ok_and(|s| s.f_favail > needed);
        let base = if fits { memory.into() } else { std::env::temp_dir() };
        options.dir = base.join(format!("larder-night-{}", std::process::id()));
    }
    options
}

fn hole(at: &Path, size: u64) {
    let file = std::fs::File::create(at).unwrap();
    file.set_len(size).unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1_500_000_000)).unwrap();
}

/// Files in threes of one size; the first of each lies in `flat`, if that is wanted.
fn make_tree(drive: &Path, count: u64, flat: bool) {
    let home = drive.join("BTsync/files");
    let mut made = PathBuf::new();
    std::fs::create_dir_all(home.join("flat")).unwrap();
    for n in 0..count {
        let folder = match n % 3 {
            0 if flat => home.join("flat"),
            _ => home.join(format!("Photos/{:04}", n / 300)),
        };
        if folder != made {
            std::fs::create_dir_all(&folder).unwrap();
            made = folder;
        }
        hole(&made.join(format!("DSC_{n:07}.JPG")), 100 + n / 3);
    }
}

fn config() -> Config {
    larder::config::parse("[devices.HTCphone]\n").unwrap()
}

struct Night {
    engine: Engine,
    now: Time,
}

impl Night {
    /// Opens the drive, and lets it become two in the night.
    fn begin(drive: &Path) -> Self {
        std::fs::create_dir_all(drive.join("BTsyncApp")).unwrap();
        let ledger = Ledger::open(&drive.join("BTsyncApp/ledger.sqlite")).unwrap();
        let fs = Box::new(Real::open(drive).unwrap());
        let day = 86_400;
        let now = Time::from_secs(larder::daemon::now().secs() / day * day + day + 7_200);
        let mut engine = Engine::open(fs, ledger, config(), now).unwrap();
        engine.join_from_age(i64::MIN);
        let mut night = Self { engine, now };
        night.turns();
        night
    }

    fn turns(&mut self) {
        while self.engine.turn(Pending::default(), self.now).unwrap().more {}
    }

    fn get(&mut self, path: &str) {
        let list = get(1, path, self.now);
        let origin = Origin::Device(DeviceName::new("HTCphone").unwrap());
        self.engine.receive(&origin, &list, self.now).unwrap();
        self.turns();
    }

    fn task(&mut self) -> Option<Task> {
        self.turns();
        self.now = self.now.plus_secs(QUIET);
        // One that fills the night has to be done in it all the same.
        if self.now.secs() % 86_400 > 4 * 3_600 {
            self.now = self.now.plus_secs(22 * 3_600 - 2 * QUIET);
        }
        self.engine.plan_night(self.now).unwrap()
    }

    /// Works until that long has passed; says how much longer it took.
    fn slice(&mut self, length: Duration) -> Option<Duration> {
        let moment = Instant::now() + length;
        let mut disturbed = |_: &larder::engine::Ours<'_>| Instant::now() >= moment;
        self.engine.work_in_the_night(self.now, &mut disturbed).unwrap();
        // It may have had enough by itself before.
        Instant::now().checked_duration_since(moment)
    }
}

fn random() -> impl FnMut(u64) -> u64 {
    let mut state = 0x1234_5678_9abc_def1_u64;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below.max(1)
    }
}

/// How soon each task rests when something moves.
fn rest(options: &Options) {
    let drive = options.dir.join("drive");
    make_tree(&drive, options.files, true);
    for name in ["film", "the same film"] {
        hole(&drive.join("BTsync/files").join(name), LARGE);
    }
    let mut night = Night::begin(&drive);
    night.get("flat");
    println!("{} files and two of 1 GB in {}", options.files, options.dir.display());
    let mut random = random();
    let mut took: Vec<(Task, Vec<Duration>)> = Vec::new();
    let mut first = true;
    loop {
        let Some(task) = night.task() else {
            if !std::mem::take(&mut first) {
                break;
            }
            night.now = night.now.plus_secs(86_400);
            continue;
        };
        // Only the second night has something to let go.
        if first == (task == Task::Settle) {
            night.slice(Duration::from_secs(600));
            continue;
        }
        if !first && took.last().is_none_or(|(last, _)| *last != task) && task != Task::Settle {
            break;
        }
        if took.last().is_none_or(|(last, _)| *last != task) {
            took.push((task, Vec::new()));
        }
        let Some((_, times)) = took.last_mut() else { continue };
        // Longer and longer slices, or it would come to its end never or at once.
        let length = match times.len() {
            enough if enough >= options.stops => Duration::from_secs(600),
            few => Duration::from_micros(random(20_000 * (few as u64 + 1))),
        };
        times.extend(night.slice(length).filter(|_| times.len() < options.stops));
    }
    for (task, mut times) in took {
        times.sort();
        let (Some(worst), Some(median)) = (times.last(), times.get(times.len() / 2)) else {
            println!("{:<34} was over before anything moved", task.to_string());
            continue;
        };
        println!(
            "{:<34} rests after {:>6.1} ms, {:>6.1} ms at worst, of {} times{}",
            task.to_string(),
            median.as_secs_f64() * 1e3,
            worst.as_secs_f64() * 1e3,
            times.len(),
            if worst.as_secs() >= 1 { ": MISSED, 1 s is wanted" } else { "" },
        );
    }
}

/// Bytes of this process in memory, now or at most since it was last asked to begin anew.
fn resident(which: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(which)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

/// The most memory that joining takes beside the engine.
fn memory(options: &Options) {
    let drive = options.dir.join("memory");
    make_tree(&drive, options.joined, false);
    let mut night = Night::begin(&drive);
    let (mut random, mut slices, mut most, begun) = (random(), 0, 0, Instant::now());
    let engine = resident("VmRSS:");
    while let Some(task) = night.task() {
        let before = resident("VmRSS:");
        // proc_pid_clear_refs(5): the peak is what it is now.
        std::fs::write("/proc/self/clear_refs", "5").unwrap();
        night.slice(Duration::from_millis(1_000 + random(options.joined / 10)));
        if task == Task::Dedup {
            slices += 1;
            most = most.max(resident("VmHWM:").saturating_sub(engine.min(before)));
        }
        if slices >= options.slices || slices > 0 && task != Task::Dedup {
            break;
        }
    }
    println!(
        "joining {} files in {slices} slices, {:.0} s: at most {:.1} MB beside the engine's {:.1} MB, {:.0} bytes a file{}",
        options.joined,
        begun.elapsed().as_secs_f64(),
        most as f64 / 1e6,
        engine as f64 / 1e6,
        most as f64 / options.joined as f64,
        if most > 64_000_000 { ": MISSED, 64 MB are wanted" } else { "" },
    );
}

fn main() {
    let options = options();
    if options.memory {
        return memory(&options);
    }
    assert!(!options.dir.exists(), "{}: is there already; remove it", options.dir.display());
    rest(&options);
    std::fs::remove_dir_all(options.dir.join("drive")).unwrap();
    // In a process of its own, that nothing was freed in before.
    let probe = Command::new(std::env::current_exe().unwrap())
        .args(["--memory", "--joined", &options.joined.to_string(), "--dir"])
        .arg(&options.dir)
        // As on the Pi: with 32 bits large blocks always go back to the system when they are freed (mallopt(3)).
        .env("MALLOC_MMAP_THRESHOLD_", "524288")
        .status();
    assert!(probe.unwrap().success());
    std::fs::remove_dir_all(&options.dir).unwrap();
}
