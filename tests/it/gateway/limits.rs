//! Limits of the gateway: the size of request bodies, and the paths that it serves.

use bytes::Bytes;
use examples::gateway::MAX_BODY;
use http::{Request, Version};
use http_body_util::{BodyExt, Full};
use stack_tests::SECOND;
use steadfast_testkit::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{CHAT, Gateway, endpoint_table, in_time, json, new_client};

#[tokio::test]
async fn body_above_limit_gets_413() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let body = |size| Full::new(Bytes::from(vec![b' '; size]));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        for (size, chunked, expected) in [
            (2 << 20, false, 200),
            (2 << 20, true, 200),
            (MAX_BODY + 1, false, 413),
            (MAX_BODY + 1, true, 413),
        ] {
            let body = match chunked {
                // A mapped body has no known size.
                true => body(size).map_frame(|frame| frame).boxed_unsync(),
                false => body(size).boxed_unsync(),
            };
            let request = Request::post(gateway.url(CHAT)).body(body).unwrap();
            let answer = in_time(new_client(version).request(request)).await.unwrap();
            assert_eq!(answer.status(), expected, "{version:?} {size} {chunked}");
            if expected == 413 {
                assert_eq!(json(answer).await["error"]["code"], "body_too_large");
            }
        }
    }
    assert_eq!(upstream.counts().requests, 4);
    assert!(
        upstream
            .log()
            .iter()
            .all(|received| received.body.len() == 2 << 20)
    );
}

/// Many clients read only after they have sent the whole body. If the connection closes earlier,
/// they report a broken pipe and lose the answer.
#[tokio::test]
async fn oversized_body_is_drained_so_client_reads_413() {
    let gateway = Gateway::start(&endpoint_table("down", "http://127.0.0.1:1/v1")).await;
    let size = MAX_BODY + (8 << 20);
    let body = " ".repeat(size);
    for sent in [
        format!("content-length: {size}\r\n\r\n{body}"),
        format!("transfer-encoding: chunked\r\n\r\n{size:x}\r\n{body}\r\n0\r\n\r\n"),
    ] {
        let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
        let head = format!("POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n");
        in_time(socket.write_all((head + &sent).as_bytes()))
            .await
            .unwrap();
        let mut answer = [0; 12];
        in_time(socket.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413");
    }
}

/// The gateway must not send `100 Continue`, and must not wait for a body that does not follow.
#[tokio::test(start_paused = true)]
async fn oversized_body_with_expect_gets_413_at_once() {
    let gateway = Gateway::start(&endpoint_table("down", "http://127.0.0.1:1/v1")).await;
    let mut socket = TcpStream::connect(gateway.addr).await.unwrap();
    let size = MAX_BODY + 1;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: localhost\r\n\
         expect: 100-continue\r\ncontent-length: {size}\r\n\r\n"
    );
    let start = Instant::now();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    in_time(socket.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(start.elapsed() < SECOND, "the connection stayed open");
}

#[tokio::test]
async fn path_outside_v1_gets_404() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    for path in ["/", "/v1", "/v2/models", "/v1/../admin", "/v1/%2E%2e/admin"] {
        let answer = gateway.get(path).await;
        assert_eq!(answer.status(), 404, "{path}");
        assert_eq!(json(answer).await["error"]["code"], "not_found");
    }
    assert_eq!(upstream.counts().requests, 0);
}
