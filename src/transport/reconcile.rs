//! What must be called so that the present state becomes the wanted one. Pure.

use super::{Desired, Folder, FolderId, Peer, PeerId};
use std::collections::BTreeMap;

/// One call to the sync engine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Call {
    /// [`super::Transport::remove_folder`].
    RemoveFolder(FolderId),
    /// [`super::Transport::remove_peer`].
    RemovePeer(PeerId),
    /// [`super::Transport::put_peer`].
    PutPeer(PeerId, Peer),
    /// [`super::Transport::put_folder`].
    PutFolder(FolderId, Folder),
}

/// The calls that lead from `current` to `desired`, in their order: what somebody may no longer
/// have is taken away before anything is given, and a peer is there before a folder names it.
///
/// A member of a wanted folder that is no wanted peer is left out: engines refuse those. Calling
/// again on the result gives nothing.
pub fn reconcile(current: &Desired, desired: &Desired) -> Vec<Call> {
    let mut calls = Vec::new();
    for id in current.folders.keys() {
        if !desired.folders.contains_key(id) {
            calls.push(Call::RemoveFolder(id.clone()));
        }
    }
    for id in current.peers.keys() {
        if !desired.peers.contains_key(id) {
            calls.push(Call::RemovePeer(id.clone()));
        }
    }
    let mut gains = Vec::new();
    for (id, folder) in &desired.folders {
        let mut folder = folder.clone();
        folder.peers.retain(|peer, _| desired.peers.contains_key(peer));
        let Some(now) = current.folders.get(id) else {
            gains.push(Call::PutFolder(id.clone(), folder));
            continue;
        };
        // Peers that are removed above are gone from the folder by that.
        let mut now = now.clone();
        now.peers.retain(|peer, _| desired.peers.contains_key(peer));
        if now == folder {
            continue;
        }
        let loses = now.peers.keys().any(|peer| !folder.peers.contains_key(peer));
        let call = Call::PutFolder(id.clone(), folder);
        // A folder that loses a member and gains one that is yet to come is put twice, so that
        // nobody keeps what he lost for as long as the others take.
        if loses { calls.push(call) } else { gains.push(call) }
    }
    let mut peers = BTreeMap::new();
    for (id, peer) in &desired.peers {
        if current.peers.get(id) != Some(peer) {
            peers.insert(id, peer);
        }
    }
    let gained = |folder: &Folder| folder.peers.keys().any(|p| !current.peers.contains_key(p));
    let mut again = Vec::new();
    for call in &mut calls {
        if let Call::PutFolder(id, folder) = call
            && gained(folder)
        {
            again.push(Call::PutFolder(id.clone(), folder.clone()));
            folder.peers.retain(|p, _| current.peers.contains_key(p));
        }
    }
    calls.extend(peers.into_iter().map(|(id, peer)| Call::PutPeer(id.clone(), peer.clone())));
    calls.extend(again);
    calls.extend(gains);
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Mode, Password};
    use proptest::prelude::*;

    /// What calls do to a state, as the trait words it; panics when an engine would refuse.
    fn run(state: &Desired, calls: &[Call]) -> Desired {
        let mut state = state.clone();
        for call in calls {
            match call {
                Call::RemoveFolder(id) => {
                    state.folders.remove(id).unwrap();
                }
                Call::RemovePeer(id) => {
                    state.peers.remove(id).unwrap();
                    for folder in state.folders.values_mut() {
                        folder.peers.remove(id);
                    }
                }
                Call::PutPeer(id, peer) => {
                    state.peers.insert(id.clone(), peer.clone());
                }
                Call::PutFolder(id, folder) => {
                    for peer in folder.peers.keys() {
                        assert!(state.peers.contains_key(peer), "{peer} named before it is there");
                    }
                    state.folders.insert(id.clone(), folder.clone());
                }
            }
        }
        state
    }

    fn states() -> impl Strategy<Value = Desired> {
        let peers = prop::collection::btree_map(0u8..5, 0u8..2, 0..5);
        let members = prop::collection::btree_map(0u8..5, prop::option::of(0u8..2), 0..4);
        let folders = prop::collection::btree_map(0u8..4, (0u8..2, members), 0..4);
        (peers, folders).prop_map(|(peers, folders)| Desired {
            peers: peers
                .into_iter()
                .map(|(id, n)| (peer(id), Peer { name: n.to_string(), ..Peer::default() }))
                .collect(),
            folders: folders
                .into_iter()
                .map(|(id, (mode, members))| {
                    let mode = if mode == 0 { Mode::SendOnly } else { Mode::SendReceive };
                    let secret = |s: Option<u8>| s.map(|s| Password(s.to_string()));
                    let peers = members.into_iter().map(|(p, s)| (peer(p), secret(s))).collect();
                    let folder =
                        Folder { label: "f".into(), path: format!("/d/{id}").into(), mode, peers };
                    (FolderId::new(&format!("f{id}")).unwrap(), folder)
                })
                .collect(),
        })
    }

    fn peer(n: u8) -> PeerId {
        PeerId::new(&format!("P{n}")).unwrap()
    }

    /// A present state names only peers that are there.
    fn real(mut state: Desired) -> Desired {
        let peers = state.peers.clone();
        for folder in state.folders.values_mut() {
            folder.peers.retain(|p, _| peers.contains_key(p));
        }
        state
    }

    proptest! {
        #[test]
        fn leads_to_the_wanted_state_and_rests_there(a in states(), b in states()) {
            let a = real(a);
            let calls = reconcile(&a, &b);
            let end = run(&a, &calls);
            prop_assert_eq!(&end, &real(b.clone()));
            prop_assert_eq!(reconcile(&end, &b), vec![]);
        }

        #[test]
        fn takes_away_before_it_gives(a in states(), b in states()) {
            let a = real(a);
            let calls = reconcile(&a, &b);
            let gives = |c: &Call| matches!(c, Call::PutPeer(..));
            if let Some(first) = calls.iter().position(gives) {
                let mid = run(&a, &calls[..first]);
                for (id, folder) in &mid.folders {
                    for p in folder.peers.keys() {
                        prop_assert!(b.folders[id].peers.contains_key(p), "{} keeps {}", p, id);
                    }
                }
            }
        }
    }
}
