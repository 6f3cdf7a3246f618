//! Request bodies that are costly to inspect. They take no memory besides their size, and other
//! callers are served.

use stack_tests::SECOND;
use stack_tests::raw::{RawServer, connect};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::{COMPLETION, post, scaled};
use crate::gateway::CHAT;

/// Makes bodies of `size` bytes, or a little more.
fn bodies(size: usize) -> Vec<(&'static str, String)> {
    let fill = |start: &str, part: &str, end: &str| {
        let count = size / part.len();
        format!("{start}{}{end}", part.repeat(count))
    };
    vec![
        (
            "a list in `stream`",
            fill(r#"{"model":"m","stream":[1"#, ",1", "]}"),
        ),
        (
            "an object in `stream`",
            fill(r#"{"stream":{"a":1"#, r#","a":1"#, "}}"),
        ),
        ("deep lists", fill("", "[", "")),
        ("deep objects", fill("", r#"{"a":"#, "")),
        (
            "deep messages",
            fill(r#"{"messages":"#, "[{\"content\":", ""),
        ),
        ("many names", fill(r#"{"x":1"#, r#","stream":true"#, "}")),
        ("a long name", fill("{\"", "stream", "\":true}")),
        ("a long model", fill(r#"{"model":""#, "m", "\"}")),
        ("escapes", fill(r#"{"model":""#, r"\u0041", "\"}")),
        ("quotes", fill(r#"{"user":""#, r#"\""#, "\"}")),
        ("a number", fill(r#"{"n":1"#, "0", "}")),
        ("spaces", fill("{", " ", "}")),
        ("an open string", fill("{\"", "a", "")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn costly_body_takes_no_memory_besides_its_size() {
    let size = scaled(4, 31) << 20;
    let server = RawServer::keeping(COMPLETION).await;
    let gateway = GatewayProcess::over([&*server.url()]).await;
    let (before, _) = gateway.memory();
    let others = OtherCaller::start(gateway.addr).await;
    for (name, body) in bodies(size) {
        let mut stream = connect(gateway.addr).await;
        let head = format!(
            "{}connection: close\r\ncontent-length: {}\r\n\r\n",
            post(CHAT),
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body.as_bytes()).await.unwrap();
        let mut status = [0; 12];
        let answer = timeout(60 * SECOND, stream.read_exact(&mut status)).await;
        answer.expect(name).expect(name);
        println!("{name}: {}", String::from_utf8_lossy(&status));
    }
    others.finish("costly bodies").await;
    // The body, a copy for the socket, and a margin.
    gateway.assert_memory("costly bodies", before, ((2 * size as u64) >> 20) + 32);
}
