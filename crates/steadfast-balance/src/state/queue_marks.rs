//! The queue's notes on an endpoint, written under the lock of the queue.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// How much later the second waiter for the same slot looks.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// What sweeps through the queue note at an endpoint.
#[derive(Debug, Default)]
pub(crate) struct QueueMarks {
    /// The last sweep that has met the endpoint.
    pub(crate) mark: AtomicU64,
    pub(crate) lacking: Lacking,
    /// The number of waiters that want the endpoint.
    pub(crate) wanted_by: AtomicUsize,
}

/// What a sweep knows of the waiters for which the endpoint lacks tokens.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    mark: AtomicU64,
    least: AtomicU64,
}

impl QueueMarks {
    /// Returns whether this sweep meets the endpoint for the first time.
    pub(crate) fn is_new_to(&self, sweep: u64) -> bool {
        self.mark.swap(sweep, Ordering::Relaxed) != sweep
    }
}

impl Lacking {
    /// Returns how late one who lacks so many tokens looks in a walk: in time who needs less than
    /// all before it, a little later the first of the others, and the rest not by itself.
    pub(crate) fn meet(&self, tokens: Option<u64>, (once, twice): (u64, u64)) -> Option<Duration> {
        let (order, tokens) = (Ordering::Relaxed, tokens.unwrap_or_default());
        let mark = self.mark.load(order);
        let is_new = mark != once && mark != twice;
        if is_new || tokens < self.least.load(order) {
            self.least.store(tokens, order);
            self.mark.store(if is_new { once } else { mark }, order);
            return Some(Duration::ZERO);
        }
        self.mark.store(twice, order);
        (mark == once).then_some(GRACE)
    }
}
