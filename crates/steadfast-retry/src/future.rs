use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Classify};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use crate::mode::BodyMode;
use crate::retry::{Retry, Step};

pin_project! {
    /// The response future of [`RetryOn429`](crate::RetryOn429).
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, C, M, B>
    where
        S: Service<Request<M::Body>>,
        M: BodyMode<B>,
    {
        #[pin]
        state: State<S::Future>,
        // Absent where the request cannot be sent again.
        retry: Option<Retry<S, C, M::Body, S::Response>>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<F> {
        Calling { #[pin] future: F },
        Sleeping { #[pin] sleep: Sleep },
        // The first poll asks the service; a timer is made only if it has to wait.
        Asking,
        Readying { #[pin] limit: Sleep },
    }
}

impl<S, C, M, B> ResponseFuture<S, C, M, B>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
{
    pub(crate) fn new(future: S::Future, retry: Option<Retry<S, C, M::Body, S::Response>>) -> Self {
        Self {
            state: State::Calling { future },
            retry,
        }
    }
}

impl<S, C, M, B, ResBody> Future for ResponseFuture<S, C, M, B>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    C: Classify,
    M: BodyMode<B>,
{
    type Output = Result<Response<ResBody>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.state.as_mut().project() {
                StateProj::Calling { future } => {
                    let outcome = ready!(future.poll(cx)).map_err(Into::into);
                    let Some(retry) = this.retry.as_mut() else {
                        return Poll::Ready(outcome);
                    };
                    match retry.judge(outcome) {
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
                        Poll::Ready(Ok(())) => call::<S, C, M, B>(retry),
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(retry.not_ready(Some(error.into())));
                        }
                        Poll::Pending => State::Readying {
                            limit: sleep(retry.time_left()),
                        },
                    }
                }
                StateProj::Readying { limit } => {
                    let retry = this.retry.as_mut().expect("only a retry gets here");
                    match retry.service.poll_ready(cx) {
                        Poll::Ready(Ok(())) => call::<S, C, M, B>(retry),
                        Poll::Ready(Err(error)) => {
                            return Poll::Ready(retry.not_ready(Some(error.into())));
                        }
                        Poll::Pending => {
                            ready!(limit.poll(cx));
                            return Poll::Ready(retry.not_ready(None));
                        }
                    }
                }
            };
            this.state.set(next);
        }
    }
}

/// Sends a request again through a service that is ready.
fn call<S, C, M, B>(retry: &mut Retry<S, C, M::Body, S::Response>) -> State<S::Future>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
{
    let request = retry
        .again::<B, M>()
        .expect("only what can be copied is retried");
    State::Calling {
        future: retry.service.call(request),
    }
}

impl<S, C, M, B> fmt::Debug for ResponseFuture<S, C, M, B>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
