//! The builder of a stack: settings, validation, and the order of the layers.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use steadfast_balance::{Credential, Endpoint, EndpointBalanceBuilder, EndpointBalanceLayer, Pick};
use steadfast_core::layer::Observers;
use steadfast_core::{BoxError, EndpointName, InvalidConfig, Observer};
use steadfast_metrics::{EventMetrics, MetricsLayer};
use steadfast_retry::RetryOn429Layer;
use tower::util::{BoxCloneSyncService, ServiceExt};
use tower_layer::Layer;
use tower_service::Service;

use crate::answers::{Answers, StreamMode};
use crate::body::{RequestBody, ResponseBody};
use crate::edge::{EdgeLayer, Memory, Settings, Shared};
use crate::format::Format;
use crate::hedging::{Hedging, hedged};
use crate::keep_alive::KeepAlive;
use crate::operation::API_ROOT;
use crate::prepare::{Prepare, Rules};
use crate::rejection::into_response;
use crate::routing::{RouteLayer, Routing};
use crate::stack::{AiStack, Inner};
use crate::timeouts::Timeouts;
use crate::tokens::{TokenLayer, TokenSource, Tokens};

/// Configures an [`AiStack`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AiStackBuilder {
    /// The endpoints and their pool.
    balance: EndpointBalanceBuilder,
    /// The tokens of endpoints that have a source.
    tokens: HashMap<EndpointName, Arc<Tokens>>,
    /// The hedging layer, if one is set.
    hedge: Option<Hedging>,
    /// The timeouts of each attempt.
    timeouts: Timeouts,
    /// The check of answers.
    answers: Answers,
    /// When streams are passed on.
    streams: StreamMode,
    /// The retry layer, with the safe operations added at `build`.
    retry: RetryOn429Layer,
    /// The catalogue of models and the routes.
    routing: Routing,
    /// The deadline of requests without one.
    deadline: Option<Duration>,
    /// Whether a header of the client sets the deadline.
    caller_timeouts: bool,
    /// Notified by the layers of the stack.
    observers: Observers,
}

impl AiStack {
    /// Creates a builder without endpoints, with the defaults of each layer.
    pub fn builder() -> AiStackBuilder {
        AiStackBuilder {
            balance: EndpointBalanceLayer::builder().request_root(API_ROOT),
            tokens: HashMap::new(),
            hedge: None,
            timeouts: Timeouts::DEFAULT,
            answers: Answers::Checked,
            streams: StreamMode::Direct,
            retry: RetryOn429Layer::new(),
            routing: Routing::default(),
            deadline: None,
            caller_timeouts: false,
            observers: Observers::new(),
        }
    }
}

impl AiStackBuilder {
    /// Adds an endpoint. A request that names stored state goes to the endpoint that created it, or
    /// to the first one that takes its format.
    ///
    /// A request goes to endpoints that take its [format](Endpoint::formats): `chat_completions`,
    /// `completions`, `embeddings`, `generate_content`, `messages` or `responses`, by its path.
    /// Nothing is translated. If no endpoint takes it, the answer is a `404` with the formats of
    /// the endpoints.
    pub fn endpoint(self, endpoint: Endpoint) -> Self {
        self.balance(|balance| balance.endpoint(endpoint))
    }

    /// Adds endpoints.
    pub fn endpoints(self, endpoints: impl IntoIterator<Item = Endpoint>) -> Self {
        endpoints.into_iter().fold(self, Self::endpoint)
    }

    /// Adds an endpoint with tokens that expire, such as the ones of Vertex AI.
    ///
    /// A token is renewed before it expires and after a `401`, once at a time. The request that got
    /// the `401` is sent again, if its body is in memory. Health checks renew nothing: they send
    /// the present token, or none. A `401` is no evidence about health.
    pub fn endpoint_with_tokens(mut self, endpoint: Endpoint, source: impl TokenSource) -> Self {
        let tokens = Arc::new(Tokens::new(source));
        self.tokens.insert(endpoint.name().clone(), tokens.clone());
        // Each attempt replaces it. With a credential of its own, a rejection fails over.
        let placeholder = Credential::bearer("token-source").expect("it is visible ASCII text");
        let placeholder = placeholder.changing(move || tokens.present());
        self.endpoint(endpoint.api_key(placeholder))
    }

    /// Sets the strategy that selects the endpoint of an attempt. Defaults to failover.
    pub fn strategy(self, strategy: impl Pick + 'static) -> Self {
        self.balance(|balance| balance.strategy(strategy))
    }

    /// Changes other settings of the balancer, such as the result for exhausted requests, the bound
    /// of waits, and the request root. The request root defaults to `/v1`.
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
    /// Endpoints that `change` adds equal the ones of [`endpoint`](Self::endpoint).
    pub fn balance(
        mut self,
        change: impl FnOnce(EndpointBalanceBuilder) -> EndpointBalanceBuilder,
    ) -> Self {
        self.balance = change(self.balance);
        self
    }

    /// Sends slow requests to a second endpoint as well. Defaults to off.
    ///
    /// Applies to operations that generate something, unless they name stored state. Other requests
    /// need an idempotent method, or a [`RetryOverride`](steadfast_retry::RetryOverride) that marks
    /// them as safe. Each attempt is billed.
    #[cfg(feature = "hedge")]
    pub fn hedge(mut self, hedge: Hedging) -> Self {
        self.hedge = Some(hedge);
        self
    }

    /// Sets the limits of an attempt. Defaults to [`Timeouts::DEFAULT`].
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// Sets whether successful answers are checked before they are returned. Defaults to
    /// [`Answers::Checked`].
    pub fn answers(mut self, answers: Answers) -> Self {
        self.answers = answers;
        self
    }

    /// Sets when streams are passed on. Defaults to [`StreamMode::Direct`].
    ///
    /// The extension [`StreamMode`] of a request takes precedence.
    pub fn stream_mode(mut self, mode: StreamMode) -> Self {
        self.streams = mode;
        self
    }

    /// Replaces the retry layer.
    ///
    /// Operations that generate something are safe to repeat under any retry layer, unless they
    /// name stored state: completions, embeddings, messages, responses, audio, images, moderations,
    /// rerank.
    pub fn retry(mut self, retry: RetryOn429Layer) -> Self {
        self.retry = retry;
        self
    }

    /// Checks the models of requests before they are sent. Defaults to off.
    ///
    /// A request for an unknown model is answered with `404`, with the nearest names. A request
    /// beyond the limits of its model is answered with `400`, or goes only to the targets of its
    /// [route](Self::route) that it fits. Chat completions, completions, embeddings, messages and
    /// responses are checked. The estimated tokens of a request become
    /// [`RoutingOptions::estimated_tokens`](steadfast_core::RoutingOptions::estimated_tokens).
    #[cfg(feature = "models")]
    #[cfg_attr(docsrs, doc(cfg(feature = "models")))]
    pub fn catalogue(mut self, catalogue: steadfast_models::Catalogue) -> Self {
        self.routing.catalogue = Some(Arc::new(catalogue));
        self
    }

    /// Sends a model to the endpoints that have it, under their names. Further calls add routes.
    ///
    /// ```
    /// use steadfast::models::{Route, Target};
    /// use steadfast::{AiStack, Endpoint};
    ///
    /// let ai = AiStack::builder()
    ///     .endpoint(Endpoint::new("primary", "http://127.0.0.1:9001/v1")?)
    ///     .endpoint(Endpoint::new("relay", "http://127.0.0.1:9002/v1")?)
    ///     .route(
    ///         Route::new("gpt-4.1")
    ///             .alias("smart")
    ///             .to("primary", "gpt-4.1")
    ///             .target(Target::new("relay", "openai/gpt-4.1").tier(1)),
    ///     )
    ///     .build()?;
    /// # Ok::<(), steadfast::InvalidConfig>(())
    /// ```
    ///
    /// The name is written in JSON bodies, in forms, and in paths that contain a model. All other
    /// bytes stay. The body must be in memory: in one piece, or within the replay limit. A model
    /// without a route goes to every endpoint as it is. `GET /v1/models` returns the names of the
    /// routes and the models of all endpoints.
    #[cfg(feature = "models")]
    #[cfg_attr(docsrs, doc(cfg(feature = "models")))]
    pub fn route(mut self, route: steadfast_models::Route) -> Self {
        self.routing.routes.push(route);
        self
    }

    /// Sets the time until a stream begins or a whole answer ends, with all attempts and waits.
    ///
    /// Applies to requests without a [`Deadline`](steadfast_core::Deadline). Defaults to the one of
    /// the
    /// [`Timeouts`].
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// Sets whether the time in the header `x-stainless-read-timeout` ends a request, if that is
    /// sooner than the [`deadline`](Self::deadline). Defaults to off.
    ///
    /// The SDKs of OpenAI and Anthropic send their own timeout in it. After that time they leave,
    /// or send the request again.
    pub fn caller_timeouts(mut self, apply: bool) -> Self {
        self.caller_timeouts = apply;
        self
    }

    /// Adds an observer of all events.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.observers.add(observer);
        self
    }

    /// Builds the stack over a new [`DefaultClient`](crate::DefaultClient).
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a value is invalid.
    #[cfg(feature = "client")]
    pub fn build(self) -> Result<AiStack, InvalidConfig> {
        self.timeouts.validate()?;
        let client = crate::DefaultClient::new(&self.timeouts);
        self.build_on(client)
    }

    /// Builds the stack over any HTTP client that does not follow redirects.
    ///
    /// If the client has its own body type, convert [`RequestBody`] with `map_request`. If its
    /// response body is not `Unpin`, use `map_response` with `Box::pin`.
    ///
    /// To change the classification, put a [`ClassifyLayer`](steadfast_core::ClassifyLayer) around
    /// `client`. Its verdicts on errors are final, as are classes that differ from the default
    /// classification. The stack refines other failures by the body of the response.
    ///
    /// Enable the feature `hyper-errors` for a client on top of hyper. Otherwise a failed connect
    /// other than a refused one is `Transport`, so it may have been processed and an unsafe request
    /// is not repeated.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a value is invalid.
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
        // Callers choose the models of requests, so only configured ones are labels.
        observers.add(EventMetrics::new().keys(self.routing.models()));
        let of_edge = Shared {
            timeouts: self.timeouts,
            answers: self.answers,
            streams: self.streams,
            observers: observers.clone(),
            memory: Memory::default(),
        };
        let tokens = self.tokens;
        let balance = self
            .balance
            .map_endpoints(|endpoint| self.routing.add_aliases(endpoint))
            .observers(&observers)
            .endpoint_layer(move |endpoint: &Endpoint| {
                let settings = Arc::new(Settings::new(endpoint, of_edge.clone()));
                let metrics = MetricsLayer::attempts(endpoint.name().clone());
                let tokens = TokenLayer(tokens_of(&tokens, endpoint));
                let route = RouteLayer::new(endpoint.name().clone());
                (metrics, EdgeLayer { settings }, tokens, route)
            })
            .build()?;
        let endpoints = balance.handle();
        Format::check(&endpoints)?;
        let retry = self
            .retry
            .mark_final(true)
            .prepared_body()
            .observers(&observers);
        let routing = self.routing.build(&endpoints)?;
        let rules = Arc::new(Rules {
            routing: routing.clone(),
            home: endpoints.first(),
            homes: Arc::default(),
            endpoints: endpoints.clone(),
            deadline: self.deadline.or(self.timeouts.deadline),
            caller_timeouts: self.caller_timeouts,
            replay_limit: retry.replay_limit(),
            hedges: self.hedge.is_some(),
        });
        let metrics = MetricsLayer::requests();
        let balance = balance.layer(client);
        let outer = (&metrics, self.streams);
        let inner = match self.hedge {
            Some(hedge) => finish(retry.layer(hedged(hedge, balance)), rules, outer),
            None => finish(retry.layer(balance), rules, outer),
        };
        let inner = routing.wrap(inner, endpoints.clone());
        Ok(AiStack::new(inner, metrics, endpoints))
    }
}

/// Returns the tokens of an endpoint, or of the endpoint whose name led to its address.
fn tokens_of(
    tokens: &HashMap<EndpointName, Arc<Tokens>>,
    endpoint: &Endpoint,
) -> Option<Arc<Tokens>> {
    let name = endpoint.name();
    let found = tokens.get(name).or_else(|| {
        let (name, _) = name.as_str().rsplit_once('@')?;
        tokens.get(&EndpointName::from(name))
    });
    found.cloned()
}

/// Adds the outer layers.
fn finish<S, ResBody>(
    service: S,
    rules: Arc<Rules>,
    (metrics, streams): (&MetricsLayer, StreamMode),
) -> Inner
where
    S: Service<Request<RequestBody>, Response = Response<ResBody>, Error = BoxError>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
    ResBody: Body<Data = Bytes> + Send + 'static,
    ResBody::Error: Into<BoxError>,
{
    let endpoints = rules.endpoints.clone();
    let prepare = Prepare {
        inner: service,
        rules,
    };
    let service = metrics.layer(prepare);
    let service = service.map_result(|outcome: Result<Response<_>, _>| match outcome {
        Ok(response) => Ok(response.map(ResponseBody::new)),
        Err(error) => into_response(error),
    });
    // Above the metrics: the head of a slow stream is not yet the outcome of its request.
    let service = KeepAlive {
        inner: service,
        endpoints,
        streams,
    };
    BoxCloneSyncService::new(service)
}
