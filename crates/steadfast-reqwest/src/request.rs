//! Requests of reqwest above a stack.

use std::future::{Future, poll_fn};

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use reqwest::{ResponseBuilderExt, Url};
use steadfast_core::{BoxError, Deadline};
use tower_service::Service;

use crate::error::StackError;

/// Sends the request of a `reqwest::RequestBuilder` through a stack.
pub trait RequestBuilderExt {
    /// Sends the request through `stack` instead of the client that made the builder.
    ///
    /// See [`send`].
    ///
    /// # Errors
    ///
    /// Returns the error of the builder or of the stack.
    fn send_with<S, B>(
        self,
        stack: S,
    ) -> impl Future<Output = Result<reqwest::Response, StackError>> + Send
    where
        S: Service<Request<reqwest::Body>, Response = Response<B>> + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>;
}

impl RequestBuilderExt for reqwest::RequestBuilder {
    async fn send_with<S, B>(self, stack: S) -> Result<reqwest::Response, StackError>
    where
        S: Service<Request<reqwest::Body>, Response = Response<B>> + Send,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Body<Data = Bytes> + Send + Sync + 'static,
        B::Error: Into<BoxError>,
    {
        send(stack, self.build().map_err(without_url)?).await
    }
}

/// Sends a request of reqwest through a stack.
///
/// The timeout of the request is its [`Deadline`], unless its extensions contain one. The URL of
/// the response is the URL of the request, also if another endpoint has answered.
///
/// # Errors
///
/// Returns the error of the stack.
///
/// # Cancel safety
///
/// Dropping the future drops the future of the stack.
pub async fn send<S, B>(
    stack: S,
    request: reqwest::Request,
) -> Result<reqwest::Response, StackError>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    send_with_extensions(stack, request, &Extensions::new()).await
}

/// Sends a request with more extensions.
pub(crate) async fn send_with_extensions<S, B>(
    mut stack: S,
    request: reqwest::Request,
    more: &Extensions,
) -> Result<reqwest::Response, StackError>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>>,
    S::Error: Into<BoxError>,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    let (url, timeout) = (request.url().clone(), request.timeout().copied());
    let mut request = Request::try_from(request).map_err(without_url)?;
    let extensions = request.extensions_mut();
    extensions.extend(more.clone());
    if let Some(timeout) = timeout {
        extensions.get_or_insert_with(|| Deadline::after(timeout));
    }
    poll_fn(|cx| stack.poll_ready(cx))
        .await
        .map_err(StackError::new)?;
    let response = stack.call(request).await.map_err(StackError::new)?;
    Ok(with_url(response.map(reqwest::Body::wrap), url).into())
}

/// Wraps an error of a builder. The query of its URL may contain a credential.
fn without_url(error: reqwest::Error) -> StackError {
    StackError::new(error.without_url())
}

/// Adds the URL of a response, which reqwest keeps in a private extension.
fn with_url(mut response: Response<reqwest::Body>, url: Url) -> Response<reqwest::Body> {
    if let Ok(marked) = Response::builder().url(url).body(()) {
        response
            .extensions_mut()
            .extend(marked.into_parts().0.extensions);
    }
    response
}
