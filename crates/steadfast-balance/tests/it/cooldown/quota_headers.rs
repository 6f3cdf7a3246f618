//! Cooldowns after a success with a spent quota, or after a refusal in a stream.

use http_body_util::BodyExt;
use steadfast_core::{Class, Classified, RoutingOptions, Verdict};
use tokio::time::advance;

use super::{MINUTE, cooling};
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, answer, balancer, connection_refused, connection_reset,
    get, ok, pool, send, send_for_status, status_of, streamed, with_headers,
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
        // hour. No status names a limit here, so a code is required.
        (Verdict::new(Class::QuotaExhausted).with_text_origin(), None),
        (
            Verdict::new(Class::QuotaExhausted).with_text_hint(),
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

/// A fixed window: 90,000 of 100,000 tokens are left for 50 s.
const TOKENS: [(&str, &str); 3] = [
    ("x-ratelimit-limit-tokens-minute", "100000"),
    ("x-ratelimit-remaining-tokens-minute", "90000"),
    ("x-ratelimit-reset-tokens-minute", "50"),
];

fn request_of(tokens: u64) -> http::Request<crate::support::Body> {
    crate::support::request_with(RoutingOptions::new().estimated_tokens(tokens))
}

/// Ten requests that failed without a bill, or a single one above the limit, once kept all callers
/// away until the reset.
#[tokio::test(start_paused = true)]
async fn requests_that_fail_leave_the_tokens_to_the_other_callers() {
    for (status, tokens, count) in [
        (400, 9_000, 10),
        (404, 9_000, 10),
        (422, 9_000, 10),
        (429, 9_000, 1),
        (500, 9_000, 5),
        (400, 100_001, 1),
        (429, 100_001, 1),
    ] {
        let net = Net::new();
        net.on("a", move |n| match n {
            0 => with_headers(ok(), &TOKENS),
            _ if n <= count => answer(status),
            _ => ok(),
        });
        let (service, _) = balancer(pool(&["a"]), &net);
        assert_eq!(send_for_status(&service, request_of(9_000)).await, 200);
        for _ in 0..count {
            let failed = send_for_status(&service, request_of(tokens)).await;
            assert_eq!(failed, status, "{status} {tokens}");
        }
        // The cooldown after a refusal.
        advance(2 * SECOND).await;
        let other = send_for_status(&service, request_of(80_000)).await;
        assert_eq!(other, 200, "{status} {tokens}");
    }
}

/// A server may have processed an attempt without an answer.
#[tokio::test(start_paused = true)]
async fn attempt_without_an_answer_keeps_its_tokens() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => with_headers(ok(), &TOKENS).into(),
        1 => Reply::from(connection_reset()),
        2 => Reply::from(connection_refused()),
        _ => Reply::from(ok()),
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    let left = || status_of(&handle, "a").tokens.expect("known").remaining;
    send_for_status(&service, request_of(9_000)).await;
    send_for_status(&service, request_of(9_000)).await;
    assert_eq!(left(), 81_000);
    send_for_status(&service, request_of(9_000)).await;
    assert_eq!(left(), 81_000, "nothing was sent");
}

/// A request with a target that fits no endpoint is not sent.
#[tokio::test(start_paused = true)]
async fn unsent_request_takes_no_tokens() {
    let net = Net::new();
    net.on("a", |_| with_headers(ok(), &TOKENS));
    let (service, handle) = balancer(pool(&["a"]), &net);
    send_for_status(&service, request_of(9_000)).await;
    let mut request = request_of(9_000);
    *request.uri_mut() = http::Uri::from_static("*");
    assert_eq!(send_for_status(&service, request).await, 0);
    let left = status_of(&handle, "a").tokens.expect("known").remaining;
    assert_eq!((left, net.count("a")), (90_000, 1));
}

/// A `400` reports the quota as a success does. A refusal is only a hypothesis.
#[tokio::test(start_paused = true)]
async fn quota_headers_of_failures_count_unless_the_failure_is_a_refusal() {
    for (status, expected) in [(400, 50_000), (500, 50_000), (429, 90_000), (401, 90_000)] {
        let net = Net::new();
        net.on("a", move |n| match n {
            0 => with_headers(ok(), &TOKENS),
            _ => {
                let mut spent = TOKENS;
                spent[1].1 = "50000";
                with_headers(answer(status), &spent)
            }
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        for _ in 0..2 {
            send_for_status(&service, request_of(9_000)).await;
        }
        let left = status_of(&handle, "a").tokens.expect("known").remaining;
        assert_eq!(left, expected, "{status}");
    }
}
