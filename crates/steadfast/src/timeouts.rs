//! The limits of an attempt, and their named profiles.

#[cfg(feature = "serde")]
mod serde;

use std::str::FromStr;
use std::time::Duration;

use http::Extensions;
use steadfast_core::InvalidConfig;

/// The limits of one attempt, for each of its parts, and the time after which it is slow.
///
/// | Field | Runs | Default | [`SHORT`] | [`MEDIUM`] | [`LONG`] |
/// |---|---|---|---|---|---|
/// | `connect` | until the connection is established, with DNS and TLS | 10 s | 5 s | 10 s | 15 s |
/// | `head` | from the start to the head of a stream | 10 min | = | = | = |
/// | `first_token` | from the start to the first visible token of a stream | 10 min | = | = | = |
/// | `idle` | between two chunks of a stream, while a read is pending | 60 s | = | = | = |
/// | `total` | from the start to the end of a whole answer | 10 min | = | = | = |
/// | `rescue_after` | from the start to a second attempt elsewhere, at least | 30 s | = | = | = |
/// | `deadline` | from the request to its answer, with all attempts and waits | none | 10 s | 30 s | 60 s |
///
/// A slow answer is not a dead endpoint, so the limits that end an attempt are long: a completion
/// may take minutes, and a repeated completion is billed again. After a timeout, a request gets at
/// most one further attempt.
///
/// # Rescue
///
/// A slow attempt gets a rescue: a second attempt starts at another endpoint while the first one
/// continues. The first good answer is returned, and the other attempt is cancelled. An attempt is
/// slow
///
/// * after the larger of `rescue_after` and 4 × the 99th percentile of the successes of this
///   endpoint and model;
/// * while its head is missing, after 4 × the 99th percentile of the heads, but not before 1.5 s.
///   This applies after 20 successes, and ends at the first bound. After each four attempts in
///   silence the time doubles, so that an endpoint that has become slower is measured again;
/// * with a deadline, at half of its time, but not before the 99th percentile of the successes.
///
/// **Premise:** another endpoint answers sooner than the rest of the slow attempt. **It saves** the
/// wait for the timeout of an endpoint that accepts a request and never answers. **It costs** an
/// attempt that is billed. There is at most one per request. There is none if the request is unsafe
/// to repeat or pinned to its endpoint, or while its body is still being sent.
///
/// The retry budget bounds the sum. Beside an endpoint that answers other requests, a rescue costs
/// 14 tokens, and a first success returns one. So at most one of 15 requests is rescued. Beside a
/// silent endpoint it costs 2, which are refunded if it succeeds. A silent endpoint counts a
/// failure, so its breaker opens. `Duration::MAX` disables rescues.
///
/// # Activity
///
/// A stream has no total while it sends events. Pings and comments only prove that the server is
/// alive. They are accepted for the longer of `total` and `idle`, because a model may write a tool
/// call for minutes before it sends the call. Before the first token, pings and role chunks are
/// accepted until `first_token`.
///
/// `total` ends the body of a whole answer with an error, also if its bytes keep arriving. It does
/// not run while the reader is absent for 1 s or longer: a slow reader is not a slow endpoint.
///
/// [`SHORT`]: Timeouts::SHORT
/// [`MEDIUM`]: Timeouts::MEDIUM
/// [`LONG`]: Timeouts::LONG
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// Until the connection is established, with DNS and TLS. Applies only to the client of
    /// `AiStackBuilder::build`.
    pub connect: Duration,
    /// From the start of an attempt to the head of a stream.
    pub head: Duration,
    /// From the start of an attempt to the first visible token of a stream.
    pub first_token: Duration,
    /// Between two chunks of a stream. It runs only while a read is pending: a slow reader is not a
    /// slow endpoint.
    pub idle: Duration,
    /// From the start of an attempt to the end of a whole answer, without long absences of the
    /// reader.
    pub total: Duration,
    /// The shortest time before a rescue, except at endpoints that return heads fast and before a
    /// close deadline.
    pub rescue_after: Duration,
    /// The deadline of requests without a [`Deadline`](steadfast_core::Deadline), if
    /// `AiStackBuilder::deadline` sets none: until a stream begins or a whole answer ends.
    pub deadline: Option<Duration>,
}

impl Timeouts {
    /// The default of a stack.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        head: Duration::from_secs(600),
        first_token: Duration::from_secs(600),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(600),
        rescue_after: Duration::from_secs(30),
        deadline: None,
    };
    /// The limits for small and fast models: the request ends after 10 s.
    pub const SHORT: Self = Self::profile(5, 10);
    /// The limits for most chats: the request ends after 30 s.
    pub const MEDIUM: Self = Self::profile(10, 30);
    /// The limits for long prompts: the request ends after 60 s.
    pub const LONG: Self = Self::profile(15, 60);

    /// Creates a profile: the time to connect and the time of a request, in seconds.
    const fn profile(connect: u64, deadline: u64) -> Self {
        Self {
            connect: Duration::from_secs(connect),
            deadline: Some(Duration::from_secs(deadline)),
            ..Self::DEFAULT
        }
    }

    /// Returns the limits in the extensions of a request. They replace the ones of the stack,
    /// except for `connect`. Without a `deadline`, the one of the stack stays.
    ///
    /// A limit that is shorter than the one of the stack is the patience of its caller, as a
    /// deadline is. An answer that exceeds it is a failure only at an endpoint that answers no
    /// request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }

    /// Checks that no limit is zero.
    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        for (field, value) in [
            ("timeouts.connect", self.connect),
            ("timeouts.head", self.head),
            ("timeouts.first_token", self.first_token),
            ("timeouts.idle", self.idle),
            ("timeouts.total", self.total),
            ("timeouts.rescue_after", self.rescue_after),
            ("timeouts.deadline", self.deadline.unwrap_or(self.total)),
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

/// Reads the name of a profile: `short`, `medium` or `long`.
impl FromStr for Timeouts {
    type Err = InvalidConfig;

    fn from_str(name: &str) -> Result<Self, InvalidConfig> {
        match name {
            "short" => Ok(Self::SHORT),
            "medium" => Ok(Self::MEDIUM),
            "long" => Ok(Self::LONG),
            _ => {
                let rule = "must be `short`, `medium` or `long`";
                Err(InvalidConfig::new("timeouts", name, rule))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_of_profile_is_read() {
        assert_eq!("short".parse(), Ok(Timeouts::SHORT));
        assert_eq!("medium".parse(), Ok(Timeouts::MEDIUM));
        assert_eq!("long".parse(), Ok(Timeouts::LONG));
        let error = "quick".parse::<Timeouts>().unwrap_err().to_string();
        assert!(
            error.starts_with("timeouts") && error.contains("quick"),
            "{error}"
        );
    }

    #[test]
    fn profiles_match_documented_table() {
        for (timeouts, [connect, deadline]) in [
            (Timeouts::DEFAULT, [10, 0]),
            (Timeouts::SHORT, [5, 10]),
            (Timeouts::MEDIUM, [10, 30]),
            (Timeouts::LONG, [15, 60]),
        ] {
            let Timeouts {
                head,
                first_token,
                idle,
                total,
                rescue_after,
                ..
            } = timeouts;
            let parts = [head, first_token, idle, total, rescue_after];
            assert_eq!(parts.map(|part| part.as_secs()), [600, 600, 60, 600, 30]);
            assert_eq!(timeouts.connect.as_secs(), connect);
            let ends = timeouts.deadline.map_or(0, |deadline| deadline.as_secs());
            assert_eq!(ends, deadline);
        }
    }
}
