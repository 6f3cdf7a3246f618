//! The end of a request: the end of its body, or a cancellation.

use std::pin::Pin;
use std::sync::mpsc;
use std::task::{Context, Poll};

use http::Response;
use http_body_util::BodyExt;
use steadfast_balance::PoolHandle;
use steadfast_core::{BoxError, BreakerState, Trail};
use tokio::time::{advance, timeout};
use tower::{Layer, ServiceExt, service_fn};

use crate::support::body::Ending;
use crate::support::{
    MS, Net, Reply, SECOND, Stream, answer, balancer, connection_reset, get, get_with_trail, pool,
    send, send_for_status, status_of, streamed,
};

#[tokio::test(start_paused = true)]
async fn request_is_in_flight_until_its_body_ends() {
    for end in [Ending::Known, Ending::Polled] {
        let net = Net::new();
        net.on("a", move |_| {
            streamed(Stream::of(["data", "done"]).end(end))
        });
        let (service, handle) = balancer(pool(&["a"]), &net);
        let mut body = send(&service, get()).await.unwrap().into_body();
        assert_eq!(status_of(&handle, "a").in_flight, 1);
        body.frame().await.unwrap().unwrap();
        assert_eq!(status_of(&handle, "a").in_flight, 1);
        body.frame().await.unwrap().unwrap();
        // A reader of events stops at the last event and does not poll again.
        assert_eq!(
            status_of(&handle, "a").in_flight,
            u32::from(end == Ending::Polled)
        );
        assert!(body.frame().await.is_none());
        assert_eq!(status_of(&handle, "a").in_flight, 0);
    }
}

/// A future that keeps something until its end, such as a permit of `ConcurrencyLimit`.
struct Held(PoolHandle, mpsc::Sender<u32>);

impl Future for Held {
    type Output = Result<Response<Stream>, BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(answer(500)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.1.send(status_of(&self.0, "a").in_flight);
    }
}

/// A waiter that is notified of the end of an attempt needs what its future keeps.
#[tokio::test(start_paused = true)]
async fn future_of_an_attempt_ends_before_its_load() {
    let layer = pool(&["a"]).build().expect("valid");
    let (handle, (ended, in_flight)) = (layer.handle(), mpsc::channel());
    let service = layer.layer(service_fn(move |_| Held(handle.clone(), ended.clone())));
    let _response = service.oneshot(get()).await.unwrap();
    assert_eq!(in_flight.try_recv(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn empty_or_failed_response_is_not_in_flight() {
    let net = Net::new();
    net.on("a", |_| streamed(Stream::of([])));
    net.on("b", |_| answer(500));
    let (service, handle) = balancer(pool(&["a", "b"]), &net);
    let _response = send(&service, get()).await.unwrap();
    assert_eq!(status_of(&handle, "a").in_flight, 0);
    // A failed answer ends with its head, even if its body is kept.
    net.on("a", |_| answer(500));
    let _response = send(&service, get()).await.unwrap();
    assert_eq!(status_of(&handle, "a").in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn broken_body_counts_as_failure_of_its_endpoint() {
    let net = Net::new();
    net.on("a", |_| {
        streamed(Stream::of(["data"]).broken(connection_reset()))
    });
    let (service, handle) = balancer(pool(&["a"]), &net);
    for broken in 1..=7 {
        let body = send(&service, get()).await.unwrap().into_body();
        body.collect().await.expect_err("the body is broken");
        let is_open = status_of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, broken == 7);
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_body_counts_as_success() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    let (service, handle) = balancer(pool(&["a"]), &net);
    for _ in 0..6 {
        send_for_status(&service, get()).await;
    }
    net.on("a", |_| streamed(Stream::of(["data"]).end(Ending::Never)));
    let mut body = send(&service, get()).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(status_of(&handle, "a").in_flight, 0);

    net.on("a", |_| connection_reset());
    send_for_status(&service, get()).await;
    assert_eq!(
        status_of(&handle, "a").breaker,
        BreakerState::Closed,
        "the success ended the streak"
    );
}

/// The stream of a probe may run for minutes and would keep the breaker half-open for that time. A
/// reader that stops at `[DONE]` would keep it half-open for ever.
#[tokio::test(start_paused = true)]
async fn stream_heads_close_half_open_breaker() {
    for end in [Ending::Known, Ending::Polled, Ending::Never] {
        let net = Net::new();
        net.on("a", |_| connection_reset());
        let (service, handle) = balancer(pool(&["a"]), &net);
        for _ in 0..7 {
            send_for_status(&service, get()).await;
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
        assert_eq!(
            status_of(&handle, "a").breaker,
            BreakerState::Closed,
            "{end:?}"
        );
        drop(bodies);
        assert_eq!(status_of(&handle, "a").health, 1.0);
        assert_eq!(status_of(&handle, "a").in_flight, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn broken_body_of_a_probe_reopens_the_breaker() {
    let net = Net::new();
    net.on("a", |_| connection_reset());
    let (service, handle) = balancer(pool(&["a"]), &net);
    for _ in 0..7 {
        send_for_status(&service, get()).await;
    }
    advance(5 * SECOND).await;
    net.on("a", |_| {
        streamed(Stream::of(["data"]).broken(connection_reset()))
    });
    let body = send(&service, get()).await.unwrap().into_body();
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::HalfOpen);
    body.collect().await.expect_err("the body is broken");
    assert_eq!(status_of(&handle, "a").breaker, BreakerState::Open);
}

#[tokio::test(start_paused = true)]
async fn cancelled_attempt_leaves_breaker_unchanged() {
    let net = Net::new();
    net.on("a", |_| Reply::never());
    let (service, handle) = balancer(pool(&["a"]), &net);
    for _ in 0..20 {
        let trail = Trail::new();
        let left = timeout(SECOND, send(&service, get_with_trail(&trail))).await;
        assert!(left.is_err());
        assert_eq!(trail.to_string(), "a: cancelled");
        assert_eq!(trail.last().map(|last| last.elapsed), Some(SECOND));
    }
    let state = status_of(&handle, "a");
    assert_eq!(
        (state.breaker, state.health, state.latency),
        (BreakerState::Closed, 1.0, None)
    );
}

#[tokio::test(start_paused = true)]
async fn late_cancellation_counts_as_timeout_with_abandoned_after() {
    for (patience, opens) in [(2 * SECOND, false), (2 * SECOND + MS, true)] {
        let net = Net::new();
        net.on("a", |_| Reply::never());
        let (service, handle) = balancer(pool(&["a"]).abandoned_after(2 * SECOND), &net);
        for _ in 0..7 {
            assert_eq!(status_of(&handle, "a").breaker, BreakerState::Closed);
            let trail = Trail::new();
            let left = timeout(patience, send(&service, get_with_trail(&trail))).await;
            assert!(left.is_err());
            let class = if opens { "a: timeout" } else { "a: cancelled" };
            assert_eq!(trail.to_string(), class);
        }
        let is_open = status_of(&handle, "a").breaker == BreakerState::Open;
        assert_eq!(is_open, opens, "{patience:?}");
    }
}
