//! Somebody with a Syncthing who belongs to no house, and what he can have of one.

use crate::home::House;
use crate::lab::Party;
use larder::transport::{Event, Folder, Mode, Peer};
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Bytes of everything below a folder, half-taken files included.
pub(crate) fn taken(folder: &Path) -> u64 {
    let mut sum = 0;
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let Ok(found) = entry.metadata() else { continue };
        sum += if found.is_dir() { taken(&entry.path()) } else { found.blocks() * 512 };
    }
    sum
}

/// Takes the one folder that the house offers, and says where it is.
pub(crate) fn take_share(stranger: &mut Party, house: &House) -> std::path::PathBuf {
    let offered = stranger
        .hear("one folder is offered", |e| matches!(e, Event::Pending(p) if p.folders.len() == 1));
    let Event::Pending(pending) = offered else { unreachable!("that was heard") };
    let offer = &pending.folders[0];
    let path = stranger.path("taken");
    std::fs::create_dir_all(&path).unwrap();
    let peers = BTreeMap::from([(house.id(), None)]);
    let folder =
        Folder { label: offer.label.clone(), path: path.clone(), mode: Mode::SendReceive, peers };
    stranger.wanted.folders.insert(offer.id.clone(), folder);
    stranger.want();
    path
}

/// The stranger adds the house, as after its code was scanned.
pub(crate) fn meet(stranger: &mut Party, house: &House, by: Option<String>) {
    let address = by.unwrap_or_else(|| format!("tcp://127.0.0.1:{}", house.sync_port()));
    let peer = Peer { name: "Larder".into(), addresses: vec![address], untrusted: false };
    stranger.wanted.peers.insert(house.id(), peer);
    stranger.want();
}
