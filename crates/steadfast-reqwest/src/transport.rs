//! A client of reqwest below a stack.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use steadfast_core::BoxError;
use tower_service::Service;

/// The future of a client of reqwest.
type Pending = <reqwest::Client as Service<reqwest::Request>>::Future;

/// Sends `http::Request`s with a `reqwest::Client`.
///
/// See the [crate docs](crate) for the verdicts on errors and for the settings of the client.
#[derive(Clone, Debug, Default)]
pub struct Transport {
    client: reqwest::Client,
}

impl Transport {
    /// Creates a service over `client`.
    #[must_use]
    pub fn new(client: reqwest::Client) -> Self {
        Self { client }
    }

    /// Returns the client.
    #[must_use]
    pub fn get_ref(&self) -> &reqwest::Client {
        &self.client
    }
}

impl<B> Service<Request<B>> for Transport
where
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<reqwest::Body>;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.client.poll_ready(cx).map_err(classified)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture {
        let request = reqwest::Request::try_from(request.map(reqwest::Body::wrap));
        let state = match request {
            Ok(request) => State::Sent {
                pending: self.client.call(request),
            },
            Err(error) => State::Failed { error: Some(error) },
        };
        ResponseFuture { state }
    }
}

/// Classifies an error of reqwest, once for all layers.
fn classified(error: reqwest::Error) -> BoxError {
    // The query of a URL may contain a credential.
    steadfast_edge::classified(error.without_url().into())
}

pin_project! {
    /// The response future of [`Transport`].
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State {
        Sent { #[pin] pending: Pending },
        // The request cannot be sent. Empty once the error has been returned.
        Failed { error: Option<reqwest::Error> },
    }
}

impl Future for ResponseFuture {
    type Output = Result<Response<reqwest::Body>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = match self.project().state.project() {
            StateProjection::Sent { pending } => ready!(pending.poll(cx)),
            StateProjection::Failed { error } => Err(error.take().expect("polled after the end")),
        };
        Poll::Ready(outcome.map(Response::from).map_err(classified))
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
