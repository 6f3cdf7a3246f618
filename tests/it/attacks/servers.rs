//! Servers that answer with garbage or with wrong lengths.

use futures_util::future::join_all;
use http::{Request, Version};
use http_body_util::BodyExt;
use stack_tests::raw::{RawServer, exchange, statuses};
use stack_tests::upstreams;

use crate::gateway::{
    CHAT, Gateway, REQUEST, body_of, endpoint_table, header, in_time, new_client, text,
};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

/// Answers that are no HTTP, or have an invalid head. The next endpoint answers.
fn invalid_heads() -> Vec<Vec<u8>> {
    let long = "a".repeat(1 << 20);
    [
        "",
        "\r\n\r\n\r\n\r\n",
        "garbage\r\n\r\n",
        "<html>no HTTP</html>",
        "\0\u{1}\u{2}\u{7f}",
        "SSH-2.0-OpenSSH_9.6\r\n",
        "HTTP/0.9 200 OK\r\n\r\n",
        "HTTP/3 200 OK\r\n\r\n",
        "HTTP/1.1\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 2000 OK\r\n\r\n",
        "HTTP/1.1 -200 OK\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n",
        "HTTP/1.1 000 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: no name\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nx : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: -2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 2x\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n{}",
        "\u{16}\u{3}\u{3}\0\u{2}",
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .chain([
        format!("HTTP/1.1 200 OK\r\nx: {long}\r\n\r\n").into(),
        format!("HTTP/1.1 200 {long}\r\n\r\n").into(),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: 1\r\n".repeat(1000)).into(),
        "HTTP/1.1 100 Continue\r\n\r\n".repeat(1000).into(),
        b"\0\0\x04\x08\0\0\0\0\0".to_vec(),
    ])
    .collect()
}

/// Answers with a body that breaks its length. The next endpoint answers, or the caller gets no
/// complete body.
const WRONG_LENGTHS: &[&str] = &[
    "content-length: 100\r\n\r\n{}",
    "content-length: 18446744073709551614\r\n\r\n{}",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "transfer-encoding: chunked\r\n\r\n5\r\n{}",
    "transfer-encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n{}",
    "transfer-encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\n\r\n{}\r\n0\r\n\r\n",
    "transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
];

async fn gateway_over(server: &RawServer, backup: &str) -> Gateway {
    let tables = endpoint_table("bad", &server.url()) + &endpoint_table("backup", backup);
    Gateway::start(&tables).await
}

#[tokio::test]
async fn invalid_head_of_server_fails_over() {
    let [backup] = upstreams(["backup"]).await;
    for answer in invalid_heads() {
        let shown = String::from_utf8_lossy(&answer[..answer.len().min(60)]).into_owned();
        let server = RawServer::answering(answer).await;
        let gateway = gateway_over(&server, &backup.url()).await;
        let answer = gateway.post(CHAT, REQUEST).await;
        assert_eq!(answer.status(), 200, "{shown:?}");
        assert_eq!(header(&answer, "x-upstream"), "backup", "{shown:?}");
        text(answer).await;
        let status = &gateway.stack.status()[0];
        assert!(status.health < 1.0, "{shown:?}: a failure of the endpoint");
    }
}

#[tokio::test]
async fn wrong_length_of_answer_never_looks_complete() {
    let [backup] = upstreams(["backup"]).await;
    for framing in WRONG_LENGTHS {
        let server = RawServer::answering(format!("{OK}{framing}")).await;
        let gateway = gateway_over(&server, &backup.url()).await;
        let request = Request::post(gateway.url(CHAT)).body(body_of(REQUEST));
        let answer = new_client(Version::HTTP_11).request(request.unwrap());
        // The head of a broken answer may be lost with its connection.
        if let Ok(answer) = in_time(answer).await {
            let by_backup = answer.headers().contains_key("x-upstream");
            let body = answer.into_body().collect().await;
            assert!(by_backup || body.is_err(), "{framing:?}: {body:?}");
        }
        gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    }
}

/// An answer to `HEAD`, and with some statuses, has no body (RFC 9112, section 6.3). Its length
/// does not count, and the bytes behind it are no answer to the next request.
#[tokio::test]
async fn answer_without_body_ends_with_its_head() {
    let hidden = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nhidden";
    for (method, status) in [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304)] {
        for framing in [
            "content-length: 500\r\n\r\n".to_owned(),
            "transfer-encoding: chunked\r\n\r\n".to_owned(),
            format!("content-length: {}\r\n\r\n{hidden}", hidden.len()),
            format!("\r\n{hidden}"),
        ] {
            let server = RawServer::keeping(format!("HTTP/1.1 {status} x\r\n{framing}")).await;
            let gateway = Gateway::start(&endpoint_table("bad", &server.url())).await;
            let get = format!("{method} /v1/models HTTP/1.1\r\nhost: localhost\r\n\r\n");
            let answers = in_time(exchange(gateway.addr, get.repeat(3).as_bytes())).await;
            let found = statuses(&answers);
            assert_eq!(found, [status, status, status, 200], "{method} {framing:?}");
            let answers = String::from_utf8_lossy(&answers);
            assert!(
                !answers.contains("hidden"),
                "{method} {framing:?}: {answers}"
            );
        }
    }
}

/// The second answer of one request must not be the answer to the next request, which can be
/// another caller's.
#[tokio::test]
async fn additional_answer_reaches_no_caller() {
    let first = "content-length: 2\r\n\r\n{}";
    let second = r#"{"hidden":1}"#;
    // The gateway waits before it repeats a request.
    let cases = ["", "\r\n", "x"].map(async |between| {
        let answers = format!(
            "{OK}{first}{between}HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{second}",
            second.len()
        );
        let server = RawServer::keeping(answers).await;
        let gateway = Gateway::start(&endpoint_table("bad", &server.url())).await;
        for _ in 0..5 {
            let answer = gateway.post(CHAT, REQUEST).await;
            let body = text(answer).await;
            assert!(!body.contains("hidden"), "{between:?}: {body}");
        }
    });
    join_all(cases).await;
}
