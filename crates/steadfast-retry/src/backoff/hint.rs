//! The spread of clients that follow the same hint.

use std::time::Duration;

/// The part of a hint that a lone client adds to it.
const LONE_PART: u32 = 4;

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
    /// that was refused meanwhile adds as much, up to `max`. Two hints in vain show a crowd: the
    /// server gave the slot to another client, which may run elsewhere. The crowd has returned
    /// together twice, so it first spreads over twice the longest wait. `bound` replaces a hint of
    /// zero, which was wrong.
    pub(super) fn spread(self, retry: u32, bound: Duration, max: Duration) -> Duration {
        match retry {
            0 | 1 if self.wait.is_zero() => bound,
            0 | 1 => {
                let part = self.wait / LONE_PART;
                part.saturating_mul(self.others.saturating_add(1)).min(max)
            }
            2 => max.saturating_mul(2),
            _ => max,
        }
    }
}
