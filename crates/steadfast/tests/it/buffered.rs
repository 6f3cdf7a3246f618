//! Buffered streams: breaks fail over after visible tokens, and callers get signs of life
//! meanwhile.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use steadfast::{
    AiStack, AiStackBuilder, BoxError, Class, Endpoint, Event, RequestBody, RequestExt, StreamMode,
    Trail, observer_fn,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};
use tokio_stream::StreamExt;

const SECOND: Duration = Duration::from_secs(1);
const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
const ERROR_EVENT: &str =
    "event: error\ndata: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n";
const COMMENT: &str = ": keep-alive\n\n";

/// A part of an answer.
#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Pause(Duration),
    Reset,
}
use Part::{Pause, Reset, Text};

use crate::support::local_client;

type AnyBody = UnsyncBoxBody<Bytes, io::Error>;

/// The answer of an endpoint: the time until its head, its status, its type and its body.
#[derive(Clone, Debug)]
struct Reply {
    head_after: Duration,
    status: u16,
    kind: &'static str,
    parts: Vec<Part>,
}

fn stream(parts: impl IntoIterator<Item = Part>) -> Reply {
    Reply {
        head_after: Duration::ZERO,
        status: 200,
        kind: "text/event-stream",
        parts: parts.into_iter().collect(),
    }
}

fn tokens(n: usize) -> Part {
    Text(TOKEN.repeat(n))
}

fn json(status: u16, text: &str, head_after: Duration) -> Reply {
    Reply {
        head_after,
        status,
        kind: "application/json",
        parts: vec![Text(text.to_owned())],
    }
}

impl Reply {
    fn body(&self) -> AnyBody {
        let parts = tokio_stream::iter(self.parts.clone()).then(async |part| match part {
            Text(text) => Some(Ok(Frame::data(Bytes::from(text)))),
            Pause(time) => {
                sleep(time).await;
                None
            }
            Reset => Some(Err(io::ErrorKind::ConnectionReset.into())),
        });
        StreamBody::new(Box::pin(parts.filter_map(|part| part))).boxed_unsync()
    }
}

/// Counts the attempts that have neither ended nor been dropped.
struct Open(Arc<AtomicUsize>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stack over endpoints with one answer each. The second one is a fallback to another model.
struct Setup {
    builder: AiStackBuilder,
    sent: Arc<Mutex<Vec<(String, Bytes)>>>,
    open: Arc<AtomicUsize>,
    replies: Vec<Reply>,
}

fn setup(replies: impl IntoIterator<Item = Reply>) -> Setup {
    let replies: Vec<_> = replies.into_iter().collect();
    let mut builder = AiStack::builder().stream_mode(StreamMode::Buffered);
    for n in 0..replies.len() {
        let endpoint = Endpoint::new(&format!("e{n}"), &format!("http://e{n}.test"));
        let tier = u16::try_from(n).expect("few endpoints");
        let endpoint = endpoint.expect("an endpoint").tier(tier);
        builder = builder.endpoint(endpoint.degraded(n > 0));
    }
    Setup {
        builder,
        sent: Arc::default(),
        open: Arc::default(),
        replies,
    }
}

impl Setup {
    fn build(&self) -> AiStack {
        let (sent, open, replies) = (self.sent.clone(), self.open.clone(), self.replies.clone());
        let client = tower::service_fn(move |request: Request<RequestBody>| {
            let (sent, replies) = (sent.clone(), replies.clone());
            open.fetch_add(1, Ordering::Relaxed);
            let guard = Open(open.clone());
            async move {
                let _guard = guard;
                let host = request.uri().host().expect("a host").to_owned();
                let n: usize = host[1..2].parse().expect("the number of an endpoint");
                let body = request.into_body().collect().await.expect("a body");
                sent.lock().expect("a lock").push((host, body.to_bytes()));
                let reply = &replies[n];
                sleep(reply.head_after).await;
                let response = Response::builder().status(reply.status);
                let response = response.header("content-type", reply.kind);
                Ok::<_, Infallible>(response.body(reply.body()).expect("a response"))
            }
        });
        self.builder
            .clone()
            .build_on(local_client(client))
            .expect("a stack")
    }

    fn hosts(&self) -> Vec<String> {
        let sent = self.sent.lock().expect("a lock");
        sent.iter().map(|(host, _)| host[..2].to_owned()).collect()
    }
}

fn request(path: &str, stream: bool) -> Request<String> {
    let body = format!(
        r#"{{"model":"m","stream":{stream},"messages":[{{"role":"user","content":"Hi"}}]}}"#
    );
    Request::post(path).body(body).expect("a request")
}

fn chat() -> Request<String> {
    request("/v1/chat/completions", true)
}

/// Reads a body: its text, and the error behind it.
async fn read(
    mut body: impl Body<Data = Bytes, Error = BoxError> + Unpin,
) -> (String, Option<BoxError>) {
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => text += &String::from_utf8_lossy(&frame.into_data().expect("data")),
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

fn whole_answer() -> String {
    format!("{}{DONE}", TOKEN.repeat(60))
}

#[tokio::test(start_paused = true)]
async fn stream_that_breaks_at_token_40_is_served_completely_by_fallback() {
    for (name, seconds, first) in [
        ("cut", 1, stream([tokens(40), Reset])),
        ("truncated", 1, stream([tokens(40)])),
        (
            "error event",
            1,
            stream([tokens(40), Text(ERROR_EVENT.to_owned()), tokens(20)]),
        ),
        ("stalled", 61, stream([tokens(40), Pause(3600 * SECOND)])),
        (
            "slower than total",
            601,
            stream((0..3000).flat_map(|_| [tokens(1), Pause(SECOND)])),
        ),
        (
            "comments only",
            601,
            stream(
                [tokens(1)]
                    .into_iter()
                    .chain((0..3000).flat_map(|_| [Text(COMMENT.to_owned()), Pause(30 * SECOND)])),
            ),
        ),
    ] {
        let setup = setup([first, stream([Text(whole_answer())])]);
        let start = Instant::now();
        let response = setup.build().send(chat()).await.expect("an answer");
        let (text, error) = read(response.into_body()).await;
        assert!(error.is_none(), "{name}: {error:?}");
        let took = start.elapsed();
        assert!(took <= seconds * SECOND, "{name}: {took:?}");
        let without_comments = text.replace(COMMENT, "");
        assert_eq!(without_comments, whole_answer(), "{name}");
        let sent = setup.sent.lock().expect("a lock");
        assert_eq!(sent.last().expect("attempts").0, "e1.test", "{name}");
        // A fallback may refuse a started answer of another model. It gets the request alone.
        assert!(sent.iter().all(|(_, body)| body == chat().body()), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn break_that_failed_over_is_an_event() {
    for end in [Reset, Text(ERROR_EVENT.to_owned())] {
        let breaks = Arc::new(Mutex::new(Vec::new()));
        let seen = breaks.clone();
        let mut setup = setup([stream([tokens(40), end]), stream([Text(whole_answer())])]);
        setup.builder = setup.builder.observer(observer_fn(move |event| {
            if let Event::StreamBroken {
                endpoint,
                after_tokens,
                ..
            } = event
            {
                let broken = (endpoint.to_string(), *after_tokens);
                seen.lock().expect("a lock").push(broken);
            }
        }));
        let response = setup.build().send(chat()).await.expect("an answer");
        let trail = Trail::of(response.extensions())
            .expect("several attempts")
            .to_string();
        assert!(trail.contains("e0") && trail.contains("e1"), "{trail}");
        let breaks = breaks.lock().expect("a lock");
        assert!(
            breaks.iter().all(|broken| *broken == ("e0".to_owned(), 40)),
            "{breaks:?}"
        );
        assert!(!breaks.is_empty());
    }
}

/// Only a complete stream is passed on, also where no other endpoint can serve the request.
#[tokio::test(start_paused = true)]
async fn broken_stream_of_lone_endpoint_is_an_error_within_idle_time() {
    for end in [Reset, Text(ERROR_EVENT.to_owned()), Pause(3600 * SECOND)] {
        let setup = setup([stream([tokens(40), end])]);
        let start = Instant::now();
        if let Ok(response) = setup.build().send(chat()).await {
            let (text, error) = read(response.into_body()).await;
            assert!(error.is_some() && !text.contains("Hi"), "{text}");
        }
        // The idle time of two attempts, and the pause between them.
        let took = start.elapsed();
        assert!(took <= 130 * SECOND, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn mode_of_request_precedes_mode_of_stack() {
    use StreamMode::{Buffered, Direct};
    for (of_stack, of_request, fails_over) in [
        (Direct, None, false),
        (Direct, Some(Buffered), true),
        (Buffered, None, true),
        (Buffered, Some(Direct), false),
    ] {
        let mut setup = setup([stream([tokens(2), Reset]), stream([Text(whole_answer())])]);
        setup.builder = setup.builder.stream_mode(of_stack);
        let request = match of_request {
            Some(mode) => chat().stream_mode(mode),
            None => chat(),
        };
        let response = setup.build().send(request).await.expect("an answer");
        let (_, error) = read(response.into_body()).await;
        assert_eq!(error.is_none(), fails_over, "{of_stack:?} {of_request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn slow_stream_gets_head_after_5_s_and_comments_until_its_answer() {
    let parts = [
        Text(TOKEN.to_owned()),
        Pause(12 * SECOND),
        Text(DONE.to_owned()),
    ];
    let setup = setup([stream(parts)]);
    let start = Instant::now();
    let response = setup.build().send(chat()).await.expect("an answer");
    assert_eq!(start.elapsed(), 5 * SECOND);
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (text, error) = read(response.into_body()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text, format!("{COMMENT}{COMMENT}{TOKEN}{DONE}"));
    assert_eq!(start.elapsed(), 12 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn answer_within_5_s_keeps_its_head() {
    let error = r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#;
    let setup = setup([json(400, error, 4 * SECOND)]);
    let response = setup.build().send(chat()).await.expect("an answer");
    assert_eq!(response.status(), 400);
    assert_eq!(read(response.into_body()).await.0, error);
}

/// A slow whole answer needs no sign of life that its format does not have.
#[tokio::test(start_paused = true)]
async fn whole_answer_has_no_early_head() {
    let setup = setup([json(400, "{}", 20 * SECOND)]);
    let response = setup
        .build()
        .send(request("/v1/chat/completions", false))
        .await;
    assert_eq!(response.expect("an answer").status(), 400);
}

#[tokio::test(start_paused = true)]
async fn failure_after_early_head_is_error_event_and_body_error() {
    let openai = r#"{"error":{"message":"bad","type":"invalid_request_error"}}"#;
    for (name, path, reply, class, expected) in [
        (
            "answer of the endpoint",
            "/v1/chat/completions",
            json(400, openai, 7 * SECOND),
            Class::CallerFault,
            format!("event: error\ndata: {openai}\n\n"),
        ),
        (
            "error in lines",
            "/v1/chat/completions",
            json(400, "{\r\n\"error\":{}\n}", 7 * SECOND),
            Class::CallerFault,
            "event: error\ndata: {\ndata: \ndata: \"error\":{}\ndata: }\n\n".to_owned(),
        ),
        (
            "error beyond 64 KiB",
            "/v1/messages",
            json(
                400,
                &format!("{{\"x\":\"{}\"}}", "x".repeat(70_000)),
                7 * SECOND,
            ),
            Class::CallerFault,
            "event: error\ndata: {\"error\":{\"message\":".to_owned(),
        ),
        (
            "answer beyond 8 MiB",
            "/v1/messages",
            json(200, &"x".repeat(9 * 1024 * 1024), 7 * SECOND),
            Class::Transport,
            "event: error\ndata: {\"error\":{\"message\":".to_owned(),
        ),
        (
            "page of a proxy",
            "/v1/messages",
            json(414, "<html>", 7 * SECOND),
            Class::CallerFault,
            "event: error\ndata: {\"error\":{\"message\":".to_owned(),
        ),
        (
            "broken stream",
            "/v1/messages",
            stream([tokens(1), Pause(7 * SECOND), Reset]),
            Class::Transport,
            "event: error\ndata: {\"error\":{\"message\":".to_owned(),
        ),
    ] {
        let response = setup([reply]).build().send(request(path, true)).await;
        let response = response.expect("an early head");
        assert_eq!(response.status(), 200, "{name}");
        let (text, error) = read(response.into_body()).await;
        let text = text.trim_start_matches(COMMENT);
        assert!(text.starts_with(&expected), "{name}: {text}");
        assert!(text.ends_with("}\n\n"), "{name}: {text}");
        if path == "/v1/messages" {
            assert!(text.contains("\"type\":\"error\""), "{name}: {text}");
        }
        let error = error.unwrap_or_else(|| panic!("{name}: a clean end"));
        let verdict = steadfast::crates::core::layer::verdict_of_error(&error);
        assert_eq!(verdict.class(), class, "{name}");
    }
}

/// A server that gets both at once closes the connection, and drops the event.
#[tokio::test(start_paused = true)]
async fn server_writes_error_event_before_it_closes_the_connection() {
    let setup = setup([json(400, r#"{"error":{}}"#, 7 * SECOND)]);
    let service = TowerToHyperService::new(setup.build());
    let (client, server) = tokio::io::duplex(64 * 1024);
    tokio::spawn(async move {
        let server = TokioIo::new(server);
        let builder = auto::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(server, service).await;
    });
    let mut client = client;
    let body = chat().into_body();
    let head = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: a.test\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client
        .write_all(head.as_bytes())
        .await
        .expect("a connection");
    client
        .write_all(body.as_bytes())
        .await
        .expect("a connection");
    let mut text = Vec::new();
    client.read_to_end(&mut text).await.expect("an end");
    let text = String::from_utf8_lossy(&text);
    assert!(
        text.contains("event: error\ndata: {\"error\":{}}\n\n"),
        "{text}"
    );
    assert!(!text.ends_with("0\r\n\r\n"), "a clean end: {text}");
}

#[tokio::test(start_paused = true)]
async fn whole_answer_after_early_head_is_one_event() {
    let answer = r#"{"choices":[{"message":{"content":"Hi"}}]}"#;
    let setup = setup([json(200, answer, 7 * SECOND)]);
    let response = setup.build().send(chat()).await.expect("an early head");
    let (text, error) = read(response.into_body()).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(text, format!("{COMMENT}data: {answer}\n\n"));
}

#[tokio::test(start_paused = true)]
async fn dropped_body_ends_the_attempt() {
    let setup = setup([json(200, "{}", 3600 * SECOND)]);
    let ai = setup.build();
    let mut body = ai.send(chat()).await.expect("an early head").into_body();
    assert!(body.frame().await.expect("a comment").is_ok());
    assert_eq!(setup.open.load(Ordering::Relaxed), 1);
    drop(body);
    assert_eq!(setup.open.load(Ordering::Relaxed), 0);
    assert_eq!(ai.status()[0].in_flight, 0);
    assert_eq!(setup.hosts(), ["e0"]);
}

/// The caller gets the words of the provider, and no other endpoint is tried.
#[tokio::test(start_paused = true)]
async fn fault_of_request_within_stream_passes_as_sent() {
    let fault =
        "data: {\"error\":{\"message\":\"flagged\",\"code\":\"content_policy_violation\"}}\n\n";
    let setup = setup([
        stream([tokens(2), Text(fault.to_owned())]),
        stream([Text(whole_answer())]),
    ]);
    let response = setup.build().send(chat()).await.expect("an answer");
    let (text, error) = read(response.into_body()).await;
    assert_eq!(text, format!("{TOKEN}{TOKEN}{fault}"));
    assert!(error.is_some(), "no clean end");
    assert_eq!(setup.hosts(), ["e0"]);
}

/// A server may keep its connection open behind the end of an answer.
#[tokio::test(start_paused = true)]
async fn stream_is_complete_at_done() {
    let setup = setup([stream([
        tokens(2),
        Text(DONE.to_owned()),
        Pause(4000 * SECOND),
    ])]);
    let start = Instant::now();
    let response = setup.build().send(chat()).await.expect("an answer");
    assert_eq!(start.elapsed(), Duration::ZERO);
    drop(response);
}

#[tokio::test(start_paused = true)]
async fn stream_beyond_8_mib_is_passed_on_as_it_comes() {
    let chunk = TOKEN.repeat(20_000);
    let parts = (0..10).flat_map(|_| [Text(chunk.clone()), Pause(SECOND / 10)]);
    let setup = setup([stream(parts.chain([Pause(50 * SECOND), Reset]))]);
    let start = Instant::now();
    let response = setup.build().send(chat()).await.expect("an answer");
    assert!(start.elapsed() < 2 * SECOND, "{:?}", start.elapsed());
    let (text, error) = read(response.into_body()).await;
    assert_eq!(text.len(), 10 * chunk.len());
    assert!(error.is_some());
    assert_eq!(setup.hosts(), ["e0"]);
}

#[tokio::test(start_paused = true)]
async fn deadline_includes_the_whole_stream() {
    let setup = setup([stream((0..100).flat_map(|_| [tokens(1), Pause(SECOND)]))]);
    let deadline = steadfast::Deadline::after(3 * SECOND);
    let start = Instant::now();
    let outcome = setup.build().send(chat().deadline(deadline)).await;
    assert!(outcome.is_err());
    assert_eq!(start.elapsed(), 3 * SECOND);
}
