//! The length of a cooldown.

use std::time::Duration;

use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Trail};
use tokio::time::{advance, sleep};
use tower::ServiceExt;

use super::{DAY, MINUTE, cooling};
use crate::support::{
    MS, Net, Reply, SECOND, answer, balancer, expect_exhausted, get, ok, pool, refusal, send,
    send_for_status, status_of, with_headers,
};

#[tokio::test(start_paused = true)]
async fn hint_sets_the_cooldown() {
    for (response, wait) in [
        (refusal("1"), SECOND),
        (refusal("86400"), DAY),
        (refusal("864000"), DAY), // ten days: nobody takes itself out for ever
        (
            with_headers(answer(429), &[("retry-after-ms", "1500")]),
            1500 * MS,
        ),
        (
            with_headers(answer(503), &[("retry-after", "7")]),
            7 * SECOND,
        ),
        (
            with_headers(answer(403), &[("retry-after", "7")]),
            7 * SECOND,
        ),
        (answer(402), MINUTE),
        (with_headers(answer(402), &[("retry-after", "0")]), MINUTE),
        (
            with_headers(answer(402), &[("retry-after", "30")]),
            MINUTE / 2,
        ),
        // A longer bench requires a second request.
        (
            with_headers(answer(402), &[("retry-after", "7200")]),
            MINUTE,
        ),
    ] {
        let what = format!("{response:?}");
        let class = match response.status().as_u16() {
            402 => Class::QuotaExhausted,
            503 | 529 => Class::Overloaded,
            _ => Class::RateLimited,
        };
        let net = Net::new();
        let first = std::sync::Mutex::new(Some(response));
        net.on("a", move |_| {
            first.lock().unwrap().take().unwrap_or_else(ok)
        });
        let (service, handle) = balancer(pool(&["a"]), &net);

        assert!(send_for_status(&service, get()).await >= 400);
        assert_eq!(cooling(&handle, "a"), Some(wait), "{what}");
        if class == Class::QuotaExhausted {
            // The next request tests a bench.
            assert_eq!(send_for_status(&service, get()).await, 200, "{what}");
            continue;
        }
        advance(wait - MS).await;
        assert_eq!(
            expect_exhausted(send(&service, get()).await),
            (class, Some(MS))
        );
        advance(MS).await;
        assert_eq!(send_for_status(&service, get()).await, 200, "{what}");
        assert_eq!(net.count("a"), 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn answer_without_hint_starts_no_cooldown() {
    for code in [200, 301, 400, 401, 403, 404, 409, 413, 500, 503, 504] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        let (service, handle) = balancer(pool(&["a"]), &net);
        send_for_status(&service, get()).await;
        assert!(status_of(&handle, "a").admissible, "{code}");
    }
}

/// The attempt was sent before the cooldown began. Its answer is no evidence about the time after.
#[tokio::test(start_paused = true)]
async fn answer_to_earlier_attempt_leaves_cooldown_unchanged() {
    for late in [
        refusal("60"),
        ok(),
        with_headers(
            ok(),
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")],
        ),
    ] {
        let net = Net::new();
        let late = std::sync::Mutex::new(Some(late));
        net.on("a", move |n| match n {
            0 => Reply::from(late.lock().unwrap().take().expect("once")).after(900 * MS),
            1 => refusal("1").into(),
            _ => Reply::from(ok()).after(SECOND),
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        let slow = tokio::spawn(service.clone().oneshot(get()));
        sleep(MS).await;
        assert_eq!(send_for_status(&service, get()).await, 429);
        slow.await.unwrap().unwrap();
        assert_eq!(cooling(&handle, "a"), Some(101 * MS));

        advance(101 * MS).await;
        let probe = tokio::spawn(service.clone().oneshot(get()));
        sleep(MS).await;
        assert!(!status_of(&handle, "a").admissible, "one probe at a time");
        probe.await.unwrap().unwrap();
    }
}

/// The hint allows an immediate attempt, which is refused again.
#[tokio::test(start_paused = true)]
async fn repeated_zero_hint_starts_growing_cooldowns() {
    let net = Net::new();
    net.on("a", |_| refusal("0"));
    let (service, handle) = balancer(pool(&["a"]), &net);
    for seconds in [0, 2, 4, 8] {
        assert_eq!(send_for_status(&service, get()).await, 429);
        let wait = Duration::from_secs(seconds);
        let expected = (seconds > 0).then_some(wait);
        assert_eq!(cooling(&handle, "a"), expected);
        advance(wait).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_without_hint_double_the_cooldown() {
    let net = Net::new();
    net.on("a", |_| answer(429));
    let (service, handle) = balancer(pool(&["a"]), &net);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(send_for_status(&service, get()).await, 429);
        let wait = Duration::from_secs(seconds);
        assert_eq!(cooling(&handle, "a"), Some(wait));
        advance(wait).await;
    }
    net.on("a", |_| ok());
    assert_eq!(send_for_status(&service, get()).await, 200);
    net.on("a", |_| answer(429));
    assert_eq!(send_for_status(&service, get()).await, 429);
    assert_eq!(cooling(&handle, "a"), None, "the next attempt is the test");
    assert_eq!(send_for_status(&service, get()).await, 429);
    assert_eq!(
        cooling(&handle, "a"),
        Some(2 * SECOND),
        "the success reset the doubling"
    );
}

#[tokio::test(start_paused = true)]
async fn exhausted_error_has_the_soonest_recovery() {
    let net = Net::new();
    net.on("a", |_| refusal("5"));
    net.on("b", |_| refusal("2"));
    let (service, _) = balancer(pool(&["a", "b"]), &net);
    assert_eq!(send_for_status(&service, get()).await, 429);
    assert_eq!(send_for_status(&service, get()).await, 429);
    let trail = Trail::new();
    let answer = send(&service, crate::support::get_with_trail(&trail)).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::RateLimited, Some(2 * SECOND))
    );
    let soon = tokio::time::Instant::now() + 2 * SECOND;
    assert_eq!(
        trail.take_next(),
        Some(steadfast_core::layer::Next::At(soon))
    );
    assert!(trail.is_empty(), "no attempt was sent");
}
