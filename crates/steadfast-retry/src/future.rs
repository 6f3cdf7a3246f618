use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Classify};
use tokio::time::{Sleep, sleep};
use tower_service::Service;
use tracing::Span;

use crate::answer::ResponseBody;
use crate::mode::BodyMode;
use crate::retry::{Retry, Step};

pin_project! {
    /// The response future of [`RetryOn429`](crate::RetryOn429).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, C, M, B, ResBody>
    where
        S: Service<Request<M::Body>>,
        M: BodyMode<B>,
        ResBody: Body,
    {
        #[pin]
        state: State<S::Future>,
        // Absent where the request cannot be sent again.
        retry: Option<Retry<S, C, M::Kept, ResBody>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F, span: Span },
        Sleeping { #[pin] sleep: Sleep },
        // The first poll asks the service; a timer is made only if it has to wait.
        Asking,
        Readying { #[pin] limit: Sleep },
    }
}

impl<S, C, M, B, ResBody> ResponseFuture<S, C, M, B, ResBody>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    pub(crate) fn new(
        future: S::Future,
        span: Span,
        retry: Option<Retry<S, C, M::Kept, ResBody>>,
    ) -> Self {
        Self {
            state: State::Calling { future, span },
            retry,
        }
    }
}

impl<S, C, M, B, ResBody> Future for ResponseFuture<S, C, M, B, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    C: Classify,
    M: BodyMode<B>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(retry) = this.retry.as_mut() {
            retry.read_ahead(cx);
        }
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { future, span } => {
                    let outcome = ready!(span.in_scope(|| future.poll(cx))).map_err(Into::into);
                    let Some(retry) = this.retry.as_mut() else {
                        return Poll::Ready(outcome.map(ResponseBody::passed));
                    };
                    let step = retry.judge::<B, M>(outcome, span);
                    retry.read_ahead(cx);
                    match step {
                        Step::Done(outcome) => return Poll::Ready(outcome),
                        Step::Again(Duration::ZERO) => State::Asking,
                        Step::Again(wait) => State::Sleeping { sleep: sleep(wait) },
                    }
                }
                StateProj::Sleeping { sleep } => {
                    ready!(sleep.poll(cx));
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    retry.end_wait();
                    State::Asking
                }
                StateProj::Asking => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    match retry.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => match call::<S, C, M, B, ResBody>(retry) {
                            Some(calling) => calling,
                            None => return Poll::Ready(retry.no_attempt(None)),
                        },
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(retry.no_attempt(Some(error.into())));
                        }
                        Poll::Pending => State::Readying {
                            limit: sleep(retry.time_left()),
                        },
                    }
                }
                StateProj::Readying { limit } => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    match retry.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => match call::<S, C, M, B, ResBody>(retry) {
                            Some(calling) => calling,
                            None => return Poll::Ready(retry.no_attempt(None)),
                        },
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(retry.no_attempt(Some(error.into())));
                        }
                        Poll::Pending => {
                            ready!(limit.poll(cx));
                            return Poll::Ready(retry.no_attempt(None));
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// Sends a request again through a service that is ready, if its body still can be.
fn call<S, C, M, B, ResBody>(retry: &mut Retry<S, C, M::Kept, ResBody>) -> Option<State<S::Future>>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    let (request, span) = retry.again::<B, M>()?;
    let future = span.in_scope(|| retry.service.call(request));
    Some(State::Calling { future, span })
}

impl<S, C, M, B, ResBody> fmt::Debug for ResponseFuture<S, C, M, B, ResBody>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
