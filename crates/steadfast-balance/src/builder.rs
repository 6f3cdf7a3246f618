//! The builder of the layer: the endpoints and the settings of their pool.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::layer::Observers;
use steadfast_core::{InvalidConfig, Observer};

use crate::config::PoolConfig;
use crate::endpoint::Endpoint;
use crate::exhausted::WhenExhausted;
use crate::layer::EndpointBalanceLayer;
use crate::make_layer::{MakeEndpointLayer, MakeLayerFn, NoEndpointLayer};
use crate::pool::Pool;
use crate::pool::context::PoolContext;
use crate::select::pick::Pick;

/// Configures an [`EndpointBalanceLayer`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EndpointBalanceBuilder<F = NoEndpointLayer> {
    /// In the order of the configuration.
    endpoints: Vec<Endpoint>,
    /// Validated by `build`.
    config: PoolConfig,
    /// Creates the layers of each endpoint.
    endpoint_layer: F,
}

impl EndpointBalanceLayer {
    /// Creates a builder without endpoints, with [`Strategy::Failover`](crate::Strategy::Failover).
    pub fn builder() -> EndpointBalanceBuilder {
        EndpointBalanceBuilder {
            endpoints: Vec::new(),
            config: PoolConfig::default(),
            endpoint_layer: NoEndpointLayer(()),
        }
    }
}

impl<F> EndpointBalanceBuilder<F> {
    /// Adds an endpoint. The order within a tier counts.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds endpoints.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// Changes each endpoint that was added so far.
    pub fn map_endpoints(mut self, change: impl Fn(Endpoint) -> Endpoint) -> Self {
        self.endpoints = self.endpoints.into_iter().map(change).collect();
        self
    }

    /// Sets the selection among the candidates of a tier. Defaults to
    /// [`Strategy::Failover`](crate::Strategy::Failover).
    ///
    /// A [`Strategy`](crate::Strategy), a [`Scored`](crate::Scored) with its own mix, a closure in
    /// [`pick_fn`](crate::pick_fn), or any other [`Pick`].
    pub fn strategy(mut self, strategy: impl Pick + 'static) -> Self {
        self.config.strategy = Arc::new(strategy);
        self
    }

    /// Adds an observer of breaker transitions, cooldowns, failovers and exhausted pools.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.config.observers.add(observer);
        self
    }

    /// Adds observers.
    pub fn observers(mut self, observers: &Observers) -> Self {
        self.config.observers.extend(observers);
        self
    }

    /// Sets the start of request paths that the base path of the endpoint replaces, such as `/v1`.
    ///
    /// If a path does not begin with it, the base path is prepended to the whole path. Defaults to
    /// the empty root.
    pub fn request_root(mut self, root: impl Into<String>) -> Self {
        self.config.request_root = root.into();
        self
    }

    /// Sets the treatment of requests without an admissible endpoint. Defaults to
    /// [`WhenExhausted::Fail`].
    pub fn when_exhausted(mut self, when_exhausted: WhenExhausted) -> Self {
        self.config.when_exhausted = when_exhausted;
        self
    }

    /// Sets the longest wait in the queue. Defaults to
    /// [`DEFAULT_MAX_WAIT`](EndpointBalanceLayer::DEFAULT_MAX_WAIT). With zero, no request queues.
    ///
    /// It applies to requests without a [`Deadline`](steadfast_core::Deadline), and with
    /// [`WhenExhausted::Wait`] to all requests. A request with a deadline is rejected on arrival if
    /// its answer would probably be too late.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.config.max_wait = max_wait;
        self
    }

    /// Sets the longest wait during an overload. Defaults to
    /// [`DEFAULT_OVERLOAD_WAIT`](EndpointBalanceLayer::DEFAULT_OVERLOAD_WAIT). The bound is at
    /// least twice the latency of the fastest endpoint, and at most [`max_wait`](Self::max_wait).
    ///
    /// If it is set to [`max_wait`](Self::max_wait) or more, no load is shed: a request waits until
    /// `max_wait` or its deadline, whatever its expected wait. That serves the most requests of
    /// patient callers, also if a limit is lifted meanwhile. The quota of impatient callers is
    /// spent on requests that they cancel.
    ///
    /// An overload has begun if each slot of a quarter of the bound comes after more than half of
    /// it, or if callers cancel while they wait. A request with a deadline is evidence only after
    /// the whole bound.
    ///
    /// Half of it is the longest wait for a limit whose hint leads nowhere: all endpoints are
    /// limited, a hint was followed and refused again, other requests were turned away, and none
    /// was served since. A retry layer above then returns the true time at once. A request with a
    /// deadline waits for any hint that fits.
    pub fn overload_wait(mut self, wait: Duration) -> Self {
        self.config.overload_wait = Some(wait);
        self
    }

    /// Sets the longest wait for a probe while the breakers of all endpoints of a request are open.
    /// Defaults to [`DEFAULT_PROBE_WAIT`](EndpointBalanceLayer::DEFAULT_PROBE_WAIT).
    ///
    /// Each such endpoint gets a probe at most once per second, before the end of its open time.
    /// The first success serves the waiters: it extends their waits, and each success doubles the
    /// number of probes in flight, until the breaker is closed. A request with a deadline that
    /// several endpoints may serve waits until five times this time after the last success, if that
    /// is longer. With zero, no probe is early and no request waits for one.
    pub fn probe_wait(mut self, wait: Duration) -> Self {
        self.config.probe_wait = wait;
        self
    }

    /// Sets the longest wait for a better endpoint before a request moves to a
    /// [degraded](Endpoint::degraded) one. Defaults to
    /// [`DEFAULT_PREFER_WAIT`](EndpointBalanceLayer::DEFAULT_PREFER_WAIT).
    ///
    /// Hints, cooldowns and send rates within this time are waited out, counted from the
    /// arrival of the request. With zero, a request does not wait for a better endpoint.
    pub fn prefer_wait(mut self, wait: Duration) -> Self {
        self.config.prefer_wait = wait;
        self
    }

    /// Sets whether the balancer learns send rates from refusals. Defaults to `true`.
    ///
    /// `false` applies to all endpoints. For a single endpoint, use
    /// [`Endpoint::learned_rate`]. Cooldowns remain in both cases.
    pub fn learned_rates(mut self, learned: bool) -> Self {
        self.config.learned_rates = learned;
        self
    }

    /// Sets the seed of random numbers, for repeatable runs. They serve only to draw two of many
    /// endpoints (P2C). Defaults to a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Counts an attempt as a timeout if it is dropped before its head, but after `wait`. Off by
    /// default, because most dropped attempts are no evidence about an endpoint.
    ///
    /// For stacks with an outer timeout.
    pub fn abandoned_after(mut self, wait: Duration) -> Self {
        self.config.abandoned_after = Some(wait);
        self
    }

    /// Adds layers between the balancer and its client, created per endpoint: a concurrency limit,
    /// a timeout, metrics. The closure must be fast, because the first requests after a change of
    /// the endpoints wait for it.
    ///
    /// ```
    /// use steadfast_balance::{Endpoint, EndpointBalanceLayer};
    /// use tower::limit::ConcurrencyLimitLayer;
    ///
    /// let layer = EndpointBalanceLayer::builder()
    ///     .endpoint(Endpoint::new("primary", "https://api.example.com")?)
    ///     .endpoint_layer(|_endpoint| ConcurrencyLimitLayer::new(100))
    ///     .build()?;
    /// # Ok::<(), steadfast_core::InvalidConfig>(())
    /// ```
    pub fn endpoint_layer<G, L>(self, make: G) -> EndpointBalanceBuilder<MakeLayerFn<G>>
    where
        G: Fn(&Endpoint) -> L,
    {
        self.endpoint_layer_by(MakeLayerFn(make))
    }

    /// Adds layers between the balancer and its client, with a type that can be named.
    pub fn endpoint_layer_by<T: MakeEndpointLayer>(self, make: T) -> EndpointBalanceBuilder<T> {
        EndpointBalanceBuilder {
            endpoints: self.endpoints,
            config: self.config,
            endpoint_layer: make,
        }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if there is no endpoint, if two endpoints have the
    /// same name, or if a value is invalid.
    pub fn build(self) -> Result<EndpointBalanceLayer<F>, InvalidConfig> {
        if self.endpoints.is_empty() {
            let reason = "at least one is required";
            return Err(InvalidConfig::new("endpoint", 0, reason));
        }
        self.build_empty()
    }

    /// Builds the layer as [`build`](Self::build) does, but accepts an empty pool. Endpoints are
    /// [added](crate::PoolHandle::add) later. Until then each request fails as exhausted.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if two endpoints have the same name, or if a value is
    /// invalid.
    pub fn build_empty(self) -> Result<EndpointBalanceLayer<F>, InvalidConfig> {
        let mut config = self.config;
        let root = &mut config.request_root;
        root.truncate(root.trim_end_matches('/').len());
        if !root.is_empty() && !root.starts_with('/') {
            let reason = "must begin with a slash";
            return Err(InvalidConfig::new("request_root", root, reason));
        }
        let pool = Pool::new(PoolContext::new(config), self.endpoints)?;
        Ok(EndpointBalanceLayer::new(pool, self.endpoint_layer))
    }
}

impl<F> fmt::Debug for EndpointBalanceBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBalanceBuilder")
            .field("endpoints", &self.endpoints)
            .field("when_exhausted", &self.config.when_exhausted)
            .field("max_wait", &self.config.max_wait)
            .field("overload_wait", &self.config.overload_wait())
            .field("probe_wait", &self.config.probe_wait)
            .field("prefer_wait", &self.config.prefer_wait)
            .field("abandoned_after", &self.config.abandoned_after)
            .field("learned_rates", &self.config.learned_rates)
            .field("request_root", &self.config.request_root)
            .field("seed", &self.config.seed)
            .finish_non_exhaustive()
    }
}
