//! Runs a sync engine beside the owner loop: nothing here makes the owner wait.

use super::{
    Absence, Call, Capabilities, Desired, Event, FolderId, Outbox, Question, Sink, Transport,
    TransportError, reconcile,
};
use crate::model::RelPath;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};

/// How many questions may wait.
const MOST_QUESTIONS: usize = 16_384;
/// How many questions are asked at a time.
const ASKED_AT_ONCE: usize = 4;
/// How many folders are looked at at a time. The engine queues behind its own work in a folder, so
/// one busy folder must not keep the others.
const LOOKED_AT_ONCE: usize = 4;
/// Past this many paths of one folder, single paths are given up for the whole folder.
const MOST_PATHS: usize = 200_000;
/// First and longest wait after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(300));
/// Settling again and again without an end is slowed down after this many times.
const RESTLESS: u32 = 5;

/// The owner's end of a running engine. Every method returns at once.
pub struct Handle {
    want: watch::Sender<Option<Arc<Desired>>>,
    questions: mpsc::Sender<Question>,
    dirty: Arc<Dirty>,
    in_force: InForce,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
    capabilities: Capabilities,
}

/// The wanted state that was brought about last.
type InForce = Arc<Mutex<Option<Arc<Desired>>>>;

/// Paths that the engine has yet to look at.
#[derive(Default)]
struct Dirty {
    folders: Mutex<BTreeMap<FolderId, Paths>>,
    more: Notify,
}

#[derive(Default)]
struct Paths {
    whole: bool,
    single: BTreeSet<RelPath>,
}

/// Starts an engine on a runtime. Its events go into `sink` until [`Handle::stop`].
pub fn start<E: Transport>(engine: E, runtime: &tokio::runtime::Handle, sink: Sink) -> Handle {
    let (want, wanted) = watch::channel(None);
    let (questions, asked) = mpsc::channel(MOST_QUESTIONS);
    let (stop, stopped) = watch::channel(false);
    let dirty = Arc::new(Dirty::default());
    let capabilities = engine.capabilities();
    let in_force = InForce::default();
    let wanted = (wanted, Arc::clone(&in_force));
    let task = runtime.spawn(run(engine, sink, wanted, asked, Arc::clone(&dirty), stopped));
    Handle { want, questions, dirty, in_force, stop, task, capabilities }
}

impl Handle {
    /// What the transport can do.
    pub fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// This is the wanted state from now on. It is brought about now, after every restart of the
    /// engine, and whenever somebody changes the engine's configuration by hand. Before the first
    /// call nothing is changed.
    pub fn want(&self, desired: Desired) {
        self.want.send_replace(Some(Arc::new(desired)));
    }

    /// True when what was wanted last was brought about: a folder that is not in it is out. An
    /// [`Event::Settled`] alone does not say so, because it may be about what was wanted before.
    pub fn is_in_force(&self) -> bool {
        let in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*in_force, &*self.want.borrow()) {
            (Some(is), Some(wanted)) => Arc::ptr_eq(is, wanted),
            _ => false,
        }
    }

    /// These paths of a folder were changed on the drive: the engine looks at them at once, and
    /// tells what becomes of them at each peer ([`Event::Progress`], [`Event::Delivered`]). No path
    /// means the whole folder. While the engine is down they wait. Paths of a folder that is not
    /// wanted are forgotten.
    pub fn changed(&self, folder: &FolderId, paths: impl IntoIterator<Item = RelPath>) {
        let mut paths = paths.into_iter().peekable();
        let mut folders = self.dirty.lock();
        let entry = folders.entry(folder.clone()).or_default();
        entry.whole |= paths.peek().is_none();
        entry.single.extend(paths);
        if entry.single.len() > MOST_PATHS {
            entry.single.clear();
            entry.whole = true;
        }
        drop(folders);
        self.dirty.more.notify_one();
    }

    /// Asks something; the answer comes as an event. `false`: too many questions wait; ask again
    /// later.
    #[must_use]
    pub fn ask(&self, question: Question) -> bool {
        self.questions.try_send(question).is_ok()
    }

    /// Tells the engine to stop in good order. It takes a few seconds; [`Handle::is_stopped`].
    pub fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// True when the engine has stopped and no more events come.
    pub fn is_stopped(&self) -> bool {
        self.task.is_finished()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Dirty {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<FolderId, Paths>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts back what could not be looked at.
    fn put_back(&self, folder: FolderId, paths: Paths) {
        let mut folders = self.lock();
        let entry = folders.entry(folder).or_default();
        entry.whole |= paths.whole;
        entry.single.extend(paths.single);
    }
}

async fn run<E: Transport>(
    engine: E,
    mut sink: Sink,
    (wanted, in_force): (watch::Receiver<Option<Arc<Desired>>>, InForce),
    asked: mpsc::Receiver<Question>,
    dirty: Arc<Dirty>,
    stopped: watch::Receiver<bool>,
) {
    let engine = Arc::new(engine);
    let out = Outbox::default();
    tokio::select! {
        () = engine.serve(out.clone(), stopped) => {}
        () = out.pump(&mut sink) => {}
        () = settle(&*engine, &out, wanted.clone(), &in_force) => {}
        () = look(&engine, &out, &dirty, &wanted) => {}
        () = answer(&engine, &out, asked) => {}
    }
    out.flush(&mut sink);
}

/// Brings the wanted state about, whenever it or the engine changes.
async fn settle<E: Transport>(
    engine: &E,
    out: &Outbox,
    mut wanted: watch::Receiver<Option<Arc<Desired>>>,
    in_force: &InForce,
) {
    let mut wait = RETRY.0;
    let mut restless = 0;
    let mut retry = None::<Duration>;
    // The owner was not told yet that what he wants is so.
    let mut owed = true;
    loop {
        let again = async {
            match retry {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = wanted.changed() => {
                if changed.is_err() {
                    // The owner dropped its handle, which also stops the engine.
                    std::future::pending::<()>().await;
                }
                (restless, owed) = (0, true);
            }
            () = out.checked() => {}
            () = again => {}
        }
        let desired = wanted.borrow_and_update().clone();
        let Some(desired) = desired else { continue };
        if !out.is_up() {
            (retry, owed) = (None, true);
            continue;
        }
        match settle_once(engine, &desired).await {
            Ok(0) => {
                out.well("settle");
                *in_force.lock().unwrap_or_else(PoisonError::into_inner) = Some(desired);
                if owed {
                    out.event(Event::Settled);
                }
                out.settled();
                (wait, restless, retry, owed) = (RETRY.0, 0, None, false);
            }
            // Look whether it stays so.
            Ok(_) if restless < RESTLESS => {
                (restless, owed) = (restless + 1, true);
                retry = Some(Duration::ZERO);
            }
            Ok(calls) => {
                out.trouble(
                    "settle",
                    format!("the sync engine does not keep {calls} of its settings"),
                    "does another program change its configuration? It is tried again".into(),
                );
                retry = Some(RETRY.1);
            }
            Err(why) => {
                log::warn!("sync: {why}");
                if !matches!(why, TransportError::Down(_)) {
                    // No number that changes with every try: each would be another page.
                    out.trouble("settle", why.to_string(), "it is tried again by itself".into());
                }
                retry = Some(wait);
                wait = (wait * 2).min(RETRY.1);
            }
        }
    }
}

/// One round; how many calls were needed. One folder that can't be put does not keep the others.
async fn settle_once<E: Transport>(engine: &E, desired: &Desired) -> Result<usize, TransportError> {
    let mut desired = desired.clone();
    if let Some(own) = engine.identity().await? {
        // Somebody put our own id into the settings: engines refuse that.
        desired.peers.remove(&own);
    }
    let calls = reconcile(&engine.current().await?, &desired);
    let mut failed = None;
    for call in &calls {
        let done = match call {
            Call::RemoveFolder(id) => engine.remove_folder(id).await,
            Call::RemovePeer(id) => engine.remove_peer(id).await,
            Call::PutPeer(id, peer) => engine.put_peer(id, peer).await,
            Call::PutFolder(id, folder) => engine.put_folder(id, folder).await,
        };
        match done {
            Ok(()) => {}
            Err(why @ (TransportError::Down(_) | TransportError::Key)) => return Err(why),
            Err(why) => failed = failed.or(Some(why)),
        }
    }
    failed.map_or(Ok(calls.len()), Err)
}

/// Has the engine look at what was changed.
async fn look<E: Transport>(
    engine: &Arc<E>,
    out: &Outbox,
    dirty: &Dirty,
    wanted: &watch::Receiver<Option<Arc<Desired>>>,
) {
    let mut running: JoinSet<(FolderId, Paths, Result<(), TransportError>)> = JoinSet::new();
    let mut busy = BTreeMap::new();
    let mut later = BTreeMap::<FolderId, Paths>::new();
    let mut again = tokio::time::interval(RETRY.0);
    loop {
        while out.is_up() && running.len() < LOOKED_AT_ONCE {
            let next = {
                let mut folders = dirty.lock();
                let id = folders.keys().find(|id| !busy.values().any(|b| b == *id)).cloned();
                id.and_then(|id| folders.remove_entry(&id))
            };
            let Some((id, paths)) = next else { break };
            let (engine, of) = (Arc::clone(engine), id.clone());
            let task = running.spawn(async move {
                let list: Vec<RelPath> = paths.single.iter().cloned().collect();
                let mut done = Ok(());
                if paths.whole {
                    done = engine.changed(&id, &[]).await;
                }
                if done.is_ok() && !list.is_empty() {
                    done = engine.changed(&id, &list).await;
                }
                (id, paths, done)
            });
            busy.insert(task.id(), of);
        }
        tokio::select! {
            () = dirty.more.notified() => {}
            () = async { tokio::select! { () = out.until_settled() => {}, _ = again.tick() => {} } },
                if !later.is_empty() || !out.is_up() =>
            {
                for (id, paths) in std::mem::take(&mut later) {
                    dirty.put_back(id, paths);
                }
            }
            Some(ended) = running.join_next_with_id(), if !running.is_empty() => {
                let (task, (id, paths, done)) = match ended {
                    Ok(ended) => ended,
                    Err(panicked) => {
                        busy.remove(&panicked.id());
                        continue;
                    }
                };
                busy.remove(&task);
                let Err(why) = done else { continue };
                let is_wanted =
                    wanted.borrow().as_ref().is_none_or(|w| w.folders.contains_key(&id));
                if is_wanted {
                    log::info!("sync: folder {id} is looked at again: {why}");
                    later.insert(id, paths);
                }
            }
        }
    }
}

/// Asks what the owner wants to know, a few questions at a time.
async fn answer<E: Transport>(engine: &Arc<E>, out: &Outbox, mut asked: mpsc::Receiver<Question>) {
    let mut running = JoinSet::new();
    loop {
        tokio::select! {
            question = asked.recv(), if running.len() < ASKED_AT_ONCE => match question {
                Some(question) => {
                    let (engine, out) = (Arc::clone(engine), out.clone());
                    running.spawn(async move {
                        if let Question::Reset { folder } = &question {
                            // It is wanted, so it is put back at once.
                            let done = engine.remove_folder(folder).await;
                            done.unwrap_or_else(|why| log::info!("sync: {why}"));
                            out.check();
                        } else if let Some(event) = answer_one(&*engine, question).await {
                            out.event(event);
                        }
                    });
                }
                None => std::future::pending().await,
            },
            Some(_) = running.join_next(), if !running.is_empty() => {}
        }
    }
}

async fn answer_one<E: Transport>(engine: &E, question: Question) -> Option<Event> {
    let fail = |why: TransportError| log::info!("sync: {why}");
    Some(match question {
        Question::Absence { folder, path } => {
            let absence = engine.absence(&folder, &path).await;
            let absence = absence.map_err(fail).unwrap_or(Absence::Unknown);
            Event::Absent { folder, path, absence }
        }
        Question::Lacking { folder, peer } => {
            let paths = engine.lacking(&folder, &peer).await.map_err(fail).ok()??;
            Event::Lacking { folder, peer, paths }
        }
        Question::Refuse { peer, folder } => {
            engine.refuse(&peer, folder.as_ref()).await.map_err(fail).ok()?;
            Event::Pending(engine.pending().await.map_err(fail).ok()?)
        }
        Question::Reset { .. } => return None,
    })
}
