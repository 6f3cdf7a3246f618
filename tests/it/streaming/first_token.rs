//! Before the first visible token: a failed stream fails over, and the caller sees none of it.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use stack_tests::{
    SECOND, assert_idle, body_of_chunks, chat, half_second_timeouts, read, served_by, stack,
    stack_returning, status_of, upstreams,
};
use steadfast::Trail;
use steadfast::crates::core::BreakerState;
use steadfast_testkit::{Dialect, Reply};
use tokio::time::Instant;
use tokio_stream::StreamExt;

use super::EVENT_STREAM;

#[tokio::test]
async fn failure_before_first_visible_token_fails_over() {
    let mut replies = vec![
        ("cut", Reply::ok().cut_after(0)),
        ("truncated", Reply::ok().truncate_after(0)),
        ("silent", Reply::silence()),
        ("slow head", Reply::ok().latency(9 * SECOND)),
        ("slow first token", Reply::ok().first_token(9 * SECOND)),
        ("stalled", Reply::ok().stall_after(0)),
        (
            "only comments",
            Reply::ok().first_token(9 * SECOND).keep_alive(SECOND / 50),
        ),
        ("reset", Reply::reset()),
    ];
    for dialect in Dialect::ALL {
        replies.push(("error event", Reply::ok().dialect(dialect).error_after(0)));
    }
    // Most of them wait for a timeout.
    let cases = replies.into_iter().map(async |(name, reply)| {
        let [primary, backup] = upstreams(["primary", "backup"]).await;
        primary.next(reply);
        let ai = stack([&primary, &backup])
            .timeouts(half_second_timeouts())
            .build()
            .unwrap();
        let response = ai
            .send(chat(true))
            .await
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(served_by(&response), "backup", "{name}");
        let trail = Trail::of(response.extensions())
            .expect("two attempts")
            .clone();
        assert_eq!(trail.len(), 2, "{name}: {trail}");
        let text = read(response).await.expect("a whole stream");
        assert!(text.ends_with(b"[DONE]\n\n"), "{name}");
        assert_idle(&ai);
    });
    join_all(cases).await;
}

/// Some relays end a stream in order after its error, and send both in one chunk.
#[tokio::test]
async fn error_event_and_done_in_one_chunk_fail_over() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let body = "data: {\"error\":{\"message\":\"boom\"}}\n\ndata: [DONE]\n\n";
    primary.next(Reply::raw(200, EVENT_STREAM, body));
    let ai = stack([&primary, &backup]).build().unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    assert_eq!(served_by(&response), "backup");
    assert!(status_of(&ai, "primary").health < 1.0);
}

/// Status 200, the right content type, and no event.
#[tokio::test]
async fn stream_without_events_fails_over() {
    for body in [
        "",
        ": keep-alive\n\n",
        "data: {\"choices\":[{\"delta\":{\"con",
    ] {
        let [primary, backup] = upstreams(["primary", "backup"]).await;
        primary.next(Reply::raw(
            200,
            [("content-type", "text/event-stream; charset=utf-8")],
            body,
        ));
        let ai = stack([&primary, &backup]).build().unwrap();
        let response = ai.send(chat(true)).await.unwrap();
        assert_eq!(served_by(&response), "backup", "{body:?}");
    }
}

#[tokio::test]
async fn error_event_without_other_endpoint_passes_unchanged() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().error_after(0));
    let ai = stack([&primary]).build().unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = read(response).await.expect("an unchanged body");
    assert!(String::from_utf8_lossy(&text).contains("\"error\""));
    assert_eq!(ai.snapshot().other_errors, 1);
}

/// A caller with a bad prompt could otherwise open the breakers of all endpoints.
#[tokio::test]
async fn error_event_for_caller_fault_is_no_endpoint_failure() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let body = "data: {\"type\":\"response.created\",\"response\":{}}\n\n\
                data: {\"type\":\"response.failed\",\"response\":\
                {\"error\":{\"code\":\"invalid_prompt\",\"message\":\"bad\"}}}\n\n";
    primary.set(Reply::raw(200, EVENT_STREAM, body));
    let ai = stack([&primary, &backup]).build().unwrap();
    for _ in 0..10 {
        let response = ai.send(chat(true)).await.unwrap();
        assert_eq!(served_by(&response), "primary");
        assert_eq!(read(response).await.expect("an unchanged body"), body);
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
    assert!((status_of(&ai, "primary").health - 1.0).abs() < f64::EPSILON);
    assert_eq!(backup.counts().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn long_preamble_is_held_back_up_to_a_limit() {
    let ping = || Bytes::from_static(b"data: {\"type\":\"ping\"}\n\n");
    let comment = || Bytes::from(format!(": {}\n", "x".repeat(1024)));
    for (name, chunk, enough) in [("events", ping(), 64), ("bytes", comment(), 260)] {
        for (count, passes) in [(enough / 2, false), (enough, true)] {
            let chunk = chunk.clone();
            let ai = stack_returning(Duration::ZERO, 200, "text/event-stream", move || {
                let chunks = tokio_stream::iter(vec![chunk.clone(); count]);
                body_of_chunks(chunks.chain(tokio_stream::pending()))
            });
            let start = Instant::now();
            let outcome = ai.send(chat(true)).await;
            assert_eq!(outcome.is_ok(), passes, "{count} {name}");
            let waited = if passes { Duration::ZERO } else { 600 * SECOND };
            assert_eq!(start.elapsed(), waited, "{count} {name}");
        }
    }
}

/// The stack cannot read an encoded stream.
#[tokio::test]
async fn encoded_stream_passes_without_being_held_back() {
    let [primary] = upstreams(["primary"]).await;
    let headers = [
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
    ];
    primary.set(Reply::raw(200, headers, &b"\x1f\x8b\x08"[..]));
    let ai = stack([&primary])
        .timeouts(half_second_timeouts())
        .build()
        .unwrap();
    let body = read(ai.send(chat(true)).await.unwrap()).await.unwrap();
    assert_eq!(&body[..], b"\x1f\x8b\x08");
}
