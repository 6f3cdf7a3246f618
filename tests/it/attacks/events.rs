//! Streams of events without an end, with one huge event, or with very many.

use bytes::Bytes;
use http::{Request, Version};
use http_body_util::BodyExt;
use stack_tests::raw::RawServer;
use tokio::io::AsyncWriteExt;

use super::callers::OtherCaller;
use super::child::GatewayProcess;
use super::{COMPLETION, scaled};
use crate::gateway::{CHAT, STREAM_REQUEST, body_of, in_time, new_client};

/// The end of each answer. It closes a string, and the event before it.
const END: &str = "\"\n\ndata: [DONE]\n\n";

const TOKEN: &str = r#"data: {"id":"x","choices":[{"index":0,"delta":{"content":"a"}}]}"#;

/// The answer to a stream request: `start`, and then `chunk` until `size` bytes are sent,
/// and [`END`].
#[derive(Clone, Debug)]
struct Endless {
    name: &'static str,
    start: String,
    chunk: Bytes,
    size: usize,
}

impl Endless {
    /// Starts a server that sends it for stream requests, and completions for others.
    async fn server(&self) -> RawServer {
        let answer = self.clone();
        RawServer::start(move |request, mut stream| {
            let answer = answer.clone();
            async move {
                let body = request.windows(13).any(|part| part == br#""stream":true"#);
                if !body {
                    stream.write_all(COMPLETION.as_bytes()).await?;
                    return Ok(Some(stream));
                }
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(answer.start.as_bytes()).await?;
                let mut sent = 0;
                while sent < answer.size {
                    stream.write_all(&answer.chunk).await?;
                    sent += answer.chunk.len();
                }
                stream.write_all(END.as_bytes()).await?;
                stream.shutdown().await?;
                Ok(None)
            }
        })
        .await
    }
}

/// Reads a stream of a gateway to its end, and returns its status and its size.
async fn read_stream(gateway: &GatewayProcess) -> (u16, usize) {
    let url = format!("http://{}{CHAT}", gateway.addr);
    let request = Request::post(url).body(body_of(STREAM_REQUEST)).unwrap();
    let client = new_client(Version::HTTP_11);
    let answer = in_time(client.request(request)).await.unwrap();
    let status = answer.status().as_u16();
    let (mut body, mut size) = (answer.into_body(), 0);
    while let Some(Ok(frame)) = in_time(body.frame()).await {
        size += frame.data_ref().map_or(0, Bytes::len);
    }
    (status, size)
}

/// An event of any size passes, and the gateway holds a bounded part of it.
#[tokio::test(flavor = "multi_thread")]
async fn endless_events_take_bounded_memory() {
    let mib = scaled(8, 256) << 20;
    let zeros = Bytes::from(vec![b'0'; 64 << 10]);
    let events = Bytes::from(format!("{TOKEN}\n\n").repeat(1000));
    let million = events.len() * scaled(100, 1000);
    let endless = |name, start: &str, chunk: &Bytes, size| Endless {
        name,
        start: start.to_owned(),
        chunk: chunk.clone(),
        size,
    };
    for answer in [
        endless("a stream without a newline", "", &zeros, mib),
        endless("an event without an end", "data: ", &zeros, mib),
        endless(
            "a huge event after a token",
            &format!("{TOKEN}\n\ndata: \""),
            &zeros,
            mib,
        ),
        endless(
            "an event of many lines",
            "",
            &Bytes::from("data: 0\n".repeat(8000)),
            mib,
        ),
        endless("comments", "", &Bytes::from(": ping\n\n".repeat(8000)), mib),
        endless("empty lines", "", &Bytes::from("\n".repeat(64_000)), mib),
        endless(
            "preambles",
            "",
            &Bytes::from("data: {\"choices\":[]}\n\n".repeat(3000)),
            mib,
        ),
        endless("very many events", "", &events, million),
    ] {
        let server = answer.server().await;
        let gateway = GatewayProcess::over([&*server.url()]).await;
        let others = OtherCaller::start(gateway.addr).await;
        let (before, _) = gateway.memory();
        let (status, size) = read_stream(&gateway).await;
        println!("{}: status {status}, {size} bytes", answer.name);
        others.finish(answer.name).await;
        gateway.assert_memory(answer.name, before, scaled(6, 16) as u64);
        let expected = answer.start.len() + answer.size + END.len();
        assert!(
            status != 200 || size >= expected,
            "{}: {size} of {expected}",
            answer.name
        );
    }
}
