//! What a caller sees of limits: who is left alone, for how long, and how it comes back.

use std::time::Duration;

use http_body_util::BodyExt;
use steadfast_balance::{Credential, Endpoint, EndpointBalanceLayer, PoolHandle};
use steadfast_core::RoutingOptions;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Class, Classified, Event, Trail, Verdict};
use tokio::time::{advance, sleep};
use tower::ServiceExt;

use crate::support::body::Ending;
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, answer, balance, endpoint, exhausted, get, limited, of,
    ok, pool, post, reset, send, status, streamed, with,
};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn cooling(handle: &PoolHandle, name: &str) -> Option<Duration> {
    of(handle, name).cooling
}

#[tokio::test(start_paused = true)]
async fn an_endpoint_is_left_alone_for_as_long_as_it_says() {
    for (response, wait) in [
        (limited("1"), SECOND),
        (limited("86400"), DAY),
        (limited("864000"), DAY), // ten days: nobody takes itself out for ever
        (with(answer(429), &[("retry-after-ms", "1500")]), 1500 * MS),
        (with(answer(503), &[("retry-after", "7")]), 7 * SECOND),
        (with(answer(403), &[("retry-after", "7")]), 7 * SECOND),
        (answer(402), 30 * MINUTE),
        (with(answer(402), &[("retry-after", "60")]), 30 * MINUTE),
        (with(answer(402), &[("retry-after", "7200")]), 120 * MINUTE),
    ] {
        let what = format!("{response:?}");
        let net = Net::new();
        let first = std::sync::Mutex::new(Some(response));
        net.on("a", move |_| {
            first.lock().unwrap().take().unwrap_or_else(ok)
        });
        let (service, handle) = balance(pool(&["a"]), &net);

        assert!(status(&service, get()).await >= 400);
        assert_eq!(cooling(&handle, "a"), Some(wait), "{what}");
        advance(wait - MS).await;
        assert_eq!(
            exhausted(send(&service, get()).await),
            (Class::RateLimited, Some(MS))
        );
        advance(MS).await;
        assert_eq!(status(&service, get()).await, 200, "{what}");
        assert_eq!(net.count("a"), 2, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_that_ask_for_nothing_leave_an_endpoint_where_it_is() {
    for code in [200, 301, 400, 401, 403, 404, 409, 413, 500, 503, 504] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        let (service, handle) = balance(pool(&["a"]), &net);
        status(&service, get()).await;
        assert!(of(&handle, "a").admissible, "{code}");
    }
}

/// A burst of refusals, of which only the first can say how long it takes. A count per refusal
/// would leave an endpoint alone for minutes because many asked it at once.
#[tokio::test(start_paused = true)]
async fn five_hundred_refusals_at_once_cool_an_endpoint_once() {
    let net = Net::new();
    net.on("a", |n| {
        Reply::from(limited(&(n + 1).to_string())).after(10 * MS)
    });
    let events = Events::default();
    let (service, handle) = balance(pool(&["a"]).observer(events.observer()), &net);
    let burst: Vec<_> = (0..500)
        .map(|_| tokio::spawn(service.clone().oneshot(post())))
        .collect();
    for request in burst {
        assert_eq!(request.await.unwrap().unwrap().status(), 429);
    }
    assert_eq!(events.take(), ["a cools 1s rate_limited"]);
    assert_eq!(cooling(&handle, "a"), Some(SECOND));
    assert_eq!(of(&handle, "a").health, 1.0, "a limit is no failure");
}

/// An answer to an attempt from before the cooldown tells nothing about what came after it.
#[tokio::test(start_paused = true)]
async fn an_answer_from_before_changes_nothing() {
    for late in [
        limited("60"),
        ok(),
        with(
            ok(),
            &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "60")],
        ),
    ] {
        let net = Net::new();
        let late = std::sync::Mutex::new(Some(late));
        net.on("a", move |n| match n {
            0 => Reply::from(late.lock().unwrap().take().expect("once")).after(900 * MS),
            1 => limited("1").into(),
            _ => Reply::from(ok()).after(SECOND),
        });
        let (service, handle) = balance(pool(&["a"]), &net);
        let slow = tokio::spawn(service.clone().oneshot(get()));
        sleep(MS).await;
        assert_eq!(status(&service, get()).await, 429);
        slow.await.unwrap().unwrap();
        assert_eq!(cooling(&handle, "a"), Some(101 * MS));

        advance(101 * MS).await;
        let probe = tokio::spawn(service.clone().oneshot(get()));
        sleep(MS).await;
        assert!(
            !of(&handle, "a").admissible,
            "one attempt comes first, as ever"
        );
        probe.await.unwrap().unwrap();
    }
}

// ===== the way back =====

/// Sends as many requests as an endpoint takes at once, and returns their number.
async fn wave(
    service: &steadfast_balance::EndpointBalance<crate::support::Client>,
    net: &Net,
) -> usize {
    let before = net.count("a");
    let tasks: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    sleep(MS).await;
    let sent = net.count("a") - before;
    for task in tasks {
        let _ = task.await.unwrap();
    }
    sent
}

/// A server that takes twenty a second, and says when to come back in whole seconds.
fn twenty_a_second() -> impl Fn(usize) -> Reply + Send + 'static {
    let bucket = std::sync::Mutex::new((20.0, tokio::time::Instant::now()));
    move |_| {
        let mut bucket = bucket.lock().unwrap();
        let now = tokio::time::Instant::now();
        let gained = 20.0 * now.duration_since(bucket.1).as_secs_f64();
        *bucket = (f64::min(bucket.0 + gained, 20.0), now);
        if bucket.0 < 1.0 {
            return Reply::from(limited("1")).after(5 * MS);
        }
        bucket.0 -= 1.0;
        Reply::from(ok()).after(50 * MS)
    }
}

#[tokio::test(start_paused = true)]
async fn a_limited_endpoint_gets_what_it_takes_whatever_the_load() {
    let net = Net::new();
    net.on("a", twenty_a_second());
    let events = Events::default();
    let (service, handle) = balance(pool(&["a"]).observer(events.observer()), &net);
    let count = |of: fn(&Event) -> bool| events.count(of);
    assert_eq!(
        wave(&service, &net).await,
        100,
        "nothing is known of a limit"
    );
    assert_eq!(of(&handle, "a").rate, None);
    advance(SECOND).await;
    assert_eq!(wave(&service, &net).await, 1, "one comes first");

    let before = net.count("a");
    for _ in 0..6_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    let sent = net.count("a") - before;
    assert!(
        (1_080..=1_260).contains(&sent),
        "{sent} of 1200 in a minute"
    );
    let rate = of(&handle, "a").rate.expect("limited");
    assert!((17.0..=23.0).contains(&rate), "{rate}");
    let cooldowns = count(|event| matches!(event, Event::Cooldown { .. }));
    assert!(cooldowns <= 12, "{cooldowns} cooldowns");
    let ended = count(|event| matches!(event, Event::CooldownEnded { .. }));
    assert!(cooldowns - ended <= 1, "{ended} of {cooldowns} have ended");

    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    advance(160 * SECOND).await;
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(
        wave(&service, &net).await,
        100,
        "it was not refused for long"
    );
    assert_eq!(of(&handle, "a").rate, None);
}

/// Answers of a model take long. A lone refusal once left it a request in five seconds.
#[tokio::test(start_paused = true)]
async fn a_lone_refusal_does_not_starve_a_slow_endpoint() {
    let net = Net::new();
    net.on("a", |n| match n {
        1 => limited("1").into(),
        _ => Reply::from(ok()).after(20 * SECOND),
    });
    let (service, _) = balance(pool(&["a"]), &net);
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(status(&service, get()).await, 429);
    advance(SECOND).await;
    let mut sent = 0;
    for _ in 0..100 {
        sent = net.count("a");
        tokio::spawn(service.clone().oneshot(get()));
        sleep(50 * MS).await;
    }
    assert!(sent >= 80, "{sent} of 100");
}

/// A slow gateway refuses after six seconds, so a probe has twelve.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_refuses_slowly_is_asked_once_a_cooldown_too() {
    let net = Net::new();
    net.on("a", |_| Reply::from(limited("1")).after(6 * SECOND));
    let (service, _) = balance(pool(&["a"]), &net);
    for _ in 0..10_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    // Six hundred before the first refusal, and then one in seven seconds.
    assert!(net.count("a") <= 620, "{}", net.count("a"));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_after_a_cooldown_begins_another() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 | 2 => limited("1"),
        _ => ok(),
    });
    let (service, handle) = balance(pool(&["a"]), &net);
    for expected in [429, 200, 429] {
        assert_eq!(status(&service, get()).await, expected);
        advance(cooling(&handle, "a").unwrap_or_default()).await;
    }
    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    assert_eq!(wave(&service, &net).await, 1);
}

/// What is no refusal frees the place of a probe, and there is still only one. A caller who leaves
/// frees it when its attempt would have been refused.
#[tokio::test(start_paused = true)]
async fn an_error_or_a_cancelled_attempt_is_no_way_back() {
    let net = Net::new();
    net.on("a", |_| limited("1"));
    let (service, handle) = balance(pool(&["a"]), &net);
    status(&service, get()).await;
    advance(SECOND).await;

    net.on("a", |_| reset());
    assert_eq!(status(&service, get()).await, 0);
    net.on("a", |_| answer(400));
    assert_eq!(status(&service, get()).await, 400);
    net.on("a", |_| Reply::never());
    let cancelled = tokio::time::timeout(MS, send(&service, get())).await;
    assert!(cancelled.is_err());

    net.on("a", |_| Reply::from(ok()).after(10 * MS));
    assert!(!of(&handle, "a").admissible, "it may be refused yet");
    advance(50 * MS).await;
    assert_eq!(wave(&service, &net).await, 1);
}

/// A completion may take minutes, and one that hangs for ever. The endpoint stood idle for so long
/// after each cooldown, however short that was. Refusals come fast: an attempt that has none
/// after twice the time of the last one was accepted.
#[tokio::test(start_paused = true)]
async fn one_slow_attempt_does_not_keep_the_others_out() {
    let net = Net::new();
    net.on("a", |_| Reply::from(limited("1")).after(100 * MS));
    let (service, handle) = balance(pool(&["a"]), &net);
    status(&service, get()).await;
    advance(SECOND).await;

    net.on("a", |_| Reply::never());
    let mut hung = vec![tokio::spawn(service.clone().oneshot(get()))];
    sleep(MS).await;
    assert!(!of(&handle, "a").admissible);
    sleep(198 * MS).await;
    assert!(!of(&handle, "a").admissible);
    sleep(MS).await;
    for _ in 0..3 {
        assert!(of(&handle, "a").admissible);
        hung.push(tokio::spawn(service.clone().oneshot(get())));
        sleep(MS).await;
    }
    assert_eq!(net.count("a"), 5);
    hung.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Whatever the load is.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_always_refuses_is_asked_once_a_cooldown() {
    let net = Net::new();
    net.on("a", |_| Reply::from(limited("1")).after(30 * MS));
    let (service, _) = balance(pool(&["a"]), &net);
    for _ in 0..10_000 {
        tokio::spawn(service.clone().oneshot(get()));
        sleep(10 * MS).await;
    }
    // A hundred seconds, and three in flight before the first refusal.
    assert!(net.count("a") <= 103, "{}", net.count("a"));
}

/// It says that it may be asked at once, and refuses that.
#[tokio::test(start_paused = true)]
async fn a_hint_of_nothing_is_believed_once() {
    let net = Net::new();
    net.on("a", |_| limited("0"));
    let (service, handle) = balance(pool(&["a"]), &net);
    for seconds in [0, 2, 4, 8] {
        assert_eq!(status(&service, get()).await, 429);
        let wait = Duration::from_secs(seconds);
        let expected = (seconds > 0).then_some(wait);
        assert_eq!(cooling(&handle, "a"), expected);
        advance(wait).await;
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_hint_each_refusal_after_a_cooldown_doubles_it() {
    let net = Net::new();
    net.on("a", |_| answer(429));
    let (service, handle) = balance(pool(&["a"]), &net);
    for seconds in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert_eq!(status(&service, get()).await, 429);
        let wait = Duration::from_secs(seconds);
        assert_eq!(cooling(&handle, "a"), Some(wait));
        advance(wait).await;
    }
    net.on("a", |_| ok());
    assert_eq!(status(&service, get()).await, 200);
    net.on("a", |_| answer(429));
    assert_eq!(status(&service, get()).await, 429);
    assert_eq!(cooling(&handle, "a"), Some(SECOND), "it had recovered");
}

// ===== what a success says =====

#[tokio::test(start_paused = true)]
async fn a_success_that_says_that_nothing_remains_cools_before_the_refusal() {
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

/// The next request probably needs as many tokens as this one, and not all that there can be.
#[tokio::test(start_paused = true)]
async fn a_success_that_has_spent_the_tokens_cools_until_there_are_as_many() {
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
async fn a_success_that_has_something_left_cools_nobody() {
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

/// The refusal may come when the head was sent already, as an event of the stream.
#[tokio::test(start_paused = true)]
async fn a_stream_that_breaks_with_a_limit_cools_its_endpoint() {
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

// ===== credentials =====

fn with_key(name: &str) -> Endpoint {
    endpoint(name).api_key(Credential::bearer("own").expect("valid"))
}

#[tokio::test(start_paused = true)]
async fn a_key_that_is_rejected_three_times_in_a_row_benches_its_endpoint() {
    let net = Net::new();
    net.on("a", |_| answer(401));
    let builder = EndpointBalanceLayer::builder().endpoint(with_key("a"));
    let (service, handle) = balance(builder, &net);
    for _ in 0..2 {
        assert_eq!(status(&service, get()).await, 401);
        assert_eq!(cooling(&handle, "a"), None);
    }
    for minutes in [1, 2, 4, 8, 16, 30, 30] {
        assert_eq!(status(&service, get()).await, 401);
        let bench = minutes * MINUTE;
        assert_eq!(cooling(&handle, "a"), Some(bench));
        advance(bench - MS).await;
        assert_eq!(status(&service, get()).await, 0);
        advance(MS).await;
    }
}

#[tokio::test(start_paused = true)]
async fn only_rejections_in_a_row_count() {
    for between in [200, 400, 403, 404, 413, 429] {
        let net = Net::new();
        net.on("a", move |n| match n {
            2 if between == 429 => limited("0"),
            2 => answer(between),
            _ => answer(401),
        });
        let builder = EndpointBalanceLayer::builder().endpoint(with_key("a"));
        let (service, handle) = balance(builder, &net);
        for _ in 0..5 {
            status(&service, get()).await;
        }
        assert_eq!(
            cooling(&handle, "a"),
            None,
            "{between} shows that the key is good"
        );
        status(&service, get()).await;
        assert_eq!(cooling(&handle, "a"), Some(MINUTE), "{between}");
    }
}

/// A failure of the endpoint is no word on the key.
#[tokio::test(start_paused = true)]
async fn a_failure_between_rejections_does_not_excuse_the_key() {
    for between in [500, 502, 503, 504] {
        let net = Net::new();
        net.on("a", move |n| answer(if n % 2 == 0 { 401 } else { between }));
        let builder = EndpointBalanceLayer::builder().endpoint(with_key("a"));
        let (service, handle) = balance(builder, &net);
        for _ in 0..5 {
            status(&service, get()).await;
        }
        assert_eq!(cooling(&handle, "a"), Some(MINUTE), "{between}");
    }
}

/// A hundred requests that meet a revoked key at once are one finding. Each of them once
/// counted as a rejection after the bench, and so the second bench was the longest.
#[tokio::test(start_paused = true)]
async fn a_burst_of_rejections_counts_once() {
    let net = Net::new();
    net.on("a", |_| Reply::from(answer(401)).after(10 * MS));
    let builder = EndpointBalanceLayer::builder().endpoint(with_key("a"));
    let (service, handle) = balance(builder, &net);
    let burst: Vec<_> = (0..100)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for request in burst {
        request.await.unwrap().unwrap();
    }
    assert_eq!(cooling(&handle, "a"), Some(MINUTE));
    advance(MINUTE).await;
    status(&service, get()).await;
    assert_eq!(cooling(&handle, "a"), Some(2 * MINUTE));
}

/// Anybody could otherwise take an endpoint away from all others with a bad key.
#[tokio::test(start_paused = true)]
async fn a_key_of_the_caller_benches_nobody() {
    for endpoint in [
        endpoint("a").pass_credentials(true),
        with_key("a").pass_credentials(true),
        endpoint("a"),
    ] {
        let net = Net::new();
        net.on("a", |_| answer(401));
        let (service, handle) = balance(EndpointBalanceLayer::builder().endpoint(endpoint), &net);
        for _ in 0..20 {
            let mut request = get();
            let key = "caller".parse().unwrap();
            request.headers_mut().insert("x-api-key", key);
            assert_eq!(status(&service, request).await, 401);
        }
        assert!(of(&handle, "a").admissible);
    }
}

#[tokio::test(start_paused = true)]
async fn a_403_benches_nobody() {
    let net = Net::new();
    net.on("a", |_| answer(403));
    let builder = EndpointBalanceLayer::builder().endpoint(with_key("a"));
    let (service, handle) = balance(builder, &net);
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 403);
    }
    assert!(of(&handle, "a").admissible);
    assert_eq!(of(&handle, "a").health, 1.0);
}

// ===== several limits at once =====

#[tokio::test(start_paused = true)]
async fn a_stream_in_flight_does_not_keep_the_others_out() {
    let net = Net::new();
    net.on("a", |n| match n {
        0 => limited("1"),
        _ => streamed(Stream::of(["data"]).end(Ending::Never)),
    });
    let (service, handle) = balance(pool(&["a"]), &net);
    status(&service, get()).await;
    advance(SECOND).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(send(&service, get()).await.unwrap());
        advance(SECOND / 4).await;
    }
    assert_eq!(of(&handle, "a").in_flight, 10);
}

#[tokio::test(start_paused = true)]
async fn the_soonest_recovery_is_told_and_when_to_send_again() {
    let net = Net::new();
    net.on("a", |_| limited("5"));
    net.on("b", |_| limited("2"));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    assert_eq!(status(&service, get()).await, 429);
    assert_eq!(status(&service, get()).await, 429);
    let trail = Trail::new();
    let answer = send(&service, crate::support::get_with(&trail)).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(2 * SECOND)));
    let soon = tokio::time::Instant::now() + 2 * SECOND;
    assert_eq!(trail.take_next(), Some(steadfast_core::Next::At(soon)));
    assert!(trail.is_empty(), "nobody was asked");
}
