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
    endpoints: Vec<Endpoint>,
    config: PoolConfig,
    endpoint_layer: F,
}

impl EndpointBalanceLayer {
    /// Begins a balancer without endpoints, with [`Strategy::Failover`](crate::Strategy::Failover).
    pub fn builder() -> EndpointBalanceBuilder {
        EndpointBalanceBuilder {
            endpoints: Vec::new(),
            config: PoolConfig::default(),
            endpoint_layer: NoEndpointLayer(()),
        }
    }
}

impl<F> EndpointBalanceBuilder<F> {
    /// Adds an endpoint. Within a tier their order counts.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// Adds endpoints.
    pub fn endpoints(mut self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        self.endpoints.extend(endpoints);
        self
    }

    /// Sets which of several endpoints takes a request.
    ///
    /// A [`Strategy`](crate::Strategy), a [`Scored`](crate::Scored) with a mix of its own, or any
    /// other [`Pick`].
    pub fn strategy(mut self, strategy: impl Pick + 'static) -> Self {
        self.config.strategy = Arc::new(strategy);
        self
    }

    /// Adds an observer, which is told of breakers, cooldowns, failovers and an exhausted pool.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.config.observers.add(observer);
        self
    }

    /// Adds observers.
    pub fn observers(mut self, observers: &Observers) -> Self {
        self.config.observers.extend(observers);
        self
    }

    /// Sets the start of the caller's paths that the base path of the endpoint replaces, such as
    /// `/v1`. A path that does not begin with it is put behind the base path as it is.
    pub fn request_root(mut self, root: impl Into<String>) -> Self {
        self.config.request_root = root.into();
        self
    }

    /// Sets what becomes of a request that no endpoint can take, [`WhenExhausted::Fail`] if not
    /// set.
    pub fn when_exhausted(mut self, when_exhausted: WhenExhausted) -> Self {
        self.config.when_exhausted = when_exhausted;
        self
    }

    /// Sets how long a request waits for its turn at most that has no
    /// [`Deadline`](steadfast_core::Deadline), or with [`WhenExhausted::Wait`] any request,
    /// [`DEFAULT_MAX_WAIT`](EndpointBalanceLayer::DEFAULT_MAX_WAIT) if not set. With zero no request
    /// waits.
    ///
    /// One that has a deadline waits until an answer would probably come too late, and is refused
    /// at once if its turn would be later than that.
    pub fn max_wait(mut self, max_wait: Duration) -> Self {
        self.config.max_wait = max_wait;
        self
    }

    /// Sets the longest wait for a better endpoint before a request moves to a
    /// [degraded](Endpoint::degraded) one. Defaults to
    /// [`DEFAULT_PREFER_WAIT`](EndpointBalanceLayer::DEFAULT_PREFER_WAIT).
    ///
    /// Hints, cooldowns and send rates within this time are waited out, counted from the first
    /// attempt. With zero, a request does not wait for a better endpoint.
    pub fn prefer_wait(mut self, wait: Duration) -> Self {
        self.config.prefer_wait = wait;
        self
    }

    /// Sets where its random numbers begin, for a run that can be repeated. They are used only to
    /// draw two endpoints of many.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Counts an attempt whose caller left after more than `wait` without an answer as a timeout
    /// of its endpoint, for a stack with a timeout of its own outside. Off by default: a caller
    /// who leaves says nothing about an endpoint.
    pub fn abandoned_after(mut self, wait: Duration) -> Self {
        self.config.abandoned_after = Some(wait);
        self
    }

    /// Puts layers between the balancer and its client, made for each endpoint: a limit of its
    /// own, a timeout, metrics. To make them should be quick: the first requests after a change of
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

    /// Puts layers between the balancer and its client, by a type that can be named.
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
    /// Returns an error that names the field if there is no endpoint, if two have the same name, or
    /// if something is misconfigured.
    pub fn build(self) -> Result<EndpointBalanceLayer<F>, InvalidConfig> {
        if self.endpoints.is_empty() {
            let reason = "must be there at least once";
            return Err(InvalidConfig::new("endpoint", 0, reason));
        }
        self.build_empty()
    }

    /// Builds the layer as [`build`](Self::build) does, but also without any endpoint: they are
    /// [added](PoolHandle::add) later. Until then each request ends as exhausted.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if two endpoints have the same name, or if something
    /// is misconfigured.
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
            .finish_non_exhaustive()
    }
}
