//! The layers between the balancer and its client, one for each endpoint.

use std::fmt;

use tower_layer::Identity;

use crate::endpoint::Endpoint;

/// Makes the layer that stands between the balancer and the client of one endpoint.
pub trait MakeEndpointLayer {
    /// The layer.
    type Layer;

    /// Makes it. Called once for each endpoint; requests share what it makes.
    fn make_layer(&self, endpoint: &Endpoint) -> Self::Layer;
}

/// Puts no layer between the balancer and its client.
#[derive(Clone, Copy, Debug)]
pub struct NoEndpointLayer(pub(crate) ());

/// Makes endpoint layers with a closure.
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
