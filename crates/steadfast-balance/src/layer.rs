//! The layer, and its handle on the endpoints.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;

use crate::config::{
    DEFAULT_MAX_WAIT, DEFAULT_OVERLOAD_WAIT, DEFAULT_PREFER_WAIT, DEFAULT_PROBE_WAIT,
};
use crate::endpoint::Endpoint;
use crate::make_layer::{MakeEndpointLayer, NoEndpointLayer};
use crate::pool::Pool;
use crate::pool::handle::PoolHandle;
use crate::pool::services::Services;
use crate::service::EndpointBalance;

/// Applies [`EndpointBalance`] to a service.
///
/// Services made by one layer share the state of its endpoints. See the [crate docs](crate) for
/// an example.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct EndpointBalanceLayer<F = NoEndpointLayer> {
    /// Shared with all services and handles.
    pool: Arc<Pool>,
    /// Creates the layers of each endpoint.
    endpoint_layer: F,
}

// ===== impl EndpointBalanceLayer =====

impl EndpointBalanceLayer {
    /// The default of [`max_wait`](crate::EndpointBalanceBuilder::max_wait).
    pub const DEFAULT_MAX_WAIT: Duration = DEFAULT_MAX_WAIT;
    /// The default of [`overload_wait`](crate::EndpointBalanceBuilder::overload_wait).
    pub const DEFAULT_OVERLOAD_WAIT: Duration = DEFAULT_OVERLOAD_WAIT;
    /// The default of [`probe_wait`](crate::EndpointBalanceBuilder::probe_wait).
    pub const DEFAULT_PROBE_WAIT: Duration = DEFAULT_PROBE_WAIT;
    /// The default of [`prefer_wait`](crate::EndpointBalanceBuilder::prefer_wait).
    pub const DEFAULT_PREFER_WAIT: Duration = DEFAULT_PREFER_WAIT;
}

impl<F> EndpointBalanceLayer<F> {
    pub(crate) fn new(pool: Pool, endpoint_layer: F) -> Self {
        Self {
            pool: Arc::new(pool),
            endpoint_layer,
        }
    }

    /// Returns a handle on the state of the endpoints.
    #[must_use]
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.pool.clone())
    }
}

impl<F, S> Layer<S> for EndpointBalanceLayer<F>
where
    F: MakeEndpointLayer<Layer: Layer<S, Service: Clone>> + Clone + Send + Sync + 'static,
    S: Clone + Send + Sync + 'static,
{
    type Service = EndpointBalance<<F::Layer as Layer<S>>::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        let endpoint_layer = self.endpoint_layer.clone();
        let make = move |endpoint: &Endpoint| {
            let layer = endpoint_layer.make_layer(endpoint);
            layer.layer(inner.clone())
        };
        EndpointBalance::new(Services::new(self.pool.clone(), make))
    }
}

impl<F> fmt::Debug for EndpointBalanceLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBalanceLayer")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}
