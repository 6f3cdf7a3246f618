//! Failures that turn out to be the fault of their requests.

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, LOST, Log, OPEN, SECOND, SUCCESS, admit, attempt,
};
use proptest::prelude::*;
use steadfast_breaker::{
    CircuitBreaker, CircuitBreakerBuilder, FailureReceipt, TripReason, Window,
};
use steadfast_core::Verdict;
use tokio::time::{Instant, advance};

/// Makes an attempt that fails, and returns its receipt.
#[track_caller]
fn fail(breaker: &CircuitBreaker, verdict: Verdict) -> Option<FailureReceipt> {
    let admitted = breaker.at(Instant::now()).try_acquire_detached();
    admitted.expect("admitted").fail(breaker, verdict)
}

#[tokio::test(start_paused = true)]
async fn failure_that_is_taken_back_leaves_no_trace() {
    let breaker = CircuitBreaker::builder().excess_failures(4, 0.2);
    let breaker = breaker.consecutive_failures(3).build().unwrap();
    for _ in 0..100 {
        let receipt = fail(&breaker, FAILURE).expect("it counts");
        assert!(breaker.health() < 1.0);
        assert!(breaker.take_back(receipt));
        assert!((breaker.health() - 1.0).abs() < f64::EPSILON);
    }
    for failures in 1..=3 {
        assert_eq!(breaker.state(), CLOSED);
        attempt(&breaker, FAILURE);
        assert_eq!(breaker.state() == OPEN, failures == 3, "{failures}");
    }
}

/// Twenty bad requests at once open the breaker before any of them has failed elsewhere.
#[tokio::test(start_paused = true)]
async fn opening_without_remaining_reason_is_taken_back() {
    let builder = CircuitBreaker::builder;
    let rate = Window::calls(10);
    for (rules, reason) in [
        (
            builder().consecutive_failures(5),
            TripReason::ConsecutiveFailures,
        ),
        (
            builder().consecutive_failures(99).excess_failures(4, 0.2),
            TripReason::ExcessFailures,
        ),
        (
            builder().consecutive_failures(99).failures_of_last(5, 20),
            TripReason::FailureRate,
        ),
        (
            builder().consecutive_failures(99).failure_rate(0.5, rate),
            TripReason::FailureRate,
        ),
    ] {
        let log = Log::default();
        let breaker = rules.observer(log.clone()).build().unwrap();
        let receipts: Vec<_> = (0..99)
            .map_while(|_| (breaker.state() == CLOSED).then(|| fail(&breaker, FAILURE)))
            .collect();
        assert_eq!((breaker.state(), breaker.last_trip()), (OPEN, Some(reason)));
        for receipt in receipts {
            assert!(breaker.take_back(receipt.expect("it counts")), "{reason}");
        }
        assert!((breaker.health() - 1.0).abs() < f64::EPSILON, "{reason}");
        let states: Vec<_> = log.transitions().iter().map(|it| (it.0, it.1)).collect();
        assert_eq!(states, [(CLOSED, OPEN), (OPEN, CLOSED)], "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn opening_with_enough_other_failures_stands() {
    let breaker = CircuitBreaker::builder().consecutive_failures(3);
    let breaker = breaker.failures_of_last(3, 20).build().unwrap();
    let receipt = fail(&breaker, FAILURE).expect("it counts");
    attempt(&breaker, SUCCESS);
    for _ in 0..2 {
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), OPEN, "three of the last four");
    breaker.take_back(receipt);
    assert_eq!(breaker.state(), CLOSED);

    let receipts: Vec<_> = (0..1).map(|_| fail(&breaker, FAILURE)).collect();
    assert_eq!(breaker.state(), OPEN);
    breaker.trip();
    assert!(receipts.iter().flatten().all(|it| breaker.take_back(*it)));
    assert_eq!(breaker.state(), CLOSED, "the order had nothing to open");
    breaker.trip();
    assert!(!receipts.iter().flatten().any(|it| breaker.take_back(*it)));
    assert_eq!(breaker.state(), OPEN, "an order is no failure");
}

/// Genuine failures beside a bad request were forgotten with the opening that it caused.
#[tokio::test(start_paused = true)]
async fn other_failures_stay_in_the_rate_after_an_opening_is_taken_back() {
    let breaker = CircuitBreaker::builder().consecutive_failures(99);
    let breaker = breaker.failure_rate(0.5, Window::calls(10));
    let breaker = breaker.build().unwrap();
    for _ in 0..5 {
        attempt(&breaker, SUCCESS);
    }
    let receipts: Vec<_> = (0..5)
        .map(|_| fail(&breaker, FAILURE).expect("it counts"))
        .collect();
    assert_eq!(breaker.state(), OPEN, "five of the last ten");
    assert!(breaker.take_back(receipts[0]));
    assert_eq!(breaker.state(), CLOSED);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN, "four others and this one");
}

/// Counts a failure, and takes back another one that 70 successes have moved out of all windows.
fn fail_and_take_back_an_older_failure(breaker: &CircuitBreaker) {
    let receipt = fail(breaker, FAILURE).expect("it counts");
    for _ in 0..70 {
        attempt(breaker, SUCCESS);
    }
    attempt(breaker, FAILURE);
    breaker.take_back(receipt);
}

/// The later failure lost its place in the window, and no success ended its streak any more.
#[tokio::test(start_paused = true)]
async fn failure_that_has_left_the_window_takes_no_other_with_it() {
    let breaker = CircuitBreaker::builder().consecutive_failures(3);
    let breaker = breaker.failures_of_last(2, 4).build().unwrap();
    fail_and_take_back_an_older_failure(&breaker);
    attempt(&breaker, SUCCESS);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN, "two of the last four");

    let breaker = CircuitBreaker::builder().consecutive_failures(2);
    let breaker = breaker.build().unwrap();
    fail_and_take_back_an_older_failure(&breaker);
    let mut body = admit(&breaker);
    body.head(SUCCESS);
    body.record(LOST);
    assert_eq!(breaker.state(), OPEN, "the streak resumes");

    let breaker = CircuitBreaker::builder().consecutive_failures(3);
    let breaker = breaker.build().unwrap();
    fail_and_take_back_an_older_failure(&breaker);
    attempt(&breaker, SUCCESS);
    for failures in 1..=3 {
        assert_eq!(breaker.state(), CLOSED, "{failures}");
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), OPEN);
}

/// A bad request that happens to be the probe would keep an endpoint open for longer each time.
#[tokio::test(start_paused = true)]
async fn failed_probe_that_is_taken_back_leaves_breaker_half_open() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .jitter(0.0);
    let breaker = breaker.success_threshold(1).build().unwrap();
    attempt(&breaker, FAILURE);
    advance(60 * SECOND).await;
    let receipt = fail(&breaker, FAILURE).expect("it counts");
    assert_eq!(breaker.retry_in(), Some(120 * SECOND));
    assert!(breaker.take_back(receipt));
    assert_eq!(breaker.state(), HALF_OPEN);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.retry_in(), Some(120 * SECOND), "no second doubling");
}

#[tokio::test(start_paused = true)]
async fn receipt_from_before_other_transition_has_no_effect() {
    let breaker = CircuitBreaker::builder().consecutive_failures(2).build();
    let breaker = breaker.unwrap();
    let receipt = fail(&breaker, FAILURE).expect("it counts");
    breaker.reset();
    attempt(&breaker, FAILURE);
    assert!(!breaker.take_back(receipt));
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn uncounted_verdict_has_no_receipt() {
    let breaker = CircuitBreaker::new();
    let older: Vec<_> = (0..3)
        .map(|_| {
            breaker
                .at(Instant::now())
                .try_acquire_detached()
                .expect("closed")
        })
        .collect();
    let receipts = older
        .into_iter()
        .map(|permit| permit.fail(&breaker, LOST).is_some());
    assert_eq!(
        receipts.collect::<Vec<_>>(),
        [true, false, false],
        "one lost connection"
    );
    assert_eq!(fail(&breaker, SUCCESS), None);
    let receipt = fail(&breaker, FAILURE).expect("it counts");
    assert_eq!(FailureReceipt::from_bits(receipt.to_bits()), receipt);
    breaker.disable();
    assert_eq!(fail(&breaker, FAILURE), None);
    drop(admit(&breaker));
}

fn rules() -> CircuitBreakerBuilder {
    CircuitBreaker::builder()
        .consecutive_failures(4)
        .excess_failures(4, 0.2)
}

proptest! {
    /// Bad requests fail and are taken back later, beside successes. Once all are taken back, the
    /// breaker is closed, and no failure is left.
    #[test]
    fn breaker_is_closed_once_all_failures_are_taken_back(
        steps in prop::collection::vec((0..4u8, any::<usize>()), 0..200),
    ) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let _guard = runtime.enter();
        let breaker = rules().build().unwrap();
        let mut held = Vec::new();
        for (step, at) in steps {
            match step {
                0 if breaker.state() == CLOSED => attempt(&breaker, SUCCESS),
                1 | 2 if breaker.state() == CLOSED => held.extend(fail(&breaker, FAILURE)),
                _ if !held.is_empty() => {
                    let receipt = held.swap_remove(at % held.len());
                    prop_assert!(breaker.take_back(receipt));
                }
                _ => {}
            }
        }
        for receipt in held {
            prop_assert!(breaker.take_back(receipt));
        }
        prop_assert_eq!(breaker.state(), CLOSED);
        prop_assert!((breaker.health() - 1.0).abs() < f64::EPSILON);
    }
}
