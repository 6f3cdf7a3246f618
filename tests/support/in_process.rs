//! A stack over a client in this process, for tests on the paused clock.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, StreamBody};
use steadfast::{AiStack, Endpoint, RequestBody, Timeouts};
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt};

/// The body of an answer in this process.
pub type AnswerBody = BoxBody<Bytes, Infallible>;

/// Makes a stack over one endpoint that answers after `wait` with a body made by `body`.
///
/// # Panics
///
/// If `status` or `content_type` is invalid.
pub fn stack_returning<F>(
    wait: Duration,
    status: u16,
    content_type: &'static str,
    body: F,
) -> AiStack
where
    F: Fn() -> AnswerBody + Clone + Send + Sync + 'static,
{
    stack_within(Timeouts::DEFAULT, (wait, status, content_type), body)
}

/// Makes the stack of [`stack_returning`] with these timeouts.
///
/// # Panics
///
/// If `status` or `content_type` is invalid.
pub fn stack_within<F>(
    timeouts: Timeouts,
    (wait, status, content_type): (Duration, u16, &'static str),
    body: F,
) -> AiStack
where
    F: Fn() -> AnswerBody + Clone + Send + Sync + 'static,
{
    let client = tower::service_fn(move |_: Request<RequestBody>| {
        let body = body.clone();
        async move {
            sleep(wait).await;
            let response = Response::builder()
                .status(status)
                .header("content-type", content_type);
            Ok::<_, Infallible>(response.body(body()).expect("a response"))
        }
    });
    AiStack::builder()
        .timeouts(timeouts)
        .endpoint(Endpoint::new("a", "http://a.test").expect("an endpoint"))
        .build_on(client)
        .expect("a stack")
}

/// Makes a body of these chunks, without a known size.
pub fn body_of_chunks(chunks: impl Stream<Item = Bytes> + Send + Sync + 'static) -> AnswerBody {
    BodyExt::boxed(StreamBody::new(chunks.map(|chunk| Ok(Frame::data(chunk)))))
}

/// Makes a body of one chunk, without a known size.
#[must_use]
pub fn body_of_text(text: &'static str) -> AnswerBody {
    body_of_chunks(tokio_stream::iter([Bytes::from_static(text.as_bytes())]))
}
