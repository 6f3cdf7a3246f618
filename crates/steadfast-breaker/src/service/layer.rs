//! The layer.

use std::time::Duration;

use steadfast_core::{Classify, DefaultClassifier, Verdict};
use tower_layer::Layer;

use crate::service::grpc::ByGrpcStatus;
use crate::service::service::CircuitBreakerService;
use crate::service::settle::ByResponse;
use crate::service::settle::ByResult;
use crate::service::settle::ByResultFn;
use crate::value::breaker::CircuitBreaker;

/// Puts a [`CircuitBreaker`] around a service.
///
/// All services made by one layer share the breaker, and so does whoever else has a clone of it.
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct CircuitBreakerLayer<M = ByResult> {
    breaker: CircuitBreaker,
    mode: M,
    abandoned_after: Option<Duration>,
    backpressure: bool,
}

impl CircuitBreakerLayer {
    /// Creates a layer for any service at all: `Ok` is a success and `Err` a failure.
    ///
    /// An HTTP client answers `Ok` with a status of 503 too. Use [`http`](Self::http) for one.
    pub fn new(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByResult::default())
    }

    /// Replaces the rule that `Ok` is a success and `Err` a failure.
    ///
    /// The function names the types of its argument, as the compiler cannot infer them.
    ///
    /// ```
    /// use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
    /// use steadfast_core::{Class, Verdict};
    /// use std::io;
    ///
    /// struct Row;
    ///
    /// let layer = CircuitBreakerLayer::new(CircuitBreaker::new()).classify_with(
    ///     |result: Result<&Row, &io::Error>| match result {
    ///         Err(error) if error.kind() != io::ErrorKind::NotFound => {
    ///             Verdict::new(Class::ServerError)
    ///         }
    ///         _ => Verdict::SUCCESS,
    ///     },
    /// );
    /// # let _ = layer;
    /// ```
    pub fn classify_with<F, Res, E>(self, classify: F) -> CircuitBreakerLayer<ByResultFn<F>>
    where
        F: Fn(Result<&Res, &E>) -> Verdict,
    {
        self.map_mode(|_| ByResultFn(classify))
    }
}

impl CircuitBreakerLayer<ByResponse> {
    /// Creates a layer for an HTTP client, with the [`DefaultClassifier`].
    ///
    /// The body of the response becomes a [`ResponseBody`](crate::ResponseBody).
    pub fn http(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByResponse(DefaultClassifier))
    }
}

impl CircuitBreakerLayer<ByGrpcStatus> {
    /// Creates a layer for a gRPC client, whose answers say in their trailers, or in their head
    /// where there is nothing else, what became of the call.
    ///
    /// | Status | is |
    /// |---|---|
    /// | `UNKNOWN`, `INTERNAL`, `DATA_LOSS`, `UNAVAILABLE`, `DEADLINE_EXCEEDED` | a failure |
    /// | `CANCELLED`, `UNAUTHENTICATED`, `PERMISSION_DENIED` | neutral |
    /// | `RESOURCE_EXHAUSTED` | a [rate limit](crate::RateLimits) |
    /// | `OK` and the others, by which a server that works refuses a call | a success |
    ///
    /// A head with a status of HTTP other than `200` and none of gRPC counts as with
    /// [`http`](Self::http). A `200` is taken for a success until its trailers come. If there is no
    /// status in them either that is `UNKNOWN`, and if the body is dropped before them the success
    /// stands. A probe gives its place back at its head, for its body may be a stream of minutes,
    /// and counts when its status comes; dropped before, it is none.
    pub fn grpc(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByGrpcStatus::default())
    }
}

impl<C> CircuitBreakerLayer<ByResponse<C>> {
    /// Replaces the classifier, with a
    /// [`classify_fn`](steadfast_core::classify_fn) for example.
    pub fn classifier<T: Classify>(self, classifier: T) -> CircuitBreakerLayer<ByResponse<T>> {
        self.map_mode(|_| ByResponse(classifier))
    }
}

impl<M> CircuitBreakerLayer<M> {
    /// Counts an attempt as timed out if its future is dropped `after` or later, before it
    /// resolved.
    ///
    /// Off by default, so that a dropped future is a caller who left, and no fault of the
    /// endpoint. Set it in a stack whose timeout is outside of this layer: the timeout drops the
    /// future, and the breaker would otherwise never learn of it. A little less than that timeout
    /// is a good value.
    pub fn abandoned_after(mut self, after: Duration) -> Self {
        self.abandoned_after = Some(after);
        self
    }

    /// Makes services that are not ready while the breaker rejects, in place of requests that fail.
    ///
    /// For callers with work that can wait: a consumer of a queue, a balancer of tower. Its task is
    /// woken when an attempt may be admitted, and not before. What is admitted by `poll_ready` is
    /// held until `call`; a probe's place goes to another caller after
    /// [`probe_timeout`](crate::CircuitBreakerBuilder::probe_timeout). If the breaker makes a
    /// transition between the two, `call` asks again and may reject.
    pub fn backpressure(mut self) -> Self {
        self.backpressure = true;
        self
    }

    fn with_mode(breaker: CircuitBreaker, mode: M) -> Self {
        Self {
            breaker,
            mode,
            abandoned_after: None,
            backpressure: false,
        }
    }

    fn map_mode<T>(self, f: impl FnOnce(M) -> T) -> CircuitBreakerLayer<T> {
        CircuitBreakerLayer {
            breaker: self.breaker,
            mode: f(self.mode),
            abandoned_after: self.abandoned_after,
            backpressure: self.backpressure,
        }
    }
}

impl<S, M: Clone> Layer<S> for CircuitBreakerLayer<M> {
    type Service = CircuitBreakerService<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitBreakerService::new(
            inner,
            self.breaker.clone(),
            self.mode.clone(),
            self.abandoned_after,
            self.backpressure,
        )
    }
}
