//! Formats one disk, once: what the owner wished under `[drive] format`.
//!
//! In comes the disk that [`super::decide`] chose; out comes a disk with one partition, an ext4
//! with the label LARDER. All that was on it goes. The wish is remembered on the drive itself: by
//! the label, and by a mark in the first sector of the partition, which outlives the file system.
//! A partition table is made because a bare ext4 has Windows offer to format the drive.

use super::devices::{self, Roots};
use super::mounting::{last_words, run};
use super::signature::MARK;
use super::{DriveError, LABEL};
use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// How long the kernel may take to show the new partition.
const PARTITION_WITHIN: Duration = Duration::from_secs(10);

/// Formats the disk `name`, if it is still the plugging-in `sequence`.
pub fn format(roots: &Roots, name: &str, sequence: u64) -> Result<(), DriveError> {
    let disk = roots.dev.join(name);
    still(roots, name, sequence, &disk)?;
    partition(&disk)?;
    let began = Instant::now();
    let node = loop {
        let now = still(roots, name, sequence, &disk)?;
        if let [(node, _)] = &now.partitions[..]
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

/// One partition over the whole disk; marks of what was there are wiped.
fn partition(disk: &Path) -> Result<(), DriveError> {
    let tool = |source| DriveError::Tool { tool: "sfdisk", source };
    let args = ["--quiet", "--wipe", "always", "--wipe-partitions", "always"];
    let mut child = Command::new("sfdisk")
        .args(args)
        .arg(disk)
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(tool)?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(b"label: gpt\nname=Larder, type=L\n").map_err(tool)?;
    }
    let output = child.wait_with_output().map_err(tool)?;
    gave("sfdisk", disk, &output)
}

fn gave(tool: &'static str, path: &Path, output: &std::process::Output) -> Result<(), DriveError> {
    if output.status.success() {
        return Ok(());
    }
    let code = output.status.code().unwrap_or(-1);
    Err(DriveError::Gave { tool, path: path.to_path_buf(), code, said: last_words(output) })
}
