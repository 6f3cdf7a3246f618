//! A search for secrets. Markers serve as keys, secret queries and credentials of callers. All
//! output at `RUST_LOG=trace`, the operators' routes, the answers, and the requests at the other
//! endpoints must contain none of them.

use stack_tests::raw::{RawServer, exchange, request_http2};
use tokio::io::AsyncWriteExt;

use super::child::GatewayProcess;
use super::credentials::{HEADERS, QUERIES};
use super::{COMPLETION, post};
use crate::gateway::{CHAT, REQUEST, in_time};

/// A part of each marker of an endpoint, with its name.
const OF_A: &str = "mark-a-";
const OF_B: &str = "mark-b-";
const OF_DOWN: &str = "mark-down-";
/// A part of each marker of a caller.
const OF_CALLER: &str = "mark-caller-";

/// The answers of endpoint `a`, one after another.
const ANSWERS: &[&str] = &[
    COMPLETION,
    "HTTP/1.1 401 x\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 429 x\r\nretry-after: 0\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 500 x\r\ncontent-length: 2\r\n\r\n{}",
    "HTTP/1.1 302 x\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n",
    "HTTP/1.1 200 x\r\ncontent-length: 100\r\n\r\n{}",
    "garbage\r\n\r\n",
    "",
];

/// Starts an endpoint that sends the next of `ANSWERS` for each request.
async fn endpoint_a() -> RawServer {
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    RawServer::start(move |_, mut stream| {
        let n = count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        async move {
            let answer = ANSWERS[n % ANSWERS.len()];
            stream.write_all(answer.as_bytes()).await?;
            Ok((answer == COMPLETION).then_some(stream))
        }
    })
    .await
}

/// Starts a gateway over `a` and `b`, with a marker in each place of a key or a secret query.
async fn gateway(a: &RawServer, b: &RawServer) -> GatewayProcess {
    let endpoint = |name: &str, url: &str, marks: &str| {
        let query = format!("?key={marks}query&x={marks}plain&{marks}name");
        format!("[[endpoint]]\nname = '{name}'\nurl = '{url}{query}'\napi_key_env = 'KEY_{name}'\n")
    };
    let config = format!(
        "admin = '127.0.0.1:0'\n[stack]\nstrategy = 'round_robin'\n{}{}{}",
        endpoint("a", &a.url(), OF_A),
        endpoint("b", &b.url(), OF_B),
        endpoint("down", "http://127.0.0.1:1/v1", OF_DOWN),
    );
    let keys = [OF_A, OF_B, OF_DOWN].map(|marks| format!("{marks}key"));
    let variables = [
        ("RUST_LOG", "trace"),
        ("KEY_a", &keys[0]),
        ("KEY_b", &keys[1]),
        ("KEY_down", &keys[2]),
    ];
    GatewayProcess::start(&config, &variables).await
}

/// Requests with a marker in each place of a credential. Some are rejected by the gateway.
fn requests() -> Vec<String> {
    let get = |target: &str, headers: &str| {
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
    };
    let headers = HEADERS
        .iter()
        .map(|name| get("/v1/models", &format!("{name}: {OF_CALLER}{name}\r\n")));
    let queries = QUERIES
        .iter()
        .map(|query| get(&format!("/v1/models?{query}{OF_CALLER}query"), ""));
    let all: String = HEADERS
        .iter()
        .map(|name| format!("{name}: {OF_CALLER}{name}\r\n"))
        .collect();
    let size = REQUEST.len();
    let chat = |target: &str, more: &str| {
        format!(
            "{}{all}{more}content-length: {size}\r\n\r\n{REQUEST}",
            post(target)
        )
    };
    let target = format!("{CHAT}?key={OF_CALLER}query");
    let mut requests: Vec<_> = headers.chain(queries).collect();
    // Each answer of `a`, and the end of the breaker of `down`.
    requests.extend((0..20).map(|_| chat(&target, "")));
    requests.extend([
        chat(&target, "origin: https://evil.example\r\n"),
        chat(&target, "connection: upgrade\r\nupgrade: websocket\r\n"),
        chat(&target, "content-length: 1\r\n"),
        chat(&target, "no colon\r\n"),
        chat(&target, "x: \0\r\n"),
        chat(&target, " folded\r\n"),
        chat(&target, "expect: 100-continue\r\n"),
        chat(&target, "content-length: 99999999999\r\n"),
        chat(&format!("/elsewhere?key={OF_CALLER}query"), ""),
        chat(&format!("/v1/../x?key={OF_CALLER}query"), ""),
        chat(
            &format!("http://user:{OF_CALLER}password@localhost/v1/models"),
            "",
        ),
        chat(&target, "").replace("POST", "TRACE"),
        chat(&target, "").replace("POST", "OPTIONS"),
        chat(&target, "").replace("HTTP/1.1", "HTTP/1.0"),
        chat(&target, "").replace("HTTP/1.1", "HTTP/4"),
        format!("CONNECT user:{OF_CALLER}password@localhost:1 HTTP/1.1\r\n\r\n"),
        format!("{OF_CALLER}garbage\r\n\r\n"),
    ]);
    requests
}

/// Sends the same over HTTP/2: a valid request, and one with an invalid header.
async fn send_http2(gateway: &GatewayProcess, invalid: bool) -> Vec<u8> {
    let path = format!("{CHAT}?key={OF_CALLER}query");
    let secrets: Vec<_> = HEADERS.iter().map(|name| name.to_lowercase()).collect();
    let value = format!("{OF_CALLER}header");
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "http"),
        (":path", &*path),
        (":authority", "localhost"),
    ];
    fields.extend(secrets.iter().map(|name| (&**name, &*value)));
    if invalid {
        fields.push(("connection", &value));
    }
    let answer = in_time(request_http2(gateway.addr, &fields, None)).await;
    answer.into_iter().flat_map(|it| it.payload).collect()
}

/// Returns the lines of `text` that contain a marker of `marks`.
fn leaks<'a>(text: &'a str, marks: &[&str]) -> Vec<&'a str> {
    let marked = |line: &&str| marks.iter().any(|mark| line.contains(mark));
    text.lines().filter(marked).collect()
}

#[tokio::test]
async fn no_secret_is_shown_or_sent_elsewhere() {
    let (a, b) = (endpoint_a().await, RawServer::keeping(COMPLETION).await);
    let gateway = gateway(&a, &b).await;
    let mut answers = Vec::new();
    for request in requests() {
        answers.extend(in_time(exchange(gateway.addr, request.as_bytes())).await);
    }
    for invalid in [false, true] {
        answers.extend(send_http2(&gateway, invalid).await);
    }
    let mut state = Vec::new();
    for path in ["/status", "/metrics"] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n");
        state.extend(in_time(exchange(gateway.admin(), request.as_bytes())).await);
    }
    let received = |server: &RawServer| {
        let requests = server.requests();
        assert!(
            requests.len() >= ANSWERS.len(),
            "{} requests",
            requests.len()
        );
        String::from_utf8_lossy(&requests.concat()).into_owned()
    };
    let (at_a, at_b) = (received(&a), received(&b));
    assert!(
        at_a.contains("mark-a-key") && at_a.contains("mark-a-query"),
        "{at_a}"
    );
    let output = gateway.output();
    assert!(
        output.len() > 10_000 && output.contains("TRACE"),
        "{output}"
    );
    let all = [OF_A, OF_B, OF_DOWN, OF_CALLER];
    for (place, text, marks) in [
        ("the requests at a", &*at_a, &[OF_B, OF_DOWN, OF_CALLER][..]),
        ("the requests at b", &*at_b, &[OF_A, OF_DOWN, OF_CALLER]),
        ("the answers", &String::from_utf8_lossy(&answers), &all),
        ("the state", &String::from_utf8_lossy(&state), &all),
        ("the output", &output, &all),
    ] {
        let leaks = leaks(text, marks);
        let shown = leaks[..leaks.len().min(20)].join("\n");
        assert!(
            leaks.is_empty(),
            "{} lines of {place}:\n{shown}",
            leaks.len()
        );
    }
}
