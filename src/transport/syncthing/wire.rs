//! Syncthing's JSON and our words, both ways. Pure.

use super::Settings;
use crate::model::dialect::STFOLDER;
use crate::model::{Bytes, RelPath, Time};
use crate::transport::{
    Change, Folder, FolderId, Kind, Mode, Password, Peer, PeerId, Pending, PendingFolder,
    PendingPeer, Status,
};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// What a folder or peer is reported to be called when its fixed settings are not ours. No wanted
/// name has a control character, so it is put again.
pub(super) const MEDDLED: &str = "\u{1}changed by hand";

/// The settings that every folder has, whatever it is for. Measured for a small Pi.
pub(super) fn folder_settings() -> Value {
    json!({
        "fsWatcherEnabled": true,
        "fsWatcherDelayS": 1,
        // What is changed through another name of a file is told by us, so the hourly look at
        // everything, which keeps the drive from resting, is not needed.
        "rescanIntervalS": 86_400,
        // Links share their inode with the master: nobody else sets its mode, owner or attributes.
        "ignorePerms": true,
        "syncOwnership": false,
        "sendOwnership": false,
        "syncXattrs": false,
        "sendXattrs": false,
        "autoNormalize": true,
        // Every conflicting content is kept.
        "maxConflicts": -1,
        "ignoreDelete": false,
        "versioning": { "type": "" },
        "markerName": STFOLDER.name,
        "minDiskFree": { "value": 1, "unit": "%" },
        "hashers": 1,
        "copiers": 1,
        "pullerMaxPendingKiB": 16_384,
        "scanProgressIntervalS": -1,
        "caseSensitiveFS": true,
        "copyRangeMethod": "all",
        // 2.x waits a second for more before it takes anything; 1.x does not know this.
        "pullerDelayS": 0.1,
        "junctionsAsDirs": false,
        "disableFsync": false,
    })
}

fn peer_settings() -> Value {
    json!({
        "autoAcceptFolders": false,
        "introducer": false,
        "compression": "metadata",
    })
}

/// The options as REST names them; [`Settings::options_xml`] has them for the file.
pub(super) fn options(settings: &Settings) -> Value {
    json!({
        "listenAddresses": settings.listen,
        "globalAnnounceEnabled": settings.global_discovery,
        "localAnnounceEnabled": settings.local_discovery,
        "relaysEnabled": settings.relays,
        "natEnabled": settings.nat,
        "urAccepted": -1,
        "crashReportingEnabled": false,
        "autoUpgradeIntervalH": 0,
        "startBrowser": false,
        "progressUpdateIntervalS": settings.progress_s,
        "maxFolderConcurrency": settings.folders_at_once,
        "maxConcurrentIncomingRequestKiB": 32_768,
        "databaseTuning": "small",
        "reconnectionIntervalS": settings.reconnect_s.max(5),
        "maxRecvKbps": 0,
        "maxSendKbps": settings.max_send_kbps,
        "limitBandwidthInLan": settings.max_send_kbps > 0,
    })
}

/// Whether everything that `ours` says and `theirs` knows is so. What the other version does not
/// know is no difference.
pub(super) fn agrees(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.iter().all(|(k, v)| theirs.get(k).is_none_or(|t| agrees(v, t)))
        }
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (a, b) => a == b,
    }
}

/// A peer for POST `/rest/config/devices`.
pub(super) fn put_peer(id: &PeerId, peer: &Peer, paused: bool) -> Value {
    let addresses: Vec<&str> = if peer.addresses.is_empty() {
        vec!["dynamic"]
    } else {
        peer.addresses.iter().map(String::as_str).collect()
    };
    // Syncthing gives a peer without a name the one it calls itself by.
    let name = if peer.name.is_empty() { id.short() } else { &peer.name };
    let mut value = peer_settings();
    extend(
        &mut value,
        json!({
            "deviceID": id,
            "name": name,
            "addresses": addresses,
            "untrusted": peer.untrusted,
            "paused": paused,
        }),
    );
    value
}

/// A folder for POST `/rest/config/folders`.
pub(super) fn put_folder(id: &FolderId, folder: &Folder) -> Value {
    let mut value = folder_settings();
    let peers: Vec<Value> = folder
        .peers
        .iter()
        .map(|(peer, secret)| {
            let secret = secret.as_ref().map_or("", |s| &s.0);
            json!({ "deviceID": peer, "encryptionPassword": secret })
        })
        .collect();
    extend(
        &mut value,
        json!({
            "id": id,
            "label": folder.label,
            "path": folder.path,
            "type": match folder.mode {
                Mode::SendReceive => "sendreceive",
                Mode::SendOnly => "sendonly",
                Mode::ReceiveOnly => "receiveonly",
                Mode::ReceiveEncrypted => "receiveencrypted",
            },
            "devices": peers,
            "paused": false,
        }),
    );
    value
}

fn extend(value: &mut Value, more: Value) {
    if let (Value::Object(value), Value::Object(more)) = (value, more) {
        value.extend(more);
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawPeer {
    #[serde(rename = "deviceID")]
    id: PeerId,
    name: String,
    addresses: Vec<String>,
    #[serde(default)]
    untrusted: bool,
    #[serde(default)]
    paused: bool,
}

/// A peer as GET `/rest/config/devices` has it.
pub(super) fn read_peer(value: &Value, paused: bool) -> Result<(PeerId, Peer), serde_json::Error> {
    let raw = RawPeer::deserialize(value)?;
    let addresses = if raw.addresses == ["dynamic"] { Vec::new() } else { raw.addresses };
    let name = if !agrees(&peer_settings(), value) || raw.paused != paused {
        MEDDLED.into()
    } else if raw.name == raw.id.short() {
        String::new()
    } else {
        raw.name
    };
    Ok((raw.id, Peer { name, addresses, untrusted: raw.untrusted }))
}

#[derive(Deserialize)]
struct RawFolder {
    id: FolderId,
    label: String,
    path: std::path::PathBuf,
    #[serde(rename = "type")]
    mode: String,
    #[serde(default)]
    devices: Vec<RawMember>,
    #[serde(default)]
    paused: bool,
}

#[derive(Deserialize)]
struct RawMember {
    #[serde(rename = "deviceID")]
    id: PeerId,
    #[serde(rename = "encryptionPassword", default)]
    secret: String,
}

/// A folder as GET `/rest/config/folders` has it, without ourselves.
pub(super) fn read_folder(
    value: &Value,
    own: &PeerId,
) -> Result<(FolderId, Folder), serde_json::Error> {
    let raw = RawFolder::deserialize(value)?;
    let mode = match raw.mode.as_str() {
        "sendonly" => Mode::SendOnly,
        "receiveonly" => Mode::ReceiveOnly,
        "receiveencrypted" => Mode::ReceiveEncrypted,
        _ => Mode::SendReceive,
    };
    let peers: BTreeMap<PeerId, Option<Password>> = raw
        .devices
        .into_iter()
        .filter(|m| m.id != *own)
        .map(|m| (m.id, (!m.secret.is_empty()).then_some(Password(m.secret))))
        .collect();
    let ours = agrees(&folder_settings(), value) && !raw.paused;
    let label = if ours { raw.label } else { MEDDLED.into() };
    Ok((raw.id, Folder { label, path: raw.path, mode, peers }))
}

/// GET `/rest/db/completion`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
pub(super) struct Completion {
    pub(super) need_items: u64,
    pub(super) need_deletes: u64,
    pub(super) need_bytes: u64,
    pub(super) global_bytes: u64,
    pub(super) remote_state: String,
}

impl Completion {
    pub(super) fn status(&self) -> Status {
        Status {
            need_items: self.need_items + self.need_deletes,
            need_bytes: Bytes(self.need_bytes),
            total_bytes: Bytes(self.global_bytes),
            valid: self.remote_state == "valid",
        }
    }
}

/// GET `/rest/db/status`, and the summary in events.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Summary {
    need_total_items: u64,
    need_bytes: u64,
    local_bytes: u64,
    state: String,
    pub(super) errors: u64,
}

impl Summary {
    pub(super) fn status(&self) -> Status {
        Status {
            need_items: self.need_total_items,
            need_bytes: Bytes(self.need_bytes),
            total_bytes: Bytes(self.local_bytes),
            valid: !matches!(self.state.as_str(), "error" | "unknown" | ""),
        }
    }
}

/// GET `/rest/db/file`.
#[derive(Deserialize)]
pub(super) struct FileInfo {
    #[serde(default)]
    pub(super) availability: Option<Vec<Availability>>,
    #[serde(default)]
    pub(super) global: Version,
    #[serde(default)]
    pub(super) local: Version,
}

#[derive(Deserialize)]
pub(super) struct Availability {
    pub(super) id: PeerId,
    #[serde(default, rename = "fromTemporary")]
    pub(super) from_temporary: bool,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Version {
    pub(super) deleted: bool,
    pub(super) invalid: bool,
    pub(super) ignored: bool,
    pub(super) modified_by: String,
    pub(super) num_blocks: u64,
    pub(super) version: Option<Vec<String>>,
}

impl FileInfo {
    /// The path is here, as it should be everywhere.
    pub(super) fn is_here(&self) -> bool {
        let local = &self.local;
        !local.deleted
            && !local.invalid
            && !local.ignored
            && local.version.as_ref().is_some_and(|v| !v.is_empty())
            && local.version == self.global.version
    }
}

/// GET `/rest/db/remoteneed`.
#[derive(Deserialize)]
pub(super) struct Needed {
    #[serde(default)]
    pub(super) files: Option<Vec<NeededFile>>,
}

#[derive(Deserialize)]
pub(super) struct NeededFile {
    pub(super) name: String,
}

/// GET `/rest/cluster/pending/…`.
pub(super) fn pending(peers: &Value, folders: &Value) -> Pending {
    let text = |v: &Value, key: &str| v[key].as_str().unwrap_or_default().to_owned();
    let empty = Map::new();
    let mut all = Pending::default();
    for (id, info) in peers.as_object().unwrap_or(&empty) {
        if let Ok(id) = PeerId::new(id) {
            all.peers.push(PendingPeer {
                id,
                name: text(info, "name"),
                address: text(info, "address"),
                since: info["time"].as_str().and_then(time),
            });
        }
    }
    for (id, info) in folders.as_object().unwrap_or(&empty) {
        for (peer, offer) in info["offeredBy"].as_object().unwrap_or(&empty) {
            // A folder whose id we could not even write down is not offered to anybody.
            if let (Ok(id), Ok(peer)) = (FolderId::new(id), PeerId::new(peer)) {
                all.folders.push(PendingFolder { id, peer, label: text(offer, "label") });
            }
        }
    }
    all
}

/// An address where it should listen and does not, by `/rest/system/status`, and why. Relays and what
/// is not tried are not meant.
pub(super) fn deaf(status: &Value) -> Option<(String, String)> {
    let all = status["connectionServiceStatus"].as_object()?;
    let mut failing = all.iter().filter(|(address, _)| address.starts_with("tcp"));
    failing.find_map(|(address, state)| {
        let why = state["error"].as_str().filter(|why| !why.is_empty())?;
        Some((crate::model::show(address.as_bytes()), crate::model::show(why.as_bytes())))
    })
}

/// RFC 3339; Syncthing's zero times (year 1 or 1970) are no time.
pub(super) fn time(text: &str) -> Option<Time> {
    let at: jiff::Timestamp = text.parse().ok()?;
    (at.as_second() > 0).then(|| Time::from_secs(at.as_second()))
}

pub(super) fn path(text: &str) -> Option<RelPath> {
    RelPath::new(text.as_bytes()).ok()
}

pub(super) fn change(action: &str) -> Change {
    match action {
        "delete" | "deleted" => Change::Deleted,
        "metadata" => Change::Touched,
        _ => Change::Put,
    }
}

pub(super) fn kind(text: &str) -> Kind {
    match text {
        "file" => Kind::File,
        "dir" | "directory" => Kind::Dir,
        _ => Kind::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: &str = "P56IOI7-MZJNU2Y-IQGDREY-DM2MGTI-MGL3BXN-PQ6W5BM-TBBZ4TJ-XZWICQ2";

    #[test]
    fn a_folder_comes_back_as_it_was_put_and_meddling_shows() {
        let own = PeerId::new(OWN).unwrap();
        let id = FolderId::new("f").unwrap();
        let folder = Folder {
            label: "BTsync/files".into(),
            path: "/d/f".into(),
            mode: Mode::SendOnly,
            peers: BTreeMap::from([
                (PeerId::new("A").unwrap(), None),
                (PeerId::new("B").unwrap(), Some(Password("s".into()))),
            ]),
        };
        let mut value = put_folder(&id, &folder);
        value["devices"].as_array_mut().unwrap().push(json!({ "deviceID": OWN }));
        assert_eq!(read_folder(&value, &own).unwrap(), (id, folder));
        for (key, by_hand) in [
            ("ignorePerms", json!(false)),
            ("paused", json!(true)),
            ("fsWatcherDelayS", json!(10)),
            ("versioning", json!({ "type": "trashcan" })),
        ] {
            let mut changed = value.clone();
            changed[key] = by_hand;
            assert_eq!(read_folder(&changed, &own).unwrap().1.label, MEDDLED, "{key}");
        }
        value["fsWatcherDelayS"] = json!(1.0);
        value.as_object_mut().unwrap().remove("copyRangeMethod");
        assert_ne!(read_folder(&value, &own).unwrap().1.label, MEDDLED);
    }

    #[test]
    fn a_peer_comes_back_as_it_was_put() {
        let id = PeerId::new(OWN).unwrap();
        for peer in [
            Peer::default(),
            Peer {
                name: "tablet".into(),
                addresses: vec!["tcp://[::1]:1".into()],
                untrusted: true,
            },
        ] {
            let value = put_peer(&id, &peer, true);
            assert_eq!(read_peer(&value, true).unwrap(), (id.clone(), peer));
            assert_eq!(read_peer(&value, false).unwrap().1.name, MEDDLED);
        }
    }

    #[test]
    fn an_address_where_nobody_is_heard_is_told() {
        let status = |tcp: Value| {
            json!({ "connectionServiceStatus": {
                "relay+https://x": { "error": "no relay" }, "tcp://0.0.0.0:22000": { "error": tcp } } })
        };
        assert_eq!(deaf(&status(Value::Null)), None);
        assert_eq!(deaf(&Value::Null), None);
        let (at, why) = deaf(&status(json!("address already in use"))).unwrap();
        assert_eq!((&*at, &*why), ("tcp://0.0.0.0:22000", "address already in use"));
    }

    #[test]
    fn who_asks_is_read_and_nonsense_is_left_out() {
        let peers = json!({
            OWN: { "time": "2026-11-23T08:00:00Z", "name": "tablet", "address": "10.0.0.2:22000" },
            "not an id": {},
        });
        let folders = json!({ "abc": { "offeredBy": { OWN: { "label": "x" } } }, "a b": {} });
        let all = pending(&peers, &folders);
        assert_eq!((all.peers.len(), all.folders.len()), (1, 1));
        assert_eq!(all.peers[0].since.map(Time::rfc3339).as_deref(), Some("2026-11-23T08:00:00Z"));
        assert_eq!(pending(&Value::Null, &json!([])), Pending::default());
        assert_eq!(time("0001-01-01T00:00:00Z"), None);
    }
}
