use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

/// Counts the polls of futures, and ends a test with a future that is polled without end.
#[derive(Clone, Default)]
pub(crate) struct Polls(Arc<AtomicUsize>);

pub(crate) struct Counted<F>(Pin<Box<F>>, Polls);

const SPINS: usize = 100_000;

impl Polls {
    pub(crate) fn count<F: Future>(&self, future: F) -> Counted<F> {
        Counted(Box::pin(future), self.clone())
    }

    pub(crate) fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        assert!(
            self.1.0.fetch_add(1, Ordering::Relaxed) < SPINS,
            "the future spins"
        );
        self.0.as_mut().poll(cx)
    }
}
