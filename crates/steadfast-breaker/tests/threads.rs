//! What holds for many threads at once, which one thread cannot show.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use steadfast_breaker::CircuitBreaker;
use support::{CLOSED, FAILURE, Log, SUCCESS};

const THREADS: usize = 8;
const ATTEMPTS: usize = 5_000;

/// Runs `attempt` in many threads at once, with a number that is different each time.
fn hammer(attempt: impl Fn(usize) + Send + Sync) {
    let attempt = &attempt;
    thread::scope(|scope| {
        for thread in 0..THREADS {
            scope.spawn(move || {
                for n in 0..ATTEMPTS {
                    attempt(n * THREADS + thread);
                }
            });
        }
    });
}

/// A breaker that is always due, so that threads need not wait for it.
fn restless(log: &Log) -> CircuitBreaker {
    CircuitBreaker::builder()
        .consecutive_failures(2)
        .recovery_timeout(Duration::from_nanos(1))
        .max_recovery_timeout(Duration::from_nanos(1))
        .probes(2)
        .success_threshold(2)
        .probe_timeout(Duration::MAX)
        .observer(log.clone())
        .build()
        .expect("a good config")
}

#[test]
fn never_more_probes_than_places() {
    let breaker = restless(&Log::default());
    let live = Arc::new(AtomicUsize::new(0));
    hammer(|n| {
        let Ok(permit) = breaker.try_acquire() else {
            return;
        };
        if permit.is_probe() {
            // Only cancelled: a verdict would begin the next half-open phase, with new places.
            assert!(live.fetch_add(1, Ordering::SeqCst) < 2);
            thread::yield_now();
            live.fetch_sub(1, Ordering::SeqCst);
        } else if n % 2 == 0 {
            permit.record(FAILURE);
        }
    });
    assert!(breaker.would_admit(), "all places are free again");
}

/// Two threads that make transitions could overtake each other while they tell of them.
#[test]
fn transitions_are_told_in_their_order() {
    let log = Log::default();
    let breaker = restless(&log);
    let states = breaker.subscribe();
    hammer(|n| {
        if let Ok(permit) = breaker.try_acquire() {
            permit.record(if n % 3 == 0 { SUCCESS } else { FAILURE });
        }
    });
    let transitions = log.transitions();
    assert!(transitions.len() > 100, "{} are few", transitions.len());
    let mut state = CLOSED;
    for (from, to, _) in transitions {
        assert_eq!(from, state);
        state = to;
    }
    assert_eq!((breaker.state(), *states.borrow()), (state, state));
}
