//! What a caller sees of endpoints that are broken, and how a request ends for its endpoint.

use http_body_util::BodyExt;
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{BreakerState, Class, Exhausted, Next, Trail};
use tokio::time::{advance, sleep, timeout};
use tower::ServiceExt;

use crate::support::body::Ending;
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, answer, balance, exhausted, get, get_with, of, ok,
    pool, refused, reset, send, status, streamed, with,
};

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_after_seven_failures_and_closes_by_probes() {
    let net = Net::new();
    net.on("a", |_| reset());
    let events = Events::default();
    let (service, handle) = balance(pool(&["a"]).observer(events.observer()), &net);
    for _ in 0..6 {
        status(&service, get()).await;
    }
    assert_eq!(of(&handle, "a").breaker, BreakerState::Closed);
    status(&service, get()).await;
    assert_eq!(events.take(), ["a open"]);

    let answer = send(&service, get()).await;
    assert_eq!(exhausted(answer), (Class::Overloaded, Some(5 * SECOND)));
    advance(4999 * MS).await;
    assert_eq!(status(&service, get()).await, 0);
    assert_eq!(net.count("a"), 7);
    net.on("a", |_| ok());
    advance(MS).await;
    events.take();
    for _ in 0..3 {
        assert_ne!(of(&handle, "a").breaker, BreakerState::Closed);
        assert_eq!(status(&service, get()).await, 200);
    }
    assert_eq!(events.take(), ["a half_open", "a closed"]);
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_failure_counts_and_nothing_else() {
    for (code, opens) in [
        (500, true),
        (502, true),
        (503, true),
        (504, true),
        (529, true),
        (522, true),
        (408, false),
        (400, false),
        (404, false),
        (413, false),
        (401, false),
        (403, false),
        (501, false),
    ] {
        let net = Net::new();
        net.on("a", move |_| answer(code));
        let (service, handle) = balance(pool(&["a"]), &net);
        for _ in 0..7 {
            status(&service, get()).await;
        }
        let state = of(&handle, "a").breaker;
        assert_eq!(state == BreakerState::Open, opens, "{code}");
    }
}

/// An endpoint that says when it is back has said it for all who ask meanwhile.
#[tokio::test(start_paused = true)]
async fn an_overloaded_endpoint_with_a_hint_fails_once_in_a_cooldown() {
    let net = Net::new();
    net.on("a", |_| {
        Reply::from(with(answer(503), &[("retry-after", "1")])).after(10 * MS)
    });
    let (service, handle) = balance(pool(&["a"]).max_wait(std::time::Duration::ZERO), &net);
    for cooldowns in 1..=7 {
        let burst: Vec<_> = (0..50)
            .map(|_| tokio::spawn(service.clone().oneshot(get())))
            .collect();
        for request in burst {
            let _ = request.await.unwrap();
        }
        let is_open = of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, cooldowns == 7, "{cooldowns}");
        advance(SECOND).await;
    }
    assert_eq!(net.count("a"), 50 + 6, "one after each cooldown");
}

/// A connection of HTTP/2 takes all its requests along, which is one event.
#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_under_fifty_requests_is_one_failure() {
    let net = Net::new();
    net.on("a", |_| Reply::from(reset()).after(10 * MS));
    let (service, handle) = balance(pool(&["a"]), &net);
    let streams: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for stream in streams {
        stream.await.unwrap().expect_err("it was reset");
    }
    assert_eq!(of(&handle, "a").health, 0.95);
}

/// The same after the heads of the responses.
#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_under_fifty_streams_is_one_failure() {
    let net = Net::new();
    net.on("a", |_| streamed(Stream::of(["data"]).broken(reset())));
    let (service, handle) = balance(pool(&["a"]), &net);
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(send(&service, get()).await.unwrap());
    }
    for stream in streams {
        stream
            .into_body()
            .collect()
            .await
            .expect_err("it was reset");
    }
    assert_eq!(of(&handle, "a").health, 0.95);
}

// ===== the end of a response =====

#[tokio::test(start_paused = true)]
async fn a_request_is_in_flight_until_its_body_ends() {
    for end in [Ending::Known, Ending::Polled] {
        let net = Net::new();
        net.on("a", move |_| {
            streamed(Stream::of(["data", "done"]).end(end))
        });
        let (service, handle) = balance(pool(&["a"]), &net);
        let mut body = send(&service, get()).await.unwrap().into_body();
        assert_eq!(of(&handle, "a").in_flight, 1);
        body.frame().await.unwrap().unwrap();
        assert_eq!(of(&handle, "a").in_flight, 1);
        body.frame().await.unwrap().unwrap();
        // A reader of events stops at the last one and never polls again.
        assert_eq!(of(&handle, "a").in_flight, u32::from(end == Ending::Polled));
        assert!(body.frame().await.is_none());
        assert_eq!(of(&handle, "a").in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_has_no_body_is_not_in_flight() {
    let net = Net::new();
    net.on("a", |_| streamed(Stream::of([])));
    net.on("b", |_| answer(500));
    let (service, handle) = balance(pool(&["a", "b"]), &net);
    let _response = send(&service, get()).await.unwrap();
    assert_eq!(of(&handle, "a").in_flight, 0);
    // An answer that is a failure is over with its head, whoever keeps it.
    net.on("a", |_| answer(500));
    let _response = send(&service, get()).await.unwrap();
    assert_eq!(of(&handle, "a").in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_is_a_failure_of_its_endpoint() {
    let net = Net::new();
    net.on("a", |_| streamed(Stream::of(["data"]).broken(reset())));
    let (service, handle) = balance(pool(&["a"]), &net);
    for broken in 1..=7 {
        let body = send(&service, get()).await.unwrap().into_body();
        body.collect().await.expect_err("it broke");
        let is_open = of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, broken == 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_dropped_is_a_success() {
    let net = Net::new();
    net.on("a", |_| reset());
    let (service, handle) = balance(pool(&["a"]), &net);
    for _ in 0..6 {
        status(&service, get()).await;
    }
    net.on("a", |_| streamed(Stream::of(["data"]).end(Ending::Never)));
    let mut body = send(&service, get()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(of(&handle, "a").in_flight, 0);

    net.on("a", |_| reset());
    status(&service, get()).await;
    assert_eq!(
        of(&handle, "a").breaker,
        BreakerState::Closed,
        "it was in between"
    );
}

/// A probe whose stream runs for minutes would keep the breaker half-open for as long, and a
/// reader that leaves at `[DONE]` would keep it so for ever.
#[tokio::test(start_paused = true)]
async fn streams_close_a_half_open_breaker_with_their_heads() {
    for end in [Ending::Known, Ending::Polled, Ending::Never] {
        let net = Net::new();
        net.on("a", |_| reset());
        let (service, handle) = balance(pool(&["a"]), &net);
        for _ in 0..7 {
            status(&service, get()).await;
        }
        advance(5 * SECOND).await;
        net.on("a", move |_| {
            streamed(Stream::of(["data", "[DONE]"]).end(end))
        });
        let mut bodies = Vec::new();
        for _ in 0..3 {
            let mut body = send(&service, get()).await.unwrap().into_body();
            body.frame().await.unwrap().unwrap();
            body.frame().await.unwrap().unwrap();
            bodies.push(body);
        }
        assert_eq!(of(&handle, "a").breaker, BreakerState::Closed, "{end:?}");
        drop(bodies);
        assert_eq!(of(&handle, "a").health, 1.0);
        assert_eq!(of(&handle, "a").in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_probe_whose_body_breaks_opens_the_breaker_again() {
    let net = Net::new();
    net.on("a", |_| reset());
    let (service, handle) = balance(pool(&["a"]), &net);
    for _ in 0..7 {
        status(&service, get()).await;
    }
    advance(5 * SECOND).await;
    net.on("a", |_| streamed(Stream::of(["data"]).broken(reset())));
    let body = send(&service, get()).await.unwrap().into_body();
    assert_eq!(of(&handle, "a").breaker, BreakerState::HalfOpen);
    body.collect().await.expect_err("it broke");
    assert_eq!(of(&handle, "a").breaker, BreakerState::Open);
}

// ===== callers who leave =====

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_says_nothing_about_the_endpoint() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let (service, handle) = balance(pool(&["a"]), &net);
    for _ in 0..20 {
        let trail = Trail::new();
        let left = timeout(SECOND, send(&service, get_with(&trail))).await;
        assert!(left.is_err());
        assert_eq!(trail.to_string(), "a: cancelled");
        assert_eq!(trail.last().map(|last| last.elapsed), Some(SECOND));
    }
    let state = of(&handle, "a");
    assert_eq!(
        (state.breaker, state.health, state.latency),
        (BreakerState::Closed, 1.0, None)
    );
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves_late_can_count_as_a_timeout() {
    for (patience, opens) in [(2 * SECOND, false), (2 * SECOND + MS, true)] {
        let net = Net::new();
        net.on("a", |_| Reply::never());
        let (service, handle) = balance(pool(&["a"]).abandoned_after(2 * SECOND), &net);
        for _ in 0..7 {
            assert_eq!(of(&handle, "a").breaker, BreakerState::Closed);
            let trail = Trail::new();
            let left = timeout(patience, send(&service, get_with(&trail))).await;
            assert!(left.is_err());
            let class = if opens { "a: timeout" } else { "a: cancelled" };
            assert_eq!(trail.to_string(), class);
        }
        let is_open = of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, opens, "{patience:?}");
    }
}

// ===== a pool that is broken =====

/// tower's balancer hangs for ever once all its endpoints have failed, also when they are back.
#[tokio::test(start_paused = true)]
async fn endpoints_that_are_all_down_from_the_start_come_back() {
    let net = Net::new();
    for name in ["a", "b", "c"] {
        net.on(name, |_| refused());
    }
    let (service, _) = balance(pool(&["a", "b", "c"]), &net);
    for _ in 0..100 {
        let answer = timeout(SECOND, send(&service, get())).await;
        answer.expect("it does not hang").expect_err("all are down");
        sleep(100 * MS).await;
    }
    for name in ["a", "b", "c"] {
        net.on(name, |_| ok());
    }
    // The breakers are open for 10 s by now.
    sleep(10 * SECOND).await;
    for _ in 0..100 {
        assert_eq!(status(&service, get()).await, 200);
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_pool_is_neutral_and_not_worth_a_wait() {
    let net = Net::new();
    net.on("a", |_| reset());
    let events = Events::default();
    let (service, _) = balance(pool(&["a"]).observer(events.observer()), &net);
    for _ in 0..7 {
        status(&service, get()).await;
    }
    events.take();
    let trail = Trail::new();
    let error = send(&service, get_with(&trail)).await.unwrap_err();
    let exhausted = Exhausted::find(&*error).expect("typed");
    assert_eq!(exhausted.retry_in(), Some(5 * SECOND));
    let effect = exhausted.verdict().breaker();
    assert_eq!(effect, steadfast_core::BreakerEffect::Neutral);
    assert_eq!(trail.take_next(), Some(Next::Never));
    assert_eq!(events.take(), ["exhausted Some(5s)"]);
}

/// While one is limited and another broken, the limit is what passes by itself.
#[tokio::test(start_paused = true)]
async fn a_limit_beside_a_broken_endpoint_is_worth_a_wait() {
    let net = Net::new();
    net.on("a", |_| reset());
    net.on("b", |_| crate::support::limited("60"));
    let (service, _) = balance(pool(&["a", "b"]), &net);
    for _ in 0..8 {
        status(&service, get()).await;
    }
    let trail = Trail::new();
    let answer = send(&service, get_with(&trail)).await;
    assert_eq!(exhausted(answer), (Class::RateLimited, Some(5 * SECOND)));
    let limit = tokio::time::Instant::now() + 60 * SECOND;
    assert_eq!(trail.take_next(), Some(Next::At(limit)));
}

/// An endpoint that is both has to recover from both.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_cools_behind_an_open_breaker_is_back_when_both_are_over() {
    let net = Net::new();
    net.on("a", |n| match n {
        0..6 => Reply::from(reset()),
        6 => Reply::from(with(answer(503), &[("retry-after", "9")])),
        _ => Reply::from(ok()),
    });
    let (service, handle) = balance(pool(&["a"]), &net);
    for _ in 0..7 {
        status(&service, get()).await;
    }
    let answer = send(&service, get()).await;
    assert_eq!(exhausted(answer), (Class::Overloaded, Some(9 * SECOND)));
    advance(5 * SECOND).await;
    assert_eq!(status(&service, get()).await, 0);
    advance(4 * SECOND).await;
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(of(&handle, "a").breaker, BreakerState::HalfOpen);
}
