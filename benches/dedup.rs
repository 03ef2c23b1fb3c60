//! Deduplication of a tree with 30 % duplicates, beside fclones, jdupes and rmlint on the same tree.
//!
//! `cargo bench --bench dedup`. Each program runs as a process of its own, in turns, `REPEAT` times (5
//! unless `LARDER_BENCH_REPEAT` says otherwise); medians are printed, and the ratio to fclones. `find` only
//! says what is equal, `join` also makes hard links. Cold means with an empty page cache, which only root can
//! make. Programs that are not installed are left out and named; fclones is also looked for in
//! `build/peers/bin` (`.ci/setup peers` compiles it there). `LARDER_BENCH_DIR` is where the
//! tree is made, `build` unless it says otherwise; `LARDER_BENCH_FILES` how many files it has;
//! `LARDER_BENCH_PEERS` names the others to run, all unless it says otherwise. Joining ends with
//! syncfs(2), which the others leave out: on a drive that others write to, it waits for their bytes too.
//!
//! Copies have the mtime, owner and mode of what they are copies of. The others join equal files whatever these are,
//! and all names have one mtime then; on ext4 Larder leaves such files apart. So that all do the same work, there are
//! none in this tree.
//!
//! All must find exactly the groups that were made, and after joining exactly these names must be of one inode. It
//! ends with an error if not, or if Larder takes longer than fclones.
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr, clippy::disallowed_methods)]
#![allow(clippy::unwrap_used)]

use larder::dedup::{Event, Job, Progress, Rules};
use larder::fs::Real;
use larder::model::{Place, RelPath, Stat, Time, Tree};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant, SystemTime};

type Groups = BTreeSet<BTreeSet<Vec<u8>>>;

fn main() -> ExitCode {
    if let Ok(mode) = std::env::var("LARDER_BENCH_CHILD") {
        child(&mode, Path::new(&std::env::var("LARDER_BENCH_ROOT").unwrap()));
        return ExitCode::SUCCESS;
    }
    let number = |name, or| std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(or);
    let (files, repeat) = (number("LARDER_BENCH_FILES", 6_000), number("LARDER_BENCH_REPEAT", 5));
    let base = std::env::var_os("LARDER_BENCH_DIR").unwrap_or_else(|| "build".into());
    let base = std::path::absolute(base).unwrap();
    std::fs::create_dir_all(&base).unwrap();
    let root = tempfile::tempdir_in(base).unwrap();
    let house = House::make(root.path(), files);
    let tools = tools();
    let colds: &[bool] =
        if rustix::process::geteuid().is_root() { &[true, false] } else { &[false] };
    if colds.len() == 1 {
        println!("Without root the page cache can't be emptied: warm only.");
    }
    let mut good = true;
    for joins in [false, true] {
        for &cold in colds {
            good &= house.compare(&tools, joins, cold, repeat);
        }
    }
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Larder itself, as `larder dedup` does it: scan, then the job.
fn child(mode: &str, root: &Path) {
    let mut drive = Real::open(root).unwrap();
    let handle = drive.handle(&Place::Files.at(RelPath::root())).unwrap();
    let files: Tree<Stat> =
        larder::fs::scan::scan(&handle, &Place::Files, &RelPath::root()).unwrap().tree;
    // The files were made a moment ago.
    let rules = Rules { least_age: i64::MIN, ..Rules::default() };
    let job = if mode == "find" { Job::dry } else { Job::new };
    let mut job = job(&mut drive, rules).unwrap();
    let mut groups: BTreeMap<RelPath, Vec<RelPath>> = BTreeMap::new();
    let mut tell = |event| {
        if let Event::Found(join) | Event::Joined(join, _) | Event::Shared(join) = event {
            groups.entry(join.with).or_default().push(join.path);
        }
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let now = Time(i64::try_from(now.as_nanos()).unwrap());
    // It stops by itself to tell what it learned, which the engine writes down.
    while job.run(&mut drive, &files, now, &mut || false, &mut tell).unwrap() == Progress::Stopped {
        job.take_learned(usize::MAX);
    }
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for (with, paths) in groups {
        for path in paths.iter().chain([&with]) {
            out.write_all(path.as_bytes()).unwrap();
            out.write_all(b"\n").unwrap();
        }
        out.write_all(b"\n").unwrap();
    }
}

/// A program, and how it is told to find or to join. `$D` is the folder, `$T` a folder for its files.
struct Tool {
    name: &'static str,
    find: String,
    join: String,
}

fn tools() -> Vec<Tool> {
    let found = |name: &str| {
        let here = std::path::absolute("build/peers/bin").unwrap().join(name);
        let on_path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
            .map(|dir| dir.join(name))
            .find(|path| path.is_file());
        Some(here).filter(|path| path.is_file()).or(on_path)
    };
    let mut tools = vec![Tool { name: "larder", find: String::new(), join: String::new() }];
    for (name, find, join) in [
        (
            "fclones",
            "$P group -f fdupes $D 2>/dev/null",
            "$P group $D -o $T/groups 2>/dev/null && $P link < $T/groups 2>/dev/null",
        ),
        ("jdupes", "$P -q -r $D", "$P -q -r -L $D"),
        (
            "rmlint",
            "$P -o fdupes:stdout -T df $D 2>/dev/null",
            "$P -T df -o sh:$T/rm.sh -c sh:hardlink $D 2>/dev/null && sh $T/rm.sh -d -q -x 2>/dev/null",
        ),
    ] {
        if std::env::var("LARDER_BENCH_PEERS").is_ok_and(|only| !only.contains(name)) {
            continue;
        }
        match found(name) {
            Some(path) => {
                let told = |how: &str| how.replace("$P", &path.to_string_lossy());
                tools.push(Tool { name, find: told(find), join: told(join) });
            }
            None => println!("{name} is not installed: left out."),
        }
    }
    tools
}

struct House {
    root: PathBuf,
    files: PathBuf,
    /// Every copy, and what it is a copy of.
    copies: Vec<(PathBuf, PathBuf)>,
    /// What is equal, with names below the folder.
    groups: Groups,
}

impl House {
    /// Three files in ten are copies, up to four of one; one in ten has the size and beginning of
    /// another but not the end.
    fn make(root: &Path, count: usize) -> Self {
        for folder in ["BTsync/files", "BTsyncApp/versions", "BTsyncApp/tmp", "work"] {
            std::fs::create_dir_all(root.join(folder)).unwrap();
        }
        let files = root.join("BTsync/files");
        let mut state = 0x1234_5678_9abc_def1_u64;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let mut originals: Vec<PathBuf> = Vec::new();
        let mut copies = Vec::new();
        let mut bytes = 0;
        for i in 0..count {
            let folder = files.join(format!("d{:02}/e{:02}", random() % 40, random() % 10));
            std::fs::create_dir_all(&folder).unwrap();
            let path = folder.join(format!("file {i}.jpg"));
            match (random() % 10, originals.is_empty()) {
                (0..=2, false) => {
                    // Mostly of the last ones: two to four names each.
                    let back = random() as usize % originals.len().min(count / 5 + 1);
                    let of = originals[originals.len() - 1 - back].clone();
                    copy(&of, &path);
                    copies.push((path, of));
                    continue;
                }
                (3, false) => {
                    let of = &originals[random() as usize % originals.len()];
                    let mut content = std::fs::read(of).unwrap();
                    // Unlike any other.
                    let end = content.len() - 8;
                    content[end..].copy_from_slice(&i.to_le_bytes());
                    write(&path, &content, std::fs::metadata(of).unwrap().modified().unwrap());
                    bytes += content.len();
                    continue;
                }
                _ => {}
            }
            let size = match random() % 1000 {
                0..=1 => 8_000_000 + random() % 24_000_000,
                2..=60 => 500_000 + random() % 2_000_000,
                61..=500 => 8_000 + random() % 120_000,
                _ => 100 + random() % 8_000,
            } as usize;
            let content: Vec<u8> =
                std::iter::repeat_with(&mut random).flat_map(u64::to_le_bytes).take(size).collect();
            let secs = 1_500_000_000 + random() % 200_000_000;
            write(&path, &content, SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
            bytes += size;
            originals.push(path);
        }
        let below = |path: &Path| {
            path.strip_prefix(&files).unwrap().as_os_str().as_encoded_bytes().to_vec()
        };
        let mut groups: BTreeMap<&Path, BTreeSet<Vec<u8>>> = BTreeMap::new();
        for (path, of) in &copies {
            groups.entry(of).or_default().extend([below(path), below(of)]);
        }
        let groups = groups.into_values().collect();
        println!(
            "{count} files, {} of them copies; {} MB without the copies.",
            copies.len(),
            bytes / 1_000_000
        );
        Self { root: root.to_owned(), files, copies, groups }
    }

    fn run(&self, tool: &Tool, joins: bool) -> (Duration, Vec<u8>) {
        let work = self.root.join("work");
        std::fs::remove_dir_all(&work).unwrap();
        std::fs::create_dir(&work).unwrap();
        let mut command = if tool.name == "larder" {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.env("LARDER_BENCH_CHILD", if joins { "join" } else { "find" });
            command.env("LARDER_BENCH_ROOT", &self.root);
            command
        } else {
            let mut command = Command::new("sh");
            let how = if joins { &tool.join } else { &tool.find };
            command.arg("-c").arg(how.replace("$D", "\"$D\"").replace("$T", "\"$T\""));
            command.env("D", &self.files).env("T", &work);
            command
        };
        command.stdin(Stdio::null()).stderr(Stdio::inherit()).current_dir(&work);
        let start = Instant::now();
        let output = command.output().unwrap();
        let took = start.elapsed();
        // rmlint and jdupes answer 1 when they found something.
        (took, output.stdout)
    }

    fn compare(&self, tools: &[Tool], joins: bool, cold: bool, repeat: usize) -> bool {
        let mut times: Vec<Vec<Duration>> = vec![Vec::new(); tools.len()];
        let mut groups: Vec<Groups> = vec![Groups::new(); tools.len()];
        let mut good = true;
        for turn in 0..repeat {
            // Another one first each time.
            for i in (0..tools.len()).map(|i| (i + turn) % tools.len()) {
                if !cold {
                    self.warm();
                }
                rustix::fs::sync();
                if cold {
                    std::fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
                }
                let (took, out) = self.run(&tools[i], joins);
                times[i].push(took);
                if joins {
                    groups[i] = self.restore();
                } else {
                    groups[i] = parse(&out, &self.files);
                }
                if groups[i] != self.groups {
                    let (name, found) = (tools[i].name, groups[i].len());
                    let right = groups[i].intersection(&self.groups).count();
                    println!(
                        "{name}: {found} groups, {right} of them right; {} were made",
                        self.groups.len()
                    );
                    good = false;
                }
            }
        }
        if good {
            println!("All {} groups were right each time.", self.groups.len());
        }
        let median = |times: &[Duration]| {
            let mut sorted = times.to_vec();
            sorted.sort();
            sorted[sorted.len() / 2].as_secs_f64()
        };
        let what = format!(
            "{} {}",
            if joins { "join" } else { "find" },
            if cold { "cold" } else { "warm" }
        );
        let ours = median(&times[0]);
        println!("{what}: larder  {ours:8.3} s");
        for (tool, times) in tools.iter().zip(&times).skip(1) {
            let theirs = median(times);
            println!("{what}: {:7} {theirs:8.3} s, larder {:.2} ×", tool.name, ours / theirs);
            if tool.name == "fclones" && ours > theirs {
                println!("{what}: more than 1.0 × fclones");
                good = false;
            }
        }
        good
    }

    /// Makes every joined name a file of its own again; returns which names were of one inode.
    fn restore(&self) -> Groups {
        let mut inodes: BTreeMap<u64, BTreeSet<Vec<u8>>> = BTreeMap::new();
        let mut todo = vec![self.files.clone()];
        while let Some(folder) = todo.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                let facts = entry.metadata().unwrap();
                if facts.is_dir() {
                    todo.push(entry.path());
                } else {
                    let path = entry.path();
                    let below = path.strip_prefix(&self.files).unwrap().as_os_str();
                    inodes
                        .entry(facts.ino())
                        .or_default()
                        .insert(below.as_encoded_bytes().to_vec());
                }
            }
        }
        let aside = self.root.join("BTsyncApp/versions/joined");
        if aside.exists() {
            std::fs::remove_dir_all(aside).unwrap();
        }
        for (path, of) in &self.copies {
            if std::fs::metadata(of).unwrap().nlink() > 1 {
                // The original's name may be the one that was joined.
                copy(of, path);
            }
        }
        inodes.into_values().filter(|names| names.len() > 1).collect()
    }

    fn warm(&self) {
        let read = Command::new("sh")
            .arg("-c")
            .arg("find \"$D\" -type f -exec cat {} + > /dev/null")
            .env("D", &self.files)
            .status()
            .unwrap();
        assert!(read.success());
    }
}

fn copy(of: &Path, to: &Path) {
    let modified = std::fs::metadata(of).unwrap().modified().unwrap();
    write(to, &std::fs::read(of).unwrap(), modified);
}

/// A new inode, whatever the name meant.
fn write(to: &Path, content: &[u8], modified: SystemTime) {
    let fresh = to.with_extension("fresh");
    let mut file = std::fs::File::create(&fresh).unwrap();
    file.write_all(content).unwrap();
    file.set_modified(modified).unwrap();
    drop(file);
    std::fs::rename(fresh, to).unwrap();
}

/// Groups of paths, an empty line after each; absolute ones are cut to what is below the folder.
fn parse(out: &[u8], below: &Path) -> Groups {
    let mut prefix = below.as_os_str().as_encoded_bytes().to_vec();
    prefix.push(b'/');
    let mut groups = Groups::new();
    let mut group = BTreeSet::new();
    for line in out.split(|&b| b == b'\n').chain([&b""[..]]) {
        if line.is_empty() {
            if group.len() > 1 {
                groups.insert(std::mem::take(&mut group));
            }
            group.clear();
        } else {
            group.insert(line.strip_prefix(&prefix[..]).unwrap_or(line).to_vec());
        }
    }
    groups
}
