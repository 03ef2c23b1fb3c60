//! Masters that mean again what they meant before a storm. Pure.

use super::Storm;
use crate::model::{DeviceName, RelPath};
use crate::plan::{CHUNK, Op, Why, World, kept, master};
use std::collections::BTreeMap;

/// Masters that the device replaced since the storm began mean again what they meant before. A
/// master that somebody else changed in between is left alone.
pub(super) fn turn_back(world: &World, device: &DeviceName, storm: &Storm, ops: &mut Vec<Op>) {
    let mut since: BTreeMap<&RelPath, Option<u64>> = BTreeMap::new();
    for (number, version) in world.versions.iter().filter(|(_, v)| v.at >= storm.since) {
        let by_it = matches!(&version.why, Why::Edited(d) if d == device);
        let first = since.entry(&version.path).or_insert(Some(*number));
        if !by_it {
            *first = None;
        }
    }
    for (path, number) in since {
        let (Some(number), Some(m)) = (number, world.files.get(path)) else { continue };
        let Some(version) = world.versions.get(&number) else { continue };
        if ops.len() >= CHUNK {
            break;
        }
        // Cut off between bringing it back and forgetting the version.
        if m.id.ino != version.id.ino {
            ops.push(Op::Replace {
                at: master(path),
                old: m.id.ino,
                by: kept(number, path),
                new: version.id.ino,
                why: Why::Stormed(device.clone()),
            });
        }
        ops.push(Op::DropVersion(number));
    }
}
