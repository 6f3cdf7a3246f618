//! What a caller sees of a hedge layer over the balancer.

#[path = "../../steadfast-balance/tests/it/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use steadfast_core::layer::RecordAttempts;

use http::Request;
use proptest::prelude::{Just, Strategy as _, prop, prop_oneof, proptest};
use proptest::test_runner::Config;
use steadfast_balance::{
    Credential, EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer, PoolHandle, Strategy,
};
use steadfast_core::RoutingOptions;
use steadfast_core::{Attempt, BreakerState, Class, Next, RetryBudget, Trail, Verdict};
use steadfast_hedge::{CopyBody, Hedge, HedgeLayer};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use support::gate::{Gated, Gates, gated};
use support::{
    Body, Client, Events, Http, MS, Net, Reply, SECOND, answer, balance, endpoint, get, get_with,
    limited, of, ok, only, pool, post, reset, send, status, wishing, within,
};
use tokio::time::{Instant, advance, sleep};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, service_fn};

const DELAY: Duration = Duration::from_millis(100);

/// A layer that sends again after 100 ms, as often as it is asked to.
fn hedge() -> HedgeLayer {
    let layer = HedgeLayer::new().after(DELAY);
    layer.max_share(1.0).expect("valid")
}

/// A layer that sends again after the time in which 19 of 20 are answered.
fn hedge_at_p95() -> HedgeLayer {
    let layer = HedgeLayer::new().quantile(0.95).expect("valid");
    layer.max_share(1.0).expect("valid")
}

fn stack(
    layer: &HedgeLayer,
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (Hedge<EndpointBalance<Client>>, PoolHandle) {
    let (service, handle) = balance(builder, net);
    (layer.layer(service), handle)
}

fn gated_stack(
    layer: &HedgeLayer,
    names: &[&str],
    net: &Net,
) -> (Hedge<EndpointBalance<Gated<Client>>>, Gates) {
    let gates = Gates::default();
    let (service, _) = gated(pool(names), net, &gates);
    (layer.layer(service), gates)
}

/// Servers that answer after these times.
fn servers<const N: usize>(after: [(&str, Duration); N]) -> Net {
    let net = Net::new();
    for (name, wait) in after {
        net.on(name, move |_| Reply::from(ok()).after(wait));
    }
    net
}

fn in_flight(handle: &PoolHandle) -> Vec<u32> {
    handle
        .status()
        .iter()
        .map(|status| status.in_flight)
        .collect()
}

/// Lets the share of further attempts grow to all that can be saved, by requests that are dropped.
async fn save_up<S: Http>(service: &S, net: &Net) -> [usize; 3] {
    for _ in 0..20 {
        drop(task::spawn(service.clone().oneshot(post())).poll());
    }
    net.counts(["a", "b", "c"])
}

async fn took(work: impl Future<Output = u16>) -> (u16, Duration) {
    let start = Instant::now();
    (work.await, start.elapsed())
}

// ===== when it hedges =====

#[tokio::test(start_paused = true)]
async fn a_slow_request_goes_to_another_endpoint_after_its_time_and_not_before() {
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
        "the caller must be woken when the time has come"
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
async fn a_request_that_is_answered_in_time_is_sent_once() {
    let net = servers([("a", DELAY - MS), ("b", MS)]);
    let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
    assert_eq!(status(&service, get()).await, 200);
    sleep(SECOND).await;
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_time_is_the_live_percentile_once_there_are_enough_samples() {
    let net = servers([("b", MS)]);
    // Every 20th of the first hundred takes a second, and one more after them.
    net.on("a", |n| {
        Reply::from(ok()).after(if n % 20 == 19 { SECOND } else { 20 * MS })
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..100 {
        assert_eq!(status(&service, get()).await, 200);
    }
    assert_eq!(net.counts(["a", "b"]), [100, 0], "nothing was known yet");

    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 200);
    }
    assert_eq!(net.counts(["a", "b"]), [120, 1]);
    let after = net.sent("b")[0].at - net.sent("a")[119].at;
    assert!(
        after > 20 * MS && after <= 23 * MS,
        "{after:?}, which is p95"
    );
}

/// If an attempt that lost were left out, the next ones would look slow beside what remains.
#[tokio::test(start_paused = true)]
async fn hedging_does_not_make_the_percentile_shorter() {
    let net = servers([("b", MS)]);
    net.on("a", |n| {
        Reply::from(ok()).after(Duration::from_millis(n as u64 * 37 % 1_000))
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..5_000 {
        assert_eq!(status(&service, get()).await, 200);
    }
    let hedges = net.count("b");
    // What is above p95, less what it is rounded up by: a bucket of 16 ms.
    assert!((165..=245).contains(&hedges), "{hedges} of 4900");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_twice_that_must_not_be() {
    let keyed = |method: &str| {
        let mut request = support::request(method);
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
        (hedge(), support::request("PUT"), true),
        (hedge().hedge_non_idempotent(true), post(), true),
        (hedge().hedge_non_idempotent(false), post(), false),
        (searches(), post(), true),
        (hedge().safe_if(|_| false), get(), false),
    ] {
        let net = servers([("a", SECOND), ("b", MS)]);
        let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
        let what = format!("{request:?} {layer:?}");
        assert_eq!(status(&service, request).await, 200);
        assert_eq!(net.counts(["a", "b"]), [1, usize::from(hedged)], "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_bound_to_one_endpoint_is_not_hedged() {
    let net = servers([("a", SECOND), ("b", MS), ("c", MS)]);
    let events = Events::default();
    let builder = pool(&["a", "b", "c"]).observer(events.observer());
    let (service, _) = stack(&hedge(), builder, &net);
    for (wishes, expected) in [
        (RoutingOptions::new().only("a"), [1, 0, 0]),
        (RoutingOptions::new().only("a").only("c"), [2, 0, 1]),
        (RoutingOptions::new().exclude("b"), [3, 0, 2]),
    ] {
        assert_eq!(status(&service, wishing(wishes)).await, 200);
        assert_eq!(net.counts(["a", "b", "c"]), expected);
    }
    assert_eq!(
        events.take(),
        ["a and c after 100ms", "a and c after 100ms"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_whose_deadline_comes_first_is_not_hedged() {
    for (left, hedged) in [(DELAY, 0), (DELAY + MS, 1)] {
        let net = servers([("a", SECOND), ("b", MS)]);
        let (service, _) = stack(&hedge(), pool(&["a", "b"]), &net);
        assert_eq!(status(&service, within(get(), left)).await, 200);
        assert_eq!(net.count("b"), hedged, "{left:?}");
    }
}

/// The deadline may pass while a request waits for its turn.
#[tokio::test(start_paused = true)]
async fn no_second_attempt_begins_after_the_deadline() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.room("a", 0);
    gates.room("b", 0);
    let response = tokio::spawn(service.oneshot(within(get(), 120 * MS)));
    sleep(50 * MS).await;
    gates.room("a", 1);
    sleep(10 * MS).await;
    gates.room("b", 1);
    response.await.expect("no panic").expect("an answer");
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
}

// ===== where it goes =====

#[tokio::test(start_paused = true)]
async fn no_strategy_sends_both_attempts_to_the_same_endpoint() {
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
        let before = save_up(&service, &net).await;
        for n in 1..10 {
            assert_eq!(status(&service, get()).await, 200);
            let counts = net.counts(["a", "b", "c"]);
            assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [n; 3]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_higher_tier_takes_it_only_if_the_lower_one_has_no_other() {
    let net = servers([("a", SECOND), ("b", SECOND), ("c", MS)]);
    let builder = pool(&["a", "b"]).endpoint(endpoint("c").tier(1));
    let (service, _) = stack(&hedge().max_hedges(2), builder, &net);
    let before = save_up(&service, &net).await;
    let (_, took) = took(status(&service, get())).await;
    let counts = net.counts(["a", "b", "c"]);
    assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), [1; 3]);
    assert_eq!(took, 201 * MS);
}

/// It neither waits nor counts as a request that nobody could take.
#[tokio::test(start_paused = true)]
async fn without_another_endpoint_the_first_attempt_goes_on_undisturbed() {
    let net = servers([("a", 250 * MS)]);
    net.on("b", |_| limited("60"));
    let events = Events::default();
    let builder = pool(&["b", "a"]).observer(events.observer());
    let budget = RetryBudget::new(10);
    let (service, endpoints) = stack(&hedge().budget(budget.clone()), builder, &net);
    assert_eq!(status(&service, get()).await, 429);
    events.take();

    let trail = Trail::new();
    let (code, took) = took(status(&service, get_with(&trail))).await;
    assert_eq!((code, took), (200, 250 * MS));
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

/// The other endpoint may be back by then.
#[tokio::test(start_paused = true)]
async fn another_endpoint_is_looked_for_again_after_the_same_time() {
    let net = servers([("a", SECOND)]);
    net.on("b", |n| {
        if n == 0 {
            Reply::from(limited("0.35"))
        } else {
            Reply::from(ok())
        }
    });
    let (service, _) = stack(&hedge(), pool(&["b", "a"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    let (code, took) = took(status(&service, get())).await;
    assert_eq!((code, took), (200, 400 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_broken_pool_gives_its_last_resort_to_no_second_attempt() {
    let net = servers([("a", SECOND)]);
    net.on("b", |_| reset());
    let builder = pool(&["b", "a"]).when_exhausted(steadfast_balance::WhenExhausted::LeastBad);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    for _ in 0..7 {
        status(&service, only("b")).await;
    }
    assert_eq!(of(&endpoints, "b").breaker, BreakerState::Open);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [1, 7]);
}

/// Its time begins when it is sent. Another attempt would only make the queue longer.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_its_turn_is_not_hedged() {
    let net = servers([("a", 150 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.room("a", 0);
    gates.room("b", 0);
    let response = tokio::spawn(service.oneshot(get()));
    sleep(450 * MS).await;
    gates.room("a", 1);
    sleep(99 * MS).await;
    gates.room("b", 1);
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
    sleep(2 * MS).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1], "100 ms after it was sent");
    response.await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn a_busy_endpoint_is_not_waited_for() {
    let net = servers([("a", 350 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge(), &["a", "b"], &net);
    gates.room("b", 0);
    let response = tokio::spawn(service.oneshot(get()));
    sleep(150 * MS).await;
    gates.room("b", 1);
    sleep(45 * MS).await;
    assert_eq!(
        net.counts(["a", "b"]),
        [1, 0],
        "it left, and comes again after 100 ms"
    );
    sleep(10 * MS).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    response.await.expect("no panic").expect("an answer");
}

/// A layer in between may hold attempts back, so that they come to the balancer in another order.
#[tokio::test(start_paused = true)]
async fn attempts_that_overtake_each_other_are_told_apart() {
    let net = servers(["a", "b", "c"].map(|name| (name, 10 * SECOND)));
    let (balance, endpoints) = balance(pool(&["a", "b", "c"]), &net);
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
    let before = save_up(&service, &net).await;

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

// ===== the one that loses =====

#[tokio::test(start_paused = true)]
async fn the_loser_says_nothing_about_its_endpoint() {
    let net = servers([("a", 10 * SECOND), ("b", 5 * MS)]);
    let builder = pool(&["a", "b"]).abandoned_after(50 * MS);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 200);
    }
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    let a = of(&endpoints, "a");
    assert_eq!(
        (a.breaker, a.health, a.latency),
        (BreakerState::Closed, 1.0, None)
    );
    assert_eq!(of(&endpoints, "b").latency, Some(5 * MS));
    assert_eq!(trail.to_string(), "b: success (200), a: cancelled");
    assert_eq!(trail.failovers(), 0);
    assert_eq!(
        trail
            .attempts()
            .iter()
            .map(|it| it.hedge)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_loses_is_dropped_too() {
    let net = servers([("a", 120 * MS), ("b", SECOND)]);
    let builder = pool(&["a", "b"]).abandoned_after(5 * MS);
    let (service, endpoints) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    let (code, took) = took(status(&service, get_with(&trail))).await;
    assert_eq!((code, took, net.running("b")), (200, 120 * MS, 0));
    assert_eq!(
        (of(&endpoints, "b").health, in_flight(&endpoints)),
        (1.0, vec![0, 0])
    );
    assert_eq!(trail.to_string(), "a: success (200), b: cancelled");
}

/// Its caller left, which is not the same as a race that is decided.
#[tokio::test(start_paused = true)]
async fn a_request_that_its_caller_gives_up_may_still_count_as_a_timeout() {
    let net = servers([("a", 10 * SECOND), ("b", 10 * SECOND)]);
    let builder = pool(&["a", "b"]).abandoned_after(150 * MS);
    let (service, _) = stack(&hedge(), builder, &net);
    let trail = Trail::new();
    let mut response = task::spawn(service.oneshot(get_with(&trail)));
    assert_pending!(response.poll());
    advance(DELAY).await;
    assert_pending!(response.poll());
    advance(DELAY).await;
    drop(response);
    assert_eq!(trail.to_string(), "a: timeout, b: cancelled");
}

// ===== failures =====

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

// ===== what it costs =====

#[tokio::test(start_paused = true)]
async fn there_are_never_more_further_attempts_than_their_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let layer = hedge().max_share(0.05).expect("valid");
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for n in 1..=200 {
        assert_eq!(status(&service, get()).await, 200);
        assert_eq!(net.count("b"), n / 20, "after {n}");
    }
}

/// A request that had to wait for its share gets it soon after others have earned it.
#[tokio::test(start_paused = true)]
async fn a_share_that_is_missing_is_asked_for_again() {
    let net = Net::new();
    net.on("a", |n| {
        if n == 0 {
            Reply::never()
        } else {
            Reply::from(ok())
        }
    });
    net.on("b", |_| ok());
    let layer = hedge().max_share(0.5).expect("valid");
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    let response = tokio::spawn(service.clone().oneshot(get()));
    sleep(150 * MS).await;
    assert_eq!(net.counts(["a", "b"]), [1, 0], "half of an attempt is none");
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.count("b"), 0);
    // An eighth of the time, with which the timer is less than a millisecond late.
    sleep(14 * MS).await;
    assert_eq!(net.count("b"), 1);
    response.await.expect("no panic").expect("an answer");
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_cost_comes_back_if_it_wins() {
    for (a, b, left) in [(SECOND, MS, 10), (150 * MS, SECOND, 8)] {
        let net = servers([("a", a), ("b", b)]);
        let budget = RetryBudget::new(10);
        let (service, _) = stack(&hedge().budget(budget.clone()), pool(&["a", "b"]), &net);
        let mut response = task::spawn(service.oneshot(get()));
        assert_pending!(response.poll());
        assert_eq!(budget.available(), 10);
        advance(DELAY).await;
        assert_pending!(response.poll());
        assert_eq!(budget.available(), 8);
        response.await.expect("an answer");
        assert_eq!(budget.available(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_attempt_cost_is_spent_if_all_fail_or_the_caller_leaves() {
    let net = servers([("a", SECOND)]);
    net.on("b", |n| {
        if n == 0 {
            Reply::from(reset())
        } else {
            Reply::never()
        }
    });
    let budget = RetryBudget::new(4);
    let layer = hedge().budget(budget.clone());
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(budget.available(), 2);
    tokio::time::timeout(200 * MS, service.clone().oneshot(get()))
        .await
        .expect_err("it left");
    assert_eq!(budget.available(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_was_not_sent_costs_no_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let layer = hedge().max_share(0.5).expect("valid");
    let (service, endpoints) = stack(&layer, pool(&["a", "b"]), &net);
    endpoints.disable("b").expect("it is there");
    for _ in 0..2 {
        assert_eq!(status(&service, get()).await, 200);
    }
    endpoints.enable("b").expect("it is there");
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 1]);
}

/// With more endpoints there is no more than one further attempt, unless that is allowed.
#[tokio::test(start_paused = true)]
async fn a_request_has_no_more_further_attempts_than_it_may() {
    for (layer, expected) in [(hedge(), [1, 1, 0]), (hedge().max_hedges(0), [1, 0, 0])] {
        let net = servers([("a", 10 * SECOND), ("b", 10 * SECOND), ("c", 10 * SECOND)]);
        let (service, _) = stack(&layer, pool(&["a", "b", "c"]), &net);
        let before = save_up(&service, &net).await;
        assert_eq!(status(&service, get()).await, 200);
        let counts = net.counts(["a", "b", "c"]);
        assert_eq!([0, 1, 2].map(|at| counts[at] - before[at]), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn the_time_has_a_minimum() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let (service, _) = stack(&hedge().min_delay(300 * MS), pool(&["a", "b"]), &net);
    let (_, took) = took(status(&service, get())).await;
    assert_eq!(took, 301 * MS);
}

/// An endpoint that fails fast would make everything else look slow.
#[tokio::test(start_paused = true)]
async fn failures_are_not_measured() {
    let net = servers([("b", MS)]);
    net.on("a", |n| match n {
        0..150 => Reply::from(answer(404)),
        _ => Reply::from(ok()).after(20 * MS),
    });
    let layer = hedge_at_p95();
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..250 {
        status(&service, get()).await;
    }
    assert_eq!(net.counts(["a", "b"]), [250, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_a_turn_is_not_measured() {
    let net = servers([("a", 20 * MS), ("b", MS)]);
    let (service, gates) = gated_stack(&hedge_at_p95(), &["a", "b"], &net);
    gates.room("b", 0);
    for _ in 0..100 {
        gates.room("a", 0);
        let response = tokio::spawn(service.clone().oneshot(get()));
        sleep(SECOND).await;
        gates.room("a", 1);
        response.await.expect("no panic").expect("an answer");
    }
    gates.room("a", 1);
    gates.room("b", 1);
    net.on("a", |_| Reply::never());
    let (code, took) = took(status(&service, get())).await;
    assert_eq!(code, 200);
    assert!(took < 25 * MS, "{took:?}");
}

/// Whoever holds the future on after it has answered holds no attempt with it.
#[tokio::test(start_paused = true)]
async fn the_loser_is_dropped_with_the_answer_and_not_with_the_future() {
    for (a, b) in [(SECOND, MS), (110 * MS, SECOND)] {
        let net = servers([("a", a), ("b", b)]);
        let (mut service, endpoints) = stack(&hedge(), pool(&["a", "b"]), &net);
        let trail = Trail::new();
        let mut response = task::spawn(service.call(get_with(&trail)));
        for _ in 0..100 {
            if let Poll::Ready(answer) = response.poll() {
                drop(answer);
                break;
            }
            advance(10 * MS).await;
        }
        assert_eq!((net.running("a"), net.running("b")), (0, 0));
        assert_eq!((in_flight(&endpoints), trail.len()), (vec![0, 0], 2));
    }
}

/// Counts the copies that a layer makes.
fn counted(layer: HedgeLayer) -> (HedgeLayer<impl CopyBody<Body> + Clone>, Arc<AtomicUsize>) {
    let copies = Arc::new(AtomicUsize::new(0));
    let count = copies.clone();
    let layer = layer.copy_body(move |body: &Body| {
        count.fetch_add(1, Ordering::Relaxed);
        Some(body.clone())
    });
    (layer, copies)
}

/// One that could go nowhere else, or not in time, is not even copied.
#[tokio::test(start_paused = true)]
async fn nothing_is_copied_in_vain() {
    let none = || hedge().max_share(0.0).expect("valid");
    let late: fn() -> Request<Body> = || within(get(), DELAY);
    let bound: fn() -> Request<Body> = || only("a");
    for (layer, request, expected) in [
        (hedge(), bound, 0),
        (hedge(), late, 0),
        (hedge(), post, 0),
        (hedge().max_hedges(0), get, 0),
        (none(), get, 0),
        (hedge(), get, 1),
    ] {
        let (layer, copies) = counted(layer);
        let net = servers([("a", MS)]);
        let (service, _) = balance(pool(&["a"]), &net);
        assert_eq!(status(&layer.layer(service), request()).await, 200);
        assert_eq!(copies.load(Ordering::Relaxed), expected);
    }
}

/// What it would pay for its second attempt is there for others.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_its_turn_neither_pays_nor_is_copied() {
    let net = servers([("a", 150 * MS), ("b", MS)]);
    let budget = RetryBudget::new(2);
    let (layer, copies) = counted(hedge().budget(budget.clone()));
    let gates = Gates::default();
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.room("a", 0);
    gates.room("b", 0);
    let mut response = task::spawn(layer.layer(service).oneshot(get()));
    for _ in 0..9 {
        assert_pending!(response.poll());
        advance(DELAY / 2).await;
    }
    assert_eq!(copies.load(Ordering::Relaxed), 1);
    gates.room("a", 1);
    gates.room("b", 1);
    response.await.expect("an answer");
    assert_eq!((net.counts(["a", "b"]), budget.available()), ([1, 1], 2));
    assert_eq!(copies.load(Ordering::Relaxed), 2);
}

/// The share of an attempt that the budget does not pay for is there for another one.
#[tokio::test(start_paused = true)]
async fn an_attempt_without_a_budget_costs_no_share() {
    let net = servers([("a", SECOND), ("b", MS)]);
    let budget = RetryBudget::new(2);
    let all = budget.try_withdraw(2).expect("it is full");
    let layer = hedge()
        .budget(budget.clone())
        .max_share(0.5)
        .expect("valid");
    let (service, _) = stack(&layer, pool(&["a", "b"]), &net);
    for _ in 0..2 {
        assert_eq!(status(&service, get()).await, 200);
    }
    drop(all);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b"]), [3, 1]);
}

// ===== dropped at any time =====

#[derive(Clone, Copy, Debug)]
struct Course {
    a: u64,
    b: u64,
    codes: (u16, u16),
    dropped: u64,
}

fn course() -> impl proptest::strategy::Strategy<Value = Course> {
    let code = || prop_oneof![Just(200u16), Just(429), Just(500), Just(400), Just(0)];
    (0..400u64, 0..400u64, (code(), code()), 0..400u64).prop_map(|(a, b, codes, dropped)| Course {
        a,
        b,
        codes,
        dropped,
    })
}

async fn run(courses: Vec<Course>) {
    let reply = |code: u16, after: u64| {
        let reply = match code {
            0 => Reply::from(reset()),
            429 => Reply::from(limited("0")),
            code => Reply::from(answer(code)),
        };
        reply.after(Duration::from_millis(after))
    };
    let net = Net::new();
    let budget = RetryBudget::new(1_000_000);
    let layer = HedgeLayer::new().after(DELAY).budget(budget.clone());
    let layer = layer.max_share(0.5).expect("valid");
    let (service, endpoints) = stack(&layer, pool(&["a", "b"]), &net);
    for (n, course) in courses.into_iter().enumerate() {
        net.on("a", move |_| reply(course.codes.0, course.a));
        net.on("b", move |_| reply(course.codes.1, course.b));
        let limit = Duration::from_millis(course.dropped);
        drop(tokio::time::timeout(limit, service.clone().oneshot(get())).await);
        assert_eq!(in_flight(&endpoints), [0, 0], "{n}: {course:?}");
        assert_eq!((net.running("a"), net.running("b")), (0, 0));
        let spent = 1_000_000 - budget.available() as usize;
        assert!(spent <= 2 * (n + 1).div_ceil(2), "{spent} after {n}");
        let sent = net.count("a") + net.count("b");
        assert!(2 * sent <= 3 * (n + 1), "{sent} after {n}");
    }
    // Nobody is left in the queue, and no place after a cooldown is lost.
    advance(600 * SECOND).await;
    net.on("a", |_| ok());
    net.on("b", |_| ok());
    for name in ["a", "b"] {
        for _ in 0..5 {
            assert_eq!(status(&service, only(name)).await, 200, "{name}");
        }
    }
}

proptest! {
    #![proptest_config(Config::with_cases(64))]

    /// Whatever the endpoints answer, and whenever the caller leaves, all is given back.
    #[test]
    fn everything_is_given_back(courses in prop::collection::vec(course(), 1..30)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(run(courses));
    }
}
