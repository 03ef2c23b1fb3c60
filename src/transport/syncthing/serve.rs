//! Keeps Syncthing running, listens to it, and starts it again.

use super::events::{self, News, Raw};
use super::markers::{is_missing_marker, watch_markers, where_is};
use super::process::{Over, start};
use super::track::{Asked, FEW, Way};
use super::{Core, query, wire};
use crate::model::RelPath;
use crate::transport::{Delivered, Event, FolderId, Outbox, PeerId, TransportError};
use hyper::Method;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// First and longest wait before it is started again.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(120));
/// Having run so long it counts as healthy.
const HEALTHY: Duration = Duration::from_secs(120);
/// When its start takes longer, people are told (a new version may turn its database over).
const SLOW_START: Duration = Duration::from_secs(180);
/// How long Syncthing holds a question for events open.
const HOLD: u64 = 50;
/// How soon, and how often, it is looked whether devices can reach it: its events do not tell.
const LISTENING: (Duration, Duration) = (Duration::from_secs(3), Duration::from_secs(20));
/// Options are put right no more often than this, should something else insist on others.
const RIGHT_AGAIN: Duration = Duration::from_secs(2);
/// Less than this in a second is only the talk that connections make.
const TALK: u64 = 4_096;

/// What a session knows.
#[derive(Default)]
struct Session {
    connected: Mutex<BTreeSet<PeerId>>,
    taking: Mutex<BTreeSet<FolderId>>,
    /// What is wrong with folders: stopped (true), or single files of them.
    failing: Mutex<BTreeMap<(FolderId, bool), String>>,
    busy: Notify,
    /// A marker may be gone.
    unmarked: Notify,
}

/// Runs Syncthing until told to stop.
pub(super) async fn serve(core: &Core, out: Outbox, mut stop: watch::Receiver<bool>) {
    let mut wait = RETRY.0;
    loop {
        let began = Instant::now();
        let ended = run(core, &out, &mut stop).await;
        out.down();
        if began.elapsed() > HEALTHY {
            wait = RETRY.0;
        }
        match ended {
            Ok(Over::Stopped) => return,
            Ok(Over::Restart) => {}
            Err(why) => {
                log::warn!("sync: {why}");
                // No number that changes with every try: each would be another page for every device.
                out.trouble("engine", why.to_string(), "it is started again by itself".into());
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    _ = stop.wait_for(|&stop| stop) => return,
                }
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

async fn run(
    core: &Core,
    out: &Outbox,
    stop: &mut watch::Receiver<bool>,
) -> Result<Over, TransportError> {
    let mut running = tokio::select! {
        started = start(core) => started?,
        _ = stop.wait_for(|&stop| stop) => return Ok(Over::Stopped),
    };
    let session = Session::default();
    let ended = tokio::select! {
        ended = session.listen(core, out) => ended.map(|()| Over::Restart),
        ended = running.ended() => ended,
        () = session.follow(core, out) => Ok(Over::Restart),
        () = session.watch_bytes(core, out) => Ok(Over::Restart),
        () = watch_listeners(core, out) => Ok(Over::Restart),
        () = watch_markers(core, out, &session.unmarked) => Ok(Over::Restart),
        _ = stop.wait_for(|&stop| stop) => Ok(Over::Stopped),
    };
    out.down();
    running.stop(core).await;
    // Told by this session, and nobody's any more.
    out.well("folder");
    out.well("listen");
    out.event(Event::Moving(false));
    for peer in session.connected.into_inner().unwrap_or_else(PoisonError::into_inner) {
        out.event(Event::Connection { peer, up: false, address: None, last_seen: None });
    }
    ended
}

impl Session {
    /// Waits until it answers, sets it right, and then takes its events for as long as it runs.
    async fn listen(&self, core: &Core, out: &Outbox) -> Result<(), TransportError> {
        let began = Instant::now();
        let own = loop {
            core.own.send_replace(None);
            match core.own().await {
                Ok(own) => break own,
                Err(TransportError::Key) => return Err(TransportError::Key),
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
            if began.elapsed() > SLOW_START {
                let what = "the sync engine takes long to start".into();
                out.trouble("engine", what, "it may be renewing its database; wait".into());
            }
        };
        let version: Value = core.rest.get("/rest/system/version").await?;
        let version = format!("Syncthing {}", version["version"].as_str().unwrap_or("?"));
        let mut refused = Refused::default();
        put_right(core, &own, &mut refused).await?;
        // The first question opens the subscription; what happens from here on is not missed.
        let mut since = 0;
        let first = self.next(core, since, 0).await?;
        since = first.last().map_or(0, |e| e.id);
        self.look(core, out).await?;
        out.well("engine");
        out.up(Event::Up { identity: Some(own.clone()), version });
        out.event(Event::Reset);
        core.tracker().touch_all();
        core.tracked.notify_one();
        let mut put_right_at = Instant::now();
        // Its configuration was changed, and whether our options are still in it is not known.
        let mut owed = false;
        loop {
            let hold = if owed { RIGHT_AGAIN.as_secs() } else { HOLD };
            let events = self.next(core, since, hold).await?;
            if events.first().is_some_and(|e| e.id != since + 1) {
                log::info!("sync: events {} and on were missed", since + 1);
                self.look(core, out).await?;
                out.event(Event::Reset);
                core.tracker().touch_all();
            }
            since = events.last().map_or(since, |e| e.id);
            let (mut config, mut pending) = (false, false);
            for news in events.iter().flat_map(events::read) {
                config |= news == News::Config;
                pending |= news == News::Pending;
                self.take(core, out, news).await;
            }
            core.tracked.notify_one();
            if pending {
                out.event(Event::Pending(core.pending().await?));
            }
            owed |= config;
            if owed && put_right_at.elapsed() >= RIGHT_AGAIN {
                (put_right_at, owed) = (Instant::now(), false);
                put_right(core, &own, &mut refused).await?;
            }
            if config {
                out.check();
            }
        }
    }

    /// The next events; none when there were none for a while.
    async fn next(&self, core: &Core, since: u64, hold: u64) -> Result<Vec<Raw>, TransportError> {
        let at = format!("/rest/events?since={since}&timeout={hold}&events={}", events::ASKED);
        let within = Duration::from_secs(hold + 30);
        let mut patience = 3;
        loop {
            match core.rest.find::<Vec<Raw>>(&at, within).await {
                Ok(events) => return Ok(events.unwrap_or_default()),
                Err(TransportError::Down(why)) if patience > 0 => {
                    log::info!("sync: {why}");
                    patience -= 1;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                Err(why) => return Err(why),
            }
        }
    }

    /// Tells what events tell only when it changes.
    async fn look(&self, core: &Core, out: &Outbox) -> Result<(), TransportError> {
        let now: Value = core.rest.get("/rest/system/connections").await?;
        let seen: Value = core.rest.get("/rest/stats/device").await?;
        let empty = serde_json::Map::new();
        for (id, connection) in now["connections"].as_object().unwrap_or(&empty) {
            let Ok(peer) = PeerId::new(id) else { continue };
            let up = connection["connected"].as_bool().unwrap_or(false);
            self.set_connected(&peer, up);
            let address = connection["address"].as_str().filter(|a| !a.is_empty() && up);
            let last_seen = seen[id]["lastSeen"].as_str().and_then(wire::time);
            let address = address.map(str::to_owned);
            out.event(Event::Connection { peer, up, address, last_seen });
        }
        out.event(Event::Pending(core.pending().await?));
        Ok(())
    }

    fn set_connected(&self, peer: &PeerId, up: bool) {
        let mut connected = self.connected.lock().unwrap_or_else(PoisonError::into_inner);
        if up {
            connected.insert(peer.clone());
        } else {
            connected.remove(peer);
        }
    }

    fn set_taking(&self, folder: &FolderId, taking: bool) {
        let mut all = self.taking.lock().unwrap_or_else(PoisonError::into_inner);
        if taking {
            all.insert(folder.clone());
        } else {
            all.remove(folder);
        }
    }

    fn anybody(&self) -> bool {
        !self.connected.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    async fn take(&self, core: &Core, out: &Outbox, news: News) {
        match news {
            News::Tell(event) => out.event(event),
            News::Touched(way, needed) => core.tracker().touched(&way, needed),
            News::Connected(peer, up) => self.set_connected(&peer, up),
            News::Blocks(way, files) => self.progress(core, out, way, files).await,
            News::Busy => {
                if self.anybody() {
                    self.busy.notify_one();
                }
            }
            News::Folder { folder, taking, error } => {
                self.set_taking(&folder, taking);
                // What a missing marker means is told by whoever knows what should be there.
                let unmarked = error.as_deref().is_some_and(is_missing_marker);
                if unmarked {
                    self.unmarked.notify_one();
                }
                let error = error.filter(|_| !unmarked).map(|e| format!("is stopped: {e}"));
                self.failing(core, out, (folder, true), error).await;
            }
            News::Untaken { folder, why } => self.failing(core, out, (folder, false), why).await,
            News::Pending | News::Config => {}
        }
    }

    async fn failing(
        &self,
        core: &Core,
        out: &Outbox,
        which: (FolderId, bool),
        error: Option<String>,
    ) {
        let error = match error {
            Some(error) => Some(format!("{}: {error}", where_is(core, &which.0).await)),
            None => None,
        };
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        match error {
            Some(error) => {
                failing.insert(which, error);
            }
            None => {
                failing.remove(&which);
            }
        }
        match failing.iter().next_back() {
            Some((_, error)) => out.trouble(
                "folder",
                format!("the sync engine's folder {error}"),
                "look at the drive; it goes on by itself once that is in order".into(),
            ),
            None => out.well("folder"),
        }
    }

    /// Makes percent of blocks. Few files are on their way to a peer at one time.
    async fn progress(&self, core: &Core, out: &Outbox, way: Way, files: Vec<(RelPath, u64)>) {
        let mut percents = Vec::new();
        for (path, blocks) in files {
            if !core.tracker().follows(&way, &path) {
                continue;
            }
            if let Ok(Some(file)) = core.file(&way.0, &path).await {
                let all = file.global.num_blocks.max(1);
                percents.push((path, u8::try_from(blocks.min(all) * 100 / all).unwrap_or(99)));
            }
        }
        let news = core.tracker().progress(&way, percents);
        if !news.is_empty() {
            let (folder, peer) = way;
            out.event(Event::Progress { folder, peer, files: news });
        }
    }

    /// Finds out which files arrived, whenever a peer said that it took something.
    async fn follow(&self, core: &Core, out: &Outbox) {
        // In case an event was lost.
        let mut again = tokio::time::interval(Duration::from_secs(60));
        loop {
            let next = core.tracker().next(Instant::now());
            let due = async {
                match next {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = due => {}
                () = core.tracked.notified() => {}
                _ = again.tick() => {
                    let peers = self.connected.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    core.tracker().touch_peers(&peers);
                }
            }
            if !out.is_up() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            while let Some((way, asked)) = { core.tracker().take_due(Instant::now()) } {
                if let Err(why) = self.ask(core, out, &way, &asked).await {
                    log::info!("sync: {} is asked again: {why}", way.1.short());
                    let took = Duration::from_secs(1);
                    let mut tracker = core.tracker();
                    tracker.answered(&way, &[], &HashSet::new(), Instant::now(), took);
                    tracker.touched(&way, None);
                }
            }
        }
    }

    async fn ask(
        &self,
        core: &Core,
        out: &Outbox,
        way: &Way,
        asked: &[Asked],
    ) -> Result<(), TransportError> {
        let (folder, peer) = way;
        let began = Instant::now();
        let (mut here, mut never) = (Vec::new(), Vec::new());
        if asked.len() <= FEW {
            for one in asked {
                match core.delivered(folder, &one.0, peer).await? {
                    Delivered::Yes => here.push(one.clone()),
                    Delivered::No => {}
                    Delivered::Unknown => never.push(one.clone()),
                }
            }
            // These are cheap for it, however busy it is with other things.
            core.tracker().answered(way, &[], &HashSet::new(), Instant::now(), Duration::ZERO);
        } else {
            let needed = core.needed(folder, peer).await?;
            let needed = needed.and_then(|n| n.files).unwrap_or_default();
            let names: HashSet<&[u8]> = needed.iter().map(|f| f.name.as_bytes()).collect();
            let (now, took) = (Instant::now(), began.elapsed());
            let (arrived, unsure) = core.tracker().answered(way, asked, &names, now, took);
            here = arrived;
            for one in unsure {
                // Not needed is a proof only of what the engine has.
                match core.file(folder, &one.0).await? {
                    Some(file) if file.is_here() => here.push(one),
                    _ => never.push(one),
                }
            }
        }
        let (here, never) = {
            let mut tracker = core.tracker();
            (tracker.arrived(way, here), tracker.arrived(way, never))
        };
        if let Some(path) = never.first() {
            // Such as names that are no UTF-8, or that are ignored.
            log::info!("sync: {} paths of {folder} are not carried, such as {path}", never.len());
        }
        if !here.is_empty() {
            let (folder, peer) = way.clone();
            out.event(Event::Delivered { folder, peer, paths: here });
        }
        Ok(())
    }

    /// Tells whether bytes flow: it looks once a second, but only while something may be moving.
    async fn watch_bytes(&self, core: &Core, out: &Outbox) {
        loop {
            self.busy.notified().await;
            let Some(mut last) = total(core).await else { continue };
            let (mut moving, mut quiet) = (false, 0);
            while quiet < 3 {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let Some(now) = total(core).await else { break };
                let taking = self.taking.lock().unwrap_or_else(PoisonError::into_inner).len();
                if now.saturating_sub(last) > TALK || (moving && taking > 0) {
                    quiet = 0;
                    if !moving {
                        moving = true;
                        out.event(Event::Moving(true));
                    }
                } else {
                    quiet += 1;
                }
                last = now;
            }
            if moving {
                out.event(Event::Moving(false));
            }
        }
    }
}

/// Tells when nobody can reach it, such as because another program has its port. Syncthing tries
/// again only after ten minutes, so it is started anew as soon as the port is free.
async fn watch_listeners(core: &Core, out: &Outbox) {
    tokio::time::sleep(LISTENING.0).await;
    loop {
        let status = core.rest.get::<Value>("/rest/system/status").await.unwrap_or_default();
        let wait = match wire::deaf(&status) {
            Some((address, why)) => {
                out.trouble(
                    "listen",
                    format!("devices can't reach the sync engine at {address}: {why}"),
                    "end the program that has the port, or set another `port` under [sync] in \
                     larder.toml; it is tried again by itself"
                        .into(),
                );
                if is_free(&address) && core.may_nudge() {
                    log::info!("sync: {address} is free; Syncthing is started again");
                    // It ends with the code that asks for a new start.
                    let asked = core.rest.call(Method::POST, "/rest/system/restart", None).await;
                    asked.map_or_else(|e| log::info!("sync: {e}"), drop);
                }
                LISTENING.0
            }
            None => {
                out.well("listen");
                LISTENING.1
            }
        };
        tokio::time::sleep(wait).await;
    }
}

/// True when nobody listens at an address like `tcp://0.0.0.0:22000`.
fn is_free(address: &str) -> bool {
    let at = address.split_once("://").map_or("", |(_, at)| at);
    at.parse::<std::net::SocketAddr>().is_ok_and(|at| std::net::TcpListener::bind(at).is_ok())
}

async fn total(core: &Core) -> Option<u64> {
    let all: Value = core.rest.get("/rest/system/connections").await.ok()?;
    Some(all["total"]["inBytesTotal"].as_u64()? + all["total"]["outBytesTotal"].as_u64()?)
}

/// What Syncthing makes of our options when it does not take them as they are.
#[derive(Default)]
struct Refused {
    options: Value,
    /// Once may have been somebody who changed them in that very moment.
    twice: bool,
}

/// Puts the options, and what we are called, right. What it made of our options twice, when it does
/// not take them as they are, is kept in `refused`, and then is right.
async fn put_right(core: &Core, own: &PeerId, refused: &mut Refused) -> Result<(), TransportError> {
    let at = "/rest/config/options";
    let ours = wire::options(&core.settings);
    let theirs: Value = core.rest.get(at).await?;
    let its_own = refused.twice && refused.options == theirs;
    if !its_own && !wire::agrees(&ours, &theirs) {
        log::info!("sync: options are put right");
        core.rest.call(Method::PATCH, at, Some(&ours)).await?;
        let now: Value = core.rest.get(at).await?;
        if !wire::agrees(&ours, &now) {
            log::warn!("sync: this version does not take all our options as they are");
            *refused = Refused { twice: refused.options == now, options: now };
        }
    }
    let at = format!("/rest/config/devices/{}", query(own.as_str().as_bytes()));
    let us: Value = core.rest.get(&at).await?;
    let name = json!({ "name": core.settings.name });
    if !wire::agrees(&name, &us) {
        core.rest.call(Method::PATCH, &at, Some(&name)).await?;
    }
    Ok(())
}
