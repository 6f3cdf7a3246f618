//! The end of a wait in the queue, as evidence of an overload.

use std::time::Duration;

use steadfast_core::layer::TICK;
use tokio::time::Instant;

/// The shortest time of late slots that shows an overload, as a part of the bound: one of this
/// number. A caller with a deadline stays for the whole bound, and any other may leave soon.
const STAND_PART: u32 = 4;

/// The end of a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Departure {
    pub(crate) end: End,
    /// The start of the request.
    pub(crate) since: Instant,
    /// The start of this wait.
    pub(crate) joined: Instant,
    /// The longest wait during an overload.
    pub(crate) bound: Duration,
    /// The wait from which a slot is late.
    pub(crate) late: Duration,
    /// The age from which a cancellation shows the patience of callers.
    pub(crate) due: Duration,
    /// Whether the request had a deadline.
    pub(crate) has_deadline: bool,
}

/// The reason for the end of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The request received a slot.
    Served,
    /// The request tests an endpoint of a broken pool. It received no slot.
    Probe,
    /// The balancer rejected the request, or it no longer waits for a slot.
    GaveUp,
    /// The caller dropped the request.
    Cancelled,
    /// The caller dropped the request after it had received a slot.
    Abandoned,
}

impl Departure {
    /// Returns the shortest time of late slots that shows an overload.
    pub(super) fn shortest_stand(&self) -> Duration {
        match self.has_deadline {
            true => self.bound,
            false => self.bound / STAND_PART,
        }
    }

    /// Returns whether the request had left the queue before.
    pub(super) fn returns(&self) -> bool {
        self.joined.saturating_duration_since(self.since) > TICK
    }
}
