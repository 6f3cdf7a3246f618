//! The error of a rejected attempt.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::{Response, StatusCode};
use steadfast_core::layer::{rounded, set_retry_after};
use steadfast_core::{BoxError, Class, Classified, EndpointName, Verdict, find_error};

use super::handle::Handle;

/// The circuit is open: the attempt was rejected and nothing was sent.
///
/// A half-open breaker with all probe slots taken counts as open too.
#[derive(Clone)]
pub struct CircuitOpen {
    name: Name,
    retry_in: Option<Duration>,
}

/// The source of the name.
#[derive(Clone)]
enum Name {
    /// The clone of the breaker that rejected. A clone of the name would make the rejections of
    /// many threads contend for one reference count.
    Of(Arc<Handle>),
    Own(EndpointName),
}

impl CircuitOpen {
    /// Creates the error, for tests of its handling.
    #[must_use]
    pub fn new(name: EndpointName, retry_in: Option<Duration>) -> Self {
        Self {
            name: Name::Own(name),
            retry_in,
        }
    }

    pub(super) fn of(handle: Arc<Handle>, retry_in: Option<Duration>) -> Self {
        Self {
            name: Name::Of(handle),
            retry_in,
        }
    }

    /// Finds this error in `error` or in one of its sources.
    ///
    /// A layer returns it inside a [`Classified`], which other layers may have wrapped.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        find_error(error)
    }

    /// Returns the name of the breaker.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        match &self.name {
            Name::Of(handle) => handle.announcer().name(),
            Name::Own(name) => name,
        }
    }

    /// Returns the time until an attempt may be admitted, if known. While a probe runs, that is at
    /// most one second.
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.retry_in
    }

    /// Creates the response of an HTTP server: `503`, with `retry-after` in whole seconds if the
    /// time is known.
    #[must_use]
    pub fn to_response<B: Default>(&self) -> Response<B> {
        let mut response = Response::new(B::default());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        set_retry_after(response.headers_mut(), self.retry_in);
        response
    }

    /// Wraps the error for the caller of a layer.
    pub(crate) fn into_classified(self) -> BoxError {
        // Neutral, because an outer breaker must not count an attempt that was not sent.
        let verdict = Verdict::new(Class::Overloaded)
            .with_hint(self.retry_in)
            .neutral()
            .unsent();
        Classified::new(verdict, self).into()
    }
}

impl fmt::Display for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit of {} is open", self.name())?;
        if let Some(retry_in) = self.retry_in {
            write!(f, ", next probe in {}", rounded(retry_in))?;
        }
        Ok(())
    }
}

impl Error for CircuitOpen {}

impl PartialEq for CircuitOpen {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name() && self.retry_in == other.retry_in
    }
}

impl Eq for CircuitOpen {}

impl fmt::Debug for CircuitOpen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitOpen")
            .field("name", self.name())
            .field("retry_in", &self.retry_in)
            .finish()
    }
}

/// The failure of a [call](crate::CircuitBreaker::call).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError<E> {
    /// The call was rejected and did not start.
    Open(CircuitOpen),
    /// The call failed.
    Failed(E),
}

impl<E> fmt::Display for CallError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open(_) => "the call was rejected",
            Self::Failed(_) => "the call failed",
        })
    }
}

impl<E: Error + 'static> Error for CallError<E> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Open(open) => Some(open),
            Self::Failed(error) => Some(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast_core::BreakerEffect;

    #[test]
    fn message_has_name_and_time() {
        let error = CircuitOpen::new("primary".into(), Some(Duration::from_millis(1500)));
        assert_eq!(
            error.to_string(),
            "circuit of primary is open, next probe in 1.5 s"
        );
        let error = CircuitOpen::new("primary".into(), None);
        assert_eq!(error.to_string(), "circuit of primary is open");
    }

    #[test]
    fn response_has_retry_after() {
        let open = CircuitOpen::new("a".into(), Some(Duration::from_millis(1001)));
        let response: Response<String> = open.to_response();
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "2");
    }

    #[test]
    fn error_is_found_below_other_layers() {
        let open = CircuitOpen::new("primary".into(), Some(Duration::from_secs(3)));
        let error = std::io::Error::other(open.clone().into_classified());

        assert_eq!(CircuitOpen::find(&error), Some(&open));
        assert_eq!(CircuitOpen::find(&*BoxError::from("other")), None);
    }

    #[test]
    fn verdict_is_neutral_overload_of_an_unsent_request() {
        // An isolated breaker knows no time.
        for retry_in in [Some(Duration::from_secs(3)), None] {
            let error = CircuitOpen::new("primary".into(), retry_in).into_classified();
            let verdict = Classified::find(&*error).expect("classified").verdict();

            assert_eq!(verdict.class(), Class::Overloaded);
            assert_eq!(verdict.hint(), retry_in);
            assert_eq!(verdict.breaker(), BreakerEffect::Neutral);
            assert!(
                verdict.proves_unprocessed(),
                "a repeat is safe for any method"
            );
        }
    }
}
