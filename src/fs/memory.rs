//! A drive in memory, for plans and tests: the same behaviour as the real one, and faults on demand.

use super::{Denial, Entry, FileSystem, FsError, Listing, Space, Trouble};
use crate::model::{Bytes, FileId, Place, RelPath, Spot, Stat, Time};
use rustix::io::Errno;
use std::collections::{BTreeMap, BTreeSet};

/// A drive in memory.
#[derive(Clone, Debug)]
pub struct Memory {
    nodes: BTreeMap<Spot, Node>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Space in bytes; what the inodes hold counts against it.
    pub capacity: u64,
    /// How many more files and folders can be made; `None` is no limit.
    pub inodes_left: Option<u64>,
    /// Files that belong to another user and can't be linked, and folders that can't be read.
    pub denied: BTreeSet<Spot>,
    /// Mutating calls so far.
    pub calls: usize,
    /// From this mutating call on (counted from 0) everything fails so: a full drive, a power cut.
    pub fail_from: Option<(usize, Errno)>,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Node {
    Dir,
    File(u64),
    /// A mount, a subvolume or a snapshot; what is in it has numbers of its own.
    Elsewhere,
    Other,
}

#[derive(Clone, Debug)]
struct Inode {
    content: Vec<u8>,
    mtime: Time,
    nlink: u32,
}

impl Default for Memory {
    fn default() -> Self {
        let mut memory = Self {
            nodes: BTreeMap::new(),
            inodes: BTreeMap::new(),
            next: 10,
            capacity: 1 << 40,
            inodes_left: None,
            denied: BTreeSet::new(),
            calls: 0,
            fail_from: None,
        };
        for place in [Place::Files, Place::Catalogue, Place::Shared, Place::Versions, Place::Tmp] {
            memory.nodes.insert(place.at(RelPath::root()), Node::Dir);
        }
        memory
    }
}

impl Memory {
    /// A drive with the layout and nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody else (a device, a person) puts a file at a name, as programs save: a new inode in
    /// place of what was there. Returns its inode number.
    pub fn put(&mut self, at: &Spot, content: &[u8], mtime: Time) -> u64 {
        self.put_dirs(at);
        self.drop_name(at);
        let ino = self.next;
        self.next += 1;
        self.inodes.insert(ino, Inode { content: content.to_vec(), mtime, nlink: 1 });
        self.nodes.insert(at.clone(), Node::File(ino));
        ino
    }

    /// Somebody else writes into the file in place: every name of it changes.
    pub fn write_in_place(&mut self, at: &Spot, content: &[u8], mtime: Time) {
        if let Some(Node::File(ino)) = self.nodes.get(at)
            && let Some(inode) = self.inodes.get_mut(ino)
        {
            inode.content = content.to_vec();
            inode.mtime = mtime;
        }
    }

    /// Somebody else removes a name.
    pub fn take(&mut self, at: &Spot) {
        self.drop_name(at);
    }

    /// Somebody else plants a symbolic link or a pipe.
    pub fn put_other(&mut self, at: &Spot) {
        self.put_dirs(at);
        self.drop_name(at);
        self.nodes.insert(at.clone(), Node::Other);
    }

    /// Somebody mounts another file system at a name, or makes a subvolume or snapshot of that name.
    pub fn put_elsewhere(&mut self, at: &Spot) {
        self.put_dirs(at);
        self.drop_name(at);
        self.nodes.insert(at.clone(), Node::Elsewhere);
    }

    /// Somebody else renames a file over whatever is there.
    pub fn shift(&mut self, from: &Spot, to: &Spot) {
        if let Some(node) = self.nodes.remove(from) {
            self.put_dirs(to);
            self.drop_name(to);
            self.nodes.insert(to.clone(), node);
        }
    }

    /// The content at a name.
    pub fn content(&self, at: &Spot) -> Option<&[u8]> {
        match self.nodes.get(at) {
            Some(Node::File(ino)) => self.inodes.get(ino).map(|i| &*i.content),
            _ => None,
        }
    }

    /// Every file with its inode, in order.
    pub fn files(&self) -> impl Iterator<Item = (&Spot, u64)> {
        self.nodes.iter().filter_map(|(spot, node)| match node {
            Node::File(ino) => Some((spot, *ino)),
            _ => None,
        })
    }

    /// Every content that has at least one name.
    pub fn contents(&self) -> impl Iterator<Item = &[u8]> {
        self.inodes.values().map(|i| &*i.content)
    }

    fn put_dirs(&mut self, at: &Spot) {
        for dir in at.path.ancestors() {
            self.nodes.entry(at.place.clone().at(dir)).or_insert(Node::Dir);
        }
    }

    fn drop_name(&mut self, at: &Spot) {
        if let Some(Node::File(ino)) = self.nodes.remove(at)
            && let Some(inode) = self.inodes.get_mut(&ino)
        {
            inode.nlink -= 1;
            if inode.nlink == 0 {
                self.inodes.remove(&ino);
            }
        }
    }

    fn entry(&self, node: Node) -> Entry {
        match node {
            Node::Dir => Entry::Dir,
            Node::Elsewhere => Entry::Elsewhere,
            Node::Other => Entry::Other,
            Node::File(ino) => {
                let inode = &self.inodes[&ino];
                let size = inode.content.len() as u64;
                Entry::File(Stat {
                    id: FileId { ino, size, mtime: inode.mtime },
                    nlink: inode.nlink,
                    sectors: u32::try_from(size.div_ceil(4096) * 8).unwrap_or(u32::MAX),
                })
            }
        }
    }

    /// Looks a name up as the kernel does: the folders above must be folders.
    fn find(&self, at: &Spot) -> Result<Option<Node>, FsError> {
        for dir in at.path.ancestors() {
            let dir = at.place.clone().at(dir);
            self.permit(&dir, "look")?;
            match self.nodes.get(&dir) {
                Some(Node::Dir) => {}
                Some(Node::Other) => return Err(FsError::NotRegular { at: at.clone() }),
                Some(Node::Elsewhere) => {
                    return Err(FsError::OtherFileSystem { at: at.clone() });
                }
                _ => return Ok(None),
            }
        }
        Ok(self.nodes.get(at).copied())
    }

    fn call(&mut self, at: &Spot, doing: &'static str) -> Result<(), FsError> {
        let n = self.calls;
        self.calls += 1;
        match self.fail_from {
            Some((from, errno)) if n >= from => Err(FsError::new(at, doing, errno)),
            _ => Ok(()),
        }
    }

    /// One more file or folder is to be made.
    fn take_inode(&mut self, at: &Spot, doing: &'static str) -> Result<(), FsError> {
        match &mut self.inodes_left {
            Some(0) => Err(FsError::Drive {
                trouble: Trouble::NoInodes,
                at: at.clone(),
                doing,
                source: Errno::NOSPC,
            }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn permit(&self, at: &Spot, doing: &'static str) -> Result<(), FsError> {
        match self.denied.contains(at) {
            true => Err(FsError::Denied { at: at.clone(), doing, cause: Denial::Owner(0) }),
            false => Ok(()),
        }
    }

    fn file(&self, at: &Spot) -> Result<u64, FsError> {
        match self.find(at)? {
            Some(Node::File(ino)) => Ok(ino),
            Some(Node::Elsewhere) => Err(FsError::OtherFileSystem { at: at.clone() }),
            Some(_) => Err(FsError::NotRegular { at: at.clone() }),
            None => Err(FsError::Missing { at: at.clone() }),
        }
    }

    fn free_name(&self, at: &Spot) -> Result<(), FsError> {
        if at.path.is_root() || self.find(at)?.is_some() {
            return Err(FsError::Exists { at: at.clone() });
        }
        let dir = at.place.clone().at(at.path.parent().unwrap_or_default());
        match self.find(&dir)? {
            Some(Node::Dir) => Ok(()),
            _ => Err(FsError::Missing { at: at.clone() }),
        }
    }
}

impl FileSystem for Memory {
    fn look(&mut self, at: &Spot) -> Result<Option<Entry>, FsError> {
        Ok(self.find(at)?.map(|node| self.entry(node)))
    }

    fn list_until(
        &mut self,
        dir: &Spot,
        stop: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Option<Listing>>, FsError> {
        self.permit(dir, "list the folder")?;
        match self.find(dir)? {
            Some(Node::Dir) => {}
            Some(Node::Elsewhere) => return Err(FsError::OtherFileSystem { at: dir.clone() }),
            Some(_) => return Err(FsError::NotRegular { at: dir.clone() }),
            None => return Ok(Some(None)),
        }
        let depth = dir.path.depth() + 1;
        let mut stopped = false;
        let below = self
            .nodes
            .range(dir.clone()..)
            .skip(1)
            .take_while(|(spot, _)| spot.place == dir.place && spot.path.is_within(&dir.path));
        let mut found: Vec<_> = below
            .filter(|(spot, _)| spot.path.depth() == depth)
            .take_while(|_| {
                stopped = stop();
                !stopped
            })
            .filter_map(|(spot, &node)| Some((spot.path.name()?.to_vec(), self.entry(node))))
            .collect();
        if stopped {
            return Ok(None);
        }
        found.sort_by(|a: &(Vec<u8>, Entry), b| a.0.cmp(&b.0));
        Ok(Some(Some(found)))
    }

    fn make_dir(&mut self, at: &Spot) -> Result<(), FsError> {
        for dir in at.path.ancestors().into_iter().chain([at.path.clone()]) {
            let here = at.place.clone().at(dir);
            match self.nodes.get(&here) {
                Some(Node::Dir) => {}
                Some(Node::Elsewhere) => return Err(FsError::OtherFileSystem { at: here }),
                Some(_) => return Err(FsError::NotRegular { at: here }),
                None => {
                    self.call(&here, "make the folder")?;
                    self.take_inode(&here, "make the folder")?;
                    self.nodes.insert(here, Node::Dir);
                }
            }
        }
        Ok(())
    }

    fn remove_dir(&mut self, at: &Spot) -> Result<bool, FsError> {
        self.call(at, "remove the folder")?;
        match self.list(at)? {
            Some(found) if found.is_empty() => {
                self.nodes.remove(at);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn link(&mut self, from: &Spot, ino: u64, to: &Spot) -> Result<Stat, FsError> {
        self.call(to, "link")?;
        self.permit(from, "link")?;
        if self.file(from)? != ino {
            return Err(FsError::Changed { at: from.clone() });
        }
        self.free_name(to)?;
        self.nodes.insert(to.clone(), Node::File(ino));
        if let Some(inode) = self.inodes.get_mut(&ino) {
            inode.nlink += 1;
        }
        match self.entry(Node::File(ino)) {
            Entry::File(stat) => Ok(stat),
            _ => Err(FsError::NotRegular { at: from.clone() }),
        }
    }

    fn rename(&mut self, from: &Spot, to: &Spot) -> Result<(), FsError> {
        self.call(from, "rename")?;
        self.permit(from, "rename")?;
        self.file(from)?;
        self.free_name(to)?;
        if let Some(node) = self.nodes.remove(from) {
            self.nodes.insert(to.clone(), node);
        }
        Ok(())
    }

    fn exchange(&mut self, a: &Spot, b: &Spot) -> Result<(), FsError> {
        self.call(a, "exchange")?;
        self.permit(a, "exchange").and_then(|()| self.permit(b, "exchange"))?;
        let (at_a, at_b) = (Node::File(self.file(a)?), Node::File(self.file(b)?));
        self.nodes.insert(a.clone(), at_b);
        self.nodes.insert(b.clone(), at_a);
        Ok(())
    }

    fn unlink(&mut self, at: &Spot) -> Result<(), FsError> {
        self.call(at, "take the name away")?;
        if self.find(at)? != Some(Node::Other) {
            self.file(at)?;
        }
        self.drop_name(at);
        Ok(())
    }

    fn read(&mut self, at: &Spot, limit: u64) -> Result<Option<Vec<u8>>, FsError> {
        match self.find(at)? {
            None => Ok(None),
            Some(Node::File(ino)) => {
                let content = &self.inodes[&ino].content;
                let cut = content.len().min(usize::try_from(limit + 1).unwrap_or(usize::MAX));
                Ok(Some(content[..cut].to_vec()))
            }
            Some(Node::Elsewhere) => Err(FsError::OtherFileSystem { at: at.clone() }),
            Some(_) => Err(FsError::NotRegular { at: at.clone() }),
        }
    }

    fn read_part(
        &mut self,
        at: &Spot,
        id: &FileId,
        offset: u64,
        most: usize,
    ) -> Result<Vec<u8>, FsError> {
        let stat = self.stat(at)?.ok_or(FsError::Missing { at: at.clone() })?;
        if stat.id != *id {
            return Err(FsError::Changed { at: at.clone() });
        }
        let content = &self.inodes[&id.ino].content;
        let from = content.len().min(usize::try_from(offset).unwrap_or(usize::MAX));
        Ok(content[from..].iter().copied().take(most).collect())
    }

    fn write_new(&mut self, at: &Spot, content: &[u8]) -> Result<(), FsError> {
        self.call(at, "write")?;
        self.free_name(at)?;
        if self.space()?.free.0 < content.len() as u64 {
            return Err(FsError::new(at, "write", Errno::NOSPC));
        }
        self.take_inode(at, "write")?;
        self.put(at, content, Time(0));
        Ok(())
    }

    fn sync(&mut self) -> Result<(), FsError> {
        self.call(&Place::Files.at(RelPath::root()), "bring changes to the disk")
    }

    fn denial(&mut self, at: &Spot) -> Option<Denial> {
        self.denied.contains(at).then_some(Denial::Owner(0))
    }

    fn space(&mut self) -> Result<Space, FsError> {
        let used: u64 = self.inodes.values().map(|i| i.content.len() as u64).sum();
        Ok(Space {
            free: Bytes(self.capacity.saturating_sub(used)),
            total: Bytes(self.capacity),
            no_inodes: self.inodes_left == Some(0),
        })
    }
}
