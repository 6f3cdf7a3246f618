//! Calls and their results.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use http::StatusCode;
use tokio::sync::oneshot;

/// What the backend does with a call.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Answers, with a short body.
    Status(StatusCode),
    /// Refuses the connection.
    Fail,
    /// Loses the connection that the call was sent on.
    Lose,
    /// Answers `200`, and loses the connection in the middle of the body.
    Break,
    /// Answers `200`, and the body goes on for ever.
    Stream,
    Hang,
    PanicInCall,
    PanicInFuture,
    /// Waits for its outcome.
    Later(oneshot::Receiver<Self>),
}

/// How a call ended for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Answered,
    Failed,
    Rejected { retry_in: Option<Duration> },
}

/// A call under way.
pub(crate) type Calling = Pin<Box<dyn Future<Output = Outcome> + Send>>;

impl Ask {
    pub(crate) const OK: Self = Self::Status(StatusCode::OK);
    pub(crate) const LIMITED: Self = Self::Status(StatusCode::TOO_MANY_REQUESTS);
    pub(crate) const UNAVAILABLE: Self = Self::Status(StatusCode::SERVICE_UNAVAILABLE);
}

impl Outcome {
    pub(crate) const REJECTED: Self = Self::Rejected { retry_in: None };

    pub(crate) fn is_rejected(self) -> bool {
        matches!(self, Self::Rejected { .. })
    }
}
