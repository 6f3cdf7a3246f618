//! Waiting until the breaker admits an attempt.

use std::fmt;
use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::machine::state_machine::Wait;
use crate::value::breaker::CircuitBreaker;
use crate::value::error::CircuitOpen;
use crate::value::permit::Permit;
use crate::value::shared::Shared;

/// What a service that exerts backpressure holds between `poll_ready` and `call`.
///
/// A clone has none: readiness belongs to one handle.
#[derive(Default)]
pub(crate) struct Turn {
    permit: Option<Permit>,
    waiting: Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>,
}

impl Turn {
    /// Is ready when an attempt is admitted, and holds it.
    pub(crate) fn poll(&mut self, breaker: &CircuitBreaker, cx: &mut Context<'_>) -> Poll<()> {
        // What was admitted before the last transition may be rejected now.
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

    /// Takes what was admitted, or asks again if that is old.
    pub(crate) fn take(&mut self, breaker: &CircuitBreaker) -> Result<Permit, CircuitOpen> {
        if let Some(mut permit) = self.permit.take() {
            if permit.begin() {
                return Ok(permit);
            }
        }
        breaker.try_acquire()
    }
}

/// Ends when an attempt may be admitted. Another one may be faster.
async fn until_admitted(shared: Arc<Shared>, told: Option<Duration>) {
    let mut changed = pin!(shared.changed().notified());
    // From here on no change is missed.
    changed.as_mut().enable();
    let time = async {
        match shared.wait(Instant::now) {
            // While traffic grows it admits some, and has said when to ask again.
            Wait::Nothing if shared.is_ramping() => sleep(told.unwrap_or_default()).await,
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

impl fmt::Debug for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn")
            .field("permit", &self.permit)
            .field("waits", &self.waiting.is_some())
            .finish()
    }
}
