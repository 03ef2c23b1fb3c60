//! Who may have what: pairing, shares, limits, vaults, and their end.

use crate::lab::*;
use larder::transport::{Change, Event, Mode, Pending, Question};
use std::path::Path;
use std::time::{Duration, Instant};

fn pending(event: &Event) -> Option<&Pending> {
    match event {
        Event::Pending(pending) => Some(pending),
        _ => None,
    }
}

/// Bytes of everything in a folder, half-taken files included.
fn taken(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir(folder).unwrap();
    entries.filter_map(|e| e.ok()?.metadata().ok()).map(|m| m.blocks() * 512).sum()
}

#[test]
fn a_phone_asks_is_refused_accepted_and_lost() {
    let Some(program) = program() else { return };
    let mut nas = Party::new(&program, "nas");
    let mut phone = Party::new(&program, "phone");
    // The phone scanned our code.
    phone.wanted.peers.insert(nas.id.clone(), nas.as_peer());
    phone.want();
    let asks = |e: &Event| {
        pending(e).is_some_and(|p| {
            p.peers.iter().any(|p| p.id == phone.id && p.name == "phone" && p.since.is_some())
        })
    };
    nas.hear("asking", asks);
    let from = nas.mark();
    assert!(nas.handle().ask(Question::Refuse { peer: phone.id.clone(), folder: None }));
    nas.hear_from(from, "refused", |e| pending(e).is_some_and(|p| p.peers.is_empty()));
    // It asks again; accepted, it is offered its folders by name.
    nas.hear_from(from, "asking again", asks);
    let from = nas.mark();
    nas.share("page", Mode::SendReceive, &[&phone]);
    nas.share("files", Mode::SendReceive, &[&phone]);
    nas.hear_from(from, "no longer asking", |e| pending(e).is_some_and(|p| p.peers.is_empty()));
    phone.hear("offers", |e| {
        pending(e).is_some_and(|p| {
            p.folders.len() == 2 && p.folders.iter().any(|f| f.label == "BTsync/page")
        })
    });
    put(&nas.path("files"), "a", b"a");
    nas.changed("files", &["a"]);
    phone.share("files", Mode::SendReceive, &[&nas]);
    until("a is there", || phone.path("files").join("a").exists());
    nas.hear_delivered(0, "files", &phone, &["a"]);
    // Lost: withdrawn. What is at home stays, and nothing more goes there.
    let from = nas.mark();
    nas.wanted = Default::default();
    nas.want();
    nas.hear_from(from, "gone", |e| matches!(e, Event::Connection { up: false, .. }));
    assert!(nas.path("files").join("a").exists());
    put(&nas.path("files"), "secret", b"secret");
    phone.changed("files", &[]);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!phone.path("files").join("secret").exists());
}

#[test]
fn a_share_goes_one_way_and_is_revoked_in_the_middle() {
    let Some(program) = program() else { return };
    let slow = |s: &mut larder::transport::syncthing::Settings| s.max_send_kbps = 3_000;
    let mut nas = Party::with(&program, "nas", slow);
    let mut stranger = Party::with(&program, "stranger", |s| s.progress_s = 1);
    nas.share("share", Mode::SendOnly, &[&stranger]);
    stranger.share("share", Mode::SendReceive, &[&nas]);
    put(&nas.path("share"), "small", b"ours");
    nas.changed("share", &["small"]);
    nas.hear_delivered(0, "share", &stranger, &["small"]);
    // What the stranger does to it stays with him.
    put(&stranger.path("share"), "small", b"his");
    put(&stranger.path("share"), "planted", b"his");
    stranger.changed("share", &["small", "planted"]);
    // The large one is on its way, and seen to be.
    put(&nas.path("share"), "film", &noise(60_000_000, 7));
    let from = nas.mark();
    nas.changed("share", &["film"]);
    let percent = |e: &Event| match e {
        Event::Progress { files, .. } => files.iter().map(|f| f.1).max(),
        _ => None,
    };
    nas.hear_from(from, "progress", |e| percent(e).is_some_and(|p| p > 0));
    nas.hear_from(from, "moving", |e| *e == Event::Moving(true));
    assert_eq!(content(&nas.path("share").join("small")), b"ours");
    assert!(!nas.path("share").join("planted").exists());
    // Revoked: out of the sync engine first. From then on not a byte more.
    let began = Instant::now();
    nas.wanted = Default::default();
    nas.want();
    let took = began.elapsed();
    let then = taken(&stranger.path("share"));
    std::thread::sleep(Duration::from_secs(3));
    let now = taken(&stranger.path("share"));
    println!("revoked in {took:?}; {then} bytes taken then, {now} three seconds later");
    // What was in flight when the connection ended may still be written.
    assert!(now.saturating_sub(then) < 4_000_000, "{then} {now}");
    assert!(!stranger.path("share").join("film").exists());
    assert!(nas.path("share").join("film").exists());
    let delivered =
        |e: &Event| matches!(e, Event::Delivered { paths, .. } if paths.contains(&path("film")));
    assert!(!nas.heard(from).iter().any(delivered));
}

#[test]
fn a_full_shared_folder_takes_nothing_and_goes_on_later() {
    let Some(program) = program() else { return };
    let mut nas = Party::new(&program, "nas");
    let slow = |s: &mut larder::transport::syncthing::Settings| s.max_send_kbps = 4_000;
    let mut friend = Party::with(&program, "friend", slow);
    nas.share("open", Mode::SendReceive, &[&friend]);
    friend.share("open", Mode::SendReceive, &[&nas]);
    put(&friend.path("open"), "one", b"one");
    friend.changed("open", &["one"]);
    until("one is here", || nas.path("open").join("one").exists());
    // A large one is begun, and the limit is reached in the middle of it.
    let film = noise(30_000_000, 9);
    put(&friend.path("open"), "film", &film);
    friend.changed("open", &["film"]);
    until("the film has begun", || taken(&nas.path("open")) > 2_000_000);
    let from = nas.mark();
    nas.share("open", Mode::SendOnly, &[&friend]);
    put(&friend.path("open"), "two", b"two");
    friend.changed("open", &["two"]);
    // What is here is still sent, which also shows that the two are talking.
    put(&nas.path("open"), "ours", b"ours");
    nas.changed("open", &["ours"]);
    nas.hear_delivered(0, "open", &friend, &["ours"]);
    std::thread::sleep(Duration::from_secs(1));
    assert!(!nas.path("open").join("two").exists());
    assert!(!nas.path("open").join("film").exists(), "nothing is cut off half-way");
    let waits = |e: &Event| matches!(e, Event::Completion { peer: None, status, .. } if status.need_bytes.0 >= 30_000_000);
    nas.hear_from(from, "what waits", waits);
    // Below the limit again.
    nas.share("open", Mode::SendReceive, &[&friend]);
    until("two is here", || nas.path("open").join("two").exists());
    until("the film is here", || content(&nas.path("open").join("film")) == film);
}

#[test]
fn a_vault_holds_what_it_cannot_read() {
    let Some(program) = program() else { return };
    let mut nas = Party::new(&program, "nas");
    let mut vault = Party::new(&program, "vault");
    vault.share("files", Mode::ReceiveEncrypted, &[&nas]);
    nas.share_secretly("files", Mode::SendOnly, &[&vault], Some("a long secret of the house"));
    let plain = b"readable at home alone ".repeat(2_000);
    put(&nas.path("files"), "letters/diary.txt", &plain);
    nas.changed("files", &["letters/diary.txt"]);
    nas.hear_delivered(0, "files", &vault, &["letters/diary.txt"]);
    let mut found = 0;
    let mut folders = vec![vault.path("files")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap()) {
            let name = entry.file_name();
            assert!(!name.to_string_lossy().contains("diary"), "{name:?}");
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let bytes = content(&entry.path());
                let readable = bytes.windows(16).any(|w| w == b"readable at home");
                assert!(!readable, "{name:?}");
                found += usize::from(bytes.len() >= plain.len());
            }
        }
    }
    assert_eq!(found, 1);
    let deleted = |e: &Event| matches!(e, Event::RemoteChange(c) if c.change == Change::Deleted);
    assert!(!nas.heard(0).iter().any(deleted));
}
