//! The hands at the drive: look inside, check, mount, prepare the folders, unmount.
//!
//! In comes a volume that [`super::decide`] chose; out comes a mounted drive or an error in words.
//! Always `nosuid,nodev,noexec`: what lies on a drive is never run. A look inside writes
//! nothing and replays no journal. It must never follow a symbolic link on the drive and never create the mount point.

use super::signature::Kind;
use super::{DriveError, Inside, OWN, SHARED, ownership};
use crate::lease;
use rustix::fs::{Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::{CStr, CString, OsString};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Where the tools are, whatever started us.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// How often a mount is tried whose file system the kernel does not know, and the time between.
const DRIVER_TRIES: u32 = 10;
const DRIVER_PAUSE: Duration = Duration::from_secs(1);

/// An option that the file system does not take.
const EINVAL: i32 = Errno::INVAL.raw_os_error();

/// The safe flags of every mount.
fn safe() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME
}

/// What is in a file system, without writing a byte to it: mounted read-only at `at` for a moment, while
/// its disk is held.
pub fn peek(device: &Path, kind: Kind, at: &Path) -> Inside {
    match look_inside(device, kind, at) {
        Ok(inside) => inside,
        Err(DriveError::Io { source, .. }) => Inside::Unreadable(source.to_string()),
        Err(why) => Inside::Unreadable(why.to_string()),
    }
}

fn look_inside(device: &Path, kind: Kind, at: &Path) -> Result<Inside, DriveError> {
    let options = match kind {
        Kind::Ext => "noload",
        Kind::Btrfs => "rescue=nologreplay",
        _ => "norecovery,nouuid",
    };
    std::fs::create_dir_all(at).map_err(DriveError::io("preparing", at))?;
    let _held = Held::on(device, at)?;
    attach(device, kind, at, safe() | MountFlags::RDONLY, options)?;
    let names = names(at).map_err(DriveError::io("reading", device));
    let names = unmount(at, false).and(names)?;
    if [SHARED, OWN].iter().all(|name| names.iter().any(|n| n == name)) {
        return Ok(Inside::Larder);
    }
    if names.iter().any(|name| name != "lost+found") {
        return Ok(Inside::Files);
    }
    // A journal may have all that anybody put on the drive, when it was pulled soon after. With one that
    // is to be replayed, a file system can't be mounted while nobody may write to its disk.
    // A copy of a mounted XFS has its number, and is taken with this option only.
    let options = if kind == Kind::Xfs { "nouuid" } else { "" };
    let replayed = attach(device, kind, at, safe() | MountFlags::RDONLY, options)
        .and_then(|()| unmount(at, false));
    Ok(match replayed {
        Ok(()) => Inside::Nothing,
        Err(_) => Inside::Unreadable(
            "it looks empty, but was pulled while something was written to it, and that can't be \
             looked at without writing"
                .into(),
        ),
    })
}

/// A disk or partition that nobody may write to, for as long as this lives. A mount that is asked to be
/// read-only is not enough: ext4 frees the removed files that somebody had open all the same.
struct Held {
    disk: File,
    note: PathBuf,
}

impl Held {
    /// `None` when it must not be written anyway: what says so (a switch on the drive) stays. Until it is let go, a
    /// note beside `at` names it.
    fn on(device: &Path, at: &Path) -> Result<Option<Self>, DriveError> {
        let disk = File::open(device).map_err(DriveError::io("opening", device))?;
        if lease::is_read_only(disk.as_fd()).map_err(DriveError::io("holding", device))? {
            return Ok(None);
        }
        let note = note_beside(at);
        File::create(&note)
            .and_then(|mut file| file.write_all(device.as_os_str().as_bytes()))
            .map_err(DriveError::io("writing", &note))?;
        lease::set_read_only(disk.as_fd(), true).map_err(DriveError::io("holding", device))?;
        Ok(Some(Self { disk, note }))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let let_go = lease::set_read_only(self.disk.as_fd(), false).map_err(io::Error::from);
        // An empty note names nobody.
        if let Err(why) = let_go.and_then(|()| File::create(&self.note).map(drop)) {
            log::error!("a drive stays read-only until it is plugged in anew: {why}");
        }
    }
}

fn note_beside(at: &Path) -> PathBuf {
    at.with_extension("holds")
}

/// Ends the hold on a disk that somebody was looking inside at `at` who broke down. A switch on the drive is
/// not overruled: since Linux 5.12 the kernel keeps that apart.
pub fn let_go(at: &Path) -> Result<(), DriveError> {
    let note = note_beside(at);
    let device = match std::fs::read(&note) {
        Ok(device) if device.is_empty() => return Ok(()),
        Ok(device) => PathBuf::from(OsString::from_vec(device)),
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(why) => return Err(DriveError::io("reading", &note)(why)),
    };
    log::warn!("{} was left read-only", device.display());
    match File::open(&device) {
        Ok(disk) => lease::set_read_only(disk.as_fd(), false)
            .map_err(DriveError::io("letting go of", &device))?,
        // Unplugged since.
        Err(why) if why.kind() == io::ErrorKind::NotFound => {}
        Err(why) => return Err(DriveError::io("opening", &device)(why)),
    }
    File::create(&note).map(drop).map_err(DriveError::io("writing", &note))
}

fn names(at: &Path) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(at)?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

fn attach(
    device: &Path,
    kind: Kind,
    at: &Path,
    flags: MountFlags,
    options: &str,
) -> Result<(), DriveError> {
    let driver = kind.driver().ok_or(DriveError::NotMountable(kind.name()))?;
    let data = CString::new(options)
        .map_err(|why| DriveError::io("mounting", device)(io::Error::from(why)))?;
    let node = || Some(std::fs::metadata(device).ok()?).map(|m| (m.dev(), m.ino(), m.rdev()));
    let before = node();
    let attempt =
        || rustix::mount::mount(device, at, driver, flags, Some::<&CStr>(data.as_c_str()));
    once_the_driver_is_there(attempt, || before.is_some() && node() == before, DRIVER_PAUSE)
        .map_err(DriveError::io("mounting", device))
}

/// Mounts, and does so again a few times while the kernel does not know the file system: its
/// module may just be on its way in. A device that is `still_there` no more ends that at once.
fn once_the_driver_is_there(
    mut attempt: impl FnMut() -> rustix::io::Result<()>,
    still_there: impl Fn() -> bool,
    pause: Duration,
) -> rustix::io::Result<()> {
    for _ in 1..DRIVER_TRIES {
        match attempt() {
            Err(Errno::NODEV) => std::thread::sleep(pause),
            other => return other,
        }
        if !still_there() {
            return Err(Errno::NODEV);
        }
    }
    attempt()
}

/// Mounts a volume that is ours for reading and writing. An error of the disk turns it read-only
/// at once: ext4 also when only a file's own bytes could not be written. Without a journal, and
/// on kernels that do not know that option, it is mounted without it.
pub fn mount(device: &Path, kind: Kind, at: &Path) -> Result<(), DriveError> {
    if kind != Kind::Ext {
        return attach(device, kind, at, safe(), "");
    }
    match attach(device, kind, at, safe(), "errors=remount-ro,data_err=abort") {
        Err(DriveError::Io { source, .. }) if source.raw_os_error() == Some(EINVAL) => {
            attach(device, kind, at, safe(), "errors=remount-ro")
        }
        other => other,
    }
}

/// Mounts a foreign volume read-only for an import, its files readable by `uid` and `gid` alone.
pub fn mount_foreign(
    device: &Path,
    kind: Kind,
    at: &Path,
    uid: u32,
    gid: u32,
) -> Result<(), DriveError> {
    std::fs::create_dir_all(at).map_err(DriveError::io("preparing", at))?;
    let names = if kind == Kind::Vfat { "utf8=1" } else { "iocharset=utf8" };
    let flags = safe() | MountFlags::RDONLY;
    let options = format!("uid={uid},gid={gid},umask=0077,{names}");
    attach(device, kind, at, flags, &options)
}

/// What a check did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// Nothing was wrong.
    Clean,
    /// Errors were repaired.
    Repaired,
}

/// Checks a volume that is ours. For ext4 that is `e2fsck -p`, which repairs what is safe to
/// repair; btrfs and XFS check themselves when they are mounted.
pub fn check(device: &Path, kind: Kind) -> Result<Checked, DriveError> {
    if kind != Kind::Ext {
        return Ok(Checked::Clean);
    }
    let output = run("e2fsck", Command::new("e2fsck").arg("-p").arg(device))?;
    let code = output.status.code().unwrap_or(-1);
    verdict(code).ok_or_else(|| DriveError::Gave {
        tool: "e2fsck",
        path: device.to_path_buf(),
        code,
        said: last_words(&output),
    })
}

/// The exit code of e2fsck (its manual page): 1 repaired, 2 repaired and to be restarted (which
/// matters only for a mounted file system); 4 and above: errors left, or it could not work.
fn verdict(code: i32) -> Option<Checked> {
    match code {
        0 => Some(Checked::Clean),
        1..=3 => Some(Checked::Repaired),
        _ => None,
    }
}

/// Runs a tool to its end.
pub(super) fn run(
    tool: &'static str,
    command: &mut Command,
) -> Result<std::process::Output, DriveError> {
    command
        .env("PATH", PATH)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|source| DriveError::Tool { tool, source })
}

/// The last line or two of what a tool said.
pub(super) fn last_words(output: &std::process::Output) -> String {
    let text = [&output.stdout[..], &output.stderr[..]].concat();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines[lines.len().saturating_sub(2)..].join(" ")
}

/// Unmounts. `lazily`: the drive is gone or must not be waited for; what is still open stays open
/// on the old drive and never falls through to the empty mount point.
pub fn unmount(at: &Path, lazily: bool) -> Result<(), DriveError> {
    let flags = UnmountFlags::NOFOLLOW;
    let flags = if lazily { flags | UnmountFlags::DETACH } else { flags };
    rustix::mount::unmount(at, flags).map_err(DriveError::io("unmounting", at))
}

/// How Larder's two folders were found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Found {
    /// One is new.
    pub new: bool,
    /// One belonged to somebody else, and so may all that is in it; or what a mount before began of that has not come to
    /// its end.
    pub theirs: bool,
}

/// Makes Larder's two folders on the drive mounted at `at` and gives them to `uid` and `gid`. What is in them is given by
/// [`super::ownership`].
pub fn prepare(at: &Path, uid: u32, gid: u32) -> Result<Found, DriveError> {
    let fail = || DriveError::io("preparing", at);
    let open = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(at, open, Mode::empty()).map_err(fail())?;
    let owner = (Uid::from_raw(uid), Gid::from_raw(gid));
    let mut found = Found::default();
    let mut open_folder = |name: &str, mode| {
        let mode = Mode::from_raw_mode(mode);
        match rustix::fs::mkdirat(&root, name, mode) {
            Ok(()) => found.new = true,
            Err(Errno::EXIST) => {}
            Err(why) => return Err(fail()(why)),
        }
        let folder = rustix::fs::openat(&root, name, open, Mode::empty()).map_err(fail())?;
        let stat = rustix::fs::fstat(&folder).map_err(fail())?;
        let theirs = (stat.st_uid, stat.st_gid) != (uid, gid);
        found.theirs |= theirs;
        Ok((folder, theirs, mode))
    };
    let folders = [open_folder(SHARED, 0o755)?, open_folder(OWN, 0o700)?];
    // Noted before the folders are given: afterwards nothing else tells the next mount that it all began.
    if found.theirs {
        ownership::note_first(at, owner).map_err(DriveError::io("preparing", at))?;
    } else {
        found.theirs = ownership::is_first(at).map_err(DriveError::io("preparing", at))?;
    }
    for (folder, theirs, mode) in &folders {
        if *theirs {
            rustix::fs::fchmod(folder, *mode).map_err(fail())?;
            rustix::fs::fchown(folder, Some(owner.0), Some(owner.1)).map_err(fail())?;
        }
        rustix::fs::fsync(folder).map_err(fail())?;
    }
    rustix::fs::fsync(&root).map_err(fail())?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_codes_of_e2fsck_are_understood() {
        for (code, verdict_) in [
            (0, Some(Checked::Clean)),
            (1, Some(Checked::Repaired)),
            (2, Some(Checked::Repaired)),
            (3, Some(Checked::Repaired)),
            (4, None),
            (5, None),
            (8, None),
            (12, None),
            (32, None),
            (-1, None),
        ] {
            assert_eq!(verdict(code), verdict_, "{code}");
        }
    }

    #[test]
    fn a_file_systems_module_is_waited_for_while_the_drive_is_there() {
        let tries = |answers: &[rustix::io::Result<()>], there: bool| {
            let mut made = 0;
            let attempt = || {
                made += 1;
                answers.get(made - 1).copied().unwrap_or(Err(Errno::NODEV))
            };
            let result = once_the_driver_is_there(attempt, || there, Duration::ZERO);
            (result, made)
        };
        assert_eq!(tries(&[Ok(())], true), (Ok(()), 1));
        assert_eq!(tries(&[Err(Errno::NODEV), Err(Errno::NODEV), Ok(())], true), (Ok(()), 3));
        assert_eq!(tries(&[], true), (Err(Errno::NODEV), 10), "told in the end");
        assert_eq!(tries(&[], false), (Err(Errno::NODEV), 1), "pulled");
        // Anything else is an answer.
        assert_eq!(tries(&[Err(Errno::INVAL)], true), (Err(Errno::INVAL), 1));
    }

    #[test]
    fn a_missing_tool_is_an_error_in_words() {
        let error = run("e2fsck", &mut Command::new("/nonexistent/e2fsck")).unwrap_err();
        assert!(error.to_string().starts_with("e2fsck can't be started"), "{error}");
    }

    #[test]
    fn folders_are_made_once_and_nothing_else_is_touched() {
        use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
        let dir = tempfile::tempdir().unwrap();
        let me = std::fs::metadata(dir.path()).unwrap();
        for _ in 0..2 {
            prepare(dir.path(), me.uid(), me.gid()).unwrap();
        }
        let mode = |name: &str| {
            std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode() & 0o777
        };
        assert_eq!((mode(SHARED), mode(OWN)), (0o755, 0o700));
        // A drive that brings a link in place of a folder is refused, not followed.
        let hostile = tempfile::tempdir().unwrap();
        symlink(dir.path(), hostile.path().join(SHARED)).unwrap();
        assert!(prepare(hostile.path(), me.uid(), me.gid()).is_err());
    }
}
