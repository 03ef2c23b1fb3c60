//! One Larder works on a drive at a time: two would each take the other's changes for the family's.

use super::{DaemonError, Places};
use rustix::fs::{FlockOperation, Mode, OFlags, flock, open};
use std::os::fd::OwnedFd;

/// Held as long as somebody works on a drive. The kernel gives it back, however the program ends.
#[derive(Debug)]
pub(super) struct Claim {
    _folder: OwnedFd,
}

impl Claim {
    /// Claims the drive, or says that another one has it.
    pub(super) fn take(places: &Places) -> Result<Self, DaemonError> {
        let root = places.drive.clone();
        let folder = places.drive.join("BTsyncApp");
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fail = |e: rustix::io::Errno| match e {
            rustix::io::Errno::WOULDBLOCK => DaemonError::InUse { root: root.clone() },
            e => DaemonError::NoDrive { root: root.clone(), source: e.into() },
        };
        let folder = open(&folder, flags, Mode::empty()).map_err(fail)?;
        flock(&folder, FlockOperation::NonBlockingLockExclusive).map_err(fail)?;
        Ok(Self { _folder: folder })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drive_is_claimed_once() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { drive: dir.path().into(), boot: dir.path().into() };
        assert!(matches!(Claim::take(&places), Err(DaemonError::NoDrive { .. })));
        super::super::make_private(&dir.path().join("BTsyncApp")).unwrap();
        let first = Claim::take(&places).unwrap();
        let second = Claim::take(&places).unwrap_err();
        assert!(matches!(second, DaemonError::InUse { .. }), "{second}");
        drop(first);
        Claim::take(&places).unwrap();
    }
}
