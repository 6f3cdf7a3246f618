//! The refusals of all requests of a layer: the evidence of a crowd.

use std::sync::atomic::{AtomicU32, Ordering};

/// Counts the requests that a limit refused, or that a balancer rejected.
#[derive(Debug, Default)]
pub(crate) struct Refusals(AtomicU32);

impl Refusals {
    /// Counts a refusal. `last` is the number of the last refusal of the same request.
    ///
    /// Returns the number of this refusal, and how many refusals of other requests came since `last`.
    pub(crate) fn count(&self, last: Option<u32>) -> (u32, u32) {
        // The numbers wrap, and so do their differences.
        let number = self.0.fetch_add(1, Ordering::Relaxed);
        let others = last.map_or(0, |last| number.wrapping_sub(last).wrapping_sub(1));
        (number, others)
    }
}
