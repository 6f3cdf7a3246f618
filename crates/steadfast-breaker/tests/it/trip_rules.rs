//! The rules besides consecutive failures: rates, excess, slow calls, rate limits, hints, the ramp.

use std::time::Duration;

use crate::support::{CLOSED, FAILURE, HALF_OPEN, OPEN, SUCCESS};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerBuilder, RateLimits, TripReason, Window};
use steadfast_core::{Class, Verdict};
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);

/// Returns a builder without any rule.
fn builder() -> CircuitBreakerBuilder {
    CircuitBreaker::builder().consecutive_failures(u32::MAX)
}

fn record(breaker: &CircuitBreaker, verdict: Verdict) {
    breaker.try_acquire().expect("closed").record(verdict);
}

/// Makes calls until the breaker opens. Every `nth` one fails.
fn calls_until_open(breaker: &CircuitBreaker, nth: u32) -> Option<u32> {
    (1..=10_000).find(|n| {
        record(breaker, if n % nth == 0 { FAILURE } else { SUCCESS });
        breaker.state() == OPEN
    })
}

#[tokio::test(start_paused = true)]
async fn share_of_failed_calls_opens() {
    for (share, min_calls, nth, expected) in [
        (0.5, 20, 2, Some(20)),
        (0.5, 1, 2, Some(2)),
        (0.5, 20, 3, None),
        (0.1, 100, 10, Some(100)),
        (0.11, 100, 10, None),
        (1.0, 1, 1, Some(1)),
    ] {
        let window = Window::calls(100).min_calls(min_calls);
        let breaker = builder().failure_rate(share, window).build().unwrap();
        assert_eq!(
            calls_until_open(&breaker, nth),
            expected,
            "{share} {min_calls} {nth}"
        );
        let reason = expected.map(|_| TripReason::FailureRate);
        assert_eq!(breaker.last_trip(), reason);
    }
}

#[tokio::test(start_paused = true)]
async fn failures_in_excess_of_share_open() {
    for (nth, expected) in [
        // The first failure adds 0.78. Each later one adds 0.56, 0.34 or 0.12 with its successes.
        (1, Some(8)),
        (2, Some(22)),
        (3, Some(51)),
        (4, Some(180)),
        (5, None),
    ] {
        let breaker = builder().excess_failures(6, 0.22).build().unwrap();
        assert_eq!(calls_until_open(&breaker, nth), expected, "{nth}");
        let reason = expected.map(|_| TripReason::ExcessFailures);
        assert_eq!(breaker.last_trip(), reason);
    }
}

/// Successes of a long healthy time do not accumulate, and an opening clears the excess.
#[tokio::test(start_paused = true)]
async fn excess_is_counted_from_its_start() {
    let breaker = builder().excess_failures(6, 0.22).build().unwrap();
    for successes in [10_000, 0] {
        for _ in 0..successes {
            record(&breaker, SUCCESS);
        }
        assert_eq!(calls_until_open(&breaker, 1), Some(8));
        advance(60 * SECOND).await;
        for _ in 0..3 {
            record(&breaker, SUCCESS);
        }
        assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
    }
}

/// The window of outcomes is clean before the excess is zero. The next success still reduces it.
#[tokio::test(start_paused = true)]
async fn success_reduces_excess_with_clean_window() {
    let breaker = builder().excess_failures(2, 0.02).build().unwrap();
    record(&breaker, FAILURE);
    record(&breaker, FAILURE);
    for _ in 0..98 {
        record(&breaker, SUCCESS);
    }
    assert_eq!(breaker.health(), 1.0);
    record(&breaker, FAILURE);
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), CLOSED);
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
}

/// The window slides: after any healthy time, the same number of failures opens it.
#[tokio::test(start_paused = true)]
async fn outage_after_long_health_reaches_rate() {
    for window in [Window::calls(100), Window::time(10 * SECOND)] {
        let breaker = builder().failure_rate(0.5, window).build().unwrap();
        for _ in 0..10_000 {
            record(&breaker, SUCCESS);
        }
        advance(20 * SECOND).await;
        let failures = calls_until_open(&breaker, 1).expect("it opens");
        assert!(failures <= 50, "{window:?}: {failures}");
    }
}

#[tokio::test(start_paused = true)]
async fn time_window_drops_old_calls() {
    let window = Window::time(10 * SECOND).min_calls(4);
    let breaker = builder().failure_rate(0.5, window).build().unwrap();
    for _ in 0..3 {
        record(&breaker, FAILURE);
    }
    advance(11 * SECOND).await;
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), CLOSED, "one in the last ten seconds");
    for _ in 0..3 {
        record(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn closing_clears_rate() {
    let breaker = builder()
        .failure_rate(0.5, Window::calls(10).min_calls(2))
        .success_threshold(1)
        .build()
        .unwrap();
    record(&breaker, FAILURE);
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
    advance(60 * SECOND).await;
    record(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), CLOSED, "one call is known");
}

/// Fifty streams share one lost connection.
#[tokio::test(start_paused = true)]
async fn lost_connection_is_one_bad_call() {
    let window = Window::calls(10).min_calls(3);
    let breaker = builder().failure_rate(0.5, window).build().unwrap();
    let permits: Vec<_> = (0..50).map(|_| breaker.try_acquire().unwrap()).collect();
    for permit in permits {
        permit.record(Verdict::new(Class::Transport));
    }
    assert_eq!(breaker.state(), CLOSED);
}

async fn take(breaker: &CircuitBreaker, time: Duration, verdict: Verdict) {
    let permit = breaker.try_acquire().expect("closed");
    advance(time).await;
    permit.record(verdict);
}

#[tokio::test(start_paused = true)]
async fn share_of_slow_calls_opens_independent_of_outcome() {
    let slow = || {
        let window = Window::calls(10).min_calls(4);
        builder().slow_calls(SECOND, 0.5, window).build().unwrap()
    };
    for verdict in [SUCCESS, FAILURE] {
        let breaker = slow();
        for time in [SECOND / 2, SECOND / 2, SECOND] {
            take(&breaker, time, verdict).await;
        }
        assert_eq!(breaker.state(), CLOSED, "three are too few");
        take(&breaker, SECOND, verdict).await;
        assert_eq!(breaker.state(), OPEN);
        assert_eq!(breaker.last_trip(), Some(TripReason::SlowCalls));
    }
    let breaker = slow();
    for _ in 0..100 {
        take(&breaker, SECOND - Duration::from_millis(1), SUCCESS).await;
        let cancelled = breaker.try_acquire();
        advance(10 * SECOND).await;
        drop(cancelled);
    }
    assert_eq!(breaker.state(), CLOSED, "cancelled calls have no duration");
}

/// A stream of minutes with a fast head is not slow.
#[tokio::test(start_paused = true)]
async fn duration_of_call_ends_at_head() {
    let window = Window::calls(10).min_calls(1);
    let breaker = builder().slow_calls(SECOND, 0.5, window).build().unwrap();
    let mut permit = breaker.try_acquire().expect("closed");
    permit.head(SUCCESS);
    advance(600 * SECOND).await;
    drop(permit);
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn slow_probe_fails() {
    let breaker = builder()
        .slow_calls(SECOND, 0.5, Window::calls(10))
        .success_threshold(1)
        .build()
        .unwrap();
    breaker.trip();
    advance(60 * SECOND).await;
    take(&breaker, 2 * SECOND, SUCCESS).await;
    assert_eq!(
        (breaker.state(), breaker.last_trip()),
        (OPEN, Some(TripReason::Probe))
    );
    advance(120 * SECOND).await;
    take(&breaker, SECOND / 2, SUCCESS).await;
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn rate_limit_has_configured_effect() {
    let limited = Verdict::new(Class::RateLimited);
    let hinted = limited.with_hint(Some(7 * SECOND));
    let window = Window::calls(10).min_calls(2);
    let with = |rule| {
        let builder = builder().consecutive_failures(2).failure_rate(0.5, window);
        builder.rate_limits(rule).build().unwrap()
    };
    for (rule, verdict, expected, reason) in [
        (RateLimits::Neutral, hinted, CLOSED, None),
        (
            RateLimits::Count,
            limited,
            OPEN,
            Some(TripReason::FailureRate),
        ),
        (RateLimits::OpenUntilHint, limited, CLOSED, None),
        (
            RateLimits::OpenUntilHint,
            hinted,
            OPEN,
            Some(TripReason::RateLimited),
        ),
    ] {
        let breaker = with(rule);
        for _ in 0..2 {
            if breaker.would_admit() {
                record(&breaker, verdict);
            }
        }
        assert_eq!(
            (breaker.state(), breaker.last_trip()),
            (expected, reason),
            "{rule:?}"
        );
    }
    let breaker = with(RateLimits::OpenUntilHint);
    record(&breaker, hinted);
    assert_eq!(breaker.retry_in(), Some(7 * SECOND), "and no longer");
    advance(7 * SECOND).await;
    record(&breaker, SUCCESS);
    assert_eq!(breaker.state(), HALF_OPEN);
    record(&breaker, hinted);
    assert_eq!(
        breaker.retry_in(),
        Some(7 * SECOND),
        "a probe may be refused as well"
    );
}

#[tokio::test(start_paused = true)]
async fn hint_is_floor_of_open_time() {
    for (hint, expected) in [(5, 60), (90, 90), (1_000_000, 86_400)] {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .build()
            .unwrap();
        let verdict = Verdict::new(Class::Overloaded).with_hint(Some(hint * SECOND));
        record(&breaker, verdict);
        assert_eq!(breaker.retry_in(), Some(expected * SECOND), "{hint}");
    }
}

#[tokio::test(start_paused = true)]
async fn open_time_shrinks_with_health() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(1)
        .jitter(0.0)
        .build()
        .unwrap();
    record(&breaker, FAILURE);
    for expected in [60, 120, 240] {
        assert_eq!(breaker.retry_in(), Some(expected * SECOND));
        advance(expected * SECOND).await;
        record(&breaker, FAILURE);
    }
    advance(300 * SECOND).await;
    for (healthy, expected) in [(0, 300), (60, 240), (120, 60)] {
        record(&breaker, SUCCESS);
        advance(healthy * SECOND).await;
        record(&breaker, FAILURE);
        assert_eq!(
            breaker.retry_in(),
            Some(expected * SECOND),
            "after {healthy} s"
        );
        advance(expected * SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn ramp_limits_traffic_after_close() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(5)
        .success_threshold(1)
        .jitter(0.0)
        .ramp(10 * SECOND)
        .build()
        .unwrap();
    let admitted = || (0..100).filter_map(|_| breaker.try_acquire().ok()).count();
    assert_eq!(admitted(), 100, "it was never open");
    assert!(breaker.admits_all());
    breaker.trip();
    advance(60 * SECOND).await;
    record(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    for expected in [11, 50, 100] {
        assert!(!breaker.admits_all());
        assert_eq!(admitted(), expected);
        advance(5 * SECOND).await;
    }
    assert!(breaker.would_admit() && breaker.admits_all());

    breaker.trip();
    advance(60 * SECOND).await;
    record(&breaker, SUCCESS);
    record(&breaker, FAILURE);
    assert_eq!(breaker.state(), CLOSED, "a single failure is noise");
    for _ in 0..100 {
        if let Ok(permit) = breaker.try_acquire() {
            permit.record(FAILURE);
        }
    }
    assert_eq!(breaker.state(), OPEN);
    let wait = breaker.retry_in().expect("open");
    assert!(wait > 100 * SECOND, "{wait:?}: it had not recovered");
}
