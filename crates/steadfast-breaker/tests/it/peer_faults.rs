//! Bugs of other breakers, each observed in a run, that this one must not have.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, OPEN, SECOND, SUCCESS, admit, admit_many, attempt, due_breaker,
    rejection, trip,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Empty;
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen, Permit};
use tokio::time::{advance, sleep, timeout};
use tower::{Layer, Service, ServiceExt, service_fn};

/// A window that only grew: after a day of successes, "half of the last hundred" needed a day of
/// failures to open.
#[tokio::test(start_paused = true)]
async fn outage_after_long_health_opens_at_full_window() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(u32::MAX)
        .failures_of_last(32, 64)
        .build()
        .unwrap();
    for _ in 0..10_000 {
        attempt(&breaker, SUCCESS);
    }
    for _ in 0..31 {
        attempt(&breaker, FAILURE);
    }
    assert_eq!(breaker.state(), CLOSED);
    attempt(&breaker, FAILURE);
    assert_eq!(breaker.state(), OPEN);
}

/// Probes that took longer than the window were dropped while their slots remained taken. The
/// breaker rejected every request forever, in front of a healthy service.
#[tokio::test(start_paused = true)]
async fn slow_or_leaked_probes_do_not_block_recovery() {
    let breaker = due_breaker().await;
    for state in [HALF_OPEN, HALF_OPEN, CLOSED] {
        let probe = admit(&breaker);
        advance(3600 * SECOND).await;
        probe.record(SUCCESS);
        assert_eq!(breaker.state(), state);
    }

    let breaker = due_breaker().await;
    for _ in 0..100 {
        // Leaked with its task, and not dropped.
        std::mem::forget(admit(&breaker));
        rejection(&breaker);
        advance(30 * SECOND).await;
    }
    for _ in 0..3 {
        attempt(&breaker, SUCCESS);
    }
    assert_eq!(breaker.state(), CLOSED);
}

/// A late success of a request from before the outage closed the circuit without a probe, and a
/// late failure ended a recovery.
#[tokio::test(start_paused = true)]
async fn verdict_from_before_opening_changes_nothing() {
    let breaker = CircuitBreaker::builder()
        .success_threshold(1)
        .build()
        .unwrap();
    let mut old = admit_many(&breaker, 40);
    let late = |old: &mut Vec<Permit>, verdict| {
        for permit in old.split_off(old.len() - 10) {
            permit.record(verdict);
        }
    };
    trip(&breaker);
    let opened_for = breaker.retry_in();
    late(&mut old, SUCCESS);
    assert_eq!((breaker.state(), breaker.retry_in()), (OPEN, opened_for));

    advance(60 * SECOND).await;
    let probe = admit(&breaker);
    late(&mut old, FAILURE);
    late(&mut old, SUCCESS);
    assert_eq!(breaker.state(), HALF_OPEN);
    rejection(&breaker);

    probe.record(SUCCESS);
    late(&mut old, FAILURE);
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
}

/// The timeout of an outer layer dropped the futures of fifty requests, and the breaker counted
/// none. A dropped future alone is a cancelled attempt. `abandoned_after` makes it a timeout.
#[tokio::test(start_paused = true)]
async fn outer_timeout_counts_with_abandoned_after() {
    for (abandoned_after, state) in [(None, CLOSED), (Some(SECOND), OPEN)] {
        let breaker = CircuitBreaker::new();
        let mut layer = CircuitBreakerLayer::new(breaker.clone());
        if let Some(after) = abandoned_after {
            layer = layer.abandoned_after(after);
        }
        let service = layer.layer(service_fn(async |(): ()| {
            sleep(Duration::MAX).await;
            Ok::<_, Infallible>(())
        }));
        for _ in 0..50 {
            let _ = timeout(SECOND, service.clone().oneshot(())).await;
        }
        assert_eq!(breaker.state(), state);
    }
}

/// A cancelled probe was lost, or closed the circuit. It releases its slot and does not count.
#[tokio::test(start_paused = true)]
async fn probe_cancelled_by_outer_timeout_is_neutral() {
    let breaker = due_breaker().await;
    let service = service_fn(async |(): ()| {
        sleep(Duration::MAX).await;
        Ok::<_, Infallible>(())
    });
    let service = CircuitBreakerLayer::new(breaker.clone()).layer(service);
    for _ in 0..50 {
        timeout(SECOND, service.clone().oneshot(()))
            .await
            .expect_err("admitted, and not answered");
        assert_eq!(breaker.state(), HALF_OPEN);
    }
    assert!(admit(&breaker).is_probe());
}

/// Counts the calls, and does its work before the future is polled.
#[derive(Clone, Default)]
struct Eager(Arc<AtomicUsize>);

impl Service<()> for Eager {
    type Response = ();
    type Error = io::Error;
    type Future = std::future::Ready<Result<(), io::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        self.0.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(()))
    }
}

/// A layer called the inner service first and checked the breaker at the first poll. A service that
/// sends in `call` sent ten requests into an open circuit.
#[tokio::test(start_paused = true)]
async fn rejected_request_does_not_reach_inner_service() {
    let breaker = CircuitBreaker::new();
    trip(&breaker);
    let inner = Eager::default();
    let mut service = CircuitBreakerLayer::new(breaker.clone()).layer(inner.clone());
    for _ in 0..10 {
        let error = service.ready().await.unwrap().call(()).await.unwrap_err();
        assert!(CircuitOpen::find(&*error).is_some());
    }
    assert_eq!(inner.0.load(Ordering::Relaxed), 0);
    advance(60 * SECOND).await;
    service.ready().await.unwrap().call(()).await.unwrap();
    assert_eq!(inner.0.load(Ordering::Relaxed), 1);
}

/// For a layer that checks only `Ok` and `Err`, a service with a thousand consecutive `503` is
/// healthy.
#[tokio::test(start_paused = true)]
async fn consecutive_503_responses_open() {
    let breaker = CircuitBreaker::new();
    let client = service_fn(async |_: Request<()>| {
        let response = Response::builder().status(503);
        response.body(Empty::<Bytes>::new())
    });
    let service = CircuitBreakerLayer::http(breaker.clone()).layer(client);
    let mut answers = 0;
    for _ in 0..1000 {
        answers += usize::from(service.clone().oneshot(Request::new(())).await.is_ok());
    }
    assert_eq!((breaker.state(), answers), (OPEN, 5));
}

/// A half-open breaker admitted all of five hundred concurrent requests to a service that was down.
#[tokio::test(start_paused = true)]
async fn half_open_admits_one_of_500_requests() {
    let breaker = due_breaker().await;
    let probes: Vec<_> = (0..500)
        .filter_map(|_| breaker.try_acquire().ok())
        .collect();
    assert_eq!(probes.len(), 1);
    for probe in probes {
        probe.record(FAILURE);
    }
    let admitted = (0..500).filter(|_| breaker.try_acquire().is_ok()).count();
    assert_eq!((breaker.state(), admitted), (OPEN, 0));
}
