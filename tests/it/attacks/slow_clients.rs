//! Clients that stop or trickle in the middle of a request. The gateway closes their connections.

use std::time::Duration;

use futures_util::future::join_all;
use stack_tests::raw::{Frame, connect, frame, header_block, preface, read_to_end};
use stack_tests::upstreams;
use tokio::io::AsyncWriteExt;
use tokio::time::{sleep, timeout};

use super::post;
use crate::gateway::{CHAT, Gateway, endpoint_table, in_time};

/// Short times, so that the test does not wait for the default ones.
const LIMITS: &str =
    "[limits]\nhead_timeout = '200ms'\nbody_timeout = '200ms'\nidle_timeout = '400ms'\n";

/// Each client: the bytes that it sends at once, and the bytes that it repeats slowly.
fn clients() -> Vec<(&'static str, Vec<u8>, &'static [u8])> {
    let head = post(CHAT);
    let sized = format!("{head}content-length: 1000000\r\n\r\n{{");
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n");
    let block = header_block(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":path", CHAT),
        (":authority", "localhost"),
    ]);
    let unfinished = [
        preface(),
        frame(Frame::HEADERS, Frame::END_HEADERS, 1, &block),
    ]
    .concat();
    let half_block = [preface(), frame(Frame::HEADERS, 0, 1, &block)].concat();
    let ping = b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0";
    vec![
        ("silence", Vec::new(), b""),
        ("half a head", head.clone().into(), b""),
        ("half a body", sized.clone().into(), b""),
        ("half a chunk", format!("{chunked}ff\r\na").into(), b""),
        ("no trailer", format!("{chunked}0\r\n").into(), b""),
        ("half a preface", b"PRI * HTTP/2.0\r\n".to_vec(), b""),
        (
            "no settings",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            b"",
        ),
        ("an HTTP/2 connection without a request", preface(), b""),
        ("half an HTTP/2 head", half_block, b""),
        ("half an HTTP/2 body", unfinished.clone(), b""),
        ("a slow head", head.clone().into(), b"x"),
        ("slow headers", head.into(), b"x: 1\r\n"),
        ("a slow body", sized.into(), b" "),
        ("slow chunks", chunked.clone().into(), b"1\r\n \r\n"),
        ("a slow chunk size", chunked.clone().into(), b"0"),
        (
            "a slow chunk extension",
            format!("{chunked}1;").into(),
            b"x",
        ),
        (
            "slow trailers",
            format!("{chunked}0\r\n").into(),
            b"x: 1\r\n",
        ),
        ("slow empty lines", Vec::new(), b"\r\n"),
        ("slow HTTP/2 pings in a body", unfinished.clone(), ping),
        (
            "slow empty HTTP/2 data",
            unfinished,
            b"\0\0\0\0\0\0\0\0\x01",
        ),
    ]
}

/// Writes until the server closes the connection.
async fn until_closed(gateway: &Gateway, start: &[u8], repeated: &[u8]) {
    let mut stream = connect(gateway.addr).await;
    stream.write_all(start).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let mut discarded = tokio::io::sink();
    let writing = async {
        loop {
            sleep(Duration::from_millis(10)).await;
            if !repeated.is_empty() && writer.write_all(repeated).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = writing => {}
        _ = tokio::io::copy(&mut reader, &mut discarded) => {}
    }
}

#[tokio::test]
async fn unfinished_request_is_closed() {
    let [upstream] = upstreams(["upstream"]).await;
    let gateway = Gateway::start(&format!(
        "{}{}",
        LIMITS,
        endpoint_table("upstream", &upstream.url())
    ))
    .await;
    let gateway = &gateway;
    let clients = clients()
        .into_iter()
        .map(|(name, start, repeated)| async move {
            let closed = until_closed(gateway, &start, repeated);
            let closed = timeout(Duration::from_secs(20), closed).await;
            assert!(closed.is_ok(), "{name}: the connection stays open");
        });
    join_all(clients).await;
    assert_eq!(upstream.counts().requests, 0);
}

/// The answer is larger than the buffers of the kernel, and the client reads none of it.
#[tokio::test]
async fn unread_answer_is_closed() {
    let [upstream] = upstreams(["upstream"]).await;
    let large = vec![b'x'; 32 << 20];
    upstream.set(steadfast_testkit::Reply::raw(200, [], large));
    let gateway = Gateway::start(&format!(
        "{}{}",
        LIMITS,
        endpoint_table("upstream", &upstream.url())
    ))
    .await;
    let mut stream = connect(gateway.addr).await;
    let request = format!("{}content-length: 0\r\n\r\n", post(CHAT));
    stream.write_all(request.as_bytes()).await.unwrap();
    in_time(upstream.wait_for_requests(1)).await;
    gateway.until(|stack| stack.snapshot().in_flight == 0).await;
    let read = in_time(read_to_end(&mut stream)).await;
    assert!(read.len() < 32 << 20, "{} bytes", read.len());
}

/// The client is slow, and makes progress: a body at the required rate arrives.
#[tokio::test]
async fn slow_body_with_progress_arrives() {
    let [upstream] = upstreams(["upstream"]).await;
    let limits = format!("{LIMITS}body_rate = 1024\n");
    let gateway = Gateway::start(&format!(
        "{}{}",
        limits,
        endpoint_table("upstream", &upstream.url())
    ))
    .await;
    let mut stream = connect(gateway.addr).await;
    let size = 50 * 1024;
    let head = format!(
        "{}connection: close\r\ncontent-length: {size}\r\n\r\n",
        post(CHAT)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..50 {
        sleep(Duration::from_millis(10)).await;
        stream.write_all(&[b' '; 1024]).await.unwrap();
    }
    let answer = in_time(read_to_end(&mut stream)).await;
    assert!(answer.starts_with(b"HTTP/1.1 200 "));
}
