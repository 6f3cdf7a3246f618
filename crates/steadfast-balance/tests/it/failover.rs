//! The endpoints that a request may still use after a failed attempt.

use steadfast_balance::{Credential, EndpointBalanceLayer};
use steadfast_core::Trail;
use steadfast_core::layer::{Next, RecordAttempts};
use tokio::time::{Instant, advance};

use crate::support::failover::pass_on;
use crate::support::{
    Events, Net, Reply, SECOND, answer, balance, endpoint, exhausted, get, get_with, limited, of,
    ok, only, pool, refused, reset, send, status,
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
    let (service, handle) = balance(builder, &net);
    assert_eq!(pass_on(&service, get).await, [413, 200]);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [1, 0, 1, 0]);

    net.on("c", |_| answer(413));
    assert_eq!(pass_on(&service, get).await, [413, 413], "and no further");
    assert!(of(&handle, "a").admissible);
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
    let (service, _) = balance(builder, &net);
    assert_eq!(pass_on(&service, get).await, [401; 3]);
    assert_eq!(net.counts(["a", "b", "c", "d", "e"]), [1, 0, 1, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn caller_fault_is_not_repeated_elsewhere() {
    for code in [400, 404, 409, 422, 501] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        net.on("b", |_| ok());
        let (service, _) = balance(pool(&["a", "b"]), &net);
        assert_eq!(pass_on(&service, get).await, [code]);
    }
}

/// A timeout between a retry layer and the balancer cancels the attempt below it. The cancellation
/// is no verdict on an endpoint, so the next attempt may go elsewhere.
#[tokio::test(start_paused = true)]
async fn cancelled_attempt_allows_failover() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    net.on("b", |_| ok());
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let cut = tokio::time::timeout(SECOND, send(&service, get_with(&trail))).await;
    assert!(cut.is_err());
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    assert_eq!(trail.to_string(), "a: cancelled, b: success (200)");
}

/// The trail announced another endpoint, which is no longer admissible when the request arrives.
/// An immediate attempt at the first endpoint would be a retry without backoff.
#[tokio::test(start_paused = true)]
async fn vanished_failover_target_causes_no_immediate_retry() {
    let net = Net::new();
    net.on("a", |_| refused());
    net.on("b", |_| limited("7"));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let trail = Trail::new();
    assert_eq!(status(&service, get_with(&trail)).await, 0);
    assert_eq!(trail.take_next(), Some(Next::Now));
    assert_eq!(status(&service, only("b")).await, 429);

    exhausted(send(&service, get_with(&trail)).await);
    assert_eq!(net.count("a"), 1);
    assert_eq!(trail.take_next(), Some(Next::At(Instant::now())));
    // The retry layer has waited for its backoff.
    assert_eq!(status(&service, get_with(&trail)).await, 0);
    assert_eq!(net.count("a"), 2);
}

#[tokio::test(start_paused = true)]
async fn events_follow_the_order_of_transitions() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { limited("1") } else { ok() });
    net.on("b", |_| reset());
    let events = Events::default();
    let (service, _) = balance(pool(&["a", "b"]).observer(events.observer()), &net);
    for _ in 0..7 {
        pass_on(&service, get).await;
    }
    status(&service, get()).await;
    advance(SECOND).await;
    for _ in 0..4 {
        status(&service, get()).await;
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
