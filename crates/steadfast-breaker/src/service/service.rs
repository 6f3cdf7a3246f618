//! The service.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use steadfast_core::BoxError;
use tower_service::Service;

use crate::service::backpressure::Turn;
use crate::service::future::ResponseFuture;
use crate::service::settle::ByResult;
use crate::service::settle::Settle;
use crate::value::breaker::CircuitBreaker;

/// Rejects requests while its [`CircuitBreaker`] is open.
///
/// Made by [`CircuitBreakerLayer`](crate::CircuitBreakerLayer). See the [crate docs](crate) for an
/// example.
#[derive(Debug)]
pub struct CircuitBreakerService<S, M = ByResult> {
    inner: S,
    breaker: CircuitBreaker,
    mode: M,
    abandoned_after: Option<Duration>,
    /// Only where the service exerts backpressure.
    turn: Option<Turn>,
}

impl<S, M> CircuitBreakerService<S, M> {
    pub(crate) fn new(
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
            turn: backpressure.then(Turn::default),
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
        // Wait first, ask the inner service last: it may reserve capacity that others need. Without
        // backpressure the breaker is asked in `call`, so that readiness alone takes no place.
        if let Some(turn) = &mut self.turn {
            ready!(turn.poll(&self.breaker, cx));
        }
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let admitted = match &mut self.turn {
            Some(turn) => turn.take(&self.breaker),
            None => self.breaker.try_acquire(),
        };
        match admitted {
            Ok(permit) => ResponseFuture::running(
                self.inner.call(request),
                permit,
                self.mode.clone(),
                self.abandoned_after,
            ),
            // The inner service must not see the request: it may begin to work in `call`.
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
            self.turn.is_some(),
        )
    }
}
