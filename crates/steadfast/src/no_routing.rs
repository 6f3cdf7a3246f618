//! Routing without the feature `models`: nothing is read, and nothing is rejected.

use bytes::Bytes;
use http::{Extensions, HeaderMap, Method};
use steadfast_balance::{Endpoint, PoolHandle};
use steadfast_core::{BoxError, EndpointName, InvalidConfig, LimitKey};
use tower_layer::{Identity, Layer};

use crate::operation::Operation;
use crate::stack::Inner;

/// Has neither a catalogue nor routes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Routing(());

/// Nothing is known about the model of a request.
#[derive(Debug, Default)]
pub(crate) struct Facts(());

/// A request, which has no route.
#[derive(Clone, Copy)]
pub(crate) struct Target<'a> {
    /// The method.
    pub(crate) method: &'a Method,
    /// The operation.
    pub(crate) operation: Operation,
    /// The path below the request root.
    pub(crate) path: &'a str,
}

/// Adds nothing to the client of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteLayer(());

impl Routing {
    /// Leaves an endpoint as it is.
    pub(crate) fn add_aliases(&self, endpoint: Endpoint) -> Endpoint {
        endpoint
    }

    /// Has nothing to check.
    pub(crate) fn build(self, _: &PoolHandle) -> Result<Self, InvalidConfig> {
        Ok(self)
    }

    /// Leaves a request as it is.
    pub(crate) fn plan(
        &self,
        target: Target<'_>,
        _: Facts,
        _: &mut Extensions,
    ) -> Result<(), BoxError> {
        let _ = (target.method, target.operation, target.path);
        Ok(())
    }

    /// Returns no names of models.
    pub(crate) fn models(&self) -> [LimitKey; 0] {
        []
    }

    /// Leaves a stack as it is.
    pub(crate) fn wrap(self, inner: Inner, _: PoolHandle) -> Inner {
        inner
    }
}

impl Facts {
    /// Reads no form.
    pub(crate) fn boundary(_: &Routing, _: &HeaderMap) -> Option<String> {
        None
    }

    /// Reads no body.
    pub(crate) fn of(_: &Routing, _: Option<&str>, _: Option<&Bytes>) -> Self {
        Self(())
    }
}

impl RouteLayer {
    /// Creates a layer without an effect.
    pub(crate) fn new(_: EndpointName) -> Self {
        Self(())
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = S;

    fn layer(&self, inner: S) -> S {
        Identity::new().layer(inner)
    }
}
