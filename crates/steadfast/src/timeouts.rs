//! The limits of an attempt, and their named profiles.

#[cfg(feature = "serde")]
mod serde;

use std::str::FromStr;
use std::time::Duration;

use http::Extensions;
use steadfast_core::InvalidConfig;

/// The limits of one attempt, for each of its parts.
///
/// | Field | Runs | Default | [`SHORT`] | [`MEDIUM`] | [`LONG`] |
/// |---|---|---|---|---|---|
/// | `connect` | until the connection is established, with DNS and TLS | 10 s | 5 s | 10 s | 15 s |
/// | `head` | from the start to the head of a stream | 30 s | 10 s | 30 s | 60 s |
/// | `first_token` | from the start to the first visible token of a stream | 30 s | 10 s | 30 s | 60 s |
/// | `idle` | between two chunks of a stream, while a read is pending | 60 s | 60 s | 60 s | 60 s |
/// | `total` | from the start to the end of a whole answer | 10 min | 10 s | 30 s | 60 s |
///
/// A stream has no total while it sends events. Pings and comments only prove that the server is
/// alive. They are accepted for the longer of `total` and `idle`, because a model may write a tool
/// call for minutes before it sends the call. A whole answer has a long default, because a
/// completion may take minutes, and a repeated completion is billed again.
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
}

impl Timeouts {
    /// The default of a stack.
    pub const DEFAULT: Self = Self {
        connect: Duration::from_secs(10),
        head: Duration::from_secs(30),
        first_token: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        total: Duration::from_secs(600),
    };
    /// The limits for small and fast models.
    pub const SHORT: Self = Self::profile(5, 10);
    /// The limits for most chats.
    pub const MEDIUM: Self = Self::profile(10, 30);
    /// The limits for long prompts and reasoning models.
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

    /// Returns the limits in the extensions of a request. They replace the ones of the stack,
    /// except for `connect`.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
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
