//! The body of a stream with its head sent before the answer is known.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use steadfast_core::BoxError;
use tokio::time::{Sleep, sleep};

use super::answer::Answer;
use crate::body::ResponseBody;
use crate::respond::{Parting, Reported};

/// A comment is no event. Readers of a stream skip it.
const COMMENT: Bytes = Bytes::from_static(b": keep-alive\n\n");

/// Comments, and then the answer.
///
/// The attempts run while the body is polled, and end with it.
pub(super) struct KeptAlive {
    state: State,
    every: Duration,
}

/// The part of the stream that is sent.
enum State {
    /// The timer is `None` before the first comment, which follows the head at once.
    Waiting {
        answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
        timer: Option<Pin<Box<Sleep>>>,
    },
    /// The answer, as its endpoint has sent it.
    Passing(ResponseBody),
    /// The event is sent. The error follows.
    Failed(Parting),
    Ended,
}

impl KeptAlive {
    /// Starts with a comment, and sends further ones at this interval.
    pub(super) fn new(
        answer: Pin<Box<dyn Future<Output = Answer> + Send>>,
        every: Duration,
    ) -> Self {
        Self {
            state: State::Waiting {
                answer,
                timer: None,
            },
            every,
        }
    }

    /// Waits for the answer, or for the time of a comment.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let State::Waiting { answer, timer } = &mut self.state else {
            return Poll::Pending;
        };
        if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
            return Poll::Ready(Some(answer));
        }
        if let Some(timer) = timer {
            ready!(timer.as_mut().poll(cx));
        }
        *timer = Some(Box::pin(sleep(self.every)));
        Poll::Ready(None)
    }

    /// Reads the rest of the stream.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.state {
            State::Passing(body) => Pin::new(body).poll_frame(cx),
            State::Failed(parting) => parting.poll(cx),
            State::Waiting { .. } | State::Ended => Poll::Ready(None),
        }
    }

    /// Begins the rest of the stream. Returns its first event, unless the rest is a body.
    fn begin(&mut self, answer: Answer) -> Option<Bytes> {
        let (state, event) = match answer {
            Answer::Stream(body) => (State::Passing(body), None),
            Answer::Whole(event) => (State::Ended, Some(event)),
            Answer::Failed(event, error) => {
                let parting = Parting::new(Reported(error).into());
                (State::Failed(parting), Some(event))
            }
        };
        self.state = state;
        event
    }
}

impl Body for KeptAlive {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if let State::Waiting { .. } = self.state {
            let Some(answer) = ready!(self.poll_answer(cx)) else {
                return Poll::Ready(Some(Ok(Frame::data(COMMENT))));
            };
            if let Some(event) = self.begin(answer) {
                return Poll::Ready(Some(Ok(Frame::data(event))));
            }
        }
        self.poll_rest(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.state {
            State::Passing(body) => body.is_end_stream(),
            State::Ended => true,
            _ => false,
        }
    }
}
