//! The oracle of `tests/oracle` on a drive in memory.

use crate::fs::{FileSystem as _, Memory};
use crate::model::{Place, Spot};
use oracle::{DriveView, Facts, Hash, What, sum};
pub(super) use oracle::{History, Kind, Snapshot, Violation, judge, judge_contents};
use std::collections::BTreeMap;

#[path = "../../../tests/oracle/mod.rs"]
mod oracle;

/// What a drive in memory has at one moment.
pub(super) struct InMemory(BTreeMap<Vec<u8>, (What, Vec<u8>)>);

impl InMemory {
    /// Everything that has a name now.
    pub(super) fn of(memory: &mut Memory) -> Self {
        let spots: Vec<Spot> = memory.files().map(|(at, _)| at.clone()).collect();
        let file = |at: Spot| {
            let stat = memory.stat(&at).ok()??;
            let content = memory.content(&at)?.to_vec();
            let (ino, size, mtime) = (stat.id.ino, stat.id.size, stat.id.mtime.0);
            let facts = Facts { dev: 1, ino, size, blocks: stat.sectors.into(), mtime };
            Some((name(&at), (What::File(facts), content)))
        };
        Self(spots.into_iter().filter_map(file).collect())
    }
}

/// The name of a spot on a real drive.
fn name(at: &Spot) -> Vec<u8> {
    let place: Vec<u8> = match &at.place {
        Place::Files => b"BTsync/files".into(),
        Place::Device(device) => [b"BTsync/devices/", device.as_str().as_bytes()].concat(),
        Place::Catalogue => b"BTsync/catalogue".into(),
        Place::Shared => b"BTsync/shared".into(),
        Place::Versions => b"BTsyncApp/versions".into(),
        Place::Tmp => b"BTsyncApp/tmp".into(),
    };
    [&place, &b"/"[..], at.path.as_bytes()].concat()
}

impl DriveView for InMemory {
    fn names(&self) -> Vec<(Vec<u8>, What)> {
        self.0.iter().map(|(name, (what, _))| (name.clone(), *what)).collect()
    }

    /// A short content is its own sum: thousands of lives are lived.
    fn sum(&self, path: &[u8]) -> Option<Hash> {
        let content = &self.0.get(path)?.1;
        let mut own = [0; 32];
        let Some(place) = own[1..].get_mut(..content.len()) else { return Some(sum(content)) };
        place.copy_from_slice(content);
        own[0] = u8::try_from(content.len()).unwrap();
        Some(own)
    }

    fn bytes(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(self.0.get(path)?.1.clone())
    }
}
