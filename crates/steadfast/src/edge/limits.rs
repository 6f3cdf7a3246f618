//! The limits of one attempt as instants.

use std::time::Duration;

use steadfast_core::{Classified, Deadline};
use steadfast_edge::{Clock, Limit, TimeoutPhase};
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
    /// The time from the start to the first visible token of a stream, and whether the caller has
    /// set it.
    first_token: (Duration, bool),
    /// The deadline of the request.
    deadline: Option<Deadline>,
    /// The longest pause between two chunks of a stream.
    pub(crate) idle: Clock,
    /// The time that a stream may send nothing but pings.
    pub(crate) alive: Duration,
    /// Whether the request asks for a stream.
    pub(crate) streaming: bool,
    /// Whether the request calls an operation of a dialect.
    pub(crate) known: bool,
}

impl Limits {
    /// Returns the limits of an attempt that starts at this instant. `own` are the limits of its
    /// request.
    ///
    /// A limit of the request that is shorter than the one of the stack shows only how long its
    /// caller waits.
    pub(crate) fn new(
        (own, shared): (Option<&Timeouts>, &Timeouts),
        deadline: Option<Deadline>,
        notes: Notes,
        start: Instant,
    ) -> Self {
        let timeouts = own.unwrap_or(shared);
        let limit = |phase, part: fn(&Timeouts) -> Duration| {
            let after = part(timeouts);
            Limit::new(phase, (start, after), deadline).of_caller(after < part(shared))
        };
        let total = limit(TimeoutPhase::Total, |timeouts| timeouts.total);
        let alive = |timeouts: &Timeouts| timeouts.idle.max(timeouts.total);
        let is_shorter = timeouts.idle < shared.idle || alive(timeouts) < alive(shared);
        let streaming = notes.has(Notes::STREAMING);
        Self {
            start,
            head: if streaming {
                limit(TimeoutPhase::Head, |timeouts| timeouts.head)
            } else {
                total
            },
            total,
            first_token: (
                timeouts.first_token,
                timeouts.first_token < shared.first_token,
            ),
            deadline,
            idle: match is_shorter {
                true => Clock::IdleOfCaller(timeouts.idle),
                false => Clock::Idle(timeouts.idle),
            },
            alive: alive(timeouts),
            streaming,
            known: notes.has(Notes::KNOWN),
        }
    }

    /// Returns when the first visible token of a stream is late.
    pub(crate) fn first_token(&self) -> Limit {
        let (after, of_caller) = self.first_token;
        let start = (self.start, after);
        Limit::new(TimeoutPhase::FirstToken, start, self.deadline).of_caller(of_caller)
    }

    /// Returns the error of an attempt that has no time left.
    pub(crate) fn passed(&self) -> Option<Classified> {
        (self.head.at() <= self.start).then(|| self.head.error())
    }
}
