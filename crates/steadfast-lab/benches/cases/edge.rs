//! The edge of a stack: whole answers, the chunks of a stream, and the inspection of a body.
//!
//! Each case of ours has a `bare-` case: the same request and the same answer, over the client
//! alone. `answer-layers` has the other layers of the stack, without its edge.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Request, Response};
use http_body::{Body, Frame};
use steadfast::{AiStack, Answers};
use steadfast_balance::EndpointBalanceLayer;
use steadfast_metrics::MetricsLayer;
use steadfast_retry::RetryOn429Layer;
use tower::{Service, ServiceBuilder};

use super::Case;
use super::balance::endpoints;
use super::client::Requests;

/// The chunks of the stream before its end.
const CHUNKS: usize = 1000;
const TOKEN: &str = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\
    \"created\":1700000000,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\
    \" word\"},\"finish_reason\":null}]}\n\n";
const DONE: &str = "data: [DONE]\n\n";
/// A sentence of a prompt or an answer, with escapes as in JSON.
const SENTENCE: &str =
    "The model reads this line, and says \\\"yes\\\" to the next one of them.\\n";

/// Answers each request with a chunk, repeated, and the last one.
#[derive(Clone, Debug)]
struct Client {
    kind: &'static str,
    chunks: Chunks,
}

/// The body of an answer.
#[derive(Clone, Debug)]
struct Chunks {
    chunk: Bytes,
    left: usize,
    last: Option<Bytes>,
}

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (bare, ours, client, body) in [
        ("bare-answer", "answer", answer(), request(64, false)),
        ("bare-stream", "stream", stream(), request(64, true)),
        (
            "bare-body-100-kib",
            "body-100-kib",
            answer(),
            request(100 * 1024, false),
        ),
    ] {
        let (alone, sent) = (client.clone(), body.clone());
        cases.push(Case::new("edge", bare, move || {
            Requests::new(alone.clone()).body(sent.clone())
        }));
        cases.push(Case::new("edge", ours, move || {
            Requests::new(stack(client.clone(), Answers::Checked)).body(body.clone())
        }));
    }
    cases.push(Case::new("edge", "answer-unchecked", || {
        Requests::new(stack(answer(), Answers::Unchecked)).body(request(64, false))
    }));
    cases.push(Case::new("edge", "answer-layers", || {
        let balance = EndpointBalanceLayer::builder().endpoints(endpoints(1));
        let service = ServiceBuilder::new()
            .layer(MetricsLayer::requests())
            .layer(RetryOn429Layer::new())
            .layer(balance.build().expect("a valid configuration"))
            .service(answer());
        Requests::new(service).body(request(64, false))
    }));
    cases
}

fn stack(client: Client, answers: Answers) -> AiStack {
    let builder = AiStack::builder().endpoints(endpoints(1)).answers(answers);
    builder.build_on(client).expect("a valid configuration")
}

/// Returns text of about this size.
fn text(size: usize) -> String {
    SENTENCE.repeat(size.div_ceil(SENTENCE.len()))
}

fn request(size: usize, stream: bool) -> Bytes {
    let text = text(size);
    let messages = format!(r#"[{{"role":"user","content":"{text}"}}]"#);
    format!(r#"{{"model":"m","messages":{messages},"stream":{stream}}}"#).into()
}

/// A whole answer of 1 KiB.
fn answer() -> Client {
    let text = text(750);
    let message = format!(r#"{{"role":"assistant","content":"{text}"}}"#);
    let choices = format!(r#"[{{"index":0,"message":{message},"finish_reason":"stop"}}]"#);
    let usage = r#"{"prompt_tokens":9,"completion_tokens":150,"total_tokens":159}"#;
    let answer = format!(
        r#"{{"id":"chatcmpl-1","object":"chat.completion","choices":{choices},"usage":{usage}}}"#
    );
    Client {
        kind: "application/json",
        chunks: Chunks {
            chunk: answer.into(),
            left: 1,
            last: None,
        },
    }
}

fn stream() -> Client {
    Client {
        kind: "text/event-stream",
        chunks: Chunks {
            chunk: Bytes::from_static(TOKEN.as_bytes()),
            left: CHUNKS,
            last: Some(Bytes::from_static(DONE.as_bytes())),
        },
    }
}

impl<B> Service<Request<B>> for Client {
    type Response = Response<Chunks>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Chunks>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let mut response = Response::new(self.chunks.clone());
        let kind = HeaderValue::from_static(self.kind);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        ready(Ok(response))
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Some(self.chunk.clone())
            }
            None => self.last.take(),
        };
        Poll::Ready(next.map(|data| Ok(Frame::data(data))))
    }
}
