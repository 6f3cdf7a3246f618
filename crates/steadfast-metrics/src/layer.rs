use std::fmt;
use std::sync::Arc;

use steadfast_core::{DefaultClassifier, EndpointName};
use tower_layer::Layer;

use crate::numbers::Numbers;
use crate::{Metrics, Snapshot};

/// Applies [`Metrics`] to a service.
///
/// Clones of a layer, and all services made by it, share one set of numbers. See the [crate
/// docs](crate) for an example.
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct MetricsLayer<C = DefaultClassifier> {
    numbers: Arc<Numbers>,
    classifier: Arc<C>,
}

impl MetricsLayer {
    /// Creates a layer that measures requests, the same as [`requests`](Self::requests).
    pub fn new() -> Self {
        Self::requests()
    }

    /// Creates a layer that measures requests, whatever number of attempts each of them takes.
    ///
    /// Its place is outermost. Two such layers write to the same series, but each of them has its
    /// own [`snapshot`](Self::snapshot).
    pub fn requests() -> Self {
        Self::with(Numbers::requests())
    }

    /// Creates a layer that measures each attempt at one endpoint.
    ///
    /// Its place is next to the client, inside of what retries. The name becomes a label, so it
    /// must not be made of anything that a request contains.
    pub fn attempts(endpoint: impl Into<EndpointName>) -> Self {
        Self::with(Numbers::attempts(&endpoint.into()))
    }

    fn with(numbers: Numbers) -> Self {
        Self {
            numbers: Arc::new(numbers),
            classifier: Arc::new(DefaultClassifier),
        }
    }
}

impl<C> MetricsLayer<C> {
    /// Replaces the classifier, which decides about the outcome of a response or an error.
    ///
    /// The one of all layers is next to the client and leaves its verdict in the response, where
    /// the [`DefaultClassifier`] finds it, so a stack does not need this.
    pub fn classifier<T>(self, classifier: T) -> MetricsLayer<T> {
        MetricsLayer {
            numbers: self.numbers,
            classifier: Arc::new(classifier),
        }
    }

    /// Returns what was counted so far. It needs no recorder.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.numbers.snapshot()
    }
}

impl<S, C> Layer<S> for MetricsLayer<C> {
    type Service = Metrics<S, C>;

    fn layer(&self, inner: S) -> Self::Service {
        Metrics::new(inner, self.numbers.clone(), self.classifier.clone())
    }
}

impl Default for MetricsLayer {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> Clone for MetricsLayer<C> {
    fn clone(&self) -> Self {
        Self {
            numbers: self.numbers.clone(),
            classifier: self.classifier.clone(),
        }
    }
}

impl<C> fmt::Debug for MetricsLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsLayer")
            .field("snapshot", &self.snapshot())
            .finish_non_exhaustive()
    }
}
