//! Timeouts: how long an attempt, a pause in a stream and a whole request can take.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::channel::Channel;
use stack_tests::{
    SECOND, assert_idle, body_of_chunks, body_of_text, chat, endpoint, half_second_timeouts,
    local_client, read, served_by, stack, stack_returning, stack_within, status_of, upstreams,
};
use steadfast::crates::core::Classified;
use steadfast::{
    AiStack, AttemptTimeout, Backoff, Class, Deadline, Endpoint, RequestBody, RetryOn429Layer,
    TimeoutPhase, Timeouts, find_error,
};
use steadfast_testkit::Reply;
use tokio::net::TcpListener;
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_stream::{Stream, StreamExt};

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

// ===== Attempts =====

/// A repeated long answer is billed twice.
#[tokio::test(start_paused = true)]
async fn whole_answer_and_stream_head_have_ten_minutes() {
    for (stream, at) in [(false, 599), (true, 599)] {
        let ai = stack_returning(at * SECOND, 200, "application/json", || body_of_text("{}"));
        assert_eq!(
            ai.send(chat(stream))
                .await
                .expect("an answer in time")
                .status(),
            200
        );
        let ai = stack_returning((at + 2) * SECOND, 200, "application/json", || {
            body_of_text("{}")
        });
        let start = Instant::now();
        ai.send(chat(stream)).await.expect_err("a timeout");
        assert_eq!(start.elapsed(), (at + 1) * SECOND);
    }
}

/// The request body is inspected at any size, as long as it is in memory.
#[tokio::test(start_paused = true)]
async fn large_streaming_request_has_timeouts_of_streams() {
    for size in [1 << 10, 2 << 20] {
        let mut timeouts = Timeouts::DEFAULT;
        timeouts.head = 30 * SECOND;
        let late = (3_600 * SECOND, 200, "text/event-stream");
        let ai = stack_within(timeouts, late, || body_of_text(""));
        let body = format!(r#"{{"pad":"{}","stream":true}}"#, "x".repeat(size));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        let start = Instant::now();
        ai.send(request).await.expect_err("a timeout");
        assert_eq!(start.elapsed(), 30 * SECOND, "{size}");
    }
}

#[tokio::test]
async fn timeout_fails_over_and_is_not_repeated_at_same_endpoint() {
    let [a, b] = upstreams(["a", "b"]).await;
    for upstream in [&a, &b] {
        upstream.set(Reply::silence());
    }
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.total = SECOND / 10;
    let retry = RetryOn429Layer::new().backoff(Backoff::new(SECOND / 100, SECOND / 50).unwrap());
    let ai = stack([&a, &b])
        .timeouts(timeouts)
        .retry(retry)
        .build()
        .unwrap();
    let error = ai.send(chat(false)).await.unwrap_err();
    assert_eq!((a.counts().requests, b.counts().requests), (1, 1));
    assert_eq!(
        error.to_string(),
        "no endpoint served the request in 2 attempts: \
         `a`: no complete answer within 100 ms; `b`: no complete answer within 100 ms"
    );
    assert_eq!(steadfast::error_response(&error).status(), 504);
}

/// The kernel completes the connection to a listener that never accepts, and no data arrives.
#[tokio::test]
async fn server_that_never_accepts_times_out_and_fails_over() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}/v1", silent.local_addr().unwrap());
    let [backup] = upstreams(["backup"]).await;
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.total = SECOND / 2;
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("silent", &silent_url).unwrap())
        .endpoint(endpoint(&backup))
        .timeouts(timeouts)
        .build()
        .unwrap();
    let start = Instant::now();
    let answer = timeout(5 * SECOND, ai.send(chat(false))).await;
    let response = answer.expect("a failover long before").unwrap();
    assert_eq!(served_by(&response), "backup");
    assert!(start.elapsed() >= SECOND / 2);
    read(response).await.unwrap();
}

// ===== Bodies =====

/// A stream of keep-alive messages has no longer than a whole answer.
#[tokio::test(start_paused = true)]
async fn keep_alive_without_events_times_out_after_total() {
    for alive in [": keep-alive\n\n", "data: {\"type\":\"ping\"}\n\n", "\n"] {
        let ai = stack_returning(Duration::ZERO, 200, "text/event-stream", || {
            let token = tokio_stream::iter([Bytes::from_static(TOKEN.as_bytes())]);
            let alive = tokio_stream::iter(std::iter::repeat_n(
                Bytes::from_static(alive.as_bytes()),
                1000,
            ));
            body_of_chunks(token.chain(Box::pin(alive.throttle(10 * SECOND))))
        });
        let start = Instant::now();
        let body = ai.send(chat(true)).await.expect("a token").into_body();
        let error = body.collect().await.expect_err("a stream without events");
        let classified = Classified::find(&*error).expect("an error classified by the edge");
        assert_eq!(classified.verdict().class(), Class::Timeout, "{alive:?}");
        assert_eq!(start.elapsed(), 600 * SECOND, "{alive:?}");
    }
}

/// A model can write a tool call for minutes before it sends any part of it.
#[tokio::test(start_paused = true)]
async fn event_within_total_keeps_stream_alive() {
    const DONE: &str = "data: [DONE]\n\n";
    let ai = stack_returning(Duration::ZERO, 200, "text/event-stream", || {
        let alive = std::iter::repeat_n(": keep-alive\n\n", 50);
        let part = || std::iter::once(TOKEN).chain(alive.clone());
        let chunks = part().chain(part()).chain([DONE]);
        let chunks: Vec<_> = chunks
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect();
        body_of_chunks(Box::pin(tokio_stream::iter(chunks).throttle(10 * SECOND)))
    });
    let start = Instant::now();
    let mut body = ai.send(chat(true)).await.expect("a token").into_body();
    // A slow reader in between uses none of that time.
    body.frame().await.expect("a frame").expect("no error");
    sleep(3_600 * SECOND).await;
    body.collect().await.expect("a stream with events in time");
    assert!(start.elapsed() > 3_600 * SECOND);
    assert_eq!(ai.snapshot().successful, 1);
}

/// A reader that returns after `total` gets the buffered data, and data that follows soon.
#[tokio::test(start_paused = true)]
async fn slow_reader_of_whole_answer_gets_rest_after_total() {
    let ai = stack_returning(Duration::ZERO, 200, "application/json", || {
        let begin = tokio_stream::iter([Bytes::from_static(b"{")]);
        body_of_chunks(begin.chain(Late::after(620 * SECOND)))
    });
    // The stack itself reads a chat completion to its end.
    let request = Request::get("/v1/models").body(String::new()).unwrap();
    let mut body = ai.send(request).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error");
    sleep(610 * SECOND).await;
    let rest = body
        .collect()
        .await
        .expect("the rest of the body")
        .to_bytes();
    assert_eq!(rest, "}");
    assert_eq!(ai.snapshot().successful, 1);
}

/// A server without an end would hold the request, its slot and its connection forever.
#[tokio::test(start_paused = true)]
async fn endless_answer_ends_at_total() {
    for (status, content_type) in [
        (200, "application/json"),
        (200, "application/octet-stream"),
        (404, "application/json"),
        (500, "text/plain"),
        (429, "application/json"),
    ] {
        for pause in [SECOND / 10, SECOND, 30 * SECOND] {
            let ai = stack_returning(Duration::ZERO, status, content_type, move || {
                let piece = || Bytes::from_static(b" ");
                body_of_chunks(tokio_stream::iter(std::iter::repeat_with(piece)).throttle(pause))
            });
            let start = Instant::now();
            let error = match ai.send(chat(false)).await {
                Ok(response) => read(response).await.expect_err("an endless body"),
                Err(error) => error,
            };
            let timeout = find_error::<AttemptTimeout>(&*error).expect("a timeout");
            assert_eq!(timeout.phase(), TimeoutPhase::Total, "{status}");
            // The body is read after the last attempt.
            let took = start.elapsed();
            assert!(took >= 600 * SECOND && took < 660 * SECOND, "{took:?}");
            assert_eq!(ai.snapshot().in_flight, 0);
        }
    }
}

/// Such a body is never pending, so no timer of a read can end it.
#[tokio::test(start_paused = true)]
async fn endless_answer_without_pause_ends_at_total() {
    let ai = stack_returning(Duration::ZERO, 200, "application/json", || {
        let piece = || Bytes::from_static(b" ");
        body_of_chunks(tokio_stream::iter(std::iter::repeat_with(piece)))
    });
    let start = Instant::now();
    // The stack reads the start of a chat completion ahead, and a reader of that part is not timed.
    let request = Request::get("/v1/models").body(String::new()).unwrap();
    let mut body = ai.send(request).await.unwrap().into_body();
    let error = loop {
        match body.frame().await.expect("an endless body") {
            // The time between two frames is short.
            Ok(_) => sleep(SECOND / 2).await,
            Err(error) => break error,
        }
    };
    let timeout = find_error::<AttemptTimeout>(&*error).expect("a timeout");
    assert_eq!(timeout.phase(), TimeoutPhase::Total);
    assert!(start.elapsed() <= 601 * SECOND, "{:?}", start.elapsed());
}

/// The end of an answer, after a wait.
struct Late(Mutex<Pin<Box<Sleep>>>, bool);

impl Late {
    fn after(wait: Duration) -> Self {
        Self(Mutex::new(Box::pin(sleep(wait))), false)
    }
}

impl Stream for Late {
    type Item = Bytes;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.1 {
            return Poll::Ready(None);
        }
        let sleep = self.0.get_mut().expect("no panic");
        ready!(sleep.as_mut().poll(cx));
        self.1 = true;
        Poll::Ready(Some(Bytes::from_static(b"}")))
    }
}

#[tokio::test]
async fn stalled_stream_ends_with_timeout() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().stall_after(2));
    let ai = stack([&primary])
        .timeouts(half_second_timeouts())
        .build()
        .unwrap();
    let response = ai.send(chat(true)).await.unwrap();
    let error = timeout(5 * SECOND, read(response))
        .await
        .expect("an end of the stream")
        .unwrap_err();
    let classified = Classified::find(&*error).expect("an error classified by the edge");
    assert_eq!(classified.verdict().class(), Class::Timeout);
    assert_idle(&ai);
}

/// The idle time runs only while a read is pending.
#[tokio::test]
async fn slow_reader_of_stream_meets_no_idle_timeout() {
    let [primary] = upstreams(["primary"]).await;
    let ai = stack([&primary])
        .timeouts(half_second_timeouts())
        .build()
        .unwrap();
    let mut body = ai.send(chat(true)).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error");
    sleep(SECOND).await;
    while let Some(frame) = body.frame().await {
        frame.expect("a buffered frame");
    }
    assert_eq!(ai.snapshot().successful, 1);
}

#[tokio::test]
async fn moving_stream_outlives_total() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::ok().chunks(12).chunk_delay(SECOND / 10));
    let mut timeouts = half_second_timeouts();
    timeouts.total = SECOND / 2;
    let ai = stack([&primary]).timeouts(timeouts).build().unwrap();
    let text = read(ai.send(chat(true)).await.unwrap())
        .await
        .expect("a moving stream");
    assert!(text.ends_with(b"[DONE]\n\n"));
}

// ===== Deadlines =====

#[tokio::test(start_paused = true)]
async fn deadline_of_request_replaces_deadline_of_stack() {
    let client = tower::service_fn(|_: Request<RequestBody>| async {
        std::future::pending::<Result<Response<String>, Infallible>>().await
    });
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("a", "http://a.test").unwrap())
        .deadline(5 * SECOND)
        .build_on(local_client(client))
        .unwrap();
    for (own, expected) in [(None, 5), (Some(2), 2), (Some(9), 9)] {
        let mut request = chat(false);
        if let Some(seconds) = own {
            let own = Deadline::after(Duration::from_secs(seconds));
            request.extensions_mut().insert(own);
        }
        let start = Instant::now();
        ai.send(request).await.expect_err("a timeout");
        assert_eq!(start.elapsed(), Duration::from_secs(expected));
    }
}

/// An endpoint would do billed work although the caller no longer waits.
#[tokio::test]
async fn passed_deadline_sends_no_attempt() {
    let [a, b] = upstreams(["a", "b"]).await;
    let ai = stack([&a, &b]).build().unwrap();
    let mut request = chat(false);
    let past = Instant::now();
    request.extensions_mut().insert(Deadline::at(past));
    ai.send(request).await.expect_err("a passed deadline");
    assert_eq!(a.counts().requests + b.counts().requests, 0);
    let health = status_of(&ai, "a").health;
    assert!(
        (health - 1.0).abs() < f64::EPSILON,
        "the endpoint has not failed"
    );
}

#[tokio::test(start_paused = true)]
async fn endless_request_body_ends_at_deadline() {
    let (_sender, body) = Channel::<Bytes>::new(1);
    let client = tower::service_fn(|_: Request<RequestBody>| async {
        Ok::<_, Infallible>(Response::new(String::new()))
    });
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("a", "http://a.test").unwrap())
        .deadline(5 * SECOND)
        .build_on(local_client(client))
        .unwrap();
    let request = Request::post("/v1/chat/completions").header("content-type", "application/json");
    let start = Instant::now();
    let error = ai.send(request.body(body).unwrap()).await.unwrap_err();
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(steadfast::error_response(&error).status(), 504);
}
