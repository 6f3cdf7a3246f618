//! Attempts with a head first and a body later.

use std::collections::VecDeque;

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, LOST, NEUTRAL, OPEN, SECOND, SUCCESS, admit, attempt, due_breaker,
    opens_at_first_failure,
};
use steadfast_breaker::{CircuitBreaker, Window};
use tokio::time::{Instant, advance};

#[tokio::test(start_paused = true)]
async fn probe_succeeds_at_head() {
    let breaker = due_breaker().await;
    let streams: Vec<_> = (0..3)
        .map(|_| {
            let mut probe = admit(&breaker);
            probe.head(SUCCESS);
            probe
        })
        .collect();
    assert_eq!(breaker.state(), CLOSED, "while all three bodies still run");
    for stream in streams {
        stream.record(SUCCESS);
    }
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
}

#[tokio::test(start_paused = true)]
async fn probe_counts_first_head_only() {
    let breaker = due_breaker().await;
    let mut probe = admit(&breaker);
    for _ in 0..5 {
        probe.head(SUCCESS);
    }
    probe.record(SUCCESS);
    assert_eq!(breaker.state(), HALF_OPEN);
    attempt(&breaker, SUCCESS);
    assert_eq!(breaker.state(), HALF_OPEN, "two of three");
}

#[tokio::test(start_paused = true)]
async fn failed_head_of_probe_opens() {
    let breaker = due_breaker().await;
    let mut probe = admit(&breaker);
    probe.head(FAILURE);
    assert_eq!(breaker.state(), OPEN);
    let retry_in = breaker.retry_in();
    advance(SECOND).await;
    probe.record(FAILURE);
    assert_eq!(
        breaker.retry_in(),
        retry_in.map(|wait| wait - SECOND),
        "once"
    );
}

#[tokio::test(start_paused = true)]
async fn neutral_head_of_probe_releases_slot() {
    let breaker = due_breaker().await;
    let mut probe = admit(&breaker);
    probe.head(NEUTRAL);
    assert!(breaker.would_admit());
    drop(probe);
    assert_eq!(breaker.state(), HALF_OPEN);
}

#[tokio::test(start_paused = true)]
async fn broken_body_of_probe_opens_half_open_breaker() {
    let breaker = due_breaker().await;
    let mut probe = admit(&breaker);
    probe.head(SUCCESS);
    probe.record(LOST);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn broken_body_of_probe_after_close_is_one_failure() {
    let breaker = due_breaker().await;
    let mut probe = admit(&breaker);
    probe.head(SUCCESS);
    for _ in 0..2 {
        attempt(&breaker, SUCCESS);
    }
    for _ in 0..4 {
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), CLOSED);
    probe.record(LOST);
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn broken_body_of_probe_after_next_opening_changes_nothing() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(1)
        .recovery_timeout(SECOND)
        .build()
        .unwrap();
    attempt(&breaker, FAILURE);
    advance(SECOND).await;
    let mut old = admit(&breaker);
    old.head(SUCCESS);
    attempt(&breaker, FAILURE);
    advance(SECOND).await;
    attempt(&breaker, SUCCESS);
    assert_eq!(breaker.state(), CLOSED);

    old.record(LOST);
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
}

#[tokio::test(start_paused = true)]
async fn first_head_counts_at_once() {
    let breaker = opens_at_first_failure();
    let mut permit = admit(&breaker);
    permit.head(FAILURE);
    assert_eq!(breaker.state(), OPEN);

    let breaker = opens_at_first_failure();
    let mut permit = admit(&breaker);
    permit.head(NEUTRAL);
    permit.head(FAILURE);
    permit.record(FAILURE);
    assert_eq!(breaker.state(), CLOSED);

    let mut permit = admit(&breaker);
    permit.head(SUCCESS);
    permit.record(NEUTRAL);
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
}

/// A hundred streams of 20 s start per second, and one in a hundred fails at its head. With
/// successes counted at the end, 2 % were admitted: after each close, failures came first.
#[tokio::test(start_paused = true)]
async fn noise_among_long_streams_does_not_open() {
    let breaker = CircuitBreaker::new();
    let mut streams = VecDeque::new();
    let mut rejected = 0;
    for n in 0..360_000 {
        advance(SECOND / 100).await;
        match breaker.try_acquire() {
            Ok(permit) if n % 100 == 50 => permit.record(FAILURE),
            Ok(mut permit) => {
                permit.head(SUCCESS);
                streams.push_back((n + 2_000, permit));
            }
            Err(_) => rejected += 1,
        }
        while streams.front().is_some_and(|(end, _)| *end <= n) {
            streams.pop_front();
        }
    }
    assert_eq!((rejected, breaker.state()), (0, CLOSED));
}

/// The streak resumes. Each window gets the success of the head and the failure of the body.
#[tokio::test(start_paused = true)]
async fn broken_body_is_success_and_failure_in_each_window() {
    let builder = || CircuitBreaker::builder().consecutive_failures(100);
    let in_time = |calls| Window::time(10 * SECOND).min_calls(calls);
    for (rule, opens_at) in [
        (builder().consecutive_failures(5), Some(5)),
        // At most three failures are among five outcomes.
        (builder().failures_of_last(3, 5), Some(3)),
        (builder().failures_of_last(4, 5), None),
        (builder().failure_rate(0.5, Window::calls(4)), Some(2)),
        (builder().failure_rate(0.6, Window::calls(4)), None),
        (builder().failure_rate(0.5, in_time(4)), Some(2)),
        (builder().failure_rate(0.6, in_time(4)), None),
        // The first stream adds 0.8, and each later one adds 0.8 - 0.2: 0.8 + 2 * 0.6 = 2.
        (builder().excess_failures(2, 0.2), Some(3)),
        (builder().excess_failures(2, 0.5), None),
    ] {
        let breaker = rule.build().unwrap();
        let opened_at = (1..=50).find(|_| {
            let mut stream = admit(&breaker);
            stream.head(SUCCESS);
            stream.record(FAILURE);
            breaker.state() == OPEN
        });
        assert_eq!(opened_at, opens_at, "{breaker:?}");
    }
}

/// A streak that another success ended does not resume.
#[tokio::test(start_paused = true)]
async fn streak_ended_by_other_success_does_not_resume() {
    let breaker = CircuitBreaker::new();
    for _ in 0..4 {
        attempt(&breaker, FAILURE);
    }
    let mut stream = admit(&breaker);
    stream.head(SUCCESS);
    for _ in 0..100 {
        attempt(&breaker, SUCCESS);
    }
    stream.record(LOST);
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 0.95));
}

/// Each stream begins between two others that end.
#[tokio::test(start_paused = true)]
async fn overlapping_broken_streams_are_one_streak() {
    for count in [1, 2, 10, 50] {
        let breaker = CircuitBreaker::new();
        let stream = || {
            let mut stream = admit(&breaker);
            stream.head(SUCCESS);
            stream
        };
        let mut streams: VecDeque<_> = (0..count).map(|_| stream()).collect();
        for n in 1..=5 {
            assert_eq!(breaker.state(), CLOSED, "before {n} of {count}");
            streams.pop_front().expect("one").record(FAILURE);
            if n < 5 {
                streams.push_back(stream());
            }
        }
        assert_eq!(breaker.state(), OPEN, "{count}");
    }
}

/// Another probe closes the breaker before the head of this one.
#[tokio::test(start_paused = true)]
async fn broken_body_of_late_probe_is_one_failure() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(1)
        .probes(2)
        .build()
        .unwrap();
    breaker.trip();
    advance(60 * SECOND).await;
    let (first, mut second) = (admit(&breaker), admit(&breaker));
    first.record(SUCCESS);
    assert_eq!(breaker.state(), CLOSED);
    second.head(SUCCESS);
    second.record(LOST);
    assert_eq!(breaker.state(), OPEN);
}

/// Compares each end of an attached and of a detached permit.
#[tokio::test(start_paused = true)]
async fn detached_permit_ends_like_attached_one() {
    for head in [None, Some(SUCCESS), Some(FAILURE)] {
        for record in [None, Some(SUCCESS), Some(FAILURE)] {
            for is_probe in [false, true] {
                let breaker = async || match is_probe {
                    true => due_breaker().await,
                    false => CircuitBreaker::new(),
                };
                let (one, other) = (breaker().await, breaker().await);

                let mut permit = admit(&one);
                assert_eq!(permit.is_probe(), is_probe);
                head.into_iter().for_each(|verdict| permit.head(verdict));
                match record {
                    Some(verdict) => permit.record(verdict),
                    None => drop(permit),
                }

                let mut permit = other.at(Instant::now()).try_acquire_detached().unwrap();
                assert_eq!(permit.is_probe(), is_probe);
                head.into_iter()
                    .for_each(|verdict| permit.head(&other, verdict));
                match record {
                    Some(verdict) => permit.record(&other, verdict),
                    None => permit.end(&other),
                }

                let seen = |breaker: &CircuitBreaker| {
                    let slots = std::iter::from_fn(|| breaker.try_acquire().ok()).take(5);
                    let slots: Vec<_> = slots.collect();
                    (breaker.state(), breaker.health(), slots.len())
                };
                assert_eq!(seen(&one), seen(&other), "{head:?} {record:?} {is_probe}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn lost_detached_permit_keeps_slot_until_timeout() {
    let breaker = due_breaker().await;
    drop(breaker.at(Instant::now()).try_acquire_detached().unwrap());
    assert!(!breaker.would_admit());
    advance(30 * SECOND).await;
    assert!(breaker.would_admit());
}
