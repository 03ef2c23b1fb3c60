//! Whose a file is and what else hangs on its inode: names of one inode share it all, so only files that
//! agree in it are joined.
//!
//! In comes an opened file, out comes a value to compare. What can't be read is like nothing else.

use super::read::Opened;
use rustix::fs::{fgetxattr, flistxattr};
use rustix::io::Errno;

/// What two files must have in common to be one, apart from their bytes.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Kind {
    owner: (u32, u32),
    mode: u16,
    attributes: Vec<u8>,
}

impl Kind {
    pub(super) fn of(file: &Opened) -> Result<Self, Errno> {
        let mut list = [0u8; 1024];
        let mut attributes = Vec::new();
        match flistxattr(&file.fd, list.as_mut_slice()) {
            Ok(0) | Err(Errno::OPNOTSUPP) => {}
            Ok(length) => {
                for name in list[..length].split(|&b| b == 0).filter(|name| !name.is_empty()) {
                    let mut value = [0u8; 4096];
                    match fgetxattr(&file.fd, name, value.as_mut_slice()) {
                        Ok(n) => {
                            attributes.extend_from_slice(name);
                            attributes.extend_from_slice(&(n as u32).to_le_bytes());
                            attributes.extend_from_slice(&value[..n]);
                        }
                        // What can't be read is like nothing else.
                        Err(_) => attributes.extend_from_slice(&file.facts.ino.to_le_bytes()),
                    }
                }
            }
            Err(Errno::RANGE) => attributes.extend_from_slice(&file.facts.ino.to_le_bytes()),
            Err(e) => return Err(e),
        }
        Ok(Self { owner: file.facts.owner, mode: file.facts.mode, attributes })
    }
}
