//! A single failure is retried at the same endpoint before a degraded one.

use std::time::Duration;

use http::Response;
use steadfast_core::{Class, RetryBudget};
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, sleep};
use tower::{Layer, ServiceExt};

use super::{all_healthy, degraded_tiers, retrying_stack, trail_text, two_tiers};
use crate::support::{
    MS, Net, Reply, SECOND, answer, balancer, expect_exhausted, get, ok, post, refusal,
    request_only_to, send, send_for_status, status_of, with_headers,
};

#[tokio::test(start_paused = true)]
async fn single_failure_is_retried_at_once_in_the_same_tier() {
    for code in [500, 502, 503, 529] {
        let net = Net::new();
        all_healthy(&net);
        net.on("a", move |n| if n == 0 { answer(code) } else { ok() });
        let (retrying, ..) = retrying_stack(degraded_tiers(&["a", "c"]), &net);
        let start = Instant::now();
        let answer = send(&retrying, get()).await;
        assert_eq!(answer.expect("an answer").status(), 200);
        assert_eq!(start.elapsed(), Duration::ZERO, "{code}: it slept");
        assert_eq!(net.counts(["a", "c"]), [2, 0], "{code}");
    }
}

/// The second attempt is a retry at the same endpoint, and no failover.
#[tokio::test(start_paused = true)]
async fn quick_retry_costs_the_tokens_of_a_retry() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |n| {
        if n == 0 {
            answer(500).into()
        } else {
            Reply::never()
        }
    });
    let (service, _) = balancer(degraded_tiers(&["a", "c"]), &net);
    let budget = RetryBudget::default();
    let client = RetryOn429Layer::new().budget(budget.clone()).layer(service);
    let running = tokio::spawn(client.oneshot(get()));
    sleep(MS).await;
    assert_eq!((net.count("a"), budget.available()), (2, 500 - 14));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn second_failure_moves_to_next_tier() {
    for (code, name) in [(500, "server_error"), (503, "overloaded")] {
        let net = Net::new();
        all_healthy(&net);
        net.on("a", move |_| answer(code));
        let builder = degraded_tiers(&["a", "c"]);
        let (retrying, ..) = retrying_stack(builder, &net);
        let start = Instant::now();
        let answer = send(&retrying, get()).await;
        let failure = format!("a: {name} ({code})");
        assert_eq!(
            trail_text(&answer),
            format!("{failure}, {failure}, c: success (200)")
        );
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn untried_endpoint_of_tier_precedes_quick_retry() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| answer(500));
    let (retrying, ..) = retrying_stack(degraded_tiers(&["a", "b", "c"]), &net);
    let answer = send(&retrying, get()).await;
    assert_eq!(
        trail_text(&answer),
        "a: server_error (500), b: success (200)"
    );
}

#[tokio::test(start_paused = true)]
async fn refusal_or_timeout_is_not_retried_quickly() {
    let timeout: fn() -> Response<crate::support::Stream> = || answer(504);
    for first in [
        || refusal("1"),
        || refusal("0"),
        || answer(429),
        || with_headers(answer(503), &[("retry-after", "0")]),
        timeout,
    ] {
        let net = Net::new();
        all_healthy(&net);
        net.on("a", move |n| if n == 0 { first() } else { ok() });
        let builder = degraded_tiers(&["a", "c"]).prefer_wait(Duration::ZERO);
        let (retrying, ..) = retrying_stack(builder, &net);
        let answer = send(&retrying, get()).await;
        let trail = trail_text(&answer);
        assert!(trail.ends_with(", c: success (200)"), "{trail}");
        assert_eq!(net.counts(["a", "c"]), [1, 1], "{trail}");
    }
}

#[tokio::test(start_paused = true)]
async fn quick_retry_needs_a_degraded_endpoint_and_a_safe_request() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| answer(500));
    // No endpoint is degraded.
    let builder = two_tiers(&["a", "c"]);
    for builder in [builder.clone(), builder.prefer_wait(SECOND)] {
        let (retrying, ..) = retrying_stack(builder, &net);
        let answer = send(&retrying, get()).await;
        assert_eq!(
            trail_text(&answer),
            "a: server_error (500), c: success (200)"
        );
    }

    let (retrying, ..) = retrying_stack(degraded_tiers(&["a", "c"]), &net);
    assert_eq!(send_for_status(&retrying, post()).await, 500);
    assert_eq!(net.counts(["a", "c"]), [3, 2]);
}

/// The failure of the request is the seventh consecutive one and opens the breaker.
#[tokio::test(start_paused = true)]
async fn breaker_opened_by_the_failure_prevents_quick_retry() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| answer(500));
    let builder = degraded_tiers(&["a", "c"]).probe_wait(Duration::ZERO);
    let (retrying, service, handle) = retrying_stack(builder, &net);
    for _ in 0..6 {
        assert_eq!(send_for_status(&service, request_only_to("a")).await, 500);
    }
    let answer = send(&retrying, get()).await;
    assert_eq!(
        trail_text(&answer),
        "a: server_error (500), c: success (200)"
    );
    let (class, _) = expect_exhausted(send(&service, request_only_to("a")).await);
    assert_eq!(class, Class::ServerError);
    assert_eq!(status_of(&handle, "a").in_flight, 0);
}

/// Each answer of the endpoint takes 20 ms.
#[tokio::test(start_paused = true)]
async fn quick_retry_adds_no_delay() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |n| {
        let answer = if n % 2 == 0 { answer(500) } else { ok() };
        Reply::from(answer).after(20 * MS)
    });
    let (retrying, ..) = retrying_stack(degraded_tiers(&["a", "c"]), &net);
    for _ in 0..20 {
        let start = Instant::now();
        assert_eq!(send_for_status(&retrying, get()).await, 200);
        assert_eq!(start.elapsed(), 40 * MS);
        // Half of the outcomes are failures, so more requests would open the breaker.
        sleep(SECOND).await;
        if net.count("a") >= 16 {
            break;
        }
    }
    assert_eq!(net.count("c"), 0);
}
