//! Opens one file of the drive and sends it in pieces.
//!
//! Nothing of the drive is held open between requests: what is open keeps a drive from being
//! unmounted.

use hyper::body::{Bytes, Frame, SizeHint};
use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, openat, openat2};
use rustix::io::Errno;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes read at once.
const PIECE: u64 = 128 << 10;

/// Why a file is not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Fault {
    /// There is none of that name, or not within the folder.
    #[error(
        "there is no such file at home; it may have been moved or destroyed since the page was made"
    )]
    Missing,
    /// A folder, a symbolic link or something else.
    #[error("this is no file that can be opened; folders are opened in the catalogue")]
    NotRegular,
    /// The drive does not work.
    #[error("the drive can't be read: {0}; plug it in again, or look into STATUS.txt on the card")]
    Drive(Errno),
}

/// A regular file, opened.
#[derive(Debug)]
pub(super) struct Opened {
    file: File,
    /// Bytes.
    pub(super) size: u64,
    /// Entity tag, in quotes: another one for another content.
    pub(super) etag: String,
    /// `Last-Modified`.
    pub(super) modified: String,
}

/// Opens a regular file by a path beneath a folder that is itself beneath the drive's root. No
/// step of the way may be a symbolic link or lead to another file system. Blocks.
pub(super) fn open(drive: &Path, folder: &str, path: &[u8]) -> Result<Opened, Fault> {
    let dir = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, drive, dir, Mode::empty()).map_err(fault)?;
    let mut folder = beneath(&root, folder.as_bytes(), dir)?;
    // In two steps, because the kernel takes paths up to 4,095 bytes, and ours may have one more.
    let name = match path.iter().rposition(|&b| b == b'/') {
        Some(slash) => {
            folder = beneath(&folder, &path[..slash], dir)?;
            &path[slash + 1..]
        }
        None => path,
    };
    // Not to be read yet: opening a device or a pipe could already do something.
    let found = beneath(&folder, name, OFlags::PATH | OFlags::CLOEXEC)?;
    let what = fstat(&found).map_err(fault)?;
    if !FileType::from_raw_mode(what.st_mode).is_file() {
        return Err(Fault::NotRegular);
    }
    // The very inode that was looked at (proc_pid_fd(5)).
    let name = format!("/proc/self/fd/{}", found.as_raw_fd());
    let file = File::open(name).map_err(|e| io_fault(&e))?;
    let facts = file.metadata().map_err(|e| io_fault(&e))?;
    Ok(Opened { size: facts.len(), etag: etag(&facts), modified: http_date(facts.mtime()), file })
}

fn beneath(dir: &OwnedFd, path: &[u8], flags: OFlags) -> Result<OwnedFd, Fault> {
    let how = ResolveFlags::BENEATH
        | ResolveFlags::NO_SYMLINKS
        | ResolveFlags::NO_MAGICLINKS
        | ResolveFlags::NO_XDEV;
    loop {
        match openat2(dir, path, flags, Mode::empty(), how) {
            // A rename raced with the look-up (openat2(2)): look again.
            Err(Errno::AGAIN) => {}
            other => return other.map_err(fault),
        }
    }
}

fn fault(errno: Errno) -> Fault {
    match errno {
        Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG | Errno::INVAL => Fault::Missing,
        Errno::LOOP | Errno::XDEV | Errno::ISDIR | Errno::ACCESS | Errno::PERM => Fault::NotRegular,
        errno => Fault::Drive(errno),
    }
}

fn io_fault(error: &io::Error) -> Fault {
    fault(Errno::from_io_error(error).unwrap_or(Errno::IO))
}

fn etag(facts: &Metadata) -> String {
    // Not ctime: a new link to the file changes that, and no byte of it.
    let (ino, size) = (facts.ino(), facts.len());
    format!("\"{ino:x}-{size:x}-{:x}.{:x}\"", facts.mtime(), facts.mtime_nsec())
}

/// A moment as HTTP writes it (RFC 9110, section 5.6.7).
fn http_date(secs: i64) -> String {
    jiff::Timestamp::from_second(secs)
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

impl Opened {
    /// The bytes from `from` on, `len` of them. `reads` is marked before each piece is read.
    pub(super) fn send(
        self,
        from: u64,
        len: u64,
        may_go_on: MayGoOn,
        reads: Option<watch::Sender<()>>,
    ) -> Pieces {
        Pieces { file: Arc::new(self.file), at: from, left: len, reading: None, may_go_on, reads }
    }
}

/// Asked before each piece is read; when it says no, the rest is not sent.
pub(super) type MayGoOn = Box<dyn Fn() -> bool + Send>;

/// Part of a file, read piece by piece while it is sent.
pub(super) struct Pieces {
    file: Arc<File>,
    at: u64,
    left: u64,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
    may_go_on: MayGoOn,
    reads: Option<watch::Sender<()>>,
}

impl hyper::body::Body for Pieces {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let (at, len) = (self.at, self.left.min(PIECE));
        let file = Arc::clone(&self.file);
        if self.reading.is_none() && !(self.may_go_on)() {
            return Poll::Ready(Some(Err(io::ErrorKind::PermissionDenied.into())));
        }
        if let (None, Some(reads)) = (&self.reading, &self.reads) {
            reads.send_replace(());
        }
        let reading = self
            .reading
            .get_or_insert_with(|| tokio::task::spawn_blocking(move || read(&file, at, len)));
        let read = ready!(Pin::new(reading).poll(cx));
        self.reading = None;
        let bytes = read.map_err(io::Error::other).flatten()?;
        self.at += bytes.len() as u64;
        self.left -= bytes.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

fn read(file: &File, at: u64, len: u64) -> io::Result<Bytes> {
    // At most PIECE bytes.
    let mut bytes = vec![0; len as usize];
    // All of it or an error: of a file that became shorter the client must not take half for whole.
    file.read_exact_at(&mut bytes, at)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_http_does() {
        assert_eq!(http_date(1_795_000_000), "Wed, 18 Nov 2026 11:06:40 GMT");
        assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(http_date(i64::MAX), "Thu, 01 Jan 1970 00:00:00 GMT");
    }
}
