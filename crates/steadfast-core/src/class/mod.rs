use std::fmt;
use std::str::FromStr;

use crate::unknown_name::UnknownName;

mod effect;

pub use self::effect::{BreakerEffect, OtherEndpoint, SameEndpoint};

/// The outcome of an attempt, as evidence about its endpoint.
///
/// The methods are the columns of one table, which all layers read:
///
/// | Class | [Same endpoint](Self::same_endpoint) | [Another endpoint](Self::other_endpoint) | [Breaker](Self::breaker) |
/// |---|---|---|---|
/// | `QuotaExhausted` | never | yes | neutral |
/// | `RateLimited` | after the hint | yes | neutral |
/// | `Overloaded` | after a backoff | yes | failure |
/// | `Unauthorized` | never | with another credential | neutral |
/// | `ContextTooLong` | never | with a larger context | neutral |
/// | `ContentPolicy` | never | never | neutral |
/// | `ModelUnavailable` | never | yes | neutral |
/// | `Timeout` | never | yes | failure |
/// | `Connect` | after a backoff | yes | failure |
/// | `Transport` | after a backoff | yes | failure |
/// | `ServerError` | once, after a backoff | yes | failure |
/// | `CallerFault` | never | never | success |
/// | `Success` | – | – | success |
/// | `Local` | after a backoff | yes | neutral |
/// | `Cancelled` | – | – | neutral |
///
/// [`FromStr`] and, with the feature `serde`, `Serialize` and `Deserialize` use the names of
/// [`as_str`](Self::as_str).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The quota or the credit of the credential is spent.
    QuotaExhausted,
    /// The endpoint works, but accepts no further requests for now.
    RateLimited,
    /// The endpoint has more load than it can serve, from all callers together.
    Overloaded,
    /// The credential was rejected.
    Unauthorized,
    /// The request is larger than the endpoint accepts.
    ContextTooLong,
    /// The content of the request or of its answer is not allowed.
    ContentPolicy,
    /// The endpoint does not serve the requested model.
    ModelUnavailable,
    /// The answer did not arrive in time.
    Timeout,
    /// No connection could be made, so the request was not sent.
    Connect,
    /// The connection was lost before the response ended.
    Transport,
    /// The endpoint failed while it processed the request.
    ServerError,
    /// The request is invalid, at this endpoint and at every other.
    CallerFault,
    /// The endpoint served the request.
    Success,
    /// This machine lacks descriptors, ports or memory, so the endpoint was not reached.
    Local,
    /// The caller dropped the request before the head of the response arrived.
    Cancelled,
}

impl Class {
    /// All classes, in the order of the table.
    pub const ALL: [Self; 15] = [
        Self::QuotaExhausted,
        Self::RateLimited,
        Self::Overloaded,
        Self::Unauthorized,
        Self::ContextTooLong,
        Self::ContentPolicy,
        Self::ModelUnavailable,
        Self::Timeout,
        Self::Connect,
        Self::Transport,
        Self::ServerError,
        Self::CallerFault,
        Self::Success,
        Self::Local,
        Self::Cancelled,
    ];

    const NAMES: [&str; Self::ALL.len()] = {
        let mut names = [""; Self::ALL.len()];
        let mut n = 0;
        while n < names.len() {
            names[n] = Self::ALL[n].as_str();
            n += 1;
        }
        names
    };

    /// Returns the name for metrics, logs and configuration, such as `rate_limited`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::QuotaExhausted => "quota_exhausted",
            Self::RateLimited => "rate_limited",
            Self::Overloaded => "overloaded",
            Self::Unauthorized => "unauthorized",
            Self::ContextTooLong => "context_too_long",
            Self::ContentPolicy => "content_policy",
            Self::ModelUnavailable => "model_unavailable",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Transport => "transport",
            Self::ServerError => "server_error",
            Self::CallerFault => "caller_fault",
            Self::Success => "success",
            Self::Local => "local",
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the request may be sent again to the same endpoint.
    #[must_use]
    pub const fn same_endpoint(self) -> SameEndpoint {
        match self {
            Self::RateLimited => SameEndpoint::AfterHint,
            Self::Overloaded | Self::Connect | Self::Transport | Self::Local => {
                SameEndpoint::AfterBackoff
            }
            Self::ServerError => SameEndpoint::OnceAfterBackoff,
            _ => SameEndpoint::Never,
        }
    }

    /// Returns whether the request may be sent to another endpoint.
    #[must_use]
    pub const fn other_endpoint(self) -> OtherEndpoint {
        match self {
            Self::Unauthorized => OtherEndpoint::OtherCredential,
            Self::ContextTooLong => OtherEndpoint::LargerContext,
            Self::ContentPolicy | Self::CallerFault | Self::Success | Self::Cancelled => {
                OtherEndpoint::Never
            }
            _ => OtherEndpoint::Any,
        }
    }

    /// Returns the effect on a circuit breaker.
    #[must_use]
    pub const fn breaker(self) -> BreakerEffect {
        match self {
            Self::Overloaded
            | Self::Timeout
            | Self::Connect
            | Self::Transport
            | Self::ServerError => BreakerEffect::Failure,
            // Only a working endpoint finds a fault of the caller.
            Self::CallerFault | Self::Success => BreakerEffect::Success,
            _ => BreakerEffect::Neutral,
        }
    }

    /// Returns whether this class proves that the request was not processed.
    ///
    /// Such a request can be sent again with any method.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::QuotaExhausted
                | Self::RateLimited
                | Self::Connect
                | Self::Unauthorized
                | Self::ModelUnavailable
                | Self::Local
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Class {
    type Err = UnknownName;

    fn from_str(name: &str) -> Result<Self, UnknownName> {
        Self::ALL
            .into_iter()
            .find(|class| class.as_str() == name)
            .ok_or_else(|| UnknownName::new("class", name, &Self::NAMES))
    }
}

#[cfg(test)]
mod tests;
