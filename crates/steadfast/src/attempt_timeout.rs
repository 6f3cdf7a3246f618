use std::fmt;
use std::time::Duration;

/// An attempt took too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptTimeout {
    phase: TimeoutPhase,
    limit: Duration,
}

/// What an attempt was waiting for.
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
    /// The end of an answer that is no stream.
    Total,
    /// Anything, when the deadline of the request passed.
    Deadline,
}

impl AttemptTimeout {
    /// Creates the error. Public, so that callers can test how they handle it.
    #[must_use]
    pub fn new(phase: TimeoutPhase, limit: Duration) -> Self {
        Self { phase, limit }
    }

    /// Returns what the attempt was waiting for.
    #[must_use]
    pub fn phase(&self) -> TimeoutPhase {
        self.phase
    }

    /// Returns the limit that it exceeded.
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
        write!(f, "{missing} within {:?}", self.limit)
    }
}

impl std::error::Error for AttemptTimeout {}
