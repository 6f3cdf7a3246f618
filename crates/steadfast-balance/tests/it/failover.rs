//! The endpoints that a request may still use after a failed attempt.

use steadfast_balance::{Credential, EndpointBalanceLayer};
use steadfast_core::Trail;
use steadfast_core::layer::{Next, RecordAttempts};
use tokio::time::{Instant, advance};

use crate::support::failover::failover_statuses;
use crate::support::{
    Events, Net, Reply, SECOND, answer, balancer, connection_refused, connection_reset, endpoint,
    expect_exhausted, get, get_with_trail, ok, pool, refusal, request_only_to, send,
    send_for_status, status_of,
};

#[tokio::test(start_paused = true)]
async fn too_large_request_moves_to_larger_context_only() {
    let net = Net::new();
    for name in ["a", "b", "d"] {
        net.on(name, |_| answer(413));
    }
    net.on("c", |_| ok());
    let builder = EndpointBalanceLayer::builder()
        .endpoints(["a", "b"].map(endpoint))
        .endpoint(endpoint("d").tier(1))
        .endpoint(endpoint("c").tier(2).larger_context(true));
    let (service, handle) = balancer(builder, &net);
    assert_eq!(failover_statuses(&service, get).await, [413, 200]);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [1, 0, 1, 0]);

    net.on("c", |_| answer(413));
    assert_eq!(
        failover_statuses(&service, get).await,
        [413, 413],
        "no other endpoint has a larger context"
    );
    assert!(status_of(&handle, "a").admissible);
}

#[tokio::test(start_paused = true)]
async fn rejected_credential_is_not_sent_to_other_endpoints() {
    let net = Net::new();
    for name in ["a", "b", "c", "d", "e"] {
        net.on(name, |_| answer(401));
    }
    let key = |text| Credential::bearer(text).expect("valid");
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("a").api_key(key("one")))
        .endpoint(endpoint("b").api_key(key("one")))
        .endpoint(endpoint("c"))
        .endpoint(endpoint("d"))
        .endpoint(endpoint("e").api_key(key("two")));
    let (service, _) = balancer(builder, &net);
    assert_eq!(failover_statuses(&service, get).await, [401; 3]);
    assert_eq!(net.counts(["a", "b", "c", "d", "e"]), [1, 0, 1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn caller_fault_is_not_repeated_elsewhere() {
    for code in [400, 404, 409, 422, 501] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        net.on("b", |_| ok());
        let (service, _) = balancer(pool(&["a", "b"]), &net);
        assert_eq!(failover_statuses(&service, get).await, [code]);
    }
}

/// A timeout between a retry layer and the balancer cancels the attempt below it. The cancellation
/// is no verdict on an endpoint, so the next attempt may go elsewhere.
#[tokio::test(start_paused = true)]
async fn cancelled_attempt_allows_failover() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    net.on("b", |_| ok());
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let cut = tokio::time::timeout(SECOND, send(&service, get_with_trail(&trail))).await;
    assert!(cut.is_err());
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 200);
    assert_eq!(trail.to_string(), "a: cancelled, b: success (200)");
}

/// The trail announced another endpoint, which is no longer admissible when the request arrives.
/// An immediate attempt at the first endpoint would be a retry without backoff.
#[tokio::test(start_paused = true)]
async fn vanished_failover_target_causes_no_immediate_retry() {
    let net = Net::new();
    net.on("a", |_| connection_refused());
    net.on("b", |_| refusal("7"));
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 0);
    assert_eq!(trail.take_next(), Some(Next::Now));
    assert_eq!(send_for_status(&service, request_only_to("b")).await, 429);

    expect_exhausted(send(&service, get_with_trail(&trail)).await);
    assert_eq!(net.count("a"), 1);
    assert_eq!(trail.take_next(), Some(Next::At(Instant::now())));
    // The backoff of the retry layer is over.
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 0);
    assert_eq!(net.count("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn events_follow_the_order_of_transitions() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("1") } else { ok() });
    net.on("b", |_| connection_reset());
    let events = Events::default();
    let (service, _) = balancer(pool(&["a", "b"]).observer(events.observer()), &net);
    for _ in 0..7 {
        failover_statuses(&service, get).await;
    }
    send_for_status(&service, get()).await;
    advance(SECOND).await;
    for _ in 0..4 {
        send_for_status(&service, get()).await;
    }
    assert_eq!(
        events.take(),
        [
            "a cools 1s rate_limited",
            "a to b rate_limited",
            "b open",
            "exhausted Some(1s)",
            "a is back"
        ]
    );
}
