//! The layer that limits the time of an attempt.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::{BoxError, Deadline};
use tokio::time::{Instant, Sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;

use crate::attempt_timeout::TimeoutPhase;
use crate::errors::classified;
use crate::limit::Limit;
use crate::timed::{Clock, TimedBody};

/// Applies [`AttemptTimeoutService`] to a client.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Copy, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct AttemptTimeoutLayer {
    limits: Limits,
}

/// Ends an attempt that is late, and enforces the [`Deadline`](steadfast_core::Deadline) of its
/// request.
///
/// The head has its own limit, and each read of the body as well. The deadline ends both. After its
/// deadline, a request is not sent: the server would work for nothing. A missed deadline is a
/// `Timeout` without an effect on a breaker, since the endpoint is not at fault. The error is an
/// [`AttemptTimeout`](crate::AttemptTimeout) within a [`Classified`](steadfast_core::Classified).
#[derive(Clone, Debug)]
pub struct AttemptTimeoutService<S> {
    inner: S,
    limits: Limits,
}

pin_project! {
    /// The response future of [`AttemptTimeoutService`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F> {
        // Absent if the deadline has passed.
        #[pin]
        inner: Option<F>,
        #[pin]
        timer: Sleep,
        limit: Limit,
        deadline: Option<Limit>,
        idle: Duration,
    }
}

/// The limits of the parts of each attempt.
#[derive(Clone, Copy, Debug)]
struct Limits {
    head: Duration,
    idle: Duration,
}

// ===== impl AttemptTimeoutLayer =====

impl AttemptTimeoutLayer {
    /// The default of [`idle`](Self::idle).
    pub const DEFAULT_IDLE: Duration = Duration::from_secs(60);

    /// Creates a layer with a limit from the start of an attempt to the head of its response.
    pub const fn new(head: Duration) -> Self {
        let idle = Self::DEFAULT_IDLE;
        Self {
            limits: Limits { head, idle },
        }
    }

    /// Sets the limit of each read of a body. Defaults to [`DEFAULT_IDLE`](Self::DEFAULT_IDLE). It
    /// runs while a read is pending: a slow reader is not a slow endpoint.
    pub const fn idle(mut self, idle: Duration) -> Self {
        self.limits.idle = idle;
        self
    }
}

impl<S> Layer<S> for AttemptTimeoutLayer {
    type Service = AttemptTimeoutService<S>;

    fn layer(&self, inner: S) -> Self::Service {
        AttemptTimeoutService {
            inner,
            limits: self.limits,
        }
    }
}

// ===== impl AttemptTimeoutService =====

impl<S> AttemptTimeoutService<S> {
    /// Returns a reference to the inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// Returns a mutable reference to the inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// Consumes `self` and returns the inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for AttemptTimeoutService<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Into<BoxError>,
    ResBody: Body + Unpin,
    ResBody::Error: Into<BoxError>,
{
    type Response = Response<TimedBody<ResBody>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let start = Instant::now();
        let deadline = Deadline::of(request.extensions());
        let limit = Limit::new(TimeoutPhase::Head, (start, self.limits.head), deadline);
        let deadline = deadline.map(|deadline| Limit::deadline(deadline, start));
        ResponseFuture {
            inner: (limit.at() > start).then(|| self.inner.call(request)),
            timer: sleep_until(limit.at()),
            limit,
            deadline,
            idle: self.limits.idle,
        }
    }
}

// ===== impl ResponseFuture =====

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<TimedBody<B>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(inner) = this.inner.as_pin_mut() else {
            return Poll::Ready(Err(this.limit.error().into()));
        };
        if let Poll::Ready(outcome) = inner.poll(cx) {
            let (clock, deadline) = (Clock::Idle(*this.idle), *this.deadline);
            let timed = |body| TimedBody::new(body, clock).deadline(deadline);
            return Poll::Ready(match outcome {
                Ok(response) => Ok(response.map(timed)),
                Err(error) => Err(classified(error.into())),
            });
        }
        std::task::ready!(this.timer.poll(cx));
        Poll::Ready(Err(this.limit.error().into()))
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
