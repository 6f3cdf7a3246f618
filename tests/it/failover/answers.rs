//! Answers to failed requests: the answer that a caller gets, and how much of it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::Body;
use stack_tests::{
    SECOND, body_of_chunks, body_of_text, chat, endpoint, rate_limited, read, served_by, stack,
    stack_returning, upstreams,
};
use steadfast::crates::core::layer::verdict_of_error;
use steadfast::{AiStack, Class, Deadline, Trail};
use steadfast_testkit::Reply;
use tokio::time::Instant;
use tokio_stream::StreamExt;

/// The rate limit is the root cause. The missing key of the fallback is noise.
#[tokio::test]
async fn exhausted_tiers_return_answer_of_lowest_tier() {
    let [a, fallback] = upstreams(["a", "fallback"]).await;
    a.set(rate_limited(60));
    fallback.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoints([endpoint(&a), endpoint(&fallback).tier(1)])
        .build()
        .unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "60");
    assert_eq!(Trail::of(response.extensions()).map(Trail::len), Some(2));
    let body = read(response).await.expect("the kept body");
    assert!(
        serde_json::from_slice::<serde_json::Value>(&body).is_ok(),
        "whole"
    );
}

/// A server that answers at once and never ends its body must not delay the failover.
#[tokio::test]
async fn endless_refusal_body_fails_over() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::status(429).stall_after(0));
    let ai = stack([&a, &b]).build().unwrap();
    let start = Instant::now();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "b");
    assert!(start.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn endless_error_body_is_read_up_to_64_kib() {
    const CHUNK: usize = 8 * 1024;
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let ai = stack_returning(Duration::ZERO, 400, "text/plain", move || {
        let count = count.clone();
        let chunk = Bytes::from_static(&[b'x'; CHUNK]);
        body_of_chunks(
            tokio_stream::iter(std::iter::repeat(chunk)).map(move |chunk| {
                count.fetch_add(chunk.len(), Ordering::Relaxed);
                chunk
            }),
        )
    });
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 400);
    let read = read.load(Ordering::Relaxed);
    assert!(
        (64 * 1024..=64 * 1024 + CHUNK).contains(&read),
        "{read} bytes"
    );
}

/// Empty frames contain no bytes and no events, so neither limit stops them.
#[tokio::test(start_paused = true)]
async fn endless_empty_frames_are_read_up_to_a_limit() {
    for (status, kind, stream) in [(429, "text/plain", false), (200, "text/event-stream", true)] {
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let ai = stack_returning(Duration::ZERO, status, kind, move || {
            let count = count.clone();
            let empty = std::iter::repeat_n(Bytes::new(), 100_000);
            let frames_without_end = tokio_stream::iter(empty).map(move |chunk| {
                count.fetch_add(1, Ordering::Relaxed);
                chunk
            });
            body_of_chunks(frames_without_end.chain(tokio_stream::pending()))
        });
        let mut request = chat(stream);
        request.extensions_mut().insert(Deadline::after(SECOND));
        let response = ai.send(request).await.expect("an answer");
        assert_eq!(response.status(), status);
        let read = read.load(Ordering::Relaxed);
        assert!(read < 5_000, "{read} frames");
    }
}

/// A server that forwards the error states its length.
#[tokio::test]
async fn error_that_was_read_keeps_its_length() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::status(400));
    let ai = stack([&primary]).build().unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    let length = response.headers()["content-length"]
        .to_str()
        .unwrap()
        .to_owned();
    let exact = response.body().size_hint().exact();
    assert_eq!(exact.map(|exact| exact.to_string()), Some(length));
}

/// The caller must not take a part of an error for the whole.
#[tokio::test]
async fn broken_error_body_ends_with_error() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::status(400).cut_after(0));
    let ai = stack([&primary]).build().unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(response.status(), 400);
    read(response).await.expect_err("a broken body");
}

/// A stack requests no upgrade, and a client that follows a redirect would send the request to a
/// place that the endpoint chooses.
#[tokio::test(start_paused = true)]
async fn informational_head_and_redirect_of_operation_are_failures() {
    let responses = || {
        Request::post("/v1/responses")
            .body("{}".to_owned())
            .unwrap()
    };
    let models = || Request::get("/v1/models").body(String::new()).unwrap();
    for (status, request, class) in [
        (101, chat(false), Some(Class::ServerError)),
        (101, chat(true), Some(Class::ServerError)),
        (101, models(), Some(Class::ServerError)),
        (100, models(), Some(Class::ServerError)),
        (302, chat(false), Some(Class::ServerError)),
        (307, chat(true), Some(Class::ServerError)),
        (308, responses(), Some(Class::ServerError)),
        (304, chat(false), Some(Class::ServerError)),
        (302, models(), None),
        (307, models(), None),
    ] {
        let ai = stack_returning(Duration::ZERO, status, "text/html", || {
            body_of_text("moved")
        });
        let shown = format!("{status} {}", request.uri());
        match (ai.send(request).await, class) {
            (Ok(response), None) => assert_eq!(response.status(), status, "{shown}"),
            (Err(error), Some(class)) => {
                let verdict = verdict_of_error(&error);
                assert_eq!(verdict.class(), class, "{shown}");
                assert!(error.to_string().contains(&status.to_string()), "{error}");
            }
            (outcome, _) => panic!("{shown}: {outcome:?}"),
        }
    }
}
