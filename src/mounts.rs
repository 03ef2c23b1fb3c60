//! What is mounted where, as the kernel tells it in `/proc/self/mountinfo`.
//!
//! In comes that text, out come its lines as values. Parsing is pure and never fails: a line that
//! can't be read is left out.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// One mounted file system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// Which type, as `ext4`.
    pub kind: String,
    /// What is mounted: for a drive, its device node.
    pub source: PathBuf,
    /// Nothing can be written: by the way it is mounted, or because the file system itself went
    /// read-only after an error.
    pub read_only: bool,
    /// The file system was shut down (ext4 or xfs after a lost drive).
    pub shut_down: bool,
}

/// Reads the kernel's table, in its order: of two mounts at one point, the later one is seen.
pub fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(line).collect()
}

fn line(line: &str) -> Option<Mount> {
    let (left, right) = line.split_once(" - ")?;
    let left: Vec<&str> = left.split(' ').collect();
    let right: Vec<&str> = right.split(' ').collect();
    let options: Vec<&str> = left.get(5)?.split(',').collect();
    let of_super: Vec<&str> = right.get(2)?.split(',').collect();
    let dead = ["shutdown", "emergency_ro"].iter().any(|word| of_super.contains(word));
    Some(Mount {
        point: unescape(left.get(4)?),
        kind: (*right.first()?).to_owned(),
        source: unescape(right.get(1)?),
        read_only: dead || options.contains(&"ro") || of_super.contains(&"ro"),
        shut_down: dead,
    })
}

/// Spaces and the like are written as `\040`.
fn unescape(text: &str) -> PathBuf {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let value =
            octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        out.push(value.unwrap_or(bytes[at]));
        at += if value.is_some() { 4 } else { 1 };
    }
    PathBuf::from(OsString::from_vec(out))
}

/// What is mounted now.
pub fn now() -> io::Result<Vec<Mount>> {
    std::fs::read_to_string("/proc/self/mountinfo").map(|text| parse(&text))
}

/// What is mounted at exactly this place, if anything is.
pub fn at(point: &Path) -> io::Result<Option<Mount>> {
    Ok(now()?.into_iter().rev().find(|mount| mount.point == point))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
25 1 0:22 / / rw,relatime shared:1 - squashfs /dev/mmcblk0p2 ro
36 25 179:1 / /boot ro,relatime shared:2 - vfat /dev/mmcblk0p1 ro,fmask=0022
nonsense
40 25 8:1 / /dri\\040ve\\134x rw,nosuid,nodev,noexec - ext4 /dev/sda1 rw,emergency_ro
41 25 8:2 / /other rw - ext4 /dev/sda2 ro,errors=remount-ro
";

    #[test]
    fn the_kernels_table_is_understood() {
        let mounts = parse(TABLE);
        assert_eq!(mounts.len(), 4);
        assert_eq!(mounts[1].source, Path::new("/dev/mmcblk0p1"));
        assert!(mounts[1].read_only && !mounts[1].shut_down && mounts[1].kind == "vfat");
        assert_eq!(mounts[2].point, Path::new("/dri ve\\x"));
        assert!(mounts[2].read_only && mounts[2].shut_down);
        assert!(mounts[3].read_only && !mounts[3].shut_down);
    }

    #[test]
    fn this_machines_root_is_mounted() {
        assert!(at(Path::new("/")).unwrap().is_some());
        assert!(at(Path::new("/proc/self")).unwrap().is_none());
    }
}
