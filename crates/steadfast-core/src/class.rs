use std::fmt;

/// What one attempt showed about its endpoint.
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
/// | `Cancelled` | – | – | neutral |
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Class {
    /// The quota or the credit of the credential is spent.
    QuotaExhausted,
    /// The endpoint works, but wants fewer requests for now.
    RateLimited,
    /// The endpoint has more work than it can do, whoever asks.
    Overloaded,
    /// The credential was rejected.
    Unauthorized,
    /// The request is larger than the endpoint can take.
    ContextTooLong,
    /// The content of the request or of its answer is not allowed.
    ContentPolicy,
    /// The endpoint does not serve the model that was asked for.
    ModelUnavailable,
    /// The answer did not come in time.
    Timeout,
    /// No connection could be made, so the request was not sent.
    Connect,
    /// The connection was lost before the response ended.
    Transport,
    /// The endpoint failed while it worked on the request.
    ServerError,
    /// The request is at fault, and would be anywhere.
    CallerFault,
    /// The endpoint did its work.
    Success,
    /// The caller left before the head of the response came.
    Cancelled,
}

/// Whether the endpoint that gave an answer may be asked again for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameEndpoint {
    /// The answer would be the same.
    Never,
    /// As soon as the endpoint's hint has passed.
    AfterHint,
    /// After a backoff, as often as there are attempts.
    AfterBackoff,
    /// After a backoff, but only once for one request.
    OnceAfterBackoff,
}

/// Whether another endpoint may be asked for the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherEndpoint {
    /// Every endpoint would answer the same.
    Never,
    /// Any other endpoint, at once.
    Any,
    /// Only an endpoint that sends another credential.
    OtherCredential,
    /// Only an endpoint that is marked with a larger context.
    LargerContext,
}

/// What a circuit breaker makes of a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerEffect {
    /// Says that the endpoint works.
    Success,
    /// Says that the endpoint does not work.
    Failure,
    /// Says nothing about it.
    Neutral,
}

impl Class {
    /// All classes, in the order of the table.
    pub const ALL: [Self; 14] = [
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
        Self::Cancelled,
    ];

    /// Returns the name as it stands in metrics and logs, such as `rate_limited`.
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
            Self::Cancelled => "cancelled",
        }
    }

    /// Returns whether the endpoint that answered so may be asked again.
    #[must_use]
    pub const fn same_endpoint(self) -> SameEndpoint {
        match self {
            Self::RateLimited => SameEndpoint::AfterHint,
            Self::Overloaded | Self::Connect | Self::Transport => SameEndpoint::AfterBackoff,
            Self::ServerError => SameEndpoint::OnceAfterBackoff,
            _ => SameEndpoint::Never,
        }
    }

    /// Returns whether another endpoint may be asked.
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

    /// Returns what a circuit breaker makes of it.
    #[must_use]
    pub const fn breaker(self) -> BreakerEffect {
        match self {
            Self::Overloaded
            | Self::Timeout
            | Self::Connect
            | Self::Transport
            | Self::ServerError => BreakerEffect::Failure,
            // A fault of the caller was found by an endpoint that works.
            Self::CallerFault | Self::Success => BreakerEffect::Success,
            _ => BreakerEffect::Neutral,
        }
    }

    /// Returns whether such an answer proves that the request was not processed.
    ///
    /// Such a request can be sent again whatever its method is.
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::QuotaExhausted
                | Self::RateLimited
                | Self::Connect
                | Self::Unauthorized
                | Self::ModelUnavailable
        )
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BreakerEffect::{Failure, Neutral, Success};
    use OtherEndpoint::{Any, LargerContext, OtherCredential};
    use SameEndpoint::{AfterBackoff, AfterHint, OnceAfterBackoff};

    #[test]
    fn the_table_of_the_design_holds() {
        const NEVER: SameEndpoint = SameEndpoint::Never;
        const NOWHERE: OtherEndpoint = OtherEndpoint::Never;
        for (class, same, other, breaker, refusal) in [
            (Class::QuotaExhausted, NEVER, Any, Neutral, true),
            (Class::RateLimited, AfterHint, Any, Neutral, true),
            (Class::Overloaded, AfterBackoff, Any, Failure, false),
            (Class::Unauthorized, NEVER, OtherCredential, Neutral, true),
            (Class::ContextTooLong, NEVER, LargerContext, Neutral, false),
            (Class::ContentPolicy, NEVER, NOWHERE, Neutral, false),
            (Class::ModelUnavailable, NEVER, Any, Neutral, true),
            (Class::Timeout, NEVER, Any, Failure, false),
            (Class::Connect, AfterBackoff, Any, Failure, true),
            (Class::Transport, AfterBackoff, Any, Failure, false),
            (Class::ServerError, OnceAfterBackoff, Any, Failure, false),
            (Class::CallerFault, NEVER, NOWHERE, Success, false),
            (Class::Success, NEVER, NOWHERE, Success, false),
            (Class::Cancelled, NEVER, NOWHERE, Neutral, false),
        ] {
            assert_eq!(class.same_endpoint(), same, "{class}");
            assert_eq!(class.other_endpoint(), other, "{class}");
            assert_eq!(class.breaker(), breaker, "{class}");
            assert_eq!(class.is_refusal(), refusal, "{class}");
        }
    }

    #[test]
    fn all_names_every_class_once() {
        let mut names = Class::ALL.map(Class::as_str).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Class::ALL.len());
    }
}
