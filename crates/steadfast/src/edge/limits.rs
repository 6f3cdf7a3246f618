use std::time::Duration;

use http::Extensions;
use steadfast_core::layer::saturating_add;
use steadfast_core::{Class, Classified, Deadline, Verdict};
use tokio::time::Instant;

use crate::attempt_timeout::{AttemptTimeout, TimeoutPhase};
use crate::operation::Streaming;
use crate::timeouts::Timeouts;

/// The instants until which the parts of one attempt have to be there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) head: Limit,
    pub(crate) first_token: Limit,
    pub(crate) total: Limit,
    pub(crate) idle: Duration,
    /// How long a stream may only say that the server is there.
    pub(crate) alive: Duration,
    /// Whether the caller asked for a stream.
    pub(crate) streaming: bool,
}

/// An instant, and what is late when it has passed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limit {
    pub(crate) at: Instant,
    late: AttemptTimeout,
}

impl Limits {
    /// The limits of an attempt that starts now.
    pub(crate) fn new(timeouts: &Timeouts, extensions: &Extensions) -> Self {
        let start = Instant::now();
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
        let streaming = extensions.get() == Some(&Streaming(true));
        Self {
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
        }
    }

    /// The error of an attempt for which there is no time at all.
    pub(crate) fn passed(&self) -> Option<Classified> {
        (self.head.at <= Instant::now()).then(|| self.head.error())
    }
}

impl Limit {
    /// What is left of the time for the next part of a stream.
    pub(crate) fn idle(left: Duration, idle: Duration) -> Self {
        Self {
            at: saturating_add(Instant::now(), left),
            late: AttemptTimeout::new(TimeoutPhase::Idle, idle),
        }
    }

    pub(crate) fn error(&self) -> Classified {
        let verdict = Verdict::new(Class::Timeout);
        // That the caller has no more time is no fault of the endpoint.
        let verdict = match self.late.phase() {
            TimeoutPhase::Deadline => verdict.neutral(),
            _ => verdict,
        };
        Classified::new(verdict, self.late)
    }
}
