//! The end of a stream: complete, broken, truncated or dropped, each with its outcome.

use std::time::Duration;

use http_body_util::BodyExt;
use stack_tests::{Events, SECOND, assert_idle, chat, endpoint, read, stack, status_of, upstreams};
use steadfast::crates::core::Classified;
use steadfast::crates::core::{BreakerState, find_error};
use steadfast::{AiStack, Endpoint, Event, StreamBroken, Timeouts};
use steadfast_testkit::{Dialect, Reply};
use tokio::time::sleep;

use super::EVENT_STREAM;

/// Reads a stream as clients do: up to `[DONE]`, without another poll.
async fn read_to_done(ai: &AiStack) -> String {
    let mut body = ai.send(chat(true)).await.expect("an answer").into_body();
    let mut text = String::new();
    while !text.contains("[DONE]") {
        let frame = body.frame().await.expect("a frame").expect("no error");
        text += &String::from_utf8_lossy(frame.data_ref().expect("data"));
    }
    text
}

#[tokio::test]
async fn reader_that_stops_at_done_counts_success_and_leaves_idle() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for _ in 0..20 {
        read_to_done(&ai).await;
    }
    let snapshot = ai.snapshot();
    assert_eq!((snapshot.successful, snapshot.total), (20, 20));
    assert!((snapshot.success_rate() - 1.0).abs() < f64::EPSILON);
    assert!((status_of(&ai, "primary").health - 1.0).abs() < f64::EPSILON);
    assert_idle(&ai);
}

#[tokio::test]
async fn streams_close_half_open_breaker() {
    let [primary] = upstreams(["primary"]).await;
    let breaker = Endpoint::default_breaker()
        .consecutive_failures(2)
        .recovery_timeout(SECOND / 10);
    let ai = AiStack::builder()
        .endpoint(endpoint(&primary).breaker(breaker))
        .build()
        .unwrap();
    primary.script([Reply::status(500), Reply::status(500)]);
    // The request is repeated at the only endpoint.
    assert_eq!(ai.send(chat(true)).await.unwrap().status(), 500);
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Open);

    sleep(SECOND / 5).await;
    for _ in 0..3 {
        read_to_done(&ai).await;
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
    assert_idle(&ai);
}

#[tokio::test]
async fn complete_stream_of_each_dialect_passes() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for dialect in Dialect::ALL {
        primary.next(Reply::ok().dialect(dialect).chunks(7).comments(2));
        let response = ai.send(chat(true)).await.expect("an answer");
        let through = read(response)
            .await
            .unwrap_or_else(|error| panic!("{dialect:?}: {error}"));
        assert!(!through.is_empty(), "{dialect:?}");
    }
    assert_eq!(ai.snapshot().successful, 5);
    assert_idle(&ai);
}

#[tokio::test]
async fn stream_broken_after_200_is_endpoint_failure() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary])
        .timeouts(Timeouts::DEFAULT)
        .build()
        .unwrap();
    for reply in [
        Reply::ok().cut_after(2),
        Reply::ok().truncate_after(2),
        Reply::ok().error_after(2),
    ] {
        let before = status_of(&ai, "primary").health;
        primary.next(reply);
        let response = ai.send(chat(true)).await.expect("a good head");
        assert_eq!(response.status(), 200);
        let error = read(response).await.expect_err("a broken body");
        assert!(Classified::find(&*error).is_some(), "{error}");
        assert!(status_of(&ai, "primary").health < before);
    }
    assert_eq!(ai.snapshot().other_errors, 3);
    assert_idle(&ai);
}

#[tokio::test]
async fn truncated_stream_ends_with_truncated_error() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for dialect in Dialect::ALL {
        primary.next(Reply::ok().dialect(dialect).truncate_after(2));
        let response = ai.send(chat(true)).await.expect("a good head");
        let error = read(response).await.expect_err("a truncated body");
        let found = find_error(&*error);
        assert_eq!(
            found,
            Some(&StreamBroken::Truncated),
            "{dialect:?}: {error}"
        );
    }
}

/// A reader that leaves mid-stream is no failure of the endpoint, and the upstream stops.
#[tokio::test]
async fn dropped_stream_aborts_upstream_without_failure() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(
        Reply::ok()
            .chunks(1000)
            .chunk_delay(Duration::from_millis(5)),
    );
    let events = Events::default();
    let ai = events.watch(stack([&primary])).build().unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error");
    assert_eq!(status_of(&ai, "primary").in_flight, 1);
    drop(body);
    assert_idle(&ai);
    primary
        .wait_until(|counts| counts.streams_aborted == 1)
        .await;
    assert!((status_of(&ai, "primary").health - 1.0).abs() < f64::EPSILON);
    assert_eq!(
        events.count(|event| matches!(event, Event::Breaker { .. })),
        0
    );
}

/// SDKs raise an exception at an error event and drop the body.
#[tokio::test]
async fn reader_that_drops_body_at_error_event_counts_failure() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().error_after(2));
    let ai = stack([&primary]).build().unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    loop {
        let frame = body.frame().await.expect("a frame").expect("no error yet");
        let data = frame.into_data().expect("data");
        if data.windows(7).any(|window| window == b"\"error\"") {
            break;
        }
    }
    drop(body);
    assert_eq!(ai.snapshot().other_errors, 1);
    assert!(status_of(&ai, "primary").health < 1.0);
    assert_idle(&ai);
}

#[tokio::test]
async fn error_event_in_chunk_of_first_token_is_failure() {
    let [primary] = upstreams(["primary"]).await;
    let body = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n\
                data: {\"error\":{\"message\":\"boom\"}}\n\n";
    primary.set(Reply::raw(200, EVENT_STREAM, body));
    let ai = stack([&primary]).build().unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error yet");
    drop(body);
    assert_eq!(ai.snapshot().other_errors, 1);
    assert!(status_of(&ai, "primary").health < 1.0);
    assert_idle(&ai);
}
