//! Formats one disk, once: what the owner wished under `[drive] format`.
//!
//! In comes the disk that [`super::decide`] chose; out comes a disk with one partition, an ext4
//! with the label LARDER. All that was on it goes. The wish is remembered on the drive itself: by
//! the label, and by a mark in the first sector of the partition, which outlives the file system.
//! A partition table is made because a bare ext4 has Windows offer to format the drive.

use super::devices::{self, Roots};
use super::mounting::{last_words, run};
use super::signature::MARK;
use super::{DriveError, LABEL, gpt};
use rustix::fs::OFlags;
use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// How long the kernel may take to show the new partition.
const PARTITION_WITHIN: Duration = Duration::from_secs(10);

/// Formats the disk `name`, if it is still the plugging-in `sequence`.
pub fn format(roots: &Roots, name: &str, sequence: u64) -> Result<(), DriveError> {
    let disk = roots.dev.join(name);
    let found = still(roots, name, sequence, &disk)?;
    partition(&disk, found.size.0, devices::sector(roots, name))?;
    let args = ["--rereadpt".as_ref(), disk.as_os_str()];
    let output = run("blockdev", Command::new("blockdev").args(args))?;
    gave("blockdev", &disk, &output)?;
    let began = Instant::now();
    let node = loop {
        let now = still(roots, name, sequence, &disk)?;
        // The new one, which takes the whole disk, and not one of the old table.
        if let [(node, size)] = &now.partitions[..]
            && size.0 + (8 << 20) >= now.size.0
            && roots.dev.join(node).exists()
        {
            break roots.dev.join(node);
        }
        if began.elapsed() > PARTITION_WITHIN {
            return Err(DriveError::NoPartition(disk));
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    let args = ["-q", "-F", "-t", "ext4", "-m", "0", "-L", LABEL];
    let output = run("mke2fs", Command::new("mke2fs").args(args).arg(&node))?;
    gave("mke2fs", &node, &output)?;
    let mut first = [0; 512];
    first[..MARK.len()].copy_from_slice(MARK);
    let file =
        OpenOptions::new().write(true).open(&node).map_err(DriveError::io("marking", &node))?;
    file.write_all_at(&first, 0)
        .and_then(|()| file.sync_all())
        .map_err(DriveError::io("marking", &node))
}

fn still(
    roots: &Roots,
    name: &str,
    sequence: u64,
    disk: &Path,
) -> Result<devices::Present, DriveError> {
    let seen = devices::present(roots).map_err(DriveError::io("looking for", disk))?;
    seen.into_iter()
        .find(|present| present.name == name && present.sequence == sequence)
        .ok_or_else(|| DriveError::Exchanged(PathBuf::from(disk)))
}

/// One partition over the whole disk; marks of what was there are wiped. The table goes last: when
/// the power goes before it, there is no table, and the same wish begins anew.
fn partition(disk: &Path, size: u64, sector: u64) -> Result<(), DriveError> {
    const MIB: u64 = 1 << 20;
    let too_small = || DriveError::TooSmall(disk.to_path_buf());
    let (mut one, mut two) = ([0; 16], [0; 16]);
    for number in [&mut one, &mut two] {
        getrandom::fill(number).map_err(|why| {
            DriveError::io("partitioning", disk)(io::Error::other(why.to_string()))
        })?;
    }
    let pieces = gpt::table(size, sector, one, two).ok_or_else(too_small)?;
    // Exclusive: refused by the kernel when any partition of it is mounted.
    let exclusive = i32::try_from(OFlags::EXCL.bits()).unwrap_or(0);
    let write = || -> io::Result<()> {
        let file = OpenOptions::new().write(true).custom_flags(exclusive).open(disk)?;
        let nothing = vec![0; usize::try_from(MIB).unwrap_or(0)];
        // The old table, the start of the new partition, and what RAIDs and tables keep at the end.
        for at in [0, MIB, 2 * MIB, size - 2 * MIB, size - MIB] {
            file.write_all_at(&nothing, at)?;
        }
        file.sync_all()?;
        for (at, bytes) in pieces {
            file.write_all_at(&bytes, at)?;
        }
        file.sync_all()
    };
    write().map_err(DriveError::io("partitioning", disk))
}

fn gave(tool: &'static str, path: &Path, output: &std::process::Output) -> Result<(), DriveError> {
    if output.status.success() {
        return Ok(());
    }
    let code = output.status.code().unwrap_or(-1);
    Err(DriveError::Gave { tool, path: path.to_path_buf(), code, said: last_words(output) })
}
