//! The layer.

use std::time::Duration;

use steadfast_core::Verdict;
use tower_layer::Layer;

use super::grpc::ByGrpcStatus;
use super::service::CircuitBreakerService;
use super::settle::{ByResponse, ByResult, ByResultFn};
use crate::value::CircuitBreaker;

/// Applies a [`CircuitBreaker`] to a service.
///
/// All services of one layer share the breaker, as do all its clones. See the [crate docs](crate)
/// for an example.
///
/// # Outcomes
///
/// The outcome follows from the [`Verdict`] on the attempt:
///
/// | Layer | Success | Failure | Neutral |
/// |---|---|---|---|
/// | [`new`](Self::new) | `Ok` | `Err` | an error that is [classified](steadfast_core::Classified) as neutral |
/// | [`http`](CircuitBreakerLayer::http) | other statuses, also 501 and 505 | other 5xx, 421, 425, an error, a body that breaks | 401, 402, 403, 408, 413, 429, 498 |
/// | [`grpc`](CircuitBreakerLayer::grpc) | `OK`, and codes of a working server | `UNKNOWN`, `INTERNAL`, `DATA_LOSS`, `UNAVAILABLE`, `DEADLINE_EXCEEDED` | `CANCELLED`, `UNAUTHENTICATED`, `PERMISSION_DENIED`, `RESOURCE_EXHAUSTED` |
///
/// [`classify_with`](Self::classify_with) changes the first row, and a
/// [`ClassifyLayer`](steadfast_core::ClassifyLayer) next to the client the second.
///
/// An attempt settles at its head, because its body may be a stream of minutes. If the body breaks
/// later, the attempt is one more failure, and the streak resumes unless another success followed.
/// A body that is complete or dropped changes nothing. A probe counts and releases its slot at its
/// head. If its body breaks, it is one more failure. The end of a body from before the last opening
/// changes nothing.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct CircuitBreakerLayer<M = ByResult> {
    breaker: CircuitBreaker,
    mode: M,
    abandoned_after: Option<Duration>,
    backpressure: bool,
}

impl CircuitBreaker {
    /// Returns a layer for any service, as [`CircuitBreakerLayer::new`] does.
    ///
    /// ```
    /// use steadfast_breaker::CircuitBreaker;
    /// use std::io;
    /// use tower::{ServiceBuilder, ServiceExt, service_fn};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let breaker = CircuitBreaker::new();
    /// let service = ServiceBuilder::new()
    ///     .layer(breaker.layer())
    ///     .service(service_fn(async |key: u32| Ok::<_, io::Error>(key + 1)));
    /// assert_eq!(service.oneshot(1).await?, 2);
    /// # Ok(())
    /// # }
    /// ```
    pub fn layer(&self) -> CircuitBreakerLayer {
        CircuitBreakerLayer::new(self.clone())
    }
}

impl From<CircuitBreaker> for CircuitBreakerLayer {
    fn from(breaker: CircuitBreaker) -> Self {
        Self::new(breaker)
    }
}

impl CircuitBreakerLayer {
    /// Creates a layer for any service: `Ok` is a success and `Err` is a failure.
    ///
    /// An HTTP client returns `Ok` for a status of 503 too. Use [`http`](Self::http) for one.
    pub fn new(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByResult::default())
    }

    /// Replaces the rule that `Ok` is a success and `Err` is a failure.
    ///
    /// The function must name the types of its argument, because the compiler cannot infer them.
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
        CircuitBreakerLayer {
            breaker: self.breaker,
            mode: ByResultFn(classify),
            abandoned_after: self.abandoned_after,
            backpressure: self.backpressure,
        }
    }
}

impl CircuitBreakerLayer<ByResponse> {
    /// Creates a layer for an HTTP client.
    ///
    /// The verdict comes from a [`ClassifyLayer`](steadfast_core::ClassifyLayer) next to the
    /// client, or from the default HTTP classification. The body of the response becomes a
    /// [`ResponseBody`](crate::ResponseBody).
    pub fn http(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByResponse::default())
    }
}

impl CircuitBreakerLayer<ByGrpcStatus> {
    /// Creates a layer for a gRPC client. The status of a call is in its trailers, or in its head
    /// if there is no body.
    ///
    /// | Status | Effect |
    /// |---|---|
    /// | `UNKNOWN`, `INTERNAL`, `DATA_LOSS`, `UNAVAILABLE`, `DEADLINE_EXCEEDED` | failure |
    /// | `CANCELLED`, `UNAUTHENTICATED`, `PERMISSION_DENIED` | neutral |
    /// | `RESOURCE_EXHAUSTED` | a [rate limit](crate::RateLimits) |
    /// | `OK`, and codes with which a working server rejects a call | success |
    ///
    /// A head with an HTTP status other than `200` and without a gRPC status counts as with
    /// [`http`](Self::http). A `200` counts as a success until the trailers arrive. Trailers
    /// without a status count as `UNKNOWN`. If the body is dropped before the trailers, the success
    /// remains. A probe releases its slot at its head, because its body may be a stream of minutes,
    /// and counts when its status arrives. If it is dropped before, it does not count.
    pub fn grpc(breaker: CircuitBreaker) -> Self {
        Self::with_mode(breaker, ByGrpcStatus::default())
    }
}

impl<M> CircuitBreakerLayer<M> {
    /// Counts an attempt as timed out if its future is dropped `after` or later, before it
    /// resolved.
    ///
    /// Defaults to off: a dropped future is a cancelled attempt, and no fault of the endpoint. Set
    /// it in a stack with a timeout outside of this layer. The timeout drops the future, which
    /// would otherwise not count. Use a value slightly below that timeout.
    pub fn abandoned_after(mut self, after: Duration) -> Self {
        self.abandoned_after = Some(after);
        self
    }

    /// Makes services pending while the breaker rejects, instead of failing requests.
    ///
    /// For callers with work that can wait: a consumer of a queue, a balancer of tower. The task is
    /// woken when an attempt may be admitted. `poll_ready` reserves the admission until `call`. The
    /// slot of a probe is reclaimed after
    /// [`probe_timeout`](crate::CircuitBreakerBuilder::probe_timeout). After a transition between
    /// the two, `call` requests another admission and may reject.
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
