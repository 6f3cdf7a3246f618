//! A higher tier serves only if no endpoint of a lower tier can.

use steadfast_balance::{EndpointBalanceLayer, Strategy};
use tokio::time::{advance, sleep};
use tower::ServiceExt;

use super::{all_healthy, retrying_stack, trail_text, two_tiers};
use crate::support::failover::failover_statuses;
use crate::support::{
    Events, Net, Reply, SECOND, answer, balancer, endpoint, get, ok, refusal, send, send_for_status,
};

#[tokio::test(start_paused = true)]
async fn next_tier_serves_while_lower_tier_has_no_admissible_endpoint() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { refusal("1") } else { ok() });
    net.on("b", |n| if n == 0 { refusal("2") } else { ok() });
    net.on("c", |_| ok());
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(7))
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b"));
    let (service, _) = balancer(builder, &net);
    for (expected, counts) in [
        (429, [1, 0, 0]),
        (429, [1, 1, 0]),
        (200, [1, 1, 1]),
        (200, [1, 1, 2]),
    ] {
        assert_eq!(send_for_status(&service, get()).await, expected);
        assert_eq!(net.counts(["a", "b", "c"]), counts);
    }
    advance(SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c"]), [2, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn high_load_stays_in_the_lowest_tier() {
    for strategy in [Strategy::Failover, Strategy::LeastLoaded, Strategy::Scored] {
        let net = Net::new();
        net.on("a", |_| Reply::from(ok()).after(SECOND));
        net.on("b", |_| ok());
        let builder = EndpointBalanceLayer::builder()
            .endpoint(endpoint("b").tier(1))
            .endpoint(endpoint("a"))
            .strategy(strategy);
        let (service, _) = balancer(builder, &net);
        for _ in 0..20 {
            tokio::spawn(service.clone().oneshot(get()));
        }
        sleep(2 * SECOND).await;
        assert_eq!(net.counts(["a", "b"]), [20, 0], "{strategy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failover_visits_each_endpoint_once_in_tier_order() {
    let net = Net::new();
    for name in ["a", "b", "c", "d"] {
        net.on(name, |_| refusal("60"));
    }
    let builder = EndpointBalanceLayer::builder()
        .endpoint(endpoint("c").tier(1))
        .endpoint(endpoint("a"))
        .endpoint(endpoint("d").tier(2))
        .endpoint(endpoint("b"));
    let events = Events::default();
    let (service, _) = balancer(builder.observer(events.observer()), &net);
    assert_eq!(failover_statuses(&service, get).await, [429; 4]);
    assert_eq!(
        events.take(),
        [
            "a cools 60s rate_limited",
            "a to b rate_limited",
            "b cools 60s rate_limited",
            "b to c rate_limited",
            "c cools 60s rate_limited",
            "c to d rate_limited",
            "d cools 60s rate_limited",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn untried_endpoint_of_same_tier_precedes_next_tier() {
    let net = Net::new();
    all_healthy(&net);
    for first in [refusal("9"), answer(500), answer(503)] {
        let code = first.status();
        let first = std::sync::Mutex::new(Some(first));
        net.on("a", move |_| first.lock().unwrap().take().expect("once"));
        // In the configuration, `c` precedes `b`.
        let (retrying, ..) = retrying_stack(two_tiers(&["c", "a", "b"]), &net);
        let answer = send(&retrying, get()).await;
        assert!(
            trail_text(&answer).contains(", b: success"),
            "{code} {answer:?}"
        );
    }
    assert_eq!(net.counts(["a", "b", "c"]), [3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn cooling_or_disabled_endpoints_leave_requests_to_next_tier() {
    let net = Net::new();
    all_healthy(&net);
    let (_, service, handle) = retrying_stack(two_tiers(&["a", "b", "c", "d"]), &net);
    handle.cool("a", 2 * SECOND).unwrap();
    assert_eq!(send_for_status(&service, get()).await, 200);
    handle.disable("b").unwrap();
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [0, 1, 1, 0]);
    sleep(2 * SECOND).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [1, 1, 1, 0]);
}
