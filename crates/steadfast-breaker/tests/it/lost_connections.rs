//! A lost connection fails many attempts at once, and counts once.

use crate::support::{CLOSED, FAILURE, LOST, OPEN, SUCCESS, admit_many, attempt};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::{Class, Verdict};

/// A load balancer that restarts closes its HTTP/2 connection, and fifty streams fail in the same
/// moment. The endpoint behind it is fine.
#[tokio::test(start_paused = true)]
async fn fifty_requests_of_one_lost_connection_are_one_failure() {
    let breaker = CircuitBreaker::builder()
        .failures_of_last(2, 64)
        .build()
        .unwrap();
    for permit in admit_many(&breaker, 50) {
        permit.record(LOST);
    }
    assert_eq!(breaker.state(), CLOSED);
    assert_eq!(breaker.health(), 1.0 - 1.0 / 64.0, "the window has one too");
}

#[tokio::test(start_paused = true)]
async fn connections_lost_one_after_another_count_each() {
    let breaker = CircuitBreaker::new();
    for _ in 0..4 {
        attempt(&breaker, LOST);
    }
    assert_eq!(breaker.state(), CLOSED);
    attempt(&breaker, LOST);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn concurrent_connect_failures_count_each() {
    let breaker = CircuitBreaker::new();
    for permit in admit_many(&breaker, 5) {
        permit.record(Verdict::new(Class::Connect));
    }
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn attempts_admitted_after_the_loss_count_each() {
    let breaker = CircuitBreaker::new();
    for permit in admit_many(&breaker, 50) {
        permit.record(LOST);
    }
    for permit in admit_many(&breaker, 3) {
        permit.record(LOST);
    }
    assert_eq!(breaker.state(), CLOSED, "one and three");
    attempt(&breaker, LOST);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn lost_connection_after_other_failures_counts_once() {
    let breaker = CircuitBreaker::new();
    let permits = admit_many(&breaker, 50);
    for _ in 0..3 {
        attempt(&breaker, FAILURE);
    }
    for permit in permits {
        permit.record(LOST);
    }
    assert_eq!(breaker.state(), CLOSED, "three and one");
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn lost_connection_after_success_counts_again() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .failures_of_last(2, 20)
        .build()
        .unwrap();
    let mut permits = admit_many(&breaker, 50);
    for permit in permits.split_off(25) {
        permit.record(LOST);
    }
    attempt(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    for permit in permits {
        permit.record(LOST);
    }
    assert_eq!(breaker.state(), OPEN, "two runs, so two of the last twenty");
}
