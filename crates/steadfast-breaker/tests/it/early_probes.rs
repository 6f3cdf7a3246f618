//! Probes before the end of the open time.

use std::time::Duration;

use crate::support::{CLOSED, FAILURE, OPEN, SECOND, SUCCESS};
use steadfast_breaker::{CircuitBreaker, Detached, Permit, RateLimits};
use steadfast_core::{Class, Verdict};
use tokio::time::{Instant, advance};

/// A pool without an alternative rejected every request until the end of the open time, although
/// the server had recovered long before.
#[tokio::test(start_paused = true)]
async fn early_probe_is_admitted_once_per_interval() {
    let breaker = open_breaker(1);
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
    assert!(early(&breaker).is_none(), "one probe per second");

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

fn open_breaker(success_threshold: u32) -> CircuitBreaker {
    let breaker = CircuitBreaker::builder()
        .recovery_timeout(60 * SECOND)
        .consecutive_failures(1)
        .success_threshold(success_threshold)
        .jitter(0.0)
        .build()
        .expect("valid");
    breaker.try_acquire().expect("closed").record(FAILURE);
    breaker
}

fn early(breaker: &CircuitBreaker) -> Option<Permit<Detached>> {
    let at = breaker.at(Instant::now());
    at.try_acquire_early(SECOND).ok()
}

/// A probe that hung kept the only slot for 30 s, although the server had recovered.
#[tokio::test(start_paused = true)]
async fn early_probe_follows_unanswered_one_after_interval() {
    let breaker = open_breaker(1);
    advance(SECOND).await;
    let hung = early(&breaker).expect("due");
    advance(SECOND - Duration::from_millis(1)).await;
    let wait = breaker.at(Instant::now()).early_retry_in(SECOND);
    assert_eq!(wait, Some(Duration::from_millis(1)));
    assert!(early(&breaker).is_none(), "too early");
    advance(Duration::from_millis(1)).await;
    let probe = early(&breaker).expect("a second after the hung one");
    assert!(early(&breaker).is_none(), "one per second");
    assert!(breaker.try_acquire().is_err(), "no slot is free");
    probe.record(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    hung.record(&breaker, Verdict::new(Class::Timeout));
    assert_eq!((breaker.state(), breaker.late_verdicts()), (CLOSED, 1));
}

/// The timeout of a probe from before the recovery opened the breaker again.
#[tokio::test(start_paused = true)]
async fn late_end_of_overtaken_probe_changes_nothing() {
    for (class, opens) in [
        (Class::Timeout, false),
        (Class::Transport, false),
        (Class::ServerError, true),
        (Class::Connect, true),
    ] {
        let breaker = open_breaker(3);
        advance(SECOND).await;
        let hung = early(&breaker).expect("due");
        advance(SECOND).await;
        let probe = early(&breaker).expect("due");
        probe.record(&breaker, SUCCESS);
        hung.record(&breaker, Verdict::new(class));
        assert_eq!(breaker.state() == OPEN, opens, "{class}");
        assert_eq!(breaker.is_recovering(), !opens, "{class}");
        if !opens {
            assert!(breaker.try_acquire().is_ok(), "{class}: it has no slot");
        }
    }
    let breaker = open_breaker(3);
    advance(SECOND).await;
    let last = early(&breaker).expect("due");
    last.record(&breaker, Verdict::new(Class::Timeout));
    assert_eq!(breaker.state(), OPEN, "no probe has followed");
}

#[tokio::test(start_paused = true)]
async fn early_probes_double_with_each_success() {
    let breaker = open_breaker(4);
    advance(SECOND).await;
    let mut probes = Vec::new();
    for expected in [1, 2, 4] {
        assert_eq!(breaker.is_recovering(), expected > 1);
        probes.extend(std::iter::from_fn(|| early(&breaker)));
        assert_eq!(probes.len(), expected);
        let probe: Permit<Detached> = probes.pop().expect("one");
        probe.record(&breaker, SUCCESS);
    }
    // A caller with alternatives sends one probe at a time.
    assert!(breaker.try_acquire().is_err());
    for probe in probes {
        probe.end(&breaker);
    }
    let regular = breaker.try_acquire().expect("a slot is free");
    assert!(breaker.try_acquire().is_err());
    regular.record(FAILURE);
    assert_eq!(breaker.state(), OPEN);
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
