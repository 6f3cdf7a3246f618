use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::BoxError;
use tokio::time::{Sleep, sleep};
use tower_service::Service;
use tracing::Span;

use crate::answer::ResponseBody;
use crate::mode::BodyMode;
use crate::retry::{Retry, Step};

pin_project! {
    /// The response future of [`RetryOn429`](crate::RetryOn429).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, M, B, ResBody>
    where
        S: Service<Request<M::Body>>,
        M: BodyMode<B>,
        ResBody: Body,
    {
        #[pin]
        state: State<S::Future>,
        // Absent where the request cannot be sent again.
        retry: Option<Retry<S, M::Kept, ResBody>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F, span: Span },
        Sleeping { #[pin] sleep: Sleep },
        // The answer that is kept is still coming, over a connection that a further attempt ends.
        Reading { #[pin] limit: Sleep },
        // The first poll asks the service; a timer is made only if it has to wait.
        Asking,
        Readying { #[pin] limit: Sleep },
        Done,
    }
}

/// How long a further attempt waits for an answer that came before the end of its request, and
/// whose body still comes.
const MAX_READING: Duration = Duration::from_millis(250);

impl<S, M, B, ResBody> ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    #[inline]
    pub(crate) fn new(
        future: S::Future,
        span: Span,
        retry: Option<Retry<S, M::Kept, ResBody>>,
    ) -> Self {
        Self {
            state: State::Calling { future, span },
            retry,
        }
    }
}

impl<S, M, B, ResBody> Future for ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // Not taken apart: an answer is large to move.
        let outcome = self.as_mut().poll_attempts(cx);
        if outcome.is_ready() {
            self.project().state.set(State::Done);
        }
        outcome
    }
}

impl<S, M, B, ResBody> ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    fn poll_attempts(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let mut this = self.project();
        if let Some(retry) = this.retry.as_mut() {
            retry.read_ahead(cx);
        }
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { future, span } => {
                    let outcome = ready!(span.in_scope(|| future.poll(cx)));
                    let Some(retry) = this.retry.as_mut() else {
                        return Poll::Ready(match outcome {
                            Ok(response) => Ok(ResponseBody::passed(response)),
                            Err(error) => Err(error.into()),
                        });
                    };
                    let (outcome, verdict) = match outcome {
                        Ok(response) => {
                            let verdict = retry.verdict(Ok(&response), span);
                            if verdict.is_success() {
                                retry.succeeded(Ok(&response));
                                return Poll::Ready(Ok(retry.answer(response)));
                            }
                            (Ok(response), verdict)
                        }
                        Err(error) => {
                            let error = error.into();
                            let verdict = retry.verdict(Err(&error), span);
                            if verdict.is_success() {
                                retry.succeeded(Err(&error));
                                return Poll::Ready(Err(error));
                            }
                            (Err(error), verdict)
                        }
                    };
                    let step = retry.judge::<B, M>(outcome, verdict);
                    retry.read_ahead(cx);
                    match step {
                        Step::Done(outcome) => return Poll::Ready(outcome),
                        Step::Again(Duration::ZERO) => before_attempt::<S, M, B, _>(retry),
                        Step::Again(wait) => State::Sleeping { sleep: sleep(wait) },
                    }
                }
                StateProj::Sleeping { sleep } => {
                    ready!(sleep.poll(cx));
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    retry.end_wait();
                    before_attempt::<S, M, B, _>(retry)
                }
                StateProj::Reading { limit } => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    if retry.has_more_to_read::<B, M>() {
                        ready!(limit.poll(cx));
                    }
                    retry.end_wait();
                    State::Asking
                }
                StateProj::Asking => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    match ask::<S, M, B, _>(retry, cx) {
                        Poll::Ready(Ok(calling)) => calling,
                        Poll::Ready(Err(error)) => return Poll::Ready(retry.no_attempt(error)),
                        Poll::Pending => {
                            let limit = sleep(retry.time_left());
                            retry.begin_wait();
                            State::Readying { limit }
                        }
                    }
                }
                StateProj::Readying { limit } => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    match ask::<S, M, B, _>(retry, cx) {
                        Poll::Ready(Ok(calling)) => calling,
                        Poll::Ready(Err(error)) => return Poll::Ready(retry.no_attempt(error)),
                        Poll::Pending => {
                            ready!(limit.poll(cx));
                            return Poll::Ready(retry.no_attempt(None));
                        }
                    }
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            this.state.set(next);
        }
    }
}

/// What comes between the end of a wait and the next attempt.
fn before_attempt<S, M, B, ResBody>(retry: &mut Retry<S, M::Kept, ResBody>) -> State<S::Future>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    if !retry.has_more_to_read::<B, M>() {
        return State::Asking;
    }
    // Half of it at most, so that there is time for the attempt.
    let limit = sleep((retry.time_left() / 2).min(MAX_READING));
    retry.begin_wait();
    State::Reading { limit }
}

/// Makes the service ready and sends the request again. Fails if the service does, or if too much
/// of the body was sent meanwhile.
fn ask<S, M, B, ResBody>(
    retry: &mut Retry<S, M::Kept, ResBody>,
    cx: &mut Context<'_>,
) -> Poll<Result<State<S::Future>, Option<BoxError>>>
where
    S: Service<Request<M::Body>>,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    if let Err(error) = ready!(retry.service.poll_ready(cx)) {
        return Poll::Ready(Err(Some(error.into())));
    }
    let Some((request, span)) = retry.again::<B, M>() else {
        return Poll::Ready(Err(None));
    };
    let future = span.in_scope(|| retry.service.call(request));
    Poll::Ready(Ok(State::Calling { future, span }))
}

impl<S, M, B, ResBody> fmt::Debug for ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
