//! Puts STATUS.txt on the card: in place, only when it changed, at most once a minute.
//!
//! In comes the text of a report. On the appliance the boot partition is mounted read-only and the
//! file's own sectors are written through the block device; nothing else of the card is touched.
//! Elsewhere (tests, a folder on a computer) the file is written as a file. It never makes the
//! file longer or shorter, except that a missing or misshapen one in a plain folder is made anew.

use super::fat::{self, FatError, Run};
use super::layout::{self, LENGTH, SECTOR};
use crate::mounts;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The least time between two writes, in milliseconds.
pub const EVERY_MS: u64 = 60_000;
/// A text that changes again within this time, in milliseconds, is not written yet: the states that
/// a start or a pulled drive runs through would cost the minute in which the result is to be told.
pub const SETTLED_MS: u64 = 3_000;
/// A text that never settles is written after this time all the same.
const RESTLESS_MS: u64 = 15_000;
const NAME: &str = "STATUS.txt";

/// Why STATUS.txt can't be written. The house goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// Reading or writing failed.
    #[error("STATUS.txt can't be written to {path}: {source}; try the card in a computer")]
    Io {
        /// File or block device.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The file's sectors can't be found.
    #[error(transparent)]
    Fat(#[from] FatError),
}

/// The file on the card, and what is known to be in it.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    file: File,
    /// Where the file's bytes lie in `file`.
    runs: Vec<Run>,
    image: Vec<u8>,
    text: Option<String>,
    last_try_ms: Option<u64>,
    waiting: Option<Waiting>,
}

/// A text that waits to be written.
#[derive(Debug)]
struct Waiting {
    text: String,
    /// Since when it is this one.
    since_ms: u64,
    /// Since when something waits.
    first_ms: u64,
}

impl Writer {
    /// Finds STATUS.txt below `boot`.
    pub fn open(boot: &Path) -> Result<Self, StatusError> {
        let io = |path: &Path, source| StatusError::Io { path: path.to_path_buf(), source };
        let mount = mounts::at(boot).map_err(|source| io(boot, source))?;
        match mount {
            Some(mount) if is_card(&mount) => Self::on_fat(mount.source),
            _ => {
                let path = boot.join(NAME);
                Self::in_folder(path.clone()).map_err(|source| io(&path, source))
            }
        }
    }

    /// The file on a FAT partition, by the partition's device.
    pub fn on_fat(device: PathBuf) -> Result<Self, StatusError> {
        let io = |source| StatusError::Io { path: device.clone(), source };
        let reader = File::open(&device).map_err(io)?;
        let read = |offset: u64, out: &mut [u8]| reader.read_exact_at(out, offset);
        let runs = fat::locate(&read, NAME, LENGTH as u64)?;
        let mut image = Vec::with_capacity(LENGTH);
        for run in &runs {
            let mut bytes = vec![0; usize::try_from(run.length).unwrap_or(0)];
            read(run.offset, &mut bytes).map_err(io)?;
            image.extend_from_slice(&bytes);
        }
        let open = |flags: OFlags| {
            let flags = i32::try_from(flags.bits()).unwrap_or(0);
            OpenOptions::new().write(true).custom_flags(flags).open(&device)
        };
        // Direct, so that exactly these sectors are written and not the pages around them.
        let file = open(OFlags::DIRECT | OFlags::DSYNC).or_else(|_| open(OFlags::DSYNC));
        let file = file.map_err(io)?;
        Ok(Self { file, runs, image, path: device, text: None, last_try_ms: None, waiting: None })
    }

    fn in_folder(path: PathBuf) -> io::Result<Self> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        let mut image = vec![0; LENGTH];
        if file.metadata()?.len() == LENGTH as u64 {
            file.read_exact_at(&mut image, 0)?;
        } else {
            image = layout::blank();
            file.set_len(LENGTH as u64)?;
            file.write_all_at(&image, 0)?;
            file.sync_all()?;
        }
        let runs = vec![Run { offset: 0, length: LENGTH as u64 }];
        Ok(Self { file, runs, image, path, text: None, last_try_ms: None, waiting: None })
    }

    /// Writes `text` once it has settled, unless it is there already or the last write was less than
    /// a minute ago; whoever calls does so again soon. `now_ms` is any clock that only goes
    /// forward, `written` a [`layout::stamp`], which alone makes no writing. Answers whether something was written.
    pub fn offer(&mut self, text: &str, written: &str, now_ms: u64) -> Result<bool, StatusError> {
        if self.text.as_deref() == Some(text) {
            self.waiting = None;
            return Ok(false);
        }
        let fresh = |first_ms| Waiting { text: text.to_owned(), since_ms: now_ms, first_ms };
        let waiting = match self.waiting.take() {
            Some(waiting) if waiting.text == text => waiting,
            Some(waiting) => fresh(waiting.first_ms),
            None => fresh(now_ms),
        };
        let settled = now_ms.saturating_sub(waiting.since_ms) >= SETTLED_MS
            || now_ms.saturating_sub(waiting.first_ms) >= RESTLESS_MS;
        self.waiting = Some(waiting);
        if settled { self.write(text, written, now_ms) } else { Ok(false) }
    }

    /// As [`Writer::offer`], without waiting for the text to settle.
    pub fn write(&mut self, text: &str, written: &str, now_ms: u64) -> Result<bool, StatusError> {
        let early = self.last_try_ms.is_some_and(|last| now_ms.saturating_sub(last) < EVERY_MS);
        if early || self.text.as_deref() == Some(text) {
            return Ok(false);
        }
        self.waiting = None;
        if layout::read(&self.image).as_deref().map(str::trim_end) == Some(text.trim_end()) {
            // A restart finds what it would write.
            self.text = Some(text.to_owned());
            return Ok(false);
        }
        self.last_try_ms = Some(now_ms);
        for step in layout::steps(&self.image, text, written) {
            self.put(step.offset, &step.bytes)
                .map_err(|source| StatusError::Io { path: self.path.clone(), source })?;
        }
        self.text = Some(text.to_owned());
        Ok(true)
    }

    /// Writes the sectors that differ from what is there, and waits until they are on the card.
    fn put(&mut self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        for (index, sector) in bytes.chunks(SECTOR).enumerate() {
            let at = offset + index * SECTOR;
            if self.image[at..at + SECTOR] != *sector {
                let target = self.place(at as u64).ok_or(io::ErrorKind::InvalidInput)?;
                write_aligned(&self.file, sector, target)?;
                self.image[at..at + SECTOR].copy_from_slice(sector);
            }
        }
        self.file.sync_data()
    }

    /// Where byte `at` of the file lies.
    fn place(&self, at: u64) -> Option<u64> {
        let mut start = 0;
        for run in &self.runs {
            if at < start + run.length {
                return Some(run.offset + at - start);
            }
            start += run.length;
        }
        None
    }
}

/// What keeps STATUS.txt on a card from being written; `None` when nothing does, or `boot` is no
/// card. The file itself can't say it: an owner who opened and saved it gave it another length.
pub fn fault(boot: &Path) -> Option<FatError> {
    let mount = mounts::at(boot).ok()??;
    if is_card(&mount) { misshapen(&boot.join(NAME)) } else { None }
}

fn is_card(mount: &mounts::Mount) -> bool {
    mount.kind == "vfat" && mount.read_only
}

fn misshapen(path: &Path) -> Option<FatError> {
    let wanted = LENGTH as u64;
    match std::fs::metadata(path) {
        Ok(found) if found.len() == wanted => None,
        Ok(found) => Some(FatError::Length { name: NAME.into(), found: found.len(), wanted }),
        Err(why) if why.kind() == io::ErrorKind::NotFound => Some(FatError::Missing(NAME.into())),
        // Who writes it may see more.
        Err(_) => None,
    }
}

/// Writes a sector from memory that is aligned as direct writing asks.
fn write_aligned(file: &File, sector: &[u8], offset: u64) -> io::Result<()> {
    let mut room = vec![0u8; 2 * SECTOR];
    let start = room.as_ptr().align_offset(SECTOR).min(SECTOR);
    room[start..start + SECTOR].copy_from_slice(sector);
    file.write_all_at(&room[start..start + SECTOR], offset)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // test files
mod tests {
    use super::*;
    use crate::status::machine::{Load, Machine};
    use std::process::Command;

    fn there(dir: &Path) -> String {
        layout::read(&std::fs::read(dir.join(NAME)).unwrap()).unwrap()
    }

    #[test]
    fn it_writes_what_changed_and_at_most_once_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path()).unwrap();
        assert!(writer.write("one\n", "now", 5).unwrap());
        assert_eq!(there(dir.path()), "one\n");
        assert!(!writer.write("two\n", "now", 59_000).unwrap());
        assert_eq!(there(dir.path()), "one\n");
        assert!(writer.write("two\n", "now", 60_005).unwrap());
        assert!(!writer.write("two\n", "later", 999_000).unwrap());
        assert_eq!(there(dir.path()), "two\n");
    }

    #[test]
    fn what_passes_by_is_not_written_and_what_never_settles_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = Writer::open(dir.path()).unwrap();
        assert!(!writer.offer("starting\n", "now", 0).unwrap());
        assert!(!writer.offer("checking\n", "now", 2_000).unwrap());
        assert!(!writer.offer("ready\n", "now", 4_000).unwrap());
        assert!(!writer.offer("ready\n", "now", 6_999).unwrap());
        assert!(writer.offer("ready\n", "now", 7_000).unwrap());
        assert_eq!(there(dir.path()), "ready\n");
        let mut wrote_at = None;
        for second in 8..200 {
            if writer.offer(&format!("{second}\n"), "now", second * 1_000).unwrap() {
                wrote_at.get_or_insert(second);
            }
        }
        assert_eq!(wrote_at, Some(67));
    }

    #[test]
    fn a_changed_load_alone_is_never_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let mut writer = Writer::open(dir.path()).unwrap();
        let stamp =
            |load| layout::stamp("now", &Machine { load: Some(Load(load)), ..Machine::default() });
        assert!(writer.write("one\n", &stamp(31), 0).unwrap());
        let before = std::fs::read(&path).unwrap();
        assert!(String::from_utf8_lossy(&before).contains("\r\nLoad 0.3.\r\n"));
        for minute in 1..100 {
            assert!(
                !writer.offer("one\n", &stamp(31 + minute), u64::from(minute) * EVERY_MS).unwrap()
            );
        }
        assert!(!Writer::open(dir.path()).unwrap().write("one\n", &stamp(990), 0).unwrap());
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert!(writer.write("two\n", &stamp(420), 100 * EVERY_MS).unwrap());
        assert!(
            String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("\r\nLoad 4.2.\r\n")
        );
    }

    #[test]
    fn a_restart_does_not_write_the_same_again() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Writer::open(dir.path()).unwrap().write("one\n", "now", 0).unwrap());
        let before = std::fs::read(dir.path().join(NAME)).unwrap();
        assert!(!Writer::open(dir.path()).unwrap().write("one\n", "later", 0).unwrap());
        assert_eq!(std::fs::read(dir.path().join(NAME)).unwrap(), before);
    }

    #[test]
    fn a_file_that_an_owner_shortened_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), "mine now").unwrap();
        assert!(Writer::open(dir.path()).unwrap().write("one\n", "now", 0).unwrap());
        assert_eq!(there(dir.path()), "one\n");
    }

    #[test]
    fn a_file_that_an_owner_saved_or_deleted_is_spoken_of_on_a_card_only() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert!(matches!(misshapen(&path), Some(FatError::Missing(_))));
        std::fs::write(&path, layout::blank()).unwrap();
        assert!(misshapen(&path).is_none());
        std::fs::write(&path, "saved").unwrap();
        let told = misshapen(&path).unwrap().to_string();
        assert!(told.starts_with("STATUS.txt is 5 bytes long, not 15872; copy it"), "{told}");
        assert!(fault(dir.path()).is_none(), "in a folder it is made anew");
        let mount = |kind: &str, how: &str| {
            let line = format!("30 20 179:1 / /boot {how} - {kind} /dev/mmcblk0p1 rw");
            is_card(&mounts::parse(&line)[0])
        };
        assert!(mount("vfat", "ro,noatime"));
        assert!(!mount("vfat", "rw,noatime") && !mount("ext4", "ro"));
    }

    #[test]
    fn on_a_fat_nothing_but_the_files_own_sectors_changes() {
        let dir = tempfile::tempdir().unwrap();
        let (image, status) = (dir.path().join("fat.img"), dir.path().join("status"));
        std::fs::write(&status, layout::blank()).unwrap();
        let script = format!(
            "truncate -s 32M {0} && mkfs.vfat -F 16 {0} && mcopy -i {0} {1} ::STATUS.txt",
            image.display(),
            status.display()
        );
        if !Command::new("sh").args(["-c", &script]).output().unwrap().status.success() {
            eprintln!("SKIPPED: mkfs.vfat or mcopy is not installed here");
            return;
        }
        let before = std::fs::read(&image).unwrap();
        let mut writer = Writer::on_fat(image.clone()).unwrap();
        assert!(writer.write("one\n", "now", 0).unwrap());
        let after = std::fs::read(&image).unwrap();
        let mut file = Vec::new();
        for run in &writer.runs {
            file.extend_from_slice(&after[run.offset as usize..(run.offset + run.length) as usize]);
        }
        assert_eq!(layout::read(&file).unwrap(), "one\n");
        let inside = |at: usize| {
            writer.runs.iter().any(|r| (r.offset..r.offset + r.length).contains(&(at as u64)))
        };
        let strays = (0..before.len()).filter(|at| before[*at] != after[*at] && !inside(*at));
        assert_eq!(strays.count(), 0);
        assert_eq!(before.len(), after.len());
    }
}
