//! The response future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use steadfast_core::layer::saturating_add;
use steadfast_core::{BoxError, Class, Verdict};
use tokio::time::Instant;

use super::settle::Settle;
use crate::value::{CircuitOpen, Permit};

pin_project! {
    /// The response future of [`CircuitBreakerService`](crate::CircuitBreakerService).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<F, M> {
        #[pin]
        state: State<F, M>,
    }
}

pin_project! {
    #[project = StateProj]
    #[derive(Debug)]
    enum State<F, M> {
        Running {
            #[pin]
            inner: F,
            attempt: Attempt,
            mode: M,
        },
        Rejected {
            open: Option<CircuitOpen>,
        },
    }
}

/// The permit of an attempt, until its future resolves.
#[derive(Debug)]
struct Attempt {
    permit: Option<Permit>,
    /// From this instant on, a drop is a timeout.
    abandoned_at: Option<Instant>,
}

impl<F, M> ResponseFuture<F, M> {
    pub(super) fn running(
        inner: F,
        permit: Permit,
        mode: M,
        abandoned_after: Option<Duration>,
    ) -> Self {
        let attempt = Attempt {
            permit: Some(permit),
            // The clock is read only if it is needed.
            abandoned_at: abandoned_after.map(|after| saturating_add(Instant::now(), after)),
        };
        Self {
            state: State::Running {
                inner,
                attempt,
                mode,
            },
        }
    }

    pub(super) fn rejected(open: CircuitOpen) -> Self {
        Self {
            state: State::Rejected { open: Some(open) },
        }
    }
}

impl<F, M, Res, E> Future for ResponseFuture<F, M>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    M: Settle<Res, E>,
{
    type Output = Result<M::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Running {
                inner,
                attempt,
                mode,
            } => {
                let result = ready!(inner.poll(cx));
                let permit = attempt.permit.take().expect("polled after it was ready");
                Poll::Ready(mode.settle(permit, result))
            }
            StateProj::Rejected { open } => {
                let open = open.take().expect("polled after it was ready");
                Poll::Ready(Err(open.into_classified()))
            }
        }
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        let Some(permit) = self.permit.take() else {
            return;
        };
        if self.abandoned_at.is_some_and(|at| at <= Instant::now()) {
            permit.record(Verdict::new(Class::Timeout));
        }
    }
}
