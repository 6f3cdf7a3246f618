//! The outcomes that open and close the breaker of an endpoint.

use http_body_util::BodyExt;
use steadfast_core::{BreakerState, Class};
use tokio::time::advance;
use tower::ServiceExt;

use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, answer, balancer, connection_reset, expect_exhausted,
    get, ok, pool, pool_without_early_probes, send, send_for_status, status_of, streamed,
    with_headers,
};

#[tokio::test(start_paused = true)]
async fn breaker_opens_after_seven_failures_and_closes_after_three_probes() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    let events = Events::default();
    let (service, handle) = balancer(
        pool_without_early_probes(&["a"]).observer(events.observer()),
        &net,
    );
    for _ in 0..6 {
        send_for_status(&service, get()).await;
    }
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Closed);
    send_for_status(&service, get()).await;
    assert_eq!(events.take(), ["a open"]);

    let answer = send(&service, get()).await;
    assert_eq!(
        expect_exhausted(answer),
        (Class::Transport, Some(5 * SECOND))
    );
    advance(4999 * MS).await;
    assert_eq!(send_for_status(&service, get()).await, 0);
    assert_eq!(net.count("a"), 7);
    net.on("a", |_| ok());
    advance(MS).await;
    events.take();
    for _ in 0..3 {
        assert_ne!(status_of(&handle, "a").breaker, BreakerState::Closed);
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
    assert_eq!(events.take(), ["a half_open", "a closed"]);
}

#[tokio::test(start_paused = true)]
async fn only_failure_classes_open_the_breaker() {
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
        let (service, handle) = balancer(pool(&["a"]), &net);
        for _ in 0..7 {
            send_for_status(&service, get()).await;
        }
        let state = status_of(&handle, "a").breaker;
        assert_eq!(state == BreakerState::Open, opens, "{code}");
    }
}

/// The hint of one answer holds for all concurrent attempts.
#[tokio::test(start_paused = true)]
async fn overload_with_hint_counts_one_failure_per_cooldown() {
    let net = Net::new();
    net.on("a", |_| {
        Reply::from(with_headers(answer(503), &[("retry-after", "1")])).after(10 * MS)
    });
    let (service, handle) = balancer(pool(&["a"]).max_wait(std::time::Duration::ZERO), &net);
    for cooldowns in 1..=7 {
        let burst: Vec<_> = (0..50)
            .map(|_| tokio::spawn(service.clone().oneshot(get())))
            .collect();
        for request in burst {
            let _ = request.await.unwrap();
        }
        let is_open = status_of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, cooldowns == 7, "{cooldowns}");
        advance(SECOND).await;
    }
    assert_eq!(net.count("a"), 50 + 6, "one after each cooldown");
}

/// A lost HTTP/2 connection ends all of its requests, which is one event.
#[tokio::test(start_paused = true)]
async fn connection_lost_under_fifty_requests_counts_one_failure() {
    let net = Net::new();
    net.on("a", |_| Reply::from(connection_reset()).after(10 * MS));
    let (service, handle) = balancer(pool(&["a"]), &net);
    let streams: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for stream in streams {
        stream.await.unwrap().expect_err("the connection was reset");
    }
    assert_eq!(status_of(&handle, "a").health, 0.95);
}

/// The connection is lost after the heads of the responses.
#[tokio::test(start_paused = true)]
async fn connection_lost_under_fifty_streams_counts_one_failure() {
    let net = Net::new();
    net.on("a", |_| {
        streamed(Stream::of(["data"]).broken(connection_reset()))
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(send(&service, get()).await.unwrap());
    }
    for stream in streams {
        stream
            .into_body()
            .collect()
            .await
            .expect_err("the connection was reset");
    }
    assert_eq!(status_of(&handle, "a").health, 0.95);
}
