use std::fmt;
use std::sync::Arc;

use steadfast_core::EndpointName;
use tower_layer::Layer;

use crate::numbers::Numbers;
use crate::service::Metrics;
use crate::snapshot::Snapshot;

/// Applies [`Metrics`] to a service.
///
/// Clones of a layer, and all its services, share one set of numbers. See the [crate docs](crate)
/// for an example.
///
/// # Limits
///
/// * If the caller drops the body of a successful response early, the outcome is a success. The
///   layer cannot distinguish a reader that has enough from a reader that gives up.
/// * An unknown error is `transport`. The source of an error is found only if the error is boxed or
///   a type of [`steadfast_core`].
/// * A request that a breaker without a balancer rejects counts as one attempt, `overloaded`. The
///   number of attempts comes from a balancer or a retry layer.
/// * An exporter may remove idle series, such as the Prometheus exporter with an `idle_timeout`. A
///   layer does not look up its series again, so exempt `steadfast_*`.
/// * Token counts and models are not measured, since they are in bodies, which pass unread.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct MetricsLayer {
    numbers: Arc<Numbers>,
}

impl MetricsLayer {
    /// Creates a layer that measures requests, the same as [`requests`](Self::requests).
    pub fn new() -> Self {
        Self::requests()
    }

    /// Creates a layer that measures requests, with any number of attempts each.
    ///
    /// Its place is outermost. Two such layers write to the same series, but each of them has its
    /// own [`snapshot`](Self::snapshot).
    pub fn requests() -> Self {
        Self::with(Numbers::requests())
    }

    /// Creates a layer that measures each attempt at one endpoint.
    ///
    /// Its place is next to the client, below the retry layer. The name becomes a label, so it must
    /// not be derived from the content of a request.
    pub fn attempts(endpoint: impl Into<EndpointName>) -> Self {
        Self::with(Numbers::attempts(&endpoint.into()))
    }

    fn with(numbers: Numbers) -> Self {
        Self {
            numbers: Arc::new(numbers),
        }
    }

    /// Returns the numbers so far. It needs no recorder.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.numbers.snapshot()
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Metrics::new(inner, self.numbers.clone())
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MetricsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
