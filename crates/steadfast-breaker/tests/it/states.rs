//! The states of the breaker as a value, on both sides of each limit.

use std::io;
use std::time::Duration;

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, LOST, NEUTRAL, OPEN, SECOND, SUCCESS, admit, admit_many, attempt,
    due_breaker, rejection, trip,
};
use steadfast_breaker::{CallError, CircuitBreaker, CircuitBreakerBuilder, CircuitOpen, Permit};
use steadfast_core::{BreakerState, Class, Verdict};
use tokio::time::{Instant, advance};

// ===== closed =====

#[tokio::test(start_paused = true)]
async fn fifth_consecutive_failure_opens() {
    let breaker = CircuitBreaker::new();
    for _ in 0..4 {
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), CLOSED);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
    assert_eq!(rejection(&breaker).retry_in(), Some(60 * SECOND));
    assert_eq!(rejection(&breaker).name(), &"breaker");
}

#[tokio::test(start_paused = true)]
async fn success_ends_streak_and_neutral_verdict_does_not() {
    let breaker = CircuitBreaker::new();
    for verdict in [FAILURE, FAILURE, FAILURE, FAILURE, SUCCESS] {
        attempt(&breaker, verdict);
    }
    for verdict in [FAILURE, FAILURE, NEUTRAL, FAILURE, FAILURE] {
        attempt(&breaker, verdict);
    }
    assert_eq!(breaker.state(), CLOSED);
    attempt(&breaker, NEUTRAL);
    drop(admit(&breaker));
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn caller_fault_ends_streak() {
    let breaker = CircuitBreaker::new();
    for _ in 0..3 {
        for _ in 0..4 {
            attempt(&breaker, FAILURE);
        }
        attempt(&breaker, Verdict::new(Class::CallerFault));
    }
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn call_settles_attempt_by_result_of_future() {
    let breaker = due_breaker().await;
    // A dropped call releases its slot.
    let mut dropped =
        tokio_test::task::spawn(breaker.call(std::future::pending::<Result<(), ()>>()));
    assert!(dropped.poll().is_pending());
    let error = breaker
        .call(async { Ok::<_, io::Error>(()) })
        .await
        .unwrap_err();
    assert!(CircuitOpen::find(&error).is_some());
    assert_eq!(error.to_string(), "the call was rejected");
    drop(dropped);
    for n in 0..3 {
        assert_eq!(
            breaker.call(async { Ok::<_, io::Error>(n) }).await.unwrap(),
            n
        );
    }
    assert_eq!(breaker.state(), CLOSED);
    for _ in 0..5 {
        let failed = breaker.call(async { Err::<(), _>(7) }).await;
        assert_eq!(failed, Err(CallError::Failed(7)));
    }
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn neutral_failure_changes_nothing() {
    let breaker = CircuitBreaker::new();
    for _ in 0..100 {
        attempt(&breaker, FAILURE.neutral());
    }
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
}

#[tokio::test(start_paused = true)]
async fn ten_failures_of_last_twenty_open() {
    let breaker = CircuitBreaker::builder()
        .failures_of_last(10, 20)
        .build()
        .unwrap();
    for _ in 0..9 {
        attempt(&breaker, FAILURE);
        attempt(&breaker, SUCCESS);
    }
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 0.55));
    attempt(&breaker, FAILURE);
    assert_eq!((breaker.state(), breaker.health()), (OPEN, 0.5));
}

#[tokio::test(start_paused = true)]
async fn failure_leaves_window_after_its_size() {
    let breaker = CircuitBreaker::builder()
        .failures_of_last(2, 3)
        .build()
        .unwrap();
    for verdict in [FAILURE, SUCCESS, SUCCESS, FAILURE] {
        attempt(&breaker, verdict);
    }
    assert_eq!(breaker.state(), CLOSED, "three outcomes apart");
    for verdict in [SUCCESS, FAILURE] {
        attempt(&breaker, verdict);
    }
    assert_eq!(breaker.state(), OPEN, "two outcomes apart");
}

/// A cancelled attempt must not push a failure out of the window.
#[tokio::test(start_paused = true)]
async fn neutral_verdict_stays_out_of_window() {
    let breaker = CircuitBreaker::builder()
        .failures_of_last(2, 2)
        .build()
        .unwrap();
    for verdict in [FAILURE, NEUTRAL, NEUTRAL, FAILURE] {
        attempt(&breaker, verdict);
    }
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn health_is_share_of_successes() {
    let breaker = CircuitBreaker::new();
    assert_eq!(breaker.health(), 1.0);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.health(), 0.95, "one of twenty");
    for _ in 0..19 {
        attempt(&breaker, SUCCESS);
    }
    assert_eq!(breaker.health(), 0.95);
    attempt(&breaker, SUCCESS);
    assert_eq!(breaker.health(), 1.0);
}

// ===== open =====

#[tokio::test(start_paused = true)]
async fn probe_is_admitted_after_open_time() {
    let breaker = CircuitBreaker::new();
    trip(&breaker);
    advance(60 * SECOND - Duration::from_nanos(1)).await;
    assert!(!breaker.would_admit());
    assert_eq!(
        rejection(&breaker).retry_in(),
        Some(Duration::from_nanos(1))
    );

    advance(Duration::from_nanos(1)).await;
    assert_eq!((breaker.would_admit(), breaker.retry_in()), (true, None));
    assert_eq!(breaker.state(), OPEN, "reading changes nothing");
    assert!(admit(&breaker).is_probe());
    assert_eq!(breaker.state(), HALF_OPEN);
}

#[tokio::test(start_paused = true)]
async fn reads_change_nothing() {
    let breaker = due_breaker().await;
    for _ in 0..3 {
        assert!(breaker.would_admit());
        assert_eq!(breaker.retry_in(), None);
        assert_eq!(breaker.state(), OPEN);
        assert!(format!("{breaker:?}").contains("Open"));
    }
    let first = admit(&breaker);
    assert!(!breaker.would_admit());
    drop(first);
    assert!(breaker.would_admit());
}

#[tokio::test(start_paused = true)]
async fn longest_times_do_not_panic() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .recovery_timeout(Duration::MAX)
        .probe_timeout(Duration::MAX)
        .build()
        .unwrap();
    attempt(&breaker, FAILURE);
    let day = 86_400 * SECOND;
    assert!(breaker.retry_in().is_some_and(|wait| wait > 365 * day));
    advance(40 * 365 * day).await;
    let _probe = admit(&breaker);
    advance(365 * day).await;
    rejection(&breaker);
}

// ===== half-open =====

#[tokio::test(start_paused = true)]
async fn three_successful_probes_close() {
    let breaker = due_breaker().await;
    for _ in 0..3 {
        assert_ne!(breaker.state(), CLOSED);
        let probe = admit(&breaker);
        assert!(probe.is_probe());
        assert_eq!(breaker.state(), HALF_OPEN);
        // The probe may be answered at any time, and its slot is reclaimed after half a minute.
        assert_eq!(rejection(&breaker).retry_in(), Some(SECOND));
        assert_eq!(breaker.retry_in(), Some(SECOND));
        probe.record(SUCCESS);
    }
    assert_eq!(breaker.state(), CLOSED);
    assert!(!admit(&breaker).is_probe());
}

#[tokio::test(start_paused = true)]
async fn closing_clears_window_streak_and_open_time() {
    let breaker = due_breaker().await;
    for _ in 0..3 {
        attempt(&breaker, SUCCESS);
    }
    assert_eq!(breaker.health(), 1.0, "the window is cold");
    for _ in 0..4 {
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), CLOSED, "the streak is zero");
    attempt(&breaker, FAILURE);
    assert_eq!(
        breaker.retry_in(),
        Some(60 * SECOND),
        "the open time is the first one"
    );
}

#[tokio::test(start_paused = true)]
async fn failed_probe_doubles_open_time() {
    let breaker = CircuitBreaker::builder().jitter(0.0).build().unwrap();
    trip(&breaker);
    for seconds in [60, 120, 240, 300, 300] {
        assert_eq!(breaker.retry_in(), Some(seconds * SECOND));
        advance(seconds * SECOND).await;
        // Successes before the failed probe have no effect.
        attempt(&breaker, SUCCESS);
        attempt(&breaker, FAILURE);
        assert_eq!(breaker.state(), OPEN);
    }
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_open_times() {
    let builder = CircuitBreaker::builder().jitter(0.5).seed(7);
    let breakers = [builder.clone(), builder.clone(), builder.seed(8)];
    let breakers = breakers.map(|builder| builder.build().unwrap());
    breakers.iter().for_each(trip);
    advance(60 * SECOND).await;
    let times = breakers.each_ref().map(|breaker| {
        attempt(breaker, FAILURE);
        rejection(breaker).retry_in()
    });
    assert_eq!(times[0], times[1]);
    assert_ne!(times[0], times[2]);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_all_open_times_except_first() {
    let breaker = CircuitBreaker::builder().jitter(0.5).build().unwrap();
    trip(&breaker);
    assert_eq!(breaker.retry_in(), Some(60 * SECOND));
    for seconds in [120, 240, 300, 300, 300, 300] {
        advance(300 * SECOND).await;
        attempt(&breaker, FAILURE);
        let wait = breaker.retry_in().expect("open");
        assert!(wait <= seconds * SECOND && wait >= seconds * SECOND / 2);
    }
}

#[tokio::test(start_paused = true)]
async fn cancelled_probe_releases_slot_and_does_not_count() {
    let breaker = due_breaker().await;
    for _ in 0..10 {
        drop(admit(&breaker));
        attempt(&breaker, NEUTRAL);
    }
    assert_eq!(breaker.state(), HALF_OPEN);
    for _ in 0..3 {
        assert_eq!(breaker.state(), HALF_OPEN);
        attempt(&breaker, SUCCESS);
    }
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn probes_setting_limits_concurrent_probes() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(3)
        .success_threshold(5)
        .build()
        .unwrap();
    attempt(&breaker, FAILURE);
    advance(60 * SECOND).await;
    let mut probes = admit_many(&breaker, 3);
    rejection(&breaker);
    probes.pop().expect("three").record(SUCCESS);
    probes.push(admit(&breaker));
    rejection(&breaker);
    for probe in probes {
        probe.record(SUCCESS);
    }
    assert_eq!(breaker.state(), HALF_OPEN, "four of five");
    attempt(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
}

#[tokio::test(start_paused = true)]
async fn slot_of_hung_probe_is_reclaimed_after_timeout() {
    let breaker = due_breaker().await;
    let hung = admit(&breaker);
    advance(30 * SECOND - Duration::from_nanos(1)).await;
    assert_eq!(breaker.retry_in(), Some(Duration::from_nanos(1)));
    rejection(&breaker);

    advance(Duration::from_nanos(1)).await;
    assert_eq!((breaker.would_admit(), breaker.retry_in()), (true, None));
    let probe = admit(&breaker);

    // The hung probe has no slot to release.
    drop(hung);
    rejection(&breaker);
    drop(probe);
    assert!(breaker.would_admit());
}

#[tokio::test(start_paused = true)]
async fn oldest_slot_is_reclaimed_first() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(2)
        .build()
        .unwrap();
    attempt(&breaker, FAILURE);
    advance(60 * SECOND).await;
    let _first = admit(&breaker);
    advance(10 * SECOND).await;
    let _second = admit(&breaker);
    for wait in [20, 10] {
        advance(wait * SECOND - SECOND / 4).await;
        assert_eq!(breaker.retry_in(), Some(SECOND / 4));
        advance(SECOND / 4).await;
        std::mem::forget(admit(&breaker));
    }
}

#[tokio::test(start_paused = true)]
async fn verdict_of_reclaimed_probe_counts() {
    for (late, state) in [(SUCCESS, CLOSED), (FAILURE, OPEN)] {
        let breaker = due_breaker().await;
        let hung = admit(&breaker);
        advance(30 * SECOND).await;
        attempt(&breaker, SUCCESS);
        attempt(&breaker, SUCCESS);
        hung.record(late);
        assert_eq!(breaker.state(), state);
    }
}

// ===== the value =====

#[tokio::test(start_paused = true)]
async fn clones_share_state_and_builders_do_not() {
    let builder: CircuitBreakerBuilder = CircuitBreaker::builder().name("shared");
    let breaker = builder.clone().build().unwrap();
    let other = builder.build().unwrap();
    trip(&breaker.clone());
    assert_eq!((breaker.state(), other.state()), (OPEN, CLOSED));
    assert_eq!(rejection(&breaker).name(), &"shared");
}

#[allow(dead_code)] // compiles only while this holds
fn keeps_auto_traits() {
    fn check<T: Send + Sync + 'static>() {}
    fn check_clone<T: Clone + std::fmt::Debug>() {}
    check::<(CircuitBreaker, CircuitBreakerBuilder, Permit)>();
    check_clone::<(CircuitBreaker, CircuitBreakerBuilder, BreakerState)>();
}

/// A given instant is used in every state.
#[tokio::test(start_paused = true)]
async fn given_instant_replaces_clock() {
    let breaker = CircuitBreaker::new();
    let start = Instant::now();
    let at = |seconds| start + seconds * SECOND;
    assert!(breaker.at(start).would_admit() && breaker.at(start).retry_in().is_none());
    breaker.trip();
    for (seconds, wait) in [(0, Some(60)), (59, Some(1)), (60, None), (1_000, None)] {
        let wait = wait.map(|wait| wait * SECOND);
        assert_eq!(breaker.at(at(seconds)).retry_in(), wait, "{seconds}");
        assert_eq!(breaker.at(at(seconds)).would_admit(), wait.is_none());
    }
    let open = breaker.at(at(59)).try_acquire().expect_err("open");
    assert_eq!(open.retry_in(), Some(SECOND));
    assert!(breaker.try_acquire().is_err(), "the clock has not moved");

    let probe = breaker.at(at(60)).try_acquire().expect("its time is over");
    assert!(probe.is_probe() && !breaker.at(at(89)).would_admit());
    assert_eq!(breaker.at(at(89)).retry_in(), Some(SECOND));
    assert!(breaker.at(at(90)).would_admit(), "the slot is reclaimed");
}

/// All clones share one name. Rejected threads would contend for its reference count.
#[tokio::test(start_paused = true)]
async fn rejection_does_not_clone_name() {
    let breaker = CircuitBreaker::new();
    breaker.trip();
    let open = breaker.try_acquire().expect_err("open");
    assert!(std::ptr::eq(open.name(), breaker.name()));
    let own = CircuitOpen::new("breaker".into(), open.retry_in());
    assert_eq!(open, own);
    assert_eq!(format!("{open:?}"), format!("{own:?}"));
}

#[tokio::test(start_paused = true)]
async fn late_verdicts_are_counted() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(1)
        .build()
        .unwrap();
    let late = [SUCCESS, FAILURE, NEUTRAL, LOST].map(|verdict| (admit(&breaker), verdict));
    breaker.trip();
    for (n, (permit, verdict)) in (1..).zip(late) {
        permit.record(verdict);
        assert_eq!(breaker.late_verdicts(), n, "{verdict:?}");
    }
    advance(60 * SECOND).await;
    let mut stream = admit(&breaker);
    stream.head(SUCCESS);
    breaker.trip();
    stream.record(LOST);
    assert_eq!(breaker.late_verdicts(), 5, "a stream that broke");
    drop(admit(&CircuitBreaker::new()));
    assert_eq!(breaker.late_verdicts(), 5);
}
