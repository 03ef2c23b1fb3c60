//! A drive that is looked at and not changed: what would be done is done in memory, above it.

use super::scan::Scan;
use super::{Denial, Entry, FileSystem, FsError, Listing, Space};
use crate::model::{FileId, Spot, Stat};
use std::collections::BTreeMap;

/// Reads go to the drive, changes stay in memory, where later reads see them.
///
/// Folders that are carried away with their content are not followed: the engine changes names of
/// files, never of folders.
#[derive(Debug)]
pub struct DryRun<F> {
    under: F,
    /// Names that would be different: what would be there, or nothing.
    over: BTreeMap<Spot, Option<Entry>>,
    written: BTreeMap<u64, Vec<u8>>,
    next: u64,
}

impl<F: FileSystem> DryRun<F> {
    /// Looks at `under` and changes nothing in it.
    pub fn new(under: F) -> Self {
        // Inode numbers that no file system gives out.
        Self { under, over: BTreeMap::new(), written: BTreeMap::new(), next: u64::MAX / 2 }
    }

    fn file(&mut self, at: &Spot) -> Result<Stat, FsError> {
        self.stat(at)?.ok_or(FsError::Missing { at: at.clone() })
    }

    fn free_name(&mut self, at: &Spot) -> Result<(), FsError> {
        let folder = at.place.clone().at(at.path.parent().unwrap_or_default());
        if self.look(at)?.is_some() {
            return Err(FsError::Exists { at: at.clone() });
        }
        match self.look(&folder)? {
            Some(Entry::Dir) => Ok(()),
            _ => Err(FsError::Missing { at: at.clone() }),
        }
    }
}

impl<F: FileSystem> FileSystem for DryRun<F> {
    fn look(&mut self, at: &Spot) -> Result<Option<Entry>, FsError> {
        match self.over.get(at) {
            Some(entry) => Ok(entry.clone()),
            None => self.under.look(at),
        }
    }

    fn list_until(
        &mut self,
        dir: &Spot,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Listing>>, FsError> {
        let Some(listed) = self.under.list_until(dir, stop)? else { return Ok(None) };
        if listed.is_none() && !matches!(self.over.get(dir), Some(Some(Entry::Dir))) {
            return Ok(Some(None));
        }
        let mut all: BTreeMap<Vec<u8>, Entry> = listed.unwrap_or_default().into_iter().collect();
        for (spot, entry) in &self.over {
            let here = spot.place == dir.place && spot.path.parent().as_ref() == Some(&dir.path);
            if let (true, Some(name)) = (here, spot.path.name()) {
                match entry {
                    Some(entry) => all.insert(name.to_vec(), entry.clone()),
                    None => all.remove(name),
                };
            }
        }
        Ok(Some(Some(all.into_iter().collect())))
    }

    fn make_dir(&mut self, at: &Spot) -> Result<(), FsError> {
        for dir in at.path.ancestors().into_iter().chain([at.path.clone()]) {
            let here = at.place.clone().at(dir);
            match self.look(&here)? {
                Some(Entry::Dir) => {}
                Some(Entry::Elsewhere) => return Err(FsError::OtherFileSystem { at: here }),
                Some(_) => return Err(FsError::NotRegular { at: here }),
                None => {
                    self.over.insert(here, Some(Entry::Dir));
                }
            }
        }
        Ok(())
    }

    fn remove_dir(&mut self, at: &Spot) -> Result<bool, FsError> {
        let empty = self.list(at)?.is_some_and(|names| names.is_empty());
        if empty {
            self.over.insert(at.clone(), None);
        }
        Ok(empty)
    }

    fn link(&mut self, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, FsError> {
        let mut stat = self.file(from)?;
        if stat.id.ino != ino {
            return Err(FsError::Changed { at: from.clone() });
        }
        self.free_name(to)?;
        stat.nlink += 1;
        self.over.insert(from.clone(), Some(Entry::File(stat)));
        self.over.insert(to.clone(), Some(Entry::File(stat)));
        Ok(stat)
    }

    fn rename(&mut self, from: &Spot, to: &Spot) -> Result<(), FsError> {
        let stat = self.file(from)?;
        self.free_name(to)?;
        self.over.insert(from.clone(), None);
        self.over.insert(to.clone(), Some(Entry::File(stat)));
        Ok(())
    }

    fn exchange(&mut self, a: &Spot, b: &Spot) -> Result<(), FsError> {
        let (at_a, at_b) = (self.file(a)?, self.file(b)?);
        self.over.insert(a.clone(), Some(Entry::File(at_b)));
        self.over.insert(b.clone(), Some(Entry::File(at_a)));
        Ok(())
    }

    fn unlink(&mut self, at: &Spot) -> Result<(), FsError> {
        if self.look(at)? != Some(Entry::Other) {
            self.file(at)?;
        }
        self.over.insert(at.clone(), None);
        Ok(())
    }

    fn read(&mut self, at: &Spot, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        match self.over.get(at) {
            None => self.under.read(at, limit),
            Some(Some(Entry::File(stat))) => Ok(self.written.get(&stat.id.ino).cloned()),
            Some(_) => Ok(None),
        }
    }

    fn read_part(
        &mut self,
        at: &Spot,
        id: &FileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, FsError> {
        self.under.read_part(at, id, offset, most)
    }

    fn write_new(&mut self, at: &Spot, content: &[u8]) -> Result<(), FsError> {
        self.free_name(at)?;
        self.next += 1;
        let mut stat = Stat { nlink: 1, ..Stat::default() };
        stat.id.ino = self.next;
        stat.id.size = content.len() as u64;
        self.written.insert(self.next, content.to_vec());
        self.over.insert(at.clone(), Some(Entry::File(stat)));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FsError> {
        Ok(())
    }

    fn leads_elsewhere(&mut self, at: &Spot) -> Result<bool, FsError> {
        self.under.leads_elsewhere(at)
    }

    fn scan(&mut self, from: &Spot) -> Result<Scan, FsError> {
        self.under.scan(from)
    }

    fn denial(&mut self, at: &Spot) -> Option<Denial> {
        self.under.denial(at)
    }

    fn space(&mut self) -> Result<Space, FsError> {
        self.under.space()
    }
}
