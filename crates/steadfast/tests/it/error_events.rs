//! Streams that break behind a server: the event in the format of the caller, and the error.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::{Value, json};
use steadfast::{AiStack, AiStackBuilder, Answers, BoxError, Endpoint, RequestBody, StreamMode};
use tokio::time::sleep;
use tokio_stream::StreamExt;

const CHAT: &str = "/v1/chat/completions";
const CHAT_TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";
const COMPLETION_TOKEN: &str = "data: {\"choices\":[{\"text\":\"Hi\"}]}\n\n";
const RESPONSE_TOKEN: &str = "event: response.output_text.delta\n\
    data: {\"type\":\"response.output_text.delta\",\"delta\":\"Hi\"}\n\n";
const MESSAGE_TOKEN: &str = "event: content_block_delta\n\
    data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\n\n";
const GEMINI: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";
const GEMINI_TOKEN: &str =
    "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}\r\n\r\n";

/// A part of the answer of the endpoint.
#[derive(Clone, Copy)]
enum Part {
    Text(&'static str),
    Silence,
    Reset,
}
use Part::{Reset, Silence, Text};

use crate::support::local_client;

/// A stack over one endpoint, which answers with this head and these parts.
fn stack(
    head: &'static [(&'static str, &'static str)],
    parts: &[Part],
    builder: AiStackBuilder,
) -> AiStack {
    let parts = parts.to_vec();
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let frames = tokio_stream::iter(parts.clone()).then(async |part| match part {
            Text(text) => Ok(Frame::data(Bytes::from_static(text.as_bytes()))),
            Silence => {
                sleep(Duration::from_secs(3600)).await;
                Ok(Frame::data(Bytes::new()))
            }
            Reset => Err(io::Error::from(io::ErrorKind::ConnectionReset)),
        });
        let response = head
            .iter()
            .fold(Response::builder(), |response, &(name, value)| {
                response.header(name, value)
            });
        let response = response.body(StreamBody::new(Box::pin(frames)));
        async move { Ok::<_, Infallible>(response.expect("a response")) }
    });
    let endpoint = Endpoint::new("primary", "http://primary.test").expect("an endpoint");
    builder
        .endpoint(endpoint)
        .build_on(local_client(client))
        .expect("a stack")
}

/// Sends a request as a server does, and reads the body: its text, and the error behind it.
async fn served(ai: &AiStack, path: &str) -> (String, Option<BoxError>) {
    let body = r#"{"model":"m","stream":true}"#.to_owned();
    let request = Request::post(path).body(body).expect("a request");
    let response = ai.send(request).await.expect("an answer");
    let head = response.headers().clone();
    let path = path.split('?').next().expect("a path");
    let response = ai.with_error_event(path, response);
    assert_eq!(*response.headers(), head);
    let mut body = response.into_body();
    let mut text = String::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                let data = frame.into_data().expect("data");
                text += std::str::from_utf8(&data).expect("text");
            }
            Err(error) => return (text, Some(error)),
        }
    }
    (text, None)
}

const EVENTS: &[(&str, &str)] = &[("content-type", "text/event-stream")];

/// Returns the data of the error event at the end of a text.
fn last_event(text: &str) -> Option<Value> {
    let (_, data) = text.rsplit_once("event: error\ndata: ")?;
    serde_json::from_str(data.strip_suffix("\n\n")?).ok()
}

#[tokio::test(start_paused = true)]
async fn break_ends_in_event_of_the_callers_format() {
    const MESSAGE: &str = "attempt failed: the stream of primary broke after 2 tokens: transport";
    let openai = json!({
        "message": MESSAGE, "type": "upstream_error", "param": null, "code": "transport",
    });
    let responses = json!({
        "type": "error", "message": MESSAGE, "code": "transport", "param": null,
        "sequence_number": 2, "error": openai,
    });
    let anthropic =
        json!({ "type": "error", "error": { "type": "api_error", "message": MESSAGE } });
    let google = json!({ "error": { "code": 503, "message": MESSAGE, "status": "UNAVAILABLE" } });
    for (path, token, expected) in [
        (CHAT, CHAT_TOKEN, json!({ "error": openai })),
        (
            "/v1/completions",
            COMPLETION_TOKEN,
            json!({ "error": openai }),
        ),
        ("/v1/responses", RESPONSE_TOKEN, responses),
        ("/v1/messages", MESSAGE_TOKEN, anthropic),
        (GEMINI, GEMINI_TOKEN, google),
    ] {
        for end in [&[Reset][..], &[Text("data: {\"cut"), Reset]] {
            let parts = [&[Text(token), Text(token)], end].concat();
            let (text, error) = served(&stack(EVENTS, &parts, AiStack::builder()), path).await;
            let event = text
                .strip_prefix(&token.repeat(2))
                .expect("identical bytes");
            assert!(event.starts_with("event: error\n"), "{path}: {event}");
            assert_eq!(last_event(event), Some(expected.clone()), "{path}");
            assert_eq!(error.expect("no clean end").to_string(), MESSAGE, "{path}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn event_names_endpoint_and_reason_of_each_break() {
    const FAILING: &str = "data: {\"choices\":[{\"finish_reason\":\"network_error\"}]}\n\n";
    const FIELD: &str = "error: overloaded\n\n";
    const HALF: &str = "event: error\ndata: {\"error\":{\"message\":\"boom\"}}\n";
    let preamble = [Text("data: {\"choices\":[{\"delta\":{\"role\":\"assistant\"}}]}\n\n"); 64];
    for (name, parts, expected) in [
        (
            "truncated",
            &[Text(CHAT_TOKEN)][..],
            "after 1 tokens: the stream ended before",
        ),
        (
            "silent",
            &[Text(CHAT_TOKEN), Silence],
            "after 1 tokens: nothing more of the stream",
        ),
        (
            "failing end",
            &[Text(CHAT_TOKEN), Text(FAILING)],
            "after 1 tokens: the stream carried",
        ),
        (
            "field",
            &[Text(CHAT_TOKEN), Text(FIELD)],
            "after 1 tokens: the stream carried",
        ),
        (
            "half error",
            &[Text(CHAT_TOKEN), Text(HALF), Reset],
            "after 1 tokens: transport",
        ),
        (
            "preamble",
            &[&preamble[..], &[Reset]].concat(),
            "before its first token: transport",
        ),
    ] {
        for answers in [Answers::Checked, Answers::Unchecked] {
            let ai = stack(EVENTS, parts, AiStack::builder().answers(answers));
            let (text, error) = served(&ai, CHAT).await;
            let error = error.expect("no clean end").to_string();
            let event = last_event(&text).unwrap_or_else(|| panic!("{name}: {text}"));
            assert_eq!(event["error"]["message"], error, "{name}");
            let reason = error.strip_prefix("attempt failed: the stream of primary broke ");
            let reason = reason.unwrap_or_else(|| panic!("{name}: {error}"));
            assert!(reason.starts_with(expected), "{name}: {error}");
        }
    }
}

/// A reader raises the first error, and one is enough.
#[tokio::test(start_paused = true)]
async fn error_event_of_the_endpoint_is_not_doubled() {
    const OPENAI: &str = "data: {\"error\":{\"message\":\"boom\",\"type\":\"server_error\"}}\n\n";
    const NAMED: &str = "event: error\ndata: boom\n\n";
    const FAILED: &str = "event: response.failed\ndata: {\"type\":\"response.failed\",\
        \"response\":{\"error\":{\"code\":\"server_error\",\"message\":\"boom\"}}}\n\n";
    const TYPED: &str = "data: {\"type\":\"response.failed\"}\n\n";
    const ANTHROPIC: &str = "event: error\ndata: {\"type\":\"error\",\"error\":\
        {\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
    for (path, token, event) in [
        (CHAT, CHAT_TOKEN, OPENAI),
        (CHAT, CHAT_TOKEN, NAMED),
        ("/v1/responses", RESPONSE_TOKEN, FAILED),
        ("/v1/responses", RESPONSE_TOKEN, TYPED),
        ("/v1/messages", MESSAGE_TOKEN, ANTHROPIC),
    ] {
        for (first, end) in [
            (token, None),
            (token, Some(Reset)),
            ("", None),
            ("", Some(Reset)),
        ] {
            let mut parts = vec![Text(first), Text(event)];
            parts.extend(end);
            let (text, error) = served(&stack(EVENTS, &parts, AiStack::builder()), path).await;
            assert_eq!(text, format!("{first}{event}"), "{path}");
            if !first.is_empty() {
                let error = error.expect("no clean end").to_string();
                assert!(
                    error.ends_with("the stream carried an error event"),
                    "{error}"
                );
            }
        }
    }
}

/// An event could not be read there, or would not be one.
#[tokio::test(start_paused = true)]
async fn other_bodies_end_in_their_error_alone() {
    const LIST: &str = "[{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"Hi\"}]}}]}";
    for (name, path, head, first) in [
        ("other path", "/v1/other", EVENTS, CHAT_TOKEN),
        (
            "list of Gemini",
            "/v1beta/models/m:streamGenerateContent",
            &[("content-type", "application/json")],
            LIST,
        ),
        (
            "compressed",
            CHAT,
            &[
                ("content-type", "text/event-stream"),
                ("content-encoding", "x-own"),
            ],
            CHAT_TOKEN,
        ),
        (
            "length",
            CHAT,
            &[
                ("content-type", "text/event-stream"),
                ("content-length", "9999"),
            ],
            CHAT_TOKEN,
        ),
    ] {
        let builder = AiStack::builder().answers(Answers::Unchecked);
        let ai = stack(head, &[Text(first), Text("data: {\"cut"), Reset], builder);
        let (text, error) = served(&ai, path).await;
        assert_eq!(text, format!("{first}data: {{\"cut"), "{name}");
        assert!(error.is_some(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn complete_stream_is_unchanged() {
    for (path, text) in [
        (CHAT, [CHAT_TOKEN, "data: [DONE]\n\n"]),
        (CHAT, [CHAT_TOKEN, "data: [DONE]"]),
        (
            "/v1/messages",
            [
                MESSAGE_TOKEN,
                "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
            ],
        ),
    ] {
        let parts = text.map(Text);
        let (read, error) = served(&stack(EVENTS, &parts, AiStack::builder()), path).await;
        assert_eq!(read, text.concat(), "{path}");
        assert!(error.is_none(), "{error:?}");
    }
}

/// A buffered stream has an event of its own for the failure of all attempts.
#[tokio::test(start_paused = true)]
async fn event_of_buffered_stream_is_not_doubled() {
    let builder = AiStack::builder().stream_mode(StreamMode::Buffered);
    let ai = stack(EVENTS, &[Text(CHAT_TOKEN), Silence], builder);
    let (text, error) = served(&ai, CHAT).await;
    assert_eq!(text.matches("event: error").count(), 1, "{text}");
    assert!(last_event(&text).is_some(), "{text}");
    assert!(error.is_some());
}
