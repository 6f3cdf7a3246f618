//! Every interleaving of a few threads, as `loom` finds them. FailureStreak with `just models`.
//!
//! Their breakers are open for no time at all: time stands still in a model.

use std::sync::Arc;
use std::time::Duration;

use loom::thread;
use steadfast_core::{BreakerState, Class, Observers, Verdict};

use crate::machine::rules::Rules;
use crate::machine::state_machine::{Admission, Order, TripReason};
use crate::sync::now;
use crate::value::shared::Shared;

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
    matches!(admitted, Ok(admission) if admission.place.is_some())
}

#[test]
fn no_more_probes_are_admitted_than_there_are_places() {
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
fn a_place_that_is_given_back_is_not_lost() {
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
        assert!(is_probe(&admit(&shared)), "nobody holds it any more");
    });
}

#[test]
fn failures_that_meet_open_it_once() {
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
            next.generation, 2,
            "open, and half-open: no transition is skipped or made twice"
        );
    });
}

/// A success that sees nothing to clear writes nothing, while another thread's failure is counted.
#[test]
fn a_success_beside_a_failure_leaves_one_of_two_states() {
    loom::model(|| {
        let shared = breaker(2, 1);
        let [good, bad] = [admit(&shared), admit(&shared)].map(|it| it.expect("closed"));
        let other = spawn(&shared, move |shared| shared.settle(&bad, FAILURE));
        shared.settle(&good, Verdict::SUCCESS);
        other.join().unwrap();
        let last = admit(&shared).expect("one failure at most is in a row");
        shared.settle(&last, FAILURE);
        let state = shared.state();
        assert!(matches!(state, BreakerState::Closed | BreakerState::Open));
        // Whatever the order was, one more is too many or is the second of a row.
        if state == BreakerState::Closed {
            let last = admit(&shared).expect("closed");
            shared.settle(&last, FAILURE);
            assert_eq!(shared.state(), BreakerState::Open);
        }
    });
}

/// One attempt succeeds at its head and breaks, beside one that fails: a row of two in every order.
#[test]
fn a_success_that_is_taken_back_leaves_no_gap_in_a_row() {
    loom::model(|| {
        let shared = breaker(2, 1);
        let [stream, bad] = [admit(&shared), admit(&shared)].map(|it| it.expect("closed"));
        let other = spawn(&shared, move |shared| {
            shared.settle(&bad, FAILURE);
        });
        let cleared = shared.settle(&stream, Verdict::SUCCESS);
        shared.settle_late(&stream, cleared.expect("a success"), FAILURE);
        other.join().unwrap();
        assert_eq!(shared.state(), BreakerState::Open);
    });
}

#[test]
fn a_verdict_from_before_a_transition_changes_nothing() {
    for verdict in [FAILURE, Verdict::SUCCESS] {
        loom::model(move || {
            let shared = breaker(1, 1);
            let stale = admit(&shared).expect("closed");
            let other = spawn(&shared, move |shared| shared.settle(&stale, verdict));
            // Unless the failure has opened it before.
            shared.order(Order::Trip);
            let probe = admit(&shared).expect("its time is over");
            assert!(probe.place.is_some());
            other.join().unwrap();
            assert_eq!(shared.state(), BreakerState::HalfOpen);
            if verdict == FAILURE {
                // It has opened the breaker itself, or came too late and was counted as that.
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
            assert_eq!(admit(&shared).expect("closed").generation, 3);
        });
    }
}

/// The probe fails while another one is to be admitted.
#[test]
fn a_probe_that_fails_opens_it_for_all() {
    loom::model(|| {
        let shared = breaker(1, 2);
        shared.order(Order::Trip);
        let first = admit(&shared).expect("its time is over");
        let other = spawn(&shared, admit);
        shared.settle(&first, FAILURE);
        let second = other
            .join()
            .unwrap()
            .expect("there are two places, and it opens for no time");
        shared.settle(&second, Verdict::SUCCESS);
        // The second was admitted before the first failed, or as the first of the next phase.
        let expected = match second.generation {
            2 => BreakerState::Open,
            _ => BreakerState::Closed,
        };
        assert_eq!(shared.state(), expected);
    });
}

#[test]
fn what_is_isolated_admits_nobody_from_then_on() {
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
