//! The marks of the queue at an endpoint, written under the lock of the queue.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The extra delay of the second waiter for the same slot.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

/// The marks that walks through the queue leave at an endpoint, for the waiters of all keys.
#[derive(Debug, Default)]
pub(crate) struct QueueMarks {
    /// The number of the last walk that visited the endpoint.
    mark: AtomicU64,
    /// The number of waiters that want the endpoint.
    pub(crate) wanted_by: AtomicUsize,
}

impl QueueMarks {
    /// Returns whether this walk visits the endpoint for the first time, and marks it as visited.
    pub(crate) fn is_new_to(&self, walk: u64) -> bool {
        self.mark.swap(walk, Ordering::Relaxed) != walk
    }

    /// Takes the next slot of the limits that all keys share. Returns the number of slots that this
    /// walk has given before: 0, 1 or 2.
    pub(crate) fn take_slot(&self, (once, twice): (u64, u64)) -> usize {
        let (given, mark) = match self.mark.load(Ordering::Relaxed) {
            mark if mark == twice => (2, twice),
            mark if mark == once => (1, twice),
            _ => (0, once),
        };
        self.mark.store(mark, Ordering::Relaxed);
        given
    }
}
