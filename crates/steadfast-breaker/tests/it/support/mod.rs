use std::sync::{Arc, Mutex};
use std::time::Duration;

use steadfast_breaker::{CircuitBreaker, CircuitOpen, Permit};
use steadfast_core::{BreakerState, Class, Event, Observer, Verdict};
use tokio::time::advance;

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) const SUCCESS: Verdict = Verdict::SUCCESS;
pub(crate) const FAILURE: Verdict = Verdict::new(Class::ServerError);
pub(crate) const LOST: Verdict = Verdict::new(Class::Transport);
pub(crate) const NEUTRAL: Verdict = Verdict::new(Class::RateLimited);

pub(crate) const OPEN: BreakerState = BreakerState::Open;
pub(crate) const HALF_OPEN: BreakerState = BreakerState::HalfOpen;
pub(crate) const CLOSED: BreakerState = BreakerState::Closed;

/// A breaker that opens at the first failure.
pub(crate) fn opens_at_first_failure() -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .unwrap()
}

/// Makes one attempt that ends with `verdict`.
#[track_caller]
pub(crate) fn attempt(breaker: &CircuitBreaker, verdict: Verdict) {
    admit(breaker).record(verdict);
}

/// Admits an attempt.
#[track_caller]
pub(crate) fn admit(breaker: &CircuitBreaker) -> Permit {
    breaker.try_acquire().expect("the breaker admits")
}

/// Admits concurrent attempts.
#[track_caller]
pub(crate) fn admit_many(breaker: &CircuitBreaker, count: usize) -> Vec<Permit> {
    (0..count).map(|_| admit(breaker)).collect()
}

/// Returns the error of a rejected attempt.
#[track_caller]
pub(crate) fn rejection(breaker: &CircuitBreaker) -> CircuitOpen {
    breaker.try_acquire().expect_err("the breaker rejects")
}

/// Opens a breaker with the default rules.
pub(crate) fn trip(breaker: &CircuitBreaker) {
    for _ in 0..5 {
        attempt(breaker, FAILURE);
    }
    assert_eq!(breaker.state(), OPEN);
}

/// Returns an open breaker with the default rules that admits a probe next.
pub(crate) async fn due_breaker() -> CircuitBreaker {
    let breaker = CircuitBreaker::new();
    trip(&breaker);
    advance(60 * SECOND).await;
    assert!(breaker.would_admit());
    breaker
}

/// Records transitions.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<(BreakerState, BreakerState, Option<Duration>)>>>);

impl Log {
    pub(crate) fn transitions(&self) -> Vec<(BreakerState, BreakerState, Option<Duration>)> {
        self.0.lock().unwrap().clone()
    }
}

impl Observer for Log {
    fn on_event(&self, event: &Event) {
        if let Event::Breaker {
            from, to, retry_in, ..
        } = event
        {
            self.0.lock().unwrap().push((*from, *to, *retry_in));
        }
    }
}
