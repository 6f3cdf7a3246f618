//! The outcome of one request.

use std::time::Duration;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Since the start.
    pub(crate) arrived: Duration,
    pub(crate) took: Duration,
    /// The time outside the successful attempt.
    pub(crate) waited: Duration,
    /// The index of its caller, or 0.
    pub(crate) caller: usize,
    /// The endpoint, if it was served.
    pub(crate) served_by: Option<usize>,
    pub(crate) attempts: u32,
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
    /// Whether its time was over while an attempt was under way.
    pub(crate) late: bool,
}

impl Record {
    /// Whether it was answered without success.
    pub(super) fn is_rejected(&self) -> bool {
        self.served_by.is_none() && !self.cancelled
    }

    /// Whether only random failures failed it. They are no evidence of a trouble.
    pub(super) fn is_bad_luck(&self) -> bool {
        self.served_by.is_none() && self.attempts > 0 && self.attempts == self.unlucky
    }
}
