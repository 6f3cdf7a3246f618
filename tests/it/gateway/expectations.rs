//! Clients that wait for `100 Continue` before they send a body.

use std::time::Duration;

use stack_tests::raw::{connect, read_to_end, statuses};
use steadfast_testkit::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::{CHAT, Gateway, REQUEST, endpoint_table, in_time};

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// The head of a request with an expectation.
fn head(line: &str, headers: &str, size: usize) -> String {
    format!(
        "{line} HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n{headers}\
         content-length: {size}\r\n\r\n"
    )
}

fn post(size: usize) -> String {
    head(&format!("POST {CHAT}"), "", size)
}

/// Sends a head, and reads `100 Continue`.
async fn ask(gateway: &Gateway, head: &str) -> TcpStream {
    let mut stream = connect(gateway.addr).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut interim = vec![0; CONTINUE.len()];
    in_time(stream.read_exact(&mut interim)).await.unwrap();
    assert_eq!(interim, CONTINUE);
    stream
}

#[tokio::test]
async fn body_after_continue_arrives() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let head = post(REQUEST.len()).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n");
    let mut stream = ask(&gateway, &head).await;
    assert_eq!(upstream.counts().requests, 0, "no attempt before the body");
    for byte in REQUEST.bytes() {
        stream.write_all(&[byte]).await.unwrap();
    }
    let answer = in_time(read_to_end(&mut stream)).await;
    assert_eq!(statuses(&answer), [200]);
    let log = upstream.log();
    assert_eq!(log[0].body, REQUEST.as_bytes());
    assert_eq!(log[0].header("expect"), None);
}

#[tokio::test]
async fn absent_or_slow_body_after_continue_ends_at_body_timeout() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("[limits]\nbody_timeout = '100ms'\n", &endpoint).await;
    for is_slow in [false, true] {
        let stream = ask(&gateway, &post(1 << 20)).await;
        let (mut reader, mut writer) = stream.into_split();
        let trickle = tokio::spawn(async move {
            while is_slow && writer.write_all(b" ").await.is_ok() {
                sleep(Duration::from_millis(5)).await;
            }
            writer
        });
        let mut status = [0; 13];
        in_time(reader.read_exact(&mut status)).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 408 ", "{is_slow}");
        let mut rest = Vec::new();
        // An end or a reset.
        let _ = in_time(reader.read_to_end(&mut rest)).await;
        trickle.abort();
    }
    assert_eq!(upstream.counts().requests, 0);
}

/// The client sends either the body or its next request. The gateway cannot know which one comes,
/// so the connection ends.
#[tokio::test]
async fn rejected_expectation_gets_no_continue_and_ends_connection() {
    const HIDDEN: &[u8] = b"GET /v1/hidden HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for (line, headers, expected) in [
        ("POST /v1/models", "origin: https://attacker.test\r\n", 403),
        ("POST /v1/models", "upgrade: websocket\r\n", 501),
        ("TRACE /v1/models", "", 405),
        ("OPTIONS /v1/models", "", 204),
        ("POST /elsewhere", "", 404),
        ("POST /v1/%2e%2e/models", "", 404),
    ] {
        let mut stream = connect(gateway.addr).await;
        let head = head(line, headers, HIDDEN.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answers = vec![0; 12];
        in_time(stream.read_exact(&mut answers)).await.unwrap();
        // The connection may have ended.
        let _ = stream.write_all(HIDDEN).await;
        answers.extend(in_time(read_to_end(&mut stream)).await);
        assert_eq!(statuses(&answers), [expected], "{line} {headers:?}");
    }
    assert!(upstream.log().is_empty(), "{:?}", upstream.log());
}

/// hyper knows one expectation, and a server may ignore others (RFC 9110, section 10.1.1).
#[tokio::test]
async fn other_expectation_is_not_passed_on() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let mut stream = connect(gateway.addr).await;
    let head = post(REQUEST.len()).replace("100-continue", "200-ok");
    let request = head.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n") + REQUEST;
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = in_time(read_to_end(&mut stream)).await;
    assert_eq!(statuses(&answer), [200]);
    assert_eq!(upstream.log()[0].header("expect"), None);
}
