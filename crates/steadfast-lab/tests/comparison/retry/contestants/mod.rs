//! Our layer, its rivals, and two clients that are wrong on purpose.

mod async_openai;
mod ours;
mod reqwest;
mod reqwest_retry;
mod stand_in;
mod tower;
mod tower_resilience;

use std::future::Future;
use std::pin::Pin;

use ::tower::{Service, ServiceExt};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::ask::{Answer, Ask};

pub(crate) use self::ours::Ours;
pub(crate) use self::stand_in::{Once, Stubborn};

/// A request under way.
pub(crate) type Sending = Pin<Box<dyn Future<Output = Result<Answer, String>> + Send>>;
/// Why a contestant has no words for a question.
pub(crate) type NotAsked = &'static str;

/// A retry layer over an HTTP client.
pub(crate) trait Contestant: Sync {
    /// The package in `Cargo.lock`.
    fn package(&self) -> &'static str;

    /// The column's heading.
    fn name(&self) -> String {
        format!("`{}`", self.package())
    }

    /// How it was configured, for the document.
    fn configured(&self) -> &'static str;

    /// The retries that its budget of [`Shape::Budget`] allows by its own documentation, after ten
    /// requests that succeed, when sixty fail at once.
    fn promise(&self) -> Option<usize> {
        None
    }

    fn client(&self, shape: Shape, origin: &str) -> Result<Box<dyn Client>, NotAsked>;
}

/// A client of a contestant.
pub(crate) trait Client {
    fn send(&self, ask: &Ask) -> Result<Sending, NotAsked>;

    /// The remainder and the capacity of the budget.
    fn budget(&self) -> Option<(u32, u32)> {
        None
    }
}

/// What a case needs beside the usual configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    Usual,
    /// The body of the error counts.
    ErrorBodies,
    /// Each request makes its attempts twice over.
    Nested,
    /// Each attempt carries its number.
    Numbered,
    /// A budget that is set by hand.
    Budget,
}

pub(crate) fn rivals() -> Vec<Box<dyn Contestant>> {
    vec![
        Box::new(tower::Tower),
        Box::new(reqwest_retry::ReqwestRetry),
        Box::new(reqwest::Reqwest),
        Box::new(async_openai::AsyncOpenai),
        Box::new(tower_resilience::TowerResilience),
    ]
}

/// Sends a request through a service and reads the answer.
async fn through<S, Q, B>(service: S, request: Request<Q>) -> Result<Answer, String>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<::tower::BoxError>,
    B: http_body::Body<Data = Bytes>,
    B::Error: std::fmt::Display,
{
    match service.oneshot(request).await {
        Ok(response) => Ok(Answer::read(response).await),
        Err(error) => Err(in_short(&*error.into())),
    }
}

/// Names the kind of an error, without the words of a platform.
fn in_short(error: &(dyn std::error::Error + 'static)) -> String {
    let mut source = Some(error);
    while let Some(error) = source {
        let is_refused =
            |error: &std::io::Error| error.kind() == std::io::ErrorKind::ConnectionRefused;
        if error.downcast_ref().is_some_and(is_refused) {
            return "connection refused".to_owned();
        }
        source = error.source();
    }
    "error".to_owned()
}

/// The client below the layers that take any service.
fn hyper_client<B>() -> HyperClient<HttpConnector, B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    // What the operating system holds back takes no time on a clock that stands still, and the
    // clock would go on without it.
    connector.set_nodelay(true);
    HyperClient::builder(TokioExecutor::new()).build(connector)
}

/// The client below the middleware, which a proxy of the environment must not get between.
fn reqwest_client() -> ::reqwest::ClientBuilder {
    ::reqwest::Client::builder().no_proxy()
}

/// Turns a request into one of reqwest, with its body in memory or as a stream.
fn reqwest_request(ask: &Ask, origin: &str) -> ::reqwest::Request {
    let request = ask.request(origin).map(|body| match ask.payload.whole() {
        Some(bytes) => ::reqwest::Body::from(bytes.clone()),
        None => ::reqwest::Body::wrap(body),
    });
    request.try_into().expect("an absolute URI")
}

async fn reqwest_answer(response: ::reqwest::Response) -> Answer {
    let response: Response<::reqwest::Body> = response.into();
    Answer::read(response).await
}

/// The statuses that examples of retry policies name.
fn is_transient(status: StatusCode) -> bool {
    status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}
