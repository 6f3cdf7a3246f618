//! The marks of the queue at an endpoint, written under the lock of the queue.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The extra delay of the second waiter for the same slot.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// The marks that walks through the queue leave at an endpoint.
#[derive(Debug, Default)]
pub(crate) struct QueueMarks {
    /// The number of the last walk that visited the endpoint.
    pub(crate) mark: AtomicU64,
    /// The marks of waiters that lack tokens.
    pub(crate) token_waiters: TokenWaiters,
    /// The number of waiters that want the endpoint.
    pub(crate) wanted_by: AtomicUsize,
}

/// The marks of a walk for the waiters that need more tokens than the endpoint has.
#[derive(Debug, Default)]
pub(crate) struct TokenWaiters {
    /// The number of the last walk that visited such a waiter.
    mark: AtomicU64,
    /// The smallest number of tokens that such a waiter needs.
    least: AtomicU64,
}

impl QueueMarks {
    /// Returns whether this walk visits the endpoint for the first time, and marks it as visited.
    pub(crate) fn is_new_to(&self, sweep: u64) -> bool {
        self.mark.swap(sweep, Ordering::Relaxed) != sweep
    }
}

impl TokenWaiters {
    /// Returns the delay of the next search of a waiter that lacks `tokens` tokens.
    ///
    /// If the waiter needs fewer tokens than all waiters before it, the delay is zero. The first of
    /// the others has a delay of [`GRACE`]. The rest have no timer.
    pub(crate) fn visit(&self, tokens: Option<u64>, (once, twice): (u64, u64)) -> Option<Duration> {
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
