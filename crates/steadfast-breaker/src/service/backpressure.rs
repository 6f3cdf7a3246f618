//! The wait until the breaker admits an attempt.

use std::fmt;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::machine::Wait;
use crate::value::{CircuitBreaker, CircuitOpen, Permit, Shared};

/// The admission of a service with backpressure between `poll_ready` and `call`.
///
/// A clone starts without one, because readiness belongs to one handle.
#[derive(Default)]
pub(super) struct Readiness {
    permit: Option<Permit>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Readiness {
    /// Becomes ready when an attempt is admitted, and keeps its permit.
    pub(super) fn poll(&mut self, breaker: &CircuitBreaker, cx: &mut Context<'_>) -> Poll<()> {
        // An attempt from before the last transition may be rejected now.
        self.permit.take_if(|permit| !permit.is_current());
        while self.permit.is_none() {
            if let Some(waiting) = &mut self.waiting {
                ready!(waiting.as_mut().poll(cx));
                self.waiting = None;
            }
            match breaker.try_acquire() {
                Ok(permit) => self.permit = Some(permit),
                Err(open) => {
                    let wait = until_admitted(breaker.shared().clone(), open.retry_in());
                    self.waiting = Some(Box::pin(wait));
                }
            }
        }
        Poll::Ready(())
    }

    /// Takes the permit, or requests another one if it is stale.
    pub(super) fn take(&mut self, breaker: &CircuitBreaker) -> Result<Permit, CircuitOpen> {
        if let Some(mut permit) = self.permit.take() {
            if permit.begin() {
                return Ok(permit);
            }
        }
        breaker.try_acquire()
    }
}

/// Ends when an attempt may be admitted. A concurrent attempt may take the admission.
async fn until_admitted(shared: Arc<Shared>, retry_in: Option<Duration>) {
    let mut changed = pin!(shared.changed().notified());
    // From here on, no change is missed.
    changed.as_mut().enable();
    let time = async {
        match shared.wait(Instant::now) {
            // While traffic grows, a share is admitted. The rejection contains the time to wait.
            Wait::Nothing if shared.is_ramping() => sleep(retry_in.unwrap_or_default()).await,
            Wait::Nothing => {}
            Wait::For(Some(wait)) => sleep(wait).await,
            Wait::For(None) => pending().await,
        }
    };
    let mut time = pin!(time);
    std::future::poll_fn(|cx| {
        if changed.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        time.as_mut().poll(cx)
    })
    .await;
}

impl fmt::Debug for Readiness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readiness")
            .field("permit", &self.permit)
            .field("waits", &self.waiting.is_some())
            .finish()
    }
}
