//! The events of transitions and their order.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, Log, OPEN, SECOND, SUCCESS, admit, attempt, trip,
};
use steadfast_breaker::CircuitBreaker;
use steadfast_core::layer::Observers;
use steadfast_core::observer_fn;
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn observers_and_subscribers_get_each_transition() {
    let log = Log::default();
    let mut others = Observers::new();
    let second = Log::default();
    others.add(second.clone());
    let breaker = CircuitBreaker::builder()
        .jitter(0.0)
        .observer(log.clone())
        .observers(others)
        .build()
        .unwrap();
    let mut states = breaker.subscribe();
    assert_eq!(*states.borrow(), CLOSED);

    trip(&breaker);
    assert!(states.has_changed().unwrap());
    assert_eq!(*states.borrow_and_update(), OPEN);
    advance(60 * SECOND).await;
    attempt(&breaker, FAILURE);
    advance(120 * SECOND).await;
    for _ in 0..3 {
        attempt(&breaker, SUCCESS);
    }
    assert_eq!(*states.borrow_and_update(), CLOSED);

    let expected = [
        (CLOSED, OPEN, Some(60 * SECOND)),
        (OPEN, HALF_OPEN, None),
        (HALF_OPEN, OPEN, Some(120 * SECOND)),
        (OPEN, HALF_OPEN, None),
        (HALF_OPEN, CLOSED, None),
    ];
    assert_eq!(log.transitions(), expected);
    assert_eq!(second.transitions(), expected);
}

/// Under a lock, an observer that uses the breaker would deadlock. With nested events, the next
/// observer would get the transitions in the wrong order.
#[tokio::test(start_paused = true)]
async fn observer_can_use_breaker() {
    let slot = Arc::new(OnceLock::<CircuitBreaker>::new());
    let log = Log::default();
    let closes_it = {
        let slot = slot.clone();
        observer_fn(move |_| {
            let breaker = slot.get().expect("set before it is used");
            if breaker.state() == HALF_OPEN {
                attempt(breaker, SUCCESS);
            }
        })
    };
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .probes(2)
        .success_threshold(1)
        .observer(closes_it)
        .observer(log.clone())
        .build()
        .unwrap();
    slot.set(breaker.clone()).expect("set once");
    attempt(&breaker, FAILURE);
    advance(60 * SECOND).await;
    let _probe = admit(&breaker);

    let states: Vec<_> = log.transitions().iter().map(|change| change.1).collect();
    assert_eq!(states, [OPEN, HALF_OPEN, CLOSED]);
}

/// Observers should not panic. If one does, later events must still be emitted.
#[tokio::test(start_paused = true)]
async fn panic_of_observer_does_not_stop_events() {
    let log = Log::default();
    let panics_once = {
        let panicked = AtomicBool::new(false);
        observer_fn(move |_| assert!(panicked.swap(true, Ordering::Relaxed), "on purpose"))
    };
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .observer(panics_once)
        .observer(log.clone())
        .build()
        .unwrap();
    let panic = std::panic::AssertUnwindSafe(|| attempt(&breaker, FAILURE));
    std::panic::catch_unwind(panic).expect_err("it panics");
    assert_eq!(breaker.state(), OPEN);
    advance(60 * SECOND).await;
    drop(admit(&breaker));
    assert_eq!(log.transitions(), [(OPEN, HALF_OPEN, None)]);
}
