//! The endpoint of a hedge.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::Request;
use steadfast_balance::Strategy;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BreakerState, LimitKey, RetryBudget, Trail};
use tokio::time::{advance, sleep};
use tokio_test::{assert_pending, task};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::{
    Body, Events, MS, Net, Reply, SECOND, balancer, connection_reset, endpoint, gated_stack, get,
    get_with_trail, hedge, in_flight, ok, pool, refusal, request_only_to, save_up_share,
    send_for_status, servers, stack, status_of, timed,
};

#[tokio::test(start_paused = true)]
async fn every_strategy_sends_attempts_to_different_endpoints() {
    for strategy in [
        Strategy::Failover,
        Strategy::RoundRobin,
        Strategy::LeastLoaded,
    ] {
        let net = Net::new();
        for name in ["a", "b", "c"] {
            net.on(name, |_| Reply::from(ok()).after(SECOND));
        }
        let builder = pool(&["a", "b", "c"]).strategy(strategy);
        let (service, _) = stack(&hedge().max_hedges(2), builder, &net);
        let before = save_up_share(&service, &net).await;
        for n in 1..10 {
            assert_eq!(send_for_status(&service, get()).await, 200);
            let counts = net.counts(["a", "b", "c"]);
            assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [n; 3]);
        }
        // A retry layer starts no rescue beside it.
        let trail = Trail::new();
        send_for_status(&service, get_with_trail(&trail)).await;
        assert!(trail.is_hedged(), "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn hedge_uses_next_tier_only_if_lower_tier_is_used_up() {
    let net = servers([("a", SECOND), ("b", SECOND), ("c", MS)]);
    let builder = pool(&["a", "b"]).endpoint(endpoint("c").tier(1));
    let (service, _) = stack(&hedge().max_hedges(2), builder, &net);
    let before = save_up_share(&service, &net).await;
    let (_, took) = timed(send_for_status(&service, get())).await;
    let counts = net.counts(["a", "b", "c"]);
    assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [1; 3]);
    assert_eq!(took, 201 * MS);
}

/// The hedge neither waits nor counts as an exhausted request.
#[tokio::test(start_paused = true)]
async fn missing_endpoint_leaves_first_attempt_unchanged() {
    let net = servers([("a", 250 * MS)]);
    net.on("b", |_| refusal("60"));
    let events = Events::default();
    let builder = pool(&["b", "a"]).observer(events.observer());
    let budget = RetryBudget::new(10);
    let (service, endpoints) = stack(&hedge().budget(budget.clone()), builder, &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    events.take();

    let trail = Trail::new();
    let (code, took) = timed(send_for_status(&service, get_with_trail(&trail))).await;
    assert_eq!((code, took), (200, 250 * MS));
    assert!(!trail.is_hedged());
    assert_eq!(events.take(), [""; 0]);
    assert_eq!(
        (budget.available(), trail.to_string()),
        (10, "a: success (200)".into())
    );
    assert_eq!(
        (trail.take_next(), in_flight(&endpoints)),
        (None, vec![0, 0])
    );
}

/// The other endpoint may have recovered meanwhile.
#[tokio::test(start_paused = true)]
async fn missing_endpoint_is_checked_again_after_delay() {
    let net = servers([("a", SECOND)]);
    net.on("b", |n| {
        if n == 0 {
            Reply::from(refusal("0.35"))
        } else {
            Reply::from(ok())
        }
    });
    let (service, _) = stack(&hedge(), pool(&["b", "a"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    let (code, took) = timed(send_for_status(&service, get())).await;
    assert_eq!((code, took), (200, 400 * MS));
}

#[tokio::test(start_paused = true)]
async fn least_bad_endpoint_gets_no_hedge() {
    let net = servers([("a", SECOND)]);
    net.on("b", |_| connection_reset());
    let builder = pool(&["b", "a"]).when_exhausted(steadfast_balance::WhenExhausted::LeastBad);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    for _ in 0..7 {
        send_for_status(&service, request_only_to("b")).await;
    }
    assert_eq!(status_of(&endpoints, "b").breaker, BreakerState::Open);
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [1, 7]);
}

/// The delay starts when the request is sent. A hedge would only lengthen the queue.
#[tokio::test(start_paused = true)]
async fn queued_request_is_not_hedged() {
    let net = servers([("a", 150 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.set_free_slots("a", 0);
    gates.set_free_slots("b", 0);
    let response = tokio::spawn(service.oneshot(get()));
    sleep(450 * MS).await;
    gates.set_free_slots("a", 1);
    sleep(99 * MS).await;
    gates.set_free_slots("b", 1);
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
    sleep(2 * MS).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1], "100 ms after it was sent");
    response.await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn busy_endpoint_is_skipped() {
    let net = servers([("a", 350 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.set_free_slots("b", 0);
    let response = tokio::spawn(service.oneshot(get()));
    sleep(150 * MS).await;
    gates.set_free_slots("b", 1);
    sleep(45 * MS).await;
    assert_eq!(
        net.counts(["a", "b"]),
        [1, 0],
        "the next check follows after 100 ms"
    );
    sleep(10 * MS).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    response.await.expect("no panic").expect("an answer");
}

/// A layer between may delay attempts, so that they reach the balancer in another order.
#[tokio::test(start_paused = true)]
async fn attempts_in_other_order_are_distinguished() {
    let net = servers(["a", "b", "c"].map(|name| (name, 10 * SECOND)));
    let (balance, endpoints) = balancer(pool(&["a", "b", "c"]), &net);
    endpoints.disable("c").expect("it is there");
    let gets = Arc::new(AtomicUsize::new(0));
    let held = service_fn(move |request: Request<Body>| {
        let is_second = request.method() == "GET" && gets.fetch_add(1, Ordering::Relaxed) == 1;
        let balance = balance.clone();
        Box::pin(async move {
            if is_second {
                sleep(150 * MS).await;
            }
            balance.oneshot(request).await
        })
    });
    let budget = RetryBudget::new(10);
    let service = hedge().max_hedges(3).budget(budget.clone()).layer(held);
    let before = save_up_share(&service, &net).await;

    let mut response = task::spawn(service.oneshot(get()));
    for (enabled, expected, left) in [(false, [1, 1, 0], 8), (true, [1, 1, 1], 6)] {
        if enabled {
            endpoints.enable("c").expect("it is there");
        }
        for _ in 0..6 {
            assert_pending!(response.poll());
            advance(50 * MS).await;
        }
        let counts = net.counts(["a", "b", "c"]);
        assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), expected);
        assert_eq!(budget.available(), left);
    }
}

/// A hedge uses an endpoint that is limited for another model only.
#[tokio::test(start_paused = true)]
async fn limit_of_other_key_leaves_hedge_possible() {
    for (key, hedges) in [("limited", 0), ("other", 1)] {
        let net = servers([("a", SECOND), ("b", MS), ("c", MS)]);
        let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
        let before = save_up_share(&service, &net).await;
        let limit = LimitKey::new("limited");
        endpoints.cool_key("b", &limit, 600 * SECOND).unwrap();
        let mut request = get();
        request.extensions_mut().insert(LimitKey::new(key));
        let (code, took) = timed(send_for_status(&service, request)).await;
        assert_eq!(code, 200);
        let counts = net.counts(["a", "b"]);
        assert_eq!(
            [counts[0] - before[0], counts[1] - before[1]],
            [1, hedges],
            "{key}"
        );
        assert_eq!(took < SECOND, hedges == 1, "{key}: {took:?}");
    }
}
