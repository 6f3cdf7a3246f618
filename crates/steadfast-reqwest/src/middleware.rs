//! A stack as a middleware of `reqwest-middleware`.

use bytes::Bytes;
use http::{Extensions, Request, Response};
use http_body::Body;
use reqwest_middleware::{Error, Middleware, Next};
use steadfast_core::BoxError;
use tower_service::Service;

use crate::request::send_with_extensions;

/// Sends the requests of a `reqwest_middleware::ClientWithMiddleware` through a stack.
///
/// The stack has a client of its own, so this is the last middleware: it does not call the next
/// one, and the client of the builder sends nothing. Extensions of a request, such as a
/// [`Deadline`](steadfast_core::Deadline), reach the layers.
///
/// ```
/// use reqwest_middleware::ClientBuilder;
/// use steadfast_reqwest::{StackMiddleware, Transport};
/// use steadfast_retry::RetryOn429Layer;
/// use tower::ServiceBuilder;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// # let upstream = steadfast_testkit::Upstream::start().await?;
/// # let url = format!("{}/models", upstream.url());
/// let http = reqwest::Client::new();
/// let stack = ServiceBuilder::new()
///     .layer(RetryOn429Layer::new())
///     .service(Transport::new(http.clone()));
/// let client = ClientBuilder::new(http).with(StackMiddleware::new(stack)).build();
/// assert_eq!(client.get(url).send().await?.status(), 200);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct StackMiddleware<S> {
    stack: S,
}

impl<S> StackMiddleware<S> {
    /// Creates a middleware over `stack`.
    pub fn new(stack: S) -> Self {
        Self { stack }
    }
}

#[async_trait::async_trait]
impl<S, B> Middleware for StackMiddleware<S>
where
    S: Service<Request<reqwest::Body>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body<Data = Bytes> + Send + Sync + 'static,
    B::Error: Into<BoxError>,
{
    async fn handle(
        &self,
        request: reqwest::Request,
        extensions: &mut Extensions,
        _next: Next<'_>,
    ) -> reqwest_middleware::Result<reqwest::Response> {
        let outcome = send_with_extensions(self.stack.clone(), request, extensions).await;
        outcome.map_err(Error::middleware)
    }
}
