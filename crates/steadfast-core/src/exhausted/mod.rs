use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};

use crate::BoxError;
use crate::class::Class;
use crate::layer::chain::find_error;
use crate::retry_after::set_retry_after;
use crate::rounded::rounded;
use crate::trail::Trail;
use crate::verdict::Verdict;

/// No endpoint served the request, and no answer of an endpoint can be returned.
///
/// Contains the attempts, the class of the root cause, the reason of each endpoint, and the soonest
/// recovery. Its `source` is the error of the most significant attempt, if there was an attempt.
#[derive(Debug)]
pub struct Exhausted {
    trail: Trail,
    verdict: Verdict,
    source: Option<BoxError>,
}

impl Exhausted {
    /// Creates the error. The class of `verdict` is the root cause, and its hint is the time until
    /// the soonest recovery.
    #[must_use]
    pub fn new(trail: Trail, verdict: Verdict, source: Option<BoxError>) -> Self {
        Self {
            trail,
            verdict,
            source,
        }
    }

    /// Finds this error in `error` or in one of its sources.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_error(error)
    }

    /// Returns the attempts of the request.
    #[must_use]
    pub fn trail(&self) -> &Trail {
        &self.trail
    }

    /// Returns the verdict for the layers above.
    ///
    /// Its class is the root cause: the reason of the endpoints in the lowest tier, or the error of
    /// the most significant attempt.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the time until the soonest recovery of an endpoint, if it is known and not over.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.verdict.hint().filter(|wait| !wait.is_zero())
    }

    /// Returns the clause of each endpoint, if a balancer has reported them.
    ///
    /// ```text
    /// `primary` cools for 12 s after a 429; `backup`: connection refused, next probe in 3 s
    /// ```
    ///
    /// The text contains names of endpoints, and neither URLs nor text of a server.
    #[must_use]
    pub fn reasons(&self) -> Option<Arc<str>> {
        self.trail.reasons()
    }

    /// Returns the status of an HTTP server that cannot serve a request for this reason.
    ///
    /// | Class of the root cause | Status |
    /// |---|---|
    /// | `RateLimited`, `QuotaExhausted` | `429` |
    /// | `Unauthorized` | `401` |
    /// | `ModelUnavailable` | `404` |
    /// | `ContextTooLong` | `413` |
    /// | `ContentPolicy`, `CallerFault` | `400` |
    /// | `Overloaded`, `Local`, and any other class without an attempt | `503` |
    /// | `Timeout` | `504` |
    /// | any other | `502` |
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.verdict.class() {
            Class::RateLimited | Class::QuotaExhausted => StatusCode::TOO_MANY_REQUESTS,
            Class::Unauthorized => StatusCode::UNAUTHORIZED,
            Class::ModelUnavailable => StatusCode::NOT_FOUND,
            Class::ContextTooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Class::ContentPolicy | Class::CallerFault => StatusCode::BAD_REQUEST,
            Class::Overloaded | Class::Local => StatusCode::SERVICE_UNAVAILABLE,
            // Nothing was sent, so no gateway timed out or failed.
            _ if self.trail.is_empty() => StatusCode::SERVICE_UNAVAILABLE,
            Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
            _ => StatusCode::BAD_GATEWAY,
        }
    }

    /// Creates the response of an HTTP server that cannot serve a request for this reason.
    ///
    /// It has the [status](Self::status), and `retry-after` in whole seconds if the time is known.
    #[must_use]
    pub fn to_response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = self.status();
        set_retry_after(response.headers_mut(), self.retry_in());
        response
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trail.len() {
            0 => f.write_str("no endpoint can take the request")?,
            1 => f.write_str("no endpoint served the request in 1 attempt")?,
            n => write!(f, "no endpoint served the request in {n} attempts")?,
        }
        match self.reasons() {
            Some(reasons) => write!(f, ": {reasons}")?,
            None if self.trail.is_empty() => {}
            None => write!(f, ": {}", self.trail)?,
        }
        match self.retry_in() {
            Some(wait) => write!(f, " (retry in {})", rounded(wait)),
            None => Ok(()),
        }
    }
}

impl Error for Exhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests;
