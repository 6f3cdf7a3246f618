//! The outcome of one request.
//!
//! A record keeps what the caller observes, and the counts of the attempts behind it.

use std::time::Duration;

/// The outcome of a request. Times are durations, measured on the virtual clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Record {
    /// The arrival, since the start of the run.
    pub(crate) arrived: Duration,
    /// The time from the arrival to the end.
    pub(crate) took: Duration,
    /// The time outside the successful attempt.
    pub(crate) waited: Duration,
    /// The index of its caller, or 0.
    pub(crate) caller: usize,
    /// The endpoint, if it was served.
    pub(crate) served_by: Option<usize>,
    /// The number of attempts, hedges included.
    pub(crate) attempts: u32,
    /// The number of attempts that were answered with `429`.
    pub(crate) limited: u32,
    /// The attempts that failed by chance.
    pub(crate) unlucky: u32,
    /// Whether the first attempt failed otherwise than by a limit.
    pub(crate) failed_first: bool,
    /// Whether it did so by chance.
    pub(crate) unlucky_first: bool,
    /// Whether its caller lost patience.
    pub(crate) cancelled: bool,
    /// The hint of its rejection, if it was rejected with one.
    pub(crate) hint: Option<Duration>,
    /// Whether an attempt was in flight at the deadline.
    pub(crate) late: bool,
}

impl Record {
    /// Returns whether the request was answered without success.
    pub(super) fn is_rejected(&self) -> bool {
        self.served_by.is_none() && !self.cancelled
    }

    /// Returns whether all attempts failed by chance. Such a request is no evidence of a trouble.
    pub(super) fn is_bad_luck(&self) -> bool {
        self.served_by.is_none() && self.attempts > 0 && self.attempts == self.unlucky
    }
}
