//! All interleavings of a few threads, enumerated by `loom`. Run with `just models`.
//!
//! The open time of these breakers is zero, because time does not advance in a model.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use steadfast_core::layer::Observers;
use steadfast_core::{BreakerState, Class, Verdict};

use crate::machine::{Admission, Order, Rules, TripReason};
use crate::sync::now;
use crate::value::Shared;

const FAILURE: Verdict = Verdict::new(Class::ServerError);

fn breaker(consecutive_failures: u32, probes: u32) -> Arc<Shared> {
    let rules = Rules {
        consecutive_failures,
        probes,
        success_threshold: 1,
        recovery_timeout: Duration::ZERO,
        max_recovery_timeout: Duration::ZERO,
        jitter: 0.0,
        seed: Some(1),
        ..Rules::default()
    };
    Arc::new(Shared::new("model".into(), rules, Observers::new()))
}

fn spawn<T: 'static>(
    shared: &Arc<Shared>,
    run: impl FnOnce(&Shared) -> T + 'static,
) -> thread::JoinHandle<T> {
    let shared = shared.clone();
    thread::spawn(move || run(&shared))
}

fn admit(shared: &Shared) -> Result<Admission, Option<Duration>> {
    shared.admit(now)
}

fn is_probe(admitted: &Result<Admission, Option<Duration>>) -> bool {
    matches!(admitted, Ok(admission) if admission.slot.is_some())
}

#[test]
fn concurrent_probes_never_exceed_slots() {
    loom::model(|| {
        let shared = breaker(1, 1);
        shared.order(Order::Trip);
        let others = [spawn(&shared, admit), spawn(&shared, admit)];
        let own = admit(&shared);
        let admitted = others.map(|other| other.join().unwrap());
        let probes = admitted.iter().chain([&own]).filter(|it| is_probe(it));
        assert_eq!(probes.count(), 1, "and the first is always admitted");
        assert_eq!(shared.state(), BreakerState::HalfOpen);
    });
}

#[test]
fn released_slot_is_not_lost() {
    loom::model(|| {
        let shared = breaker(1, 1);
        shared.order(Order::Trip);
        let cancelled = |shared: &Shared| {
            if let Ok(admission) = admit(shared) {
                shared.release(&admission);
            }
        };
        let others = [spawn(&shared, cancelled), spawn(&shared, cancelled)];
        for other in others {
            other.join().unwrap();
        }
        assert!(is_probe(&admit(&shared)), "no attempt holds it");
    });
}

#[test]
fn concurrent_failures_open_once() {
    loom::model(|| {
        let shared = breaker(2, 1);
        let first = admit(&shared).expect("closed");
        let second = admit(&shared).expect("closed");
        let other = spawn(&shared, move |shared| shared.settle(&second, FAILURE));
        shared.settle(&first, FAILURE);
        other.join().unwrap();
        assert_eq!(shared.state(), BreakerState::Open);
        let next = admit(&shared).expect("its time is over");
        assert_eq!(
            next.generation(),
            2,
            "open, and half-open: no transition is skipped or made twice"
        );
    });
}

/// A success with nothing to clear writes nothing, while another thread counts a failure.
#[test]
fn concurrent_success_and_failure_leave_one_of_two_states() {
    loom::model(|| {
        let shared = breaker(2, 1);
        let [good, bad] = [admit(&shared), admit(&shared)].map(|it| it.expect("closed"));
        let other = spawn(&shared, move |shared| shared.settle(&bad, FAILURE));
        shared.settle(&good, Verdict::SUCCESS);
        other.join().unwrap();
        let last = admit(&shared).expect("the streak is at most one");
        shared.settle(&last, FAILURE);
        let state = shared.state();
        assert!(matches!(state, BreakerState::Closed | BreakerState::Open));
        // In each order, one more failure is one too many or the second of a streak.
        if state == BreakerState::Closed {
            let last = admit(&shared).expect("closed");
            shared.settle(&last, FAILURE);
            assert_eq!(shared.state(), BreakerState::Open);
        }
    });
}

/// One attempt succeeds at its head and breaks, another one fails: a streak of two in every order.
#[test]
fn broken_body_leaves_no_gap_in_streak() {
    loom::model(|| {
        let shared = breaker(2, 1);
        let [stream, bad] = [admit(&shared), admit(&shared)].map(|it| it.expect("closed"));
        let other = spawn(&shared, move |shared| {
            shared.settle(&bad, FAILURE);
        });
        assert!(shared.settle(&stream, Verdict::SUCCESS));
        shared.settle_late(&stream, FAILURE);
        other.join().unwrap();
        assert_eq!(shared.state(), BreakerState::Open);
    });
}

#[test]
fn verdict_from_before_transition_changes_nothing() {
    for verdict in [FAILURE, Verdict::SUCCESS] {
        loom::model(move || {
            let shared = breaker(1, 1);
            let stale = admit(&shared).expect("closed");
            let other = spawn(&shared, move |shared| shared.settle(&stale, verdict));
            // Unless the failure has opened it before.
            shared.order(Order::Trip);
            let probe = admit(&shared).expect("its time is over");
            assert!(probe.slot.is_some());
            other.join().unwrap();
            assert_eq!(shared.state(), BreakerState::HalfOpen);
            if verdict == FAILURE {
                // It opened the breaker, or was counted as late.
                let was_late = shared.reason() == Some(TripReason::Manual);
                assert_eq!(shared.late_verdicts(), u64::from(was_late));
            }
            shared.settle(&probe, Verdict::SUCCESS);
            assert_eq!(
                shared.state(),
                BreakerState::Closed,
                "the probe decides alone"
            );
            assert_eq!(shared.health(), 1.0);
            assert_eq!(admit(&shared).expect("closed").generation(), 3);
        });
    }
}

/// A probe fails while another attempt is admitted.
#[test]
fn failed_probe_opens_for_all_threads() {
    loom::model(|| {
        let shared = breaker(1, 2);
        shared.order(Order::Trip);
        let first = admit(&shared).expect("its time is over");
        let other = spawn(&shared, admit);
        shared.settle(&first, FAILURE);
        let second = other
            .join()
            .unwrap()
            .expect("there are two slots, and the open time is zero");
        shared.settle(&second, Verdict::SUCCESS);
        // The second probe was admitted before the first failed, or in the next half-open phase.
        let expected = match second.generation() {
            2 => BreakerState::Open,
            _ => BreakerState::Closed,
        };
        assert_eq!(shared.state(), expected);
    });
}

#[test]
fn isolated_breaker_admits_no_later_attempt() {
    loom::model(|| {
        let shared = breaker(1, 1);
        let other = spawn(&shared, |shared| {
            if let Ok(admission) = admit(shared) {
                shared.settle(&admission, FAILURE);
            }
        });
        shared.order(Order::Isolate);
        assert!(admit(&shared).is_err());
        other.join().unwrap();
        assert!(shared.is_isolated() && admit(&shared).is_err());
    });
}
