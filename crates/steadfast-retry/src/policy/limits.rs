//! The limits of one request, and their use so far.

use std::time::Duration;

use steadfast_core::{Deadline, SameEndpoint};
use tokio::time::Instant;

/// The limits of one request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Attempts, the first one included.
    pub(crate) max_attempts: u32,
    /// The sum of all waits. It applies without a deadline only.
    pub(crate) max_wait: Duration,
    /// The instant at which the caller gives up.
    pub(crate) deadline: Option<Deadline>,
    /// Whether the request is safe to repeat, even if it may have been processed.
    pub(crate) safe: bool,
}

/// The part of its limits that a request has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// The attempts that count. A move to another endpoint after a refusal does not count.
    pub(crate) attempts: u32,
    /// The number of waits, and the planned length of the last one.
    pub(crate) waits: u32,
    /// The wait before the last attempt, which decorrelated jitter starts from.
    pub(crate) last_wait: Duration,
    /// The length of all waits.
    pub(crate) slept: Duration,
    /// The failures that allow only one further attempt at the same endpoint.
    pub(crate) once: u32,
    /// The timeouts, and one more for a rescue. Only one further attempt follows the first of them.
    pub(crate) late: u32,
}

impl Limits {
    /// Returns how much longer the request may wait.
    pub(crate) fn time_left(&self, spent: Spent, now: Instant) -> Duration {
        match self.deadline {
            Some(deadline) => deadline.remaining(now),
            None => self.max_wait.saturating_sub(spent.slept),
        }
    }

    /// Whether the deadline has passed.
    pub(super) fn is_late(&self, now: Instant) -> bool {
        let is_late = |deadline: Deadline| deadline.remaining(now).is_zero();
        self.deadline.is_some_and(is_late)
    }
}

impl Spent {
    /// The state after the first attempt was sent.
    pub(crate) const FIRST_ATTEMPT: Self = Self {
        attempts: 1,
        waits: 0,
        last_wait: Duration::ZERO,
        slept: Duration::ZERO,
        once: 0,
        late: 0,
    };

    /// Whether `rule` allows a further attempt at the same endpoint.
    pub(super) fn allows(self, rule: SameEndpoint) -> bool {
        match rule {
            SameEndpoint::AfterHint | SameEndpoint::AfterBackoff => true,
            SameEndpoint::OnceAfterBackoff => self.once <= 1,
            _ => false,
        }
    }
}
