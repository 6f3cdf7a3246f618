//! The hook of `async-openai`.

use std::fmt;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_core::BoxError;
use steadfast_reqwest::StackError;
use tower_service::Service;

/// A stack as an HTTP service of `async-openai`.
///
/// Add it with `Client::with_http_service`, below layers of your own for its requests.
#[derive(Clone, Debug)]
pub struct HttpService<S> {
    stack: S,
}

impl<S> HttpService<S> {
    /// Creates a service over `stack`.
    pub fn new(stack: S) -> Self {
        Self { stack }
    }

    /// Returns the stack.
    pub fn get_ref(&self) -> &S {
        &self.stack
    }

    /// Consumes `self` and returns the stack.
    pub fn into_inner(self) -> S {
        self.stack
    }
}

impl<S, B> Service<HttpRequestFactory> for HttpService<S>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    type Response = reqwest::Response;
    type Error = OpenAIError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        self.stack.poll_ready(cx).map_err(boxed)
    }

    fn call(&mut self, factory: HttpRequestFactory) -> ResponseFuture {
        // The clone is not ready. The future takes the handle that is.
        let clone = self.stack.clone();
        let stack = mem::replace(&mut self.stack, clone);
        ResponseFuture(Box::pin(async move {
            let request = factory.build().await?;
            let sent = steadfast_reqwest::send(stack, request).await;
            sent.map_err(|error| OpenAIError::Boxed(error.into()))
        }))
    }
}

/// Keeps the error of a stack among the sources. `OpenAIError` skips the boxed error itself.
fn boxed(error: impl Into<BoxError>) -> OpenAIError {
    OpenAIError::Boxed(StackError::new(error).into())
}

/// The response future of [`HttpService`].
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture(
    Pin<Box<dyn Future<Output = Result<reqwest::Response, OpenAIError>> + Send>>,
);

impl Future for ResponseFuture {
    type Output = Result<reqwest::Response, OpenAIError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
