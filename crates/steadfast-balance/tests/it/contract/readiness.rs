//! The balancer is always ready, and its future waits for the readiness of an endpoint.

use steadfast_balance::{EndpointBalance, EndpointBalanceLayer};
use steadfast_core::Class;
use tokio::time::{advance, sleep, timeout};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, ServiceExt};
use tower_test::mock;

use super::{healthy, make_ready};
use crate::support::gate::{Gates, gated};
use crate::support::ready::{Handle, Mock, calls_what_was_ready};
use crate::support::{
    MS, Net, Reply, SECOND, balance, get, limited, of, ok, only, pool, send, status, within,
};

#[tokio::test(start_paused = true)]
async fn ready_handle_takes_the_call() {
    let layer = pool(&["a"]).build().expect("valid");
    let (mut service, mut handle): (mock::Spawn<EndpointBalance<Mock>>, Handle) =
        mock::spawn_layer(layer);
    calls_what_was_ready(&mut service, &mut handle, get).await;
}

/// The endpoint depends on the request, so no endpoint is polled before the call.
#[tokio::test(start_paused = true)]
async fn poll_ready_always_reports_ready_and_reserves_nothing() {
    let (net, gates) = (healthy(&["a"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a"]), &net, &gates);
    gates.room("a", 1);
    for _ in 0..3 {
        make_ready(&service).await;
    }
    assert_eq!((gates.asked("a"), of(&endpoints, "a").in_flight), (0, 0));

    gates.room("a", 0);
    gates.fail("a", 1);
    make_ready(&service).await;
    assert_eq!(gates.asked("a"), 0);
}

/// The slot of the probe belongs to the next request. An idle handle sends none.
#[tokio::test(start_paused = true)]
async fn poll_ready_after_cooldown_takes_no_probe_slot() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("1") } else { ok() });
    let (service, _) = balance(pool(&["a"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    let _idle = make_ready(&service).await;
    assert_eq!(status(&service, get()).await, 200);
}

#[tokio::test(start_paused = true)]
async fn busy_endpoint_is_skipped() {
    let (net, gates) = (healthy(&["a", "b", "c"]), Gates::default());
    let endpoints = ["a", "b"].map(crate::support::endpoint);
    let builder = EndpointBalanceLayer::builder()
        .endpoints(endpoints)
        .endpoint(crate::support::endpoint("c").tier(1));
    let (service, _) = gated(builder, &net, &gates);

    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 200);
    gates.room("b", 0);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c"]), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn first_free_endpoint_wakes_the_request() {
    for first in ["a", "b"] {
        let (net, gates) = (healthy(&["a", "b"]), Gates::default());
        let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
        gates.room("a", 0);
        gates.room("b", 0);
        let mut response = task::spawn(service.clone().oneshot(get()));
        assert_pending!(response.poll());
        assert_eq!(of(&endpoints, "a").in_flight, 0, "it is not sent yet");

        gates.room(first, 1);
        assert!(response.is_woken(), "{first} has room");
        assert_ready_ok!(response.poll());
        assert_eq!(net.count(first), 1);
        assert_eq!(gates.free(first), 1, "nobody holds a place");
    }
}

/// A busy endpoint may have a concurrency limit and a long stream. Its readiness does not report
/// the recovery of another endpoint. The request would wait for the whole stream, beside an idle
/// endpoint.
#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_moves_to_recovered_one() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("b", |n| if n == 0 { limited("5") } else { ok() });
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 429);

    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    advance(4999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "b is back");
    assert_ready_ok!(response.poll());
    assert_eq!(net.count("b"), 2);
}

/// Another request probes the endpoint after its cooldown.
#[tokio::test(start_paused = true)]
async fn request_waiting_for_busy_endpoint_moves_after_successful_probe() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("b", |n| match n {
        0 => limited("1").into(),
        _ => Reply::from(ok()).after(2 * SECOND),
    });
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;

    let probe = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    let waiting = tokio::spawn(service.clone().oneshot(get()));
    assert_eq!(probe.await.unwrap().unwrap().status(), 200);
    let waited = timeout(3 * SECOND, waiting).await.expect("b has room");
    assert_eq!(waited.unwrap().unwrap().status(), 200);
    assert_eq!(net.counts(["a", "b"]), [0, 3]);
}

#[tokio::test(start_paused = true)]
async fn deadline_bounds_wait_for_busy_endpoint() {
    let (net, gates) = (healthy(&["a"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a"]), &net, &gates);
    gates.room("a", 0);
    let request = within(get(), 2 * SECOND);
    let mut response = task::spawn(service.clone().oneshot(request));
    assert_pending!(response.poll());
    sleep(1999 * MS).await;
    assert_pending!(response.poll());
    sleep(2 * MS).await;
    assert!(response.is_woken(), "its time is over");
    let (class, _) = crate::support::exhausted(assert_ready!(response.poll()));
    assert_eq!(class, Class::RateLimited, "busy, and not broken");
    assert_eq!(of(&endpoints, "a").health, 1.0);
}

#[tokio::test(start_paused = true)]
async fn cooling_endpoint_is_not_polled_for_readiness() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    net.on("a", |_| limited("1"));
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    status(&service, get()).await;
    let asked = gates.asked("a");
    assert_eq!(status(&service, get()).await, 200);
    send(&service, only("a")).await.expect_err("it cools");
    assert_eq!(gates.asked("a"), asked);
}

/// The request waited for two endpoints and was sent to one. It must leave the queue of the other.
#[tokio::test(start_paused = true)]
async fn sent_request_releases_readiness_of_other_candidates() {
    let net = healthy(&["a", "b"]);
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
