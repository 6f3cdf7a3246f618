use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use steadfast_core::BoxError;
use tokio::time::{Sleep, sleep};

/// A response body with a known course.
#[derive(Debug)]
pub(crate) struct Stream {
    frames: VecDeque<Result<Bytes, BoxError>>,
    end: Ending,
    /// The time before each frame.
    pace: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

/// How a body ends after its last frame.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ending {
    /// `is_end_stream` is true after the last frame.
    Known,
    /// The end needs one more poll.
    Polled,
    /// The end never arrives.
    Never,
}

impl Stream {
    pub(crate) fn of<const N: usize>(chunks: [&'static str; N]) -> Self {
        Self {
            frames: chunks.map(|chunk| Ok(Bytes::from(chunk))).into(),
            end: Ending::Known,
            pace: Duration::ZERO,
            timer: None,
        }
    }

    pub(crate) fn end(mut self, end: Ending) -> Self {
        self.end = end;
        self
    }

    pub(crate) fn broken(mut self, error: BoxError) -> Self {
        self.frames.push_back(Err(error));
        self.end = Ending::Polled;
        self
    }

    pub(crate) fn pace(mut self, pace: Duration) -> Self {
        self.pace = pace;
        self
    }
}

impl Body for Stream {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if !self.pace.is_zero() {
            let pace = self.pace;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(pace)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        match self.frames.pop_front() {
            Some(frame) => Poll::Ready(Some(frame.map(Frame::data))),
            None if self.end == Ending::Never => Poll::Pending,
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty() && self.end == Ending::Known
    }
}
