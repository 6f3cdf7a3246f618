//! Callers of HTTP/1.0, such as a proxy with its defaults. They know no chunks, so the end of the
//! connection ends most answers.

use std::io;
use std::time::Duration;

use stack_tests::raw::{RawServer, connect, exchange, statuses};
use steadfast_testkit::{Reply, Upstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{CHAT, Gateway, REQUEST, STREAM_REQUEST, endpoint_table, in_time};

/// Makes a request with further headers.
fn post(path: &str, headers: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.0\r\nhost: localhost\r\n{headers}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}

const FILE: &str = "GET /v1/files/f/content HTTP/1.0\r\nhost: localhost\r\n\r\n";

/// Reads the answers to a request until the connection ends, in order or by a reset.
async fn read(gateway: &Gateway, request: &str) -> (String, io::Result<usize>) {
    let mut stream = connect(gateway.addr).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let end = in_time(stream.read_to_end(&mut answer)).await;
    (String::from_utf8(answer).unwrap(), end)
}

#[tokio::test]
async fn http10_request_is_answered_without_chunks() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let keeping = post(CHAT, "connection: keep-alive\r\n", REQUEST);
    let last = post(CHAT, "", REQUEST);
    for (request, answers) in [
        (last.clone(), 1),
        (post(CHAT, "expect: 100-continue\r\n", REQUEST), 1),
        (post(CHAT, "", STREAM_REQUEST), 1),
        (format!("{keeping}{keeping}{last}"), 3),
    ] {
        upstream.clear_log();
        let (answer, end) = read(&gateway, &request).await;
        let found = statuses(answer.as_bytes());
        assert_eq!(found, vec![200; answers], "{request:?}: {answer}");
        assert!(end.is_ok(), "{request:?}: {end:?}");
        assert!(!answer.contains("transfer-encoding"), "{answer}");
        assert_eq!(upstream.log().len(), answers);
    }
}

/// HTTP/1.0 has no chunks, so another server would take them for a part of the body or for the next
/// request.
#[tokio::test]
async fn chunks_over_http10_reach_no_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for headers in [
        "transfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\nconnection: keep-alive\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\nconnection: keep-alive\r\n",
    ] {
        let request = format!(
            "POST {CHAT} HTTP/1.0\r\nhost: localhost\r\n{headers}\r\n0\r\n\r\n\
             GET /v1/hidden HTTP/1.0\r\nhost: localhost\r\n\r\n"
        );
        let answers = in_time(exchange(gateway.addr, request.as_bytes())).await;
        assert_eq!(statuses(&answers), [400], "{headers:?}");
        assert!(upstream.log().is_empty(), "{headers:?}");
    }
}

/// A body in chunks, with these bytes behind its first one.
fn chunked(kind: &str, data: &str, end: &str) -> String {
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-type:";
    format!("{head} {kind}\r\n\r\n{:x}\r\n{data}\r\n{end}", data.len())
}

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// The client took the first half of a file for the whole one.
#[tokio::test]
async fn broken_answer_over_http10_ends_with_reset() {
    let stream = post(CHAT, "", STREAM_REQUEST);
    let done = format!("{:x}\r\n{}\r\n0\r\n\r\n", 14, "data: [DONE]\n\n");
    for (request, answer, is_complete) in [
        (FILE, chunked("text/plain", "half", ""), false),
        (FILE, chunked("text/plain", "half", "5\r\nx"), false),
        (FILE, chunked("text/plain", "whole", "0\r\n\r\n"), true),
        (&stream, chunked("text/event-stream", TOKEN, ""), false),
        (&stream, chunked("text/event-stream", TOKEN, &done), true),
    ] {
        let server = RawServer::answering(answer.clone()).await;
        let gateway = Gateway::start(&endpoint_table("dying", &server.url())).await;
        let (received, end) = read(&gateway, request).await;
        assert!(received.starts_with("HTTP/1.0 200 "), "{received}");
        assert_eq!(end.is_ok(), is_complete, "{answer:?}: {received}");
        let is_stream = request != FILE;
        let has_event = received.contains("event: error\n");
        assert_eq!(has_event, is_stream && !is_complete, "{received}");
    }
}

/// The end of the drain time cuts answers.
#[tokio::test]
async fn answer_that_shutdown_cuts_over_http10_ends_with_reset() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(Reply::ok().stall_after(1));
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\ndrain = '20ms'\n", &endpoint).await;
    let mut stream = connect(gateway.addr).await;
    let request = post(CHAT, "", STREAM_REQUEST);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut received = Vec::new();
    while !received.ends_with(b"\n\n") || !received.windows(5).any(|part| part == b"data:") {
        in_time(stream.read_buf(&mut received)).await.unwrap();
    }
    gateway.stop.send(()).unwrap();
    in_time(gateway.server).await.unwrap();
    let end = in_time(stream.read_to_end(&mut received)).await;
    assert!(end.is_err(), "{}", String::from_utf8_lossy(&received));
}

/// Only the head of an answer to `HEAD` follows, and its connection ends in order.
#[tokio::test]
async fn answer_without_body_over_http10_ends_in_order() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let server = RawServer::answering(answer).await;
    let gateway = Gateway::start(&endpoint_table("a", &server.url())).await;
    let (received, end) = read(&gateway, &FILE.replace("GET", "HEAD")).await;
    assert!(received.starts_with("HTTP/1.0 200 "), "{received}");
    assert!(end.is_ok(), "{end:?}");
    // A pause in which the client reads nothing loses nothing.
    let large = "x".repeat(1 << 20);
    let server = RawServer::answering(chunked("text/plain", &large, "0\r\n\r\n")).await;
    let gateway = Gateway::start(&endpoint_table("a", &server.url())).await;
    let mut stream = connect(gateway.addr).await;
    stream.write_all(FILE.as_bytes()).await.unwrap();
    tokio::time::sleep(Duration::from_millis(50)).await;
    let mut received = Vec::new();
    in_time(stream.read_to_end(&mut received)).await.unwrap();
    assert!(received.ends_with(large.as_bytes()));
}
