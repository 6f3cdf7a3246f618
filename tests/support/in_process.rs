//! A stack over a client in this process, for tests on the paused clock.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::{BoxBody, UnsyncBoxBody};
use http_body_util::{BodyExt, StreamBody};
use steadfast::{AiStack, AiStackBuilder, BoxError, Endpoint, RequestBody, Timeouts};
use tokio::time::sleep;
use tokio_stream::{Stream, StreamExt};
use tower::util::BoxCloneSyncService;
use tower::{Service, ServiceExt};

/// A client in this process. All tests share its type, so that the stack is compiled once.
pub type LocalClient =
    BoxCloneSyncService<Request<RequestBody>, Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

/// The body of an answer in this process.
pub type AnswerBody = BoxBody<Bytes, Infallible>;

/// Hides the type of a client.
pub fn local_client<C, B>(client: C) -> LocalClient
where
    C: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + Sync + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let client = client
        .map_response(|response| response.map(|body| body.map_err(Into::into).boxed_unsync()))
        .map_err(Into::into);
    BoxCloneSyncService::new(client)
}

/// The tests use the code of this instance. Without it, the stack is compiled in the tests.
fn stack_over(client: LocalClient, builder: AiStackBuilder) -> AiStack {
    builder.build_on(client).expect("a stack")
}

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
    let builder = AiStack::builder()
        .timeouts(timeouts)
        .endpoint(Endpoint::new("a", "http://a.test").expect("an endpoint"));
    stack_over(local_client(client), builder)
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
