use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use steadfast_core::BoxError;
use steadfast_retry::{ReplayBody, ResponseBody, RetryOn429Layer};
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt};

use super::Body;

pub(crate) type Answer = Result<Response<String>, BoxError>;
pub(crate) type Returned = Result<Response<ResponseBody<String>>, BoxError>;
pub(crate) type Sent = Arc<Mutex<Vec<(Duration, Bytes)>>>;

/// Creates a client that returns `answers` in order, and records the body and the time of each
/// request.
pub(crate) fn client(
    answers: Vec<Answer>,
) -> (
    impl tower::Service<
        Request<ReplayBody<Body>>,
        Response = Response<String>,
        Error = BoxError,
        Future: Send,
    > + Clone,
    Sent,
) {
    let sent = Sent::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(answers)));
    let start = Instant::now();
    let log = sent.clone();
    let service = tower::service_fn(move |request: Request<ReplayBody<Body>>| {
        let (log, answers) = (log.clone(), answers.clone());
        async move {
            let body = request.into_body().collect().await?.to_bytes();
            log.lock().unwrap().push((start.elapsed(), body));
            answers
                .lock()
                .unwrap()
                .pop_front()
                .expect("no more requests")
        }
    });
    (service, sent)
}

pub(crate) async fn send(
    layer: RetryOn429Layer,
    request: Request<Body>,
    answers: Vec<Answer>,
) -> (Returned, Vec<Duration>) {
    let (client, sent) = client(answers);
    let outcome = layer.layer_oneshot(client, request).await;
    let sent = sent.lock().unwrap();
    assert!(
        sent.iter().all(|(_, body)| body == "hello"),
        "each attempt sends the same bytes"
    );
    (outcome, sent.iter().map(|(at, _)| *at).collect())
}

pub(crate) trait LayerOneshot {
    async fn layer_oneshot<S>(self, service: S, request: Request<Body>) -> Returned
    where
        S: tower::Service<Request<ReplayBody<Body>>, Response = Response<String>, Error = BoxError>
            + Clone;
}

impl LayerOneshot for RetryOn429Layer {
    async fn layer_oneshot<S>(self, service: S, request: Request<Body>) -> Returned
    where
        S: tower::Service<Request<ReplayBody<Body>>, Response = Response<String>, Error = BoxError>
            + Clone,
    {
        ServiceBuilder::new()
            .layer(self)
            .service(service)
            .oneshot(request)
            .await
    }
}

pub(crate) fn refused() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionRefused).into()
}

pub(crate) fn reset() -> BoxError {
    io::Error::from(io::ErrorKind::ConnectionReset).into()
}
