//! Streams behind a server that break at any byte: the events that a client reads.

use std::convert::Infallible;
use std::io;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;
use steadfast::{AiStack, BoxError, Endpoint, RequestBody, StreamMode};

use crate::support::local_client;

const CHAT: &str = "/v1/chat/completions";
const BEGUN: &str = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// Sends a stream request to an endpoint with these chunks and then a reset, as a server does.
/// Returns the bytes of the answer, and the error behind them.
async fn served(chunks: Vec<Bytes>, mode: StreamMode) -> (Vec<u8>, Option<BoxError>) {
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let frames: Vec<_> = (chunks.iter().cloned())
            .map(|chunk| Ok(Frame::data(chunk)))
            .chain([Err(io::Error::from(io::ErrorKind::ConnectionReset))])
            .collect();
        let body = StreamBody::new(tokio_stream::iter(frames));
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = response.body(body).expect("a response");
        async move { Ok::<_, Infallible>(response) }
    });
    let endpoint = Endpoint::new("primary", "http://primary.test").expect("an endpoint");
    let builder = AiStack::builder().endpoint(endpoint).stream_mode(mode);
    let ai = builder.build_on(local_client(client)).expect("a stack");
    let body = r#"{"model":"m","stream":true}"#.to_owned();
    let request = Request::post(CHAT).body(body).expect("a request");
    let response = ai.send(request).await.expect("an answer");
    let mut body = ai.with_error_event(CHAT, response).into_body();
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => read.extend_from_slice(&frame.into_data().expect("data")),
            Err(error) => return (read, Some(error)),
        }
    }
    (read, None)
}

/// The events that a client reads, by the rules of WHATWG: each name with its data.
fn events_of(bytes: &[u8]) -> Vec<(String, String)> {
    let text = std::str::from_utf8(bytes).expect("no character is cut");
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut events = Vec::new();
    let (mut name, mut data) = (String::new(), Vec::new());
    // A line without an end is none.
    let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines);
    for line in lines.split('\n') {
        if line.is_empty() {
            let (name, data) = (std::mem::take(&mut name), std::mem::take(&mut data));
            if !data.is_empty() {
                events.push((name, data.join("\n")));
            }
        } else if let Some(value) = line.strip_prefix("event: ") {
            name = value.to_owned();
        } else if let Some(value) = line.strip_prefix("data: ") {
            data.push(value.to_owned());
        }
    }
    events
}

/// A cut event would be no JSON, and two errors would be one too many.
#[tokio::test(start_paused = true)]
async fn cut_at_any_byte_is_whole_events_and_one_error() {
    let lines = [
        "\u{feff}: comment",
        "",
        r#"data: {"choices":[{"index":0,"delta":{"content":"Grüße 🦀"}}]}"#,
        "",
        ": ping",
        "",
        "retry: 3",
        "event: delta",
        r#"data: {"choices":[{"index":0,"#,
        ": within the event",
        r#"data: "delta":{"content":"a"}}]}"#,
        "",
        "event: error",
        r#"data: {"error":{"message":"boom","type":"server_error"}}"#,
        "",
        "",
    ];
    for end in ["\n", "\r\n", "\r"] {
        let text = lines.join(end);
        let whole = events_of(text.as_bytes());
        assert_eq!(whole.len(), 3);
        let begun = text.find("retry").expect("the token is before it");
        for cut in begun..=text.len() {
            let bytes = &text.as_bytes()[..cut];
            for chunk in [1, usize::MAX] {
                let chunks = bytes.chunks(chunk).map(Bytes::copy_from_slice).collect();
                let (read, error) = served(chunks, StreamMode::Direct).await;
                let place = format!("{end:?} {cut} {chunk}");
                assert!(error.is_some(), "{place}");
                let mut events = events_of(&read);
                let (name, data) = events.pop().expect("an error event");
                let data: Value = serde_json::from_str(&data).expect("whole JSON");
                assert_eq!(name, "error", "{place}");
                assert!(data["error"]["message"].is_string(), "{place}");
                assert!(whole.starts_with(&events), "{place}: {events:?}");
                assert!(events.len() < 3, "{place}: two errors");
            }
        }
    }
}

/// Nothing of the answer is lost. An error behind its end would make a failure of it.
#[tokio::test(start_paused = true)]
async fn break_behind_complete_answer_is_its_end() {
    const FINISH: &str =
        "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n";
    const DONE: &str = "data: [DONE]\n\n";
    const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    const FAILED: &str = "data: {\"error\":{\"message\":\"boom\"}}\n\n";
    for mode in [StreamMode::Direct, StreamMode::Buffered] {
        for (parts, breaks) in [
            (&[BEGUN, DONE][..], false),
            (&[BEGUN, FINISH, DONE, ": ping\n\n"], false),
            (&[BEGUN, STOP], false),
            // The rest may be an error, or a second answer.
            (&[BEGUN, DONE, "data: {\"cut"], true),
            (&[BEGUN, DONE, "event: x\n"], true),
            (&[BEGUN, DONE, FAILED], true),
            // The usage may be lost.
            (&[BEGUN, FINISH], true),
        ] {
            if breaks && mode == StreamMode::Buffered {
                continue;
            }
            let chunks = parts.iter().map(|part| Bytes::from_static(part.as_bytes()));
            let (read, error) = served(chunks.collect(), mode).await;
            assert_eq!(error.is_some(), breaks, "{mode:?} {parts:?}: {error:?}");
            let whole = parts.concat();
            assert!(breaks || read == whole.as_bytes(), "{mode:?} {parts:?}");
        }
    }
}
