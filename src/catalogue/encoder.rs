//! The encoder: what all the pages share is made once and kept from one update to the next.

use super::pack::{pack, unpack};
use super::page::{self, Page, Shared};
use super::section::{Columns, Files};
use super::skeleton::Skeleton;
use super::walk::{Folder, state_bytes, walk};
use super::{BLOCK, CatalogueError, LOG_MAX, PageOf, View, journal};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

/// Makes the pages. Keep it as long as the engine runs; it holds the compressed data, about
/// 12 bytes a file, and some hundred bytes a folder.
pub struct Encoder {
    keys: RandomState,
    base: Base,
    /// The log, one block a line.
    log: String,
    shared: Option<Shared>,
    /// Up to so many bytes of data there is no log.
    block: usize,
    /// The log is folded into the base beyond so many bytes.
    log_max: usize,
}

/// The data as it was when it was last encoded whole.
#[derive(Default)]
struct Base {
    devices: usize,
    skeleton: String,
    sections: Vec<Section>,
    folders: HashMap<Box<[u8]>, Known>,
    /// How often the base was made anew: tells one base from another.
    edition: u64,
}

struct Section {
    files: u32,
    /// Where it begins, counted in files over all the sections.
    start: u64,
    hash: u64,
    block: Arc<str>,
}

/// What is remembered of a folder.
#[derive(Clone, Copy)]
struct Known {
    /// Fingerprint of it as the page has it now, log included; `None` when the log says it is gone.
    now: Option<u64>,
    /// Its files in the base: the first, and how many. (0, 0) when the base has no such folder.
    base: (u64, u64),
    /// The update that saw it last.
    seen: u64,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// One that has seen nothing yet.
    pub fn new() -> Self {
        Self::with_limits(BLOCK, LOG_MAX)
    }

    /// One with limits of its own, so that tests need no large catalogues.
    pub(super) fn with_limits(block: usize, log_max: usize) -> Self {
        let (keys, base) = (RandomState::new(), Base::default());
        Self { keys, base, log: String::new(), shared: None, block, log_max }
    }

    /// Takes in a snapshot. True when what the pages tell about the files changed.
    ///
    /// The cost is one walk over the files and, of the rest, what changed. Pages made before stay
    /// as they are.
    pub fn update(&mut self, view: &View<'_>) -> Result<bool, CatalogueError> {
        let changed = if self.base.edition == 0
            || self.base.devices != view.devices.len()
            || self.data_len() <= self.block
        {
            self.rebase(view)
        } else {
            match self.changes(view) {
                Some(raw) if raw.is_empty() => false,
                Some(raw) => {
                    self.log.push_str(&pack(&raw));
                    self.log.push('\n');
                    if self.log.len() > self.log_max {
                        self.rebase(view);
                    }
                    true
                }
                None => self.rebase(view),
            }
        };
        self.shared = Some(Shared::new(view)?);
        Ok(changed)
    }

    /// The page of one device, or the common one, as of the last [`update`](Self::update).
    pub fn page(&self, of: &PageOf<'_>) -> Result<Page<'_>, CatalogueError> {
        let blocks = std::iter::once(&*self.base.skeleton)
            .chain(self.base.sections.iter().map(|section| &*section.block));
        let edition = (self.base.edition, self.log.len() as u64);
        page::make(
            self.shared.as_ref().ok_or(CatalogueError::NoSnapshot)?,
            of,
            blocks.collect(),
            &self.log,
            edition,
        )
    }

    /// Bytes of the compressed data, without the log.
    pub fn data_len(&self) -> usize {
        self.base.skeleton.len() + self.base.sections.iter().map(|s| s.block.len()).sum::<usize>()
    }

    /// Bytes of the log of changes.
    pub fn log_len(&self) -> usize {
        self.log.len()
    }

    /// Encodes everything; sections that are what they were are taken from the base before.
    fn rebase(&mut self, view: &View<'_>) -> bool {
        let old: HashMap<u64, Arc<str>> =
            self.base.sections.drain(..).map(|s| (s.hash, s.block)).collect();
        let mut sections = Vec::new();
        let mut folders = HashMap::with_capacity(view.files.dir_count());
        let mut skeleton = Skeleton::new(view.devices.len());
        let mut columns = Columns::default();
        let (keys, mut start) = (&self.keys, 0u64);
        let edition = self.base.edition + 1;
        let mut close = |columns: &mut Columns, start: u64| {
            let (raw, files) = columns.take();
            let hash = keys.hash_one(&raw);
            let block = old.get(&hash).cloned().unwrap_or_else(|| pack(&raw).into());
            sections.push(Section { files, start: start - u64::from(files), hash, block });
        };
        walk(view, |folder| {
            let sums = folder.sums();
            skeleton.push(folder, &sums);
            let known = Known {
                now: Some(folder.fingerprint(keys)),
                base: (start, sums.files),
                seen: edition,
            };
            folders.insert(folder.path.into(), known);
            for row in folder.rows() {
                start += 1;
                if columns.push(&row) {
                    close(&mut columns, start);
                }
            }
        });
        if !columns.is_empty() {
            close(&mut columns, start);
        }
        let raw = skeleton.finish(sections.iter().map(|s| s.files));
        let skeleton = pack(&raw);
        let same = skeleton == self.base.skeleton
            && self.log.is_empty()
            && sections.len() == old.len()
            && sections.iter().all(|s| old.contains_key(&s.hash));
        // An unchanged base keeps its edition, so that the pages made of it keep theirs.
        let edition = if same { self.base.edition } else { edition };
        self.base = Base { devices: view.devices.len(), skeleton, sections, folders, edition };
        self.log.clear();
        !same
    }

    /// The next chunk of the log; empty when nothing changed, `None` when it would be so long that
    /// a new base is better.
    fn changes(&mut self, view: &View<'_>) -> Option<Vec<u8>> {
        let mut raw = Vec::new();
        let mark = self.base.folders.values().map(|known| known.seen).max().unwrap_or(0) + 1;
        let mut folders = std::mem::take(&mut self.base.folders);
        let mut opened = Opened::default();
        let mut whole = true;
        walk(view, |folder| {
            let now = folder.fingerprint(&self.keys);
            let known = match folders.get_mut(folder.path) {
                Some(known) => known,
                None => folders.entry(folder.path.into()).or_insert(Known {
                    now: None,
                    base: (0, 0),
                    seen: 0,
                }),
            };
            known.seen = mark;
            if known.now == Some(now) || !whole {
                return;
            }
            known.now = Some(now);
            // Deflate makes a third of it or less; more than that and the log is full at once.
            whole = raw.len() < 3 * self.log_max
                && self.differ(folder, known.base, &mut opened, &mut raw);
        });
        if whole {
            let mut gone: Vec<&[u8]> = Vec::new();
            for (path, known) in &mut folders {
                if known.seen != mark && known.now.take().is_some() {
                    gone.push(path);
                }
            }
            gone.sort_unstable();
            gone.iter().for_each(|path| journal::put_gone(&mut raw, path));
        }
        self.base.folders = folders;
        whole.then_some(raw)
    }

    /// Appends how a folder differs from the base; false when the base can't be read back.
    fn differ(
        &self,
        folder: &Folder<'_>,
        (start, count): (u64, u64),
        opened: &mut Opened,
        raw: &mut Vec<u8>,
    ) -> bool {
        let mut needed = Vec::new();
        let first = self.base.sections.partition_point(|s| s.start + u64::from(s.files) <= start);
        for section in &self.base.sections[first..] {
            if section.start >= start + count {
                break;
            }
            match opened.get(section, state_bytes(self.base.devices)) {
                Some(files) => needed.push((section.start, u64::from(section.files), files)),
                None => return false,
            }
        }
        let rows = needed.iter().flat_map(|(from, files, section)| {
            let rows = start.max(*from)..(start + count).min(from + files);
            rows.filter_map(move |i| section.row((i - *from) as usize))
        });
        journal::put_folder(raw, folder, &folder.sums(), rows);
        true
    }
}

/// The section that was read back last: changed folders often lie together.
#[derive(Default)]
struct Opened {
    last: Option<(u64, Arc<Files>)>,
}

impl Opened {
    fn get(&mut self, section: &Section, width: usize) -> Option<Arc<Files>> {
        match &self.last {
            Some((hash, files)) if *hash == section.hash => Some(Arc::clone(files)),
            _ => {
                let files = Arc::new(Files::read(&unpack(&section.block)?, width)?);
                self.last = Some((section.hash, Arc::clone(&files)));
                Some(files)
            }
        }
    }
}
