//! The response future: attempts and waits, one after the other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, OtherEndpoint, Verdict};
use tokio::time::{Sleep, sleep};
use tower_service::Service;
use tracing::Span;

use crate::answer::ResponseBody;
use crate::attempt;
use crate::mode::BodyMode;
use crate::policy::WAIT_TOO_LONG;
use crate::retry::{NoAttempt, Rescue, Retry, Step};

/// The outcome of an attempt, and the verdict on it.
type Ended<ResBody> = (Result<Response<ResBody>, BoxError>, Verdict);

/// The longest time that a further attempt waits for a kept answer that is still arriving.
const MAX_READING: Duration = Duration::from_millis(250);

pin_project! {
    /// The response future of [`RetryOn429`](crate::RetryOn429).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the attempt in flight, or ends the wait. A retry that was reserved
    /// and not sent returns its tokens to the budget. A retry in flight spends them: servers that
    /// hang would otherwise receive retries for free.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, M, B, ResBody>
    where
        S: Service<Request<M::Body>>,
        M: BodyMode<B>,
        ResBody: Body,
    {
        #[pin]
        state: State<S::Future>,
        // Absent if the request cannot be sent again.
        retry: Option<Retry<S, M::Kept, ResBody>>,
        // A second attempt beside the slow one in flight. Boxed, since most requests have none.
        rescue: Option<Box<Rescue<S::Future>>>,
    }
}

pin_project! {
    /// The step of a request.
    ///
    /// The future is a loop over these steps. No step wakes its own task in order to run again.
    #[project = StateProj]
    enum State<F> {
        // An attempt is in flight.
        InFlight { #[pin] future: F, span: Span },
        // The slow attempt has failed, and its rescue is in flight.
        Rescued,
        // The backoff or the hint.
        Waiting { #[pin] sleep: Sleep },
        // A further attempt would end the connection of the kept answer, which is still arriving.
        Reading { #[pin] limit: Sleep },
        // The service becomes ready for a further attempt. The timer starts if that takes time.
        Readying { #[pin] limit: Option<Sleep> },
        Done,
    }
}

impl<S, M, B, ResBody> ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    /// Starts with the first attempt.
    #[inline]
    pub(crate) fn new(
        future: S::Future,
        span: Span,
        retry: Option<Retry<S, M::Kept, ResBody>>,
    ) -> Self {
        Self {
            state: State::InFlight { future, span },
            retry,
            rescue: None,
        }
    }
}

impl<S, M, B, ResBody> ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    /// Polls the attempts until an outcome is final.
    fn poll_attempts(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<<Self as Future>::Output> {
        let mut this = self.project();
        let Some(retry) = this.retry else {
            let StateProj::InFlight { future, span } = this.state.project() else {
                panic!("polled after it was ready");
            };
            let outcome = ready!(poll_within(span, future, cx));
            let passed = outcome.map(|response| response.map(ResponseBody::passed));
            return Poll::Ready(passed.map_err(Into::into));
        };
        retry.read_ahead(cx);
        loop {
            let next = match this.state.as_mut().project() {
                // The attempt ended: return an outcome, wait, or send the request again.
                StateProj::InFlight { future, span } => {
                    let Poll::Ready(outcome) = poll_within(span, future, cx) else {
                        let rescued = ready!(Self::poll_rescue(retry, this.rescue, cx));
                        // Dropped before the answer is returned, so that the trail is complete.
                        this.state.set(State::Done);
                        return Poll::Ready(rescued.map(|response| retry.answer(response)));
                    };
                    let outcome = outcome.map_err(Into::into);
                    let verdict = retry.judge(&outcome, span);
                    // The usual end. A response is large to move.
                    if verdict.is_success() && this.rescue.is_none() {
                        return Poll::Ready(outcome.map(|response| retry.answer(response)));
                    }
                    let ended = (outcome, verdict);
                    match Self::after_outcome(retry, this.rescue, ended, cx) {
                        Ok(next) => next,
                        Err(outcome) => return Poll::Ready(outcome),
                    }
                }
                // The rescue ended, as the only attempt in flight.
                StateProj::Rescued => {
                    let ended = ready!(Self::poll_last(retry, this.rescue, cx));
                    match Self::after_outcome(retry, this.rescue, ended, cx) {
                        Ok(next) => next,
                        Err(outcome) => return Poll::Ready(outcome),
                    }
                }
                // The wait is over: read the kept answer first, or send the request again.
                StateProj::Waiting { sleep } => {
                    ready!(sleep.poll(cx));
                    retry.end_wait();
                    after_attempt::<S, M, B, _>(retry, Duration::ZERO)
                }
                // The kept answer is read, or its time is up: send the request again.
                StateProj::Reading { limit } => {
                    if retry.has_more_to_read::<B, M>() {
                        ready!(limit.poll(cx));
                    }
                    retry.end_wait();
                    State::Readying { limit: None }
                }
                // The service is ready: the next attempt is in flight. Otherwise the best outcome
                // is returned.
                StateProj::Readying { limit } => {
                    match ready!(send_again::<S, M, B, _>(retry, limit, cx)) {
                        Ok(in_flight) => in_flight,
                        Err(unsent) => return Poll::Ready(retry.no_attempt(unsent)),
                    }
                }
                StateProj::Done => panic!("polled after it was ready"),
            };
            this.state.set(next);
        }
    }

    /// Sends a rescue of a slow attempt, and polls the rescue. Returns its outcome if it succeeds.
    ///
    /// A rescue that fails ends, and the slow attempt continues.
    fn poll_rescue(
        retry: &mut Retry<S, M::Kept, ResBody>,
        rescue: &mut Option<Box<Rescue<S::Future>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Response<ResBody>, BoxError>> {
        let is_new = rescue.is_none();
        let Some(mut current) = rescue.take().or_else(|| retry.rescue::<B, M>(cx)) else {
            return Poll::Pending;
        };
        let polled = current.poll(cx);
        let sent = if is_new {
            retry.keep_sent(current)
        } else {
            Some(current)
        };
        let Poll::Ready(outcome) = polled else {
            *rescue = sent;
            return Poll::Pending;
        };
        let Some(current) = sent else {
            return Poll::Pending;
        };
        let outcome = outcome.map_err(Into::into);
        let verdict = retry.judge(&outcome, current.span());
        if verdict.is_success() {
            current.win(retry.trail());
            return Poll::Ready(outcome);
        }
        retry.keep_failure(outcome, verdict);
        Poll::Pending
    }

    /// Polls the rescue of a slow attempt that has failed.
    fn poll_last(
        retry: &mut Retry<S, M::Kept, ResBody>,
        rescue: &mut Option<Box<Rescue<S::Future>>>,
        cx: &mut Context<'_>,
    ) -> Poll<Ended<ResBody>> {
        let current = rescue.as_mut().expect("it is in flight");
        let outcome = ready!(current.poll(cx)).map_err(Into::into);
        let verdict = retry.judge(&outcome, current.span());
        if let Some(rescue) = rescue.take().filter(|_| verdict.is_success()) {
            rescue.win(retry.trail());
        }
        Poll::Ready((outcome, verdict))
    }

    /// Returns the state after an attempt, or the outcome of the request.
    ///
    /// A success decides the request, and so does a failure that no other endpoint can improve.
    /// After any other failure, a rescue in flight continues.
    fn after_outcome(
        retry: &mut Retry<S, M::Kept, ResBody>,
        rescue: &mut Option<Box<Rescue<S::Future>>>,
        (outcome, verdict): Ended<ResBody>,
        cx: &mut Context<'_>,
    ) -> Result<State<S::Future>, Result<Response<ResponseBody<ResBody>>, BoxError>> {
        if rescue.is_some() && may_improve(verdict) {
            retry.keep_failure(outcome, verdict);
            return Ok(State::Rescued);
        }
        if let Some(rescue) = rescue.take() {
            rescue.lose();
        }
        if verdict.is_success() {
            return Err(outcome.map(|response| retry.answer(response)));
        }
        match retry.failed::<B, M>(outcome, verdict) {
            Step::Done(outcome) => Err(outcome),
            Step::Again(wait) => {
                retry.read_ahead(cx);
                Ok(after_attempt::<S, M, B, _>(retry, wait))
            }
        }
    }
}

impl<S, M, B, ResBody> Future for ResponseFuture<S, M, B, ResBody>
where
    S: Service<Request<M::Body>, Response = Response<ResBody>> + Clone,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    type Output = Result<Response<ResponseBody<ResBody>>, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        // The outcome is not unpacked, since a response is large to move.
        let outcome = self.as_mut().poll_attempts(cx);
        if outcome.is_ready() {
            self.project().state.set(State::Done);
        }
        outcome
    }
}

/// Polls an attempt within its span.
#[inline]
fn poll_within<F: Future>(
    span: &Span,
    future: Pin<&mut F>,
    cx: &mut Context<'_>,
) -> Poll<F::Output> {
    let _entered = attempt::enter(span);
    future.poll(cx)
}

/// Returns whether an attempt beside a failed one may have another outcome.
fn may_improve(verdict: Verdict) -> bool {
    !matches!(verdict.class().other_endpoint(), OtherEndpoint::Never)
}

/// Returns the state between an attempt and the next one.
fn after_attempt<S, M, B, ResBody>(
    retry: &mut Retry<S, M::Kept, ResBody>,
    wait: Duration,
) -> State<S::Future>
where
    S: Service<Request<M::Body>>,
    M: BodyMode<B>,
    ResBody: Body,
{
    if !wait.is_zero() {
        return State::Waiting { sleep: sleep(wait) };
    }
    if !retry.has_more_to_read::<B, M>() {
        return State::Readying { limit: None };
    }
    // At most half of the time, so that the attempt has the other half.
    let limit = sleep((retry.time_left() / 2).min(MAX_READING));
    retry.begin_wait();
    State::Reading { limit }
}

/// Waits until the service is ready and sends the request again.
///
/// Fails if the service fails, if it stays busy until the limit, or if the body can no longer be
/// sent again.
fn send_again<S, M, B, ResBody>(
    retry: &mut Retry<S, M::Kept, ResBody>,
    mut limit: Pin<&mut Option<Sleep>>,
    cx: &mut Context<'_>,
) -> Poll<Result<State<S::Future>, NoAttempt>>
where
    S: Service<Request<M::Body>>,
    S::Error: Into<BoxError>,
    M: BodyMode<B>,
    ResBody: Body,
{
    match retry.service.poll_ready(cx) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(error)) => {
            return Poll::Ready(Err((Some(error.into()), "the service has failed")));
        }
        Poll::Pending => {
            if limit.is_none() {
                limit.set(Some(sleep(retry.time_left())));
                retry.begin_wait();
            }
            let limit = limit.as_pin_mut().expect("set above");
            ready!(limit.poll(cx));
            return Poll::Ready(Err((None, WAIT_TOO_LONG)));
        }
    }
    let Some((request, span)) = retry.again::<B, M>() else {
        return Poll::Ready(Err((None, "its body can no longer be sent")));
    };
    let entered = attempt::enter(&span);
    let future = retry.service.call(request);
    drop(entered);
    Poll::Ready(Ok(State::InFlight { future, span }))
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
