use std::error::Error;
use std::fmt;
use std::time::Duration;

use http::Response;

use crate::BoxError;
use crate::chain::find_error;
use crate::trail::Trail;
use crate::unavailable::unavailable;
use crate::verdict::Verdict;

/// No endpoint served the request, and no answer of an endpoint can be returned.
///
/// Contains the attempts and the soonest recovery. Its `source` is the error of the most
/// significant attempt, if there was an attempt.
#[derive(Debug)]
pub struct Exhausted {
    trail: Trail,
    verdict: Verdict,
    source: Option<BoxError>,
}

impl Exhausted {
    /// Creates the error. The hint of `verdict` is the time until the soonest recovery.
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
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Returns the time until the soonest recovery of an endpoint, if it is known and not over.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.verdict.hint().filter(|wait| !wait.is_zero())
    }

    /// Creates the response of an HTTP server that cannot serve a request for this reason.
    ///
    /// It is a `503`, with `retry-after` in whole seconds if the time is known.
    #[must_use]
    pub fn to_response<B: Default>(&self) -> Response<B> {
        unavailable(self.retry_in())
    }
}

impl fmt::Display for Exhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.trail.len() {
            0 => f.write_str("no endpoint can take the request")?,
            1 => write!(
                f,
                "no endpoint served the request (1 attempt: {})",
                self.trail
            )?,
            n => write!(
                f,
                "no endpoint served the request ({n} attempts: {})",
                self.trail
            )?,
        }
        if let Some(retry_in) = self.retry_in() {
            write!(
                f,
                ", the soonest is back in {:.1} s",
                retry_in.as_secs_f64()
            )?;
        }
        Ok(())
    }
}

impl Error for Exhausted {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_ref().map(|source| &**source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::RecordAttempts;
    use crate::{Attempt, Class};
    use tokio::time::Instant;

    #[test]
    fn message_contains_attempts_and_soonest_recovery() {
        let trail = Trail::new();
        let limited = Verdict::new(Class::RateLimited);
        let error = Exhausted::new(trail.clone(), limited, None);
        assert_eq!(error.to_string(), "no endpoint can take the request");

        trail.record(Attempt {
            endpoint: Some("primary".into()),
            ..Attempt::new(Instant::now(), Verdict::new(Class::Connect))
        });
        let limited = limited.with_hint(Some(Duration::from_millis(1500)));
        let error = Exhausted::new(trail, limited, Some("refused".into()));
        assert_eq!(
            error.to_string(),
            "no endpoint served the request (1 attempt: primary: connect), \
             the soonest is back in 1.5 s"
        );
        assert_eq!(
            error.source().map(ToString::to_string),
            Some("refused".into())
        );
        let response: http::Response<()> = error.to_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
    }
}
