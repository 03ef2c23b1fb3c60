//! What the supervisor hears: the disks and the health of the mount, looked at every half second,
//! and signals. Each on a thread of its own, for as long as anybody listens.

use super::Options;
use super::machine::Event;
use crate::drive::devices::{self, Present};
use crate::mounts;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::Duration;

/// How often the disks are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks at the disks and at the health of the mount for as long as anybody listens. What is gone
/// is told at once; what came, when the next look sees the same: a disk appears a moment before
/// its partitions.
pub(super) fn look(options: Options, send: Sender<Event>) {
    std::thread::spawn(move || {
        let (mut told, mut before): (Option<Vec<Present>>, _) = (None, None);
        let mut health = Health::default();
        loop {
            match devices::present(&options.roots) {
                Ok(now) => {
                    let same =
                        |a: &Present, b: &Present| (&a.name, a.sequence) == (&b.name, b.sequence);
                    let gone = |was: &Present| !now.iter().any(|is| same(was, is));
                    let lost = told.as_ref().is_some_and(|told| told.iter().any(gone));
                    let settled = before.as_ref() == Some(&now);
                    if told.as_ref() != Some(&now) && (lost || settled) {
                        let keys = now.iter().map(|disk| (disk.name.clone(), disk.sequence));
                        if send.send(Event::Present(keys.collect())).is_err() {
                            return;
                        }
                        told = Some(now.clone());
                    }
                    before = Some(now);
                }
                Err(why) => log::error!("the disks can't be listed: {why}"),
            }
            if health.is_sick(&options) && send.send(Event::Sick).is_err() {
                return;
            }
            std::thread::sleep(LOOK_EVERY);
        }
    });
}

/// What is remembered of the mounted drive, to tell new errors from those of earlier times.
#[derive(Default)]
struct Health {
    /// Its node, and the errors that ext4 had counted on it when it was first seen mounted.
    mounted: Option<(PathBuf, u64)>,
}

impl Health {
    /// Whether the drive is mounted and no longer takes writes. btrfs and older kernels' ext4 say
    /// so in the table of mounts, a shut-down XFS by an error on its directory. From Linux 6.12 on
    /// an ext4 that went read-only after an error still stands there as `rw`: its count of errors
    /// tells.
    fn is_sick(&mut self, options: &Options) -> bool {
        let Some(mount) = mounts::at(&options.drive).ok().flatten() else {
            self.mounted = None;
            return false;
        };
        let grown = self.has_new_errors(&options.roots.sys, &mount.source);
        grown
            || mount.read_only
            || std::fs::read_dir(&options.drive).and_then(|mut dir| dir.next().transpose()).is_err()
    }

    fn has_new_errors(&mut self, sys: &Path, node: &Path) -> bool {
        let name = node.file_name().unwrap_or_default();
        let count = std::fs::read_to_string(sys.join("fs/ext4").join(name).join("errors_count"));
        // Another file system has no such file.
        let count = count.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        match &self.mounted {
            Some((known, before)) if known == node => count > *before,
            _ => {
                self.mounted = Some((node.to_path_buf(), count));
                false
            }
        }
    }
}

/// SIGTERM and SIGINT stop, SIGUSR1 ejects.
pub(super) fn signals(send: Sender<Event>) -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let (mut term, mut int, mut user) = runtime.block_on(async {
        let listen = |kind| signal(kind);
        io::Result::Ok((
            listen(SignalKind::terminate())?,
            listen(SignalKind::interrupt())?,
            listen(SignalKind::user_defined1())?,
        ))
    })?;
    std::thread::spawn(move || {
        runtime.block_on(async {
            loop {
                let event = tokio::select! {
                    _ = term.recv() => Event::Stop,
                    _ = int.recv() => Event::Stop,
                    _ = user.recv() => Event::Eject,
                };
                if send.send(event).is_err() {
                    return;
                }
            }
        });
    });
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)] // a made-up /sys is plain files
mod tests {
    use super::*;

    #[test]
    fn an_ext4_is_sick_by_new_errors_only_and_each_drive_by_its_own() {
        let sys = tempfile::tempdir().unwrap();
        let count = |name: &str, errors: &str| {
            let dir = sys.path().join("fs/ext4").join(name);
            std::fs::create_dir_all(&dir).unwrap();
            std::fs::write(dir.join("errors_count"), errors).unwrap();
        };
        let mut health = Health::default();
        let mut sick = |node: &str| health.has_new_errors(sys.path(), Path::new(node));
        count("sda1", "3\n");
        assert!(!sick("/dev/sda1"), "errors of earlier times");
        assert!(!sick("/dev/sda1"));
        count("sda1", "4\n");
        assert!(sick("/dev/sda1"));
        count("sdb", "9\n");
        assert!(!sick("/dev/sdb"), "another drive's errors");
        assert!(!sick("/dev/sdc"), "a file system that counts none");
    }
}
