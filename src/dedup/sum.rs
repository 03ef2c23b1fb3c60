//! The sha1 of a master, for shares: computed ahead of need, in turns.

use super::DedupError;
use super::read::{BLOCK, Facts, Opened, open_beneath};
use crate::fs::{FsError, Real};
use crate::model::{FileId, Place, RelPath};
use crate::plan::master;
use rustix::fs::Advice;
use sha1::{Digest as _, Sha1};

/// A sum in the making.
#[derive(Clone, Debug)]
pub struct Summing {
    path: RelPath,
    id: FileId,
    sum: Sha1,
    offset: u64,
    facts: Option<Facts>,
}

/// What a turn of summing came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sum {
    /// Told to stop; the next turn goes on from there.
    Stopped,
    /// The sha1 of the whole content.
    Done([u8; 20]),
}

impl Summing {
    /// Begins with the master at `path` while it is `id`.
    pub fn new(path: RelPath, id: FileId) -> Self {
        Self { path, id, sum: Sha1::new(), offset: 0, facts: None }
    }

    /// Reads on until the end or until `stop` says so; it is asked before every MiB.
    ///
    /// `Changed` when the file is not `id` (any more), also when it changed between two turns or while it
    /// was read: begin anew with the new id.
    pub fn go_on(
        &mut self,
        drive: &mut Real,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Sum, DedupError> {
        let at = master(&self.path);
        let fail = |e| FsError::new(&at, "read for its sha1", e);
        let changed = || DedupError::Fs(FsError::Changed { at: at.clone() });
        let folder = drive.handle(&Place::Files.at(RelPath::root()))?;
        let fd = open_beneath(&folder, &self.path).map_err(fail)?;
        let mut file = Opened::new(fd).map_err(fail)?;
        let FileId { ino, size, mtime } = self.id;
        let begun = *self.facts.get_or_insert(file.facts);
        let same = |f: &Facts| (f.ino, f.size, f.mtime) == (ino, size, mtime) && begun.still(f);
        if !same(&file.facts) {
            return Err(changed());
        }
        file.advise(0, None, Advice::Sequential);
        let mut block = vec![0; BLOCK];
        let sum = loop {
            if stop() {
                break Sum::Stopped;
            }
            let got = file.read(&mut block, self.offset).map_err(fail)?;
            self.sum.update(&block[..got]);
            self.offset += got as u64;
            if got < block.len() {
                break Sum::Done(self.sum.clone().finalize().into());
            }
        };
        file.forget();
        if same(&Facts::of(&file.fd).map_err(fail)?) { Ok(sum) } else { Err(changed()) }
    }
}
