//! The limits of one attempt as instants.

use std::time::Duration;

use http::Extensions;
use steadfast_core::{Classified, Deadline};
use steadfast_edge::{Limit, TimeoutPhase};
use tokio::time::Instant;

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

impl Limits {
    /// Returns the limits of an attempt that starts at this instant.
    pub(crate) fn new(timeouts: &Timeouts, extensions: &Extensions, start: Instant) -> Self {
        let timeouts = Timeouts::of(extensions).unwrap_or(timeouts);
        let deadline = Deadline::of(extensions);
        let limit = |phase, after| Limit::new(phase, (start, after), deadline);
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
        (self.head.at() <= self.start).then(|| self.head.error())
    }
}
