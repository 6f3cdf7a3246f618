//! Heads, targets and chunks of HTTP/1 without end.

use stack_tests::SECOND;
use stack_tests::raw::{connect, flood};
use steadfast_testkit::Upstream;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::post;
use crate::gateway::{CHAT, in_time};

/// Each attack: its start, and the bytes that are repeated after it.
fn endless() -> Vec<(&'static str, String, String)> {
    let head = post(CHAT);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let long = "a".repeat(4096);
    vec![
        ("a method", String::new(), long.clone()),
        ("a target", "GET /v1/".to_owned(), long.clone()),
        ("a query", "GET /v1/models?".to_owned(), "a=1&".repeat(1000)),
        (
            "a version",
            "GET /v1/models HTTP/1.".to_owned(),
            "1".repeat(4096),
        ),
        ("a header name", head.clone(), long.clone()),
        ("a header value", format!("{head}x: "), long.clone()),
        ("headers", head.clone(), "x: 1\r\n".repeat(700)),
        ("empty headers", head.clone(), "x:\r\n".repeat(1000)),
        ("cookies", head.clone(), format!("cookie: {long}\r\n")),
        ("empty lines", String::new(), "\r\n".repeat(2000)),
        ("spaces", "GET".to_owned(), " ".repeat(4096)),
        ("a chunk extension", format!("{chunked}1;"), long.clone()),
        (
            "chunk extensions",
            chunked.clone(),
            format!("1;{}\r\na\r\n", "b".repeat(200)).repeat(20),
        ),
        (
            "trailers",
            format!("{chunked}0\r\n"),
            "x: 1\r\n".repeat(700),
        ),
        ("a trailer", format!("{chunked}0\r\nx: "), long),
        ("bytes", String::new(), "\0\u{1}\u{7f}".repeat(1000)),
        (
            "a TLS hello",
            "\u{16}\u{3}\u{1}".to_owned(),
            "\u{1}".repeat(3000),
        ),
    ]
}

/// The kernel holds some MiB of a connection, so an attacker can write more than the server reads.
const WRITTEN: usize = 64 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn endless_head_is_cut_off_and_takes_no_memory() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = GatewayProcess::over([&*upstream.url()]).await;
    let others = OtherCaller::start(gateway.addr).await;
    let (before, _) = gateway.memory();
    for (name, start, repeated) in endless() {
        let mut stream = connect(gateway.addr).await;
        stream.write_all(start.as_bytes()).await.unwrap();
        let (written, closed) = in_time(flood(stream, WRITTEN, || repeated.clone().into())).await;
        assert!(closed, "{name}: {written} bytes were accepted");
    }
    others.finish("endless heads").await;
    gateway.assert_memory("endless heads", before, 16);
}

/// A head below all limits of the server arrives whole.
#[tokio::test]
async fn large_head_below_limit_arrives() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = GatewayProcess::over([&*upstream.url()]).await;
    let target = format!("/v1/models?q={}", "a".repeat(8000));
    let headers: String = (0..50)
        .map(|n| format!("x-{n}: {}\r\n", "b".repeat(100)))
        .collect();
    let head =
        format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n");
    let mut stream = connect(gateway.addr).await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = timeout(20 * SECOND, stack_tests::raw::read_to_end(&mut stream))
        .await
        .unwrap();
    assert!(
        answer.starts_with(b"HTTP/1.1 200 "),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let received = &upstream.log()[0];
    assert_eq!(received.path_and_query, target);
    assert_eq!(received.header("x-49").map(str::len), Some(100));
}
