//! Answers without an end, in bytes that arrive in time. `total` ends them.

use std::time::Duration;

use futures_util::future::{join, join_all};
use stack_tests::raw::{RawServer, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::sleep;

use super::post;
use crate::gateway::{CHAT, Gateway, REQUEST, endpoint_table, in_time};

/// Starts a server that sends `head`, and then chunks without an end: one each `pause`, or many at
/// once.
async fn endless(head: &'static str, chunk: &'static str, pause: Duration) -> RawServer {
    let chunk = match pause.is_zero() {
        true => chunk.repeat(1000),
        false => chunk.to_owned(),
    };
    RawServer::start(move |_, mut stream| {
        let chunk = chunk.clone();
        async move {
            stream.write_all(head.as_bytes()).await?;
            loop {
                stream.write_all(chunk.as_bytes()).await?;
                sleep(pause).await;
            }
        }
    })
    .await
}

/// Each case: the head of the answer, and the chunk that is repeated.
const ENDLESS: &[(&str, &str)] = &[
    (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n",
        " ",
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
        "1\r\n \r\n",
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999999999999\r\n\r\n",
        " ",
    ),
    (
        "HTTP/1.1 200 OK\r\ncontent-type: application/octet-stream\r\n\r\n",
        "x",
    ),
    ("HTTP/1.1 400 Bad Request\r\n\r\n", "x"),
    ("HTTP/1.1 404 Not Found\r\n\r\n", "x"),
    (
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 0\r\n\r\n",
        "x",
    ),
    (
        "HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\n\r\n",
        " ",
    ),
    ("HTTP/1.1 503 Service Unavailable\r\n\r\n", "x"),
    ("HTTP/1.1 200", "0"),
    ("HTTP/1.1 200 OK\r\nx: ", "x"),
    ("", "HTTP/1.1 100 Continue\r\n\r\n"),
    ("", "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"),
];

/// Reads an answer to its end, and returns its first and its last bytes.
async fn read_ends(gateway: &Gateway) -> (Vec<u8>, Vec<u8>) {
    let size = REQUEST.len();
    let framing = format!("connection: close\r\ncontent-length: {size}\r\n\r\n");
    let mut stream = connect(gateway.addr).await;
    let request = post(CHAT) + &framing + REQUEST;
    stream.write_all(request.as_bytes()).await.unwrap();
    let (mut first, mut last, mut chunk) = (Vec::new(), Vec::new(), vec![0; 64 << 10]);
    while let Ok(read @ 1..) = stream.read(&mut chunk).await {
        if first.is_empty() {
            first = chunk[..read.min(100)].to_vec();
        }
        last.extend(&chunk[..read]);
        last.drain(..last.len().saturating_sub(5));
    }
    (first, last)
}

/// Reads an endless answer, which must be cut.
async fn read_endless(head: &'static str, chunk: &'static str, pause: Duration) {
    let settings = "[stack]\ntimeouts = { total = '200ms', head = '200ms' }\n";
    let server = endless(head, chunk, pause).await;
    let config = settings.to_owned() + &endpoint_table("endless", &server.url());
    let gateway = Gateway::start(&config).await;
    let (first, last) = in_time(read_ends(&gateway)).await;
    let first = String::from_utf8_lossy(&first);
    // A body in chunks that ends by a timeout lacks its last chunk.
    let is_cut = last != b"0\r\n\r\n" || !first.starts_with("HTTP/1.1 200");
    assert!(is_cut, "{head:?}: {first}");
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    assert_eq!(gateway.stack.status()[0].in_flight, 0, "{head:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_answer_ends_at_total() {
    let fast = async {
        // They need the processors, so few of them run at the same time.
        for part in ENDLESS.chunks(4) {
            join_all((part.iter()).map(|(head, chunk)| read_endless(head, chunk, Duration::ZERO)))
                .await;
        }
    };
    let pause = Duration::from_millis(5);
    let slow = join_all((ENDLESS.iter()).map(|(head, chunk)| read_endless(head, chunk, pause)));
    join(fast, slow).await;
}
