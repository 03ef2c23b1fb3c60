//! The sync engine of one drive: started with it, stopped with it, fed and heard in between.

use crate::config::{Config, Device};
use crate::daemon::{DaemonError, Places, Reach, now};
use crate::engine::{Carried, Engine, News};
use crate::model::DeviceName;
use crate::sync_bridge::SyncBridge;
use crate::transport::{Event, Handle, Syncthing, start, syncthing};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc};

/// So many events may wait for the loop; what does not fit is told by the transport as one reset.
const EVENTS: usize = 1_024;
/// So long the sync engine may take to stop before the drive is let go.
const GOODBYE: Duration = Duration::from_secs(5);
/// What carries.
const PROGRAM: &str = "syncthing";
/// The ledger's name for the folder ids.
const BOOK: &str = "sync-folders";

/// A running sync engine.
pub(super) struct Carrying {
    handle: Handle,
    bridge: SyncBridge,
    events: mpsc::Receiver<Event>,
    settings: crate::config::Sync,
    /// The shares in what is wanted, and the devices.
    shares: Vec<Carried>,
    devices: BTreeMap<DeviceName, Device>,
    drive: PathBuf,
}

impl Carrying {
    /// Starts Syncthing, if the settings want it and it is installed.
    pub(super) fn begin(
        places: &Places,
        reach: Reach,
        engine: &mut Engine,
        wake: &Arc<Notify>,
    ) -> Result<Option<Self>, DaemonError> {
        let config = engine.config().clone();
        // Until somebody carries, nobody is asked about absences.
        engine.carried([]);
        engine.unmention("no carrier");
        if !config.sync.enabled {
            return Ok(None);
        }
        let Some(program) = find_program(PROGRAM) else {
            let what = "Syncthing is not installed, so nothing carries files to the devices";
            let next = "install it (it is noticed by itself), or carry BTsync/devices and BTsync/catalogue by other means \
                        (and set enabled = false under [sync])";
            engine.mention("no carrier", now(), what, next);
            return Ok(None);
        };
        let (bridge, new) = SyncBridge::new(engine.recall(BOOK)?.as_deref(), &config)
            .map_err(|e| DaemonError::Random(e.to_string()))?;
        if new {
            engine.keep_in_mind(BOOK, &bridge.remembered())?;
        }
        let (sender, events) = mpsc::channel(EVENTS);
        let wake = Arc::clone(wake);
        let sink = Box::new(move |event| {
            let sent = sender.try_send(event).map_err(|e| match e {
                mpsc::error::TrySendError::Full(event)
                | mpsc::error::TrySendError::Closed(event) => event,
            });
            wake.notify_one();
            sent
        });
        let drive = std::path::absolute(&places.drive).unwrap_or_else(|_| places.drive.clone());
        let home = drive.join("BTsyncApp/syncthing");
        let mut settings = syncthing::Settings::new(program, home);
        // Even when the file was replaced by a newer one while it runs: this is what runs.
        settings.guard = Some("/proc/self/exe".into());
        settings.name.clone_from(&config.nas.name);
        let at = match reach {
            Reach::Network => "0.0.0.0",
            Reach::Loopback => "127.0.0.1",
        };
        settings.listen = vec![format!("tcp://{at}:{}", config.sync.port)];
        settings.local_discovery = reach == Reach::Network;
        let internet = config.sync.internet && reach == Reach::Network;
        settings.global_discovery = internet;
        settings.relays = internet;
        settings.nat = internet;
        if internet {
            settings.listen.push("dynamic+https://relays.syncthing.net/endpoint".into());
        }
        let handle = start(Syncthing::new(settings), &tokio::runtime::Handle::current(), sink);
        let settings = config.sync.clone();
        let (shares, devices) = (Vec::new(), BTreeMap::new());
        let mut carrying = Self { handle, bridge, events, settings, shares, devices, drive };
        carrying.want(engine)?;
        // Whatever changed while nobody looked.
        carrying.look_everywhere(&config);
        Ok(Some(carrying))
    }

    /// True when there is a sync engine that the settings want.
    pub(super) fn is_possible(engine: &Engine) -> bool {
        engine.config().sync.enabled && find_program(PROGRAM).is_some()
    }

    /// True when the settings ask for another sync engine than the one that runs.
    pub(super) fn outdated(&self, config: &Config) -> bool {
        self.settings != config.sync
    }

    /// Puts the peers and folders of the settings in force.
    pub(super) fn want(&mut self, engine: &mut Engine) -> Result<(), DaemonError> {
        let config = engine.config().clone();
        self.shares = engine.shares_to_carry()?;
        self.devices.clone_from(&config.devices);
        let random = |e: getrandom::Error| DaemonError::Random(e.to_string());
        let (new_share, wrong) = self.bridge.share(&self.shares).map_err(random)?;
        match wrong.first() {
            Some(why) => {
                let next = "end that share and share it again with the right device id";
                engine.mention("share peers", now(), &why.to_string(), next);
            }
            None => engine.unmention("share peers"),
        }
        engine.share_ids(self.bridge.share_ids());
        let new = self.bridge.draw_ids(&config).map_err(|e| DaemonError::Random(e.to_string()))?;
        if new || new_share {
            engine.keep_in_mind(BOOK, &self.bridge.remembered())?;
        }
        config.devices.keys().for_each(|device| engine.unmention(&format!("id of {device}")));
        for (device, complaint) in self.bridge.want(&self.handle, &config, &self.drive) {
            let what = format!("[devices.{device}]: {complaint}");
            engine.mention(&format!("id of {device}"), now(), &what, "put it right in larder.toml");
        }
        engine.carried(self.bridge.served());
        Ok(())
    }

    fn look_everywhere(&self, config: &Config) {
        for device in config.devices.keys() {
            self.bridge.changed_all(&self.handle, device);
        }
    }

    /// True when the sync engine has told something that was not taken yet.
    pub(super) fn has_news(&self) -> bool {
        !self.events.is_empty()
    }

    /// Takes what the sync engine told to the engine, before its turn.
    pub(super) fn hear(&mut self, engine: &mut Engine) -> Result<(), DaemonError> {
        while let Ok(event) = self.events.try_recv() {
            for news in self.bridge.news(event) {
                if let News::Trouble(what, next) = &news {
                    log::warn!("{what}; {next}");
                }
                engine.hear(news, now())?;
            }
        }
        for news in self.bridge.overdue(engine, Instant::now()) {
            engine.hear(news, now())?;
        }
        // A share that is to end is not in what is wanted: once that is in force, it is out.
        if self.handle.is_in_force() {
            engine.shares_carried(self.shares.iter().map(|share| share.name.as_str()));
        }
        Ok(())
    }

    /// Takes what the engine did to the sync engine, after its turn.
    pub(super) fn tell(&mut self, engine: &mut Engine) -> Result<(), DaemonError> {
        if engine.shares_to_carry()? != self.shares || engine.config().devices != self.devices {
            self.want(engine)?;
        }
        self.bridge.refuse(&self.handle, &engine.take_turned_away());
        self.bridge.changed(&self.handle, &engine.take_changed());
        self.bridge.reset(&self.handle, &engine.take_remade());
        self.bridge.ask(&self.handle, engine);
        Ok(())
    }

    /// Stops the sync engine, so that the drive can be let go.
    pub(super) fn end(self) {
        self.handle.stop();
        let begun = Instant::now();
        while !self.handle.is_stopped() && begun.elapsed() < GOODBYE {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A program in one of the folders of PATH.
fn find_program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(name)).find(|file| file.is_file())
}
