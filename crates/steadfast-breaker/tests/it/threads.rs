//! Guarantees for concurrent threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{CLOSED, FAILURE, Log, SUCCESS};
use steadfast_breaker::CircuitBreaker;

const THREADS: usize = 8;
const ATTEMPTS: usize = 5_000;

/// Runs `attempt` in concurrent threads, with a unique number each time.
fn run_in_threads(attempt: impl Fn(usize) + Send + Sync) {
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

/// A breaker without an open time, so that threads need not wait.
fn always_due(log: &Log) -> CircuitBreaker {
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
fn concurrent_probes_never_exceed_slots() {
    let breaker = always_due(&Log::default());
    let live = Arc::new(AtomicUsize::new(0));
    run_in_threads(|n| {
        let Ok(permit) = breaker.try_acquire() else {
            return;
        };
        if permit.is_probe() {
            // Only cancelled: a verdict would begin the next half-open phase, with new slots.
            assert!(live.fetch_add(1, Ordering::SeqCst) < 2);
            thread::yield_now();
            live.fetch_sub(1, Ordering::SeqCst);
        } else if n % 2 == 0 {
            permit.record(FAILURE);
        }
    });
    assert!(breaker.would_admit(), "all slots are free");
}

/// Two threads with transitions could overtake each other while they emit them.
#[test]
fn concurrent_transitions_are_emitted_in_order() {
    let log = Log::default();
    let breaker = always_due(&log);
    let states = breaker.subscribe();
    run_in_threads(|n| {
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
