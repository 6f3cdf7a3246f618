//! Manual transitions, independent of outcomes.

use std::time::Duration;

use crate::support::{CLOSED, FAILURE, HALF_OPEN, OPEN, SUCCESS};
use steadfast_breaker::{CircuitBreaker, TripReason};
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> CircuitBreaker {
    let builder = CircuitBreaker::builder().consecutive_failures(1);
    builder.success_threshold(1).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn tripped_breaker_recovers() {
    let breaker = breaker();
    breaker.trip();
    assert_eq!(
        (breaker.state(), breaker.last_trip()),
        (OPEN, Some(TripReason::Manual))
    );
    breaker.trip();
    assert_eq!(breaker.retry_in(), Some(60 * SECOND));
    advance(60 * SECOND).await;
    let probe = breaker.try_acquire().expect("its time is over");
    assert_eq!(breaker.state(), HALF_OPEN);
    breaker.trip();
    assert_eq!(breaker.state(), OPEN);
    probe.record(SUCCESS);
    assert_eq!(breaker.state(), OPEN, "a verdict from before");
    assert_eq!(breaker.late_verdicts(), 1);
}

#[tokio::test(start_paused = true)]
async fn reset_closes_and_clears() {
    let breaker = breaker();
    for step in [
        CircuitBreaker::trip,
        CircuitBreaker::isolate,
        CircuitBreaker::disable,
    ] {
        step(&breaker);
        breaker.reset();
        assert_eq!(breaker.state(), CLOSED);
        assert!(!breaker.is_disabled() && !breaker.is_isolated());
        assert_eq!(breaker.health(), 1.0);
        breaker.try_acquire().expect("closed").record(FAILURE);
        assert_eq!(breaker.state(), OPEN, "it counts again");
        assert_eq!(breaker.retry_in(), Some(60 * SECOND));
    }
}

#[tokio::test(start_paused = true)]
async fn disabled_breaker_admits_all_and_counts_none() {
    let breaker = breaker();
    let before = breaker.try_acquire().expect("closed");
    breaker.trip();
    breaker.disable();
    assert!(breaker.is_disabled());
    before.record(FAILURE);
    for _ in 0..100 {
        breaker.try_acquire().expect("disabled").record(FAILURE);
    }
    assert_eq!((breaker.state(), breaker.retry_in()), (CLOSED, None));
    breaker.trip();
    assert_eq!(breaker.state(), CLOSED, "it stays disabled");
    let during = breaker.try_acquire().expect("disabled");
    breaker.reset();
    during.record(FAILURE);
    assert_eq!(breaker.state(), CLOSED, "a verdict from before");
}

#[tokio::test(start_paused = true)]
async fn isolated_breaker_stays_open() {
    let breaker = breaker();
    let before = breaker.try_acquire().expect("closed");
    breaker.isolate();
    before.record(SUCCESS);
    advance(1_000_000 * SECOND).await;
    let open = breaker.try_acquire().expect_err("isolated");
    assert_eq!(open.retry_in(), None);
    assert_eq!(
        (breaker.state(), breaker.retry_in()),
        (OPEN, Some(Duration::MAX))
    );
    assert!(breaker.is_isolated() && !breaker.would_admit());
}

/// A probe succeeds at its head, and its stream breaks after the reset.
#[tokio::test(start_paused = true)]
async fn stream_from_before_reset_changes_nothing() {
    for order in [
        CircuitBreaker::reset as fn(&_),
        |breaker: &CircuitBreaker| {
            breaker.disable();
            breaker.reset();
        },
    ] {
        let breaker = breaker();
        breaker.trip();
        advance(60 * SECOND).await;
        let mut probe = breaker.try_acquire().expect("its time is over");
        probe.head(SUCCESS);
        assert_eq!(breaker.state(), CLOSED);
        order(&breaker);
        probe.record(FAILURE);
        assert_eq!(breaker.state(), CLOSED);
    }
}

#[tokio::test(start_paused = true)]
async fn manual_transitions_reach_subscribers() {
    let breaker = breaker();
    let mut states = breaker.subscribe();
    for (step, expected) in [
        (CircuitBreaker::trip as fn(&_), OPEN),
        (CircuitBreaker::reset, CLOSED),
        (CircuitBreaker::isolate, OPEN),
        (CircuitBreaker::disable, CLOSED),
    ] {
        step(&breaker);
        assert!(states.has_changed().unwrap());
        assert_eq!(*states.borrow_and_update(), expected);
    }
}
