//! The balancer is always ready, and its future waits for the readiness of an endpoint.

use steadfast_balance::{EndpointBalance, EndpointBalanceLayer};
use steadfast_core::Class;
use tokio::time::{advance, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, ServiceExt};
use tower_test::mock;

use super::{healthy_servers, ready_clone};
use crate::support::gate::{Gates, gated_balancer};
use crate::support::ready::{Handle, Mock, assert_ready_handle_takes_calls};
use crate::support::{
    MS, Net, Reply, SECOND, balancer, get, ok, pool, refusal, request_only_to, send,
    send_for_status, status_of, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn ready_handle_takes_the_call() {
    let layer = pool(&["a"]).build().expect("valid");
    let (mut service, mut handle): (mock::Spawn<EndpointBalance<Mock>>, Handle) =
        mock::spawn_layer(layer);
    assert_ready_handle_takes_calls(&mut service, &mut handle, get).await;
}

/// The endpoint depends on the request, so no endpoint is polled before the call.
#[tokio::test(start_paused = true)]
async fn poll_ready_always_reports_ready_and_reserves_nothing() {
    let (net, gates) = (healthy_servers(&["a"]), Gates::default());
    let (service, endpoints) = gated_balancer(pool(&["a"]), &net, &gates);
    gates.set_free_slots("a", 1);
    for _ in 0..3 {
        ready_clone(&service).await;
    }
    assert_eq!(
        (gates.ready_polls("a"), status_of(&endpoints, "a").in_flight),
        (0, 0)
    );

    gates.set_free_slots("a", 0);
    gates.fail_readiness("a", 1);
    ready_clone(&service).await;
    assert_eq!(gates.ready_polls("a"), 0);
}

/// The slot of the probe belongs to the next request. An idle handle sends none.
#[tokio::test(start_paused = true)]
async fn poll_ready_after_cooldown_takes_no_probe_slot() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("1") } else { ok() });
    let (service, _) = balancer(pool(&["a"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    advance(SECOND).await;

    let _idle = ready_clone(&service).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn busy_endpoint_is_skipped() {
    let (net, gates) = (healthy_servers(&["a", "b", "c"]), Gates::default());
    let endpoints = ["a", "b"].map(crate::support::endpoint);
    let builder = EndpointBalanceLayer::builder()
        .endpoints(endpoints)
        .endpoint(crate::support::endpoint("c").tier(1));
    let (service, _) = gated_balancer(builder, &net, &gates);

    gates.set_free_slots("a", 0);
    assert_eq!(send_for_status(&service, get()).await, 200);
    gates.set_free_slots("b", 0);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c"]), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn first_free_endpoint_wakes_the_request() {
    for first in ["a", "b"] {
        let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
        let (service, endpoints) = gated_balancer(pool(&["a", "b"]), &net, &gates);
        gates.set_free_slots("a", 0);
        gates.set_free_slots("b", 0);
        let mut response = task::spawn(service.clone().oneshot(get()));
        assert_pending!(response.poll());
        assert_eq!(status_of(&endpoints, "a").in_flight, 0, "not sent yet");

        gates.set_free_slots(first, 1);
        assert!(response.is_woken(), "{first} has a free slot");
        assert_ready_ok!(response.poll());
        assert_eq!(net.count(first), 1);
        assert_eq!(gates.free_slots(first), 1, "the slot is free again");
    }
}

/// A busy endpoint may have a concurrency limit and a long stream. Its readiness does not report
/// the recovery of another endpoint. The request would wait for the whole stream, beside an idle
/// endpoint.
#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_moves_to_recovered_one() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    net.on("b", |n| if n == 0 { refusal("5") } else { ok() });
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("a", 0);
    assert_eq!(send_for_status(&service, get()).await, 429);

    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    advance(4999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "b has recovered");
    assert_ready_ok!(response.poll());
    assert_eq!(net.count("b"), 2);
}

/// Another request probes the endpoint after its cooldown.
#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_moves_after_successful_probe() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    net.on("b", |n| match n {
        0 => refusal("1").into(),
        _ => Reply::from(ok()).after(2 * SECOND),
    });
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.set_free_slots("a", 0);
    assert_eq!(send_for_status(&service, get()).await, 429);
    advance(SECOND).await;

    let probe = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    let waiting = tokio::spawn(service.clone().oneshot(get()));
    assert_eq!(probe.await.unwrap().unwrap().status(), 200);
    let waited = timeout(3 * SECOND, waiting)
        .await
        .expect("b has a free slot");
    assert_eq!(waited.unwrap().unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_wait_for_busy_endpoint() {
    let (net, gates) = (healthy_servers(&["a"]), Gates::default());
    let (service, endpoints) = gated_balancer(pool(&["a"]), &net, &gates);
    gates.set_free_slots("a", 0);
    let request = with_deadline(get(), 2 * SECOND);
    let mut response = task::spawn(service.clone().oneshot(request));
    assert_pending!(response.poll());
    sleep(1999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "the deadline has passed");
    let (class, _) = crate::support::expect_exhausted(assert_ready!(response.poll()));
    assert_eq!(class, Class::RateLimited, "a busy endpoint is not broken");
    assert_eq!(status_of(&endpoints, "a").health, 1.0);
}

#[tokio::test(start_paused = true)]
async fn cooling_endpoint_is_not_polled_for_readiness() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    net.on("a", |_| refusal("1"));
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    send_for_status(&service, get()).await;
    let asked = gates.ready_polls("a");
    assert_eq!(send_for_status(&service, get()).await, 200);
    send(&service, request_only_to("a"))
        .await
        .expect_err("the endpoint cools");
    assert_eq!(gates.ready_polls("a"), asked);
}

/// The request waited for two endpoints and was sent to one. It must leave the queue of the other.
#[tokio::test(start_paused = true)]
async fn sent_request_releases_readiness_of_other_candidates() {
    let net = healthy_servers(&["a", "b"]);
    net.on("a", |_| Reply::from(ok()).after(10 * SECOND));
    net.on("b", |_| Reply::from(ok()).after(SECOND));
    let layer = pool(&["a", "b"])
        .endpoint_layer(|_| tower::limit::ConcurrencyLimitLayer::new(1))
        .build()
        .expect("valid");
    let service = layer.layer(net.client());
    let tasks: Vec<_> = (0..4)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    sleep(5 * SECOND).await;
    assert_eq!(net.counts(["a", "b"]), [1, 3]);
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}
