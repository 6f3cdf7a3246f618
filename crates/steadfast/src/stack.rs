use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body::Body;
use steadfast_balance::{
    Endpoint, EndpointBalanceBuilder, EndpointBalanceLayer, EndpointStatus, Pick, PoolHandle,
};
use steadfast_core::{BoxError, EndpointName, InvalidConfig, Observer, Observers};
use steadfast_hedge::HedgeLayer;
use steadfast_metrics::{EventMetrics, MetricsLayer, Snapshot};
use steadfast_retry::{RetryOn429Layer, RetryOverride};
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower_layer::Layer;
use tower_service::Service;

use crate::body::{AnyBody, RequestBody, ResponseBody};
use crate::edge::EdgeLayer;
use crate::prepare::{Prepare, Rules};
use crate::timeouts::Timeouts;

type Inner = BoxCloneSyncService<Request<AnyBody>, Response<ResponseBody>, BoxError>;

/// All layers assembled for AI APIs, over an HTTP client.
///
/// Clones share everything: endpoints, budget, metrics and connections. See the
/// [crate docs](crate) for an example and for what happens to a request.
#[derive(Clone)]
pub struct AiStack {
    inner: Inner,
    metrics: MetricsLayer,
    endpoints: PoolHandle,
}

/// Configures an [`AiStack`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AiStackBuilder {
    balance: EndpointBalanceBuilder,
    /// Where requests stay that mean something at one endpoint only.
    home: Option<EndpointName>,
    hedge: Option<HedgeLayer>,
    timeouts: Timeouts,
    retry: RetryOn429Layer,
    deadline: Option<Duration>,
    observers: Observers,
}

// ===== impl AiStack =====

impl AiStack {
    /// Begins a stack without endpoints, with the defaults of each layer.
    pub fn builder() -> AiStackBuilder {
        AiStackBuilder {
            balance: EndpointBalanceLayer::builder().request_root("/v1"),
            home: None,
            hedge: None,
            timeouts: Timeouts::DEFAULT,
            retry: RetryOn429Layer::new(),
            deadline: None,
            observers: Observers::new(),
        }
    }

    /// Sends a request. Its URI needs a path only, such as `/v1/chat/completions`.
    ///
    /// # Errors
    ///
    /// Returns an error if no endpoint gave an answer that could be passed on:
    /// [`Exhausted`](steadfast_core::Exhausted), or the error of a lone attempt.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future ends the attempt that is under way and gives back all that was
    /// reserved.
    pub async fn send<B>(&self, request: Request<B>) -> Result<Response<ResponseBody>, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.inner.clone().oneshot(request.map(AnyBody::new)).await
    }

    /// Returns the numbers of all requests so far.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.metrics.snapshot()
    }

    /// Returns a handle that reads the state of the endpoints and changes them while requests run.
    #[must_use]
    pub fn endpoints(&self) -> &PoolHandle {
        &self.endpoints
    }

    /// Returns the state of the endpoints, in the order of the configuration.
    #[must_use]
    pub fn status(&self) -> Vec<EndpointStatus> {
        self.endpoints.status()
    }
}

impl<B> Service<Request<B>> for AiStack
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody>;
    type Error = BoxError;
    type Future = <Inner as Service<Request<AnyBody>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.inner.call(request.map(AnyBody::new))
    }
}

impl fmt::Debug for AiStack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AiStack")
            .field("endpoints", &self.endpoints)
            .finish_non_exhaustive()
    }
}

// ===== impl AiStackBuilder =====

impl AiStackBuilder {
    /// Adds an endpoint. Within a tier their order counts.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.home.get_or_insert_with(|| endpoint.name().clone());
        self.balance(|balance| balance.endpoint(endpoint))
    }

    /// Adds endpoints.
    pub fn endpoints(self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        endpoints.into_iter().fold(self, Self::endpoint)
    }

    /// Sets which of several endpoints takes a request.
    pub fn strategy(self, strategy: impl Pick + 'static) -> Self {
        self.balance(|balance| balance.strategy(strategy))
    }

    /// Changes other settings of the balancer: what becomes of a request that no endpoint can take,
    /// how long one waits for its turn or for a better tier, what the path of a request begins with
    /// (`/v1`).
    ///
    /// ```
    /// use std::time::Duration;
    /// use steadfast::{AiStack, WhenExhausted};
    ///
    /// let builder = AiStack::builder().balance(|balance| {
    ///     balance.when_exhausted(WhenExhausted::Wait).max_wait(Duration::from_secs(10))
    /// });
    /// # let _ = builder;
    /// ```
    ///
    /// Endpoints are added with [`endpoint`](Self::endpoint).
    pub fn balance(
        mut self,
        change: impl FnOnce(EndpointBalanceBuilder) -> EndpointBalanceBuilder,
    ) -> Self {
        self.balance = change(self.balance);
        self
    }

    /// Sends requests that take longer than most to a second endpoint as well. Off if not set.
    ///
    /// Chat completions, completions, embeddings, messages, and responses without stored state may
    /// be sent so, and others if their method is idempotent or a
    /// [`RetryOverride`] calls them safe. Each such attempt is billed.
    pub fn hedge(mut self, hedge: HedgeLayer) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Sets how long the parts of an attempt may take.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Replaces the retry layer. Chat completions, completions, embeddings, messages, and
    /// responses without stored state are repeated whatever it says of other methods.
    pub fn retry(mut self, retry: RetryOn429Layer) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how long a request may take until its stream begins or its whole answer ends, with all
    /// attempts and waits, if it has no [`Deadline`](steadfast_core::Deadline) of its own. None by
    /// default.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Adds an observer, which is told of all events.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Builds the stack over a client of its own.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is configured wrongly.
    #[cfg(feature = "client")]
    pub fn build(self) -> Result<AiStack, InvalidConfig> {
        self.timeouts.validate()?;
        let client = crate::client::default_client(&self.timeouts);
        self.build_on(client)
    }

    /// Builds the stack over any HTTP client that does not follow redirects.
    ///
    /// A client whose body type is its own takes a `map_request` from [`RequestBody`]; one whose
    /// response body is not `Unpin` a `map_response` with `Box::pin`.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is configured wrongly.
    pub fn build_on<C, ResBody>(self, client: C) -> Result<AiStack, InvalidConfig>
    where
        C: Service<Request<RequestBody>, Response = Response<ResBody>>,
        C: Clone + Send + Sync + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        ResBody: Body<Data = Bytes> + Unpin + Send + 'static,
        ResBody::Error: Into<BoxError>,
    {
        self.timeouts.validate()?;
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return Err(InvalidConfig::new(
                "deadline",
                "0s",
                "must be longer than zero",
            ));
        }
        let mut observers = self.observers;
        observers.add(EventMetrics::new());
        let edge = EdgeLayer {
            timeouts: self.timeouts,
        };
        let balance = self
            .balance
            .observers(&observers)
            .endpoint_layer(move |endpoint: &Endpoint| {
                (MetricsLayer::attempts(endpoint.name().clone()), edge)
            })
            .build()?;
        let endpoints = balance.handle();
        let rules = Rules {
            home: self.home.ok_or_else(no_endpoint)?,
            endpoints: endpoints.clone(),
            deadline: self.deadline,
            replay_limit: self.retry.get_replay_limit(),
        };
        let retry = self.retry.prepared_body().observers(&observers);
        let metrics = MetricsLayer::requests();
        let balance = balance.layer(client);
        let inner = match self.hedge {
            Some(hedge) => {
                let hedge = hedge.copy_body(RequestBody::try_clone).safe_if(is_safe);
                finish(retry.layer(hedge.layer(balance)), rules, &metrics)
            }
            None => finish(retry.layer(balance), rules, &metrics),
        };
        Ok(AiStack {
            inner,
            metrics,
            endpoints,
        })
    }
}

/// Puts the outer layers around the others.
fn finish<S, ResBody>(service: S, rules: Rules, metrics: &MetricsLayer) -> Inner
where
    S: Service<Request<RequestBody>, Response = Response<ResBody>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    let prepare = Prepare {
        inner: service,
        rules,
    };
    let service = metrics.layer(prepare);
    let service = service.map_response(|response: Response<_>| response.map(ResponseBody::new));
    BoxCloneSyncService::new(service)
}

/// Whether a request may be sent twice. What it is about has been looked at before.
fn is_safe(head: &Parts) -> bool {
    let said = RetryOverride::of(&head.extensions).is_safe();
    said.unwrap_or_else(|| head.method.is_idempotent())
}

fn no_endpoint() -> InvalidConfig {
    InvalidConfig::new("endpoint", 0, "must be there at least once")
}
