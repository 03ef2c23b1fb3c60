//! Worklists: the wishes that a page carries home. Bytes in, wishes and diagnostics out.
//!
//! In come the bytes of a page, of a page's conflict copy or of a downloaded worklist file: all of
//! them written by somebody else's device, none of them trusted. Out come the wishes that are
//! whole, and for each of the others a [`Diagnostic`] that says what is wrong with it and, where
//! its identity could still be read, whose it is, so that the page can answer "refused: why".
//!
//! Never panics, never recurses with the depth of its input, takes time and memory in proportion
//! to the input (which is capped), and never lets one bad wish spoil another. It never decides
//! whether a wish may be fulfilled or who made it: that is proved by the folder the page came
//! through, not by what the page says of itself.

mod item;
pub mod mac;
mod page;
mod problem;
pub mod proof;
mod scan;

pub use page::{FindError, Kind, encode, file_kind, find, find_saved, put, put_text, to_json};
pub use problem::{Diagnostic, Problem};

use crate::model::{DeviceName, Wish};
use scan::{Damage, Elements, Members, Start};
use std::collections::HashSet;

/// Largest worklist that is read, in bytes. What lies beyond is told and left out.
pub const MAX_BYTES: usize = 1 << 20;
/// Most wishes that are read from one worklist.
pub const MAX_WISHES: usize = 10_000;
/// Most devices that one wish may name.
pub const MAX_DEVICES: usize = 64;
/// Longest text of the head (`page`, `key`) and of a wish's `with`, in bytes.
pub const MAX_TEXT: usize = 256;
/// Most diagnostics that belong to no wish; more are only counted. Those that belong to a wish
/// are bounded by [`MAX_WISHES`].
pub const MAX_LOOSE: usize = 100;
/// The newest version of the format. Version 1 carries the page's key, version 2 a seal made with it.
pub const VERSION: u64 = 2;
/// Longest `nonce`, in bytes.
pub const MAX_NONCE: usize = 64;

/// What one worklist says. `page`, `key`, `device` and `generation` are the page's claims about
/// itself, to be compared, never believed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Worklist {
    /// Which page; empty when it is not said.
    pub page: String,
    /// The page's key, in version 1; empty when it is not said.
    pub key: String,
    /// The version of the format; 0 when it is not said, or unknown.
    pub version: u64,
    /// What the page drew for this save, to know its answer by; empty when it is not said.
    pub nonce: String,
    /// The device whose page it is; `None` on the common page. Has the form of a device name.
    pub device: Option<String>,
    /// The generation of the catalogue that the page showed; 0 when it is not said.
    pub generation: u64,
    /// The wishes that are whole, in their order, every identity once.
    pub wishes: Vec<Wish>,
    /// What is wrong with the rest. A diagnostic that carries an identity is the answer to that
    /// wish: the identity is not among `wishes`, nor on another diagnostic.
    pub diagnostics: Vec<Diagnostic>,
}

/// Reads a worklist: what [`find`] found in a page, or a downloaded file.
///
/// Fields that are not known are ignored, so that an older Larder reads a newer page; so is an
/// unknown version, which is told. What is damaged from some byte on is read up to there.
pub fn parse(text: &[u8]) -> Worklist {
    let mut reader = Reader::default();
    reader.read(text);
    reader.finish()
}

#[derive(Default)]
struct Reader {
    list: Worklist,
    ids: HashSet<crate::model::WishId>,
    seen: usize,
    too_many: usize,
    loose: usize,
    more: usize,
}

impl Reader {
    fn read(&mut self, text: &[u8]) {
        let too_long = text.len() > MAX_BYTES;
        if too_long {
            self.tell(Problem::TooLong(text.len()));
        }
        let text = &text[..text.len().min(MAX_BYTES)];
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        // Bytes that are no UTF-8 become U+FFFD, and the wishes that have one are refused: damage
        // in one wish must not cost the others.
        let text = String::from_utf8_lossy(text);
        let mut members = match Members::open(&text) {
            Start::Object(members) => members,
            Start::Nothing => return self.tell(Problem::Empty),
            Start::Other => return self.tell(Problem::NoList),
        };
        let mut fields = Fields::default();
        loop {
            match members.next() {
                Ok(Some((name, value))) => self.field(&mut fields, &name, value),
                Ok(None) => break,
                // A list cut off within `items` still has the wishes before the cut.
                Err(Damage { at, unfinished }) => {
                    if let Some((name, value)) = unfinished.filter(|(name, _)| name == "items") {
                        self.field(&mut fields, &name, value);
                    }
                    // What is beyond the cap was cut off by us, and told.
                    if !too_long {
                        self.tell(Problem::Damaged(at));
                    }
                    return;
                }
            }
        }
        if !members.rest().trim().is_empty() {
            self.tell(Problem::Trailing);
        }
        fields.missing(self.list.version).for_each(|name| self.tell(Problem::Missing(name)));
    }

    fn field(&mut self, fields: &mut Fields, name: &str, value: &str) {
        let Some(known) = fields.note(name) else { return };
        if !known.first {
            return self.tell(Problem::Twice(known.name));
        }
        match known.name {
            "v" => match serde_json::from_str::<u64>(value) {
                Ok(version @ 1..=VERSION) => self.list.version = version,
                _ => self.tell(Problem::Version(problem::clip(value))),
            },
            "page" => self.list.page = self.text("page", value).unwrap_or_default(),
            "key" => self.list.key = self.text("key", value).unwrap_or_default(),
            "nonce" => match self.text("nonce", value) {
                Some(nonce)
                    if nonce.len() <= MAX_NONCE && nonce.bytes().all(|b| b.is_ascii_graphic()) =>
                {
                    self.list.nonce = nonce;
                }
                Some(_) => self.tell(Problem::Type("nonce", "at most 64 letters and digits")),
                None => {}
            },
            "device" if value == "null" => {}
            "device" => {
                if let Some(text) = self.text("device", value) {
                    match DeviceName::new(&text) {
                        Ok(_) => self.list.device = Some(text),
                        Err(error) => self.tell(Problem::Device(error)),
                    }
                }
            }
            "gen" => match serde_json::from_str(value) {
                Ok(generation) => self.list.generation = generation,
                Err(_) => self.tell(Problem::Type("gen", "a whole number")),
            },
            _ => self.items(value),
        }
    }

    fn text(&mut self, name: &'static str, value: &str) -> Option<String> {
        match serde_json::from_str::<String>(value) {
            Ok(text) if text.len() <= MAX_TEXT => return Some(text),
            Ok(_) => self.tell(Problem::TextTooLong(name)),
            Err(_) => self.tell(Problem::Type(name, "a text")),
        }
        None
    }

    fn items(&mut self, value: &str) {
        let Some(elements) = Elements::open(value) else {
            return self.tell(Problem::Type("items", "a list"));
        };
        for element in elements {
            if self.seen == MAX_WISHES {
                self.too_many += 1;
                continue;
            }
            self.seen += 1;
            self.item(element);
        }
    }

    fn item(&mut self, text: &str) {
        let (id, outcome) = item::read(text);
        if id.is_some_and(|id| !self.ids.insert(id)) {
            // Carries no identity: the answer belongs to the first.
            return self.tell_about(self.seen, Problem::Repeated);
        }
        match (outcome, id) {
            (Ok(wish), _) => self.list.wishes.push(wish),
            (Err(problem), None) => self.tell_about(self.seen, problem),
            (Err(problem), Some(_)) => {
                self.list.diagnostics.push(Diagnostic { wish: id, item: self.seen, problem });
            }
        }
    }

    /// Notes a problem of the whole list.
    fn tell(&mut self, problem: Problem) {
        self.tell_about(0, problem);
    }

    /// Notes a problem that no wish answers for.
    fn tell_about(&mut self, item: usize, problem: Problem) {
        if self.loose == MAX_LOOSE {
            self.more += 1;
        } else {
            self.loose += 1;
            self.list.diagnostics.push(Diagnostic { wish: None, item, problem });
        }
    }

    fn finish(mut self) -> Worklist {
        for (count, problem) in [
            (self.too_many, Problem::TooMany(self.too_many)),
            (self.more, Problem::More(self.more)),
        ] {
            if count > 0 {
                self.list.diagnostics.push(Diagnostic { wish: None, item: 0, problem });
            }
        }
        self.list
    }
}

/// Which fields of the head have come.
#[derive(Default)]
struct Fields([bool; NAMES.len()]);

const NAMES: [&str; 7] = ["v", "page", "key", "device", "gen", "items", "nonce"];

struct Known {
    name: &'static str,
    first: bool,
}

impl Fields {
    fn note(&mut self, name: &str) -> Option<Known> {
        let i = NAMES.iter().position(|&known| known == name)?;
        let first = !std::mem::replace(&mut self.0[i], true);
        Some(Known { name: NAMES[i], first })
    }

    /// The fields that did not come and should have: all but `device`, which the common page lacks, and but `key` in
    /// version 2 and `nonce`, which version 1 does not have.
    fn missing(&self, version: u64) -> impl Iterator<Item = &'static str> {
        let came = self.0;
        let needed = move |name| match name {
            "device" | "nonce" => false,
            "key" => version < 2,
            _ => true,
        };
        (0..NAMES.len()).filter(move |&i| !came[i] && needed(NAMES[i])).map(|i| NAMES[i])
    }
}

#[cfg(test)]
mod tests;
