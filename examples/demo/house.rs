//! The house: a folder that plays the USB drive, and the real engine running on it.

use crate::STOP;
use anyhow::{Context as _, Result, bail, ensure};
use larder::status::{Condition, Report};
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// By this file a folder is known as one that a demo made, and may remove.
const MARK: &str = "made-by-the-demo";

/// Makes the folder of the demo anew.
pub fn fresh(root: &Path) -> Result<()> {
    let at = root.display();
    if root.exists() {
        if !root.join(MARK).exists() {
            bail!("{at} is there and no demo made it; name another folder with --dir");
        }
        std::fs::remove_dir_all(root).with_context(|| format!("{at} can't be removed"))?;
    }
    std::fs::create_dir_all(root).with_context(|| format!("{at} can't be made"))?;
    File::create(root.join(MARK)).with_context(|| format!("{at} can't be written"))?;
    Ok(())
}

/// A drive, a boot partition and an engine at work on them, which stops when this is dropped.
pub struct House {
    pub drive: PathBuf,
    pub boot: PathBuf,
    engine: Child,
    program: PathBuf,
    log: PathBuf,
    report: Arc<Mutex<Option<Report>>>,
}

impl House {
    /// Starts the engine and waits until it is ready.
    pub fn open(program: &Path, root: &Path, syncthing: Option<&Path>) -> Result<(Self, Duration)> {
        let (drive, boot, log) = (root.join("drive"), root.join("boot"), root.join("engine.log"));
        let begun = Instant::now();
        let mut command = Command::new(program);
        if let Some(folder) = syncthing.and_then(Path::parent) {
            let old = std::env::var_os("PATH").unwrap_or_default();
            let all = [folder.to_owned()].into_iter().chain(std::env::split_paths(&old));
            command.env("PATH", std::env::join_paths(all)?);
        }
        let mut engine = command
            .args(["run", "--loopback", "--report-fd", "1", "--drive"])
            .arg(&drive)
            .arg("--boot")
            .arg(&boot)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).with_context(|| format!("{}", log.display()))?)
            .spawn()
            .with_context(|| format!("{} can't be started", program.display()))?;
        let report = Arc::new(Mutex::new(None));
        let reports = engine.stdout.take().context("the engine has no standard output")?;
        let last = Arc::clone(&report);
        // Ends when the engine closes its side.
        std::thread::spawn(move || {
            for line in BufReader::new(reports).lines().map_while(Result::ok) {
                if let Ok(told) = serde_json::from_str(&line) {
                    *last.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
                }
            }
        });
        let mut house = Self { drive, boot, engine, program: program.to_owned(), log, report };
        house.until("the engine to be ready", |house| {
            Ok(house.report().filter(|r| r.condition == Condition::Ready && r.files.0 > 0))
        })?;
        Ok((house, begun.elapsed()))
    }

    /// What the engine told last.
    pub fn report(&self) -> Option<Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until `look` finds something; says how long that took.
    pub fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&Self) -> Result<Option<T>>,
    ) -> Result<(T, Duration)> {
        const PATIENCE: Duration = Duration::from_secs(60);
        let begun = Instant::now();
        loop {
            if STOP.load(Ordering::Relaxed) {
                bail!("stopped, as you wished");
            }
            if let Some(found) = look(self)? {
                return Ok((found, begun.elapsed()));
            }
            if let Some(status) = self.engine.try_wait()? {
                bail!(
                    "the engine ended ({status}) while we waited for {what}; {}",
                    self.last_words()
                );
            }
            if begun.elapsed() > PATIENCE {
                bail!("waited {PATIENCE:?} for {what}, in vain; {}", self.last_words());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Runs a command of Larder's on the drive; returns what it prints.
    pub fn ask(&self, command: &str, more: &[&str]) -> Result<String> {
        let mut larder = Command::new(&self.program);
        larder.arg(command).args(more);
        larder.arg("--drive").arg(&self.drive).arg("--boot").arg(&self.boot);
        let told = larder.output().with_context(|| self.program.display().to_string())?;
        let said = String::from_utf8_lossy(&told.stdout).into_owned();
        let complained = String::from_utf8_lossy(&told.stderr);
        ensure!(told.status.success(), "larder {command} says: {said}{complained}");
        Ok(said)
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        match lines[lines.len().saturating_sub(5)..] {
            [] => {
                "it said nothing here; its log may be in the system's: journalctl -t larder".into()
            }
            ref last => format!("its log ends with\n  {}", last.join("\n  ")),
        }
    }

    /// Asks the engine to stop, and waits for it.
    pub fn close(&mut self) -> Result<Duration> {
        let begun = Instant::now();
        if let Some(pid) =
            i32::try_from(self.engine.id()).ok().and_then(rustix::process::Pid::from_raw)
            && self.engine.try_wait()?.is_none()
        {
            rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        }
        while self.engine.try_wait()?.is_none() {
            // Its Syncthing may take some seconds to close its database.
            if begun.elapsed() > Duration::from_secs(20) {
                self.engine.kill()?;
                self.engine.wait()?;
                bail!("the engine did not stop within twenty seconds and was killed");
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(begun.elapsed())
    }
}

impl Drop for House {
    fn drop(&mut self) {
        if let Err(e) = self.close() {
            eprintln!("demo: {e:#}");
        }
    }
}

/// Which file it is on the disk, how many names it has, and its bytes. `None`: there is no such file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub inode: u64,
    pub names: u64,
    pub size: u64,
    pub mtime: i64,
}

/// Looks at a file.
pub fn look(path: &Path) -> Result<Option<Seen>> {
    match std::fs::symlink_metadata(path) {
        Ok(m) => {
            Ok(Some(Seen { inode: m.ino(), names: m.nlink(), size: m.len(), mtime: m.mtime() }))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| format!("{}", path.display())),
    }
}

/// The files below a folder, sorted.
pub fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let listed = match std::fs::read_dir(&folder) {
            Ok(listed) => listed,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(e).with_context(|| format!("{}", folder.display())),
        };
        for entry in listed {
            let entry = entry?;
            // What Syncthing keeps in a folder for itself is nobody's file.
            if !entry.file_name().as_encoded_bytes().starts_with(b".st") {
                if entry.file_type()?.is_dir() { &mut folders } else { &mut found }
                    .push(entry.path());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// What the files below some folders take on the disk, in bytes, every content counted once.
pub fn occupied(folders: &[PathBuf]) -> Result<u64> {
    let mut seen = std::collections::BTreeMap::new();
    for folder in folders {
        for file in files_below(folder)? {
            // A file may go while we count.
            if let Ok(m) = std::fs::symlink_metadata(&file) {
                seen.insert(m.ino(), m.blocks() * 512);
            }
        }
    }
    Ok(seen.values().sum())
}
