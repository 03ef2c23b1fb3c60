//! Syncthing, started and watched by us: 1.27 and later, and 2.x.
//!
//! Its home lies on the drive and is ours alone; its interface is a unix socket that only our user
//! may open, with a key drawn anew at each start. What it may do to a folder and whom it talks to
//! is in [`Settings`] and in the fixed settings of folders (`wire.rs`); whatever somebody changes
//! by hand is put right, before it starts and while it runs. Facts measured of its interface are
//! noted where they matter; the reference is <https://docs.syncthing.net/dev/rest.html>.

mod events;
mod home;
mod markers;
mod process;
mod rest;
mod serve;
mod track;
mod wire;

use super::{
    Absence, Capabilities, Delivered, Desired, Folder, FolderId, Outbox, Peer, PeerId, Pending,
    Status, Transport, TransportError,
};
use crate::model::RelPath;
use crate::model::dialect::{Dialect, SYNCTHING};
use hyper::Method;
use rest::{Rest, SOON, query};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use track::Tracker;

/// A look at a folder queues behind whatever it is doing: a large file being taken, for instance.
const LOOK: Duration = Duration::from_secs(3_600);
/// So many files that a peer lacks are named at most.
const MOST_LACKING: usize = 200_000;
/// How long after a new start for a free port the next one may come.
const NUDGES: Duration = Duration::from_secs(300);
/// Past so many paths the whole folder is looked at: one pass is quicker than many.
const SINGLE_PATHS: usize = 300;

/// How Syncthing is run. [`Settings::new`] has the defaults for a house that keeps to itself.
#[derive(Clone, PartialEq, Debug)]
pub struct Settings {
    /// The program.
    pub program: PathBuf,
    /// Our own program: it starts Syncthing by `larder exec`, so that it ends with this process, however that ends.
    /// `None` (default): it outlives a process that is killed.
    pub guard: Option<PathBuf>,
    /// Its home; the folder above it must be there.
    pub home: PathBuf,
    /// Where its interface is; default `api.sock` in its home. At most 107 bytes (unix(7)).
    pub socket: Option<PathBuf>,
    /// What others see us called.
    pub name: String,
    /// Where it listens, as Syncthing writes it. Default `tcp://0.0.0.0:22000`.
    pub listen: Vec<String>,
    /// Found on the local network. Default true: without it a phone at home must be told our
    /// address.
    pub local_discovery: bool,
    /// Ask and tell Syncthing's servers on the internet where devices are. Default false.
    pub global_discovery: bool,
    /// Go through other people's relays. Default false.
    pub relays: bool,
    /// Open ports in the router. Default false.
    pub nat: bool,
    /// How often peers are told how far a file is, in seconds; -1 is never (default).
    pub progress_s: i32,
    /// How often a peer that is away is tried, in seconds; at least 5. Default 20.
    pub reconnect_s: u32,
    /// Limit of what is sent, in KiB/s; 0 is none (default).
    pub max_send_kbps: u32,
    /// How many folders are looked at or take files at a time. Default 3. With one, a page waits
    /// until whatever else arrives has arrived: 1 MB took 34 s beside 10,000 files in another
    /// folder, and 2.5 s with three (measured, two houses on two busy cores).
    pub folders_at_once: u32,
    /// What it tries to keep its memory below, in MiB. Default 160.
    pub memory_mib: u32,
}

impl Settings {
    /// The defaults.
    pub fn new(program: impl Into<PathBuf>, home: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            guard: None,
            home: home.into(),
            socket: None,
            name: "Larder".into(),
            listen: vec!["tcp://0.0.0.0:22000".into()],
            local_discovery: true,
            global_discovery: false,
            relays: false,
            nat: false,
            progress_s: -1,
            reconnect_s: 20,
            max_send_kbps: 0,
            folders_at_once: 3,
            memory_mib: 160,
        }
    }

    /// Where its interface is.
    fn socket(&self) -> PathBuf {
        self.socket.clone().unwrap_or_else(|| self.home.join("api.sock"))
    }

    /// The options of `wire::options` that must hold from its first moment, before there is an
    /// interface, as its file has them.
    fn options_xml(&self) -> Vec<(&'static str, String)> {
        let flag = |b: bool| b.to_string();
        let mut all: Vec<_> =
            self.listen.iter().map(|address| ("listenAddress", address.clone())).collect();
        all.extend([
            ("globalAnnounceEnabled", flag(self.global_discovery)),
            ("localAnnounceEnabled", flag(self.local_discovery)),
            ("relaysEnabled", flag(self.relays)),
            ("natEnabled", flag(self.nat)),
            ("urAccepted", "-1".into()),
            ("crashReportingEnabled", flag(false)),
            ("autoUpgradeIntervalH", "0".into()),
            ("startBrowser", flag(false)),
            ("progressUpdateIntervalS", self.progress_s.to_string()),
            ("maxFolderConcurrency", self.folders_at_once.to_string()),
            ("maxConcurrentIncomingRequestKiB", "32768".into()),
            ("databaseTuning", "small".into()),
            ("reconnectionIntervalS", self.reconnect_s.max(5).to_string()),
            ("maxSendKbps", self.max_send_kbps.to_string()),
        ]);
        all
    }
}

/// Syncthing.
pub struct Syncthing {
    core: Arc<Core>,
}

/// What the calls and the session share.
struct Core {
    settings: Settings,
    rest: Rest,
    /// Our id; drawn at the first start, then the same for ever.
    own: watch::Sender<Option<PeerId>>,
    paused: AtomicBool,
    tracker: Mutex<Tracker>,
    /// Something was put on its way.
    tracked: Notify,
    /// When it was last started anew because its port was free.
    nudged: Mutex<Option<Instant>>,
}

impl Syncthing {
    /// Does nothing yet: [`super::start`] starts it.
    pub fn new(settings: Settings) -> Self {
        let rest = Rest::new(settings.socket());
        Self {
            core: Arc::new(Core {
                settings,
                rest,
                own: watch::Sender::new(None),
                paused: AtomicBool::new(false),
                tracker: Mutex::default(),
                tracked: Notify::new(),
                nudged: Mutex::default(),
            }),
        }
    }
}

impl Core {
    fn tracker(&self) -> MutexGuard<'_, Tracker> {
        self.tracker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True once in [`NUDGES`], should a new start not help.
    fn may_nudge(&self) -> bool {
        let mut nudged = self.nudged.lock().unwrap_or_else(PoisonError::into_inner);
        let may = nudged.is_none_or(|at| at.elapsed() > NUDGES);
        if may {
            *nudged = Some(Instant::now());
        }
        may
    }

    async fn own(&self) -> Result<PeerId, TransportError> {
        if let Some(own) = &*self.own.borrow() {
            return Ok(own.clone());
        }
        let status: Value = self.rest.get("/rest/system/status").await?;
        let own = PeerId::new(status["myID"].as_str().unwrap_or_default())?;
        self.own.send_replace(Some(own.clone()));
        Ok(own)
    }

    async fn folders(&self) -> Result<BTreeMap<FolderId, Folder>, TransportError> {
        let own = self.own().await?;
        let raw: Vec<Value> = self.rest.get("/rest/config/folders").await?;
        raw.iter()
            .map(|v| wire::read_folder(v, &own))
            .collect::<Result<_, _>>()
            .map_err(|e| unexpected("/rest/config/folders", &e))
    }

    async fn file(
        &self,
        folder: &FolderId,
        path: &RelPath,
    ) -> Result<Option<wire::FileInfo>, TransportError> {
        let at = format!("/rest/db/file?folder={folder}&file={}", query(path.as_bytes()));
        self.rest.find(&at, SOON).await
    }

    /// The paths of a folder that a peer needs; `None`: there is no such folder.
    async fn needed(
        &self,
        folder: &FolderId,
        peer: &PeerId,
    ) -> Result<Option<wire::Needed>, TransportError> {
        let at = format!("/rest/db/remoteneed?folder={folder}&device={peer}&perpage=1000000");
        self.rest.find(&at, LOOK).await
    }

    async fn delivered(
        &self,
        folder: &FolderId,
        path: &RelPath,
        peer: &PeerId,
    ) -> Result<Delivered, TransportError> {
        let Some(file) = self.file(folder, path).await? else { return Ok(Delivered::Unknown) };
        if !file.is_here() {
            return Ok(Delivered::Unknown);
        }
        // Who is connected and has the present content is listed; who is away never is.
        let mut having = file.availability.iter().flatten();
        if having.any(|a| a.id == *peer && !a.from_temporary) {
            return Ok(Delivered::Yes);
        }
        let folders = self.folders().await?;
        if !folders.get(folder).is_some_and(|f| f.peers.contains_key(peer)) {
            return Ok(Delivered::Unknown);
        }
        let Some(needed) = self.needed(folder, peer).await? else { return Ok(Delivered::Unknown) };
        let name = path.as_bytes();
        let lacks = needed.files.iter().flatten().any(|f| f.name.as_bytes() == name);
        Ok(if lacks { Delivered::No } else { Delivered::Yes })
    }

    async fn pending(&self) -> Result<Pending, TransportError> {
        let peers: Value = self.rest.get("/rest/cluster/pending/devices").await?;
        let folders: Value = self.rest.get("/rest/cluster/pending/folders").await?;
        Ok(wire::pending(&peers, &folders))
    }
}

fn unexpected(doing: &str, problem: &serde_json::Error) -> TransportError {
    TransportError::Answer { doing: doing.into(), problem: problem.to_string() }
}

fn on_disk(folder: &Path, path: &RelPath) -> PathBuf {
    folder.join(std::ffi::OsStr::from_bytes(path.as_bytes()))
}

impl Transport for Syncthing {
    fn dialect(&self) -> Option<&'static Dialect> {
        Some(&SYNCTHING)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::ALL
    }

    async fn serve(&self, out: Outbox, stop: watch::Receiver<bool>) {
        serve::serve(&self.core, out, stop).await;
    }

    async fn identity(&self) -> Result<Option<PeerId>, TransportError> {
        self.core.own().await.map(Some)
    }

    async fn current(&self) -> Result<Desired, TransportError> {
        let own = self.core.own().await?;
        let paused = self.core.paused.load(Ordering::Relaxed);
        let raw: Vec<Value> = self.core.rest.get("/rest/config/devices").await?;
        let mut peers = BTreeMap::new();
        for value in &raw {
            let (id, peer) = wire::read_peer(value, paused)
                .map_err(|e| unexpected("/rest/config/devices", &e))?;
            if id != own {
                peers.insert(id, peer);
            }
        }
        let mut folders = self.core.folders().await?;
        for folder in folders.values_mut() {
            let path = folder.path.clone();
            // The list of ignored names is a setting, too. It is read afresh: a peer could not
            // have changed it, but somebody at home can.
            if !home::blocking(move || Ok(home::is_ignoring(&path))).await? {
                folder.label = wire::MEDDLED.into();
            }
        }
        Ok(Desired { peers, folders })
    }

    async fn put_peer(&self, id: &PeerId, peer: &Peer) -> Result<(), TransportError> {
        let paused = self.core.paused.load(Ordering::Relaxed);
        let body = wire::put_peer(id, peer, paused);
        self.core.rest.call(Method::POST, "/rest/config/devices", Some(&body)).await.map(drop)
    }

    async fn remove_peer(&self, id: &PeerId) -> Result<(), TransportError> {
        let at = format!("/rest/config/devices/{}", query(id.as_str().as_bytes()));
        self.core.rest.call(Method::DELETE, &at, None).await?;
        self.core.tracker().drop_ways(|(_, peer)| peer == id);
        Ok(())
    }

    async fn put_folder(&self, id: &FolderId, folder: &Folder) -> Result<(), TransportError> {
        let path = folder.path.clone();
        home::blocking(move || {
            if !path.is_dir() {
                return Err(TransportError::NoDirectory { path });
            }
            home::ignore(&path)
        })
        .await?;
        let before = self
            .core
            .folders()
            .await?
            .remove(id)
            .unwrap_or_else(|| Folder { peers: BTreeMap::new(), ..folder.clone() });
        let body = wire::put_folder(id, folder);
        self.core.rest.call(Method::POST, "/rest/config/folders", Some(&body)).await?;
        self.core.tracker().drop_ways(|(f, p)| f == id && !folder.peers.contains_key(p));
        // A peer that is connected hears of a secret only when it connects anew (measured).
        for (peer, secret) in &folder.peers {
            if secret.is_some() && before.peers.get(peer) != Some(secret) {
                let at = format!("/rest/config/devices/{}", query(peer.as_str().as_bytes()));
                for paused in [true, self.core.paused.load(Ordering::Relaxed)] {
                    let body = json!({ "paused": paused });
                    self.core.rest.call(Method::PATCH, &at, Some(&body)).await?;
                }
            }
        }
        Ok(())
    }

    async fn remove_folder(&self, id: &FolderId) -> Result<(), TransportError> {
        let at = format!("/rest/config/folders/{id}");
        let gone = self.core.rest.send(Method::DELETE, &at, String::new(), SOON).await?;
        if gone.status != hyper::StatusCode::NOT_FOUND {
            gone.good("remove a folder")?;
        }
        self.core.tracker().drop_ways(|(folder, _)| folder == id);
        Ok(())
    }

    async fn pause(&self, paused: bool) -> Result<(), TransportError> {
        self.core.paused.store(paused, Ordering::Relaxed);
        let at = if paused { "/rest/system/pause" } else { "/rest/system/resume" };
        self.core.rest.call(Method::POST, at, None).await.map(drop)
    }

    async fn pending(&self) -> Result<Pending, TransportError> {
        self.core.pending().await
    }

    async fn refuse(&self, peer: &PeerId, folder: Option<&FolderId>) -> Result<(), TransportError> {
        let peer = query(peer.as_str().as_bytes());
        let at = match folder {
            None => format!("/rest/cluster/pending/devices?device={peer}"),
            Some(folder) => {
                format!("/rest/cluster/pending/folders?folder={folder}&device={peer}")
            }
        };
        self.core.rest.call(Method::DELETE, &at, None).await.map(drop)
    }

    async fn changed(&self, folder: &FolderId, paths: &[RelPath]) -> Result<(), TransportError> {
        // What is said of them from now on must be about their new content.
        self.core.tracker().forget(folder, paths);
        let folders = self.core.folders().await?;
        let known = folders.get(folder).ok_or_else(|| TransportError::NoFolder(folder.clone()))?;
        let mut at = format!("/rest/db/scan?folder={folder}");
        if paths.len() <= SINGLE_PATHS {
            for path in paths {
                at.push_str("&sub=");
                at.push_str(&query(path.as_bytes()));
            }
        }
        let answer = self.core.rest.send(Method::POST, &at, String::new(), LOOK).await?;
        answer.good("look at a folder")?;
        let (root, list) = (known.path.clone(), paths.to_vec());
        let there = home::blocking(move || {
            Ok(list
                .into_iter()
                .filter(|p| on_disk(&root, p).symlink_metadata().is_ok_and(|m| m.is_file()))
                .collect::<Vec<_>>())
        })
        .await?;
        if !there.is_empty() {
            let mut tracker = self.core.tracker();
            for peer in known.peers.keys() {
                tracker.add((folder.clone(), peer.clone()), there.iter().cloned());
            }
            drop(tracker);
            self.core.tracked.notify_one();
        }
        Ok(())
    }

    async fn delivered(
        &self,
        folder: &FolderId,
        path: &RelPath,
        peer: &PeerId,
    ) -> Result<Delivered, TransportError> {
        self.core.delivered(folder, path, peer).await
    }

    async fn lacking(
        &self,
        folder: &FolderId,
        peer: &PeerId,
    ) -> Result<Option<Vec<RelPath>>, TransportError> {
        let folders = self.core.folders().await?;
        if !folders.get(folder).is_some_and(|f| f.peers.contains_key(peer)) {
            return Ok(None);
        }
        let needed = self.core.needed(folder, peer).await?;
        let files = needed.map(|n| n.files.unwrap_or_default());
        let paths = |files: Vec<wire::NeededFile>| {
            files.iter().filter_map(|f| wire::path(&f.name)).take(MOST_LACKING).collect()
        };
        Ok(files.map(paths))
    }

    async fn status(
        &self,
        folder: &FolderId,
        peer: Option<&PeerId>,
    ) -> Result<Status, TransportError> {
        let missing = || TransportError::NoFolder(folder.clone());
        if let Some(peer) = peer {
            let peer = query(peer.as_str().as_bytes());
            let at = format!("/rest/db/completion?folder={folder}&device={peer}");
            let completion = self.core.rest.find::<wire::Completion>(&at, SOON).await?;
            return completion.map(|c| c.status()).ok_or_else(missing);
        }
        let at = format!("/rest/db/status?folder={folder}");
        let summary = self.core.rest.find::<wire::Summary>(&at, SOON).await?;
        summary.map(|s| s.status()).ok_or_else(missing)
    }

    async fn absence(&self, folder: &FolderId, path: &RelPath) -> Result<Absence, TransportError> {
        let Some(file) = self.core.file(folder, path).await? else { return Ok(Absence::Unknown) };
        let local = &file.local;
        if !local.deleted {
            // An empty version: somebody else has it, and it never was here.
            let was_here = local.version.as_ref().is_some_and(|v| !v.is_empty());
            return Ok(if was_here { Absence::StillThere } else { Absence::Unknown });
        }
        let own = self.core.own().await?;
        Ok(if local.modified_by == own.short() {
            Absence::Here
        } else {
            let by = Some(local.modified_by.clone()).filter(|by| !by.is_empty());
            Absence::Deleted(by)
        })
    }
}
