//! A phone that is really another machine as far as anybody can tell: a Syncthing of its own, with
//! folders of its own. It meets the house as phones do: it adds the NAS, asks, and takes what it is offered.

use anyhow::{Context as _, Result, bail, ensure};
use larder::model::RelPath;
use larder::transport::syncthing::Settings;
use larder::transport::{
    Desired, Event, Folder, FolderId, Handle, Mode, Peer, PeerId, Sink, Syncthing, start,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest path of a unix socket, unix(7).
const SOCKET: usize = 107;

/// Debian's Syncthing, fetched into this folder if need be; or why there is none, in a sentence.
pub fn program(drive: &Path) -> Result<PathBuf, String> {
    let socket = drive.join("BTsyncApp/syncthing/api.sock");
    if socket.as_os_str().len() > SOCKET {
        return Err(format!("{} is too long for a socket; name a shorter --dir", socket.display()));
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sync/get-syncthing");
    println!("Looking for Debian's Syncthing, for a real phone (nothing is installed) …");
    let fetch = Command::new("timeout").arg("90").arg(&script).stdin(Stdio::null()).output();
    let got = fetch.map_err(|e| format!("{} can't be started: {e}", script.display()))?;
    if got.status.success() {
        let path = String::from_utf8_lossy(&got.stdout);
        return Ok(path.lines().last().unwrap_or_default().trim().into());
    }
    let said = String::from_utf8_lossy(&got.stderr);
    let last = said.lines().rev().find_map(|line| line.strip_prefix("get-syncthing: "));
    Err(last.unwrap_or("it took too long to fetch").to_owned())
}

/// What it has heard from its Syncthing.
#[derive(Default)]
struct Heard {
    id: Option<PeerId>,
    /// Folders that it is offered: their labels.
    offered: BTreeMap<String, FolderId>,
    trouble: Option<String>,
}

/// The phone.
pub struct Phone {
    handle: Handle,
    wanted: Mutex<Desired>,
    heard: Arc<Mutex<Heard>>,
    /// Where it keeps its two folders.
    pub root: PathBuf,
    socket: PathBuf,
    /// Dropped last: its Syncthing runs in it.
    _runtime: tokio::runtime::Runtime,
}

impl Phone {
    /// Switches it on.
    pub fn start(program: &Path, root: &Path) -> Result<Self> {
        std::fs::create_dir_all(root).with_context(|| format!("{}", root.display()))?;
        let port = crate::port::free_port();
        let mut settings = Settings::new(program, root.join("syncthing"));
        let socket = format!("larder-demo-{}.sock", std::process::id());
        let socket = std::env::temp_dir().join(socket);
        settings.socket = Some(socket.clone());
        settings.name = "HTC phone".into();
        settings.listen = vec![format!("tcp://127.0.0.1:{port}")];
        settings.local_discovery = false;
        settings.reconnect_s = 5;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let heard = Arc::<Mutex<Heard>>::default();
        let ear = Arc::clone(&heard);
        let sink: Sink = Box::new(move |event| {
            let mut heard = ear.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Event::Up { identity, .. } => heard.id = identity,
                Event::Pending(pending) => {
                    heard.offered = pending.folders.into_iter().map(|f| (f.label, f.id)).collect();
                }
                Event::Trouble { what, .. } => heard.trouble = Some(what),
                Event::Well => heard.trouble = None,
                _ => {}
            }
            Ok(())
        });
        let handle = start(Syncthing::new(settings), runtime.handle(), sink);
        let (wanted, root) = (Mutex::default(), root.to_owned());
        Ok(Self { handle, wanted, heard, root, socket, _runtime: runtime })
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its device id, once it is up.
    pub fn id(&self) -> Result<Option<PeerId>> {
        let heard = self.heard();
        if let Some(trouble) = &heard.trouble {
            bail!("the phone's Syncthing: {trouble}");
        }
        Ok(heard.id.clone())
    }

    /// Adds the NAS, as after its code was scanned.
    pub fn meet(&self, nas: &str, port: u16) -> Result<()> {
        let addresses = vec![format!("tcp://127.0.0.1:{port}")];
        let peer = Peer { name: "Larder".into(), addresses, untrusted: false };
        self.want(|wanted| {
            wanted.peers.insert(PeerId::new(nas)?, peer);
            Ok(())
        })
    }

    fn want(&self, change: impl FnOnce(&mut Desired) -> Result<()>) -> Result<()> {
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut wanted)?;
        self.handle.want(wanted.clone());
        Ok(())
    }

    /// Takes the folders that it is offered, under the names that come with them; `None` while
    /// there are not two.
    pub fn take_folders(&self, nas: &str) -> Result<Option<()>> {
        let offered = self.heard().offered.clone();
        if offered.len() < 2 {
            return Ok(None);
        }
        self.want(|wanted| {
            for (label, id) in &offered {
                ensure!(label.starts_with("BTsync/"), "{label} is offered");
                let path = self.root.join(label);
                std::fs::create_dir_all(&path)?;
                let peers = BTreeMap::from([(PeerId::new(nas)?, None)]);
                let folder = Folder { label: label.clone(), path, mode: Mode::SendReceive, peers };
                wanted.folders.insert(id.clone(), folder);
            }
            Ok(())
        })?;
        Ok(Some(()))
    }

    /// Something changed in one of its folders: looked at now instead of when it is noticed.
    pub fn changed(&self, file: &Path) {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, folder) in &wanted.folders {
            if let Ok(within) = file.strip_prefix(&folder.path)
                && let Ok(path) = RelPath::new(within.as_os_str().as_encoded_bytes())
            {
                self.handle.changed(id, [path]);
            }
        }
    }
}

impl Drop for Phone {
    /// Switches it off, and waits until it is. What is left of the program goes with the runtime.
    fn drop(&mut self) {
        self.handle.stop();
        let begun = Instant::now();
        while !self.handle.is_stopped() && begun.elapsed() < Duration::from_secs(20) {
            std::thread::sleep(Duration::from_millis(20));
        }
        // It takes its socket away itself when it ends in good order.
        std::fs::remove_file(&self.socket).ok();
    }
}
