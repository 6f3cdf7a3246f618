//! The error of an attempt that exceeds one of its limits.

use std::fmt;
use std::time::Duration;

use steadfast_core::layer::rounded;

/// A part of an attempt exceeded its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTimeout {
    /// The phase of the attempt that took too long.
    phase: TimeoutPhase,
    /// The limit of that phase.
    limit: Duration,
}

/// The part of an attempt that was pending.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TimeoutPhase {
    /// A connection.
    Connect,
    /// The head of a stream.
    Head,
    /// The first visible token of a stream.
    FirstToken,
    /// The next chunk of a stream.
    Idle,
    /// The end of a whole answer.
    Total,
    /// Any part, when the deadline of the request passed.
    Deadline,
}

impl AttemptTimeout {
    /// Creates the error. Public, so that callers can test their handling.
    #[must_use]
    pub fn new(phase: TimeoutPhase, limit: Duration) -> Self {
        Self { phase, limit }
    }

    /// Returns the part that was pending.
    #[must_use]
    pub fn phase(&self) -> TimeoutPhase {
        self.phase
    }

    /// Returns the limit of that part.
    #[must_use]
    pub fn limit(&self) -> Duration {
        self.limit
    }
}

impl fmt::Display for AttemptTimeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let missing = match self.phase {
            TimeoutPhase::Connect => "no connection",
            TimeoutPhase::Head => "no response",
            TimeoutPhase::FirstToken => "no first token",
            TimeoutPhase::Idle => "nothing more of the stream",
            TimeoutPhase::Total => "no complete answer",
            TimeoutPhase::Deadline => "no answer before the deadline",
        };
        write!(f, "{missing} within {}", rounded(self.limit))
    }
}

impl std::error::Error for AttemptTimeout {}
