//! Circuit breakers side by side: ours, and the rules of others.
//!
//! Ours is the very [`CircuitBreaker`](steadfast_breaker::CircuitBreaker), on tokio's paused
//! clock. The crates of others ask the clock of the machine, which cannot be moved, so their rules
//! are written down again here, with the numbers of their defaults; the tests send the same calls
//! through the crates and through these.
//!
//! | File | Measured or computed number | Unit |
//! |---|---|---|
//! | `detect` | the time from the start of an outage to the opening | requests |
//! | `noise` | false alarms, simulated | openings per month at 100 requests/s |
//! | `chain`, `sum` | false alarms, computed | openings per month at 100 requests/s |
//! | `outage` | requests that are sent into an outage, and the recovery after it | requests, seconds |
//! | `crowd` | simultaneous calls of a half-open breaker | calls |

mod chain;
mod clock;
mod crowd;
mod detect;
mod noise;
mod ours;
mod outage;
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

/// The time between two requests: 100 requests per second.
const PACE: Duration = Duration::from_millis(10);

/// A breaker, ours or a rule of others.
pub(crate) trait Breaker {
    /// Admits a call, or rejects it with `None`.
    fn admit(&mut self, now: Instant) -> Option<Ticket>;

    /// Records the end of a call.
    fn record(&mut self, ticket: Ticket, end: End, now: Instant);

    /// Returns whether all calls pass.
    fn is_closed(&self) -> bool;
}

/// The end of a call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum End {
    /// The caller dropped the call before an answer.
    Cancelled,
    /// A failure of the service.
    Failed,
    /// A success.
    Succeeded,
}

/// The admission of a call, returned to the breaker with its end.
#[derive(Debug, Default)]
pub(crate) struct Ticket {
    /// The permit, for our breaker.
    permit: Option<Permit>,
    /// The half-open phase to which a rule of others counts the call.
    phase: Option<u64>,
}

#[cfg(test)]
mod tests;
