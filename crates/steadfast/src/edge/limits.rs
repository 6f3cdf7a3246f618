//! The limits of one attempt as instants.

use std::time::Duration;

use steadfast_core::{Classified, Deadline};
use steadfast_edge::{Limit, TimeoutPhase};
use tokio::time::Instant;

use crate::notes::Notes;
use crate::timeouts::Timeouts;

/// The instants at which the parts of one attempt are late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The start of the attempt.
    start: Instant,
    /// When the head is late.
    pub(crate) head: Limit,
    /// When the end of a whole answer is late.
    pub(crate) total: Limit,
    /// The time from the start to the first visible token of a stream.
    first_token: Duration,
    /// The deadline of the request.
    deadline: Option<Deadline>,
    /// The longest pause between two chunks of a stream.
    pub(crate) idle: Duration,
    /// The time that a stream may send nothing but pings.
    pub(crate) alive: Duration,
    /// Whether the request asks for a stream.
    pub(crate) streaming: bool,
    /// Whether the request calls an operation of a dialect.
    pub(crate) known: bool,
}

impl Limits {
    /// Returns the limits of an attempt that starts at this instant.
    pub(crate) fn new(
        timeouts: &Timeouts,
        deadline: Option<Deadline>,
        notes: Notes,
        start: Instant,
    ) -> Self {
        let limit = |phase, after| Limit::new(phase, (start, after), deadline);
        let total = limit(TimeoutPhase::Total, timeouts.total);
        let streaming = notes.has(Notes::STREAMING);
        Self {
            start,
            head: if streaming {
                limit(TimeoutPhase::Head, timeouts.head)
            } else {
                total
            },
            total,
            first_token: timeouts.first_token,
            deadline,
            idle: timeouts.idle,
            alive: timeouts.idle.max(timeouts.total),
            streaming,
            known: notes.has(Notes::KNOWN),
        }
    }

    /// Returns when the first visible token of a stream is late.
    pub(crate) fn first_token(&self) -> Limit {
        let start = (self.start, self.first_token);
        Limit::new(TimeoutPhase::FirstToken, start, self.deadline)
    }

    /// Returns the error of an attempt that has no time left.
    pub(crate) fn passed(&self) -> Option<Classified> {
        (self.head.at() <= self.start).then(|| self.head.error())
    }
}
