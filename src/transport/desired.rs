//! Which peers and folders there should be. Pure: settings and shares in, wanted state out.

use super::{
    Desired, Folder, FolderBook, FolderKey, Mode, Password, Peer, PeerId, TransportError, read_id,
};
use crate::config::{Config, Role};
use crate::model::{DeviceName, Place};
use std::collections::BTreeMap;
use std::path::Path;

/// A folder in `BTsync/shared` that other people may have.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Share {
    /// The name of its folder; what the other people see, too.
    pub name: String,
    /// What they may do.
    pub kind: ShareKind,
    /// Who they are, and what we call them.
    pub peers: BTreeMap<PeerId, String>,
}

/// What other people may do with a share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareKind {
    /// Take it. What they change is not taken.
    ReadOnly,
    /// Take and change it.
    Open {
        /// The limit is reached: nothing more is received until this is false again. What was
        /// begun is kept and goes on from there; what is here is still sent.
        held: bool,
    },
}

/// The wanted state, and which devices have an id that can't be used.
///
/// `known` are devices that were accepted on the page; an id in the settings comes first. Folders
/// without an id in the book are left out: [`FolderBook::add`] them first. `drive` is the root of
/// the drive, absolute.
pub fn desired(
    config: &Config,
    known: &BTreeMap<DeviceName, PeerId>,
    shares: &[Share],
    book: &FolderBook,
    drive: &Path,
) -> (Desired, Vec<(DeviceName, TransportError)>) {
    let mut wanted = Desired::default();
    let mut complaints = Vec::new();
    for (name, device) in &config.devices {
        let id = match &device.id {
            Some(text) => match read_id(text) {
                Ok(id) => Some(id),
                Err(why) => {
                    complaints.push((name.clone(), why));
                    None
                }
            },
            None => known.get(name).cloned(),
        };
        let mut members = BTreeMap::new();
        if let Some(id) = id {
            if wanted.peers.contains_key(&id) {
                let why = "another device has the same id; each needs its own".into();
                let text = id.short().into();
                complaints
                    .push((name.clone(), TransportError::Id { text, what: "device id", why }));
            } else {
                let untrusted = device.role == Role::Vault;
                let peer = Peer { name: device.label.clone(), addresses: Vec::new(), untrusted };
                wanted.peers.insert(id.clone(), peer);
                members.insert(id, None);
            }
        }
        for (key, folder) in folders_of(name, device.role, &members, book, drive) {
            if let Some(id) = book.id(&key) {
                wanted.folders.insert(id.clone(), folder);
            }
        }
    }
    for share in shares {
        let Some(id) = book.id(&FolderKey::Share(share.name.clone())) else { continue };
        for (peer, name) in &share.peers {
            // One of the house's own devices stays what it is.
            wanted.peers.entry(peer.clone()).or_insert_with(|| Peer {
                name: name.clone(),
                addresses: Vec::new(),
                untrusted: false,
            });
        }
        let mode = match share.kind {
            ShareKind::ReadOnly | ShareKind::Open { held: true } => Mode::SendOnly,
            ShareKind::Open { held: false } => Mode::SendReceive,
        };
        let folder = Folder {
            label: share.name.clone(),
            path: drive.join(Place::Shared.folder()).join(&share.name),
            mode,
            peers: share.peers.keys().map(|peer| (peer.clone(), None)).collect(),
        };
        wanted.folders.insert(id.clone(), folder);
    }
    (wanted, complaints)
}

/// The folders of one device. The labels are chosen so that a program that offers "home folder,
/// then label" as the place to keep it proposes what the pages expect: the page and the files
/// side by side in `BTsync`.
fn folders_of(
    name: &DeviceName,
    role: Role,
    members: &BTreeMap<PeerId, Option<Password>>,
    book: &FolderBook,
    drive: &Path,
) -> Vec<(FolderKey, Folder)> {
    let files = drive.join(Place::Device(name.clone()).folder());
    let folder = |label: &str, path, mode, peers| Folder { label: label.into(), path, mode, peers };
    if role == Role::Vault {
        // A vault can read nothing, so it needs no page, and nothing that it changes is meant.
        let Some(secret) = book.secret(name) else { return Vec::new() };
        let peers = members.keys().map(|id| (id.clone(), Some(secret.clone()))).collect();
        return vec![(
            FolderKey::Files(name.clone()),
            folder("BTsync/files", files, Mode::SendOnly, peers),
        )];
    }
    let page = drive.join(Place::Catalogue.folder()).join(name.as_str());
    vec![
        (
            FolderKey::Page(name.clone()),
            folder("BTsync/catalogue", page, Mode::SendReceive, members.clone()),
        ),
        (
            FolderKey::Files(name.clone()),
            folder("BTsync/files", files, Mode::SendReceive, members.clone()),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Device;

    fn device(id: Option<&str>, role: Role) -> Device {
        Device { label: "x".into(), id: id.map(Into::into), quota: None, role, may: Vec::new() }
    }

    fn name(text: &str) -> DeviceName {
        DeviceName::new(text).unwrap()
    }

    #[test]
    fn a_device_has_two_folders_and_a_vault_an_encrypted_one() {
        let mut config = Config::default();
        config.devices.insert(name("HTCphone"), device(Some("PHONE"), Role::Device));
        config.devices.insert(name("attic"), device(Some("ATTIC"), Role::Vault));
        config.devices.insert(name("tablet"), device(None, Role::Device));
        let mut book = FolderBook::default();
        for device in config.devices.keys() {
            book.add(&FolderKey::Page(device.clone())).unwrap();
            book.add(&FolderKey::Files(device.clone())).unwrap();
        }
        book.add_secret(&name("attic")).unwrap();
        let drive = Path::new("/d");
        let (wanted, bad) = desired(&config, &BTreeMap::new(), &[], &book, drive);
        assert!(bad.is_empty());
        assert_eq!(wanted.peers.len(), 2);
        assert!(wanted.peers[&PeerId::new("ATTIC").unwrap()].untrusted);
        assert_eq!(wanted.folders.len(), 5);
        let of = |key: FolderKey| &wanted.folders[book.id(&key).unwrap()];
        let page = of(FolderKey::Page(name("HTCphone")));
        assert_eq!(page.path, Path::new("/d/BTsync/catalogue/HTCphone"));
        assert_eq!(page.mode, Mode::SendReceive);
        let vault = of(FolderKey::Files(name("attic")));
        assert_eq!(vault.mode, Mode::SendOnly);
        assert!(vault.peers.values().all(Option::is_some));
        // The tablet has not paired: its folders are there and nobody has them.
        assert!(of(FolderKey::Files(name("tablet"))).peers.is_empty());
        let known = BTreeMap::from([(name("tablet"), PeerId::new("TABLET").unwrap())]);
        let (wanted, _) = desired(&config, &known, &[], &book, drive);
        assert_eq!(wanted.peers.len(), 3);
        // Removed from the settings: withdrawn.
        config.devices.remove(&name("HTCphone"));
        let (wanted, _) = desired(&config, &known, &[], &book, drive);
        assert_eq!((wanted.peers.len(), wanted.folders.len()), (2, 3));
    }

    #[test]
    fn shares_go_one_way_and_shared_folders_both_until_they_are_full() {
        let mut book = FolderBook::default();
        let mut share = Share {
            name: "Holiday".into(),
            kind: ShareKind::Open { held: false },
            peers: BTreeMap::from([(PeerId::new("FRIEND").unwrap(), "Friend".into())]),
        };
        let none = BTreeMap::new();
        let mode = |book: &FolderBook, share: &Share| {
            let shares = std::slice::from_ref(share);
            let (wanted, _) = desired(&Config::default(), &none, shares, book, Path::new("/d"));
            wanted.folders.values().map(|f| f.mode).next()
        };
        assert_eq!(mode(&book, &share), None, "no id, no folder");
        book.add(&FolderKey::Share("Holiday".into())).unwrap();
        assert_eq!(mode(&book, &share), Some(Mode::SendReceive));
        share.kind = ShareKind::Open { held: true };
        assert_eq!(mode(&book, &share), Some(Mode::SendOnly));
        share.kind = ShareKind::ReadOnly;
        assert_eq!(mode(&book, &share), Some(Mode::SendOnly));
    }

    #[test]
    fn ids_that_cannot_be_used_are_told_and_harm_nobody_else() {
        let mut config = Config::default();
        config.devices.insert(name("a"), device(Some("SAME"), Role::Device));
        config.devices.insert(name("b"), device(Some("SAME"), Role::Device));
        config.devices.insert(name("c"), device(Some("two words"), Role::Device));
        let (wanted, bad) =
            desired(&config, &BTreeMap::new(), &[], &FolderBook::default(), Path::new("/d"));
        assert_eq!(wanted.peers.len(), 1);
        let told: Vec<_> = bad.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(told, ["b", "c"]);
    }
}
