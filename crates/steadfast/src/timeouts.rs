use std::fmt;
use std::time::Duration;

use steadfast_core::InvalidConfig;

/// How long one attempt may take, in its parts.
///
/// | Field | Runs | Default | [`SHORT`] | [`MEDIUM`] | [`LONG`] |
/// |---|---|---|---|---|---|
/// | `connect` | until a connection is there, with DNS and TLS | 10 s | 5 s | 10 s | 15 s |
/// | `head` | from the start to the head of a stream | 30 s | 10 s | 30 s | 60 s |
/// | `first_token` | from the start to the first visible token of a stream | 30 s | 10 s | 30 s | 60 s |
/// | `idle` | between two chunks of a stream, while one is awaited | 60 s | 60 s | 60 s | 60 s |
/// | `total` | from the start to the end of an answer that is no stream | 10 min | 10 s | 30 s | 60 s |
///
/// A stream has no total: it may run as long as it moves. Pings and comments do not move it. They
/// show that the server is there, which is enough for as long as `total`, or `idle` if that is longer:
/// a call of a tool may be written for minutes before it is sent. A whole answer has a long one by
/// default, since a completion may take minutes, and giving up early bills it again.
///
/// [`SHORT`]: Timeouts::SHORT
/// [`MEDIUM`]: Timeouts::MEDIUM
/// [`LONG`]: Timeouts::LONG
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until a connection is there, with DNS and TLS. Only for the client of
    /// [`build`](crate::AiStackBuilder::build).
    pub connect: Duration,
    /// From the start of an attempt to the head of a stream.
    pub head: Duration,
    /// From the start of an attempt to the first visible token of a stream.
    pub first_token: Duration,
    /// Between two chunks of a stream. It runs only while a chunk is awaited: a slow reader is no
    /// slow endpoint.
    pub idle: Duration,
    /// From the start of an attempt to the end of an answer that is no stream.
    pub total: Duration,
}

impl Timeouts {
    /// The timeouts of a stack that sets none.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        head: Duration::from_secs(30),
        first_token: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(600),
    };
    /// For small and fast models.
    pub const SHORT: Self = Self::profile(5, 10);
    /// For most chats.
    pub const MEDIUM: Self = Self::profile(10, 30);
    /// For long prompts and models that think first.
    pub const LONG: Self = Self::profile(15, 60);

    const fn profile(connect: u64, answer: u64) -> Self {
        Self {
            connect: Duration::from_secs(connect),
            head: Duration::from_secs(answer),
            first_token: Duration::from_secs(answer),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(answer),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        for (field, value) in [
            ("timeouts.connect", self.connect),
            ("timeouts.head", self.head),
            ("timeouts.first_token", self.first_token),
            ("timeouts.idle", self.idle),
            ("timeouts.total", self.total),
        ] {
            if value.is_zero() {
                return Err(InvalidConfig::new(field, "0s", "must be longer than zero"));
            }
        }
        Ok(())
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self::DEFAULT
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_are_those_of_the_table() {
        for (timeouts, seconds) in [
            (Timeouts::DEFAULT, [10, 30, 30, 60, 600]),
            (Timeouts::SHORT, [5, 10, 10, 60, 10]),
            (Timeouts::MEDIUM, [10, 30, 30, 60, 30]),
            (Timeouts::LONG, [15, 60, 60, 60, 60]),
        ] {
            let Timeouts {
                connect,
                head,
                first_token,
                idle,
                total,
            } = timeouts;
            let parts = [connect, head, first_token, idle, total];
            assert_eq!(parts.map(|part| part.as_secs()), seconds);
        }
    }
}
