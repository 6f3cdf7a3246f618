//! Permits without a reference to their breaker.

use steadfast_core::Verdict;

use super::breaker::CircuitBreaker;
use super::permit::{Hold, Permit, Progress};
use super::receipt::FailureReceipt;

/// The holder of a [`Permit`] without a reference to its breaker.
///
/// A reference costs two writes to a counter that all users of one handle share, which is more than
/// the rest of a healthy attempt. Code that keeps the breaker beside the attempt, such as a pool of
/// endpoints, passes the breaker to each method instead.
///
/// Every such permit must be returned to its own breaker with [`record`](Permit::record) or
/// [`end`](Permit::end), also when an attempt is dropped. A lost probe keeps its slot until the
/// [`probe_timeout`](crate::CircuitBreakerBuilder::probe_timeout). Another breaker would settle an
/// attempt that it did not admit.
///
/// ```
/// use steadfast_breaker::{CircuitBreaker, CircuitOpen, Detached, Permit};
/// use std::sync::Arc;
/// use tokio::time::Instant;
///
/// struct Host {
///     breaker: CircuitBreaker,
/// }
///
/// struct Attempt {
///     host: Arc<Host>,
///     permit: Option<Permit<Detached>>,
/// }
///
/// impl Attempt {
///     fn begin(host: &Arc<Host>) -> Result<Self, CircuitOpen> {
///         let permit = host.breaker.at(Instant::now()).try_acquire_detached()?;
///         Ok(Self { host: host.clone(), permit: Some(permit) })
///     }
/// }
///
/// impl Drop for Attempt {
///     fn drop(&mut self) {
///         if let Some(permit) = self.permit.take() {
///             permit.end(&self.host.breaker);
///         }
///     }
/// }
/// # let host = Arc::new(Host { breaker: CircuitBreaker::new() });
/// # drop(Attempt::begin(&host)?);
/// # Ok::<(), CircuitOpen>(())
/// ```
#[derive(Debug)]
pub struct Detached {
    _private: (),
}

impl Detached {
    #[inline]
    pub(super) fn new() -> Self {
        Self { _private: () }
    }
}

impl Hold for Detached {
    #[inline]
    fn end(&mut self, _: Progress) {}
}

impl Permit<Detached> {
    /// Records the verdict on the head of a response before the end of its body.
    #[inline]
    pub fn head(&mut self, breaker: &CircuitBreaker, verdict: Verdict) {
        self.progress.head(breaker.shared(), verdict);
    }

    /// Records the verdict on the attempt.
    #[inline]
    pub fn record(self, breaker: &CircuitBreaker, verdict: Verdict) {
        self.progress.record(breaker.shared(), verdict);
    }

    /// Records a verdict that is no success. Returns a receipt if it counts as a failure.
    ///
    /// See [`CircuitBreaker::take_back`].
    pub fn fail(self, breaker: &CircuitBreaker, verdict: Verdict) -> Option<FailureReceipt> {
        let mark = self.progress.fail(breaker.shared(), verdict);
        mark.map(FailureReceipt::new)
    }

    /// Ends the attempt as dropping an attached permit does: as cancelled, unless its head arrived.
    #[inline]
    pub fn end(self, breaker: &CircuitBreaker) {
        self.progress.end(breaker.shared());
    }
}
