//! The supervisor as a program, as root, on loop devices with real file systems: what is mounted,
//! checked, formatted, left alone and unmounted, and what the engine is told.
//!
//! Skipped, loudly, where there is no root, no loop device or no tool.
#![allow(clippy::unwrap_used, clippy::print_stderr, clippy::disallowed_methods)] // a test

#[path = "support/port.rs"]
mod port;

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Everything here is done long before; only a hang waits this long.
const PATIENCE: Duration = Duration::from_secs(120);

fn sh(script: &str) -> Option<String> {
    let output = Command::new("sh").args(["-c", script]).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() {
        Some(text)
    } else {
        eprintln!("{script}: {}", String::from_utf8_lossy(&output.stderr));
        None
    }
}

/// Held while a file system is made, and while a disk is dead: mkfs.btrfs looks at every loop device of the machine
/// and gives up at one whose disk does not answer.
fn living_disks() -> MutexGuard<'static, ()> {
    static LIVING: Mutex<()> = Mutex::new(());
    LIVING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the tests can run here.
fn possible(tools: &[&str]) -> bool {
    let root = fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0);
    let nobody = sh("getent passwd nobody").is_some();
    let tools = tools.iter().all(|tool| sh(&format!("command -v {tool}")).is_some());
    let possible = root && nobody && tools && sh("losetup -f").is_some();
    if !possible {
        eprintln!("SKIPPED: needs root, the user nobody, loop devices and {tools:?}");
    }
    possible
}

/// The file systems that can serve, each with the size of a small drive of it; those that can't be made here are
/// left out aloud.
fn serving() -> impl Iterator<Item = (&'static str, &'static str)> {
    let all = [("64M", "ext4"), ("320M", "xfs"), ("160M", "btrfs")];
    all.into_iter().filter(|(_, kind)| possible(&[&format!("mkfs.{kind}"), "losetup"]))
}

/// A loop device that goes with its test.
struct Loop(PathBuf);

impl Loop {
    fn on(image: &Path) -> Self {
        let node = sh(&format!("losetup -fP --show {}", image.display())).expect("a loop device");
        // A loop device keeps what a failed test left; a plugged-in drive is new.
        sh(&format!("blockdev --setrw {node}"));
        Self(node.into())
    }

    fn name(&self) -> String {
        self.0.file_name().unwrap().to_string_lossy().into_owned()
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        sh(&format!("partx -d {0} 2>/dev/null; losetup -d {0}", self.0.display()));
    }
}

/// A house with its boot folder, mount point, made-up `/sys` and an engine of a few lines of shell.
struct House {
    dir: tempfile::TempDir,
}

impl House {
    fn new(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let house = Self { dir };
        fs::set_permissions(house.dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["boot", "drive", "sys/block", "run", "out", "announce"] {
            fs::create_dir_all(house.path(name)).unwrap();
            // Whatever the umask of this shell.
            fs::set_permissions(house.path(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        fs::set_permissions(house.path("drive"), fs::Permissions::from_mode(0o555)).unwrap();
        fs::set_permissions(house.path("out"), fs::Permissions::from_mode(0o777)).unwrap();
        // A file in which nothing stands is complained of.
        let settings = if settings.is_empty() { "# as it comes\n" } else { settings };
        house.put("boot/larder.toml", settings);
        // An engine that says it is ready, writes to its drive for ever, and ends when asked.
        house.put(
            "engine",
            &format!(
                "#!/bin/sh\n\
                 echo \"$$ $(id -u) $*\" >>{out}/starts\n\
                 trap 'echo asked >>{out}/ends; exit 0' TERM\n\
                 echo '{{\"condition\":\"ready\",\"address\":\"http://here/\"}}'\n\
                 while :; do date >>\"$3/BTsyncApp/beat\" || exit 1; sleep 0.1; done\n",
                out = house.path("out").display()
            ),
        );
        fs::set_permissions(house.path("engine"), fs::Permissions::from_mode(0o755)).unwrap();
        house
    }

    /// Whatever the umask it was built under.
    fn use_the_real_engine(&self) {
        fs::copy(env!("CARGO_BIN_EXE_larder"), self.path("engine")).unwrap();
        fs::set_permissions(self.path("engine"), fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        if name.starts_with("boot") {
            // The engine runs as nobody.
            fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o644)).unwrap();
        }
    }

    /// A disk image of `size`, made a file system by `tool` (with `{}` for the image).
    fn disk(&self, size: &str, tool: &str) -> Loop {
        let image = self.path(&format!("disk{}", fs::read_dir(self.dir.path()).unwrap().count()));
        let image = image.display();
        sh(&format!("truncate -s {size} {image}")).unwrap();
        let living = living_disks();
        sh(&tool.replace("{}", &image.to_string())).expect("a file system");
        drop(living);
        Loop::on(Path::new(&image.to_string()))
    }

    fn pull(&self, disk: &Loop) {
        fs::remove_file(self.path("sys/block").join(disk.name())).unwrap();
    }

    fn plug(&self, disk: &Loop) {
        let name = disk.name();
        symlink(Path::new("/sys/block").join(&name), self.path("sys/block").join(name)).unwrap();
    }

    fn start(&self) -> Running<'_> {
        let mut child = Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(["appliance", "--bench", "--user", "nobody"])
            .arg("--boot")
            .arg(self.path("boot"))
            .arg("--drive")
            .arg(self.path("drive"))
            .arg("--run")
            .arg(self.path("run"))
            .arg("--sys")
            .arg(self.path("sys"))
            .arg("--engine")
            .arg(self.path("engine"))
            .arg("--announce")
            .arg(self.path("announce"))
            .env("RUST_LOG", "info")
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let (stderr, lines) = (child.stderr.take().unwrap(), Arc::clone(&log));
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Running { house: self, child, log, read: 0 }
    }

    fn lines(&self, name: &str) -> usize {
        fs::read_to_string(self.path(name)).map_or(0, |text| text.lines().count())
    }

    /// What is on the disk, looked at from outside while nothing has it mounted.
    fn look(&self, device: &Path, kind: &str, script: &str) -> String {
        let at = self.path("look");
        fs::create_dir_all(&at).unwrap();
        sh(&format!(
            "mount -t {kind} -o ro {0} {1} && cd {1} && {{ {script}; }}; cd /; umount {1}",
            device.display(),
            at.display()
        ))
        .expect("a look at the disk")
    }
}

/// The supervisor at work; killed with all it has when a test fails.
struct Running<'h> {
    house: &'h House,
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    read: usize,
}

impl Running<'_> {
    /// Waits for a line of the log, after those already waited for.
    fn says(&mut self, words: &str) -> String {
        let began = Instant::now();
        loop {
            let log = self.log.lock().unwrap().clone();
            if let Some(at) = log[self.read..].iter().position(|line| line.contains(words)) {
                self.read += at + 1;
                return log[self.read - 1].clone();
            }
            assert!(
                began.elapsed() < PATIENCE,
                "no \"{words}\" after {:#?} of\n{log:#?}",
                self.read
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn signal(&self, name: &str) {
        sh(&format!("kill -{name} {}", self.child.id())).unwrap();
    }

    fn ends(&mut self) -> bool {
        let began = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.success();
            }
            assert!(began.elapsed() < PATIENCE, "it does not end: {:#?}", self.log.lock().unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn stop(mut self) {
        self.signal("TERM");
        assert!(self.ends());
        assert!(!mounted(&self.house.path("drive")));
        assert_eq!(fs::read_dir(self.house.path("drive")).unwrap().count(), 0);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            sh(&format!("kill -TERM {}", self.child.id()));
            std::thread::sleep(Duration::from_secs(3));
            drop(self.child.kill());
            drop(self.child.wait());
            sh(&format!("umount -l {} 2>/dev/null; true", self.house.path("drive").display()));
        }
    }
}

fn mounted(at: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mounts").unwrap();
    table.lines().any(|line| line.split(' ').nth(1) == at.to_str())
}

fn md5(device: &Path) -> String {
    sh(&format!("md5sum <{}", device.display())).unwrap()
}

/// A family fills the drive at a computer: whose it is there is nobody's concern here.
#[test]
fn what_belongs_to_others_on_our_drive_is_made_ours_and_told() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("ready:");
        let files = house.path("drive/BTsync/files");
        fs::create_dir_all(files.join("Photos")).unwrap();
        fs::write(files.join("Photos/theirs.jpg"), "theirs").unwrap();
        fs::write(house.path("drive/elsewhere"), "not in our folders").unwrap();
        fs::set_permissions(files.join("Photos"), fs::Permissions::from_mode(0o500)).unwrap();
        house.pull(&disk);
        larder.says("waiting-for-drive:");
        house.plug(&disk);
        let told = larder.says("3 files and folders on the drive belonged to somebody else");
        assert!(told.contains("BTsync/files"), "{told}");
        larder.says("ready:");
        let nobody: u32 = sh("id -u nobody").unwrap().parse().unwrap();
        for (at, mode) in [("", 0o700), ("Photos", 0o700), ("Photos/theirs.jpg", 0o600)] {
            let meta = fs::metadata(files.join(at)).unwrap();
            assert_eq!((meta.uid(), meta.mode() & mode), (nobody, mode), "{kind}: {at}");
        }
        assert_eq!(fs::metadata(house.path("drive/elsewhere")).unwrap().uid(), 0, "{kind}");
        larder.signal("TERM");
        assert!(larder.ends(), "{kind}");
    }
}

#[test]
fn empty_ext4_xfs_and_btrfs_serve_as_they_are() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("ready:");
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        let drive = house.path("drive");
        let line = table.lines().find(|line| line.contains(drive.to_str().unwrap())).unwrap();
        assert!(line.contains(kind) && line.contains("nosuid,nodev,noexec"), "{line}");
        let starts = fs::read_to_string(house.path("out/starts")).unwrap();
        let uid = sh("id -u nobody").unwrap();
        let args = format!(
            " {uid} run --drive {} --boot {} --report-fd 1 --claim-within ",
            drive.display(),
            house.path("boot").display()
        );
        // What is left of the window since this machine was switched on, not since the supervisor began.
        let (_, left) = starts.trim().rsplit_once(&args).expect(&starts);
        let up = fs::read_to_string("/proc/uptime").unwrap();
        let up: f64 = up.split(' ').next().unwrap().parse().unwrap();
        let left: f64 = left.parse().unwrap();
        assert!((left - (1800.0 - up).max(0.0)).abs() < 60.0, "{left} left, {up} up");
        let own = fs::metadata(drive.join("BTsyncApp")).unwrap();
        assert_eq!((own.mode() & 0o777, own.uid().to_string()), (0o700, uid));
        larder.signal("TERM");
        assert!(larder.ends(), "{kind}");
        assert!(!mounted(&drive));
        assert_eq!(house.lines("out/ends"), 1);
    }
}

impl Loop {
    /// The disk as it is when it is pulled now: without what the kernel holds back for later.
    fn pulled(&self) -> Self {
        // Reading the device itself would bring that to it first.
        let image = sh(&format!("losetup -n -O BACK-FILE {}", self.0.display())).unwrap();
        let copy = format!("{}.pulled", image.trim());
        sh(&format!("cp --sparse=always {} {copy}", image.trim())).unwrap();
        Self::on(Path::new(&copy))
    }
}

/// A drive that was pulled soon after somebody's first files came to it: they are in its journal, and
/// whoever passes over that sees an empty drive.
fn pulled_early(house: &House, kind: &str, size: &str) -> Loop {
    let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
    let at = house.path(&format!("out/{kind}"));
    fs::create_dir(&at).unwrap();
    let at = at.display();
    sh(&format!("mount {} {at}", disk.0.display())).unwrap();
    // On the disk, as far as who wrote it was told; not yet where it belongs.
    sh(&format!("echo words >{at}/words.txt && sync {at}/words.txt")).unwrap();
    let pulled = disk.pulled();
    sh(&format!("umount {at}")).unwrap();
    pulled
}

#[test]
fn a_drive_that_only_looks_empty_is_not_written() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = pulled_early(&house, kind, size);
        let before = md5(&disk.0);
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("drive-unusable:");
        larder.stop();
        assert_eq!(md5(&disk.0), before, "{kind}: it was written");
        // Once its owner has had it on a computer, it is what it is: somebody's.
        let at = house.path("out").join(kind);
        sh(&format!("mount {} {at} && umount {at}", disk.0.display(), at = at.display())).unwrap();
        let mut larder = house.start();
        larder.says("attention:");
        larder.stop();
    }
}

/// A drive that was pulled while something had a removed file open: whoever mounts it next frees that file,
/// an ext4 even where nothing is to be written.
fn pulled_with_an_orphan(house: &House, kind: &str, size: &str, fill: &str) -> Loop {
    let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
    let at = house.path(&format!("out/{kind}"));
    fs::create_dir(&at).unwrap();
    let mount = format!("mount {} {}", disk.0.display(), at.display());
    // What fills it is out of the journal before the orphan comes.
    sh(&format!("{mount} && (cd {0} && {fill}) && umount {0} && {mount}", at.display())).unwrap();
    let orphan = at.join("orphan");
    fs::write(&orphan, vec![7; 1 << 20]).unwrap();
    let open = fs::File::open(&orphan).unwrap();
    sh(&format!("sync -f {0} && rm {1} && sync -f {0}", at.display(), orphan.display())).unwrap();
    let pulled = disk.pulled();
    drop(open);
    sh(&format!("umount {0} && rmdir {0}", at.display())).unwrap();
    pulled
}

#[test]
fn a_look_inside_writes_nothing_also_where_a_removed_file_was_open() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = pulled_with_an_orphan(&house, kind, size, "echo words >words.txt");
        let before = md5(&disk.0);
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("attention:");
        larder.stop();
        assert_eq!(md5(&disk.0), before, "{kind}: a foreign drive was written");
        house.pull(&disk);

        // Larder's own by its folders: as a second drive, it is only looked at.
        let first = house.disk(size, &format!("mkfs.{kind} -q -L LARDER {{}}"));
        house.plug(&first);
        let mut larder = house.start();
        larder.says("ready:");
        let ours = pulled_with_an_orphan(&house, kind, size, "mkdir BTsync BTsyncApp");
        let before = md5(&ours.0);
        house.plug(&ours);
        larder.says("A second Larder drive");
        larder.stop();
        assert_eq!(md5(&ours.0), before, "{kind}: ours was written before it was checked");
        house.pull(&first);
        house.pull(&ours);

        // A drive with a switch keeps it, and one without is not held any longer.
        let node = ours.0.display();
        sh(&format!("blockdev --setro {node}")).unwrap();
        house.plug(&ours);
        let mut larder = house.start();
        larder.says("is write-protected");
        larder.stop();
        assert_eq!(sh(&format!("blockdev --getro {node}")).unwrap(), "1", "{kind}: its switch");
        sh(&format!("blockdev --setrw {node}")).unwrap();
        let mut larder = house.start();
        larder.says("ready:");
        larder.stop();
        assert_eq!(sh(&format!("blockdev --getro {node}")).unwrap(), "0", "{kind}: held for ever");
    }
}

#[test]
fn a_drive_that_was_taken_a_moment_before_it_was_pulled_is_known_again() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("ready:");
        let pulled = disk.pulled();
        house.pull(&disk);
        larder.says("waiting-for-drive:");
        house.plug(&pulled);
        larder.says("ready:");
        larder.stop();
    }
}

#[test]
fn ext4_stops_at_any_error_and_serves_without_a_journal_too() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    for (features, stops) in [("has_journal", true), ("^has_journal", false)] {
        let disk = house.disk("64M", &format!("mkfs.ext4 -q -O {features} {{}}"));
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("ready:");
        let table = fs::read_to_string("/proc/self/mounts").unwrap();
        let drive = house.path("drive");
        let line = table.lines().find(|line| line.contains(drive.to_str().unwrap())).unwrap();
        assert!(line.contains("errors=remount-ro"), "{line}");
        assert_eq!(line.contains("data_err=abort"), stops, "{line}");
        larder.stop();
        house.pull(&disk);
    }
}

#[test]
fn a_drive_that_the_engine_calls_failed_is_left_until_it_is_plugged_in_anew() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let out = house.path("out");
    let out = out.display();
    house.put(
        "engine",
        &format!(
            "#!/bin/sh\n\
             echo start >>{out}/starts\n\
             trap 'exit 0' TERM\n\
             echo '{{}}'\n\
             while [ ! -e {out}/broken ]; do sleep 0.1; done\n\
             echo '{{\"condition\":\"drive-unusable\",\"drive_failed\":true}}'\n\
             while :; do echo '{{}}'; sleep 0.1; done\n"
        ),
    );
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    fs::write(house.path("out/broken"), "").unwrap();
    larder.says("drive-unusable:");
    larder.says("unmounted");
    std::thread::sleep(Duration::from_secs(3));
    assert!(!mounted(&house.path("drive")));
    assert_eq!(house.lines("out/starts"), 1, "it was tried again");
    fs::remove_file(house.path("out/broken")).unwrap();
    house.pull(&disk);
    larder.says("waiting-for-drive:");
    house.plug(&disk);
    larder.says("ready:");
    larder.stop();
}

#[test]
fn the_real_engine_gets_ready_and_leaves_nothing_but_its_own_files() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    // Neither this machine's Syncthing nor its ports.
    let rest = format!("[sync]\nenabled = false\n[web]\nport = {}\n", port::free_port());
    let house = House::new(&format!("[devices.HTCphone]\nquota = \"8 GB\"\n{rest}"));
    house.use_the_real_engine();
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    larder.stop();
    let nobody = sh("id -u nobody").unwrap();
    let others = house.look(
        &disk.0,
        "ext4",
        &format!(
            "test -e BTsync/catalogue/HTCphone/catalogue.html && find . -mindepth 1 ! -uid {nobody}"
        ),
    );
    assert_eq!(others, "./lost+found");
}

#[test]
fn the_page_is_announced_where_it_is_served_and_not_while_it_is_off() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let ports = [port::free_port(), port::free_port()];
    let web = |port: u16| format!("[web]\nport = {port}\n[sync]\nenabled = false\n");
    let house = House::new(&web(ports[0]));
    house.use_the_real_engine();
    let announced =
        || fs::read_to_string(house.path("announce/larder.service")).unwrap_or_default();
    let eventually = |what: &str, so: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !so() {
            assert!(begun.elapsed() < Duration::from_secs(120), "{what}: {}", announced());
            std::thread::sleep(Duration::from_millis(50));
        }
    };
    let is = |port: u16| announced().contains(&format!("<port>{port}</port>"));
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    let mut larder = house.start();
    assert_eq!(announced(), "");
    house.plug(&disk);
    larder.says("ready:");
    eventually("the port of the settings", &|| is(ports[0]));
    house.put("boot/larder.toml", &web(ports[1]));
    eventually("another one, while it runs", &|| is(ports[1]));
    house.put("boot/larder.toml", "[web]\nenabled = false\n[sync]\nenabled = false\n");
    eventually("nothing while the web is off", &|| announced().is_empty());
    house.put("boot/larder.toml", &web(ports[0]));
    eventually("on again", &|| is(ports[0]));
    larder.stop();
    assert_eq!(announced(), "");
}

#[test]
fn a_blank_drive_is_offered_then_formatted_exactly_once() {
    if !possible(&["mkfs.ext4", "blockdev", "partx"]) {
        return;
    }
    let house = House::new("");
    let disk = house.disk("64M", "true");
    house.plug(&disk);
    let before = md5(&disk.0);
    let mut larder = house.start();
    larder.says("attention:");
    let offer = larder.says("looks empty");
    let wish = offer.split('`').nth(1).expect("the exact words for larder.toml").to_owned();
    larder.stop();
    assert_eq!(md5(&disk.0), before, "a blank drive was written without the owner's word");

    house.put("boot/larder.toml", &format!("[drive]\n{wish}\n"));
    let mut larder = house.start();
    // This kernel may lack partition tables of its own; partx tells it.
    let helper = std::thread::spawn({
        let node = disk.0.clone();
        move || {
            let began = Instant::now();
            while began.elapsed() < PATIENCE
                && sh(&format!("partx -a {} 2>/dev/null", node.display())).is_none()
            {
                std::thread::sleep(Duration::from_millis(200));
            }
        }
    });
    larder.says("was formatted");
    helper.join().unwrap();
    larder.says("Take that line out");
    larder.says("ready:");
    larder.stop();
    let part = PathBuf::from(format!("{}p1", disk.0.display()));
    let first = house.look(&part, "ext4", "stat -c %i BTsyncApp; ls; cat BTsyncApp/beat | wc -l");
    assert!(first.contains("BTsync\nBTsyncApp"), "{first}");
    let uuid = sh(&format!("blkid -p -s UUID -o value {}", part.display())).unwrap();
    assert!(uuid.len() == 36, "{uuid}");

    // The same setting again: used, not formatted, and said again.
    let mut larder = house.start();
    larder.says("Take that line out");
    larder.says("ready:");
    larder.stop();
    assert_eq!(sh(&format!("blkid -p -s UUID -o value {}", part.display())).unwrap(), uuid);

    // Its file system lost: still not formatted.
    sh(&format!(
        "dd if=/dev/zero of={} bs=1024 seek=1 count=1023 conv=notrunc status=none",
        part.display()
    ));
    let damaged = md5(&part);
    let mut larder = house.start();
    larder.says("can't be read any more");
    larder.stop();
    assert_eq!(md5(&part), damaged);

    // Its table lost, too, at both ends: no partition is shown, and still it is not formatted.
    sh(&format!(
        "partx -d {0}; for at in 0 $(($(blockdev --getsz {0}) - 34)); do \
         dd if=/dev/zero of={0} bs=512 seek=$at count=34 conv=notrunc status=none || exit 1; done",
        disk.0.display()
    ))
    .unwrap();
    let damaged = md5(&disk.0);
    let mut larder = house.start();
    larder.says("can't be read any more");
    larder.stop();
    assert_eq!(md5(&disk.0), damaged);
}

#[test]
fn a_foreign_drive_is_never_written_and_adopted_by_the_owners_word() {
    if !possible(&["mkfs.ext4", "mkfs.exfat"]) {
        return;
    }
    let house = House::new("");
    let exfat = house.disk("32M", "mkfs.exfat -L PHOTOS {}");
    let before = md5(&exfat.0);
    house.plug(&exfat);
    let mut larder = house.start();
    larder.says("drive-unusable:");
    larder.says("no hard links");
    larder.stop();
    assert_eq!(md5(&exfat.0), before);
    house.pull(&exfat);

    let other = house.disk("48M", "mkfs.ext4 -q -d /etc/skel {}");
    let full = house.path("full");
    fs::create_dir(&full).unwrap();
    sh(&format!(
        "mount {0} {1} && echo mine >{1}/mine; umount {1}",
        other.0.display(),
        full.display()
    ));
    let before = md5(&other.0);
    house.plug(&other);
    let mut larder = house.start();
    larder.says("attention:");
    let offer = larder.says("adopt = ");
    let wish = offer.split('`').nth(1).unwrap().to_owned();
    larder.stop();
    assert_eq!(md5(&other.0), before, "a drive with other files was written without a word");

    house.put("boot/larder.toml", &format!("[drive]\n{wish}\n"));
    let mut larder = house.start();
    larder.says("ready:");
    larder.stop();
    let files = house.look(&other.0, "ext4", "cat mine; ls -d BTsync BTsyncApp; stat -c %u mine");
    assert_eq!(files, "mine\nBTsync\nBTsyncApp\n0");
}

/// What a drive has room for, by the kernel's count.
fn free(at: &Path) -> u64 {
    let space = rustix::fs::statvfs(at).unwrap();
    space.f_bavail * space.f_frsize
}

/// A drive in use by nobody, for an import to fill; unmounted with its test.
struct Target(PathBuf, #[expect(dead_code, reason = "goes with it, after the unmount")] Loop);

impl Target {
    fn new(house: &House, size: &str, kind: &str) -> Self {
        let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
        let at = house.path(&format!("out/target-{kind}"));
        fs::create_dir(&at).unwrap();
        sh(&format!("mount {} {}", disk.0.display(), at.display())).unwrap();
        Self(at, disk)
    }

    fn import(&self, from: &Path) -> Child {
        Command::new(env!("CARGO_BIN_EXE_larder"))
            .args(["import", "--id", "1234--5", "--from"])
            .arg(from)
            .arg("--drive")
            .arg(&self.0)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// What lies in the folder of imports: nothing but the list of what was copied.
    fn has_only_its_list(&self) {
        let own = fs::read_dir(self.0.join("BTsyncApp/import")).unwrap();
        let names: Vec<_> = own.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["1234--5.list"]);
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        sh(&format!("umount {}", self.0.display()));
    }
}

#[test]
fn an_import_leaves_out_what_does_not_fit_and_room_for_the_ledger_and_half_a_file_never_stays() {
    for (size, kind) in serving() {
        let house = House::new("");
        let target = Target::new(&house, size, kind);
        let from = house.path("from");
        fs::create_dir(&from).unwrap();
        // Larger than what is free; some MB, and one that no longer fits beside them and the reserve.
        let room = free(&target.0);
        let film = fs::File::create(from.join("film.mkv")).unwrap();
        film.set_len(room * 3 / 2).unwrap();
        fs::write(from.join("a.jpg"), vec![7; 3 << 20]).unwrap();
        let last = fs::File::create(from.join("z.mkv")).unwrap();
        last.set_len(room - (5 << 20)).unwrap();
        let output = target.import(&from).wait_with_output().unwrap();
        assert!(output.status.success(), "{kind}: {output:?}");
        let said = String::from_utf8(output.stdout).unwrap();
        let last = said.lines().last().unwrap();
        assert!(
            last.contains("\"copied\":1,") && last.contains("\"skipped\":2,"),
            "{kind}: {last}"
        );
        assert!(last.contains("film.mkv: it has ") && last.contains("room for"), "{kind}: {last}");
        assert_eq!(fs::metadata(target.0.join("BTsync/files/a.jpg")).unwrap().len(), 3 << 20);
        assert!(!target.0.join("BTsync/files/film.mkv").exists());
        target.has_only_its_list();
        assert!(free(&target.0) > 8 << 20, "{kind}: nothing is left for the ledger");

        // Killed in the middle of a file: what it had taken is free again.
        fs::remove_file(from.join("film.mkv")).unwrap();
        let most = fs::File::create(from.join("z.mkv")).unwrap();
        most.set_len(free(&target.0) - (20 << 20)).unwrap();
        let before = free(&target.0);
        let mut import = target.import(&from);
        let began = Instant::now();
        while free(&target.0) + (12 << 20) > before && began.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_micros(100));
        }
        import.kill().unwrap();
        import.wait().unwrap();
        if target.0.join("BTsync/files/z.mkv").exists() {
            eprintln!("{kind}: it was done before it could be killed");
            continue;
        }
        target.has_only_its_list();
        // Some file systems free it a moment later, and keep some MB for what they note of it.
        let began = Instant::now();
        while free(&target.0) + (6 << 20) <= before {
            assert!(began.elapsed() < PATIENCE, "{kind}: half a film stays");
            sh(&format!("sync -f {}", target.0.display())).unwrap();
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

#[test]
fn half_a_file_of_a_former_import_is_gone_when_its_drive_is_plugged_in() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let tree = house.path("tree");
    fs::create_dir_all(tree.join("BTsyncApp/import")).unwrap();
    fs::create_dir_all(tree.join("BTsync")).unwrap();
    fs::write(tree.join("BTsyncApp/import/part"), vec![7; 20 << 20]).unwrap();
    let disk = house.disk("64M", &format!("mkfs.ext4 -q -d {} {{}}", tree.display()));
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    assert!(!house.path("drive/BTsyncApp/import/part").exists());
    assert!(fs::metadata(house.path("drive/BTsyncApp/reserve")).unwrap().blocks() * 512 >= 1 << 20);
    larder.stop();
}

#[test]
fn on_a_drive_that_is_full_to_the_last_block_the_reserve_is_room_for_the_ledger() {
    use larder::drive::reserve;
    for (size, kind) in serving() {
        let house = House::new("");
        let target = Target::new(&house, size, kind);
        fs::create_dir(target.0.join("BTsyncApp")).unwrap();
        let (uid, gid) = (sh("id -u nobody").unwrap(), sh("id -g nobody").unwrap());
        let hold = || reserve::hold(&target.0, uid.parse().unwrap(), gid.parse().unwrap()).unwrap();
        assert!(hold() && hold(), "{kind}");
        let held = fs::metadata(target.0.join("BTsyncApp/reserve")).unwrap();
        assert!(
            held.blocks() * 512 >= 1 << 20 && held.uid().to_string() == uid,
            "{kind}: {held:?}"
        );
        let at = target.0.display();
        sh(&format!(
            "for size in 1M 64k 4k; do dd if=/dev/zero of={at}/fill$size bs=$size conv=fsync 2>/dev/null; done; \
             sync -f {at}"
        ))
        .unwrap();
        // As root, who may also take what ext4 keeps for it.
        let write = || {
            let written =
                fs::File::create(target.0.join("BTsyncApp/ledger")).and_then(|mut file| {
                    file.write_all(&[7; 512 << 10]).and_then(|()| file.sync_all())
                });
            written.is_ok()
        };
        assert!(!write(), "{kind}: it is not full");
        drop(fs::remove_file(target.0.join("BTsyncApp/ledger")));
        reserve::release(&target.0).unwrap();
        reserve::release(&target.0).unwrap();
        sh(&format!("sync -f {at}")).unwrap();
        assert!(write(), "{kind}: nothing could be written after the release");
        assert!(!hold(), "{kind}: there is no room to hold it again");
        let file = target.0.join("BTsyncApp/reserve");
        assert_eq!(fs::metadata(&file).unwrap().len(), 0);
        fs::remove_file(&file).unwrap();
        // What a hostile drive brings in its place is not followed.
        symlink(house.path("boot/larder.toml"), &file).unwrap();
        assert!(reserve::hold(&target.0, 0, 0).is_err());
    }
}

#[test]
fn a_full_drive_without_our_folders_is_called_full() {
    for (size, kind) in serving().filter(|(_, kind)| *kind != "btrfs") {
        let house = House::new("");
        // Not a block is kept for root, who makes the folders.
        let how = if kind == "ext4" { "-m 0" } else { "" };
        let disk = house.disk(size, &format!("mkfs.{kind} -q -L LARDER {how} {{}}"));
        let at = house.path("out/full");
        fs::create_dir(&at).unwrap();
        let at = at.display();
        sh(&format!(
            "mount {} {at}; i=0; for size in 1M 64k 4k 512; do \
             while dd if=/dev/zero of={at}/f$i bs=$size count=1 conv=fsync 2>/dev/null; do i=$((i+1)); done; done; \
             while mkdir {at}/d$i 2>/dev/null; do i=$((i+1)); done; umount {at}",
            disk.0.display()
        ))
        .unwrap();
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("drive-full:");
        let said = larder.says("is full");
        assert!(said.contains("make some room") && !said.contains("e2fsck"), "{said}");
        assert_eq!(house.lines("out/starts"), 0);
        larder.stop();
    }
}

/// A loop device of 4,096-byte sectors over what was made with sectors of 512.
fn shown_with_large_sectors(house: &House, make: &str) -> Option<Loop> {
    let image = house.path("large-sectors");
    sh(&format!("truncate -s 320M {}", image.display()))?;
    let living = living_disks();
    sh(&make.replace("{}", &image.display().to_string())).expect("a file system");
    drop(living);
    let node = sh(&format!("losetup -b 4096 -f --show {}", image.display()))?;
    Some(Loop(node.into()))
}

#[test]
fn a_sound_drive_of_ours_in_another_enclosure_is_left_and_nothing_that_erases_is_told() {
    if !possible(&["mkfs.ext4", "mkfs.xfs", "sfdisk"]) {
        return;
    }
    for make in [
        "printf 'label: gpt\\n,,L\\n' | sfdisk -q {} && mke2fs -q -F -t ext4 -L LARDER -E offset=1048576 {} 300M",
        "mke2fs -q -F -t ext4 -b 1024 -L LARDER {}",
        "mkfs.xfs -q -s size=512 -L LARDER {}",
    ] {
        let house = House::new("");
        let Some(disk) = shown_with_large_sectors(&house, make) else {
            eprintln!("SKIPPED: this kernel's loop devices have no sectors of 4,096 bytes");
            return;
        };
        let before = md5(&disk.0);
        house.plug(&disk);
        house.put("boot/larder.toml", "[drive]\nimport = true\n");
        let mut larder = house.start();
        larder.says("drive-unusable:");
        let said = larder.says("this one shows the drive differently");
        assert!(said.contains("Put it back into the enclosure"), "{said}");
        for word in ["dd if", "format =", "erase", "broken", "e2fsck"] {
            assert!(!said.contains(word), "{said}");
        }
        larder.stop();
        assert_eq!(md5(&disk.0), before, "{make}");
    }
}

#[test]
fn of_a_drive_and_its_clone_none_is_guessed_and_neither_is_called_damaged() {
    for (size, kind) in serving() {
        let house = House::new("");
        let disk = house.disk(size, &format!("mkfs.{kind} -q {{}}"));
        house.plug(&disk);
        let mut larder = house.start();
        larder.says("ready:");
        larder.stop();
        let clone = disk.pulled();
        let untouched = md5(&clone.0);
        // Both from the start: nobody knows which one is the right one.
        house.plug(&clone);
        let mut larder = house.start();
        larder.says("attention:");
        let said = larder.says("copies of each other");
        assert!(
            said.contains("of it used") && said.contains("unplug the others"),
            "{kind}: {said}"
        );
        assert_eq!(house.lines("out/starts"), 1, "{kind}: one of two copies was used");
        // One of them alone is used.
        house.pull(&clone);
        larder.says("ready:");
        // Its copy comes back beside it.
        house.plug(&clone);
        let said = larder.says("opy of");
        for word in ["format =", "e2fsck", "can't be opened", "damaged"] {
            assert!(!said.contains(word), "{kind}: {said}");
        }
        larder.stop();
        assert_eq!(md5(&clone.0), untouched, "{kind}");
    }
}

#[test]
fn a_damaged_ext4_of_ours_is_repaired_and_a_hopeless_one_told() {
    if !possible(&["mkfs.ext4", "debugfs", "e2fsck"]) {
        return;
    }
    let house = House::new("");
    let disk = house.disk("64M", "mkfs.ext4 -q -L LARDER {}");
    // Wrong free counts and an error noted: what a pulled plug leaves, and -p repairs.
    let script = "debugfs -w -R 'set_super_value state 2' {0} && debugfs -w -R 'ssv free_inodes_count 3' {0}";
    sh(&script.replace("{0}", &disk.0.display().to_string())).unwrap();
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("had errors, which were repaired");
    larder.says("ready:");
    larder.stop();
    house.pull(&disk);

    // Inodes full of nonsense: not for -p to decide.
    let hopeless = house.disk("64M", "mkfs.ext4 -q -L LARDER -O ^metadata_csum {}");
    let image = hopeless.0.display();
    sh(&format!("debugfs -w -R 'clri <2>' {image} && debugfs -w -R 'ssv state 2' {image}"))
        .unwrap();
    house.plug(&hopeless);
    let mut larder = house.start();
    larder.says("drive-unusable:");
    larder.says("e2fsck gave up");
    larder.stop();
    assert_eq!(house.lines("out/starts"), 1, "an engine ran on a damaged drive");
}

#[test]
fn pulled_the_engine_ends_within_two_seconds_and_plugged_back_it_goes_on() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    let pid = fs::read_to_string(house.path("run/engine.pid")).unwrap();
    let began = Instant::now();
    house.pull(&disk);
    while Path::new("/proc").join(pid.trim()).exists() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    larder.says("waiting-for-drive:");
    larder.says("unmounted");
    assert!(!mounted(&house.path("drive")));
    assert_eq!(fs::read_dir(house.path("drive")).unwrap().count(), 0);
    eprintln!("measured: engine gone {took:?} after the pull");
    assert!(took < Duration::from_secs(9), "it was given time as if nothing were wrong: {took:?}");
    house.plug(&disk);
    larder.says("ready:");
    assert_eq!(house.lines("out/starts"), 2);
    larder.stop();
}

#[test]
fn an_engine_that_does_not_listen_is_killed_in_time_when_the_drive_goes() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    house.put("engine", "#!/bin/sh\ntrap '' TERM\necho '{}'\nwhile :; do sleep 0.1; done\n");
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    let pid = fs::read_to_string(house.path("run/engine.pid")).unwrap();
    let began = Instant::now();
    house.pull(&disk);
    while Path::new("/proc").join(pid.trim()).exists() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    let took = began.elapsed();
    eprintln!("measured: deaf engine gone {took:?} after the pull");
    assert!(took < Duration::from_secs(9), "it was given time as if nothing were wrong: {took:?}");
    larder.says("unmounted");
    larder.stop();
}

#[test]
fn a_drive_whose_disk_fails_is_noticed_said_and_left() {
    for (size, kind) in serving() {
        if possible(&["qemu-storage-daemon"]) {
            the_disk_fails(size, kind);
        }
    }
}

/// A disk that another program answers for: it can fall silent, or die.
struct Far {
    disk: Option<Loop>,
    daemon: Child,
    export: PathBuf,
}

impl Far {
    fn new(house: &House, size: &str, tool: &str) -> Self {
        let (image, export) = (house.path("disk.raw"), house.path("export"));
        house.put("export", "");
        let living = living_disks();
        sh(&format!("truncate -s {size} {0} && {tool} {0}", image.display())).unwrap();
        drop(living);
        let daemon = Command::new("qemu-storage-daemon")
            .arg("--blockdev")
            .arg(format!("driver=file,node-name=f,filename={}", image.display()))
            .arg("--export")
            .arg(format!("type=fuse,id=e,node-name=f,mountpoint={},writable=on", export.display()))
            .spawn()
            .unwrap();
        let mut far = Self { disk: None, daemon, export };
        let began = Instant::now();
        while fs::metadata(&far.export).unwrap().len() == 0 {
            assert!(began.elapsed() < PATIENCE, "the storage daemon does not export");
            std::thread::sleep(Duration::from_millis(20));
        }
        far.disk = Some(Loop::on(&far.export));
        far
    }

    fn disk(&self) -> &Loop {
        self.disk.as_ref().unwrap()
    }

    fn dies(&mut self) {
        self.daemon.kill().unwrap();
        self.daemon.wait().unwrap();
    }

    /// Does not answer for as long as this lives.
    fn silent(&self) -> Silent {
        let daemon = self.daemon.id();
        sh(&format!("kill -STOP {daemon}")).unwrap();
        Silent(daemon)
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.disk.take());
        drop(self.daemon.kill());
        drop(self.daemon.wait());
        sh(&format!("umount {}", self.export.display()));
    }
}

struct Silent(u32);

impl Drop for Silent {
    fn drop(&mut self) {
        sh(&format!("kill -CONT {}", self.0));
    }
}

fn the_disk_fails(size: &str, kind: &str) {
    let house = House::new("");
    let mut far = Far::new(&house, size, &format!("mkfs.{kind} -q -L LARDER"));
    house.plug(far.disk());
    let mut larder = house.start();
    larder.says("ready:");
    let _others_wait = living_disks();
    far.dies();
    // The engine of this test only appends; a file system notices when it is to reach the disk.
    sh(&format!("sync -f {}", house.path("drive").display()));
    larder.says("drive-unusable:");
    larder.says("failed while it was in use");
    larder.stop();
}

#[test]
fn a_pulled_drive_is_noticed_while_another_one_takes_long_to_be_mounted_for_its_import() {
    if !possible(&["mkfs.ext4", "mkfs.exfat", "qemu-storage-daemon"]) {
        return;
    }
    let house = House::new("[drive]\nimport = true\n");
    let ours = house.disk("64M", "mkfs.ext4 -q -L LARDER {}");
    let far = Far::new(&house, "64M", "mkfs.exfat -L PHOTOS");
    house.plug(far.disk());
    let mut larder = house.start();
    larder.says("drive-unusable:");
    let _others_wait = living_disks();
    // A kernel that has no exFAT keeps us waiting nine seconds for it; any other needs the disk.
    let silent = far.silent();
    house.plug(&ours);
    larder.says("Copying the files of");
    let pid = fs::read_to_string(house.path("run/engine.pid")).unwrap();
    let began = Instant::now();
    house.pull(&ours);
    while Path::new("/proc").join(pid.trim()).exists() {
        assert!(began.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("measured: engine gone {:?} after the pull", began.elapsed());
    larder.says(&format!("unmounted {}", house.path("drive").display()));
    drop(silent);
    larder.says("stopped after 0");
    assert!(!mounted(&house.path("run/import")));
    larder.stop();
    let starts = fs::read_to_string(house.path("out/starts")).unwrap();
    assert!(!starts.contains("import"), "an import began without its drive: {starts}");
}

/// The medium takes no more of a file's bytes, and nothing else is wrong with it.
#[test]
fn a_drive_that_loses_a_files_bytes_is_left() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let medium = Medium::of(&house, "20M");
    let image = medium.0.join("disk.raw");
    sh(&format!("truncate -s 64M {0} && mkfs.ext4 -q {0}", image.display())).unwrap();
    let disk = Loop::on(&image);
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    let film = house.path("drive/BTsync/film");
    let lost = fs::write(&film, vec![7; 30 << 20]).and_then(|()| fs::File::open(&film)?.sync_all());
    assert!(lost.is_err(), "the medium took it all");
    larder.says("drive-unusable:");
    larder.says("failed while it was in use");
    larder.stop();
}

/// A file system in memory that can't hold the disk image on it.
struct Medium(PathBuf);

impl Medium {
    fn of(house: &House, size: &str) -> Self {
        let at = house.path("medium");
        fs::create_dir(&at).unwrap();
        sh(&format!("mount -t tmpfs -o size={size} none {}", at.display())).unwrap();
        Self(at)
    }
}

impl Drop for Medium {
    fn drop(&mut self) {
        sh(&format!("umount -l {}", self.0.display()));
    }
}

#[test]
fn ejected_it_says_that_the_drive_may_be_unplugged_and_stays() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    larder.signal("USR1");
    larder.says("stopped-safely:");
    assert!(!mounted(&house.path("drive")));
    house.pull(&disk);
    larder.says("waiting-for-drive:");
    house.plug(&disk);
    larder.says("ready:");
    larder.stop();
    let status = fs::read_to_string(house.path("boot/STATUS.txt")).unwrap();
    assert!(status.starts_with("\u{feff}LARDER STATUS"), "{status}");
    // How the machine fared stands in the head, once.
    assert!(status[..512].contains("UTC.\r\nMemory "), "{status}");
    assert_eq!(status.matches("Memory ").count(), 1, "{status}");
}

#[test]
fn what_a_broken_down_supervisor_left_is_cleared_away() {
    if !possible(&["mkfs.ext4"]) {
        return;
    }
    let house = House::new("");
    let disk = house.disk("64M", "mkfs.ext4 -q {}");
    house.plug(&disk);
    let mut larder = house.start();
    larder.says("ready:");
    larder.signal("KILL");
    larder.ends();
    assert!(mounted(&house.path("drive")));
    let mut larder = house.start();
    larder.says("was left");
    larder.says("ready:");
    assert_eq!(house.lines("out/starts"), 2);
    larder.stop();
    assert_eq!(house.lines("out/ends"), 1, "the first engine was killed, not left");

    // One that broke down while it looked inside left the disk held, too: mounted, or not any more.
    let (peek, node) = (house.path("run/peek"), disk.0.display());
    fs::create_dir_all(&peek).unwrap();
    for mount in [format!("mount -o ro,noload {node} {}", peek.display()), "true".into()] {
        sh(&format!("blockdev --setro {node} && {mount}")).unwrap();
        house.put("run/peek.holds", &node.to_string());
        let mut larder = house.start();
        larder.says("was left read-only");
        larder.says("ready:");
        larder.stop();
        assert_eq!(fs::read_to_string(house.path("run/peek.holds")).unwrap(), "");
    }
}

#[test]
fn broken_settings_are_told_and_touch_no_drive() {
    if !possible(&["losetup"]) {
        return;
    }
    let house = House::new("[drive]\nformat = 5\nimprot = true\n");
    let mut larder = house.start();
    larder.says("settings-error:");
    larder.says("larder.toml, line 2");
    larder.stop();
    // Or that are not there at all, as where the boot partition could not be mounted.
    fs::remove_file(house.path("boot/larder.toml")).unwrap();
    let mut larder = house.start();
    larder.says("settings-error:");
    larder.says("larder.toml is missing");
    larder.stop();
}
