//! Wishes: what somebody asks for on a page, checked, before anybody acts on it.

use super::{Action, DeviceName, FileId, Holder, RelPath, Time};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The identity of a wish: 20 hexadecimal digits that its page drew by lot. A wish takes effect
/// once, however often and from wherever it arrives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WishId([u8; 10]);

impl WishId {
    /// Reads 20 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 20 {
            return None;
        }
        let mut id = [0; 10];
        for (i, &d) in digits.iter().enumerate() {
            let value = match d {
                b'0'..=b'9' => d - b'0',
                b'a'..=b'f' => d - b'a' + 10,
                _ => return None,
            };
            id[i / 2] = id[i / 2] << 4 | value;
        }
        Some(Self(id))
    }
}

impl fmt::Display for WishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Debug for WishId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What the page showed when the wish was made: of a file its size and mtime; of a folder the sum
/// of the sizes and the newest mtime of the files in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Seen {
    /// Bytes.
    pub size: u64,
    /// Seconds since 1970 (pages do not carry nanoseconds).
    pub mtime: i64,
}

impl Seen {
    /// True when a file is still the one that was seen.
    pub fn matches(&self, id: &FileId) -> bool {
        self.size == id.size && self.mtime == id.mtime.secs()
    }
}

impl Serialize for WishId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for WishId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        Self::parse(&text)
            .ok_or_else(|| serde::de::Error::custom("an id is 20 lower-case hexadecimal digits"))
    }
}

/// One wish, checked for form. Whether it can be fulfilled is the plan's matter.
///
/// Its serialized form is the ledger's; worklists are read by the room `worklist`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wish {
    /// Its identity.
    pub id: WishId,
    /// What to do.
    pub action: Action,
    /// To what: a path within `files/`.
    pub path: RelPath,
    /// The devices it is for, or a shared folder; empty means the page's own.
    pub to: Vec<Holder>,
    /// `move`: the device it comes from; without it the page's own.
    pub from: Option<DeviceName>,
    /// `share`: a word for whom it is. `mkdir`, `share-folder`: nothing. `undo`: the number of the
    /// version to bring back. `accept`, `refuse`: the id of the device that asks.
    pub with: Option<String>,
    /// `share-folder`: the limit in MB; -1 is none.
    pub limit_mb: Option<i64>,
    /// What the page showed.
    pub seen: Option<Seen>,
    /// When it was pressed, by the clock of the device.
    pub at: Time,
}

/// Whose wishes they are, proved by the folder that the page came through.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Origin {
    /// The common page, which never leaves the house: the owner's.
    Home,
    /// The page in a device's folder.
    Device(DeviceName),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Home => f.write_str("the common page"),
            Self::Device(device) => write!(f, "{device}"),
        }
    }
}

/// What became of a wish.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "state", content = "text", rename_all = "kebab-case")]
pub enum Answer {
    /// It is done, and on the disk. The text says what, in words.
    Done(String),
    /// It will be done when something else has happened; the text says what we wait for.
    Waiting(String),
    /// It will not be done; the text says why and what can be done instead.
    Refused(String),
}
