//! The signals that end the program in good order.

use super::DaemonError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

/// Remembers that SIGTERM or SIGINT came, also for those who work and do not wait.
#[derive(Clone)]
pub(super) struct Stop {
    told: Arc<AtomicBool>,
}

impl Stop {
    /// From now on; wakes the loop when one comes.
    pub(super) fn new(wake: &Arc<Notify>) -> Result<Self, DaemonError> {
        let mut terminate = signal(SignalKind::terminate()).map_err(DaemonError::Signal)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(DaemonError::Signal)?;
        let stop = Self { told: Arc::default() };
        let (told, wake) = (Arc::clone(&stop.told), Arc::clone(wake));
        tokio::spawn(async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            told.store(true, Ordering::Release);
            wake.notify_one();
        });
        Ok(stop)
    }

    /// True once one came.
    pub(super) fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }
}
