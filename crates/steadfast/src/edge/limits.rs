//! The limits of one attempt as instants.

use std::time::Duration;

use http::Extensions;
use steadfast_core::layer::saturating_add;
use steadfast_core::{Class, Classified, Deadline, Verdict};
use tokio::time::Instant;

use crate::attempt_timeout::{AttemptTimeout, TimeoutPhase};
use crate::operation::{Known, Streaming};
use crate::timeouts::Timeouts;

/// The instants at which the parts of one attempt are late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The start of the attempt.
    start: Instant,
    /// When the head is late.
    pub(crate) head: Limit,
    /// When the first visible token of a stream is late.
    pub(crate) first_token: Limit,
    /// When the end of a whole answer is late.
    pub(crate) total: Limit,
    /// The longest pause between two chunks of a stream.
    pub(crate) idle: Duration,
    /// The time that a stream may send nothing but pings.
    pub(crate) alive: Duration,
    /// Whether the request asks for a stream.
    pub(crate) streaming: bool,
    /// Whether the request calls an operation of a dialect.
    pub(crate) known: bool,
}

/// An instant, and the error of a part that is late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    /// The instant.
    pub(crate) at: Instant,
    /// The error after the instant.
    late: AttemptTimeout,
}

impl Limits {
    /// Returns the limits of an attempt that starts now.
    pub(crate) fn new(timeouts: &Timeouts, extensions: &Extensions) -> Self {
        let start = Instant::now();
        let timeouts = Timeouts::of(extensions).unwrap_or(timeouts);
        let deadline = Deadline::of(extensions).map(|deadline| Limit {
            at: deadline.instant(),
            late: AttemptTimeout::new(TimeoutPhase::Deadline, deadline.remaining(start)),
        });
        let limit = |phase, after| {
            let limit = Limit {
                at: saturating_add(start, after),
                late: AttemptTimeout::new(phase, after),
            };
            match deadline {
                Some(deadline) if deadline.at < limit.at => deadline,
                _ => limit,
            }
        };
        let total = limit(TimeoutPhase::Total, timeouts.total);
        let streaming = extensions.get::<Streaming>().is_some();
        Self {
            start,
            head: if streaming {
                limit(TimeoutPhase::Head, timeouts.head)
            } else {
                total
            },
            first_token: limit(TimeoutPhase::FirstToken, timeouts.first_token),
            total,
            idle: timeouts.idle,
            alive: timeouts.idle.max(timeouts.total),
            streaming,
            known: extensions.get::<Known>().is_some(),
        }
    }

    /// Returns the error of an attempt that has no time left.
    pub(crate) fn passed(&self) -> Option<Classified> {
        (self.head.at <= self.start).then(|| self.head.error())
    }
}

impl Limit {
    /// Returns the limit for the next part of a stream.
    pub(crate) fn idle(left: Duration, idle: Duration) -> Self {
        Self {
            at: saturating_add(Instant::now(), left),
            late: AttemptTimeout::new(TimeoutPhase::Idle, idle),
        }
    }

    pub(crate) fn error(&self) -> Classified {
        let verdict = Verdict::new(Class::Timeout);
        // The deadline of the request has passed. The endpoint is not at fault.
        let verdict = match self.late.phase() {
            TimeoutPhase::Deadline => verdict.neutral(),
            _ => verdict,
        };
        Classified::new(verdict, self.late).with_reason(&self.late.to_string())
    }
}
