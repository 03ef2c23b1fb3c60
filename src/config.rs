//! The settings: the text of `larder.toml` in, one validated [`Config`] or a list of complaints out.
//!
//! Pure: whoever reads the file hands its text in. The rest of the house never sees a raw value.
//! A text with one mistake changes nothing: half a change could evict or refuse what the other half
//! allows. [`Settings`] keeps the last good ones meanwhile. The file is written by people who have
//! never seen its format, so every complaint has its line and says what to write instead.

mod complaint;
mod parse;
mod section;
mod settings;
mod value;

pub use complaint::Complaint;
pub use parse::{MAX_BYTES, hostname_of, parse, parse_bytes, parse_file, wifi_of};
pub use settings::look_alikes;
pub use settings::{Change, Settings};

use crate::model::dialect::SYNCTHING;
use crate::model::{Action, Bytes, DeviceName, Holder};
use std::collections::BTreeMap;

/// Everything the owner can set, validated.
#[derive(Clone, PartialEq, Debug)]
pub struct Config {
    /// `[nas]`.
    pub nas: Nas,
    /// `[devices.<name>]`, by name.
    pub devices: BTreeMap<DeviceName, Device>,
    /// `[night]`.
    pub night: Night,
    /// `[led]`.
    pub led: Led,
    /// `[web]`.
    pub web: Web,
    /// `[sync]`.
    pub sync: Sync,
    /// `[drive]`.
    pub drive: Drive,
    /// `[wifi]`.
    pub wifi: Option<Wifi>,
    /// `keep_versions`: how long old contents are kept, in seconds. Default 30 days.
    pub keep_versions: i64,
    /// `versions_share`: how much of the drive old contents may take, in per cent. Default 10.
    pub versions_share: u8,
    /// `undo`: how long a destroyed file waits before its content goes, in seconds. Default 7 days;
    /// 0: at once.
    pub undo: i64,
    /// What the file asks for that does not work yet: it is left out, and all else is in force.
    pub left_out: Vec<Complaint>,
}

/// `[nas]`: the appliance itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Nas {
    /// What people call it; shown on pages. Default "Larder".
    pub name: String,
    /// What it is to be called on the network (one label of RFC 1123, in lower case). Default "larder". Where another
    /// machine has that name it gets another one: the kernel's host name is the one that it really has.
    pub hostname: String,
    /// Time zone of the house (IANA name), for the night window. Default "UTC".
    pub timezone: String,
}

/// `[devices.<name>]`: one device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Device {
    /// What people call it; default its name.
    pub label: String,
    /// The sync engine's id of it; without one the device is asked for when it pairs.
    pub id: Option<String>,
    /// How much it may hold; `None` is no limit.
    pub quota: Option<Bytes>,
    /// What kind of device.
    pub role: Role,
    /// The wishes its page may make. Default all.
    pub may: Vec<Action>,
}

impl Device {
    /// A device with nothing set: no limit, and its page may wish what devices' pages may.
    pub fn named(name: &str) -> Self {
        Self {
            label: name.to_owned(),
            id: None,
            quota: None,
            role: Role::default(),
            may: Action::of_devices(),
        }
    }
}

/// What kind of device it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Role {
    /// A phone, tablet or computer.
    #[default]
    Device,
    /// Another NAS, which holds what it is told to.
    Nas,
    /// A machine that stores everything encrypted and can read nothing.
    Vault,
}

/// `[night]`: when work that can wait is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Night {
    /// Minutes after midnight, in the house's time zone. Default 01:00.
    pub from: u16,
    /// Minutes after midnight; before `from` it is on the next day. Default 05:00.
    pub to: u16,
    /// Join equal files by hard links. Default true.
    pub dedup: bool,
}

/// `[led]`: the status LED.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Led {
    /// BCM number of the header pin; `None` for the board's own LED alone. Default 17.
    pub pin: Option<u8>,
    /// The LED lights when the pin is low. Default false.
    pub active_low: bool,
}

/// `[web]`: the pages over the local network.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Web {
    /// Serve the common page on the local network. Default true.
    pub enabled: bool,
    /// TCP port. Default 8080.
    pub port: u16,
    /// The password of the page, 8 to 128 characters. It wins over one that was chosen on the page; with `None` that
    /// one counts.
    pub password: Option<String>,
    /// Show page and files to everybody on the local network; only wishes need the password. Default false.
    pub readers: bool,
}

/// `[sync]`: the sync engine that carries the bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sync {
    /// Run Syncthing. Without it something else has to carry the folders. Default true.
    pub enabled: bool,
    /// TCP port at which devices reach it. Default 22000.
    pub port: u16,
    /// Let devices away from home find us through Syncthing's servers and relays. Default false.
    pub internet: bool,
}

/// `[drive]`: what may be done with a drive that is not a Larder drive yet.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Drive {
    /// Serial number of the one drive to format, once.
    pub format: Option<String>,
    /// Serial number of the one drive with other files that may become the Larder drive: nothing
    /// on it is changed, Larder's folders come beside what is there.
    pub adopt: Option<String>,
    /// Copy the files of a drive that can't be used into `files/` of the Larder drive beside it.
    pub import: bool,
}

/// `[wifi]`: the wireless network to join.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wifi {
    /// Network name.
    pub ssid: String,
    /// Passphrase of 8 to 63 characters; `None` for an open network.
    pub password: Option<String>,
    /// Two-letter country, for the permitted channels.
    pub country: String,
}

impl Wifi {
    /// What wpa_supplicant(8) has to know of it (wpa_supplicant.conf(5)).
    pub fn to_wpa_supplicant(&self) -> String {
        // In hexadecimal, so that no character of a name can mean anything else.
        let ssid: String = self.ssid.bytes().map(|b| format!("{b:02x}")).collect();
        let country = match self.country.as_str() {
            "" => String::new(),
            country => format!("country={country}\n"),
        };
        // It takes all up to the last quote of the line as it is. As a passphrase, not as the key made of
        // it: SAE needs the passphrase.
        let key = match &self.password {
            Some(password) => {
                format!("psk=\"{password}\"\nkey_mgmt=WPA-PSK WPA-PSK-SHA256 SAE\nieee80211w=1")
            }
            None => "key_mgmt=NONE".into(),
        };
        format!("{country}network={{\nssid={ssid}\n{key}\n}}\n")
    }
}

impl Config {
    /// The settings of who holds links; `None` for a device that is not in them, and for who is no device.
    pub fn device(&self, holder: &Holder) -> Option<&Device> {
        self.devices.get(holder.device()?)
    }

    /// Above which links are evicted. From a shared folder none are: its limit ends what is taken from others.
    pub fn quota(&self, holder: &Holder) -> Option<Bytes> {
        self.device(holder)?.quota
    }

    /// What people call who holds links.
    pub fn label(&self, holder: &Holder) -> String {
        self.device(holder).map_or_else(|| holder.to_string(), |device| device.label.clone())
    }
}

/// The sync engine's id of a device in its usual form, or why a text is none: "is mistyped in …".
pub fn device_id(text: &str) -> Result<String, String> {
    SYNCTHING.read_id(text).map_err(|why| why.to_string())
}

/// A name that a device of the house may have, or why it may not and what to do.
pub fn device_name(text: &str) -> Result<DeviceName, String> {
    value::device_name(text).map_err(|wrong| format!("{}; {}", wrong.what, wrong.next))
}

/// The commented file that a new card carries: every setting in plain words, with its default.
///
/// A line that begins with `#` and no space is an example to be switched on by taking the `#` away.
pub fn example() -> &'static str {
    include_str!("config/larder.toml")
}

impl Default for Config {
    fn default() -> Self {
        Self {
            nas: Nas { name: "Larder".into(), hostname: "larder".into(), timezone: "UTC".into() },
            devices: BTreeMap::new(),
            night: Night { from: 60, to: 300, dedup: true },
            led: Led { pin: Some(17), active_low: false },
            web: Web { enabled: true, port: 8080, password: None, readers: false },
            sync: Sync { enabled: true, port: 22000, internet: false },
            drive: Drive::default(),
            wifi: None,
            keep_versions: 30 * 86_400,
            versions_share: 10,
            undo: 7 * 86_400,
            left_out: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
