//! An import on its way: a foreign drive is mounted, then a child process copies its files.
//!
//! In comes the volume that was chosen; out come the child's words and one end, as events. Mounting may take
//! long (a large NTFS, a dying disk), so it happens on a thread of its own: the supervisor never waits for it.
//! It must never start the child after it was told to stop.

use super::Options;
use super::background::{send_event, unmount};
use super::child::Child;
use super::machine::Event;
use crate::drive::decision::Choice;
use crate::drive::import::Progress;
use crate::drive::mounting;
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A running import.
pub(super) struct Import(Arc<Mutex<Stage>>);

enum Stage {
    Mounting,
    Copying(Child),
    /// Told to stop before there was a child.
    Stopped,
}

impl Import {
    /// Begins to import `choice`. Ends with one [`Event::ImportEnded`], whatever happens.
    pub(super) fn start(
        options: &Options,
        owner: (u32, u32),
        choice: Choice,
        send: Sender<Event>,
    ) -> Self {
        let stage = Arc::new(Mutex::new(Stage::Mounting));
        let (options, shared) = (options.clone(), Arc::clone(&stage));
        std::thread::spawn(move || {
            let at = options.run.join("import");
            let device = options.roots.dev.join(&choice.node);
            if let Err(why) = mounting::mount_foreign(&device, choice.kind, &at, owner.0, owner.1) {
                log::error!("{} can't be imported: {why}", choice.words);
                let stopped = Some(why.to_string());
                send_event(&send, Event::Import(Progress { stopped, ..Progress::default() }));
                return send_event(&send, Event::ImportEnded(false));
            }
            let mut stage = lock(&shared);
            if let Stage::Mounting = *stage {
                match copy(&options, owner, &at, &choice.list, &send) {
                    Ok(child) => {
                        *stage = Stage::Copying(child);
                        return;
                    }
                    Err(why) => log::error!("the import can't be started: {why}"),
                }
            }
            drop(stage);
            unmount(&at, false);
            send_event(&send, Event::ImportEnded(false));
        });
        Self(stage)
    }

    /// Ends it: at once, or as soon as the drive is mounted.
    pub(super) fn stop(&mut self) {
        let mut stage = lock(&self.0);
        match &mut *stage {
            Stage::Copying(child) => child.stop(Duration::ZERO),
            other => *other = Stage::Stopped,
        }
    }

    /// Kills the child when its time is over; to be called often.
    pub(super) fn press(&mut self) {
        if let Stage::Copying(child) = &mut *lock(&self.0) {
            child.press();
        }
    }

    /// When the child will be killed.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match &*lock(&self.0) {
            Stage::Copying(child) => child.deadline(),
            _ => None,
        }
    }
}

/// Held for no longer than it takes to start a process.
fn lock(stage: &Mutex<Stage>) -> MutexGuard<'_, Stage> {
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the child on the drive that is mounted at `from`.
fn copy(
    options: &Options,
    owner: (u32, u32),
    from: &Path,
    id: &str,
    send: &Sender<Event>,
) -> std::io::Result<Child> {
    let (source, drive) = (from.to_string_lossy(), options.drive.to_string_lossy());
    let args = ["import", "--from", &source, "--drive", &drive, "--id", id];
    let (progress, end, point) = (send.clone(), send.clone(), from.to_path_buf());
    let line = move |line: &str| {
        if let Ok(so_far) = serde_json::from_str::<Progress>(line) {
            send_event(&progress, Event::Import(so_far));
        }
    };
    let ended = move |well| {
        unmount(&point, false);
        send_event(&end, Event::ImportEnded(well));
    };
    Child::start(&options.engine, &args, owner, line, ended)
}
