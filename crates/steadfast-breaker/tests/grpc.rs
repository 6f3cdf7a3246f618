//! Answers of gRPC, whose status comes after their bodies.

mod support;

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
use support::{CLOSED, OPEN};
use tower::{Layer, ServiceExt};

struct Frames(VecDeque<Frame<Bytes>>);

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(Ok))
    }
}

fn status(code: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from_static(code));
    headers
}

/// The state after an answer with these headers and trailers was read to its end.
async fn state_after(
    http: u16,
    head: HeaderMap,
    trailers: Option<HeaderMap>,
) -> steadfast_core::BreakerState {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(1)
        .build()
        .unwrap();
    let client = tower::service_fn(move |_: Request<()>| {
        let data = Frame::data(Bytes::from_static(b"message"));
        let trailers = trailers.clone().map(Frame::trailers);
        let mut response = Response::new(Frames([data].into_iter().chain(trailers).collect()));
        *response.status_mut() = http.try_into().unwrap();
        *response.headers_mut() = head.clone();
        async { Ok::<_, Infallible>(response) }
    });
    let client = CircuitBreakerLayer::grpc(breaker.clone()).layer(client);
    let response = client.oneshot(Request::new(())).await.unwrap();
    let collected = response.into_body().collect().await.unwrap();
    assert_eq!(collected.to_bytes(), "message");
    breaker.state()
}

#[tokio::test(start_paused = true)]
async fn the_status_in_the_trailers_counts() {
    for (code, expected) in [
        ("0", CLOSED),
        ("5", CLOSED),
        ("14", OPEN),
        ("8", CLOSED),
        ("1", CLOSED),
    ] {
        let state = state_after(200, HeaderMap::new(), Some(status(code))).await;
        assert_eq!(state, expected, "{code}");
    }
    assert_eq!(state_after(200, HeaderMap::new(), None).await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn the_status_in_the_head_counts_where_there_is_one() {
    assert_eq!(state_after(200, status("14"), None).await, OPEN);
    assert_eq!(state_after(200, status("12"), None).await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_that_fails_knows_nothing_of_grpc() {
    assert_eq!(state_after(503, HeaderMap::new(), None).await, OPEN);
    assert_eq!(state_after(404, HeaderMap::new(), None).await, CLOSED);
}
