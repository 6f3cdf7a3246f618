//! Broken endpoints below a retry layer.

use steadfast_core::{BreakerState, Event};
use steadfast_retry::RetryOn429Layer;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;

use super::{exact, response, servers, stack};
use crate::support::{
    Events, MS, Net, Reply, SECOND, Stream, get, of, ok, pool, refused, reset, send, status,
    streamed,
};

#[tokio::test(start_paused = true)]
async fn connection_lost_under_fifty_requests_opens_no_breaker() {
    let net = Net::new();
    net.on("a", |n| match n {
        0..50 => Reply::from(reset()).after(10 * MS),
        _ => Reply::from(ok()).after(10 * MS),
    });
    servers(&net, &["b"], |_| ok().into());
    let events = Events::default();
    let builder = pool(&["a", "b"]).observer(events.observer());
    let (service, handle) = stack(&exact(), builder, &net);
    let requests: Vec<_> = (0..50)
        .map(|_| tokio::spawn(service.clone().oneshot(get())))
        .collect();
    for request in requests {
        assert_eq!(response(request.await.unwrap()).status(), 200);
    }
    assert_eq!(of(&handle, "a").health, 0.95);
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
    assert_eq!(status(&service, get()).await, 200);
    assert_eq!(net.count("a"), 51, "it is used again");
}

/// The caller sees the broken body, because the start of it was passed on already.
#[tokio::test(start_paused = true)]
async fn broken_stream_is_not_retried() {
    use http_body_util::BodyExt;
    let net = Net::new();
    servers(&net, &["a", "b"], |_| {
        streamed(Stream::of(["data"]).broken(reset())).into()
    });
    let (service, handle) = stack(&exact(), pool(&["a", "b"]), &net);
    let body = response(send(&service, get()).await).into_body();
    body.collect().await.expect_err("it broke");
    assert_eq!(net.counts(["a", "b"]), [1, 0]);
    assert_eq!(of(&handle, "a").health, 0.95);
}

#[tokio::test(start_paused = true)]
async fn pool_down_from_the_start_serves_after_its_servers_recover() {
    let net = Net::new();
    servers(&net, &["a", "b", "c"], |_| refused().into());
    let (service, handle) = stack(&RetryOn429Layer::new(), pool(&["a", "b", "c"]), &net);
    let start = Instant::now();
    while handle
        .status()
        .iter()
        .any(|status| status.breaker == BreakerState::Closed)
    {
        send(&service, get()).await.expect_err("all are down");
        assert!(start.elapsed() < 600 * SECOND, "it does not hang");
    }
    servers(&net, &["a", "b", "c"], |_| ok().into());
    sleep(60 * SECOND).await;
    for _ in 0..20 {
        assert_eq!(status(&service, get()).await, 200);
    }
}
