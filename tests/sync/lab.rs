//! One or more parties, each with a Syncthing of its own.

use larder::model::RelPath;
use larder::transport::syncthing::Settings;
use larder::transport::{
    Desired, Event, Folder, FolderId, Handle, Mode, Password, Peer, PeerId, Sink, Syncthing, start,
};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

pub(crate) use port::free_port;

#[path = "../support/port.rs"]
mod port;

/// Longest wait for anything: two shared cores may be busy.
pub(crate) const LONG: Duration = Duration::from_secs(120);

/// Debian's Syncthing, or `None` after saying so where everybody sees it.
pub(crate) fn program() -> Option<PathBuf> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sync/get-syncthing");
    let got = std::process::Command::new(script).output().unwrap();
    if got.status.success() {
        return Some(String::from_utf8(got.stdout).unwrap().trim().into());
    }
    // Not by a macro: this must be seen although the test passes.
    let said = String::from_utf8_lossy(&got.stderr);
    let line = format!("\n*** SKIPPED: no Syncthing to test with:\n{said}***\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(std::env::var_os("LARDER_NEED_SYNCTHING").is_none(), "it was asked for");
    None
}

/// A house with a running Syncthing.
pub(crate) struct Party {
    pub(crate) name: &'static str,
    pub(crate) settings: Settings,
    pub(crate) id: PeerId,
    pub(crate) wanted: Desired,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) handle: Option<Handle>,
    heard: Arc<Heard>,
    runtime: tokio::runtime::Runtime,
}

#[derive(Default)]
struct Heard {
    events: Mutex<Vec<Event>>,
    more: Condvar,
}

impl Party {
    pub(crate) fn new(program: &Path, name: &'static str) -> Self {
        Self::with(program, name, |_| {})
    }

    /// Starts it and waits until it is up.
    pub(crate) fn with(
        program: &Path,
        name: &'static str,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let mut party = Self::prepared(program, name, set);
        party.start();
        party.up(0);
        party
    }

    /// Everything but the start.
    pub(crate) fn prepared(
        program: &Path,
        name: &'static str,
        set: impl FnOnce(&mut Settings),
    ) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(program, dir.path().join("home"));
        settings.name = name.into();
        settings.listen = vec![format!("tcp://127.0.0.1:{}", free_port())];
        settings.local_discovery = false;
        settings.reconnect_s = 5;
        set(&mut settings);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        Self {
            name,
            settings,
            id: PeerId::new("NOBODY-YET").unwrap(),
            wanted: Desired::default(),
            dir,
            handle: None,
            heard: Arc::default(),
            runtime,
        }
    }

    pub(crate) fn start(&mut self) {
        let heard = Arc::clone(&self.heard);
        let (name, began) = (self.name, Instant::now());
        let trace = std::env::var_os("LARDER_TRACE").is_some();
        let sink: Sink = Box::new(move |event| {
            if trace {
                println!("{:8.3} {name}: {event:?}", began.elapsed().as_secs_f64());
            }
            heard.events.lock().unwrap().push(event);
            heard.more.notify_all();
            Ok(())
        });
        let engine = Syncthing::new(self.settings.clone());
        self.handle = Some(start(engine, self.runtime.handle(), sink));
        self.handle().want(self.wanted.clone());
    }

    /// Waits for it to come up, after a mark.
    pub(crate) fn up(&mut self, from: usize) {
        let up = self.hear_from(from, "up", |e| matches!(e, Event::Up { .. }));
        if let Event::Up { identity, .. } = up {
            self.id = identity.unwrap();
        }
    }

    pub(crate) fn handle(&self) -> &Handle {
        self.handle.as_ref().unwrap()
    }

    /// Stops it in good order.
    pub(crate) fn stop(&mut self) {
        if let Some(handle) = self.handle.take() {
            handle.stop();
            until("stopped", || handle.is_stopped());
        }
    }

    /// What the other must know to reach this one.
    pub(crate) fn as_peer(&self) -> Peer {
        Peer { name: self.name.into(), addresses: self.settings.listen.clone(), untrusted: false }
    }

    pub(crate) fn path(&self, folder: &str) -> PathBuf {
        self.dir.path().join(folder)
    }

    /// Wants a folder with these others, and waits until it is so.
    pub(crate) fn share(&mut self, folder: &str, mode: Mode, with: &[&Party]) {
        self.share_secretly(folder, mode, with, None);
    }

    pub(crate) fn share_secretly(
        &mut self,
        folder: &str,
        mode: Mode,
        with: &[&Party],
        secret: Option<&str>,
    ) {
        let path = self.path(folder);
        std::fs::create_dir_all(&path).unwrap();
        let mut peers = BTreeMap::new();
        for other in with {
            let mut peer = other.as_peer();
            peer.untrusted = secret.is_some();
            self.wanted.peers.insert(other.id.clone(), peer);
            peers.insert(other.id.clone(), secret.map(|s| Password(s.into())));
        }
        let label = format!("BTsync/{folder}");
        self.wanted.folders.insert(id(folder), Folder { label, path, mode, peers });
        self.want();
    }

    /// Brings `wanted` about and waits until it is so.
    pub(crate) fn want(&self) {
        self.handle().want(self.wanted.clone());
        self.in_force();
    }

    /// Waits until what is wanted is so. [`Event::Settled`] may be about what was wanted before.
    pub(crate) fn in_force(&self) {
        until("what is wanted is in force", || self.handle().is_in_force());
    }

    pub(crate) fn changed(&self, folder: &str, paths: &[&str]) {
        self.handle().changed(&id(folder), paths.iter().map(|p| path(p)));
    }

    /// How much was heard so far.
    pub(crate) fn mark(&self) -> usize {
        self.heard.events.lock().unwrap().len()
    }

    /// Everything heard from a mark on.
    pub(crate) fn heard(&self, from: usize) -> Vec<Event> {
        self.heard.events.lock().unwrap()[from..].to_vec()
    }

    /// Waits for an event, also among those heard before.
    pub(crate) fn hear(&self, what: &str, is: impl FnMut(&Event) -> bool) -> Event {
        self.hear_from(0, what, is)
    }

    /// Waits for an event heard after a mark.
    pub(crate) fn hear_from(
        &self,
        mut from: usize,
        what: &str,
        mut is: impl FnMut(&Event) -> bool,
    ) -> Event {
        let end = Instant::now() + LONG;
        let mut events = self.heard.events.lock().unwrap();
        loop {
            while let Some(event) = events.get(from) {
                if is(event) {
                    return event.clone();
                }
                from += 1;
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let last = &events[events.len().saturating_sub(8)..];
                panic!("{} did not hear: {what}; last: {last:#?}", self.name);
            }
            events = self.heard.more.wait_timeout(events, left).unwrap().0;
        }
    }

    /// Waits until every one of these files is proved to be at a peer.
    pub(crate) fn hear_delivered(&self, from: usize, folder: &str, at: &Party, paths: &[&str]) {
        let mut left: std::collections::BTreeSet<RelPath> = paths.iter().map(|p| path(p)).collect();
        self.hear_from(from, &format!("{} files delivered", paths.len()), |e| {
            if let Event::Delivered { folder: f, peer, paths } = e
                && *f == id(folder)
                && *peer == at.id
            {
                paths.iter().for_each(|p| {
                    left.remove(p);
                });
            }
            left.is_empty()
        });
    }

    /// The one Syncthing process of this party.
    pub(crate) fn process(&self) -> i32 {
        let home = self.settings.home.to_str().unwrap().to_owned();
        let all: Vec<i32> = std::fs::read_dir("/proc")
            .unwrap()
            .filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                std::fs::read(format!("/proc/{pid}/cmdline"))
                    .is_ok_and(|line| line.split(|&b| b == 0).any(|a| a == home.as_bytes()))
            })
            .collect();
        assert_eq!(all.len(), 1, "one process of {}", self.name);
        all[0]
    }

    /// Processor time its Syncthing has used.
    pub(crate) fn cpu(&self) -> Duration {
        cpu(&format!("/proc/{}/stat", self.process()))
    }

    pub(crate) fn kill(&self) {
        let pid = rustix::process::Pid::from_raw(self.process()).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::KILL).unwrap();
    }
}

impl Drop for Party {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.stop();
        }
        // The runtime goes next, and with it the process.
    }
}

/// Two parties with one folder between them.
pub(crate) fn pair(program: &Path, folder: &str) -> (Party, Party) {
    let (mut a, mut b) = (Party::new(program, "nas"), Party::new(program, "phone"));
    a.share(folder, Mode::SendReceive, &[&b]);
    b.share(folder, Mode::SendReceive, &[&a]);
    connected(&a, &b);
    (a, b)
}

/// Waits until two know that they are connected.
pub(crate) fn connected(a: &Party, b: &Party) {
    for (one, other) in [(a, b), (b, a)] {
        one.hear(
            "connected",
            |e| matches!(e, Event::Connection { peer, up: true, .. } if *peer == other.id),
        );
    }
}

pub(crate) fn id(folder: &str) -> FolderId {
    FolderId::new(folder).unwrap()
}

pub(crate) fn path(text: &str) -> RelPath {
    RelPath::new(text.as_bytes()).unwrap()
}

/// Waits for something that nobody tells.
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < end, "still not: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Waits until all of much is so. However slow the machine is, it goes on as long as it becomes more.
#[allow(dead_code, reason = "each program of tests uses its part of it")]
pub(crate) fn until_all(what: &str, all: u64, mut count: impl FnMut() -> u64) {
    let (mut most, mut since) = (0, Instant::now());
    loop {
        let now = count();
        if now == all {
            return;
        }
        if now > most {
            (most, since) = (now, Instant::now());
        }
        assert!(since.elapsed() < LONG, "{what}: no more than {most} of {all}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Writes as a program does: beside it, then renamed over.
#[allow(clippy::disallowed_methods, reason = "a test plays a device, which writes its own files")]
pub(crate) fn put(folder: &Path, name: &str, content: &[u8]) {
    let at = folder.join(name);
    std::fs::create_dir_all(at.parent().unwrap()).unwrap();
    let temp = folder.join(".larder-put");
    std::fs::write(&temp, content).unwrap();
    std::fs::rename(temp, at).unwrap();
}

#[allow(clippy::disallowed_methods, reason = "a test plays a device, which removes its own files")]
pub(crate) fn remove(at: &Path) {
    std::fs::remove_file(at).unwrap();
}

pub(crate) fn content(at: &Path) -> Vec<u8> {
    std::fs::read(at).unwrap_or_default()
}

/// Bytes that do not compress and are not the same twice.
pub(crate) fn noise(size: usize, mut seed: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        bytes.extend_from_slice(&seed.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// Processor time a process has used, from its `stat` (proc(5): fields 14 and 15, in 1/100 s).
pub(crate) fn cpu(stat: &str) -> Duration {
    let text = std::fs::read_to_string(stat).unwrap();
    let (_, fields) = text.rsplit_once(") ").unwrap();
    let ticks = fields.split(' ').skip(11).take(2).map(|f| f.parse::<u64>().unwrap());
    Duration::from_millis(ticks.sum::<u64>() * 10)
}
