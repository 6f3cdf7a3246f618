//! gRPC answers: the status comes after the body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::support::{CLOSED, FAILURE, HALF_OPEN, OPEN, SUCCESS, attempt};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, GrpcBody};
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

/// Returns the state after an answer with these headers and trailers is read to its end.
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
async fn status_in_trailers_counts() {
    for (code, expected) in [
        ("0", CLOSED),
        ("5", CLOSED),
        ("14", OPEN),
        ("8", CLOSED),
        ("1", CLOSED),
        ("what", OPEN),
    ] {
        let state = state_after(200, HeaderMap::new(), Some(status(code))).await;
        assert_eq!(state, expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn status_in_head_counts() {
    assert_eq!(state_after(200, status("14"), None).await, OPEN);
    assert_eq!(state_after(200, status("12"), None).await, CLOSED);
}

#[tokio::test(start_paused = true)]
async fn http_status_without_grpc_status_counts() {
    assert_eq!(state_after(503, HeaderMap::new(), None).await, OPEN);
    assert_eq!(state_after(404, HeaderMap::new(), None).await, CLOSED);
}

/// A server or a proxy may end a stream early. A gRPC client reports `UNKNOWN`.
#[tokio::test(start_paused = true)]
async fn missing_status_is_failure() {
    assert_eq!(state_after(200, HeaderMap::new(), None).await, OPEN);
    let other = Some(HeaderMap::new());
    assert_eq!(state_after(200, HeaderMap::new(), other).await, OPEN);
}

type Answer = http::Response<GrpcBody<Frames>>;

/// Returns the answer to a probe of a breaker that closes at the second success.
async fn probe(code: &'static str) -> (CircuitBreaker, Answer) {
    let breaker = CircuitBreaker::builder()
        .success_threshold(2)
        .build()
        .unwrap();
    breaker.trip();
    tokio::time::advance(std::time::Duration::from_secs(60)).await;
    let client = tower::service_fn(move |_: Request<()>| {
        let data = Frame::data(Bytes::from_static(b"message"));
        let frames = [data, Frame::trailers(status(code))];
        async { Ok::<_, Infallible>(Response::new(Frames(frames.into()))) }
    });
    let client = CircuitBreakerLayer::grpc(breaker.clone()).layer(client);
    let response = client.oneshot(Request::new(())).await.unwrap();
    (breaker, response)
}

/// The body of a probe may be a stream of minutes, and a head with `200` has no status yet.
#[tokio::test(start_paused = true)]
async fn probe_releases_slot_at_head_and_counts_at_status() {
    for (code, expected) in [("0", CLOSED), ("14", OPEN)] {
        let (breaker, response) = probe(code).await;
        breaker.try_acquire().expect("a slot").record(SUCCESS);
        assert_eq!(breaker.state(), HALF_OPEN, "one of two");
        response.into_body().collect().await.unwrap();
        assert_eq!(breaker.state(), expected, "{code}");
    }
}

#[tokio::test(start_paused = true)]
async fn probe_dropped_before_status_does_not_count() {
    let (breaker, response) = probe("0").await;
    drop(response);
    breaker.try_acquire().expect("a slot").record(SUCCESS);
    assert_eq!(breaker.state(), HALF_OPEN, "one of two");
}

/// A stream of minutes has no status until its end. Until then its head counts as a success.
#[tokio::test(start_paused = true)]
async fn head_ends_streak_unless_status_is_failure() {
    for code in ["0", "14"] {
        let breaker = CircuitBreaker::new();
        for _ in 0..4 {
            attempt(&breaker, FAILURE);
        }
        let client = tower::service_fn(move |_: Request<()>| {
            let frames = [Frame::trailers(status(code))];
            async { Ok::<_, Infallible>(Response::new(Frames(frames.into()))) }
        });
        let client = CircuitBreakerLayer::grpc(breaker.clone()).layer(client);
        let response = client.oneshot(Request::new(())).await.unwrap();
        assert_eq!(breaker.state(), CLOSED);
        response.into_body().collect().await.unwrap();
        let expected = if code == "0" { CLOSED } else { OPEN };
        assert_eq!(breaker.state(), expected, "{code}");
        if code == "0" {
            attempt(&breaker, FAILURE);
            assert_eq!(breaker.state(), CLOSED, "the first of a streak");
        }
    }
}
