//! The response future of the checker, and the end of its call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project_lite::pin_project;

use super::gate::Permit;
use super::probe::Shared;

pin_project! {
    /// The response future of [`Contract`](crate::Contract).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct ContractFuture<F> {
        #[pin]
        inner: F,
        flight: Flight,
    }
}

impl<F> ContractFuture<F> {
    pub(crate) fn new(inner: F, flight: Flight) -> Self {
        Self { inner, flight }
    }
}

impl<F: Future> Future for ContractFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let output = ready!(this.inner.poll(cx));
        this.flight.land();
        Poll::Ready(output)
    }
}

/// A call that has not ended. It ends as cancelled unless it has landed first.
#[derive(Debug)]
pub(crate) struct Flight {
    shared: Option<Arc<Shared>>,
    permit: Permit,
}

impl Flight {
    /// Starts a call, which keeps its permit until its end.
    pub(crate) fn start(shared: Arc<Shared>, permit: Permit) -> Self {
        shared.note(|report| {
            report.calls += 1;
            report.in_flight += 1;
        });
        Self {
            shared: Some(shared),
            permit,
        }
    }

    /// Ends the call as completed.
    fn land(&mut self) {
        self.permit = None;
        if let Some(shared) = self.shared.take() {
            shared.note(|report| {
                report.in_flight -= 1;
                report.completed += 1;
            });
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.note(|report| {
                report.in_flight -= 1;
                report.cancelled += 1;
            });
        }
    }
}
