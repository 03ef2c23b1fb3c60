//! Paths and names as the drive has them: bytes, relative, and never leaving their folder.

use super::DeviceName;
use std::fmt;

/// Longest path, in bytes (Linux `PATH_MAX`, path_resolution(7)).
const MAX_PATH: usize = 4096;
/// Longest component, in bytes (`NAME_MAX` of ext4, btrfs and xfs).
const MAX_NAME: usize = 255;
/// Deepest nesting that we follow.
const MAX_DEPTH: usize = 64;
const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// One component of a path: 1 to 255 bytes, no `/`, no NUL, neither `.` nor `..`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// A path below one of the house's folders: components that are each a [`Name`], joined by `/`.
/// The empty path is the folder itself. At most 4,096 bytes and 64 components.
///
/// Ordered component by component, so that a folder's content follows it directly.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RelPath(Box<[u8]>);

/// Why bytes are not a path that we accept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// More than 4,096 bytes.
    #[error("the path is longer than 4,096 bytes; shorten the names of its folders")]
    TooLong,
    /// More than 64 folders deep.
    #[error("the path is more than 64 folders deep; move it further up")]
    TooDeep,
    /// A component of more than 255 bytes.
    #[error("a name in the path is longer than 255 bytes; shorten it")]
    NameTooLong,
    /// Nothing between two slashes, or a slash at an end.
    #[error("the path has an empty name; it must not begin or end with `/` nor contain `//`")]
    EmptyName,
    /// `.` or `..`.
    #[error("the path has `.` or `..` in it; name the file from the top folder down")]
    Dots,
    /// A NUL byte.
    #[error("the path has a NUL byte, which no file system stores")]
    Nul,
    /// `%` not followed by two hexadecimal digits.
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    Percent,
}

impl Name {
    /// Checks bytes and makes them a name.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        check_name(bytes)?;
        Ok(Self(bytes.into()))
    }
}

impl RelPath {
    /// The folder itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// Checks raw bytes and makes them a path. Empty is the root.
    pub fn new(bytes: &[u8]) -> Result<Self, PathError> {
        if bytes.len() > MAX_PATH {
            return Err(PathError::TooLong);
        }
        if !bytes.is_empty() {
            let mut depth = 0;
            for name in bytes.split(|&b| b == b'/') {
                check_name(name)?;
                depth += 1;
            }
            if depth > MAX_DEPTH {
                return Err(PathError::TooDeep);
            }
        }
        Ok(Self(bytes.into()))
    }

    /// Reads the percent-encoded form in which pages write paths (`Photos/a%20b.jpg`). The result
    /// is checked after decoding, so an encoded `/..` gains nothing.
    pub fn from_percent(text: &str) -> Result<Self, PathError> {
        let mut bytes = Vec::with_capacity(text.len());
        let mut rest = text.bytes();
        while let Some(b) = rest.next() {
            if b != b'%' {
                bytes.push(b);
                continue;
            }
            let mut digit = || rest.next().and_then(|d| char::from(d).to_digit(16));
            match (digit(), digit()) {
                // Two hexadecimal digits are below 256.
                (Some(high), Some(low)) => bytes.push((high * 16 + low) as u8),
                _ => return Err(PathError::Percent),
            }
        }
        Self::new(&bytes)
    }

    /// The percent-encoded form: every byte outside `A-Za-z0-9-._~/` as `%XX`.
    pub fn to_percent(&self) -> String {
        let mut text = String::with_capacity(self.0.len() + 8);
        for &b in &*self.0 {
            if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'/') {
                text.push(char::from(b));
            } else {
                text.push('%');
                text.push(char::from(HEX[usize::from(b >> 4)]));
                text.push(char::from(HEX[usize::from(b & 15)]));
            }
        }
        text
    }

    /// True when a name of so many bytes below this folder is a path that we accept.
    pub fn has_room_for(&self, name: usize) -> bool {
        let slash = usize::from(!self.is_root());
        self.0.len() + slash + name <= MAX_PATH && self.depth() < MAX_DEPTH
    }

    /// The raw bytes, components joined by `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the folder itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The components from the top down.
    pub fn names(&self) -> impl DoubleEndedIterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|name| !name.is_empty())
    }

    /// How many components.
    pub fn depth(&self) -> usize {
        self.names().count()
    }

    /// The last component; `None` for the root.
    pub fn name(&self) -> Option<&[u8]> {
        self.names().next_back()
    }

    /// The folder this lies in; `None` for the root.
    pub fn parent(&self) -> Option<RelPath> {
        if self.is_root() {
            return None;
        }
        let cut = self.0.iter().rposition(|&b| b == b'/').unwrap_or(0);
        Some(Self(self.0[..cut].into()))
    }

    /// Every folder above, the root first.
    pub fn ancestors(&self) -> Vec<RelPath> {
        let mut all = Vec::new();
        let mut at = self.parent();
        while let Some(path) = at {
            at = path.parent();
            all.push(path);
        }
        all.reverse();
        all
    }

    /// This path and one more component.
    pub fn join(&self, name: &[u8]) -> Result<RelPath, PathError> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        if name.is_empty() || name.contains(&b'/') {
            return Err(PathError::EmptyName);
        }
        Self::new(&bytes)
    }

    /// True when this is `folder` or lies anywhere below it.
    pub fn is_within(&self, folder: &RelPath) -> bool {
        folder.is_root()
            || self.0 == folder.0
            || (self.0.starts_with(&folder.0) && self.0.get(folder.0.len()) == Some(&b'/'))
    }
}

fn check_name(name: &[u8]) -> Result<(), PathError> {
    match name {
        [] => Err(PathError::EmptyName),
        b"." | b".." => Err(PathError::Dots),
        _ if name.len() > MAX_NAME => Err(PathError::NameTooLong),
        _ if name.contains(&0) => Err(PathError::Nul),
        _ if name.contains(&b'/') => Err(PathError::EmptyName),
        _ => Ok(()),
    }
}

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.names().cmp(other.names())
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// Bytes of a name or path for people: UTF-8 where it is, with control and bidirectional
/// formatting characters and broken bytes shown as `▯`, so that no name can dress up a line.
pub fn show(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            let hides = c.is_control()
                || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                    | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}');
            text.push(if hides { '▯' } else { c });
        }
        if !chunk.invalid().is_empty() {
            text.push('▯');
        }
    }
    text
}

impl serde::Serialize for RelPath {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.to_percent())
    }
}

impl<'de> serde::Deserialize<'de> for RelPath {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(from)?;
        Self::from_percent(&text).map_err(serde::de::Error::custom)
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&show(&self.0))
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// One of the house's folders on the drive.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// `BTsync/files`: the masters.
    Files,
    /// `BTsync/devices/<device>`: what one device holds.
    Device(DeviceName),
    /// `BTsync/catalogue`: the pages.
    Catalogue,
    /// `BTsync/shared`: shares.
    Shared,
    /// `BTsyncApp/versions`: old contents, each in a folder named by its number.
    Versions,
    /// `BTsyncApp/tmp`: names in transit, emptied by recovery.
    Tmp,
}

impl Place {
    /// Where the folder lies below the drive's root.
    pub fn folder(&self) -> String {
        match self {
            Self::Files => "BTsync/files".into(),
            Self::Device(device) => format!("BTsync/devices/{device}"),
            Self::Catalogue => "BTsync/catalogue".into(),
            Self::Shared => "BTsync/shared".into(),
            Self::Versions => "BTsyncApp/versions".into(),
            Self::Tmp => "BTsyncApp/tmp".into(),
        }
    }

    /// A place and a path below it.
    pub fn at(self, path: RelPath) -> Spot {
        Spot { place: self, path }
    }
}

/// One name on the drive: a path within one of the house's folders, which it never leaves.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Spot {
    /// Which folder.
    pub place: Place,
    /// Where in it.
    pub path: RelPath,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.place.folder())?;
        if !self.path.is_root() {
            write!(f, "/{}", self.path)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_a_file_system_stores() {
        for good in ["a", "a/b", "Photos/2012/a b.jpg", "...", "a/.b", "\u{202e}x"] {
            assert!(RelPath::new(good.as_bytes()).is_ok(), "{good:?}");
        }
        assert!(RelPath::new(b"\xff\xfe/\n").is_ok());
        assert!(RelPath::root().is_root());
    }

    #[test]
    fn refuses_what_would_leave_the_folder_or_overflow() {
        let long = [b'x'; 256];
        let deep = vec!["d"; 65].join("/");
        let huge = vec!["dddddddddd"; 400].join("/");
        for (bad, why) in [
            (&b"/a"[..], PathError::EmptyName),
            (b"a/", PathError::EmptyName),
            (b"a//b", PathError::EmptyName),
            (b"..", PathError::Dots),
            (b"a/../b", PathError::Dots),
            (b"./a", PathError::Dots),
            (b"a\0b", PathError::Nul),
            (&long, PathError::NameTooLong),
            (deep.as_bytes(), PathError::TooDeep),
            (huge.as_bytes(), PathError::TooLong),
        ] {
            assert_eq!(RelPath::new(bad), Err(why), "{}", bad.escape_ascii());
        }
    }

    #[test]
    fn percent_form_is_checked_after_decoding_and_round_trips() {
        assert_eq!(RelPath::from_percent("a%2f..%2fb"), Err(PathError::Dots));
        assert_eq!(RelPath::from_percent("%2e%2e"), Err(PathError::Dots));
        assert_eq!(RelPath::from_percent("a%00"), Err(PathError::Nul));
        for bad in ["%", "%4", "%zz", "a%+1"] {
            assert_eq!(RelPath::from_percent(bad), Err(PathError::Percent), "{bad}");
        }
        let path = RelPath::new(b"Caf\xc3\xa9/\xff %").unwrap();
        assert_eq!(path.to_percent(), "Caf%C3%A9/%FF%20%25");
        assert_eq!(RelPath::from_percent(&path.to_percent()), Ok(path));
    }

    #[test]
    fn knows_its_folders() {
        let path = RelPath::new(b"a/b/c").unwrap();
        assert_eq!(path.name(), Some(&b"c"[..]));
        assert_eq!(path.parent().unwrap().as_bytes(), b"a/b");
        assert_eq!(path.ancestors().len(), 3);
        assert!(path.is_within(&RelPath::root()));
        assert!(path.is_within(&RelPath::new(b"a/b").unwrap()));
        assert!(!path.is_within(&RelPath::new(b"a/bb").unwrap()));
        assert!(!RelPath::new(b"a/bb").unwrap().is_within(&RelPath::new(b"a/b").unwrap()));
        assert!(RelPath::new(b"a/b").unwrap() < RelPath::new(b"a!").unwrap());
    }

    #[test]
    fn names_cannot_dress_up_a_line() {
        assert_eq!(show(b"a\x1b[31m\xff\nb"), "a▯[31m▯▯b");
        assert_eq!(show("gpj.\u{202e}exe".as_bytes()), "gpj.▯exe");
    }
}
