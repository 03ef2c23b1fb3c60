//! Who holds links: a device, or a folder that is shared with other people. Both hold by the same rules, so plans, ledger
//! and engine know only this type; what differs is what it says of itself.

use super::{DeviceName, DeviceNameError, Name, Place, RelPath, Spot, show};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Before the name of a shared folder in the encoded text. No device can have such a name: there is a slash in it.
const SHARED: &str = "shared/";

/// Who holds links.
///
/// Its text ([`Self::encode`]) stands in the ledger, in worklists, on pages and in messages: the name of a device as it
/// is, that of a shared folder behind `shared/`. Holders are ordered as these texts are, because plans are made in that
/// order.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Holder {
    /// A device of the house: its names are those of the masters.
    Device(DeviceName),
    /// A folder in `shared/` that other people change, too: its names are those below the folder at home.
    SharedFolder(ShareName),
}

/// The name of a folder in `shared/`: one component of a path, without anything that [`show`] would replace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareName(Arc<str>);

impl ShareName {
    /// Checks a text and makes it the name of a folder in `shared/`.
    pub fn new(text: &str) -> Option<Self> {
        let fits = Name::new(text.as_bytes()).is_ok() && show(text.as_bytes()) == text;
        fits.then(|| Self::known(text))
    }

    /// The name of a share that is recorded: it was checked when the share was made.
    pub fn known(text: &str) -> Self {
        Self(text.into())
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ShareName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Holder {
    /// The folder `shared/<name>`. The name is that of a recorded share ([`ShareName::known`]).
    pub fn shared(name: &str) -> Self {
        Self::SharedFolder(ShareName::known(name))
    }

    /// Reads what [`Self::encode`] gave.
    pub fn decode(text: &str) -> Result<Self, DeviceNameError> {
        match text.strip_prefix(SHARED) {
            None => Ok(Self::Device(DeviceName::new(text)?)),
            Some(name) => match ShareName::new(name) {
                Some(name) => Ok(Self::SharedFolder(name)),
                None => Err(DeviceNameError(show(text.as_bytes()))),
            },
        }
    }

    /// The text that is stored: `tablet`, `shared/family`. It is the displayed one, too.
    pub fn encode(&self) -> String {
        let (kind, name) = self.parts();
        [kind, name].concat()
    }

    /// What the text begins with, by the kind of holder, and the name behind it.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Device(device) => ("", device.as_str()),
            Self::SharedFolder(name) => (SHARED, name.as_str()),
        }
    }

    /// The bare name, whatever it is the name of: `tablet`, `family`.
    pub fn name(&self) -> &str {
        self.parts().1
    }

    /// The device, if it is one.
    pub fn device(&self) -> Option<&DeviceName> {
        match self {
            Self::Device(device) => Some(device),
            Self::SharedFolder(_) => None,
        }
    }

    /// The name in `shared/`, if it is a folder there.
    pub fn shared_folder(&self) -> Option<&ShareName> {
        match self {
            Self::SharedFolder(name) => Some(name),
            Self::Device(_) => None,
        }
    }

    /// Where its links lie on the drive.
    pub fn root(&self) -> Spot {
        match self {
            Self::Device(device) => Place::Device(device.clone()).at(RelPath::root()),
            // A checked name is a path.
            Self::SharedFolder(name) => {
                Place::Shared.at(RelPath::new(name.as_str().as_bytes()).unwrap_or_default())
            }
        }
    }

    /// That folder as it is told to people, within `BTsync`: `devices/tablet`, `shared/family`.
    pub fn folder(&self) -> String {
        match self {
            Self::Device(device) => format!("devices/{device}"),
            Self::SharedFolder(name) => format!("{SHARED}{name}"),
        }
    }

    /// What stands before its name where something is said to be: "on tablet", "in shared/family".
    pub fn preposition(&self) -> &'static str {
        match self {
            Self::Device(_) => "on",
            Self::SharedFolder(_) => "in",
        }
    }

    /// True when it is told how far each link is on its way. Of other people's devices that is not.
    pub fn tells_delivery(&self) -> bool {
        match self {
            Self::Device(_) => true,
            Self::SharedFolder(_) => false,
        }
    }
}

impl Ord for Holder {
    fn cmp(&self, other: &Self) -> Ordering {
        let ((kind, name), (other_kind, other_name)) = (self.parts(), other.parts());
        match kind == other_kind {
            true => name.cmp(other_name),
            false => {
                let text = kind.bytes().chain(name.bytes());
                text.cmp(other_kind.bytes().chain(other_name.bytes()))
            }
        }
    }
}

impl PartialOrd for Holder {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, name) = self.parts();
        f.write_str(kind)?;
        f.write_str(name)
    }
}

impl fmt::Debug for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Holder {
    type Err = DeviceNameError;
    fn from_str(text: &str) -> Result<Self, DeviceNameError> {
        Self::decode(text)
    }
}

impl TryFrom<String> for Holder {
    type Error = DeviceNameError;
    fn try_from(text: String) -> Result<Self, DeviceNameError> {
        Self::decode(&text)
    }
}

impl From<Holder> for String {
    fn from(holder: Holder) -> Self {
        holder.encode()
    }
}

impl From<DeviceName> for Holder {
    fn from(device: DeviceName) -> Self {
        Self::Device(device)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn device(name: &str) -> Holder {
        Holder::Device(DeviceName::new(name).unwrap())
    }

    #[test]
    fn a_text_is_a_device_or_a_shared_folder_and_comes_back_as_it_was() {
        for (text, holder) in [
            ("tablet", device("tablet")),
            ("shared", device("shared")),
            ("shared.x", device("shared.x")),
            ("shared/family", Holder::shared("family")),
            ("shared/tablet", Holder::shared("tablet")),
            ("shared/Photos é", Holder::shared("Photos é")),
            ("shared/.-", Holder::shared(".-")),
        ] {
            assert_eq!(Holder::decode(text).as_ref(), Ok(&holder));
            assert_eq!(text.parse::<Holder>().as_ref(), Ok(&holder));
            assert_eq!((holder.encode(), holder.to_string()), (text.into(), text.into()));
            assert_eq!(format!("{holder:?}"), text);
            let json = serde_json::to_string(&holder).unwrap();
            assert_eq!(json, serde_json::to_string(text).unwrap());
            assert_eq!(serde_json::from_str::<Holder>(&json).unwrap(), holder);
        }
    }

    #[test]
    fn what_is_neither_is_refused_with_its_whole_text() {
        let long = format!("shared/{}", "x".repeat(256));
        for text in [
            "",
            "-x",
            "a b",
            "a/b",
            "/tablet",
            "Shared/family",
            "shared/",
            "shared/.",
            "shared/..",
            "shared/a/b",
            "shared/a\0",
            "shared/gpj.\u{202e}exe",
            &long,
        ] {
            let wrong = Holder::decode(text).unwrap_err();
            assert!(wrong.to_string().contains(&show(text.as_bytes())), "{wrong}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<Holder>(&json).is_err(), "{text}");
        }
        // The name of a device is never that of a shared folder.
        for text in ["shared/family", "shared/", "a/b"] {
            assert!(DeviceName::new(text).is_err(), "{text}");
            let json = serde_json::to_string(text).unwrap();
            assert!(serde_json::from_str::<DeviceName>(&json).is_err(), "{text}");
        }
    }

    #[test]
    fn says_what_it_is_and_where_its_links_lie() {
        let (tablet, family) = (device("tablet"), Holder::shared("family"));
        assert_eq!((tablet.name(), family.name()), ("tablet", "family"));
        assert_eq!(tablet.device().map(DeviceName::as_str), Some("tablet"));
        assert_eq!(family.shared_folder().map(ShareName::as_str), Some("family"));
        assert!(tablet.shared_folder().is_none() && family.device().is_none());
        assert!(tablet.tells_delivery() && !family.tells_delivery());
        assert_eq!((tablet.preposition(), family.preposition()), ("on", "in"));
        for (holder, folder) in [(tablet, "devices/tablet"), (family, "shared/family")] {
            assert_eq!(holder.folder(), folder);
            assert_eq!(holder.root().to_string(), format!("BTsync/{folder}"));
        }
    }

    #[test]
    fn shared_folders_stand_among_the_devices_by_their_text() {
        let mut all: Vec<Holder> =
            ["tablet", "shared/a", "shared", "sharee", "shared/Z", "shared-x"]
                .into_iter()
                .chain(["shared.x", "shared0", "A", "share", "shared/a-b", "zz", "shared/é"])
                .map(|text| Holder::decode(text).unwrap())
                .collect();
        let mut texts: Vec<String> = all.iter().map(Holder::encode).collect();
        all.sort();
        texts.sort();
        assert_eq!(all.iter().map(Holder::encode).collect::<Vec<_>>(), texts);
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_the_texts(a in "(shared/)?[a-s.][a-e/.-]{0,7}", b in "(shared/)?[a-s.][a-e/.-]{0,7}") {
            if let (Ok(one), Ok(other)) = (Holder::decode(&a), Holder::decode(&b)) {
                prop_assert_eq!(one.cmp(&other), a.cmp(&b));
                prop_assert_eq!(one == other, a == b);
            }
        }
    }
}
