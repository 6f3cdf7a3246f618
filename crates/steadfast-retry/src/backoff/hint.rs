//! The spread of clients that follow the same hint.

use std::time::Duration;

/// The part of a hint that a lone client adds to it.
const LONE_PART: u32 = 4;
/// The spread of clients that know nothing of each other, in longest waits.
const FIRST_SPREAD: u32 = 3;
/// The same in hints.
const LONE_HINTS: u32 = 24;

/// A hint, and the evidence of a crowd that follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hint {
    /// The length of the wait that the server or a balancer gave.
    pub(crate) wait: Duration,
    /// The number of other requests that were refused since the last refusal of this one.
    pub(crate) others: u32,
}

impl Hint {
    /// Returns the random part of the wait after `retry` hints that did not help.
    ///
    /// One hint in vain may be a rounded one, so a lone client adds a quarter. Each other request
    /// that was refused meanwhile adds as much, up to `max`. With such others, two hints in vain
    /// show a crowd that has returned together twice, so it first spreads over twice the longest
    /// wait.
    ///
    /// Clients that know nothing of each other are a crowd as well: the server gave the slot to
    /// another one. A rounded hint is in vain once, so three hints in vain show it. It has returned
    /// once more, so it spreads wider, but not beyond 24 times its hint. `bound` replaces a hint of
    /// zero, which was wrong.
    pub(super) fn spread(self, retry: u32, bound: Duration, max: Duration) -> Duration {
        let part = self.wait / LONE_PART;
        let within = |times: u32| {
            let wide = max.saturating_mul(times);
            wide.min(self.wait.saturating_mul(LONE_HINTS / FIRST_SPREAD * times))
        };
        match (retry, self.others) {
            (0 | 1, _) | (_, 0) if self.wait.is_zero() => bound,
            (0 | 1, others) => part.saturating_mul(others.saturating_add(1)).min(max),
            (2, 0) => part,
            (3, 0) => within(FIRST_SPREAD),
            (_, 0) => within(FIRST_SPREAD - 1),
            (2, _) => max.saturating_mul(2),
            _ => max,
        }
    }
}
