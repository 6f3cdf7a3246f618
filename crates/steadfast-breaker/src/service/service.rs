//! The service.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use steadfast_core::BoxError;
use tower_service::Service;

use super::backpressure::Readiness;
use super::future::ResponseFuture;
use super::settle::{ByResult, Settle};
use crate::value::CircuitBreaker;

/// Rejects requests while its [`CircuitBreaker`] is open.
///
/// Created by [`CircuitBreakerLayer`](crate::CircuitBreakerLayer). See the [crate docs](crate) for
/// an example.
#[derive(Debug)]
pub struct CircuitBreakerService<S, M = ByResult> {
    inner: S,
    breaker: CircuitBreaker,
    mode: M,
    abandoned_after: Option<Duration>,
    /// Only with backpressure.
    readiness: Option<Readiness>,
}

impl<S, M> CircuitBreakerService<S, M> {
    pub(super) fn new(
        inner: S,
        breaker: CircuitBreaker,
        mode: M,
        abandoned_after: Option<Duration>,
        backpressure: bool,
    ) -> Self {
        Self {
            inner,
            breaker,
            mode,
            abandoned_after,
            readiness: backpressure.then(Readiness::default),
        }
    }

    /// Returns the breaker.
    pub fn breaker(&self) -> &CircuitBreaker {
        &self.breaker
    }

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

impl<S, M, Req> Service<Req> for CircuitBreakerService<S, M>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    M: Settle<S::Response, S::Error> + Clone,
{
    type Response = M::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        // Wait first, poll the inner service last: it may reserve capacity that other handles need.
        // Without backpressure, `call` requests the admission, so that readiness takes no slot.
        if let Some(readiness) = &mut self.readiness {
            ready!(readiness.poll(&self.breaker, cx));
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let admitted = match &mut self.readiness {
            Some(readiness) => readiness.take(&self.breaker),
            None => self.breaker.try_acquire(),
        };
        match admitted {
            Ok(permit) => ResponseFuture::running(
                self.inner.call(request),
                permit,
                self.mode.clone(),
                self.abandoned_after,
            ),
            // The inner service does not get the request: it may start the work in `call`.
            Err(open) => ResponseFuture::rejected(open),
        }
    }
}

impl<S: Clone, M: Clone> Clone for CircuitBreakerService<S, M> {
    fn clone(&self) -> Self {
        Self::new(
            self.inner.clone(),
            self.breaker.clone(),
            self.mode.clone(),
            self.abandoned_after,
            self.readiness.is_some(),
        )
    }
}
