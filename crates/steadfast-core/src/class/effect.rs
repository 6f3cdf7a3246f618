/// Whether a request may be sent again to the endpoint that gave a verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SameEndpoint {
    /// Not at all: the outcome would be the same.
    Never,
    /// After the hint of the endpoint.
    AfterHint,
    /// After a backoff, for each remaining attempt.
    AfterBackoff,
    /// After a backoff, but only once per request.
    OnceAfterBackoff,
}

/// Whether a request may be sent to another endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OtherEndpoint {
    /// No: the outcome would be the same at every endpoint.
    Never,
    /// To any other endpoint, at once.
    Any,
    /// Only to an endpoint with another credential.
    OtherCredential,
    /// Only to an endpoint that is marked with a larger context.
    LargerContext,
}

/// The effect of a verdict on a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BreakerEffect {
    /// Counts as a success.
    Success,
    /// Counts as a failure.
    Failure,
    /// Does not count.
    Neutral,
}
