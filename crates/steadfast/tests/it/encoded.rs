//! Encoded answers and requests: they are inspected, and pass as they are.

use std::convert::Infallible;
use std::io::Read;

use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzEncoder;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};
use steadfast::{AiStack, Class, RequestBody, StreamMode, Trail};

use crate::support::{SentUris, local_client, with_two_endpoints};

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    let mut encoder = GzEncoder::new(text, Compression::fast());
    encoder.read_to_end(&mut body).expect("an encoded text");
    body
}

/// A stack whose first endpoint sends an encoded answer. The second one sends a good answer.
fn stack(status: u16, encoding: &'static str, body: Vec<u8>) -> (AiStack, SentUris) {
    let (body, sent) = (Bytes::from(body), SentUris::default());
    let seen = sent.clone();
    let client = tower::service_fn(move |request: Request<RequestBody>| {
        seen.push(request.uri());
        let is_first = request.uri().host() == Some("first.test");
        let response = if is_first {
            let head = Response::builder().status(status);
            let head = head.header("content-encoding", encoding);
            head.body(Full::from(body.clone())).expect("a response")
        } else {
            Response::new(Full::from(GOOD))
        };
        async move { Ok::<_, Infallible>(response) }
    });
    let builder = with_two_endpoints(AiStack::builder());
    (
        builder.build_on(local_client(client)).expect("a stack"),
        sent,
    )
}

const GOOD: &str = r#"{"choices":[{"index":0,"message":{"content":"Hi"}}]}"#;

fn chat() -> Request<String> {
    let request = Request::post("/v1/chat/completions");
    request
        .body(r#"{"model":"m"}"#.to_owned())
        .expect("a request")
}

#[tokio::test]
async fn encoded_answer_is_checked_and_passes_as_received() {
    let error = br#"{"error":{"message":"boom","type":"server_error"}}"#;
    let zeros = vec![b' '; 9 * 1024 * 1024];
    for (name, encoding, body, attempts) in [
        ("answer", "gzip", gzip(GOOD.as_bytes()), 1),
        ("error in a 200", "gzip", gzip(error), 2),
        ("page", "gzip", gzip(b"<html>"), 2),
        ("cut", "gzip", gzip(GOOD.as_bytes())[..30].to_vec(), 2),
        ("no gzip", "gzip", GOOD.as_bytes().to_vec(), 2),
        ("unknown", "snappy", b"?".to_vec(), 1),
        ("bomb", "gzip", gzip(&zeros), 1),
    ] {
        let (ai, sent) = stack(200, encoding, body.clone());
        let response = ai.send(chat()).await.expect("an answer");
        assert_eq!(sent.all().len(), attempts, "{name}");
        if attempts == 1 {
            assert_eq!(response.headers()["content-encoding"], encoding, "{name}");
            let passed = response.into_body().collect().await.expect("a body");
            assert_eq!(passed.to_bytes(), body, "{name}");
        }
    }
}

#[tokio::test]
async fn encoded_error_has_class_of_its_text() {
    let error =
        br#"{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}"#;
    let long = [
        br#"{"error":{"code":"insufficient_quota","message":""#.to_vec(),
        vec![b' '; 1 << 20],
    ]
    .concat();
    for (name, body, expected) in [
        ("whole", gzip(error), Class::QuotaExhausted),
        ("no gzip", error.to_vec(), Class::RateLimited),
        ("bomb", gzip(&long), Class::RateLimited),
    ] {
        let (ai, _) = stack(429, "gzip", body);
        let response = ai.send(chat()).await.expect("an answer");
        let trail = Trail::of(response.extensions()).expect("two attempts");
        let first = trail.attempts().into_iter().next().expect("an attempt");
        assert_eq!(first.verdict.class(), expected, "{name}");
    }
}

/// A client that encodes its requests lost failover: its requests stayed at the first endpoint.
#[tokio::test(start_paused = true)]
async fn encoded_request_fails_over_by_its_text() {
    let zstd = |text: &str| compress_to_vec(text.as_bytes(), CompressionLevel::Fastest);
    let bomb = format!(
        r#"{{"store":false,"input":"{}"}}"#,
        "a".repeat(9 * 1024 * 1024)
    );
    for (name, encoding, body, attempts) in [
        (
            "stateless",
            "zstd",
            zstd(r#"{"model":"m","store":false}"#),
            2,
        ),
        ("gzip", "gzip", gzip(br#"{"model":"m","store":false}"#), 2),
        (
            "with stored state",
            "zstd",
            zstd(r#"{"model":"m","store":true,"previous_response_id":"r"}"#),
            1,
        ),
        // A body that cannot be read names no state, and a refusal has changed none.
        ("bomb", "zstd", zstd(&bomb), 2),
        ("no zstd", "zstd", b"{\"store\":false}".to_vec(), 2),
    ] {
        let (ai, sent) = stack(429, "identity", b"{}".to_vec());
        let request = Request::post("/v1/responses").header("content-encoding", encoding);
        let request = request.body(Full::from(body)).expect("a request");
        let deadline = steadfast::Deadline::after(std::time::Duration::from_millis(300));
        let _ = ai
            .send(steadfast::RequestExt::deadline(request, deadline))
            .await;
        let hosts = sent.all();
        let is_backup = hosts.iter().any(|uri| uri.contains("second.test"));
        assert_eq!(is_backup, attempts == 2, "{name}: {hosts:?}");
    }
}

/// The early head of a buffered stream names no encoding.
#[tokio::test(start_paused = true)]
async fn encoded_answer_after_early_head_is_decoded() {
    const EVENTS: &str =
        "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\ndata: [DONE]\n\n";
    for (kind, encoding, text, expected) in [
        ("text/event-stream", "gzip", EVENTS, EVENTS.to_owned()),
        ("Text/Event-Stream", "identity", EVENTS, EVENTS.to_owned()),
        (
            "application/json",
            "gzip",
            GOOD,
            format!("data: {GOOD}\n\n"),
        ),
        (
            "application/json",
            "snappy",
            GOOD,
            "event: error\n".to_owned(),
        ),
    ] {
        let body = match encoding {
            "gzip" => gzip(text.as_bytes()),
            _ => text.as_bytes().to_vec(),
        };
        let client = tower::service_fn(move |_: Request<RequestBody>| {
            let head = Response::builder().header("content-type", kind);
            let head = head.header("content-encoding", encoding);
            let response = head.body(Full::from(body.clone())).expect("a response");
            async move {
                tokio::time::sleep(std::time::Duration::from_secs(7)).await;
                Ok::<_, Infallible>(response)
            }
        });
        let builder = with_two_endpoints(AiStack::builder()).stream_mode(StreamMode::Buffered);
        let ai = builder.build_on(local_client(client)).expect("a stack");
        let request = chat().map(|_| r#"{"model":"m","stream":true}"#.to_owned());
        let mut body = ai.send(request).await.expect("an early head").into_body();
        let mut received = String::new();
        while let Some(Ok(frame)) = body.frame().await {
            received += &String::from_utf8_lossy(frame.data_ref().expect("data"));
        }
        let received = received.trim_start_matches(": keep-alive\n\n");
        assert!(
            received.starts_with(&expected),
            "{kind} {encoding}: {received}"
        );
    }
}
