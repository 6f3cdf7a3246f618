//! Circuit breakers side by side: ours, and the rules of others.
//!
//! Ours is the very [`CircuitBreaker`](steadfast_breaker::CircuitBreaker), on tokio's paused
//! clock. The crates of others ask the clock of the machine, which cannot be moved, so their rules
//! are written down again here, with the numbers of their defaults; the tests send the same calls
//! through the crates and through these.

mod chain;
mod clock;
mod crowd;
mod detect;
#[cfg(test)]
mod goals;
mod noise;
mod ours;
mod outage;
#[cfg(test)]
mod peers;
mod rows;
mod rules;
mod sum;

use std::time::Duration;

use steadfast_breaker::Permit;
use tokio::time::Instant;

pub(crate) use self::chain::Counts;
pub(crate) use self::crowd::{CROWD, crowd};
pub(crate) use self::detect::{Detection, quantile};
pub(crate) use self::noise::{MONTH, Noise};
pub(crate) use self::outage::{Observed, Probes};
pub(crate) use self::rows::{Row, rows, variations};

/// A hundred requests a second.
const PACE: Duration = Duration::from_millis(10);

/// A breaker, ours or a rule of others.
pub(crate) trait Breaker {
    /// Admits a call, or does not.
    fn admit(&mut self, now: Instant) -> Option<Ticket>;

    /// Takes the end of a call.
    fn record(&mut self, ticket: Ticket, end: End, now: Instant);

    /// Whether all calls pass.
    fn is_closed(&self) -> bool;
}

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// The caller has gone away before there was an answer.
    Cancelled,
    Failed,
    Succeeded,
}

/// What a call was admitted with.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// Of ours.
    permit: Option<Permit>,
    /// The half-open phase that a rule of others counts the call to.
    phase: Option<u64>,
}
