//! Syncthing's events in our words. Pure: one event in, what to tell and to do out.

use super::track::Way;
use super::wire;
use crate::model::RelPath;
use crate::transport::{Event, FolderId, PeerId, Received, RemoteChange};
use serde::Deserialize;
use serde_json::Value;

/// The events asked for. `RemoteChangeDetected` comes only when asked for by name.
pub(super) const ASKED: &str = "StateChanged,FolderCompletion,FolderSummary,RemoteIndexUpdated,\
LocalIndexUpdated,RemoteDownloadProgress,ItemFinished,RemoteChangeDetected,DeviceConnected,\
DeviceDisconnected,PendingDevicesChanged,PendingFoldersChanged,ConfigSaved,FolderErrors";

/// One event as Syncthing tells it.
#[derive(Deserialize)]
pub(super) struct Raw {
    /// Counts up by one in each subscription, and from one again after a restart.
    pub(super) id: u64,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    time: String,
    #[serde(default)]
    data: Value,
}

/// What an event means for us.
#[derive(PartialEq, Debug)]
pub(super) enum News {
    /// Tell the owner.
    Tell(Event),
    /// The peer may have taken something of the folder; how many things it lacks, where known.
    Touched(Way, Option<u64>),
    /// A peer is there, or no longer.
    Connected(PeerId, bool),
    /// So many blocks of these files are there.
    Blocks(Way, Vec<(RelPath, u64)>),
    /// Bytes may flow.
    Busy,
    /// The state of a folder: whether it takes something now, and what stops it.
    Folder { folder: FolderId, taking: bool, error: Option<String> },
    /// Single files of a folder can't be taken, and why; `None`: all can.
    Untaken { folder: FolderId, why: Option<String> },
    /// Who asks to be let in has changed.
    Pending,
    /// The configuration was written.
    Config,
}

/// What an event means. One that we do not understand means nothing.
pub(super) fn read(raw: &Raw) -> Vec<News> {
    meaning(raw).unwrap_or_default()
}

fn meaning(raw: &Raw) -> Option<Vec<News>> {
    let text = |key: &str| raw.data[key].as_str().unwrap_or_default();
    let folder = || FolderId::new(text("folder")).ok();
    let peer = |key: &str| PeerId::new(text(key)).ok();
    Some(match raw.kind.as_str() {
        "StateChanged" => {
            let to = text("to");
            let error = (to == "error").then(|| crate::model::show(text("error").as_bytes()));
            // sync-waiting, sync-preparing, syncing; scanning moves nothing.
            let taking = to.starts_with("sync");
            let state = News::Folder { folder: folder()?, taking, error };
            if taking { vec![state, News::Busy] } else { vec![state] }
        }
        "FolderCompletion" => {
            let way = (folder()?, peer("device")?);
            let completion = wire::Completion::deserialize(&raw.data).ok()?;
            let (folder, peer) = way.clone();
            let status = completion.status();
            let mut news = vec![News::Tell(Event::Completion { folder, peer: Some(peer), status })];
            news.push(News::Touched(way, Some(status.need_items)));
            if status.need_items > 0 {
                news.push(News::Busy);
            }
            news
        }
        "FolderSummary" => {
            let summary = wire::Summary::deserialize(&raw.data["summary"]).ok()?;
            let (folder, status) = (folder()?, summary.status());
            let completion = Event::Completion { folder: folder.clone(), peer: None, status };
            let mut news = vec![News::Tell(completion)];
            if summary.errors == 0 {
                news.push(News::Untaken { folder, why: None });
            }
            news
        }
        "RemoteIndexUpdated" => vec![News::Touched((folder()?, peer("device")?), None), News::Busy],
        "LocalIndexUpdated" => vec![News::Busy],
        "FolderErrors" => {
            let errors = raw.data["errors"].as_array()?;
            let first = errors.first()?;
            let show =
                |key: &str| crate::model::show(first[key].as_str().unwrap_or_default().as_bytes());
            let why = format!(
                "{} can't be taken, such as `{}`: {}",
                match errors.len() {
                    1 => "1 file".into(),
                    n => format!("{n} files"),
                },
                show("path"),
                show("error")
            );
            vec![News::Untaken { folder: folder()?, why: Some(why) }]
        }
        "RemoteDownloadProgress" => {
            let state = raw.data["state"].as_object()?;
            let files = state
                .iter()
                .filter_map(|(name, blocks)| Some((wire::path(name)?, blocks.as_u64()?)));
            vec![News::Blocks((folder()?, peer("device")?), files.collect()), News::Busy]
        }
        "ItemFinished" => vec![
            News::Tell(Event::Received(Received {
                folder: folder()?,
                path: wire::path(text("item"))?,
                change: wire::change(text("action")),
                kind: wire::kind(text("type")),
                error: raw.data["error"].as_str().map(|e| crate::model::show(e.as_bytes())),
            })),
            News::Busy,
        ],
        "RemoteChangeDetected" => {
            // Here `folder` is the id as well; `folderID` came first.
            let folder = peer_folder(&raw.data)?;
            let by = Some(text("modifiedBy").to_owned()).filter(|by| !by.is_empty());
            vec![News::Tell(Event::RemoteChange(RemoteChange {
                folder,
                path: wire::path(text("path"))?,
                change: wire::change(text("action")),
                kind: wire::kind(text("type")),
                by,
            }))]
        }
        "DeviceConnected" => {
            let id = peer("id")?;
            let address = Some(text("addr").to_owned()).filter(|a| !a.is_empty());
            vec![
                News::Connected(id.clone(), true),
                News::Tell(Event::Connection {
                    peer: id,
                    up: true,
                    address,
                    last_seen: wire::time(&raw.time),
                }),
                News::Busy,
            ]
        }
        "DeviceDisconnected" => {
            let id = peer("id")?;
            vec![
                News::Connected(id.clone(), false),
                News::Tell(Event::Connection {
                    peer: id,
                    up: false,
                    address: None,
                    last_seen: wire::time(&raw.time),
                }),
            ]
        }
        "PendingDevicesChanged" | "PendingFoldersChanged" => vec![News::Pending],
        "ConfigSaved" => vec![News::Config],
        _ => return None,
    })
}

fn peer_folder(data: &Value) -> Option<FolderId> {
    let id = data["folderID"].as_str().or_else(|| data["folder"].as_str())?;
    FolderId::new(id).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Change, Kind};
    use serde_json::json;

    fn of(kind: &str, data: Value) -> Vec<News> {
        read(&Raw { id: 1, kind: kind.into(), time: "2026-11-23T08:00:00.5+01:00".into(), data })
    }

    #[test]
    fn a_remote_deletion_is_told_with_who_did_it() {
        let news = of(
            "RemoteChangeDetected",
            json!({ "action": "deleted", "folder": "f", "folderID": "f", "label": "l",
                "modifiedBy": "ABCDEFG", "path": "d/a\u{202e}b", "type": "file" }),
        );
        let expected = RemoteChange {
            folder: FolderId::new("f").unwrap(),
            path: RelPath::new("d/a\u{202e}b".as_bytes()).unwrap(),
            change: Change::Deleted,
            kind: Kind::File,
            by: Some("ABCDEFG".into()),
        };
        assert_eq!(news, [News::Tell(Event::RemoteChange(expected))]);
    }

    #[test]
    fn hostile_and_unknown_events_mean_nothing() {
        for (kind, data) in [
            ("RemoteChangeDetected", json!({ "folderID": "f", "path": "../../etc/passwd" })),
            ("ItemFinished", json!({ "folder": "f", "item": "/etc/passwd" })),
            ("ItemFinished", json!(null)),
            ("FolderCompletion", json!({ "folder": "f" })),
            ("RemoteDownloadProgress", json!({ "folder": "f", "device": "P", "state": 7 })),
            ("SomethingNew", json!({})),
        ] {
            assert_eq!(of(kind, data), [], "{kind}");
        }
    }

    #[test]
    fn progress_and_errors_are_read() {
        let way = (FolderId::new("f").unwrap(), PeerId::new("P").unwrap());
        let news = of(
            "RemoteDownloadProgress",
            json!({ "folder": "f", "device": "P", "state": { "a/b": 3, "/bad": 1 } }),
        );
        let path = RelPath::new(b"a/b").unwrap();
        assert_eq!(news[0], News::Blocks(way, vec![(path, 3)]));
        let news =
            of("StateChanged", json!({ "folder": "f", "to": "error", "error": "no\nspace" }));
        let folder = FolderId::new("f").unwrap();
        assert_eq!(news, [News::Folder { folder, taking: false, error: Some("no▯space".into()) }]);
        let folder = FolderId::new("f").unwrap();
        let errors = json!([{ "path": "a", "error": "insufficient space" }]);
        assert_eq!(
            of("FolderErrors", json!({ "folder": "f", "errors": errors })),
            [News::Untaken {
                folder: folder.clone(),
                why: Some("1 file can't be taken, such as `a`: insufficient space".into())
            }]
        );
        let summary = json!({ "errors": 0, "state": "idle" });
        let news = of("FolderSummary", json!({ "folder": "f", "summary": summary }));
        assert_eq!(news[1], News::Untaken { folder, why: None });
        let news = of("DeviceConnected", json!({ "id": "P", "addr": "127.0.0.1:1" }));
        assert!(matches!(
            &news[1],
            News::Tell(Event::Connection { up: true, last_seen: Some(_), .. })
        ));
    }
}
