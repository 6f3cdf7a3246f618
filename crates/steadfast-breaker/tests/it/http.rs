//! The layer around an HTTP client, up to the end of the body.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::support::{
    CLOSED, FAILURE, HALF_OPEN, OPEN, SECOND, SUCCESS, attempt, due_breaker,
    opens_at_first_failure, trip,
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Empty};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen, ResponseBody};
use steadfast_core::{
    BoxError, Class, Classified, Classify, ClassifyLayer, DefaultClassifier, Verdict, classify_fn,
    find_error,
};
use tokio::time::advance;
use tower::{Layer, Service, ServiceExt, service_fn};

/// A stream of events. It ends at the poll after the last event, as a real one does.
struct Events(VecDeque<Result<&'static str, BoxError>>);

impl Body for Events {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let next = self.0.pop_front();
        Poll::Ready(next.map(|event| event.map(|text| Frame::data(Bytes::from(text)))))
    }
}

fn events() -> Events {
    Events(["data: a", "data: [DONE]"].map(Ok).into())
}

fn broken(error: impl Into<BoxError>) -> Events {
    Events([Ok("data: a"), Err(error.into())].into())
}

/// Sends a request through `breaker`. The client answers with `status` and `body`.
async fn send<B: Body>(
    breaker: &CircuitBreaker,
    status: u16,
    body: B,
) -> Result<Response<ResponseBody<B>>, BoxError> {
    let response = Response::builder().status(status).body(body).unwrap();
    let mut response = Some(response);
    let client = service_fn(move |_: Request<()>| {
        let response = response.take().expect("one request");
        async move { Ok::<_, Infallible>(response) }
    });
    let service = CircuitBreakerLayer::http(breaker.clone()).layer(client);
    service.oneshot(Request::new(())).await
}

async fn read_until_it_breaks(response: Response<ResponseBody<Events>>) {
    let body = response.into_body();
    body.collect().await.expect_err("it breaks");
}

#[tokio::test(start_paused = true)]
async fn status_decides_outcome() {
    for (status, state) in [
        (200, CLOSED),
        (302, CLOSED),
        (400, CLOSED),
        (404, CLOSED),
        (408, CLOSED),
        (429, CLOSED),
        (500, OPEN),
        (503, OPEN),
        (504, OPEN),
        (529, OPEN),
    ] {
        let breaker = opens_at_first_failure();
        let response = send(&breaker, status, Empty::<Bytes>::new()).await;
        assert_eq!(response.unwrap().status(), status, "it is passed on");
        assert_eq!(breaker.state(), state, "{status}");
    }
}

#[tokio::test(start_paused = true)]
async fn error_is_failure_and_passes() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .unwrap();
    let layer = CircuitBreakerLayer::http(breaker.clone());
    let refused = service_fn(async |_: Request<()>| {
        let verdict = Verdict::new(Class::Connect);
        Err::<Response<Empty<Bytes>>, _>(Classified::new(verdict, "refused"))
    });
    let service = layer.layer(refused);
    for state in [CLOSED, OPEN] {
        let error = service.clone().oneshot(Request::new(())).await.unwrap_err();
        assert!(Classified::find(&*error).is_some(), "it is passed on");
        assert_eq!(breaker.state(), state);
    }
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert!(CircuitOpen::find(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn verdict_in_response_precedes_status() {
    let breaker = opens_at_first_failure();
    let layer = CircuitBreakerLayer::http(breaker.clone());
    let service = layer.layer(service_fn(async |_: Request<()>| {
        let mut response = Response::new(Empty::<Bytes>::new());
        let verdict = Verdict::new(Class::ServerError);
        response.extensions_mut().insert(verdict);
        Ok::<_, Infallible>(response)
    }));
    service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn classify_layer_decides_outcome_of_status() {
    let breaker = opens_at_first_failure();
    let classifier = classify_fn(|outcome| match outcome {
        Ok(head) if head.status() == 404 => Verdict::new(Class::Overloaded),
        other => DefaultClassifier.classify(other),
    });
    let client = ClassifyLayer::new(classifier).layer(service_fn(async |_: Request<()>| {
        let response = Response::builder().status(404).body(Empty::<Bytes>::new());
        response.map_err(BoxError::from)
    }));
    let service = CircuitBreakerLayer::http(breaker.clone()).layer(client);
    service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(breaker.state(), OPEN);
}

/// The error of most clients is not boxed.
#[derive(Debug)]
struct Own(std::io::Error);

impl std::fmt::Display for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the client failed")
    }
}

impl std::error::Error for Own {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

#[tokio::test(start_paused = true)]
async fn classify_layer_decides_outcome_of_any_error() {
    let own = async |_: Request<()>| {
        let kind = std::io::ErrorKind::ConnectionRefused;
        Err::<Response<Empty<Bytes>>, _>(Own(kind.into()))
    };
    let breaker = opens_at_first_failure();
    let client_side = classify_fn(|outcome| match outcome {
        Err(error) if error.is::<Own>() => Verdict::new(Class::CallerFault),
        other => DefaultClassifier.classify(other),
    });
    let client = ClassifyLayer::new(client_side).layer(service_fn(own));
    let service = CircuitBreakerLayer::http(breaker.clone()).layer(client);
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert!(find_error::<Own>(&*error).is_some(), "it is passed on");
    assert_eq!(breaker.state(), CLOSED);

    // Concurrent refused connections count each, unlike lost ones.
    let breaker = CircuitBreaker::new();
    let service = CircuitBreakerLayer::http(breaker.clone()).layer(service_fn(own));
    let mut running: Vec<_> = (0..5)
        .map(|_| tokio_test::task::spawn(service.clone().call(Request::new(()))))
        .collect();
    for attempt in &mut running {
        assert!(attempt.poll().is_ready());
    }
    assert_eq!(breaker.state(), OPEN);
}

// ===== the end of a body =====

/// Returns whether a success has ended the streak of one failure: then four more failures do not
/// open the breaker.
fn success_was_counted(breaker: &CircuitBreaker) -> bool {
    for _ in 0..4 {
        attempt(breaker, FAILURE);
    }
    breaker.state() == CLOSED
}

fn breaker_after_one_failure() -> CircuitBreaker {
    let breaker = CircuitBreaker::new();
    attempt(&breaker, FAILURE);
    breaker
}

#[tokio::test(start_paused = true)]
async fn response_counts_at_head_and_body_passes() {
    let breaker = breaker_after_one_failure();
    let response = send(&breaker, 200, events()).await.unwrap();
    assert!(success_was_counted(&breaker));
    let read = response.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(read, "data: adata: [DONE]");
}

#[tokio::test(start_paused = true)]
async fn response_body_gives_access_to_inner_body() {
    let text = String::from("answer");
    let response = send(&CircuitBreaker::new(), 200, text).await.unwrap();
    let mut body = response.into_body();
    assert_eq!(format!("{body:?}"), r#"ResponseBody("answer")"#);
    body.get_mut().push('!');
    assert_eq!(body.get_ref(), "answer!");
    assert_eq!(body.size_hint().exact(), Some(7));
    assert_eq!(body.into_inner(), "answer!");
    assert_eq!(ResponseBody::<String>::default().into_inner(), "");
}

/// Failures come at the head, and successes came at the end of a stream. One failure in a hundred
/// opened the breaker at the start, and again after each close.
#[tokio::test(start_paused = true)]
async fn failures_between_running_streams_are_no_streak() {
    let breaker = CircuitBreaker::new();
    let mut streams = Vec::new();
    for _ in 0..2 {
        for n in 0..100 {
            let status = if n % 10 == 9 { 503 } else { 200 };
            streams.push(send(&breaker, status, events()).await.unwrap());
        }
        assert_eq!(breaker.state(), CLOSED);
        breaker.trip();
        advance(300 * SECOND).await;
        for _ in 0..3 {
            streams.push(send(&breaker, 200, events()).await.unwrap());
        }
        assert_eq!(breaker.state(), CLOSED);
    }
}

/// The streak resumes after each broken body.
#[tokio::test(start_paused = true)]
async fn consecutive_broken_bodies_are_one_streak() {
    let breaker = CircuitBreaker::new();
    for n in 1..=5 {
        assert_eq!(breaker.state(), CLOSED, "after {n}");
        let response = send(&breaker, 200, broken("reset")).await.unwrap();
        read_until_it_breaks(response).await;
    }
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn broken_body_is_failure() {
    let breaker = opens_at_first_failure();
    let response = send(&breaker, 200, broken("reset")).await.unwrap();
    assert_eq!(breaker.state(), CLOSED, "the head is a success");
    read_until_it_breaks(response).await;
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn classified_body_error_keeps_verdict() {
    let breaker = opens_at_first_failure();
    let error = Classified::new(Verdict::new(Class::RateLimited), "slow down");
    let response = send(&breaker, 200, broken(error)).await.unwrap();
    read_until_it_breaks(response).await;
    assert_eq!(breaker.state(), CLOSED);
}

/// A failed head is final. A caller may never read the body.
#[tokio::test(start_paused = true)]
async fn failed_head_counts_once() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .unwrap();
    let response = send(&breaker, 503, broken("reset")).await.unwrap();
    assert_eq!(breaker.health(), 0.95);
    read_until_it_breaks(response).await;
    assert_eq!(breaker.state(), CLOSED);
}

// ===== probes =====

/// Streams may last minutes, and their readers drop them at `[DONE]` or before. Their heads count.
#[tokio::test(start_paused = true)]
async fn dropped_streams_close_half_open_breaker() {
    for held in [false, true] {
        let breaker = due_breaker().await;
        let mut streams = Vec::new();
        for state in [HALF_OPEN, HALF_OPEN, CLOSED] {
            let mut body = send(&breaker, 200, events()).await.unwrap().into_body();
            body.frame().await.expect("a frame").expect("no error");
            if held {
                streams.push(body);
            }
            assert_eq!(breaker.state(), state);
        }
        drop(streams);
        assert_eq!((breaker.state(), breaker.health()), (CLOSED, 1.0));
    }
}

#[tokio::test(start_paused = true)]
async fn broken_body_of_probe_opens() {
    let breaker = due_breaker().await;
    let response = send(&breaker, 200, broken("reset")).await.unwrap();
    assert_eq!(breaker.state(), HALF_OPEN);
    read_until_it_breaks(response).await;
    assert_eq!(breaker.state(), OPEN);
}

#[tokio::test(start_paused = true)]
async fn rate_limited_probe_releases_slot() {
    let breaker = due_breaker().await;
    let _response = send(&breaker, 429, events()).await.unwrap();
    assert_eq!(breaker.state(), HALF_OPEN);
    assert!(breaker.would_admit());
}

/// One connection with fifty streams is reset.
#[tokio::test(start_paused = true)]
async fn streams_broken_together_are_one_failure() {
    let breaker = CircuitBreaker::builder()
        .failures_of_last(2, 20)
        .build()
        .unwrap();
    let mut streams = Vec::new();
    for _ in 0..50 {
        streams.push(send(&breaker, 200, broken("reset")).await.unwrap());
    }
    for stream in streams {
        read_until_it_breaks(stream).await;
    }
    assert_eq!((breaker.state(), breaker.health()), (CLOSED, 0.95));
}

/// The stream began before the outage and ends after it.
#[tokio::test(start_paused = true)]
async fn stream_from_before_opening_changes_nothing() {
    for body in [events(), broken("reset")] {
        let breaker = CircuitBreaker::new();
        let stream = send(&breaker, 200, body).await.unwrap();
        trip(&breaker);
        let _ = stream.into_body().collect().await;
        assert_eq!(breaker.state(), OPEN);
        advance(60 * SECOND).await;
        attempt(&breaker, SUCCESS);
        assert_eq!(breaker.state(), HALF_OPEN, "one of three");
    }
}
