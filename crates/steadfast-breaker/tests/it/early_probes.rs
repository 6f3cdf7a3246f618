//! Probes before the end of the open time.

use std::time::Duration;

use crate::support::{CLOSED, FAILURE, SECOND, SUCCESS};
use steadfast_breaker::{CircuitBreaker, RateLimits};
use steadfast_core::{Class, Verdict};
use tokio::time::{Instant, advance};

/// A pool without an alternative rejected every request until the end of the open time, although
/// the server had recovered long before.
#[tokio::test(start_paused = true)]
async fn early_probe_is_admitted_once_per_interval() {
    let breaker = CircuitBreaker::builder()
        .recovery_timeout(60 * SECOND)
        .consecutive_failures(1)
        .success_threshold(1)
        .jitter(0.0)
        .build()
        .expect("valid");
    breaker.try_acquire().expect("closed").record(FAILURE);
    let early = |breaker: &CircuitBreaker| {
        let now = Instant::now();
        let wait = breaker.at(now).early_retry_in(SECOND);
        let permit = breaker.at(now).try_acquire_early(SECOND);
        assert_eq!(wait.is_none(), permit.is_ok());
        permit.ok()
    };
    assert!(early(&breaker).is_none());
    advance(SECOND - Duration::from_millis(1)).await;
    assert!(early(&breaker).is_none());
    advance(Duration::from_millis(1)).await;
    let probe = early(&breaker).expect("a second after the opening");
    assert!(early(&breaker).is_none(), "one probe at a time");

    // Its failure keeps the rest of the open time.
    probe.record(&breaker, FAILURE);
    assert_eq!(breaker.retry_in(), Some(59 * SECOND));
    assert!(early(&breaker).is_none());
    advance(SECOND).await;
    let cancelled = early(&breaker).expect("another second");
    cancelled.end(&breaker);
    let probe = early(&breaker).expect("the slot is free");
    probe.record(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    assert!(early(&breaker).is_some(), "closed");
}

#[tokio::test(start_paused = true)]
async fn orders_and_limits_stand_until_their_end() {
    let limited = CircuitBreaker::builder()
        .rate_limits(RateLimits::OpenUntilHint)
        .build()
        .expect("valid");
    let hint = Verdict::new(Class::RateLimited).with_hint(Some(20 * SECOND));
    limited.try_acquire().expect("closed").record(hint);
    let tripped = CircuitBreaker::new();
    tripped.trip();
    let isolated = CircuitBreaker::new();
    isolated.isolate();
    advance(10 * SECOND).await;
    for breaker in [limited, tripped, isolated] {
        assert!(
            breaker
                .at(Instant::now())
                .try_acquire_early(SECOND)
                .is_err()
        );
    }
}
