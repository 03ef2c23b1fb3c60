//! Where an engine puts what it has to say: bounded, and never in its way.

use super::{Event, Sink};
use crate::model::RelPath;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How many events wait for the owner before single ones are given up for one [`Event::Reset`].
const MOST_EVENTS: usize = 8_192;
/// How many paths may wait in the events of delivery and progress together.
const MOST_PATHS: usize = 200_000;
/// How many paths one event carries at most.
const PATHS_AN_EVENT: usize = 1_000;

/// Takes an engine's events for the owner. States that follow each other are joined while the
/// owner is busy. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Something waits for the owner.
    filled: Notify,
    /// The wanted state is to be compared with the engine's.
    check: Notify,
    /// The wanted state is in force: what was refused for want of it may be tried again.
    settled: Notify,
}

#[derive(Default)]
struct Inner {
    queue: VecDeque<Event>,
    paths: usize,
    /// What is wrong, by who found it.
    troubles: BTreeMap<&'static str, (String, String)>,
    up: bool,
}

impl Outbox {
    /// Tells the owner something.
    pub fn event(&self, event: Event) {
        self.lock().push(event);
        self.shared.filled.notify_one();
    }

    /// The engine is ready for calls: the wanted state is brought to it.
    pub fn up(&self, event: Event) {
        self.lock().up = true;
        self.event(event);
        self.check();
    }

    /// The engine takes no calls now.
    pub fn down(&self) {
        self.lock().up = false;
    }

    /// Somebody may have changed the engine's configuration: it is compared with the wanted one.
    pub fn check(&self) {
        self.shared.check.notify_one();
    }

    /// Tells what is wrong. `source` names who found it; the same words are told once.
    pub fn trouble(&self, source: &'static str, what: String, next: String) {
        let mut inner = self.lock();
        let told = (what, next);
        if inner.troubles.get(source) == Some(&told) {
            return;
        }
        inner.troubles.insert(source, told.clone());
        inner.push(Event::Trouble { what: told.0, next: told.1 });
        drop(inner);
        self.shared.filled.notify_one();
    }

    /// What this source told is over. When nothing else is wrong the owner hears it; when
    /// something is, he hears that again.
    pub fn well(&self, source: &'static str) {
        let mut inner = self.lock();
        if inner.troubles.remove(source).is_none() {
            return;
        }
        let rest = inner.troubles.values().next().cloned();
        inner.push(match rest {
            None => Event::Well,
            Some((what, next)) => Event::Trouble { what, next },
        });
        drop(inner);
        self.shared.filled.notify_one();
    }

    pub(super) fn is_up(&self) -> bool {
        self.lock().up
    }

    pub(super) fn settled(&self) {
        self.shared.settled.notify_one();
    }

    pub(super) async fn until_settled(&self) {
        self.shared.settled.notified().await;
    }

    pub(super) async fn checked(&self) {
        self.shared.check.notified().await;
    }

    /// Hands events to the owner for as long as it is polled.
    pub(super) async fn pump(&self, sink: &mut Sink) {
        loop {
            let next = self.lock().pop();
            match next {
                None => self.shared.filled.notified().await,
                Some(event) => {
                    if let Err(back) = sink(event) {
                        self.lock().push_front(back);
                        // The owner is busy. Meanwhile states are joined.
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
            }
        }
    }

    /// Hands over what is left, as far as the owner takes it.
    pub(super) fn flush(&self, sink: &mut Sink) {
        while let Some(event) = self.lock().pop() {
            if sink(event).is_err() {
                break;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing below panics half-way through a change.
        self.shared.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, event: Event) {
        match event {
            Event::Progress { folder, peer, files } => {
                self.paths += files.len();
                for old in &mut self.queue {
                    if let Event::Progress { folder: f, peer: p, files: waiting } = old
                        && (&*f, &*p) == (&folder, &peer)
                    {
                        let mut all: BTreeMap<RelPath, u8> = waiting.drain(..).collect();
                        let before = all.len() + files.len();
                        all.extend(files);
                        self.paths -= before - all.len();
                        waiting.extend(all);
                        return;
                    }
                }
                self.queue.push_back(Event::Progress { folder, peer, files });
            }
            Event::Delivered { folder, peer, paths } => {
                self.paths += paths.len();
                for chunk in paths.chunks(PATHS_AN_EVENT) {
                    let (folder, peer) = (folder.clone(), peer.clone());
                    self.queue.push_back(Event::Delivered { folder, peer, paths: chunk.into() });
                }
            }
            other => {
                // A state replaces the same state that still waits.
                self.queue.retain(|old| !replaces(&other, old));
                self.queue.push_back(other);
            }
        }
        if self.queue.len() > MOST_EVENTS || self.paths > MOST_PATHS {
            self.queue.retain(|e| !droppable(e));
            self.queue.push_back(Event::Reset);
            self.paths = 0;
        }
    }

    fn push_front(&mut self, event: Event) {
        self.paths += paths_in(&event);
        self.queue.push_front(event);
    }

    fn pop(&mut self) -> Option<Event> {
        let event = self.queue.pop_front()?;
        self.paths = self.paths.saturating_sub(paths_in(&event));
        Some(event)
    }
}

fn paths_in(event: &Event) -> usize {
    match event {
        Event::Progress { files, .. } => files.len(),
        Event::Delivered { paths, .. } => paths.len(),
        _ => 0,
    }
}

fn replaces(new: &Event, old: &Event) -> bool {
    match (new, old) {
        (Event::Pending(_), Event::Pending(_))
        | (Event::Unmarked(_), Event::Unmarked(_))
        | (Event::Moving(_), Event::Moving(_))
        | (Event::Reset, Event::Reset)
        | (Event::Settled, Event::Settled) => true,
        (Event::Connection { peer: a, .. }, Event::Connection { peer: b, .. }) => a == b,
        (
            Event::Completion { folder: f, peer: p, .. },
            Event::Completion { folder: g, peer: q, .. },
        ) => (f, p) == (g, q),
        _ => false,
    }
}

/// What the owner can find out again by looking after a reset.
fn droppable(event: &Event) -> bool {
    matches!(
        event,
        Event::Progress { .. }
            | Event::Delivered { .. }
            | Event::Completion { .. }
            | Event::Received(_)
            | Event::RemoteChange(_)
            | Event::Lacking { .. }
            | Event::Absent { .. }
            | Event::Reset
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::{Change, FolderId, Kind, PeerId, Received};

    fn folder() -> FolderId {
        FolderId::new("f").unwrap()
    }

    fn peer() -> PeerId {
        PeerId::new("P").unwrap()
    }

    fn path(text: &str) -> RelPath {
        RelPath::new(text.as_bytes()).unwrap()
    }

    fn drain(outbox: &Outbox) -> Vec<Event> {
        let mut all = Vec::new();
        while let Some(event) = outbox.lock().pop() {
            all.push(event);
        }
        all
    }

    #[test]
    fn states_are_joined_and_facts_are_not() {
        let out = Outbox::default();
        let progress = |files| Event::Progress { folder: folder(), peer: peer(), files };
        out.event(progress(vec![(path("a"), 10), (path("b"), 10)]));
        out.event(Event::Moving(true));
        out.event(progress(vec![(path("a"), 60)]));
        out.event(Event::Moving(false));
        let got = drain(&out);
        assert_eq!(got, [progress(vec![(path("a"), 60), (path("b"), 10)]), Event::Moving(false)]);
        assert_eq!(out.lock().paths, 0);
    }

    #[test]
    fn too_much_becomes_one_reset_that_keeps_what_no_look_can_tell() {
        let out = Outbox::default();
        out.trouble("test", "what".into(), "next".into());
        for i in 0..MOST_EVENTS + 10 {
            out.event(Event::Received(Received {
                folder: folder(),
                path: path(&i.to_string()),
                change: Change::Put,
                kind: Kind::File,
                error: None,
            }));
        }
        let got = drain(&out);
        assert!(got.len() < 20, "{}", got.len());
        assert!(matches!(got[0], Event::Trouble { .. }));
        assert_eq!(got[1], Event::Reset);
        let paths: Vec<_> = (0..MOST_PATHS + 1).map(|i| path(&i.to_string())).collect();
        out.event(Event::Delivered { folder: folder(), peer: peer(), paths });
        assert_eq!(drain(&out), [Event::Reset]);
    }

    #[test]
    fn the_same_trouble_is_told_once_and_well_when_all_is() {
        let out = Outbox::default();
        let tell = |s, w: &str| out.trouble(s, w.into(), "n".into());
        tell("a", "x");
        tell("a", "x");
        tell("b", "y");
        out.well("a");
        out.well("a");
        out.well("b");
        let trouble = |w: &str| Event::Trouble { what: w.into(), next: "n".into() };
        assert_eq!(drain(&out), [trouble("x"), trouble("y"), trouble("y"), Event::Well]);
    }

    #[tokio::test]
    async fn a_busy_owner_loses_nothing() {
        let out = Outbox::default();
        let (tx, rx) = std::sync::mpsc::sync_channel(1);
        let mut sink: Sink = Box::new(move |e| {
            tx.try_send(e).map_err(|e| match e {
                std::sync::mpsc::TrySendError::Full(e)
                | std::sync::mpsc::TrySendError::Disconnected(e) => e,
            })
        });
        let pump = out.clone();
        let task = tokio::spawn(async move { pump.pump(&mut sink).await });
        for i in 0..5 {
            out.event(Event::Received(Received {
                folder: folder(),
                path: path(&i.to_string()),
                change: Change::Put,
                kind: Kind::File,
                error: None,
            }));
        }
        for i in 0..5 {
            loop {
                if let Ok(Event::Received(r)) = rx.try_recv() {
                    assert_eq!(r.path, path(&i.to_string()));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        task.abort();
    }
}
