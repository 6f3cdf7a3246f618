//! A dropped future releases all that it reserved.

use steadfast_core::BreakerState;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceExt};

use super::healthy;
use crate::support::gate::{Gates, gated};
use crate::support::{MS, Net, Reply, SECOND, balance, get, limited, of, ok, pool, reset, status};

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn polling_a_completed_future_panics() {
    let net = healthy(&["a"]);
    let (mut service, _) = balance(pool(&["a"]), &net);
    let mut response = task::spawn(service.call(get()));
    let _ = assert_ready_ok!(response.poll());
    let _ = response.poll();
}

#[tokio::test(start_paused = true)]
async fn dropped_future_releases_in_flight_count() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let (service, endpoints) = balance(pool(&["a"]), &net);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!((of(&endpoints, "a").in_flight, net.running("a")), (1, 1));
    drop(response);
    assert_eq!((of(&endpoints, "a").in_flight, net.running("a")), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn dropped_cooldown_probe_releases_slot_once_refusal_would_have_arrived() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let (service, endpoints) = balance(pool(&["a"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(!of(&endpoints, "a").admissible, "one attempt comes first");
    drop(response);
    // With callers who leave one after the other there would be no end to probes.
    assert!(!of(&endpoints, "a").admissible, "it may still be refused");
    advance(49 * MS).await;
    assert!(!of(&endpoints, "a").admissible);
    advance(MS).await;
    assert!(of(&endpoints, "a").admissible);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(!of(&endpoints, "a").admissible, "and again one comes first");
}

#[tokio::test(start_paused = true)]
async fn dropped_breaker_probe_releases_slot() {
    let net = Net::new();
    net.on("a", |_| reset());
    let (service, endpoints) = balance(pool(&["a"]), &net);
    for _ in 0..7 {
        status(&service, get()).await;
    }
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::Open);
    advance(5 * SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::HalfOpen);
    assert!(!of(&endpoints, "a").admissible, "one probe at a time");
    drop(response);
    assert!(of(&endpoints, "a").admissible);
}

/// The slot of the cooldown is reserved before the breaker decides, and the breaker may reject.
#[tokio::test(start_paused = true)]
async fn breaker_rejection_leaves_cooldown_unchanged() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let (service, endpoints) = balance(pool(&["a"]), &net);
    status(&service, get()).await;
    advance(SECOND).await;
    net.on("a", |_| reset());
    for _ in 0..7 {
        assert_eq!(status(&service, get()).await, 0);
    }
    assert_eq!(of(&endpoints, "a").breaker, BreakerState::Open);
    status(&service, get()).await;
    assert_eq!(net.count("a"), 8, "the last one was not sent");

    advance(5 * SECOND).await;
    net.on("a", |_| ok());
    assert_eq!(status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn dropped_future_releases_reserved_readiness() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    drop(response);
    gates.room("a", 1);
    gates.room("b", 1);

    // The same while the attempt runs, whose other candidate was busy.
    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!((gates.free("a"), gates.free("b")), (0, 1));
    drop(response);
    assert_eq!((gates.free("a"), gates.free("b")), (1, 1));
}
