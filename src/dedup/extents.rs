//! Two files of the same content in one place of the drive, on file systems that can (btrfs, xfs).

use super::read::Opened;
use crate::lease;
use rustix::io::Errno;
use std::os::fd::AsFd as _;

/// Bytes shared between two questions whether to stop. The kernel reads both files meanwhile.
const SHARE: u64 = 4 * 1024 * 1024;

/// What sharing two files came to.
pub(super) enum Sharing {
    Already,
    Shared,
    Differs,
    Stopped,
}

/// Lets a file lie where another one of the same content does, as far as the kernel finds them equal.
pub(super) fn share(
    with: &Opened,
    file: &Opened,
    stop: &mut dyn FnMut() -> bool,
) -> Result<Sharing, Errno> {
    let size = file.facts.size;
    let mut offset = common(with, file)?;
    if offset >= size {
        return Ok(Sharing::Already);
    }
    offset -= offset % SHARE;
    while offset < size {
        if stop() {
            return Ok(Sharing::Stopped);
        }
        let length = SHARE.min(size - offset);
        match lease::share(with.fd.as_fd(), file.fd.as_fd(), offset, length)? {
            lease::Shared::Differs | lease::Shared::Same(0) => return Ok(Sharing::Differs),
            lease::Shared::Same(n) => offset += n,
        }
    }
    Ok(Sharing::Shared)
}

/// Up to where two files lie in the same place already.
fn common(a: &Opened, b: &Opened) -> Result<u64, Errno> {
    let mut offset = 0;
    loop {
        let left = lease::extents(a.fd.as_fd(), offset)?;
        let right = lease::extents(b.fd.as_fd(), offset)?;
        let same = left.iter().zip(&right).take_while(|(l, r)| l == r).count();
        if same > 0 {
            let last = &left[same - 1];
            offset = last.at + last.length;
        }
        if same == 0 || same < left.len().max(right.len()) || offset >= a.facts.size {
            return Ok(offset);
        }
    }
}
