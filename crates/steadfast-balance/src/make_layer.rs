//! The layers between the balancer and its client, one for each endpoint.

use std::fmt;

use tower_layer::Identity;

use crate::endpoint::Endpoint;

/// Creates the layer between the balancer and the client of one endpoint.
pub trait MakeEndpointLayer {
    /// The layer.
    type Layer;

    /// Creates the layer of `endpoint`. Called once per endpoint: all requests share the layer.
    fn make_layer(&self, endpoint: &Endpoint) -> Self::Layer;
}

/// Adds no layer between the balancer and its client.
#[derive(Clone, Copy, Debug)]
pub struct NoEndpointLayer(pub(crate) ());

/// Creates endpoint layers with a closure.
#[derive(Clone, Copy)]
pub struct MakeLayerFn<F>(pub(crate) F);

impl MakeEndpointLayer for NoEndpointLayer {
    type Layer = Identity;

    fn make_layer(&self, _: &Endpoint) -> Identity {
        Identity::new()
    }
}

impl<F, L> MakeEndpointLayer for MakeLayerFn<F>
where
    F: Fn(&Endpoint) -> L,
{
    type Layer = L;

    fn make_layer(&self, endpoint: &Endpoint) -> L {
        (self.0)(endpoint)
    }
}

impl<F> fmt::Debug for MakeLayerFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("MakeLayerFn")
            .field(&format_args!("_"))
            .finish()
    }
}
