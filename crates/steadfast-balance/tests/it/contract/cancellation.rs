//! A dropped future releases all that it reserved.

use steadfast_core::BreakerState;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Service, ServiceExt};

use super::healthy_servers;
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    MS, Net, Reply, SECOND, balancer, connection_reset, get, ok, pool, pool_without_early_probes,
    refusal, send_for_status, status_of,
};

#[tokio::test(start_paused = true)]
#[should_panic(expected = "polled after it was ready")]
async fn polling_a_completed_future_panics() {
    let net = healthy_servers(&["a"]);
    let (mut service, _) = balancer(pool(&["a"]), &net);
    let mut response = task::spawn(service.call(get()));
    let _ = assert_ready_ok!(response.poll());
    let _ = response.poll();
}

#[tokio::test(start_paused = true)]
async fn dropped_future_releases_in_flight_count() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let (service, endpoints) = balancer(pool(&["a"]), &net);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!(
        (status_of(&endpoints, "a").in_flight, net.running("a")),
        (1, 1)
    );
    drop(response);
    assert_eq!(
        (status_of(&endpoints, "a").in_flight, net.running("a")),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_cooldown_probe_releases_slot_once_refusal_would_have_arrived() {
    let net = Net::new();
    net.on("a", |_| refusal("1"));
    let (service, endpoints) = balancer(pool(&["a"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    advance(SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(
        !status_of(&endpoints, "a").admissible,
        "one probe at a time"
    );
    drop(response);
    // Otherwise, cancelled requests in sequence would send an endless series of probes.
    assert!(
        !status_of(&endpoints, "a").admissible,
        "a refusal may still arrive"
    );
    advance(49 * MS).await;
    assert!(!status_of(&endpoints, "a").admissible);
    advance(MS).await;
    assert!(status_of(&endpoints, "a").admissible);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert!(
        !status_of(&endpoints, "a").admissible,
        "again one probe at a time"
    );
}

#[tokio::test(start_paused = true)]
async fn dropped_breaker_probe_releases_slot() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    let (service, endpoints) = balancer(pool(&["a"]), &net);
    for _ in 0..7 {
        send_for_status(&service, get()).await;
    }
    assert_eq!(status_of(&endpoints, "a").breaker, BreakerState::Open);
    advance(5 * SECOND).await;

    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!(status_of(&endpoints, "a").breaker, BreakerState::HalfOpen);
    assert!(
        !status_of(&endpoints, "a").admissible,
        "one probe at a time"
    );
    drop(response);
    assert!(status_of(&endpoints, "a").admissible);
}

/// The slot of the cooldown is reserved before the breaker decides, and the breaker may reject.
#[tokio::test(start_paused = true)]
async fn breaker_rejection_leaves_cooldown_unchanged() {
    let net = Net::new();
    net.on("a", |_| refusal("1"));
    let (service, endpoints) = balancer(pool_without_early_probes(&["a"]), &net);
    send_for_status(&service, get()).await;
    advance(SECOND).await;
    net.on("a", |_| connection_reset());
    for _ in 0..7 {
        assert_eq!(send_for_status(&service, get()).await, 0);
    }
    assert_eq!(status_of(&endpoints, "a").breaker, BreakerState::Open);
    send_for_status(&service, get()).await;
    assert_eq!(net.count("a"), 8, "the last request was not sent");

    advance(5 * SECOND).await;
    net.on("a", |_| ok());
    assert_eq!(send_for_status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn dropped_future_releases_reserved_readiness() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("a", 0);
    gates.set_free_slots("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    drop(response);
    gates.set_free_slots("a", 1);
    gates.set_free_slots("b", 1);

    // The same while the attempt is in flight and the other candidate was busy.
    net.on("a", |_| Reply::never());
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    assert_eq!((gates.free_slots("a"), gates.free_slots("b")), (0, 1));
    drop(response);
    assert_eq!((gates.free_slots("a"), gates.free_slots("b")), (1, 1));
}
