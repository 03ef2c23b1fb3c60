//! Reads a page from the description of its format: the elements in their order, the columns of the data with their
//! front-coded names, the log behind them. Strict: what is not exactly so is an error, since a page is always whole.

use super::{below, snapshot::Snapshot};
use base64::Engine as _;
use serde_json::Value;
use std::collections::BTreeMap;
use std::io::Read as _;

/// What a page says of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Listed {
    pub(crate) size: u64,
    /// Seconds since 1970.
    pub(crate) mtime: i64,
    /// Two bits of each device, one byte for four.
    states: Vec<u8>,
}

impl Listed {
    /// How the file stands with a device: 0 not there, 1 there, 2 on its way.
    pub(crate) fn state(&self, device: usize) -> u8 {
        self.states[device / 4] >> (device % 4 * 2) & 3
    }
}

/// What a page says of an old content.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Old {
    pub(crate) number: u64,
    pub(crate) path: Vec<u8>,
    /// Seconds since 1970: since when it is old, and until when it is kept.
    pub(crate) at: i64,
    pub(crate) until: i64,
    pub(crate) size: u64,
}

/// What a page says.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) generation: u64,
    /// Whose page it is; `None` for the common one.
    pub(crate) device: Option<String>,
    pub(crate) files: BTreeMap<Vec<u8>, Listed>,
    /// The devices in the order of the states.
    pub(crate) devices: Vec<String>,
    pub(crate) versions: Vec<Old>,
    /// There are more old contents than it lists.
    pub(crate) more: bool,
    /// Somebody wrote wishes into it that were not harvested yet.
    pub(crate) wishes: bool,
}

/// Where pages lie on a drive.
pub(crate) fn all(drive: &Snapshot<'_>) -> Vec<Vec<u8>> {
    let files = drive.files(b"BTsync/catalogue");
    let pages = files.into_keys().filter(|path| {
        *path == b"catalogue.html"
            || path.strip_suffix(b"/catalogue.html").is_some_and(|d| !d.contains(&b'/'))
    });
    pages.map(|path| below(b"BTsync/catalogue", path)).collect()
}

const DATA: &str = "<script type=\"text/plain\" class=\"data\">";
const LOG: &str = "<script type=\"text/plain\" id=\"log\">";
const HOUSE: &str = "<script type=\"text/plain\" id=\"house\">";
const CFG: &str = "<script type=\"application/json\" id=\"cfg\">";
const WORK: &str = "<!--WORKLIST-BEGIN--><script type=\"application/json\" id=\"work\">";
const END: &str = "</script>";
const LAST: &str = "<!--WORKLIST-END-->";

type Read<T> = Result<T, String>;

/// Reads a whole page.
pub(crate) fn read(bytes: &[u8]) -> Read<Page> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    if !text.starts_with("<!doctype html>") || !text.contains("</head>") {
        return Err("it does not begin as a page".into());
    }
    let begin = text.find(DATA).ok_or("it has no data")?;
    let mut at = &text[begin..];
    let mut blocks = Vec::new();
    while let Some(block) = element(&mut at, DATA)? {
        blocks.push(block);
    }
    let log = element(&mut at, LOG)?.ok_or("it has no log")?;
    let house = element(&mut at, HOUSE)?.ok_or("it has no house")?;
    let cfg = element(&mut at, CFG)?.ok_or("it has no cfg")?;
    let work = element(&mut at, WORK)?.ok_or("it has no worklist")?;
    if at.trim_end() != LAST {
        return Err("the worklist is not the last of it".into());
    }
    let json = |text: &str| serde_json::from_str::<Value>(text).map_err(|e| e.to_string());
    let (cfg, work) = (json(cfg)?, json(work)?);
    let house: Value = serde_json::from_slice(&inflate(house)?).map_err(|e| e.to_string())?;
    let generation = cfg["gen"].as_u64().ok_or("cfg has no generation")?;
    let items = work["items"].as_array().ok_or("the worklist has no wishes, not even none")?;
    let wishes = !items.is_empty();
    if work["gen"].as_u64() != Some(generation) {
        return Err("the worklist is not of this page".into());
    }
    let names = house["devices"].as_array().ok_or("the house has no devices")?;
    let name = |d: &Value| d["name"].as_str().map(String::from).ok_or("a device without a name");
    let devices = names.iter().map(name).collect::<Result<Vec<_>, _>>()?;
    let versions = house["versions"].as_array().ok_or("the house has no versions")?;
    let versions = versions.iter().map(old).collect::<Option<_>>().ok_or("a wrong version")?;
    let files = files(&blocks, log, devices.len())?;
    let more = house["older"].as_array().is_some_and(|more| !more.is_empty())
        || house["unlisted"].as_u64() != Some(0);
    let device = cfg["device"].as_str().map(String::from);
    Ok(Page { generation, device, files, devices, versions, more, wishes })
}

/// Takes the element off the front, if it is the next one.
fn element<'t>(at: &mut &'t str, open: &str) -> Read<Option<&'t str>> {
    let Some(from) = at.trim_start().strip_prefix(open) else { return Ok(None) };
    let (inside, after) = from.split_once(END).ok_or("an element does not end")?;
    *at = after;
    Ok(Some(inside))
}

fn old(value: &Value) -> Option<Old> {
    Some(Old {
        number: value["id"].as_u64()?,
        path: unescape(value["path"].as_str()?)?,
        at: value["at"].as_i64()?,
        until: value["until"].as_i64()?,
        size: value["size"].as_u64()?,
    })
}

/// The bytes of a percent-encoded path.
pub(super) fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = text.bytes();
    let mut out = Vec::new();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(out)
}

fn inflate(block: &str) -> Read<Vec<u8>> {
    let packed = base64::engine::general_purpose::STANDARD.decode(block.trim());
    let packed = packed.map_err(|e| e.to_string())?;
    let mut raw = Vec::new();
    flate2::read::DeflateDecoder::new(&packed[..])
        .read_to_end(&mut raw)
        .map_err(|e| e.to_string())?;
    Ok(raw)
}

/// Takes numbers and bytes off the front.
struct In<'a>(&'a [u8]);

impl<'a> In<'a> {
    /// Seven bits a byte, the lowest first; the highest bit says that there are more.
    fn uint(&mut self) -> Read<u64> {
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 127).checked_shl(shift).unwrap_or(0);
            if byte < 128 {
                return Ok(value);
            }
        }
        Err("a number does not end".into())
    }

    /// With its sign in the lowest bit.
    fn int(&mut self) -> Read<i64> {
        let value = self.uint()?;
        let half = (value >> 1).cast_signed();
        Ok(if value & 1 == 1 { !half } else { half })
    }

    fn count(&mut self) -> Read<usize> {
        usize::try_from(self.uint()?).map_err(|e| e.to_string())
    }

    fn take(&mut self, n: usize) -> Read<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n).ok_or("the data ends too soon")?;
        self.0 = rest;
        Ok(head)
    }

    fn uints(&mut self, n: usize) -> Read<Vec<u64>> {
        (0..n).map(|_| self.uint()).collect()
    }

    /// Each the difference to the one before.
    fn sums(&mut self, n: usize) -> Read<Vec<i64>> {
        let mut last = 0i64;
        let mut next = || {
            last = last.wrapping_add(self.int()?);
            Ok(last)
        };
        (0..n).map(|_| next()).collect()
    }

    /// Each begins with so many bytes of the one before.
    fn names(&mut self, n: usize) -> Read<Vec<Vec<u8>>> {
        let (shared, own) = (self.uints(n)?, self.uints(n)?);
        let mut last: Vec<u8> = Vec::new();
        let mut name = |i: usize| {
            let keep = usize::try_from(shared[i]).unwrap_or(usize::MAX);
            if keep > last.len() {
                return Err("a name begins with more than the one before has".to_owned());
            }
            last.truncate(keep);
            last.extend(self.take(usize::try_from(own[i]).unwrap_or(usize::MAX))?);
            Ok(last.clone())
        };
        (0..n).map(&mut name).collect()
    }

    fn end(&self) -> Read<()> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err("there is more data than there should be".into())
        }
    }
}

/// What is told of a folder's own files.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
struct Sums {
    files: u64,
    bytes: u64,
    newest: i64,
    /// Of each device: there, on their way.
    devices: Vec<(u64, u64)>,
}

#[derive(Default)]
struct Folder {
    sums: Sums,
    base: Vec<(Vec<u8>, Listed)>,
    /// Places in the base that are gone.
    lost: Vec<usize>,
    gained: Vec<(Vec<u8>, Listed)>,
    gone: bool,
}

fn files(blocks: &[&str], log: &str, devices: usize) -> Read<BTreeMap<Vec<u8>, Listed>> {
    let width = devices.div_ceil(4);
    let mut folders = base(blocks, devices, width)?;
    for chunk in log.lines().filter(|line| !line.trim().is_empty()) {
        let raw = inflate(chunk)?;
        replay(&mut In(&raw), &mut folders, devices, width)?;
    }
    let mut files = BTreeMap::new();
    for (path, folder) in folders.iter().filter(|(_, folder)| !folder.gone) {
        let mut sums = Sums { devices: vec![(0, 0); devices], ..Sums::default() };
        let base = folder.base.iter().enumerate();
        let base = base.filter(|(i, _)| !folder.lost.contains(i)).map(|(_, file)| file);
        for (name, file) in base.chain(&folder.gained) {
            sums.newest = if sums.files == 0 { file.mtime } else { sums.newest.max(file.mtime) };
            sums.files += 1;
            sums.bytes += file.size;
            for (d, (there, moving)) in sums.devices.iter_mut().enumerate() {
                *there += u64::from(file.state(d) == 1);
                *moving += u64::from(file.state(d) == 2);
            }
            if files.insert(below(path, name), file.clone()).is_some() {
                return Err(format!("{} is listed twice", super::show(&below(path, name))));
            }
        }
        if sums != folder.sums {
            return Err(format!("the sums of {:?} are not those of its files", super::show(path)));
        }
    }
    Ok(files)
}

fn base(blocks: &[&str], devices: usize, width: usize) -> Read<BTreeMap<Vec<u8>, Folder>> {
    let (skeleton, sections) = blocks.split_first().ok_or("it has no data")?;
    let raw = inflate(skeleton)?;
    let mut skeleton = In(&raw);
    let (of, n, count) = (skeleton.count()?, skeleton.count()?, skeleton.count()?);
    if of != devices || count != sections.len() {
        return Err("the data is of other devices or sections".into());
    }
    let sizes = skeleton.uints(count)?;
    let (depths, names) = (skeleton.uints(n)?, skeleton.names(n)?);
    let (files, bytes, newest) = (skeleton.uints(n)?, skeleton.uints(n)?, skeleton.sums(n)?);
    let mut columns = Vec::new();
    for _ in 0..devices {
        columns.push((skeleton.uints(n)?, skeleton.uints(n)?));
    }
    skeleton.end()?;
    let mut rows = Vec::new();
    for (block, size) in sections.iter().zip(sizes) {
        let section = section(&inflate(block)?, width)?;
        if section.len() as u64 != size {
            return Err("a section has another number of files".into());
        }
        rows.extend(section);
    }
    let mut rows = rows.into_iter();
    let mut folders = BTreeMap::new();
    let mut above: Vec<Vec<u8>> = Vec::new();
    for i in 0..n {
        let depth = usize::try_from(depths[i]).unwrap_or(usize::MAX);
        if depth > above.len() || (depth == 0) != (i == 0) {
            return Err("a folder lies in none".into());
        }
        above.truncate(depth);
        let path = above.last().map_or_else(Vec::new, |parent| below(parent, &names[i]));
        above.push(path.clone());
        let base: Vec<_> = rows.by_ref().take(usize::try_from(files[i]).unwrap_or(0)).collect();
        let devices = columns.iter().map(|(there, moving)| (there[i], moving[i])).collect();
        let sums = Sums { files: files[i], bytes: bytes[i], newest: newest[i], devices };
        folders.insert(path, Folder { sums, base, ..Folder::default() });
    }
    if rows.next().is_some() || folders.len() != n {
        return Err("the sections and folders are not of each other".into());
    }
    Ok(folders)
}

fn section(raw: &[u8], width: usize) -> Read<Vec<(Vec<u8>, Listed)>> {
    let mut raw = In(raw);
    let n = raw.count()?;
    let (names, sizes, mtimes) = (raw.names(n)?, raw.uints(n)?, raw.sums(n)?);
    let planes = (0..width).map(|_| raw.take(n)).collect::<Read<Vec<_>>>()?;
    raw.end()?;
    let states = |i: usize| planes.iter().map(|plane| plane[i]).collect();
    let file = |i: usize| Listed { size: sizes[i], mtime: mtimes[i], states: states(i) };
    Ok(names.into_iter().enumerate().map(|(i, name)| (name, file(i))).collect())
}

/// The log: each entry says of one folder how it differs from the base, in place of what was said before.
fn replay(
    raw: &mut In<'_>,
    folders: &mut BTreeMap<Vec<u8>, Folder>,
    devices: usize,
    width: usize,
) -> Read<()> {
    while !raw.0.is_empty() {
        let kind = raw.take(1)?[0];
        let len = raw.count()?;
        let path = raw.take(len)?.to_vec();
        if kind == 0 {
            for (at, folder) in folders.iter_mut() {
                folder.gone |= super::rest(at, &path).is_some();
            }
            continue;
        }
        let (files, bytes, newest) = (raw.uint()?, raw.uint()?, raw.int()?);
        let counts = (0..devices).map(|_| Ok((raw.uint()?, raw.uint()?))).collect::<Read<_>>()?;
        let mut at = 0;
        let lost = raw.count()?;
        let lost = (0..lost).map(|_| {
            at += raw.count()?;
            Ok(at)
        });
        let lost = lost.collect::<Read<Vec<_>>>()?;
        let mut gained = Vec::new();
        for _ in 0..raw.count()? {
            let len = raw.count()?;
            let name = raw.take(len)?.to_vec();
            let (size, mtime) = (raw.uint()?, raw.int()?);
            gained.push((name, Listed { size, mtime, states: raw.take(width)?.to_vec() }));
        }
        let folder = folders.entry(path).or_default();
        folder.sums = Sums { files, bytes, newest, devices: counts };
        (folder.lost, folder.gained, folder.gone) = (lost, gained, false);
    }
    Ok(())
}
