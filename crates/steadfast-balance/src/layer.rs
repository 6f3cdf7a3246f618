use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::{Classify, DefaultClassifier, InvalidConfig, Observer, Observers};
use tokio::time::Instant;
use tower_layer::{Identity, Layer};

use crate::endpoint::Endpoint;
use crate::member::Member;
use crate::pool::Pool;
use crate::service::EndpointBalance;
use crate::status::PoolHandle;
use crate::strategy::Strategy;

/// Applies [`EndpointBalance`] to a service.
///
/// Services made by one layer share the state of its endpoints. See the [crate docs](crate) for
/// an example.
#[derive(Clone)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct EndpointBalanceLayer<F = Plain> {
    pool: Arc<Pool>,
    endpoint_layer: F,
}

/// Configures an [`EndpointBalanceLayer`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct EndpointBalanceBuilder<F = Plain> {
    endpoints: Vec<Endpoint>,
    strategy: Strategy,
    classifier: Arc<dyn Classify + Send + Sync>,
    observers: Observers,
    request_root: String,
    abandoned_after: Option<Duration>,
    endpoint_layer: F,
}

/// Makes the layer that stands between the balancer and the client of one endpoint.
pub trait MakeEndpointLayer {
    /// The layer.
    type Layer;

    /// Makes it. Called once for each endpoint; requests share what it makes.
    fn make_layer(&self, endpoint: &Endpoint) -> Self::Layer;
}

/// Puts no layer between the balancer and its client.
#[derive(Clone, Copy, Debug)]
pub struct Plain(());

/// Makes endpoint layers with a closure.
#[derive(Clone, Copy)]
pub struct MakeLayerFn<F>(F);

// ===== impl EndpointBalanceLayer =====

impl EndpointBalanceLayer {
    /// Begins a balancer without endpoints, with [`Strategy::Failover`].
    pub fn builder() -> EndpointBalanceBuilder {
        EndpointBalanceBuilder {
            endpoints: Vec::new(),
            strategy: Strategy::default(),
            classifier: Arc::new(DefaultClassifier),
            observers: Observers::new(),
            request_root: String::new(),
            abandoned_after: None,
            endpoint_layer: Plain(()),
        }
    }
}

impl<F> EndpointBalanceLayer<F> {
    /// Returns a handle on the state of the endpoints.
    #[must_use]
    pub fn handle(&self) -> PoolHandle {
        PoolHandle::new(self.pool.clone())
    }
}

impl<F, S> Layer<S> for EndpointBalanceLayer<F>
where
    F: MakeEndpointLayer<Layer: Layer<S>>,
    S: Clone,
{
    type Service = EndpointBalance<<F::Layer as Layer<S>>::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        let make = |member: &Member| {
            let layer = self.endpoint_layer.make_layer(&member.endpoint);
            layer.layer(inner.clone())
        };
        EndpointBalance::new(
            self.pool.clone(),
            self.pool.members.iter().map(make).collect(),
        )
    }
}

impl<F> fmt::Debug for EndpointBalanceLayer<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBalanceLayer")
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

// ===== impl EndpointBalanceBuilder =====

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
    pub fn strategy(mut self, strategy: Strategy) -> Self {
        self.strategy = strategy;
        self
    }

    /// Replaces the classifier.
    pub fn classifier(mut self, classifier: impl Classify + Send + Sync + 'static) -> Self {
        self.classifier = Arc::new(classifier);
        self
    }

    /// Adds an observer, which is told of breakers, cooldowns, failovers and an exhausted pool.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Adds observers.
    pub fn observers(mut self, observers: &Observers) -> Self {
        self.observers.extend(observers);
        self
    }

    /// Sets the start of the caller's paths that the base path of the endpoint replaces, such as
    /// `/v1`. A path that does not begin with it is put behind the base path as it is.
    pub fn request_root(mut self, root: impl Into<String>) -> Self {
        self.request_root = root.into();
        self
    }

    /// Counts an attempt whose caller left after more than `wait` without an answer as a timeout
    /// of its endpoint, for a stack with a timeout of its own outside. Off by default: a caller
    /// who leaves says nothing about an endpoint.
    pub fn abandoned_after(mut self, wait: Duration) -> Self {
        self.abandoned_after = Some(wait);
        self
    }

    /// Puts layers between the balancer and its client, made for each endpoint: a limit of its
    /// own, a timeout, metrics.
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
        EndpointBalanceBuilder {
            endpoints: self.endpoints,
            strategy: self.strategy,
            classifier: self.classifier,
            observers: self.observers,
            request_root: self.request_root,
            abandoned_after: self.abandoned_after,
            endpoint_layer: MakeLayerFn(make),
        }
    }

    /// Builds the layer.
    ///
    /// # Errors
    ///
    /// Returns an error if there is no endpoint, if two have the same name, if the request root is
    /// no path, or if the breaker of an endpoint is misconfigured.
    pub fn build(self) -> Result<EndpointBalanceLayer<F>, InvalidConfig> {
        if self.endpoints.is_empty() {
            return Err(InvalidConfig::new(
                "endpoint",
                0,
                "must be there at least once",
            ));
        }
        for (n, endpoint) in self.endpoints.iter().enumerate() {
            if self.endpoints[..n]
                .iter()
                .any(|other| other.name == endpoint.name)
            {
                let reason = "must be different for each endpoint";
                return Err(InvalidConfig::new(
                    format!("endpoint[{n}].name"),
                    &endpoint.name,
                    reason,
                ));
            }
        }
        let root = self.request_root.trim_end_matches('/').to_owned();
        if !root.is_empty() && !root.starts_with('/') {
            return Err(InvalidConfig::new(
                "request_root",
                root,
                "must begin with a slash",
            ));
        }
        let members = self
            .endpoints
            .into_iter()
            .map(|endpoint| Member::new(endpoint, &self.observers))
            .collect::<Result<_, _>>()?;
        Ok(EndpointBalanceLayer {
            pool: Arc::new(Pool {
                members,
                strategy: self.strategy,
                classifier: self.classifier,
                observers: self.observers,
                request_root: root,
                abandoned_after: self.abandoned_after,
                start: Instant::now(),
            }),
            endpoint_layer: self.endpoint_layer,
        })
    }
}

impl<F> fmt::Debug for EndpointBalanceBuilder<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBalanceBuilder")
            .field("endpoints", &self.endpoints)
            .field("strategy", &self.strategy)
            .finish_non_exhaustive()
    }
}

// ===== impl MakeEndpointLayer =====

impl MakeEndpointLayer for Plain {
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
