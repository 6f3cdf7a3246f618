//! Broken endpoints below a retry layer.

use steadfast_core::{BreakerState, Event};
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{Client429, expect_response, retry_stack, retry_without_jitter, set_rule, trail_text};
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, connection_refused, connection_reset, get, ok, pool,
    refusal, request_only_to, send, send_for_status, status_of, streamed, with_deadline,
};

#[tokio::test(start_paused = true)]
async fn connection_lost_under_fifty_requests_opens_no_breaker() {
    let net = Net::new();
    net.on("a", |n| match n {
        0..50 => Reply::from(connection_reset()).after(10 * MS),
        _ => Reply::from(ok()).after(10 * MS),
    });
    set_rule(&net, &["b"], |_| ok().into());
    let events = Events::default();
    let builder = pool(&["a", "b"]).observer(events.observer());
    let (service, handle) = retry_stack(&retry_without_jitter(), builder, &net);
    let requests: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for request in requests {
        assert_eq!(expect_response(request.await.unwrap()).status(), 200);
    }
    assert_eq!(status_of(&handle, "a").health, 0.95);
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
    assert_eq!(send_for_status(&service, get()).await, 200);
    assert_eq!(net.count("a"), 51, "the endpoint is used again");
}

/// The caller sees the broken body, because the start of it was passed on already.
#[tokio::test(start_paused = true)]
async fn broken_stream_is_not_retried() {
    use http_body_util::BodyExt;
    let net = Net::new();
    set_rule(&net, &["a", "b"], |_| {
        streamed(Stream::of(["data"]).broken(connection_reset())).into()
    });
    let (service, handle) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
    let body = expect_response(send(&service, get()).await).into_body();
    body.collect().await.expect_err("the body is broken");
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
    assert_eq!(status_of(&handle, "a").health, 0.95);
}

#[tokio::test(start_paused = true)]
async fn pool_down_from_the_start_serves_after_its_servers_recover() {
    let net = Net::new();
    set_rule(&net, &["a", "b", "c"], |_| connection_refused().into());
    let (service, handle) = retry_stack(&RetryOn429Layer::new(), pool(&["a", "b", "c"]), &net);
    let start = Instant::now();
    while handle
        .status()
        .iter()
        .any(|status| status.breaker == BreakerState::Closed)
    {
        send(&service, get()).await.expect_err("all are down");
        assert!(start.elapsed() < 600 * SECOND, "the request hangs");
    }
    set_rule(&net, &["a", "b", "c"], |_| ok().into());
    sleep(60 * SECOND).await;
    for _ in 0..20 {
        assert_eq!(send_for_status(&service, get()).await, 200);
    }
}

/// Opens the breaker of `a`, which serves again afterwards.
async fn open_breaker_of_a(net: &Net, service: &Client429) {
    set_rule(net, &["a"], |_| connection_refused().into());
    for _ in 0..8 {
        let _ = send(service, with_deadline(request_only_to("a"), MS)).await;
    }
    set_rule(net, &["a"], |_| ok().into());
    // An early probe is due each second.
    sleep(SECOND).await;
}

/// The request used all its attempts at the closed port of `b` within a second.
#[tokio::test(start_paused = true)]
async fn request_without_connection_probes_a_broken_endpoint() {
    let net = Net::new();
    set_rule(&net, &["b"], |_| connection_refused().into());
    let (service, handle) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
    open_breaker_of_a(&net, &service).await;
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
    let answer = send(&service, with_deadline(get(), 30 * SECOND)).await;
    assert_eq!(trail_text(&answer), "b: connect, a: success (200)");
}

/// The request gave up after a second, because each probe of `b` was refused. `a` had recovered.
#[tokio::test(start_paused = true)]
async fn refused_probes_of_one_endpoint_do_not_end_the_wait_for_another() {
    let net = Net::new();
    set_rule(&net, &["b"], |_| refusal("1").into());
    let (service, handle) = retry_stack(&retry_without_jitter(), pool(&["a", "b"]), &net);
    open_breaker_of_a(&net, &service).await;
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
    let first = tokio::spawn({
        let service = service.clone();
        async move { send(&service, with_deadline(get(), 30 * SECOND)).await }
    });
    // The next probe of `a` is due after a second, when the first request has returned.
    sleep(SECOND * 3 / 5).await;
    set_rule(&net, &["a"], |_| connection_refused().into());
    let _ = send(&service, with_deadline(request_only_to("a"), MS)).await;
    set_rule(&net, &["a"], |_| ok().into());
    sleep(SECOND * 2 / 5).await;
    // Refused as the probe of the cooldown, just before the first request returns.
    let _ = send(&service, with_deadline(request_only_to("b"), SECOND / 10)).await;
    let answer = first.await.unwrap();
    assert_eq!(
        trail_text(&answer),
        "b: rate_limited (429), a: success (200)"
    );
}
