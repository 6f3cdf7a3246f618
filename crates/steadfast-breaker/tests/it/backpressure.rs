//! A service that is not ready while its breaker rejects.

use std::time::Duration;

use crate::support::{FAILURE, HALF_OPEN, OPEN, SUCCESS};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitBreakerService, CircuitOpen};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_test::mock;

type Mock = mock::Mock<(), ()>;

const SECOND: Duration = Duration::from_secs(1);

fn breaker() -> CircuitBreaker {
    let builder = CircuitBreaker::builder().consecutive_failures(1);
    builder.success_threshold(1).build().unwrap()
}

fn spawn(
    breaker: &CircuitBreaker,
) -> (
    mock::Spawn<CircuitBreakerService<Mock>>,
    mock::Handle<(), ()>,
) {
    mock::spawn_layer(CircuitBreakerLayer::new(breaker.clone()).backpressure())
}

#[tokio::test(start_paused = true)]
async fn service_wakes_when_probe_is_due() {
    let breaker = breaker();
    let (mut service, mut handle) = spawn(&breaker);
    breaker.trip();
    assert_pending!(service.poll_ready());
    advance(59 * SECOND).await;
    assert!(!service.is_woken());
    assert_pending!(service.poll_ready());
    advance(SECOND).await;
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
    assert_eq!(breaker.state(), HALF_OPEN);

    let mut response = task::spawn(service.call(()));
    handle
        .next_request()
        .await
        .expect("the probe")
        .1
        .send_response(());
    assert_ready_ok!(response.poll());
    assert_ready_ok!(service.poll_ready());
}

/// A polled inner service may reserve capacity, which an open breaker would then hold.
#[tokio::test(start_paused = true)]
async fn waiting_service_does_not_poll_inner_service() {
    let breaker = breaker();
    let (mut service, mut handle) = spawn(&breaker);
    breaker.trip();
    handle.send_error("the inner service was polled");
    assert_pending!(service.poll_ready());
    breaker.reset();
    assert!(service.is_woken(), "the reset wakes it");
    assert_ready_err!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn released_slot_wakes_all_waiting_services() {
    let breaker = breaker();
    breaker.trip();
    advance(60 * SECOND).await;
    let probe = breaker.try_acquire().expect("its time is over");
    let (mut first, _handle) = spawn(&breaker);
    let (mut second, _other) = spawn(&breaker);
    assert_pending!(first.poll_ready());
    assert_pending!(second.poll_ready());
    drop(probe);
    assert!(
        first.is_woken() && second.is_woken(),
        "one of them may no longer be polled"
    );
    assert_ready_ok!(first.poll_ready());
    assert_pending!(second.poll_ready());
    // A dropped handle releases its slot.
    drop(first);
    assert!(second.is_woken());
    assert_ready_ok!(second.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn clone_does_not_inherit_slot() {
    let breaker = breaker();
    breaker.trip();
    advance(60 * SECOND).await;
    let (mut service, _handle) = spawn(&breaker);
    assert_ready_ok!(service.poll_ready());
    let mut clone = service.clone();
    assert_pending!(clone.poll_ready());
}

/// Repeated polls would otherwise use up the ramp and flood the service.
#[tokio::test(start_paused = true)]
async fn service_waits_during_ramp() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(1)
        .ramp(100 * SECOND)
        .build()
        .unwrap();
    breaker.trip();
    advance(60 * SECOND).await;
    breaker.try_acquire().expect("the probe").record(SUCCESS);
    let mut waiting: Vec<_> = (0..50).map(|_| spawn(&breaker)).collect();
    let mut ready = 0;
    waiting.retain_mut(|(service, _)| {
        let is_ready = service.poll_ready().is_ready();
        ready += usize::from(is_ready);
        !is_ready
    });
    assert!((1..=10).contains(&ready), "{ready} of 50 at once");
    assert!(waiting.iter_mut().all(|(service, _)| !service.is_woken()));
    advance(10 * SECOND).await;
    assert!(waiting.iter_mut().all(|(service, _)| service.is_woken()));
}

/// Another request may fail between readiness and the call.
#[tokio::test(start_paused = true)]
async fn transition_after_readiness_rejects_call() {
    let breaker = breaker();
    let (mut service, mut handle) = spawn(&breaker);
    assert_ready_ok!(service.poll_ready());
    breaker.try_acquire().expect("closed").record(FAILURE);
    assert_eq!(breaker.state(), OPEN);
    let mut response = task::spawn(service.call(()));
    let error = assert_ready_err!(response.poll());
    assert!(CircuitOpen::find(&*error).is_some());
    assert_pending!(task::spawn(handle.next_request()).poll());
}

/// The caller was ready and idle until another probe took its slot.
#[tokio::test(start_paused = true)]
async fn call_after_reclaim_of_slot_is_rejected() {
    let breaker = breaker();
    breaker.trip();
    advance(60 * SECOND).await;
    let (mut idle, mut handle) = spawn(&breaker);
    assert_ready_ok!(idle.poll_ready());
    advance(30 * SECOND).await;
    let other = breaker.try_acquire().expect("the slot is reclaimed");
    let mut response = task::spawn(idle.call(()));
    assert_ready_err!(response.poll());
    assert_pending!(task::spawn(handle.next_request()).poll());
    other.record(SUCCESS);
}

/// The probe starts at the call, so its timeout starts there.
#[tokio::test(start_paused = true)]
async fn probe_timeout_starts_at_call() {
    let breaker = breaker();
    breaker.trip();
    advance(60 * SECOND).await;
    let (mut service, _handle) = spawn(&breaker);
    assert_ready_ok!(service.poll_ready());
    advance(29 * SECOND).await;
    let _response = service.call(());
    advance(29 * SECOND).await;
    assert!(breaker.try_acquire().is_err());
    advance(SECOND).await;
    assert!(breaker.try_acquire().is_ok());
}

#[tokio::test(start_paused = true)]
async fn isolated_breaker_keeps_service_pending_until_reset() {
    let breaker = breaker();
    let (mut service, _handle) = spawn(&breaker);
    breaker.isolate();
    assert_pending!(service.poll_ready());
    advance(1_000_000 * SECOND).await;
    assert!(!service.is_woken());
    breaker.reset();
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

/// 200 tasks wait for one slot. Each one is served, and none spins.
#[tokio::test(start_paused = true)]
async fn two_hundred_waiting_tasks_are_all_served() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .success_threshold(200)
        .build()
        .unwrap();
    breaker.trip();
    let client = tower::service_fn(|()| async {
        tokio::time::sleep(SECOND / 100).await;
        Ok::<_, std::io::Error>(())
    });
    let layer = CircuitBreakerLayer::new(breaker.clone()).backpressure();
    let tasks: Vec<_> = (0..200)
        .map(|_| {
            let mut service = layer.layer(client);
            tokio::spawn(async move {
                std::future::poll_fn(|cx| Service::<()>::poll_ready(&mut service, cx))
                    .await
                    .expect("ready");
                service.call(()).await.expect("served");
            })
        })
        .collect();
    for task in tasks {
        tokio::time::timeout(600 * SECOND, task)
            .await
            .expect("in time")
            .unwrap();
    }
    breaker.try_acquire().expect("closed").record(SUCCESS);
}
