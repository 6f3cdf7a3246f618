//! `prefer_wait`: a short cooldown is waited out before a request moves to a degraded endpoint.

use std::time::Duration;

use steadfast_balance::WhenExhausted;
use tokio::time::{Instant, advance, sleep};
use tower::ServiceExt;

use super::{all_healthy, degraded_tiers, retrying_stack, trail_text, two_tiers};
use crate::support::{
    MS, Net, Polls, Reply, SECOND, answer, get, ok, post, refusal, request_only_to, send,
    send_for_status, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn without_preference_next_tier_serves_at_once() {
    let net = Net::new();
    all_healthy(&net);
    let (_, service, handle) = retrying_stack(two_tiers(&["a", "c"]), &net);
    handle.cool("a", 10 * MS).unwrap();
    let start = Instant::now();
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(net.counts(["a", "c"]), [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn cooldown_up_to_bound_is_waited_out() {
    for (bound, cools, expected, waits) in [
        (Some(1500 * MS), 1500 * MS, [1, 0], 1500 * MS),
        (Some(1500 * MS), 1501 * MS, [0, 1], Duration::ZERO),
        // The default.
        (None, 3 * SECOND, [1, 0], 3 * SECOND),
        (None, 3001 * MS, [0, 1], Duration::ZERO),
    ] {
        let net = Net::new();
        all_healthy(&net);
        let mut builder = degraded_tiers(&["a", "c"]);
        if let Some(bound) = bound {
            builder = builder.prefer_wait(bound);
        }
        let (_, service, handle) = retrying_stack(builder, &net);
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
async fn short_hint_after_refusal_is_waited_out() {
    for deadline in [None, Some(20 * SECOND)] {
        let net = Net::new();
        all_healthy(&net);
        net.on("a", |n| if n == 0 { refusal("1") } else { ok() });
        let builder = degraded_tiers(&["a", "c"]).prefer_wait(2 * SECOND);
        let (retrying, _, handle) = retrying_stack(builder, &net);
        let mut request = post();
        if let Some(deadline) = deadline {
            request = with_deadline(request, deadline);
        }
        let start = Instant::now();
        let answer = send(&retrying, request).await;
        assert_eq!(
            trail_text(&answer),
            "a: rate_limited (429), a: success (200)"
        );
        assert!(start.elapsed() >= SECOND, "{:?}", start.elapsed());
        assert!(start.elapsed() <= 2 * SECOND, "{:?}", start.elapsed());
        assert_eq!(net.counts(["a", "c"]), [2, 0]);
        assert_eq!(handle.waiting(), 0);
    }
}

/// The bound covers all waits of a request, from its first attempt on.
#[tokio::test(start_paused = true)]
async fn waits_of_one_request_share_the_bound() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| refusal("1"));
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(1500 * MS);
    let (retrying, _, handle) = retrying_stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, with_deadline(post(), 20 * SECOND)).await;
    let trail = trail_text(&answer);
    assert!(trail.ends_with("c: success (200)"), "{trail}");
    assert!(start.elapsed() <= 1500 * MS, "{:?}", start.elapsed());
    assert!(net.count("a") <= 2, "{trail}");
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn extended_cooldown_ends_the_preferred_wait() {
    let net = Net::new();
    all_healthy(&net);
    let builder = degraded_tiers(&["a", "c"])
        .prefer_wait(SECOND)
        .when_exhausted(WhenExhausted::Wait);
    for other_is_free in [true, false] {
        let (_, service, handle) = retrying_stack(builder.clone(), &net);
        let before = net.counts(["a", "c"]);
        handle.cool("a", 900 * MS).unwrap();
        if !other_is_free {
            handle.cool("c", 5 * SECOND).unwrap();
        }
        let start = Instant::now();
        let request = tokio::spawn(service.clone().oneshot(get()));
        sleep(500 * MS).await;
        handle.cool("a", 60 * SECOND).unwrap();
        // From then on, the request waits for the first available endpoint.
        let answer = request.await.unwrap();
        assert_eq!(answer.expect("an answer").status(), 200);
        let most = if other_is_free { SECOND } else { 5 * SECOND };
        assert!(start.elapsed() <= most, "{:?}", start.elapsed());
        assert_eq!(net.counts(["a", "c"]), [before[0], before[1] + 1]);
        assert_eq!(handle.waiting(), 0);
    }
}

/// A waiter for the first tier has no claim to the second.
#[tokio::test(start_paused = true)]
async fn waiter_for_lower_tier_does_not_block_next_tier() {
    let net = Net::new();
    all_healthy(&net);
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(2 * SECOND);
    let (_, service, handle) = retrying_stack(builder, &net);
    handle.cool("a", 2 * SECOND).unwrap();
    let waits = tokio::spawn(service.clone().oneshot(get()));
    sleep(MS).await;
    assert_eq!(handle.waiting(), 1);
    let start = Instant::now();
    assert_eq!(send_for_status(&service, request_only_to("c")).await, 200);
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(waits.await.unwrap().unwrap().status(), 200);
    assert_eq!(net.counts(["a", "c"]), [1, 1]);
}

/// The slot of the waiter is due, and the waiter has not been polled since.
#[tokio::test(start_paused = true)]
async fn new_request_at_slot_time_queues_behind_waiter() {
    let net = Net::new();
    all_healthy(&net);
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(3 * SECOND);
    let (_, service, handle) = retrying_stack(builder, &net);
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

/// The time of the first attempt counts towards the bound.
#[tokio::test(start_paused = true)]
async fn slow_refusal_uses_up_the_preferred_wait() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| Reply::from(refusal("1")).after(600 * MS));
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(1500 * MS);
    let (retrying, ..) = retrying_stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, with_deadline(post(), 20 * SECOND)).await;
    assert_eq!(
        trail_text(&answer),
        "a: rate_limited (429), c: success (200)"
    );
    assert_eq!(start.elapsed(), 600 * MS);
}

#[tokio::test(start_paused = true)]
async fn second_refusal_moves_to_next_tier() {
    let net = Net::new();
    all_healthy(&net);
    net.on("a", |_| refusal("1"));
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(10 * SECOND);
    let (retrying, ..) = retrying_stack(builder, &net);
    let start = Instant::now();
    let answer = send(&retrying, with_deadline(post(), 20 * SECOND)).await;
    assert_eq!(
        trail_text(&answer),
        "a: rate_limited (429), a: rate_limited (429), c: success (200)"
    );
    assert_eq!(start.elapsed(), SECOND);
}

/// The bound applies to cooldowns only.
#[tokio::test(start_paused = true)]
async fn open_breaker_is_not_waited_for() {
    let net = Net::new();
    all_healthy(&net);
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(60 * SECOND);
    let (_, service, handle) = retrying_stack(builder, &net);
    net.on("a", |_| answer(500));
    for _ in 0..7 {
        assert_eq!(send_for_status(&service, get()).await, 500);
    }
    let start = Instant::now();
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!((start.elapsed(), net.count("c")), (Duration::ZERO, 1));
    assert_eq!(handle.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn deadline_before_end_of_cooldown_moves_to_next_tier() {
    let net = Net::new();
    all_healthy(&net);
    let builder = degraded_tiers(&["a", "c"]).prefer_wait(10 * SECOND);
    let (_, service, handle) = retrying_stack(builder, &net);
    handle.cool("a", 5 * SECOND).unwrap();
    let start = Instant::now();
    assert_eq!(
        send_for_status(&service, with_deadline(get(), 2 * SECOND)).await,
        200
    );
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "the wait would exceed the deadline"
    );
    assert_eq!(net.counts(["a", "c"]), [0, 1]);
}
