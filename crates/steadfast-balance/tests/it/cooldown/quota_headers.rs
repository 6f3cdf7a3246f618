//! Cooldowns after a success with a spent quota, or after a refusal in a stream.

use http_body_util::BodyExt;
use steadfast_core::{Class, Classified, RoutingOptions, Verdict};
use tokio::time::advance;

use super::{MINUTE, cooling};
use crate::support::{
    Events, MS, Net, SECOND, Stream, balance, get, of, ok, pool, send, status, streamed, with,
};

#[tokio::test(start_paused = true)]
async fn success_with_zero_remaining_starts_a_cooldown() {
    let net = Net::new();
    let spent = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")];
    net.on("a", |n| if n == 0 { with(ok(), spent) } else { ok() });
    net.on("b", |_| ok());
    let events = Events::default();
    let (service, handle) = balance(pool(&["a", "b"]).observer(events.observer()), &net);

    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(events.take(), ["a cools 12s success"]);
    assert_eq!(cooling(&handle, "a"), Some(12 * SECOND));
    advance(11_999 * MS).await;
    status(&service, get()).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    advance(MS).await;
    status(&service, get()).await;
    assert_eq!(net.counts(["a", "b"]), [2, 1]);
}

/// The next request probably needs as many tokens as this one, and not a full bucket.
#[tokio::test(start_paused = true)]
async fn spent_tokens_cool_until_the_estimate_is_refilled() {
    let spent = [
        ("x-ratelimit-limit-tokens", "1000"),
        ("x-ratelimit-remaining-tokens", "0"),
        ("x-ratelimit-reset-tokens", "60s"),
    ];
    for (wishes, wait) in [
        (RoutingOptions::new(), 60 * SECOND),
        (RoutingOptions::new().estimated_tokens(100), 6 * SECOND),
    ] {
        let net = Net::new();
        net.on("a", move |_| with(ok(), &spent));
        let (service, handle) = balance(pool(&["a"]), &net);
        assert_eq!(status(&service, crate::support::wishing(wishes)).await, 200);
        assert_eq!(cooling(&handle, "a"), Some(wait));
    }
}

#[tokio::test(start_paused = true)]
async fn success_with_quota_left_starts_no_cooldown() {
    for headers in [
        [("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "12")],
        [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "0")],
        [("x-ratelimit-remaining", "0"), ("x-ratelimit-limit", "9")],
        [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "-12")],
        // The endpoint says so of answers that it gave.
        [("retry-after", "60"), ("x-ratelimit-remaining", "5")],
    ] {
        let net = Net::new();
        net.on("a", move |_| with(ok(), &headers));
        let events = Events::default();
        let (service, handle) = balance(pool(&["a"]).observer(events.observer()), &net);
        status(&service, get()).await;
        assert!(events.take().is_empty(), "{headers:?}");
        assert!(of(&handle, "a").admissible, "{headers:?}");
    }
}

/// A refusal may arrive after the head, as an event of the stream.
#[tokio::test(start_paused = true)]
async fn stream_that_breaks_with_a_refusal_starts_a_cooldown() {
    for (verdict, expected) in [
        (
            Verdict::new(Class::RateLimited).with_hint(Some(9 * SECOND)),
            Some(9 * SECOND),
        ),
        (Verdict::new(Class::QuotaExhausted), Some(30 * MINUTE)),
        (
            Verdict::new(Class::Overloaded).with_hint(Some(3 * SECOND)),
            Some(3 * SECOND),
        ),
        (Verdict::new(Class::Overloaded), None),
        (Verdict::new(Class::Transport), None),
    ] {
        let net = Net::new();
        net.on("a", move |_| {
            let error = Classified::new(verdict, "said in the stream");
            streamed(Stream::of(["data"]).broken(error.into()))
        });
        let (service, handle) = balance(pool(&["a"]), &net);
        // Two at once, of which the second tells nothing new.
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(send(&service, get()).await.unwrap());
        }
        for answer in answers {
            let read = answer.into_body().collect().await;
            read.expect_err("it broke");
        }
        assert_eq!(cooling(&handle, "a"), expected, "{verdict:?}");
    }
}
