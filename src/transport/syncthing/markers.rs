//! The markers of the folders (`.stfolder`): without its marker Syncthing takes a folder for an unplugged drive and
//! stops it, which keeps an emptied folder from emptying every device.
//!
//! A marker is never made here. Syncthing makes one itself in a folder of which its index knows nothing, and in no
//! other: so a folder is marked anew by taking it out and putting it back, which resets the index.

use super::{Core, home};
use crate::model::dialect::STFOLDER;
use crate::transport::{Event, FolderId, Outbox, TransportError};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::sync::Notify;

/// How often it is looked whether every folder has its marker, should Syncthing not have noticed.
const LOOK: Duration = Duration::from_secs(20);
/// A marker is gone when it was missing twice, so long apart: a folder that was put just now gets its own at once.
const TWICE: Duration = Duration::from_secs(1);

/// True for what Syncthing says of a folder whose marker is gone.
pub(super) fn is_missing_marker(error: &str) -> bool {
    error.contains("folder marker missing")
}

/// Tells which folders have no marker, all of them whenever that changes.
pub(super) async fn watch_markers(core: &Core, out: &Outbox, look: &Notify) {
    let mut told = None;
    let mut before = BTreeSet::new();
    loop {
        let Ok(gone) = unmarked(core).await else {
            tokio::time::sleep(TWICE).await;
            continue;
        };
        let twice: BTreeSet<FolderId> = gone.intersection(&before).cloned().collect();
        let unsure = twice != gone;
        if told.as_ref() != Some(&twice) {
            told = Some(twice.clone());
            out.event(Event::Unmarked(twice));
        }
        before = gone;
        if unsure {
            tokio::time::sleep(TWICE).await;
            continue;
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = look.notified() => {}
        }
    }
}

/// The folders that are there and have no marker.
async fn unmarked(core: &Core) -> Result<BTreeSet<FolderId>, TransportError> {
    let folders = core.folders().await?;
    let look = move || {
        let gone = |path: &std::path::Path| {
            let marker = path.join(STFOLDER.name).symlink_metadata();
            path.is_dir() && marker.is_err_and(|e| e.kind() == std::io::ErrorKind::NotFound)
        };
        Ok(folders.into_iter().filter(|(_, f)| gone(&f.path)).map(|(id, _)| id).collect())
    };
    home::blocking(look).await
}

/// Where a folder is, for people: from `BTsync` on when it is there. Its id says nothing to anybody.
pub(super) async fn where_is(core: &Core, folder: &FolderId) -> String {
    let folders = core.folders().await.unwrap_or_default();
    let Some(folder) = folders.get(folder) else { return folder.to_string() };
    let mut parts: Vec<_> = folder.path.iter().collect();
    if let Some(at) = parts.iter().rposition(|part| *part == "BTsync") {
        parts.drain(..at);
    }
    let path: std::path::PathBuf = parts.iter().collect();
    crate::model::show(path.as_os_str().as_encoded_bytes())
}
