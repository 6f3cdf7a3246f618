//! Streamed answers, and the reader of events.

use std::time::Duration;

use http_body::Frame;
use http_body_util::{Full, StreamBody};
use proptest::prelude::*;
use steadfast_chat::{BoxError, ChatStream, Delta, SseStream};
use steadfast_testkit::Reply;
use tokio_stream::StreamExt as _;

use crate::support::{client, events};

async fn all(stream: ChatStream) -> Vec<Result<Delta, String>> {
    let deltas = stream.map(|delta| delta.map_err(|error| error.to_string()));
    deltas.collect().await
}

#[tokio::test]
async fn stream_has_texts_calls_finish_and_usage() {
    let (client, [upstream]) = client(["primary"]).await;
    upstream.set(events(&[
        r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"He"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"content":"llo"}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":""}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}}]}"#,
        r#"{"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}"#,
        r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#,
        "[DONE]",
    ]));
    let call = client.chat_completion("m", "Hi").usage();
    let found = all(call.stream().await.expect("a stream")).await;
    let found: Vec<_> = found
        .into_iter()
        .map(|delta| format!("{:?}", delta.expect("no error")))
        .collect();
    assert_eq!(found.len(), 6, "{found:?}");
    assert_eq!(found[..2], [r#"Text("He")"#, r#"Text("llo")"#]);
    assert!(found[2].contains(r#"name: Some("f")"#) && found[3].contains(r#"arguments: "{}""#));
    assert_eq!(found[4], r#"Finish("tool_calls")"#);
    assert!(found[5].contains("prompt_tokens: 3"));
    let sent = upstream.log()[0].clone();
    assert!(sent.contains(r#""stream":true"#) && sent.contains(r#"{"include_usage":true}"#));
}

#[tokio::test]
async fn endpoint_that_breaks_before_first_token_fails_over() {
    let (client, [primary, _backup]) = client(["primary", "backup"]).await;
    primary.set(Reply::ok().cut_after(0));
    let stream = client.stream("m", "Hi").await.expect("a stream");
    assert!(
        stream.trail().to_string().contains("backup"),
        "{:?}",
        stream.trail()
    );
    assert!(!stream.text().await.expect("a text").is_empty());
}

#[tokio::test]
async fn stream_that_breaks_later_ends_with_one_error() {
    for reply in [
        Reply::ok().chunks(5).cut_after(2),
        Reply::ok().chunks(5).error_after(2),
    ] {
        let (client, [primary]) = client(["primary"]).await;
        primary.set(reply);
        let found = all(client.stream("m", "Hi").await.expect("a stream")).await;
        let (last, others) = found.split_last().expect("items");
        assert!(others.iter().all(Result::is_ok), "{found:?}");
        let error = last.as_ref().expect_err("a broken stream");
        assert!(error.contains("primary"), "{error}");
    }
}

/// Otherwise each stream would cost a connection.
#[tokio::test]
async fn connection_serves_next_request_after_stream() {
    let (client, [primary]) = client(["primary"]).await;
    for _ in 0..3 {
        let mut stream = client.stream("m", "Hi").await.expect("a stream");
        while let Some(delta) = stream.next().await {
            delta.expect("no error");
        }
        assert_eq!(
            client.stack().snapshot().in_flight,
            0,
            "the stream still exists"
        );
        // The connection returns to the pool in a task of the client.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(
        primary.log().iter().map(|request| request.connection).max(),
        Some(1)
    );
}

#[tokio::test]
async fn dropped_stream_releases_its_endpoint() {
    let (client, [primary]) = client(["primary"]).await;
    primary.set(Reply::ok().chunks(5).stall_after(2));
    let mut stream = client.stream("m", "Hi").await.expect("a stream");
    assert!(matches!(stream.next().await, Some(Ok(Delta::Text(_)))));
    assert_eq!(client.stack().status()[0].in_flight, 1);
    drop(stream);
    assert_eq!(client.stack().status()[0].in_flight, 0);
}

fn read(chunks: Vec<Vec<u8>>) -> Vec<Result<(String, String), String>> {
    let frames = chunks
        .into_iter()
        .map(|chunk| Ok::<_, BoxError>(Frame::data(chunk.into())));
    let events = SseStream::new(StreamBody::new(tokio_stream::iter(frames)));
    let events = events.map(|event| match event {
        Ok(event) => Ok((event.name, event.data)),
        Err(error) => Err(error.to_string()),
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime.block_on(events.collect())
}

/// The edge of the stack skips events above 64 KiB. A caller needs them.
#[test]
fn long_event_is_read_and_endless_event_is_an_error() {
    let long = format!("data: {}\n\ndata: b\n\n", "a".repeat(1_000_000));
    let found = read(vec![long.into_bytes()]);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].as_ref().map(|(_, data)| data.len()), Ok(1_000_000));
    let chunks = (0..9).map(|_| vec![b'a'; 1024 * 1024]);
    let found = read(
        [b"data: ".to_vec()]
            .into_iter()
            .chain(chunks)
            .chain([b"\n\ndata: b\n\n".to_vec()])
            .collect(),
    );
    let error = found
        .last()
        .expect("an item")
        .as_ref()
        .expect_err("too long");
    assert!(error.contains("exceeds 8388608 bytes"), "{error}");
}

#[tokio::test]
async fn body_that_fails_is_the_last_item() {
    let frames = [Ok(Frame::data("data: a\n\ndata: b".into())), Err("reset")];
    let mut events = SseStream::new(StreamBody::new(tokio_stream::iter(frames)));
    assert_eq!(
        events
            .next()
            .await
            .expect("an item")
            .expect("an event")
            .data,
        "a"
    );
    let error = events
        .next()
        .await
        .expect("an item")
        .expect_err("a failure");
    assert_eq!(error.to_string(), "reset");
    assert!(events.next().await.is_none());
    assert!(
        SseStream::new(Full::<bytes::Bytes>::default())
            .next()
            .await
            .is_none()
    );
}

proptest! {
    #[test]
    fn events_do_not_depend_on_chunks(
        lines in prop::collection::vec("(data|event|error|id|:|x)?:? ?[a-zé:]{0,6}\r?\n?", 0..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let text = lines.concat().into_bytes();
        let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
        cuts.sort_unstable();
        let (mut chunks, mut from) = (Vec::new(), 0);
        for cut in cuts.into_iter().chain([text.len()]) {
            chunks.push(text[from..cut].to_vec());
            from = cut;
        }
        prop_assert_eq!(read(chunks), read(vec![text]));
    }
}
