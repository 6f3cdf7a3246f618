//! Streams: what moves before the first visible token, and how their ends count.

use std::time::Duration;

use http_body_util::BodyExt;
use stack_tests::{
    Events, SECOND, assert_idle, chat, endpoint, read, served_by, stack, status_of, upstreams,
};
use steadfast::core::BreakerState;
use steadfast::{AiStack, Class, Classified, Endpoint, Event, StreamBroken, Timeouts, Trail};
use steadfast_testkit::{Dialect, Reply};
use tokio::time::{sleep, timeout};

fn patient() -> Timeouts {
    Timeouts::DEFAULT
}

fn quick() -> Timeouts {
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.head = SECOND / 2;
    timeouts.first_token = SECOND / 2;
    timeouts.idle = SECOND / 2;
    timeouts
}

/// Reads a stream as clients do: up to `[DONE]`, and not one poll further.
async fn read_to_done(ai: &AiStack) -> String {
    let mut body = ai.send(chat(true)).await.expect("an answer").into_body();
    let mut text = String::new();
    while !text.contains("[DONE]") {
        let frame = body.frame().await.expect("more").expect("no error");
        text += &String::from_utf8_lossy(frame.data_ref().expect("data"));
    }
    text
}

#[tokio::test]
async fn a_reader_who_stops_at_done_is_a_success_and_nothing_stays_in_flight() {
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
async fn a_half_open_breaker_closes_by_streams() {
    let [primary] = upstreams(["primary"]).await;
    let breaker = Endpoint::default_breaker()
        .consecutive_failures(2)
        .recovery_timeout(SECOND / 10);
    let ai = AiStack::builder()
        .endpoint(endpoint(&primary).breaker(breaker))
        .build()
        .unwrap();
    primary.script([Reply::status(500), Reply::status(500)]);
    // The endpoint is asked a second time, as it is the only one.
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
async fn a_stream_that_is_cut_after_200_is_a_failure_of_its_endpoint() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).timeouts(patient()).build().unwrap();
    for reply in [
        Reply::ok().cut_after(2),
        Reply::ok().truncate_after(2),
        Reply::ok().error_after(2),
    ] {
        let before = status_of(&ai, "primary").health;
        primary.next(reply);
        let response = ai.send(chat(true)).await.expect("it began well");
        assert_eq!(response.status(), 200);
        let error = read(response).await.expect_err("it did not end well");
        assert!(Classified::find(&*error).is_some(), "{error}");
        assert!(status_of(&ai, "primary").health < before);
    }
    assert_eq!(ai.snapshot().other_errors, 3);
    assert_idle(&ai);
}

#[tokio::test]
async fn a_truncated_stream_ends_in_an_error_that_says_so() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).build().unwrap();
    for dialect in Dialect::ALL {
        primary.next(Reply::ok().dialect(dialect).truncate_after(2));
        let response = ai.send(chat(true)).await.expect("it began well");
        let error = read(response).await.expect_err("it ended too early");
        let found = steadfast::core::find_error(&*error);
        assert_eq!(
            found,
            Some(&StreamBroken::Truncated),
            "{dialect:?}: {error}"
        );
    }
}

#[tokio::test]
async fn whole_streams_of_every_dialect_pass_unchanged() {
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

/// Whatever goes wrong before the first visible token is seen by nobody.
#[tokio::test]
async fn a_stream_fails_over_before_its_first_visible_token() {
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
    for (name, reply) in replies {
        let [primary, backup] = upstreams(["primary", "backup"]).await;
        primary.next(reply);
        let ai = stack([&primary, &backup])
            .timeouts(quick())
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
    }
}

#[tokio::test]
async fn an_error_event_that_nobody_can_mend_is_passed_on_as_it_came() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().error_after(0));
    let ai = stack([&primary]).build().unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    assert_eq!(response.status(), 200);
    let text = read(response).await.expect("as it came");
    assert!(String::from_utf8_lossy(&text).contains("\"error\""));
    assert_eq!(ai.snapshot().other_errors, 1);
}

#[tokio::test]
async fn a_stream_that_stalls_ends_in_a_timeout() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().stall_after(2));
    let ai = stack([&primary]).timeouts(quick()).build().unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    let error = timeout(5 * SECOND, read(response))
        .await
        .expect("it ends")
        .unwrap_err();
    let classified = Classified::find(&*error).expect("the edge says what it was");
    assert_eq!(classified.verdict().class(), Class::Timeout);
    assert_idle(&ai);
}

/// The time between chunks runs only while one is awaited.
#[tokio::test]
async fn a_slow_reader_is_no_slow_endpoint() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary]).timeouts(quick()).build().unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error");
    sleep(SECOND).await;
    while let Some(frame) = body.frame().await {
        frame.expect("it had nothing to wait for");
    }
    assert_eq!(ai.snapshot().successful, 1);
}

#[tokio::test]
async fn a_long_stream_has_no_total() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().chunks(12).chunk_delay(SECOND / 10));
    let mut timeouts = quick();
    timeouts.total = SECOND / 2;
    let ai = stack([&primary]).timeouts(timeouts).build().unwrap();
    let text = read(ai.send(chat(true)).await.unwrap())
        .await
        .expect("it moves");
    assert!(text.ends_with(b"[DONE]\n\n"));
}

/// A reader who leaves in the middle costs the endpoint nothing, and the upstream stops.
#[tokio::test]
async fn a_dropped_stream_is_let_go() {
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

/// SDKs raise an exception at the event of an error, and let go of the body.
#[tokio::test]
async fn a_reader_who_stops_at_an_error_event_has_seen_a_failure() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().error_after(2));
    let ai = stack([&primary]).build().unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    loop {
        let frame = body.frame().await.expect("more").expect("no error yet");
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

const EVENT_STREAM: [(&str, &str); 1] = [("content-type", "text/event-stream")];

/// Some relays end a stream in order after its error, and all of it comes in one piece.
#[tokio::test]
async fn an_error_event_and_done_in_one_chunk_are_no_answer() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let body = "data: {\"error\":{\"message\":\"boom\"}}\n\ndata: [DONE]\n\n";
    primary.next(Reply::raw(200, EVENT_STREAM, body));
    let ai = stack([&primary, &backup]).build().unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    assert_eq!(served_by(&response), "backup");
    assert!(status_of(&ai, "primary").health < 1.0);
}

#[tokio::test]
async fn an_error_event_in_the_chunk_of_the_first_token_is_a_failure() {
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

/// One caller with a bad prompt could otherwise open the breaker of every endpoint.
#[tokio::test]
async fn a_caller_at_fault_is_no_failure_of_the_endpoint_in_a_stream_either() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let body = "data: {\"type\":\"response.created\",\"response\":{}}\n\n\
                data: {\"type\":\"response.failed\",\"response\":\
                {\"error\":{\"code\":\"invalid_prompt\",\"message\":\"bad\"}}}\n\n";
    primary.set(Reply::raw(200, EVENT_STREAM, body));
    let ai = stack([&primary, &backup]).build().unwrap();
    for _ in 0..10 {
        let response = ai.send(chat(true)).await.unwrap();
        assert_eq!(served_by(&response), "primary");
        assert_eq!(read(response).await.expect("as it came"), body);
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
    assert!((status_of(&ai, "primary").health - 1.0).abs() < f64::EPSILON);
    assert_eq!(backup.counts().requests, 0);
}

/// `200`, the right content type, and not a word.
#[tokio::test]
async fn a_stream_without_a_word_is_no_answer() {
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

/// It cannot be read, so nothing is held back for it.
#[tokio::test]
async fn a_stream_in_an_encoding_passes_as_it_comes() {
    let [primary] = upstreams(["primary"]).await;
    let headers = [
        ("content-type", "text/event-stream"),
        ("content-encoding", "gzip"),
    ];
    primary.set(Reply::raw(200, headers, &b"\x1f\x8b\x08"[..]));
    let ai = stack([&primary]).timeouts(quick()).build().unwrap();
    let body = read(ai.send(chat(true)).await.unwrap()).await.unwrap();
    assert_eq!(&body[..], b"\x1f\x8b\x08");
}

/// What is left of an error that breaks is passed on as that: broken.
#[tokio::test]
async fn a_broken_error_body_does_not_look_whole() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::status(400).cut_after(0));
    let ai = stack([&primary]).build().unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(response.status(), 400);
    read(response).await.expect_err("it was cut");
}
