//! Extension traits for tower's builder and for requests.

use http::Request;
use steadfast_balance::EndpointBalanceLayer;
use steadfast_breaker::CircuitBreakerLayer;
use steadfast_core::{Deadline, RoutingOptions};
use steadfast_metrics::MetricsLayer;
use steadfast_retry::{RetryOn429Layer, RetryOverride};
use tower::ServiceBuilder;
use tower_layer::Stack;

use crate::answers::StreamMode;
use crate::timeouts::Timeouts;

/// Adds the layers of this crate to [`tower::ServiceBuilder`].
///
/// ```
/// use http::{Request, Response};
/// use steadfast::{
///     CircuitBreaker, CircuitBreakerLayer, Endpoint, EndpointBalanceLayer, MetricsLayer,
///     ServiceBuilderExt,
/// };
/// use steadfast::crates::retry::ReplayBody;
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower::BoxError> {
/// # type Body = ReplayBody<http_body_util::Full<bytes::Bytes>>;
/// # async fn send(request: Request<Body>) -> Result<Response<String>, std::convert::Infallible> {
/// #     Ok(Response::new(request.uri().to_string()))
/// # }
/// let balance = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("a", "https://a.example.com")?)
///     .endpoint(Endpoint::new("b", "https://b.example.com")?)
///     .build()?;
/// let client = ServiceBuilder::new()
///     .metrics(MetricsLayer::requests())
///     .retry_on_429()
///     .balance(balance)
///     .circuit_breaker(CircuitBreakerLayer::http(CircuitBreaker::new()))
///     .service_fn(send);
///
/// let request = Request::get("/models").body(http_body_util::Full::default())?;
/// let response = client.oneshot(request).await?;
/// assert_eq!(response.status(), 200);
/// # Ok(())
/// # }
/// ```
pub trait ServiceBuilderExt<L>: Sized + sealed::Sealed {
    /// Retries requests with a [`RetryOn429Layer`] and its defaults.
    fn retry_on_429(self) -> ServiceBuilder<Stack<RetryOn429Layer, L>>;

    /// Adds a breaker, from a `CircuitBreaker` or a [`CircuitBreakerLayer`].
    ///
    /// A bare `CircuitBreaker` counts errors only. For responses such as `503`, pass
    /// [`CircuitBreakerLayer::http`].
    fn circuit_breaker<M>(
        self,
        breaker: impl Into<CircuitBreakerLayer<M>>,
    ) -> ServiceBuilder<Stack<CircuitBreakerLayer<M>, L>>;

    /// Selects an endpoint for each attempt.
    fn balance<F>(
        self,
        balance: EndpointBalanceLayer<F>,
    ) -> ServiceBuilder<Stack<EndpointBalanceLayer<F>, L>>;

    /// Records metrics of requests or attempts.
    fn metrics(self, metrics: MetricsLayer) -> ServiceBuilder<Stack<MetricsLayer, L>>;
}

impl<L> ServiceBuilderExt<L> for ServiceBuilder<L> {
    fn retry_on_429(self) -> ServiceBuilder<Stack<RetryOn429Layer, L>> {
        self.layer(RetryOn429Layer::new())
    }

    fn circuit_breaker<M>(
        self,
        breaker: impl Into<CircuitBreakerLayer<M>>,
    ) -> ServiceBuilder<Stack<CircuitBreakerLayer<M>, L>> {
        self.layer(breaker.into())
    }

    fn balance<F>(
        self,
        balance: EndpointBalanceLayer<F>,
    ) -> ServiceBuilder<Stack<EndpointBalanceLayer<F>, L>> {
        self.layer(balance)
    }

    fn metrics(self, metrics: MetricsLayer) -> ServiceBuilder<Stack<MetricsLayer, L>> {
        self.layer(metrics)
    }
}

/// Adds the settings of one request to [`http::Request`], as request extensions.
///
/// ```
/// use std::time::Duration;
///
/// use http::Request;
/// use steadfast::{Deadline, RequestExt, RetryOverride, RoutingOptions};
///
/// let request = Request::get("/v1/models")
///     .body(String::new())?
///     .deadline(Deadline::after(Duration::from_secs(10)))
///     .routing(RoutingOptions::new().exclude("backup"))
///     .retry(RetryOverride::new().max_attempts(2));
/// assert!(Deadline::of(request.extensions()).is_some());
/// # Ok::<(), http::Error>(())
/// ```
pub trait RequestExt: Sized + sealed::Sealed {
    /// Sets the instant at which the request ends.
    #[must_use]
    fn deadline(self, deadline: Deadline) -> Self;

    /// Sets the constraints and preferences for the choice of its endpoint.
    #[must_use]
    fn routing(self, options: RoutingOptions) -> Self;

    /// Sets its [limits](Timeouts::of) in place of the ones of the stack. Shorter ones open no
    /// breaker of an endpoint that serves others.
    #[must_use]
    fn timeouts(self, timeouts: Timeouts) -> Self;

    /// Sets how its retries differ from the layer's settings.
    #[must_use]
    fn retry(self, retry: RetryOverride) -> Self;

    /// Sets when its stream is passed on, in place of the mode of the stack.
    #[must_use]
    fn stream_mode(self, mode: StreamMode) -> Self;
}

impl<B> RequestExt for Request<B> {
    fn deadline(mut self, deadline: Deadline) -> Self {
        self.extensions_mut().insert(deadline);
        self
    }

    fn routing(mut self, options: RoutingOptions) -> Self {
        self.extensions_mut().insert(options);
        self
    }

    fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.extensions_mut().insert(timeouts);
        self
    }

    fn retry(mut self, retry: RetryOverride) -> Self {
        self.extensions_mut().insert(retry);
        self
    }

    fn stream_mode(mut self, mode: StreamMode) -> Self {
        self.extensions_mut().insert(mode);
        self
    }
}

mod sealed {
    /// Implemented by the extended types alone, so that methods can be added.
    pub trait Sealed {}

    impl<L> Sealed for tower::ServiceBuilder<L> {}
    impl<B> Sealed for http::Request<B> {}
}
