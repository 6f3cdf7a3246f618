//! Attempts that fail.

use std::time::Duration;

use steadfast_balance::{Credential, EndpointBalanceLayer};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Attempt, Class, Trail, Verdict};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tokio::time::Instant;
use tower::Layer;

use crate::support::{
    Body, Events, MS, Net, Reply, SECOND, answer, balancer, connection_reset, endpoint, get,
    get_with_trail, hedge, in_flight, ok, pool, refusal, save_up_share, send, send_for_status,
    servers, stack, status_of, timed,
};

#[tokio::test(start_paused = true)]
async fn failure_waits_for_other_attempt() {
    for (a, b) in [(150, 200), (200, 150)] {
        let net = Net::new();
        net.on("a", move |_| Reply::from(refusal("7")).after(a * MS));
        net.on("b", move |_| Reply::from(ok()).after((b - 100) * MS));
        let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
        let trail = Trail::new();
        let (code, took) = timed(send_for_status(&service, get_with_trail(&trail))).await;
        assert_eq!((code, took), (200, b * MS), "{a} {b}");
        assert_eq!(
            status_of(&endpoints, "a").admissible,
            a > b,
            "its refusal counts only if it arrived before the answer"
        );
        assert_eq!(in_flight(&endpoints), [0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn failed_hedge_leaves_first_attempt_running() {
    let net = servers([("a", 300 * MS)]);
    net.on("b", |_| answer(400));
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = timed(send_for_status(&service, get())).await;
    assert_eq!((code, took), (200, 300 * MS));
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
}

/// Other endpoints would return the same.
#[tokio::test(start_paused = true)]
async fn caller_fault_is_returned_at_once() {
    let net = servers([("b", SECOND)]);
    net.on("a", |_| Reply::from(answer(400)).after(150 * MS));
    let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = timed(send_for_status(&service, get())).await;
    assert_eq!(
        (code, took, in_flight(&endpoints)),
        (400, 150 * MS, vec![0, 0])
    );
}

#[tokio::test(start_paused = true)]
async fn failure_before_hedge_is_returned_at_once() {
    let net = servers([("b", MS)]);
    net.on("a", |_| answer(500));
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = timed(send_for_status(&service, get())).await;
    assert_eq!((code, took, net.count("b")), (500, Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn first_answer_is_returned_if_all_fail() {
    let reply = |code: u16| match code {
        0 => Reply::from(connection_reset()),
        code => Reply::from(answer(code)),
    };
    for (first, second, expected) in [(500, 503, 500), (0, 503, 503), (500, 0, 500), (0, 0, 0)] {
        for slower in [50, 250] {
            let net = Net::new();
            net.on("a", move |_| reply(first).after(200 * MS));
            net.on("b", move |_| reply(second).after(slower * MS));
            let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
            let trail = Trail::new();
            let code = send_for_status(&service, get_with_trail(&trail)).await;
            assert_eq!((code, trail.len()), (expected, 2), "{first} {second}");
            assert_eq!(in_flight(&endpoints), [0, 0]);
        }
    }
}

/// Both endpoints were tried, so the retry goes to the third.
#[tokio::test(start_paused = true)]
async fn retry_after_two_failures_excludes_both_endpoints() {
    for slower in [50, 250] {
        let net = servers([("c", MS)]);
        net.on("a", |_| Reply::from(answer(500)).after(200 * MS));
        net.on("b", move |_| Reply::from(answer(500)).after(slower * MS));
        let events = Events::default();
        let builder = pool(&["a", "b", "c"]).observer(events.observer());
        let (service, _) = balancer(builder, &net);
        let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
        let client = RetryOn429Layer::new()
            .random(|| 1.0)
            .layer(layer.layer(service));
        let (code, took) = timed(send_for_status(&client, get())).await;
        let last = (100 + slower).max(200);
        let ended = Duration::from_millis(u64::from(last) + 1);
        assert_eq!(
            (code, took, net.counts(["a", "b", "c"])),
            (200, ended, [1, 1, 1])
        );
        let last = if slower == 50 { "a" } else { "b" };
        let moved = format!("{last} to c server_error");
        assert_eq!(events.take(), ["a and b after 100ms", &moved]);
    }
}

/// The attempt that fails last is a hedge in the next tier.
#[tokio::test(start_paused = true)]
async fn answer_of_lowest_tier_is_returned_in_any_order() {
    let net = Net::new();
    net.on("a", |_| Reply::from(refusal("1000")).after(150 * MS));
    net.on("b", |_| Reply::from(answer(401)).after(60 * MS));
    net.on("c", |_| answer(401));
    let with_key = |name: &str| {
        let key = Credential::bearer(name).expect("valid");
        endpoint(name).api_key(key)
    };
    let builder = EndpointBalanceLayer::builder()
        .endpoint(with_key("a"))
        .endpoints(["b", "c"].map(|name| with_key(name).tier(1)));
    let (service, _) = balancer(builder, &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new().layer(layer.layer(service));
    assert_eq!(send_for_status(&client, get()).await, 429);
    assert_eq!(net.counts(["a", "b", "c"]), [1; 3]);
}

/// Both endpoints were tried, so none of them is a free move.
#[tokio::test(start_paused = true)]
async fn retry_without_untried_endpoint_repeats_tried_one() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(answer(500)).after(120 * MS),
        _ => Reply::from(ok()),
    });
    net.on("b", |_| Reply::from(answer(500)).after(50 * MS));
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new()
        .random(|| 1.0)
        .layer(layer.layer(service));
    let response = send(&client, get()).await.expect("an answer");
    let trail = Trail::of(response.extensions()).expect("several attempts");
    let expected = "a: server_error (500), b: server_error (500), a: success (200)";
    assert_eq!(trail.to_string(), expected);
}

/// A failed attempt no longer occupies its endpoint.
#[tokio::test(start_paused = true)]
async fn lone_endpoint_can_be_retried_after_failure() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { answer(500) } else { ok() });
    let (service, _) = balancer(pool(&["a"]), &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new().layer(layer.layer(service));
    assert_eq!(send_for_status(&client, get()).await, 200);
}

/// A retry can return to the endpoint after a backoff. A hedge has no backoff.
#[tokio::test(start_paused = true)]
async fn hedge_avoids_endpoint_of_earlier_failure() {
    let net = servers([("a", MS), ("b", SECOND)]);
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let mut failed = Attempt::new(Instant::now(), Verdict::new(Class::Transport));
    failed.endpoint = Some("a".into());
    trail.record(failed);
    trail.set_next(Next::At(Instant::now()));
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}

/// The request has no trail, and a hedge has no backoff.
#[tokio::test(start_paused = true)]
async fn second_hedge_avoids_endpoint_of_failed_hedge() {
    let net = servers(["a", "c"].map(|name| (name, 10 * SECOND)));
    net.on("b", |_| answer(500));
    let (service, _) = stack(&hedge().max_hedges(2), pool(&["a", "b", "c"]), &net);
    let before = save_up_share(&service, &net).await;
    assert_eq!(send_for_status(&service, get()).await, 200);
    let counts = net.counts(["a", "b", "c"]);
    assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [1; 3]);
}

/// The attempt group contains the endpoints of the outer pool only.
#[tokio::test(start_paused = true)]
async fn inner_balancer_can_send_both_attempts_to_one_endpoint() {
    let net = Net::new();
    net.on("x", |n| {
        Reply::from(ok()).after(if n == 0 { SECOND } else { MS })
    });
    let inner = pool(&["x"]).build().expect("valid");
    let outer = pool(&["a", "b"]).endpoint_layer(move |_| inner.clone());
    let service = outer.build().expect("valid").layer(net.client());
    let (code, took) = timed(send_for_status(&hedge().layer(service), get())).await;
    assert_eq!((code, took, net.count("x")), (200, 101 * MS, 2));
}
