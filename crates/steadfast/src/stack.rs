//! The assembled stack.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_balance::{EndpointStatus, PoolHandle};
use steadfast_core::BoxError;
use steadfast_metrics::{MetricsLayer, Snapshot};
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower_service::Service;

use crate::body::{AnyBody, ResponseBody};

/// The assembled layers.
pub(crate) type Inner = BoxCloneSyncService<Request<AnyBody>, Response<ResponseBody>, BoxError>;

/// All layers assembled for AI APIs, over an HTTP client.
///
/// Clones share endpoints, retry budget, metrics and connections. See the [crate docs](crate) for
/// an example and for the path of a request.
#[derive(Clone)]
pub struct AiStack {
    /// The layers and the client.
    inner: Inner,
    /// The layer of requests, for its numbers.
    metrics: MetricsLayer,
    /// The endpoints of the balancer.
    endpoints: PoolHandle,
}

// ===== impl AiStack =====

impl AiStack {
    /// Creates a stack of assembled layers.
    pub(crate) fn new(inner: Inner, metrics: MetricsLayer, endpoints: PoolHandle) -> Self {
        Self {
            inner,
            metrics,
            endpoints,
        }
    }

    /// Sends a request. Its URI needs a path only, such as `/v1/chat/completions`.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint sent a response: [`Exhausted`](steadfast_core::Exhausted),
    /// or the error of a single attempt.
    ///
    /// # Cancel safety
    ///
    /// A dropped future ends the attempt in flight, and releases all reservations.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.inner.clone().oneshot(request.map(AnyBody::new)).await
    }

    /// Returns the metrics of all requests so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// Returns a handle that reads and changes the endpoints while requests run.
    #[must_use]
    pub fn endpoints(&self) -> &PoolHandle {
        &self.endpoints
    }

    /// Returns the state of the endpoints, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.endpoints.status()
    }
}

impl<B> Service<Request<B>> for AiStack
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = <Inner as Service<Request<AnyBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request.map(AnyBody::new))
    }
}

impl fmt::Debug for AiStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AiStack")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}
