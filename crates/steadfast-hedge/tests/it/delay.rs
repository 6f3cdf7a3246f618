//! The time of a hedge, and the requests that get one.

use std::time::Duration;

use steadfast_core::RoutingOptions;
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::ServiceExt;

use crate::support::{
    DELAY, Events, MS, Reply, SECOND, gated_stack, get, hedge, hedge_at_p95, in_flight, ok, pool,
    post, request, request_with, send_for_status, servers, stack, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn slow_request_is_hedged_exactly_after_delay() {
    let net = servers([("a", 10 * SECOND), ("b", 5 * MS)]);
    let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
    let mut response = task::spawn(service.oneshot(get()));
    assert_pending!(response.poll());
    advance(99 * MS).await;
    assert_pending!(response.poll());
    assert_eq!(
        (net.counts(["a", "b"]), response.is_woken()),
        ([1, 0], false)
    );

    advance(MS).await;
    assert!(
        response.is_woken(),
        "the caller must be woken after the delay"
    );
    assert_pending!(response.poll());
    assert_eq!(
        (net.counts(["a", "b"]), in_flight(&endpoints)),
        ([1, 1], vec![1, 1])
    );

    advance(5 * MS).await;
    let response = assert_ready_ok!(response.poll());
    assert_eq!(
        (net.running("a"), in_flight(&endpoints)),
        (0, vec![0, 1]),
        "only its body"
    );
    drop(response);
    assert_eq!(in_flight(&endpoints), [0, 0]);
}

#[tokio::test(start_paused = true)]
async fn request_answered_in_time_is_sent_once() {
    let net = servers([("a", DELAY - MS), ("b", MS)]);
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 200);
    sleep(SECOND).await;
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn delay_is_measured_quantile_after_enough_samples() {
    let net = servers([("b", MS)]);
    // Every 20th answer takes a second.
    net.on("a", |n| {
        Reply::from(ok()).after(if n % 20 == 19 { SECOND } else { 20 * MS })
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..100 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.counts(["a", "b"]), [100, 0], "the quantile is unknown");

    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(net.counts(["a", "b"]), [120, 1]);
    let after = net.sent("b")[0].at - net.sent("a")[119].at;
    assert!(
        after > 20 * MS && after <= 23 * MS,
        "{after:?}, which is p95"
    );
}

/// Without the latencies of attempts that lost, the quantile would shrink with each hedge.
#[tokio::test(start_paused = true)]
async fn hedges_do_not_shorten_quantile() {
    let net = servers([("b", MS)]);
    net.on("a", |n| {
        Reply::from(ok()).after(Duration::from_millis(n as u64 * 37 % 1_000))
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..5_000 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    let hedges = net.count("b");
    // The share above p95, less the rounding of one bucket of 16 ms.
    assert!((165..=245).contains(&hedges), "{hedges} of 4900");
}

#[tokio::test(start_paused = true)]
async fn unsafe_request_is_not_hedged() {
    let keyed = |method: &str| {
        let mut request = request(method);
        request
            .headers_mut()
            .insert("idempotency-key", "1".parse().expect("valid"));
        request
    };
    let searches = || hedge().safe_if(|head| head.uri.path().ends_with("/chat"));
    for (layer, request, hedged) in [
        (hedge(), post(), false),
        (hedge(), keyed("POST"), true),
        (hedge(), keyed("PATCH"), true),
        (hedge(), request("PUT"), true),
        (hedge().hedge_non_idempotent(true), post(), true),
        (hedge().hedge_non_idempotent(false), post(), false),
        (searches(), post(), true),
        (hedge().safe_if(|_| false), get(), false),
    ] {
        let net = servers([("a", SECOND), ("b", MS)]);
        let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
        let what = format!("{request:?} {layer:?}");
        assert_eq!(send_for_status(&service, request).await, 200);
        assert_eq!(net.counts(["a", "b"]), [1, usize::from(hedged)], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn pinned_request_is_not_hedged() {
    let net = servers([("a", SECOND), ("b", MS), ("c", MS)]);
    let events = Events::default();
    let builder = pool(&["a", "b", "c"]).observer(events.observer());
    let (service, _) = stack(&hedge(), builder, &net);
    for (options, expected) in [
        (RoutingOptions::new().only("a"), [1, 0, 0]),
        (RoutingOptions::new().only("a").only("c"), [2, 0, 1]),
        (RoutingOptions::new().exclude("b"), [3, 0, 2]),
    ] {
        assert_eq!(send_for_status(&service, request_with(options)).await, 200);
        assert_eq!(net.counts(["a", "b", "c"]), expected);
    }
    assert_eq!(
        events.take(),
        ["a and c after 100ms", "a and c after 100ms"]
    );
}

#[tokio::test(start_paused = true)]
async fn request_with_deadline_before_delay_is_not_hedged() {
    for (left, hedged) in [(DELAY, 0), (DELAY + MS, 1)] {
        let net = servers([("a", SECOND), ("b", MS)]);
        let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
        assert_eq!(
            send_for_status(&service, with_deadline(get(), left)).await,
            200
        );
        assert_eq!(net.count("b"), hedged, "{left:?}");
    }
}

/// The deadline may pass while a request is queued.
#[tokio::test(start_paused = true)]
async fn no_hedge_starts_after_deadline() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.set_free_slots("a", 0);
    gates.set_free_slots("b", 0);
    let response = tokio::spawn(service.oneshot(with_deadline(get(), 120 * MS)));
    sleep(50 * MS).await;
    gates.set_free_slots("a", 1);
    sleep(10 * MS).await;
    gates.set_free_slots("b", 1);
    response.await.expect("no panic").expect("an answer");
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
}
