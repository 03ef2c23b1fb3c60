//! Reads a page as its app does, from the description of the format alone.

use base64::Engine as _;
use std::collections::BTreeMap;
use std::io::Read as _;

/// How a file stands with a device, as a page tells it.
pub(crate) const ABSENT: u8 = 0;
pub(crate) const HERE: u8 = 1;
pub(crate) const MOVING: u8 = 2;

/// What a page says.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Of every file, its state on each device.
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// What is the same on all pages.
    pub(crate) house: serde_json::Value,
    /// What is particular to this one.
    pub(crate) own: serde_json::Value,
}

impl Page {
    /// Which number a device has in the states.
    fn device(&self, name: &str) -> usize {
        let devices = self.house["devices"].as_array().unwrap();
        devices.iter().position(|d| d["name"] == name).unwrap()
    }

    /// How a file stands with a device; absent too when the page does not know the file.
    pub(crate) fn state(&self, device: &str, path: &str) -> u8 {
        self.files.get(path).map_or(ABSENT, |states| states[self.device(device)])
    }

    /// Its number.
    #[allow(dead_code, reason = "the bench asks for it")]
    pub(crate) fn generation(&self) -> u64 {
        self.own["gen"].as_u64().unwrap()
    }

    /// State and text of the answer to a wish.
    pub(crate) fn answer(&self, id: &str) -> Option<(String, String)> {
        let answer = self.own["answers"].as_array()?.iter().find(|a| a["id"] == id)?;
        Some((answer["state"].as_str()?.to_owned(), answer["text"].as_str()?.to_owned()))
    }
}

fn inflate(block: &str) -> Vec<u8> {
    let packed = base64::engine::general_purpose::STANDARD.decode(block.trim()).unwrap();
    let mut raw = Vec::new();
    flate2::read::DeflateDecoder::new(&packed[..]).read_to_end(&mut raw).unwrap();
    raw
}

struct In<'a>(&'a [u8]);

impl In<'_> {
    fn uint(&mut self) -> usize {
        let (mut value, mut shift) = (0u128, 0);
        loop {
            let b = self.0[0];
            self.0 = &self.0[1..];
            value |= u128::from(b & 127) << shift;
            shift += 7;
            if b < 128 {
                // Times are signed and folded; nothing here needs them.
                return (value & u128::from(u64::MAX)) as usize;
            }
        }
    }

    fn column(&mut self, n: usize) -> Vec<usize> {
        (0..n).map(|_| self.uint()).collect()
    }

    fn bytes(&mut self, n: usize) -> Vec<u8> {
        let (head, rest) = self.0.split_at(n);
        self.0 = rest;
        head.to_vec()
    }

    fn names(&mut self, n: usize) -> Vec<Vec<u8>> {
        let (shared, own) = (self.column(n), self.column(n));
        let mut last = Vec::new();
        (0..n)
            .map(|i| {
                last.truncate(shared[i]);
                last.extend(self.bytes(own[i]));
                last.clone()
            })
            .collect()
    }
}

fn between<'t>(text: &'t str, open: &str, close: &str) -> Vec<&'t str> {
    text.split(open).skip(1).map(|part| part.split(close).next().unwrap()).collect()
}

type File = (Vec<u8>, Vec<u8>);

/// Reads a whole page; `None` when it is not whole, which a page never is for anybody who looks.
pub(crate) fn read(page: &[u8]) -> Option<Page> {
    let page = std::str::from_utf8(page).ok()?;
    let blocks = between(page, "<script type=\"text/plain\" class=\"data\">", "</script>");
    let json = |open: &str| between(page, open, "</script>").pop();
    let house = inflate(json("<script type=\"text/plain\" id=\"house\">")?);
    let own = json("<script type=\"application/json\" id=\"cfg\">")?;

    let raw = inflate(blocks.first()?);
    let mut skeleton = In(&raw);
    let (devices, folders, sections) = (skeleton.uint(), skeleton.uint(), skeleton.uint());
    let planes = devices.div_ceil(4);
    skeleton.column(sections);
    let mut files = Vec::<File>::new();
    for block in &blocks[1..] {
        let raw = inflate(block);
        let mut section = In(&raw);
        let n = section.uint();
        let names = section.names(n);
        section.column(2 * n);
        let columns: Vec<_> = (0..planes).map(|_| section.bytes(n)).collect();
        files.extend(
            names.into_iter().enumerate().map(|(i, name)| {
                (name, columns.iter().map(|column| column[i]).collect::<Vec<u8>>())
            }),
        );
    }
    let depths = skeleton.column(folders);
    let names = skeleton.names(folders);
    let counts = skeleton.column(folders);

    let mut base = BTreeMap::<Vec<u8>, Vec<File>>::new();
    let (mut trail, mut rest) = (Vec::<Vec<u8>>::new(), files.into_iter());
    for i in 0..folders {
        trail.truncate(depths[i].saturating_sub(1));
        if i > 0 {
            trail.push(names[i].clone());
        }
        base.insert(trail.join(&b'/'), rest.by_ref().take(counts[i]).collect());
    }
    let mut told = base.clone();
    for chunk in between(page, "id=\"log\">\n", "</script>").first()?.lines() {
        let raw = inflate(chunk);
        let mut log = In(&raw);
        while !log.0.is_empty() {
            let kind = log.bytes(1)[0];
            let length = log.uint();
            let at = log.bytes(length);
            if kind == 0 {
                let below = [&at[..], b"/"].concat();
                told.retain(|p, _| *p != at && !at.is_empty() && !p.starts_with(&below));
                continue;
            }
            log.column(3 + 2 * devices);
            let mut inside: BTreeMap<usize, File> =
                base.get(&at).cloned().unwrap_or_default().into_iter().enumerate().collect();
            let mut lost = 0;
            for _ in 0..log.uint() {
                lost += log.uint();
                inside.remove(&lost).unwrap();
            }
            let mut inside: Vec<File> = inside.into_values().collect();
            for _ in 0..log.uint() {
                let length = log.uint();
                let name = log.bytes(length);
                log.column(2);
                inside.push((name, log.bytes(planes)));
            }
            told.insert(at, inside);
        }
    }
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let mut out = Page {
        house: serde_json::from_slice(&house).ok()?,
        own: serde_json::from_str(own).ok()?,
        ..Page::default()
    };
    for (at, inside) in told {
        for (name, states) in inside {
            let path =
                if at.is_empty() { text(&name) } else { text(&[&at, &b"/"[..], &name].concat()) };
            let states = (0..devices).map(|d| states[d / 4] >> (2 * (d % 4)) & 3).collect();
            out.files.insert(path, states);
        }
    }
    Some(out)
}
