//! The error at the end of a body, behind its last frame.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Frame;
use steadfast_core::BoxError;
use tokio::time::{Sleep, sleep};

/// The time between the last frame and the error. A server drops its unwritten output when a body
/// fails, so it needs a moment to write the frame.
const WRITTEN_AFTER: Duration = Duration::from_millis(100);

/// An error that follows the last frame of a body, once.
#[derive(Debug)]
pub(crate) struct Parting {
    /// `None` once it is returned.
    error: Option<BoxError>,
    timer: Pin<Box<Sleep>>,
}

impl Parting {
    /// Starts the time of the last frame.
    pub(crate) fn new(error: BoxError) -> Self {
        Self {
            error: Some(error),
            timer: Box::pin(sleep(WRITTEN_AFTER)),
        }
    }

    /// Returns the error when its time has come, and then the end of the body.
    pub(crate) fn poll(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.error.is_some() {
            ready!(self.timer.as_mut().poll(cx));
        }
        Poll::Ready(self.error.take().map(Err))
    }

    /// Returns whether the error has been returned.
    pub(crate) fn is_past(&self) -> bool {
        self.error.is_none()
    }
}
