//! Cooldowns after a success with a spent quota, or after a refusal in a stream.

use http_body_util::BodyExt;
use steadfast_core::{Class, Classified, RoutingOptions, Verdict};
use tokio::time::advance;

use super::{MINUTE, cooling};
use crate::support::{
    Events, MS, Net, SECOND, Stream, balancer, get, ok, pool, send, send_for_status, status_of,
    streamed, with_headers,
};

#[tokio::test(start_paused = true)]
async fn success_with_zero_remaining_starts_a_cooldown() {
    let net = Net::new();
    let spent = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "12")];
    net.on("a", |n| {
        if n == 0 {
            with_headers(ok(), spent)
        } else {
            ok()
        }
    });
    net.on("b", |_| ok());
    let events = Events::default();
    let (service, handle) = balancer(pool(&["a", "b"]).observer(events.observer()), &net);

    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(events.take(), ["a cools 12s success"]);
    assert_eq!(cooling(&handle, "a"), Some(12 * SECOND));
    advance(11_999 * MS).await;
    send_for_status(&service, get()).await;
    assert_eq!(net.counts(["a", "b"]), [1, 1]);
    advance(MS).await;
    send_for_status(&service, get()).await;
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
    for (options, wait) in [
        (RoutingOptions::new(), 60 * SECOND),
        (RoutingOptions::new().estimated_tokens(100), 6 * SECOND),
    ] {
        let net = Net::new();
        net.on("a", move |_| with_headers(ok(), &spent));
        let (service, handle) = balancer(pool(&["a"]), &net);
        assert_eq!(
            send_for_status(&service, crate::support::request_with(options)).await,
            200
        );
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
        // Some endpoints send `retry-after` with every answer.
        [("retry-after", "60"), ("x-ratelimit-remaining", "5")],
    ] {
        let net = Net::new();
        net.on("a", move |_| with_headers(ok(), &headers));
        let events = Events::default();
        let (service, handle) = balancer(pool(&["a"]).observer(events.observer()), &net);
        send_for_status(&service, get()).await;
        assert!(events.take().is_empty(), "{headers:?}");
        assert!(status_of(&handle, "a").admissible, "{headers:?}");
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
        (Verdict::new(Class::QuotaExhausted), Some(MINUTE)),
        // A caller may choose the words of a message. One of them took an endpoint for half an
        // hour.
        (
            Verdict::new(Class::QuotaExhausted).with_text_origin(),
            Some(MINUTE),
        ),
        (
            Verdict::new(Class::Overloaded).with_hint(Some(3 * SECOND)),
            Some(3 * SECOND),
        ),
        (Verdict::new(Class::Overloaded), None),
        (Verdict::new(Class::Transport), None),
    ] {
        let net = Net::new();
        net.on("a", move |_| {
            let error = Classified::new(verdict, "refused in the stream");
            streamed(Stream::of(["data"]).broken(error.into()))
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        // Two concurrent streams are one event.
        let mut answers = Vec::new();
        for _ in 0..2 {
            answers.push(send(&service, get()).await.unwrap());
        }
        for answer in answers {
            let read = answer.into_body().collect().await;
            read.expect_err("the body is broken");
        }
        assert_eq!(cooling(&handle, "a"), expected, "{verdict:?}");
    }
}
