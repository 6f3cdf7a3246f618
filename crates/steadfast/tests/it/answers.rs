//! Checked answers, and streams that break after their first visible token.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use steadfast::crates::core::Classified;
use steadfast::{AiStack, Answers, Class, Endpoint, Event, RequestBody, observer_fn};

use crate::support::{client_with_first_endpoint_answering, local_client, with_two_endpoints};

fn chat(stream: bool) -> Request<String> {
    let body = format!(r#"{{"model":"m","stream":{stream}}}"#);
    Request::post("/v1/chat/completions")
        .body(body)
        .expect("a request")
}

#[tokio::test]
async fn unchecked_answer_of_another_shape_passes() {
    for (answers, expected) in [(Answers::Checked, 2), (Answers::Unchecked, 1)] {
        let (client, sent) = client_with_first_endpoint_answering(Response::builder());
        let builder = with_two_endpoints(AiStack::builder()).answers(answers);
        let ai = builder.build_on(client).expect("a stack");
        let response = ai.send(chat(false)).await.expect("an answer");
        assert_eq!(response.status(), 200);
        assert_eq!(sent.all().len(), expected, "{answers:?}");
    }
}

/// The frames of a body, and then an error if it breaks.
type Frames = Vec<Result<&'static str, io::ErrorKind>>;

/// Sends a stream, and returns the error of its body and the reported breaks.
async fn break_of(frames: Frames) -> (steadfast::BoxError, Vec<(String, String, u64)>) {
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let frames = frames.clone().into_iter().map(|frame| {
            let frame = frame.map_err(io::Error::from);
            frame.map(|text| Frame::data(Bytes::from_static(text.as_bytes())))
        });
        let response = Response::builder().header("content-type", "text/event-stream");
        let body = StreamBody::new(tokio_stream::iter(frames));
        let response = response.body(body).expect("a response");
        async move { Ok::<_, Infallible>(response) }
    });
    let breaks = Arc::new(Mutex::new(Vec::new()));
    let seen = breaks.clone();
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("primary", "http://primary.test").expect("an endpoint"))
        .observer(observer_fn(move |event| {
            if let Event::StreamBroken {
                endpoint,
                reason,
                after_tokens,
            } = event
            {
                let broken = (endpoint.to_string(), reason.clone(), *after_tokens);
                seen.lock().expect("a lock").push(broken);
            }
        }))
        .build_on(local_client(client))
        .expect("a stack");
    let response = ai.send(chat(true)).await.expect("an answer");
    let error = response.into_body().collect().await.expect_err("a break");
    let breaks = breaks.lock().expect("a lock").clone();
    (error, breaks)
}

const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"Hi\"}}]}\n\n";

/// The caller must never see a clean end, and must learn where and why it was cut.
#[tokio::test]
async fn break_after_first_token_names_endpoint_and_reason() {
    for (frames, reason, tokens) in [
        (
            vec![Ok(TOKEN), Ok(TOKEN)],
            "the stream ended before the answer did",
            2,
        ),
        (
            vec![Ok(TOKEN), Ok("event: error\ndata: boom\n\n")],
            "the stream carried an error event",
            1,
        ),
        (
            vec![
                Ok(TOKEN),
                Ok("data: {\"choices\":[{\"finish_reason\":\"error\"}]}\n\n"),
            ],
            "the stream carried an error event",
            1,
        ),
        (
            vec![
                Ok(TOKEN),
                Ok(TOKEN),
                Ok(TOKEN),
                Err(io::ErrorKind::ConnectionReset),
            ],
            "transport",
            3,
        ),
    ] {
        let (error, breaks) = break_of(frames).await;
        let expected = [("primary".to_owned(), reason.to_owned(), tokens)];
        assert_eq!(breaks, expected);
        let classified = Classified::find(&*error).expect("a verdict");
        let text = classified.reason().expect("a reason");
        assert_eq!(
            text,
            format!("the stream of primary broke after {tokens} tokens: {reason}")
        );
        assert_ne!(classified.verdict().class(), Class::Success);
    }
}
