//! What re-implemented policies are made of: rules, and the loop that asks them.
//!
//! The loop calls the rules in this order, for each request:
//!
//! 1. [`choose`](Rules::choose) selects an endpoint. Without one,
//!    [`none_available`](Rules::none_available) returns a wait, and the selection is repeated.
//! 2. [`sent`](Rules::sent) and, at the end of the attempt, [`ended`](Rules::ended).
//! 3. After an attempt that may be repeated, [`again`](Rules::again) returns the wait before step
//!    1.
//! 4. [`over`](Rules::over) at the end of the request, also if it is dropped.
//!
//! The rules are locked during a call, so they are never called at the same time.

use std::time::Duration;

use tokio::time::Instant;

/// The rules of a policy, without a service, a future or a clock.
///
/// The loop calls them with the instant, so a test needs no runtime. All times are virtual.
pub(crate) trait Rules: Send + 'static {
    /// Selects the endpoint of the next attempt, if one is available.
    fn choose(&mut self, request: &Progress, now: Instant) -> Option<usize>;

    /// Returns the wait before the next selection if none was available, or `None` to give up.
    fn none_available(&mut self, _request: &Progress) -> Option<Duration> {
        None
    }

    /// Called for each attempt that is sent.
    fn sent(&mut self, _endpoint: usize) {}

    /// Called once for each attempt that was sent, with its end.
    fn ended(&mut self, _endpoint: usize, _end: End, _now: Instant) {}

    /// Returns the wait before the next attempt after an attempt without success, or `None` to give
    /// up.
    fn again(&mut self, request: &Progress, end: End, now: Instant) -> Option<Duration>;

    /// Called once for each request at its end, a cancellation included.
    fn over(&mut self, _request: &Progress) {}
}

/// The history of a request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The number of the request.
    pub(crate) id: u64,
    /// The endpoints of its attempts, in order.
    pub(crate) tried: Vec<usize>,
    /// The end of the first attempt.
    pub(crate) first: Option<End>,
    /// The number of selections without an endpoint.
    pub(crate) in_vain: u32,
}

/// The end of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct End {
    /// The kind of its outcome.
    pub(crate) kind: Kind,
    /// The hint of the answer, if it had one.
    pub(crate) hint: Option<Duration>,
    /// The time of the attempt.
    pub(crate) took: Duration,
}

/// The outcome of an attempt, as coarse as most clients see it.
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
    /// A status from 200 to 299.
    Success,
    /// It took longer than the attempt timeout.
    TimedOut,
}

impl Progress {
    /// Returns the number of attempts.
    pub(crate) fn attempts(&self) -> u32 {
        u32::try_from(self.tried.len()).unwrap_or(u32::MAX)
    }
}

impl End {
    /// Returns the hint for a client that reads only `retry-after`: whole seconds, rounded up. A
    /// provider with a hint in milliseconds sends both.
    pub(crate) fn hint_in_seconds(self) -> Option<Duration> {
        let seconds = |hint: Duration| hint.as_secs() + u64::from(hint.subsec_nanos() > 0);
        Some(Duration::from_secs(seconds(self.hint?)))
    }
}

impl Kind {
    /// Returns whether a client with retries sends another attempt after this outcome.
    pub(crate) fn may_retry(self) -> bool {
        !matches!(self, Self::Abandoned | Self::Rejected | Self::Success)
    }
}
