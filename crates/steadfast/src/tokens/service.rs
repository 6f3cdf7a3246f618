//! Puts the token of an endpoint into each attempt, and sends it again after a `401`.

use std::future::{Future, poll_fn};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use pin_project_lite::pin_project;
use steadfast_core::BoxError;
use tower_layer::Layer;
use tower_service::Service;

use super::{Token, Tokens};
use crate::body::RequestBody;

/// Applies [`WithToken`] to the client of one endpoint.
#[derive(Clone, Debug)]
pub(crate) struct TokenLayer(pub(crate) Option<Arc<Tokens>>);

/// Adds tokens to attempts, if the endpoint has a source of them.
///
/// It is the innermost layer, so the second request after a `401` belongs to the same attempt: it
/// counts neither for the breaker nor against the number of attempts, and it has the same limits.
///
/// A dropped future ends the request. The next request continues a renewal that it has started.
#[derive(Clone, Debug)]
pub(crate) struct WithToken<S> {
    /// The client.
    inner: S,
    /// The tokens of the endpoint.
    tokens: Option<Arc<Tokens>>,
}

pin_project! {
    /// The future of [`WithToken`].
    #[project = Projected]
    pub(crate) enum ResponseFuture<F, R> {
        // No token: the future of the client.
        Plain { #[pin] future: F },
        WithToken { future: Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>> },
    }
}

impl<S> Layer<S> for TokenLayer {
    type Service = WithToken<S>;

    fn layer(&self, inner: S) -> WithToken<S> {
        let tokens = self.0.clone();
        WithToken { inner, tokens }
    }
}

impl<S, B> Service<Request<RequestBody>> for WithToken<S>
where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<BoxError>,
    B: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// Sends the request with the present token, and once more with a new one after a `401`.
    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let Some(tokens) = self.tokens.clone() else {
            let future = self.inner.call(request);
            return ResponseFuture::Plain { future };
        };
        // The clone is not ready, the original is.
        let clone = self.inner.clone();
        let inner = mem::replace(&mut self.inner, clone);
        let future = Box::pin(send(inner, tokens, request));
        ResponseFuture::WithToken { future }
    }
}

/// Sends a request with the current token. After a `401`, sends it once more with a new token.
///
/// A body that is not in memory is sent once.
async fn send<S, B>(
    mut client: S,
    tokens: Arc<Tokens>,
    request: Request<RequestBody>,
) -> Result<Response<B>, BoxError>
where
    S: Service<Request<RequestBody>, Response = Response<B>>,
    S::Error: Into<BoxError>,
{
    let token = tokens.get(None).await?;
    let (head, body) = request.into_parts();
    let again = body.try_clone();
    let again = again.map(|body| Request::from_parts(head.clone(), body));
    let first = signed(Request::from_parts(head, body), &token);
    let response = client.call(first).await.map_err(Into::into)?;
    let is_rejected = response.status() == StatusCode::UNAUTHORIZED && tokens.may_replace(&token);
    let (true, Some(again)) = (is_rejected, again) else {
        return Ok(response);
    };
    // Without a new token, the answer of the server is the reason.
    let Ok(new) = tokens.get(Some(token.number)).await else {
        return Ok(response);
    };
    drop(response);
    poll_fn(|cx| client.poll_ready(cx))
        .await
        .map_err(Into::into)?;
    client.call(signed(again, &new)).await.map_err(Into::into)
}

/// Replaces the credential of a request.
fn signed(mut request: Request<RequestBody>, token: &Token) -> Request<RequestBody> {
    let header = token.header.clone();
    request.headers_mut().insert(AUTHORIZATION, header);
    request
}

impl<F, R, E> Future for ResponseFuture<F, R>
where
    F: Future<Output = Result<R, E>>,
    E: Into<BoxError>,
{
    type Output = Result<R, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            Projected::Plain { future } => Poll::Ready(ready!(future.poll(cx)).map_err(Into::into)),
            Projected::WithToken { future } => future.as_mut().poll(cx),
        }
    }
}
