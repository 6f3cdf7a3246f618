//! When a request goes to an endpoint of a higher tier, and when it does not yet.

use std::time::Duration;

use http::Response;
use steadfast_balance::{EndpointBalance, EndpointBalanceBuilder, EndpointBalanceLayer};
use steadfast_balance::{PoolHandle, WhenExhausted};
use steadfast_core::{BoxError, Class, RetryBudget, Trail};
use steadfast_retry::{RetryOn429, RetryOn429Layer};
use tokio::time::{Instant, advance, sleep};
use tower::{Layer, ServiceExt};

use crate::support::{
    Client, MS, Net, Polls, Reply, SECOND, answer, balance, endpoint, exhausted, get, limited, of,
    ok, only, post, send, status, with, within,
};

type Balancer = EndpointBalance<Client>;

/// `a` and `b` are of the first tier, `c` and `d` of the second.
fn tiers(names: &[&str]) -> EndpointBalanceBuilder {
    let tier = |name: &str| u16::from(matches!(name, "c" | "d"));
    let endpoints = names.iter().map(|name| endpoint(name).tier(tier(name)));
    EndpointBalanceLayer::builder().endpoints(endpoints)
}

fn stack(
    builder: EndpointBalanceBuilder,
    net: &Net,
) -> (RetryOn429<Balancer>, Balancer, PoolHandle) {
    let (service, handle) = balance(builder, net);
    let retry = RetryOn429Layer::new().random(|| 1.0);
    (retry.layer(service.clone()), service, handle)
}

fn all_well(net: &Net) {
    for name in ["a", "b", "c", "d"] {
        net.on(name, |_| ok());
    }
}

/// Where a request was, and with what result.
fn trail<B>(answer: &Result<Response<B>, BoxError>) -> String {
    let response = answer.as_ref().expect("an answer");
    let trail = Trail::of(response.extensions());
    trail.map(ToString::to_string).unwrap_or_default()
}

// ===== the same tier first =====

#[tokio::test(start_paused = true)]
async fn an_untried_endpoint_of_the_same_tier_comes_before_the_next_tier() {
    let net = Net::new();
    all_well(&net);
    for first in [limited("9"), answer(500), answer(503)] {
        let code = first.status();
        let first = std::sync::Mutex::new(Some(first));
        net.on("a", move |_| first.lock().unwrap().take().expect("once"));
        // In the order of the configuration, `c` comes before `b`.
        let (retrying, ..) = stack(tiers(&["c", "a", "b"]), &net);
        let answer = send(&retrying, get()).await;
        assert!(trail(&answer).contains(", b: success"), "{code} {answer:?}");
    }
    assert_eq!(net.counts(["a", "b", "c"]), [3, 3, 0]);
}

#[tokio::test(start_paused = true)]
async fn the_next_tier_is_used_while_the_first_one_is_not_there() {
    let net = Net::new();
    all_well(&net);
    let (_, service, handle) = stack(tiers(&["a", "b", "c", "d"]), &net);
    handle.cool("a", 2 * SECOND).unwrap();
    assert_eq!(status(&service, get()).await, 200);
    handle.disable("b").unwrap();
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [0, 1, 1, 0]);
    sleep(2 * SECOND).await;
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.counts(["a", "b", "c", "d"]), [1, 1, 1, 0]);
}

// ===== rather wait than degrade =====

#[tokio::test(start_paused = true)]
async fn without_a_preference_nobody_waits_while_a_higher_tier_is_free() {
    let net = Net::new();
    all_well(&net);
    let (_, service, handle) = stack(tiers(&["a", "c"]), &net);
    handle.cool("a", 10 * MS).unwrap();
    let start = Instant::now();
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(net.counts(["a", "c"]), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_short_limit_is_waited_out_and_a_longer_one_is_not() {
    for (cools, expected, waits) in [
        (1500 * MS, [1, 0], 1500 * MS),
        (1501 * MS, [0, 1], Duration::ZERO),
    ] {
        let net = Net::new();
        all_well(&net);
        let builder = tiers(&["a", "c"]).prefer_wait_below(1500 * MS);
        let (_, service, handle) = stack(builder, &net);
        handle.cool("a", cools).unwrap();
        let (polls, start) = (Polls::default(), Instant::now());
        let answer = polls.count(send(&service, get())).await;
        assert_eq!(answer.expect("an answer").status(), 200);
        assert_eq!(start.elapsed(), waits);
        assert_eq!(net.counts(["a", "c"]), expected, "{cools:?}");
        assert!(polls.get() <= 4, "{} polls", polls.get());
        assert_eq!(handle.waiting(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn who_was_refused_with_a_short_hint_waits_that_out_too() {
    for deadline in [None, Some(20 * SECOND)] {
        let net = Net::new();
        all_well(&net);
        net.on("a", |n| if n == 0 { limited("1") } else { ok() });
        let builder = tiers(&["a", "c"]).prefer_wait_below(2 * SECOND);
        let (retrying, _, handle) = stack(builder, &net);
        let mut request = post();
        if let Some(deadline) = deadline {
            request = within(request, deadline);
        }
        let start = Instant::now();
        let answer = send(&retrying, request).await;
        assert_eq!(trail(&answer), "a: rate_limited (429), a: success (200)");
        assert!(start.elapsed() >= SECOND, "{:?}", start.elapsed());
        assert!(start.elapsed() <= 2 * SECOND, "{:?}", start.elapsed());
        assert_eq!(net.counts(["a", "c"]), [2, 0]);
        assert_eq!(handle.waiting(), 0);
    }
}

/// The bound is for all the waits of a request, from its first attempt on.
#[tokio::test(start_paused = true)]
async fn all_waits_together_keep_to_the_bound() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| limited("1"));
    let builder = tiers(&["a", "c"]).prefer_wait_below(1500 * MS);
    let (retrying, _, handle) = stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, within(post(), 20 * SECOND)).await;
    let trail = trail(&answer);
    assert!(trail.ends_with("c: success (200)"), "{trail}");
    assert!(start.elapsed() <= 1500 * MS, "{:?}", start.elapsed());
    assert!(net.count("a") <= 2, "{trail}");
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_limit_that_gets_longer_meanwhile_is_not_waited_out() {
    let net = Net::new();
    all_well(&net);
    let builder = tiers(&["a", "c"])
        .prefer_wait_below(SECOND)
        .when_exhausted(WhenExhausted::Wait);
    for other_is_free in [true, false] {
        let (_, service, handle) = stack(builder.clone(), &net);
        let before = net.counts(["a", "c"]);
        handle.cool("a", 900 * MS).unwrap();
        if !other_is_free {
            handle.cool("c", 5 * SECOND).unwrap();
        }
        let start = Instant::now();
        let request = tokio::spawn(service.clone().oneshot(get()));
        sleep(500 * MS).await;
        handle.cool("a", 60 * SECOND).unwrap();
        // It is waited for as ever then, and for who comes first.
        let answer = request.await.unwrap();
        assert_eq!(answer.expect("an answer").status(), 200);
        let most = if other_is_free { SECOND } else { 5 * SECOND };
        assert!(start.elapsed() <= most, "{:?}", start.elapsed());
        assert_eq!(net.counts(["a", "c"]), [before[0], before[1] + 1]);
        assert_eq!(handle.waiting(), 0);
    }
}

/// Who waits for the first tier has no claim to the second.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_a_better_endpoint_leaves_the_others_to_the_others() {
    let net = Net::new();
    all_well(&net);
    let builder = tiers(&["a", "c"]).prefer_wait_below(2 * SECOND);
    let (_, service, handle) = stack(builder, &net);
    handle.cool("a", 2 * SECOND).unwrap();
    let waits = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    assert_eq!(handle.waiting(), 1);
    let start = Instant::now();
    assert_eq!(status(&service, only("c")).await, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(net.counts(["a", "c"]), [1, 1]);
}

/// Its turn has come, and it has not looked yet.
#[tokio::test(start_paused = true)]
async fn who_comes_in_the_moment_of_a_turn_waits_behind_it() {
    let net = Net::new();
    all_well(&net);
    let builder = tiers(&["a", "c"]).prefer_wait_below(3 * SECOND);
    let (_, service, handle) = stack(builder, &net);
    handle.cool("a", 2 * SECOND).unwrap();
    let mut waits = tokio_test::task::spawn(service.clone().oneshot(get()));
    assert!(waits.poll().is_pending());
    advance(2 * SECOND).await;
    let mut behind = tokio_test::task::spawn(service.clone().oneshot(get()));
    assert!(behind.poll().is_pending());
    assert_eq!(waits.await.unwrap().status(), 200);
    assert_eq!(behind.await.unwrap().status(), 200);
    assert_eq!(net.counts(["a", "c"]), [2, 0]);
}

/// The time of the first attempt counts, too.
#[tokio::test(start_paused = true)]
async fn who_has_spent_its_time_on_a_slow_refusal_waits_no_more() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| Reply::from(limited("1")).after(600 * MS));
    let builder = tiers(&["a", "c"]).prefer_wait_below(1500 * MS);
    let (retrying, ..) = stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, within(post(), 20 * SECOND)).await;
    assert_eq!(trail(&answer), "a: rate_limited (429), c: success (200)");
    assert_eq!(start.elapsed(), 600 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_second_refusal_is_not_waited_out() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| limited("1"));
    let builder = tiers(&["a", "c"]).prefer_wait_below(10 * SECOND);
    let (retrying, ..) = stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, within(post(), 20 * SECOND)).await;
    assert_eq!(
        trail(&answer),
        "a: rate_limited (429), a: rate_limited (429), c: success (200)"
    );
    assert_eq!(start.elapsed(), SECOND);
}

/// A breaker that is open is not a limit.
#[tokio::test(start_paused = true)]
async fn a_broken_endpoint_is_not_waited_for() {
    let net = Net::new();
    all_well(&net);
    let builder = tiers(&["a", "c"]).prefer_wait_below(60 * SECOND);
    let (_, service, handle) = stack(builder, &net);
    net.on("a", |_| answer(500));
    for _ in 0..7 {
        assert_eq!(status(&service, get()).await, 500);
    }
    let start = Instant::now();
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!((start.elapsed(), net.count("c")), (Duration::ZERO, 1));
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_deadline_is_shorter_than_the_preference() {
    let net = Net::new();
    all_well(&net);
    let builder = tiers(&["a", "c"]).prefer_wait_below(10 * SECOND);
    let (_, service, handle) = stack(builder, &net);
    handle.cool("a", 5 * SECOND).unwrap();
    let start = Instant::now();
    assert_eq!(status(&service, within(get(), 2 * SECOND)).await, 200);
    assert_eq!(start.elapsed(), Duration::ZERO, "it would be too late");
    assert_eq!(net.counts(["a", "c"]), [0, 1]);
}

// ===== the accident =====

#[tokio::test(start_paused = true)]
async fn a_lone_failure_is_repeated_once_and_at_once_before_the_next_tier() {
    for code in [500, 502, 503, 529] {
        let net = Net::new();
        all_well(&net);
        net.on("a", move |n| if n == 0 { answer(code) } else { ok() });
        let (retrying, ..) = stack(tiers(&["a", "c"]).quick_retry(true), &net);
        let start = Instant::now();
        let answer = send(&retrying, get()).await;
        assert_eq!(answer.expect("an answer").status(), 200);
        assert_eq!(start.elapsed(), Duration::ZERO, "{code}: it slept");
        assert_eq!(net.counts(["a", "c"]), [2, 0], "{code}");
    }
}

/// It is a retry at the same endpoint, and not a move.
#[tokio::test(start_paused = true)]
async fn a_repetition_costs_what_a_retry_costs() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |n| {
        if n == 0 {
            answer(500).into()
        } else {
            Reply::never()
        }
    });
    let (service, _) = balance(tiers(&["a", "c"]).quick_retry(true), &net);
    let budget = RetryBudget::default();
    let client = RetryOn429Layer::new().budget(budget.clone()).layer(service);
    let running = tokio::spawn(client.oneshot(get()));
    sleep(MS).await;
    assert_eq!((net.count("a"), budget.available()), (2, 500 - 14));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn it_is_not_repeated_twice() {
    for (code, name) in [(500, "server_error"), (503, "overloaded")] {
        let net = Net::new();
        all_well(&net);
        net.on("a", move |_| answer(code));
        let builder = tiers(&["a", "c"]).quick_retry(true);
        let (retrying, ..) = stack(builder, &net);
        let start = Instant::now();
        let answer = send(&retrying, get()).await;
        let failure = format!("a: {name} ({code})");
        assert_eq!(
            trail(&answer),
            format!("{failure}, {failure}, c: success (200)")
        );
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn another_endpoint_of_the_tier_comes_before_a_repetition() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| answer(500));
    let (retrying, ..) = stack(tiers(&["a", "b", "c"]).quick_retry(true), &net);
    let answer = send(&retrying, get()).await;
    assert_eq!(trail(&answer), "a: server_error (500), b: success (200)");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_accident_is_not_repeated() {
    let timeout: fn() -> Response<crate::support::Stream> = || answer(504);
    for first in [
        || limited("1"),
        || limited("0"),
        || answer(429),
        || with(answer(503), &[("retry-after", "0")]),
        timeout,
    ] {
        let net = Net::new();
        all_well(&net);
        net.on("a", move |n| if n == 0 { first() } else { ok() });
        let (retrying, ..) = stack(tiers(&["a", "c"]).quick_retry(true), &net);
        let answer = send(&retrying, get()).await;
        let trail = trail(&answer);
        assert!(trail.ends_with(", c: success (200)"), "{trail}");
        assert_eq!(net.counts(["a", "c"]), [1, 1], "{trail}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_repeated_where_nobody_asked_for_it_or_it_may_do_harm() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| answer(500));
    // A preference for waiting is none for repeating.
    let builder = tiers(&["a", "c"]);
    for builder in [builder.clone(), builder.prefer_wait_below(SECOND)] {
        let (retrying, ..) = stack(builder, &net);
        let answer = send(&retrying, get()).await;
        assert_eq!(trail(&answer), "a: server_error (500), c: success (200)");
    }

    let (retrying, ..) = stack(tiers(&["a", "c"]).quick_retry(true), &net);
    assert_eq!(status(&retrying, post()).await, 500);
    assert_eq!(net.counts(["a", "c"]), [3, 2]);
}

/// A breaker that the first failure opened has the last word.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_has_just_opened_is_not_asked_again() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |_| answer(500));
    let (retrying, service, handle) = stack(tiers(&["a", "c"]).quick_retry(true), &net);
    for _ in 0..6 {
        assert_eq!(status(&service, only("a")).await, 500);
    }
    let answer = send(&retrying, get()).await;
    assert_eq!(trail(&answer), "a: server_error (500), c: success (200)");
    let (class, _) = exhausted(send(&service, only("a")).await);
    assert_eq!(class, Class::Overloaded);
    assert_eq!(of(&handle, "a").in_flight, 0);
}

/// With Reply, since an endpoint takes its time before it fails.
#[tokio::test(start_paused = true)]
async fn a_repetition_takes_no_longer_than_the_endpoint_does() {
    let net = Net::new();
    all_well(&net);
    net.on("a", |n| {
        let answer = if n % 2 == 0 { answer(500) } else { ok() };
        Reply::from(answer).after(20 * MS)
    });
    let (retrying, ..) = stack(tiers(&["a", "c"]).quick_retry(true), &net);
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(status(&retrying, get()).await, 200);
        assert_eq!(start.elapsed(), 40 * MS);
        // Half of its outcomes are failures, which its breaker would not like.
        sleep(SECOND).await;
        if net.count("a") >= 16 {
            break;
        }
    }
    assert_eq!(net.count("c"), 0);
}
