//! Bounds: how long an attempt may take, and how much of an answer is read to understand it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, StreamBody};
use stack_tests::{SECOND, chat, stack, upstreams};
use steadfast::{AiStack, Class, Classified, Deadline, Endpoint, RequestBody, Timeouts};
use steadfast_testkit::Reply;
use tokio::time::{Instant, Sleep, sleep};
use tokio_stream::{Stream, StreamExt};

type AnswerBody = http_body_util::combinators::BoxBody<Bytes, Infallible>;

/// A stack over one endpoint in this process, which answers after `wait` with what `body` makes.
fn answering<F>(wait: Duration, status: u16, kind: &'static str, body: F) -> AiStack
where
    F: Fn() -> AnswerBody + Clone + Send + Sync + 'static,
{
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let body = body.clone();
        async move {
            sleep(wait).await;
            let response = Response::builder()
                .status(status)
                .header("content-type", kind);
            Ok::<_, Infallible>(response.body(body()).expect("a response"))
        }
    });
    AiStack::builder()
        .endpoint(Endpoint::new("a", "http://a.test").expect("an endpoint"))
        .build_on(client)
        .expect("a stack")
}

fn frames(chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> AnswerBody {
    BodyExt::boxed(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))))
}

fn text(text: &'static str) -> AnswerBody {
    frames(tokio_stream::iter([Bytes::from_static(text.as_bytes())]))
}

/// Giving up on a long answer early bills it again.
#[tokio::test(start_paused = true)]
async fn a_whole_answer_may_take_minutes_and_a_stream_may_not_begin_so_late() {
    for (stream, at) in [(false, 599), (true, 29)] {
        let ai = answering(at * SECOND, 200, "application/json", || text("{}"));
        assert_eq!(ai.send(chat(stream)).await.expect("in time").status(), 200);
        let ai = answering((at + 2) * SECOND, 200, "application/json", || text("{}"));
        let start = Instant::now();
        ai.send(chat(stream)).await.expect_err("too late");
        assert_eq!(start.elapsed(), (at + 1) * SECOND);
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_body_without_end_is_read_so_far_and_no_further() {
    const CHUNK: usize = 8 * 1024;
    let read = Arc::new(AtomicUsize::new(0));
    let count = read.clone();
    let ai = answering(Duration::ZERO, 400, "text/plain", move || {
        let count = count.clone();
        let chunk = Bytes::from_static(&[b'x'; CHUNK]);
        frames(
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

/// Frames with nothing in them are no bytes and no events, and there may be any number.
#[tokio::test(start_paused = true)]
async fn empty_frames_are_counted_too() {
    for (status, kind, stream) in [(429, "text/plain", false), (200, "text/event-stream", true)] {
        let read = Arc::new(AtomicUsize::new(0));
        let count = read.clone();
        let ai = answering(Duration::ZERO, status, kind, move || {
            let count = count.clone();
            let empty = std::iter::repeat_n(Bytes::new(), 100_000);
            let frames_without_end = tokio_stream::iter(empty).map(move |chunk| {
                count.fetch_add(1, Ordering::Relaxed);
                chunk
            });
            frames(frames_without_end.chain(tokio_stream::pending()))
        });
        let mut request = chat(stream);
        request.extensions_mut().insert(Deadline::after(SECOND));
        let response = ai.send(request).await.expect("what there is of it");
        assert_eq!(response.status(), status);
        let read = read.load(Ordering::Relaxed);
        assert!(read < 5_000, "{read} frames");
    }
}

#[tokio::test(start_paused = true)]
async fn a_preamble_without_end_is_held_back_so_far_and_no_further() {
    let ping = || Bytes::from_static(b"data: {\"type\":\"ping\"}\n\n");
    let comment = || Bytes::from(format!(": {}\n", "x".repeat(1024)));
    for (name, chunk, enough) in [("events", ping(), 64), ("bytes", comment(), 260)] {
        for (count, passes) in [(enough / 2, false), (enough, true)] {
            let chunk = chunk.clone();
            let ai = answering(Duration::ZERO, 200, "text/event-stream", move || {
                let chunks = tokio_stream::iter(vec![chunk.clone(); count]);
                frames(chunks.chain(tokio_stream::pending()))
            });
            let start = Instant::now();
            let outcome = ai.send(chat(true)).await;
            assert_eq!(outcome.is_ok(), passes, "{count} {name}");
            let waited = if passes { Duration::ZERO } else { 30 * SECOND };
            assert_eq!(start.elapsed(), waited, "{count} {name}");
        }
    }
}

/// A server that says that it is there, and nothing else, keeps a reader waiting no longer than one
/// that takes its time for a whole answer.
#[tokio::test(start_paused = true)]
async fn a_stream_that_only_says_that_it_is_there_ends() {
    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    for alive in [": keep-alive\n\n", "data: {\"type\":\"ping\"}\n\n", "\n"] {
        let ai = answering(Duration::ZERO, 200, "text/event-stream", || {
            let token = tokio_stream::iter([Bytes::from_static(TOKEN.as_bytes())]);
            let alive = tokio_stream::iter(std::iter::repeat_n(
                Bytes::from_static(alive.as_bytes()),
                1000,
            ));
            frames(token.chain(Box::pin(alive.throttle(10 * SECOND))))
        });
        let start = Instant::now();
        let body = ai.send(chat(true)).await.expect("a token").into_body();
        let error = body.collect().await.expect_err("it does not move");
        let classified = Classified::find(&*error).expect("the edge says what it was");
        assert_eq!(classified.verdict().class(), Class::Timeout, "{alive:?}");
        assert_eq!(start.elapsed(), 600 * SECOND, "{alive:?}");
    }
}

/// A tool that a model calls may be written for minutes before it is sent.
#[tokio::test(start_paused = true)]
async fn a_stream_that_moves_now_and_then_goes_on() {
    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    let ai = answering(Duration::ZERO, 200, "text/event-stream", || {
        let alive = std::iter::repeat_n(": keep-alive\n\n", 50);
        let part = || std::iter::once(TOKEN).chain(alive.clone());
        let chunks = part().chain(part()).chain([DONE]);
        let chunks: Vec<_> = chunks
            .map(|text| Bytes::from_static(text.as_bytes()))
            .collect();
        frames(Box::pin(tokio_stream::iter(chunks).throttle(10 * SECOND)))
    });
    let start = Instant::now();
    let mut body = ai.send(chat(true)).await.expect("a token").into_body();
    // A slow reader in between takes none of that time.
    body.frame().await.expect("a frame").expect("no error");
    sleep(3_600 * SECOND).await;
    body.collect().await.expect("it moved in time");
    assert!(start.elapsed() > 3_600 * SECOND);
    assert_eq!(ai.snapshot().successful, 1);
}

/// A reader who comes back after the total gets what is there, and what comes soon.
#[tokio::test(start_paused = true)]
async fn a_slow_reader_of_a_whole_answer_is_no_slow_endpoint() {
    let ai = answering(Duration::ZERO, 200, "application/json", || {
        let begin = tokio_stream::iter([Bytes::from_static(b"{")]);
        frames(begin.chain(Late::after(620 * SECOND)))
    });
    let mut body = ai.send(chat(false)).await.unwrap().into_body();
    body.frame().await.expect("a frame").expect("no error");
    sleep(610 * SECOND).await;
    let rest = body.collect().await.expect("it came soon after").to_bytes();
    assert_eq!(rest, "}");
    assert_eq!(ai.snapshot().successful, 1);
}

/// The end of an answer, which comes late.
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

#[tokio::test(start_paused = true)]
async fn the_callers_own_deadline_counts_and_not_that_of_the_stack() {
    let client = tower::service_fn(|_: Request<RequestBody>| async {
        std::future::pending::<Result<Response<String>, Infallible>>().await
    });
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("a", "http://a.test").unwrap())
        .deadline(5 * SECOND)
        .build_on(client)
        .unwrap();
    for (own, expected) in [(None, 5), (Some(2), 2), (Some(9), 9)] {
        let mut request = chat(false);
        if let Some(seconds) = own {
            let own = Deadline::after(Duration::from_secs(seconds));
            request.extensions_mut().insert(own);
        }
        let start = Instant::now();
        ai.send(request).await.expect_err("nobody answers");
        assert_eq!(start.elapsed(), Duration::from_secs(expected));
    }
}

/// What a request asks for is read from its body however large that is, as long as it is there.
#[tokio::test(start_paused = true)]
async fn a_large_body_that_asks_for_a_stream_is_not_waited_for_like_a_whole_answer() {
    for size in [1 << 10, 2 << 20] {
        let ai = answering(Duration::from_secs(3600), 200, "text/event-stream", || {
            text("")
        });
        let body = format!(r#"{{"pad":"{}","stream":true}}"#, "x".repeat(size));
        let request = Request::post("/v1/chat/completions").body(body).unwrap();
        let start = Instant::now();
        ai.send(request).await.expect_err("nobody answers");
        assert_eq!(start.elapsed(), 30 * SECOND, "{size}");
    }
}

/// A client of ours is told how long an error is, as it came.
#[tokio::test]
async fn an_error_that_was_read_keeps_its_length() {
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

#[tokio::test]
async fn what_makes_no_sense_is_refused_when_it_is_built() {
    let client = || {
        tower::service_fn(|_: Request<RequestBody>| async {
            Ok::<_, Infallible>(Response::new(String::new()))
        })
    };
    let endpoint = || Endpoint::new("a", "http://a.test").unwrap();
    let mut timeouts = Timeouts::DEFAULT;
    timeouts.idle = Duration::ZERO;
    for (builder, field) in [
        (AiStack::builder(), "endpoint"),
        (
            AiStack::builder().endpoint(endpoint()).endpoint(endpoint()),
            "endpoint[1].name",
        ),
        (
            AiStack::builder().endpoint(endpoint()).timeouts(timeouts),
            "timeouts.idle",
        ),
        (
            AiStack::builder()
                .endpoint(endpoint())
                .deadline(Duration::ZERO),
            "deadline",
        ),
    ] {
        let error = builder.build_on(client()).expect_err(field);
        assert_eq!(error.field(), field);
    }
}
