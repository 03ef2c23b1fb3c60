//! Whether files go out to somebody at the moment: the loop works on nothing of its own against that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When a piece of a file was last sent. Copies tell of the same.
#[derive(Clone, Debug)]
pub struct Traffic {
    begun: Instant,
    /// Milliseconds since then, plus one; nothing was sent at nought.
    last: Arc<AtomicU64>,
}

impl Default for Traffic {
    fn default() -> Self {
        Self { begun: Instant::now(), last: Arc::default() }
    }
}

impl Traffic {
    /// A piece goes out now.
    pub(super) fn note(&self) {
        self.last.store(self.now(), Ordering::Relaxed);
    }

    /// True when one did within so long. Who holds a film open and does not take it is nobody who moves.
    pub fn is_recent(&self, within: Duration) -> bool {
        let last = self.last.load(Ordering::Relaxed);
        let since = self.now().saturating_sub(last);
        last > 0 && u128::from(since) < within.as_millis()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }
}
