//! What re-implemented policies are made of: rules, and the loop that asks them.

use std::time::Duration;

use tokio::time::Instant;

/// The rules of a policy: no service, no future, no clock of its own.
pub(crate) trait Rules: Send + 'static {
    /// Selects the endpoint of the next attempt, if one is available.
    fn choose(&mut self, request: &Progress, now: Instant) -> Option<usize>;

    /// Returns the wait before the next selection if none was available, or `None` to give up.
    fn nobody(&mut self, _request: &Progress) -> Option<Duration> {
        None
    }

    /// Learns that an attempt was sent.
    fn sent(&mut self, _endpoint: usize) {}

    /// Learns how an attempt ended. Called once for each that was sent.
    fn ended(&mut self, _endpoint: usize, _end: End, _now: Instant) {}

    /// Returns how long to wait before the next attempt after one that did not succeed, or `None`
    /// to give up.
    fn again(&mut self, request: &Progress, end: End, now: Instant) -> Option<Duration>;

    /// Learns that a request is over, answered or left by its caller. Called once for each.
    fn over(&mut self, _request: &Progress) {}
}

/// What a request has behind it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The number of the request.
    pub(crate) id: u64,
    /// The endpoints that were asked, in order.
    pub(crate) tried: Vec<usize>,
    /// How the first attempt ended.
    pub(crate) first: Option<End>,
    /// The number of selections without an endpoint.
    pub(crate) in_vain: u32,
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    pub(crate) kind: Kind,
    /// The hint of the answer, if it had one.
    pub(crate) hint: Option<Duration>,
    pub(crate) took: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The caller left before the answer.
    Abandoned,
    /// No connection, or a lost one.
    Broken,
    /// `5xx`, or a `4xx` for which a retry may help.
    Failed,
    /// `429`.
    Limited,
    /// An answer that no retry changes.
    Rejected,
    Success,
    /// It took longer than the attempt timeout.
    TimedOut,
}

impl Progress {
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.tried.len()).unwrap_or(u32::MAX)
    }
}

impl End {
    /// The hint for a client that reads only `retry-after`. A provider with a hint in milliseconds
    /// also sends whole seconds.
    pub(crate) fn hint_in_seconds(self) -> Option<Duration> {
        let seconds = |hint: Duration| hint.as_secs() + u64::from(hint.subsec_nanos() > 0);
        Some(Duration::from_secs(seconds(self.hint?)))
    }
}

impl Kind {
    /// Whether a client that retries would do so after this.
    pub(crate) fn may_retry(self) -> bool {
        !matches!(self, Self::Abandoned | Self::Rejected | Self::Success)
    }
}
