//! Reads a file or folder at home once and makes its metainfo, a part at a time.
//!
//! What changed between the first look and the last is no torrent: inode, size and mtime of every file are compared when
//! it is opened and once more at the end.

use super::metainfo::{File, Layout, Metainfo, Options, OptionsError, Pieces};
use crate::fs::{Entry, FileSystem, FsError};
use crate::model::{FileId, RelPath};
use crate::plan::master;

/// Bytes read at once: each buffer is hashed while it is in the processor's cache.
const BUFFER: usize = 256 << 10;

/// Why no torrent was made.
#[derive(Debug, thiserror::Error)]
pub enum MakingError {
    /// Nothing has that name.
    #[error("{0}: there is nothing of this name at home; `larder list` shows what there is")]
    Missing(RelPath),
    /// A torrent has a name, and what everything is in has none.
    #[error("a torrent is made of a file or a folder, not of everything; name one")]
    Everything,
    /// Clients refuse a torrent without a byte.
    #[error("{0}: there is no file with any content in it, and no client takes an empty torrent")]
    Empty(RelPath),
    /// A part of it could not be read, so it would not be whole.
    #[error(
        "{0}: this folder can't be read, so the torrent would not be whole; `larder check` tells more"
    )]
    Unreadable(RelPath),
    /// Somebody wrote meanwhile.
    #[error("{0}: it changed while it was read; nothing was made, try again when it is at rest")]
    Changed(RelPath),
    /// The options can't be used.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// The drive said no.
    #[error(transparent)]
    Fs(#[from] FsError),
}

/// A torrent that is being made.
#[derive(Debug)]
pub struct Making {
    layout: Layout,
    options: Options,
    /// What each file of the layout is, in its order.
    sources: Vec<(RelPath, FileId)>,
    pieces: Pieces,
    /// The file that is being read, and how much of it was.
    at: usize,
    offset: u64,
    read: u64,
}

impl Making {
    /// Looks at what there is below a name at home. Reads no content yet.
    pub fn begin(
        fs: &mut dyn FileSystem,
        path: &RelPath,
        options: Options,
    ) -> Result<Self, MakingError> {
        options.verify()?;
        let name = path.name().ok_or(MakingError::Everything)?;
        let (layout, sources) = match fs.look(&master(path))? {
            Some(Entry::File(stat)) => {
                (Layout::of_file(name, stat.id.size, &options), vec![(path.clone(), stat.id)])
            }
            Some(Entry::Dir) => of_folder(fs, path, name, &options)?,
            Some(Entry::Elsewhere) => {
                return Err(FsError::OtherFileSystem { at: master(path) }.into());
            }
            Some(Entry::Other) | None => return Err(MakingError::Missing(path.clone())),
        };
        if layout.total() == 0 {
            return Err(MakingError::Empty(path.clone()));
        }
        let pieces = layout.pieces();
        Ok(Self { layout, options, sources, pieces, at: 0, offset: 0, read: 0 })
    }

    /// Names, sizes and their order.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Bytes read so far, of [`Layout::total`].
    pub fn read(&self) -> u64 {
        self.read
    }

    /// Reads on until about `budget` bytes were read. Returns the metainfo once everything was read and nothing had
    /// changed meanwhile; it is made once.
    pub fn step(
        &mut self,
        fs: &mut dyn FileSystem,
        budget: u64,
    ) -> Result<Option<Metainfo>, MakingError> {
        let until = self.read.saturating_add(budget);
        while let Some((path, id)) = self.sources.get(self.at) {
            if self.offset == id.size {
                (self.at, self.offset) = (self.at + 1, 0);
                continue;
            }
            if self.read >= until {
                return Ok(None);
            }
            let left = usize::try_from(id.size - self.offset).unwrap_or(usize::MAX);
            let part = match fs.read_part(&master(path), id, self.offset, BUFFER.min(left)) {
                Ok(part) if !part.is_empty() => part,
                Ok(_) => return Err(MakingError::Changed(path.clone())),
                Err(e) => return Err(changed_or(path, e)),
            };
            self.pieces.feed(&part);
            self.offset += part.len() as u64;
            self.read += part.len() as u64;
        }
        for (path, id) in &self.sources {
            match fs.stat(&master(path)) {
                Ok(Some(stat)) if stat.id == *id => {}
                Ok(_) => return Err(MakingError::Changed(path.clone())),
                Err(e) => return Err(changed_or(path, e)),
            }
        }
        let pieces = std::mem::replace(&mut self.pieces, self.layout.pieces());
        Ok(Some(self.layout.finish(pieces, &self.options)))
    }
}

/// A failing drive is told as that; anything else under a name that was a regular file a moment ago is a change.
fn changed_or(path: &RelPath, error: FsError) -> MakingError {
    match error {
        FsError::Missing { .. } | FsError::NotRegular { .. } | FsError::Changed { .. } => {
            MakingError::Changed(path.clone())
        }
        error => error.into(),
    }
}

type Sources = Vec<(RelPath, FileId)>;

fn of_folder(
    fs: &mut dyn FileSystem,
    path: &RelPath,
    name: &[u8],
    options: &Options,
) -> Result<(Layout, Sources), MakingError> {
    let scan = fs.scan(&master(path))?;
    if let Some(unread) = scan.unreadable_dirs.iter().chain(&scan.elsewhere).next() {
        return Err(MakingError::Unreadable(unread.clone()));
    }
    let top = scan.tree.dir(path).ok_or_else(|| MakingError::Missing(path.clone()))?;
    let mut found = Vec::new();
    scan.tree.for_each(top, |at, stat| {
        // Made of names that the scan has checked.
        let at = RelPath::new(at).unwrap_or_default();
        let names = at.names().skip(path.depth()).map(<[u8]>::to_vec).collect();
        found.push((File { names, length: stat.id.size }, at, stat.id));
    });
    found.sort_by(|a, b| a.0.names.cmp(&b.0.names));
    let files = found.iter().map(|(file, ..)| file.clone()).collect();
    let sources = found.into_iter().map(|(_, at, id)| (at, id)).collect();
    Ok((Layout::of_folder(name, files, options), sources))
}

#[cfg(test)]
mod tests {
    use super::super::bencode::Value;
    use super::*;
    use crate::fs::Memory;
    use sha1::{Digest as _, Sha1};

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn drive(files: &[(&str, &[u8])]) -> Memory {
        let mut fs = Memory::new();
        for (name, content) in files {
            let at = path(name);
            fs.make_dir(&master(&at.parent().unwrap_or_default())).unwrap();
            fs.write_new(&master(&at), content).unwrap();
        }
        fs
    }

    fn make(fs: &mut Memory, at: &str, budget: u64) -> Result<(Metainfo, usize), MakingError> {
        let mut making = Making::begin(fs, &path(at), Options::default())?;
        for steps in 1.. {
            if let Some(metainfo) = making.step(fs, budget)? {
                return Ok((metainfo, steps));
            }
        }
        unreachable!()
    }

    #[test]
    fn a_folder_becomes_the_same_torrent_however_it_is_read() {
        let large = vec![7; 700_000];
        let mut fs = drive(&[
            ("Music/b", b"bb"),
            ("Music/a/one", &large),
            ("Music/a/empty", b""),
            ("Music/A", b"A"),
            ("Other/x", b"no part of it"),
        ]);
        let (whole, steps) = make(&mut fs, "Music", u64::MAX).unwrap();
        assert_eq!(steps, 1);
        let (parts, steps) = make(&mut fs, "Music", 1).unwrap();
        assert!(steps > 4, "{steps}");
        assert_eq!(whole, parts);

        let top = Value::parse(&whole.bytes).unwrap();
        let info = top.get(b"info").unwrap();
        let mut all = b"A".to_vec();
        all.extend_from_slice(&large);
        all.extend_from_slice(b"bb");
        let sums: Vec<u8> = all.chunks(16 << 10).flat_map(|p| Sha1::digest(p).to_vec()).collect();
        assert_eq!(info.get(b"pieces"), Some(&Value::Bytes(sums)));
        let file = |length, names: &[&str]| {
            let names = names.iter().map(|name| Value::bytes(*name)).collect();
            Value::dict([("length", Value::Int(length)), ("path", Value::List(names))])
        };
        let files = vec![
            file(1, &["A"]),
            file(0, &["a", "empty"]),
            file(700_000, &["a", "one"]),
            file(2, &["b"]),
        ];
        assert_eq!(info.get(b"files"), Some(&Value::List(files)));
        assert_eq!(info.get(b"name"), Some(&Value::bytes("Music")));
    }

    #[test]
    fn what_changes_meanwhile_is_said_and_not_made() {
        type Change = fn(&mut Memory);
        let changes: [(&str, Change); 3] = [
            ("Music/a", |fs| fs.unlink(&master(&path("Music/a"))).unwrap()),
            ("Music/a", |fs| {
                fs.unlink(&master(&path("Music/a"))).unwrap();
                fs.write_new(&master(&path("Music/a")), &[1; 600_000]).unwrap();
            }),
            ("Music/b", |fs| {
                fs.unlink(&master(&path("Music/b"))).unwrap();
                fs.write_new(&master(&path("Music/b")), b"c").unwrap();
            }),
        ];
        for (named, change) in changes {
            let mut fs = drive(&[("Music/a", &[1; 600_000]), ("Music/b", b"b")]);
            let mut making = Making::begin(&mut fs, &path("Music"), Options::default()).unwrap();
            assert_eq!(making.step(&mut fs, 1).unwrap(), None);
            change(&mut fs);
            let error = making.step(&mut fs, u64::MAX).unwrap_err();
            assert!(matches!(&error, MakingError::Changed(at) if *at == path(named)), "{error}");
        }
    }

    #[test]
    fn what_can_be_no_torrent_says_why() {
        let mut fs = drive(&[("empty", b""), ("d/e", b"")]);
        for (at, words) in [
            ("nothing", "nothing: there is nothing of this name at home"),
            ("empty", "empty: there is no file with any content in it"),
            ("d", "d: there is no file with any content in it"),
            ("", "a torrent is made of a file or a folder"),
        ] {
            let error = make(&mut fs, at, 1).unwrap_err().to_string();
            assert!(error.starts_with(words), "{error}");
        }
    }
}
