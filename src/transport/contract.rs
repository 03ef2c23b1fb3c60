//! The words that every engine is held to. One suite, run on each implementation.

use super::*;
use crate::model::RelPath;
use crate::model::dialect::{DIALECTS, Dialect};
use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

/// An engine under test, and what a second party does.
pub(super) trait Bench {
    type Engine: Transport;
    /// The engine, running.
    fn engine(&self) -> &Self::Engine;
    /// A peer id that this engine accepts.
    fn stranger(&self) -> PeerId;
    /// The id of the second party.
    fn partner(&self) -> (PeerId, Peer);
    /// The second party has accepted the folder; it takes `path` now, if it has not already.
    async fn takes(&self, folder: &FolderId, path: &RelPath);
    /// The second party deletes `path`, and the deletion has arrived here.
    async fn deletes(&self, folder: &FolderId, path: &RelPath);
}

fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

fn folder_id(text: &str) -> FolderId {
    FolderId::new(text).unwrap()
}

/// Brings a state about as the runner does, once.
async fn settle<E: Transport>(engine: &E, wanted: &Desired) -> usize {
    let calls = reconcile(&engine.current().await.unwrap(), wanted);
    for call in &calls {
        match call {
            Call::RemoveFolder(id) => engine.remove_folder(id).await.unwrap(),
            Call::RemovePeer(id) => engine.remove_peer(id).await.unwrap(),
            Call::PutPeer(id, peer) => engine.put_peer(id, peer).await.unwrap(),
            Call::PutFolder(id, folder) => engine.put_folder(id, folder).await.unwrap(),
        }
    }
    calls.len()
}

async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    for _ in 0..2_400 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("after two minutes still not: {what}");
}

/// The suite. `dir` is an empty directory for folders.
pub(super) async fn holds<B: Bench>(bench: &B, dir: &Path) {
    wanted_state(bench, dir).await;
    removal_is_quiet_and_keeps_files(bench, dir).await;
    a_folder_must_be_there(bench, dir).await;
    unknown_things(bench).await;
    if bench.engine().capabilities().delivered {
        proof_of_delivery(bench, dir).await;
    }
}

async fn wanted_state<B: Bench>(bench: &B, dir: &Path) {
    let engine = bench.engine();
    assert_eq!(engine.identity().await.unwrap(), engine.identity().await.unwrap());
    assert_eq!(engine.identity().await.unwrap().is_some(), engine.capabilities().carries);
    // The names that it uses are known everywhere.
    let is_known = |dialect: &Dialect| DIALECTS.iter().any(|known| std::ptr::eq(*known, dialect));
    assert!(engine.dialect().is_none_or(is_known));
    let root = dir.join("wanted");
    std::fs::create_dir(&root).unwrap();
    let stranger = bench.stranger();
    let mut wanted = Desired::default();
    wanted.peers.insert(
        stranger.clone(),
        Peer {
            name: "tablet".into(),
            addresses: vec!["tcp://127.0.0.1:1".into()],
            untrusted: false,
        },
    );
    let folder = Folder {
        label: "BTsync/files".into(),
        path: root,
        mode: Mode::SendReceive,
        peers: BTreeMap::from([(stranger.clone(), None)]),
    };
    wanted.folders.insert(folder_id("wanted"), folder);
    assert_eq!(settle(engine, &wanted).await, 2);
    assert_eq!(engine.current().await.unwrap(), wanted);
    // Settled is settled, and putting again is a success.
    assert_eq!(settle(engine, &wanted).await, 0);
    let folder = wanted.folders.get_mut(&folder_id("wanted")).unwrap();
    engine.put_folder(&folder_id("wanted"), folder).await.unwrap();
    folder.mode = Mode::SendOnly;
    folder.label = "Holiday".into();
    folder.peers.clear();
    assert_eq!(settle(engine, &wanted).await, 1);
    assert_eq!(engine.current().await.unwrap(), wanted);
    wanted.peers.get_mut(&stranger).unwrap().name = "tablet 2".into();
    assert_eq!(settle(engine, &wanted).await, 1);
    assert_eq!(settle(engine, &wanted).await, 0);
    // A vault.
    wanted.peers.get_mut(&stranger).unwrap().untrusted = true;
    let folder = wanted.folders.get_mut(&folder_id("wanted")).unwrap();
    folder.peers.insert(stranger, Some(Password("not a word to anybody".into())));
    assert_eq!(settle(engine, &wanted).await, 2);
    assert_eq!(engine.current().await.unwrap(), wanted);
    settle(engine, &Desired::default()).await;
    assert_eq!(engine.current().await.unwrap(), Desired::default());
}

async fn removal_is_quiet_and_keeps_files<B: Bench>(bench: &B, dir: &Path) {
    let engine = bench.engine();
    let root = dir.join("removed");
    std::fs::create_dir(&root).unwrap();
    std::fs::File::create(root.join("a")).unwrap();
    let folder = Folder {
        label: "x".into(),
        path: root.clone(),
        mode: Mode::SendReceive,
        peers: BTreeMap::new(),
    };
    engine.put_folder(&folder_id("removed"), &folder).await.unwrap();
    for _ in 0..2 {
        engine.remove_folder(&folder_id("removed")).await.unwrap();
        engine.remove_peer(&bench.stranger()).await.unwrap();
    }
    assert!(root.join("a").exists());
    // A peer that goes is gone from its folders.
    engine.put_peer(&bench.stranger(), &Peer::default()).await.unwrap();
    let peers = BTreeMap::from([(bench.stranger(), None)]);
    engine.put_folder(&folder_id("removed"), &Folder { peers, ..folder }).await.unwrap();
    engine.remove_peer(&bench.stranger()).await.unwrap();
    let now = engine.current().await.unwrap();
    assert!(now.peers.is_empty());
    assert!(now.folders[&folder_id("removed")].peers.is_empty());
    engine.remove_folder(&folder_id("removed")).await.unwrap();
}

async fn a_folder_must_be_there<B: Bench>(bench: &B, dir: &Path) {
    let path = dir.join("unplugged").join("deep");
    let folder =
        Folder { label: "x".into(), path, mode: Mode::SendReceive, peers: BTreeMap::new() };
    let refused = bench.engine().put_folder(&folder_id("nowhere"), &folder).await;
    assert!(matches!(refused, Err(TransportError::NoDirectory { .. })), "{refused:?}");
    assert!(!dir.join("unplugged").exists(), "nothing is made where a drive should be");
}

async fn unknown_things<B: Bench>(bench: &B) {
    let engine = bench.engine();
    let (folder, path, peer) = (folder_id("unknown"), path("a"), bench.stranger());
    let no_folder = |r: Result<(), TransportError>| matches!(r, Err(TransportError::NoFolder(_)));
    assert!(no_folder(engine.changed(&folder, std::slice::from_ref(&path)).await));
    assert!(no_folder(engine.status(&folder, None).await.map(drop)));
    assert_eq!(engine.delivered(&folder, &path, &peer).await.unwrap(), Delivered::Unknown);
    assert_eq!(engine.absence(&folder, &path).await.unwrap(), Absence::Unknown);
    assert_eq!(engine.lacking(&folder, &peer).await.unwrap(), None);
    let pending = engine.pending().await.unwrap();
    assert!(pending.folders.is_empty());
    engine.refuse(&peer, None).await.unwrap();
    engine.refuse(&peer, Some(&folder)).await.unwrap();
    engine.pause(true).await.unwrap();
    engine.pause(false).await.unwrap();
}

async fn proof_of_delivery<B: Bench>(bench: &B, dir: &Path) {
    let engine = bench.engine();
    let root = dir.join("proof");
    std::fs::create_dir(&root).unwrap();
    std::fs::create_dir(root.join("d")).unwrap();
    let (partner, peer) = bench.partner();
    let id = folder_id("proof");
    engine.put_peer(&partner, &peer).await.unwrap();
    let peers = BTreeMap::from([(partner.clone(), None)]);
    let folder =
        Folder { label: "proof".into(), path: root.clone(), mode: Mode::SendReceive, peers };
    engine.put_folder(&id, &folder).await.unwrap();
    let file = path("d/ä \u{202e}b.txt");
    assert_eq!(engine.delivered(&id, &file, &partner).await.unwrap(), Delivered::Unknown);
    std::io::Write::write_all(
        &mut std::fs::File::create(root.join("d/ä \u{202e}b.txt")).unwrap(),
        b"content",
    )
    .unwrap();
    engine.changed(&id, std::slice::from_ref(&file)).await.unwrap();
    assert_ne!(engine.delivered(&id, &file, &partner).await.unwrap(), Delivered::Unknown);
    assert_eq!(engine.absence(&id, &file).await.unwrap(), Absence::StillThere);
    // The whole folder may be looked at as well.
    std::fs::File::create(root.join("whole")).unwrap();
    engine.changed(&id, &[]).await.unwrap();
    assert_eq!(engine.absence(&id, &path("whole")).await.unwrap(), Absence::StillThere);
    remove(&root.join("whole"));
    engine.changed(&id, &[]).await.unwrap();
    assert_eq!(engine.absence(&id, &path("whole")).await.unwrap(), Absence::Here);
    // What a dialect keeps in its folder is not known, and nothing else is passed over.
    for (name, is_known) in [
        (".hidden", true),
        ("a.part", true),
        ("film.!sync", false),
        (".larder-1", false),
        (".syncthing.notes", false),
        ("d/.stignore", false),
    ] {
        std::fs::File::create(root.join(name)).unwrap();
        engine.changed(&id, &[]).await.unwrap();
        let absence = engine.absence(&id, &path(name)).await.unwrap();
        let right = if is_known { Absence::StillThere } else { Absence::Unknown };
        assert_eq!(absence, right, "{name}");
        remove(&root.join(name));
    }
    engine.changed(&id, &[]).await.unwrap();
    // Somebody who is no member has proved nothing.
    let stranger = bench.stranger();
    assert_eq!(engine.delivered(&id, &file, &stranger).await.unwrap(), Delivered::Unknown);
    assert_eq!(engine.lacking(&id, &stranger).await.unwrap(), None);
    // Either way round, should it arrive in between.
    let lacking = engine.lacking(&id, &partner).await.unwrap().unwrap();
    let delivered = engine.delivered(&id, &file, &partner).await.unwrap();
    assert!(lacking.contains(&file) || delivered == Delivered::Yes, "{lacking:?}");
    bench.takes(&id, &file).await;
    until("delivered", || async {
        engine.delivered(&id, &file, &partner).await.unwrap() == Delivered::Yes
    })
    .await;
    until("nothing lacking", || async {
        let status = engine.status(&id, Some(&partner)).await.unwrap();
        status.valid && status.need_items == 0
    })
    .await;
    assert_eq!(engine.lacking(&id, &partner).await.unwrap(), Some(Vec::new()));
    // Deleted there: confirmed. Deleted here: known as such.
    bench.deletes(&id, &file).await;
    until("deletion confirmed", || async {
        matches!(engine.absence(&id, &file).await.unwrap(), Absence::Deleted(_))
    })
    .await;
    let other = path("e");
    std::fs::File::create(root.join("e")).unwrap();
    engine.changed(&id, std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(engine.absence(&id, &other).await.unwrap(), Absence::StillThere);
    remove(&root.join("e"));
    engine.changed(&id, std::slice::from_ref(&other)).await.unwrap();
    assert_eq!(engine.absence(&id, &other).await.unwrap(), Absence::Here);
    engine.remove_folder(&id).await.unwrap();
    engine.remove_peer(&partner).await.unwrap();
}

#[allow(clippy::disallowed_methods, reason = "a test takes away its own file")]
pub(super) fn remove(path: &Path) {
    std::fs::remove_file(path).unwrap();
}

/// Takes what a runner tells.
fn listener() -> (Sink, std::sync::mpsc::Receiver<Event>) {
    let (tx, rx) = std::sync::mpsc::sync_channel(64);
    let sink: Sink = Box::new(move |event| {
        tx.try_send(event).map_err(|e| match e {
            std::sync::mpsc::TrySendError::Full(e)
            | std::sync::mpsc::TrySendError::Disconnected(e) => e,
        })
    });
    (sink, rx)
}

mod none {
    use super::*;

    struct Nobody(NoTransport);

    impl Bench for Nobody {
        type Engine = NoTransport;
        fn engine(&self) -> &NoTransport {
            &self.0
        }
        fn stranger(&self) -> PeerId {
            PeerId::new("STRANGER").unwrap()
        }
        fn partner(&self) -> (PeerId, Peer) {
            unreachable!("this engine delivers nothing")
        }
        async fn takes(&self, _: &FolderId, _: &RelPath) {}
        async fn deletes(&self, _: &FolderId, _: &RelPath) {}
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        holds(&Nobody(NoTransport::default()), dir.path()).await;
    }
}

mod memory {
    use super::*;

    struct Twin(Memory, Script);

    impl Bench for Twin {
        type Engine = Memory;
        fn engine(&self) -> &Memory {
            &self.0
        }
        fn stranger(&self) -> PeerId {
            PeerId::new("STRANGER").unwrap()
        }
        fn partner(&self) -> (PeerId, Peer) {
            (PeerId::new("PARTNER").unwrap(), Peer::default())
        }
        async fn takes(&self, folder: &FolderId, path: &RelPath) {
            self.1.takes(folder, &self.partner().0, path);
        }
        async fn deletes(&self, folder: &FolderId, path: &RelPath) {
            self.1.deletes(folder, &self.partner().0, path);
        }
    }

    #[tokio::test]
    async fn keeps_the_contract() {
        let dir = tempfile::tempdir().unwrap();
        let (engine, script) = Memory::new(PeerId::new("OURS").unwrap());
        let twin = Twin(engine, script);
        holds(&twin, dir.path()).await;
        twin.0.pause(true).await.unwrap();
        assert!(twin.1.is_paused());
    }

    /// Waits for an event of the runner, on a thread of its own as the owner loop is one.
    fn expect(rx: &std::sync::mpsc::Receiver<Event>, what: &str, is: impl Fn(&Event) -> bool) {
        let end = std::time::Instant::now() + Duration::from_secs(120);
        while let Ok(event) =
            rx.recv_timeout(end.saturating_duration_since(std::time::Instant::now()))
        {
            if is(&event) {
                return;
            }
        }
        panic!("not told: {what}");
    }

    #[test]
    fn the_runner_settles_looks_answers_and_puts_right() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (engine, script) = Memory::new(PeerId::new("OURS").unwrap());
        script.take_at_once();
        script.set_up(false);
        let (sink, rx) = listener();
        let handle = start(engine, runtime.handle(), sink);
        expect(&rx, "down", |e| matches!(e, Event::Trouble { .. }));

        let peer = PeerId::new("PHONE").unwrap();
        let id = folder_id("f");
        let mut wanted = Desired::default();
        wanted.peers.insert(peer.clone(), Peer::default());
        // Our own id among the peers is left out rather than refused.
        wanted.peers.insert(PeerId::new("OURS").unwrap(), Peer::default());
        let folder = Folder {
            label: "f".into(),
            path: dir.path().into(),
            mode: Mode::SendReceive,
            peers: BTreeMap::from([(peer.clone(), None)]),
        };
        wanted.folders.insert(id.clone(), folder);
        handle.want(wanted.clone());
        std::fs::File::create(dir.path().join("a")).unwrap();
        // Told while it is down: it waits.
        handle.changed(&id, [path("a")]);
        script.set_up(true);
        expect(&rx, "up", |e| matches!(e, Event::Up { .. }));
        let delivered =
            Event::Delivered { folder: id.clone(), peer: peer.clone(), paths: vec![path("a")] };
        expect(&rx, "delivered", |e| *e == delivered);
        assert_eq!(script.looked(), [(id.clone(), vec![path("a")])]);

        assert!(handle.ask(Question::Lacking { folder: id.clone(), peer: peer.clone() }));
        let lacks_nothing = Event::Lacking { folder: id.clone(), peer, paths: Vec::new() };
        expect(&rx, "lacking", |e| *e == lacks_nothing);
        assert!(handle.ask(Question::Absence { folder: id.clone(), path: path("a") }));
        let absent =
            Event::Absent { folder: id.clone(), path: path("a"), absence: Absence::StillThere };
        expect(&rx, "absence", |e| *e == absent);

        // Meddled with by hand: put right.
        script.meddle(|config| {
            config.folders.clear();
            config.peers.insert(PeerId::new("INTRUDER").unwrap(), Peer::default());
        });
        wanted.peers.remove(&PeerId::new("OURS").unwrap());
        // It may have told before that what it found first is settled.
        expect(&rx, "settled", |e| *e == Event::Settled && script.config() == wanted);

        // One folder that is not there keeps nobody else from theirs, and is told.
        let mut missing = wanted.folders[&id].clone();
        missing.path = dir.path().join("not there");
        wanted.folders.insert(folder_id("a"), missing);
        wanted.folders.insert(folder_id("z"), wanted.folders[&id].clone());
        handle.want(wanted);
        expect(
            &rx,
            "trouble",
            |e| matches!(e, Event::Trouble { what, .. } if what.contains("not there")),
        );
        assert!(script.config().folders.contains_key(&folder_id("z")));

        handle.stop();
        let end = std::time::Instant::now() + Duration::from_secs(120);
        while !handle.is_stopped() && std::time::Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(handle.is_stopped());
    }
}

#[path = "../../tests/support/port.rs"]
mod port;

mod syncthing {
    use super::super::syncthing::Settings;
    use super::*;
    use std::io::Write;
    use std::sync::Arc;
    use tokio::sync::watch;

    /// Debian's Syncthing, or `None` after saying so where everybody sees it.
    fn program() -> Option<String> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sync/get-syncthing");
        let got = std::process::Command::new(script).output().unwrap();
        if got.status.success() {
            return Some(String::from_utf8(got.stdout).unwrap().trim().to_owned());
        }
        // Not by a macro: this must be seen although the test passes.
        let said = String::from_utf8_lossy(&got.stderr);
        std::io::stderr()
            .write_all(format!("\n*** SKIPPED: no Syncthing to test with:\n{said}***\n").as_bytes())
            .unwrap();
        assert!(std::env::var_os("LARDER_NEED_SYNCTHING").is_none(), "it was asked for");
        None
    }

    pub(super) struct One {
        pub(super) engine: Arc<Syncthing>,
        pub(super) address: String,
        pub(super) id: PeerId,
        stop: watch::Sender<bool>,
        task: tokio::task::JoinHandle<()>,
        pub(super) dir: tempfile::TempDir,
    }

    impl One {
        async fn start(program: &str, name: &str) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let address = format!("tcp://127.0.0.1:{}", port::free_port());
            let mut settings = Settings::new(program, dir.path().join("home"));
            settings.name = name.into();
            settings.listen = vec![address.clone()];
            settings.local_discovery = false;
            settings.reconnect_s = 5;
            let engine = Arc::new(Syncthing::new(settings));
            let (stop, stopped) = watch::channel(false);
            let served = Arc::clone(&engine);
            let task = tokio::spawn(async move { served.serve(Outbox::default(), stopped).await });
            until("up", || async { engine.pending().await.is_ok() }).await;
            let id = engine.identity().await.unwrap().unwrap();
            Self { engine, address, id, stop, task, dir }
        }

        async fn stop(self) {
            self.stop.send_replace(true);
            self.task.await.unwrap();
        }
    }

    struct Two(One, One);

    impl Two {
        fn files(&self) -> std::path::PathBuf {
            self.1.dir.path().join("files")
        }
    }

    impl Bench for Two {
        type Engine = Syncthing;
        fn engine(&self) -> &Syncthing {
            &self.0.engine
        }
        fn stranger(&self) -> PeerId {
            read_id("P56IOI7MZJNU2IQGDREYDM2MGTMGL3BXNPQ6W5BTBBZ4TJXZWICQ").unwrap()
        }
        fn partner(&self) -> (PeerId, Peer) {
            let addresses = vec![self.1.address.clone()];
            (self.1.id.clone(), Peer { name: "partner".into(), addresses, untrusted: false })
        }
        async fn takes(&self, folder: &FolderId, path: &RelPath) {
            let us = Peer {
                name: "us".into(),
                addresses: vec![self.0.address.clone()],
                untrusted: false,
            };
            self.1.engine.put_peer(&self.0.id, &us).await.unwrap();
            std::fs::create_dir(self.files()).unwrap();
            let peers = BTreeMap::from([(self.0.id.clone(), None)]);
            let (path_here, mode) = (self.files(), Mode::SendReceive);
            let theirs = Folder { label: "x".into(), path: path_here, mode, peers };
            self.1.engine.put_folder(folder, &theirs).await.unwrap();
            let file = self.files().join(std::str::from_utf8(path.as_bytes()).unwrap());
            until("taken", || async { file.exists() }).await;
        }
        async fn deletes(&self, folder: &FolderId, path: &RelPath) {
            let name = std::str::from_utf8(path.as_bytes()).unwrap();
            remove(&self.files().join(name));
            self.1.engine.changed(folder, std::slice::from_ref(path)).await.unwrap();
            let ours = &self.0.engine.current().await.unwrap().folders[folder].path;
            until("deleted", || async { !ours.join(name).exists() }).await;
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn keeps_the_contract() {
        let Some(program) = program() else { return };
        let (ours, theirs) =
            tokio::join!(One::start(&program, "ours"), One::start(&program, "theirs"));
        let two = Two(ours, theirs);
        let dir = tempfile::tempdir().unwrap();
        holds(&two, dir.path()).await;
        tokio::join!(two.0.stop(), two.1.stop());
    }
}
