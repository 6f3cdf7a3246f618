//! Attempts that fail.

use std::time::Duration;

use steadfast_balance::{Credential, EndpointBalanceLayer};
use steadfast_core::layer::{Next, RecordAttempts};
use steadfast_core::{Attempt, Class, Trail, Verdict};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tokio::time::Instant;
use tower::Layer;

use crate::support::{
    Body, Events, MS, Net, Reply, SECOND, answer, balance, endpoint, get, get_with, hedge,
    in_flight, limited, of, ok, pool, reset, save_up, send, servers, stack, status, took,
};

#[tokio::test(start_paused = true)]
async fn a_failure_waits_for_the_other_attempt() {
    for (a, b) in [(150, 200), (200, 150)] {
        let net = Net::new();
        net.on("a", move |_| Reply::from(limited("7")).after(a * MS));
        net.on("b", move |_| Reply::from(ok()).after((b - 100) * MS));
        let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
        let trail = Trail::new();
        let (code, took) = took(status(&service, get_with(&trail))).await;
        assert_eq!((code, took), (200, b * MS), "{a} {b}");
        assert_eq!(
            of(&endpoints, "a").admissible,
            a > b,
            "it refused, or was not heard"
        );
        assert_eq!(in_flight(&endpoints), [0, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_fails_leaves_the_first_alone() {
    let net = servers([("a", 300 * MS)]);
    net.on("b", |_| answer(400));
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = took(status(&service, get())).await;
    assert_eq!((code, took), (200, 300 * MS));
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
}

/// Other endpoints would say the same.
#[tokio::test(start_paused = true)]
async fn a_fault_of_the_caller_is_returned_at_once() {
    let net = servers([("b", SECOND)]);
    net.on("a", |_| Reply::from(answer(400)).after(150 * MS));
    let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = took(status(&service, get())).await;
    assert_eq!(
        (code, took, in_flight(&endpoints)),
        (400, 150 * MS, vec![0, 0])
    );
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_second_attempt_is_returned_at_once() {
    let net = servers([("b", MS)]);
    net.on("a", |_| answer(500));
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let (code, took) = took(status(&service, get())).await;
    assert_eq!((code, took, net.count("b")), (500, Duration::ZERO, 0));
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_the_first_one_counts_but_an_answer_before_an_error() {
    let reply = |code: u16| match code {
        0 => Reply::from(reset()),
        code => Reply::from(answer(code)),
    };
    for (first, second, expected) in [(500, 503, 500), (0, 503, 503), (500, 0, 500), (0, 0, 0)] {
        for slower in [50, 250] {
            let net = Net::new();
            net.on("a", move |_| reply(first).after(200 * MS));
            net.on("b", move |_| reply(second).after(slower * MS));
            let (service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
            let trail = Trail::new();
            let code = status(&service, get_with(&trail)).await;
            assert_eq!((code, trail.len()), (expected, 2), "{first} {second}");
            assert_eq!(in_flight(&endpoints), [0, 0]);
        }
    }
}

/// Both endpoints are tried, so the retry layer goes on to the third and not back.
#[tokio::test(start_paused = true)]
async fn a_retry_after_both_failed_knows_both() {
    for slower in [50, 250] {
        let net = servers([("c", MS)]);
        net.on("a", |_| Reply::from(answer(500)).after(200 * MS));
        net.on("b", move |_| Reply::from(answer(500)).after(slower * MS));
        let events = Events::default();
        let builder = pool(&["a", "b", "c"]).observer(events.observer());
        let (service, _) = balance(builder, &net);
        let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
        let client = RetryOn429Layer::new()
            .random(|| 1.0)
            .layer(layer.layer(service));
        let (code, took) = took(status(&client, get())).await;
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

/// The last to fail was another attempt, of a later tier.
#[tokio::test(start_paused = true)]
async fn the_answer_of_the_lowest_tier_is_returned_whichever_attempt_ended_last() {
    let net = Net::new();
    net.on("a", |_| Reply::from(limited("1000")).after(150 * MS));
    net.on("b", |_| Reply::from(answer(401)).after(60 * MS));
    net.on("c", |_| answer(401));
    let with_key = |name: &str| {
        let key = Credential::bearer(name).expect("valid");
        endpoint(name).api_key(key)
    };
    let builder = EndpointBalanceLayer::builder()
        .endpoint(with_key("a"))
        .endpoints(["b", "c"].map(|name| with_key(name).tier(1)));
    let (service, _) = balance(builder, &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new().layer(layer.layer(service));
    assert_eq!(status(&client, get()).await, 429);
    assert_eq!(net.counts(["a", "b", "c"]), [1; 3]);
}

/// The first attempt's endpoint is not the way out for a request whose other attempt is there.
#[tokio::test(start_paused = true)]
async fn with_nowhere_else_to_go_a_retry_waits_for_what_was_tried() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => Reply::from(answer(500)).after(120 * MS),
        _ => Reply::from(ok()),
    });
    net.on("b", |_| Reply::from(answer(500)).after(50 * MS));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new()
        .random(|| 1.0)
        .layer(layer.layer(service));
    let response = send(&client, get()).await.expect("an answer");
    let trail = Trail::of(response.extensions()).expect("several attempts");
    let expected = "a: server_error (500), b: server_error (500), a: success (200)";
    assert_eq!(trail.to_string(), expected);
}

/// An endpoint that was alone is not under way any more once it has failed.
#[tokio::test(start_paused = true)]
async fn the_same_endpoint_may_be_asked_again_by_a_retry() {
    let net = Net::new();
    net.on("a", |n| if n == 0 { answer(500) } else { ok() });
    let (service, _) = balance(pool(&["a"]), &net);
    let layer = hedge().copy_body(ReplayBody::<Body>::try_clone);
    let client = RetryOn429Layer::new().layer(layer.layer(service));
    assert_eq!(status(&client, get()).await, 200);
}

/// A retry may, after a backoff. A hedge comes after none.
#[tokio::test(start_paused = true)]
async fn a_second_attempt_does_not_go_back_to_an_endpoint_that_failed() {
    let net = servers([("a", MS), ("b", SECOND)]);
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    let trail = Trail::new();
    let mut failed = Attempt::new(Instant::now(), Verdict::new(Class::Transport));
    failed.endpoint = Some("a".into());
    trail.record(failed);
    trail.set_next(Next::At(Instant::now()));
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
}

/// Nobody keeps a record of the request here, and the hedge comes without a backoff.
#[tokio::test(start_paused = true)]
async fn a_further_attempt_goes_nowhere_where_one_has_failed() {
    let net = servers(["a", "c"].map(|name| (name, 10 * SECOND)));
    net.on("b", |_| answer(500));
    let (service, _) = stack(&hedge().max_hedges(2), pool(&["a", "b", "c"]), &net);
    let before = save_up(&service, &net).await;
    assert_eq!(status(&service, get()).await, 200);
    let counts = net.counts(["a", "b", "c"]);
    assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [1; 3]);
}

/// Which endpoints are taken is known of the outer pool. The inner one has others, or the same.
#[tokio::test(start_paused = true)]
async fn a_balancer_further_in_may_send_both_attempts_to_one_endpoint() {
    let net = Net::new();
    net.on("x", |n| {
        Reply::from(ok()).after(if n == 0 { SECOND } else { MS })
    });
    let inner = pool(&["x"]).build().expect("valid");
    let outer = pool(&["a", "b"]).endpoint_layer(move |_| inner.clone());
    let service = outer.build().expect("valid").layer(net.client());
    let (code, took) = took(status(&hedge().layer(service), get())).await;
    assert_eq!((code, took, net.count("x")), (200, 101 * MS, 2));
}
