use std::error::Error;
use std::time::Duration;

use http::Response;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// The reply of a server to one request: a response or an error, after a latency.
#[derive(Debug)]
pub struct Reply<B> {
    pub(super) wait: Duration,
    /// No result if the server never replies.
    pub(super) result: Option<Result<Response<B>, BoxError>>,
}

impl<B> Reply<B> {
    /// Creates a reply that never arrives.
    #[must_use]
    pub fn never() -> Self {
        Self {
            wait: Duration::ZERO,
            result: None,
        }
    }

    /// Sets the time before the reply arrives. Defaults to no time.
    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }
}

impl<B> From<Result<Response<B>, BoxError>> for Reply<B> {
    fn from(result: Result<Response<B>, BoxError>) -> Self {
        Self {
            wait: Duration::ZERO,
            result: Some(result),
        }
    }
}

impl<B> From<Response<B>> for Reply<B> {
    fn from(response: Response<B>) -> Self {
        Self::from(Ok(response))
    }
}

impl<B> From<BoxError> for Reply<B> {
    fn from(error: BoxError) -> Self {
        Self::from(Err(error))
    }
}
