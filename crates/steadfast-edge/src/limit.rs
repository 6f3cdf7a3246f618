//! An instant at which a part of an attempt is late.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use steadfast_core::{Class, Classified, Deadline, Verdict};
use tokio::time::Instant;

use crate::attempt_timeout::{AttemptTimeout, TimeoutPhase};

/// An instant, and the error of a part of an attempt that is late.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    pub(crate) at: Instant,
    late: AttemptTimeout,
    /// Whether the caller has set it for its request.
    of_caller: bool,
}

impl Limit {
    /// Creates the limit of a phase that starts at `start` and may take `after`, or less if the
    /// deadline of the request is sooner.
    #[must_use]
    pub fn new(
        phase: TimeoutPhase,
        (start, after): (Instant, Duration),
        deadline: Option<Deadline>,
    ) -> Self {
        let limit = Self {
            at: saturating_add(start, after),
            late: AttemptTimeout::new(phase, after),
            of_caller: false,
        };
        limit.or_sooner(deadline.map(|deadline| Self::deadline(deadline, start)))
    }

    /// Creates the limit of all parts of an attempt that starts at `start`.
    pub(crate) fn deadline(deadline: Deadline, start: Instant) -> Self {
        Self {
            at: deadline.instant(),
            late: AttemptTimeout::new(TimeoutPhase::Deadline, deadline.remaining(start)),
            of_caller: true,
        }
    }

    /// Returns the sooner one of two limits.
    pub(crate) fn or_sooner(self, other: Option<Self>) -> Self {
        other.filter(|other| other.at < self.at).unwrap_or(self)
    }

    /// Creates the limit for the next part of a stream: `left` of the time `idle`.
    pub(crate) fn idle(left: Duration, idle: Duration, of_caller: bool) -> Self {
        Self {
            at: saturating_add(Instant::now(), left),
            late: AttemptTimeout::new(TimeoutPhase::Idle, idle),
            of_caller,
        }
    }

    /// Sets whether the caller has set this limit for its request. Defaults to `false`.
    ///
    /// A part that is late is then no failure of its endpoint, as after a deadline.
    #[must_use]
    pub fn of_caller(mut self, of_caller: bool) -> Self {
        self.of_caller |= of_caller;
        self
    }

    /// Returns the instant.
    #[inline]
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the error of a part that is late.
    #[must_use]
    pub fn error(&self) -> Classified {
        let verdict = Verdict::new(Class::Timeout);
        // The caller has chosen the time, and the endpoint is not at fault.
        let verdict = match self.of_caller {
            true => verdict.neutral(),
            false => verdict,
        };
        Classified::new(verdict, self.late).with_reason(&self.late.to_string())
    }
}
