//! The settings of health checks, and the handle of their task.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode};
use http_body::Body;
use steadfast_core::layer::{leaves_root, verdict_of};
use steadfast_core::{BoxError, InvalidConfig};
use tokio::task::JoinHandle;
use tower_service::Service;

use crate::endpoint::Endpoint;
use crate::health::checker::Checker;
use crate::health::outcome::{Check, Checking, MakeCheck, Outcome};
use crate::health::request::RequestCheck;
use crate::health::schedule::Schedule;
use crate::pool::handle::PoolHandle;

/// Checks the health of endpoints at an interval, independently of requests.
///
/// The guide `docs/balancer.md` of the repository lists the effects of a check.
///
/// ```
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use std::time::Duration;
/// use steadfast_balance::{Endpoint, EndpointBalanceLayer, HealthCheck};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// // Stands for an HTTP client.
/// let client = tower::service_fn(async |request: Request<String>| {
///     assert_eq!(request.uri(), "https://api.example.com/v1/models");
///     Ok::<_, Infallible>(Response::new(String::from("{}")))
/// });
///
/// let layer = EndpointBalanceLayer::builder()
///     .endpoint(Endpoint::new("primary", "https://api.example.com/v1")?)
///     .build()?;
/// let pool = layer.handle();
/// let checks = HealthCheck::new().interval(Duration::from_secs(30)).start(&pool, client)?;
///
/// tokio::time::sleep(Duration::from_secs(30)).await;
/// assert!(pool.status()[0].checked.is_some());
/// drop(checks); // stops them
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use = "a health check does nothing until it is started"]
pub struct HealthCheck {
    /// The times and thresholds.
    schedule: Schedule,
    /// The path of the request.
    path: String,
    /// The expected status. `None` accepts every success.
    status: Option<StatusCode>,
    /// The seed of jitter, for repeatable runs.
    seed: Option<u64>,
}

/// A handle of running health checks. Dropping it stops them and drops each check in progress.
#[must_use = "dropping it stops the checks"]
pub struct HealthChecks(JoinHandle<()>);

// ===== impl HealthCheck =====

impl HealthCheck {
    /// The default time between two checks of an endpoint.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
    /// The default time limit of a check.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
    /// The default share by which the interval varies.
    ///
    /// With it, instances that start together soon drift apart.
    pub const DEFAULT_JITTER: f64 = 0.1;
    /// The default number of consecutive successes that end a bench.
    ///
    /// One is enough, because the next attempt is a second test of the endpoint.
    pub const DEFAULT_HEALTHY: u32 = 1;
    /// The default number of consecutive failures that open a closed breaker.
    pub const DEFAULT_UNHEALTHY: u32 = 3;
    /// The default path of a check, behind the base of the endpoint.
    ///
    /// A request for the list of models is free of charge.
    pub const DEFAULT_PATH: &str = "/models";

    /// Creates a check with the defaults above.
    pub fn new() -> Self {
        Self {
            schedule: Schedule {
                interval: Self::DEFAULT_INTERVAL,
                timeout: Self::DEFAULT_TIMEOUT,
                jitter: Self::DEFAULT_JITTER,
                healthy: Self::DEFAULT_HEALTHY,
                unhealthy: Self::DEFAULT_UNHEALTHY,
            },
            path: Self::DEFAULT_PATH.to_owned(),
            status: None,
            seed: None,
        }
    }

    /// Sets the time from the start of one check of an endpoint to the start of the next.
    ///
    /// Defaults to 10 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.schedule.interval = interval;
        self
    }

    /// Sets the time limit of a check, up to the end of the response. Defaults to 2 s.
    ///
    /// If a check exceeds the limit, it fails.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.schedule.timeout = timeout;
        self
    }

    /// Sets the share by which the interval varies at random, from 0 to 1. Defaults to 0.1.
    ///
    /// The first checks are spread over the same share of the interval.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.schedule.jitter = jitter;
        self
    }

    /// Sets the number of consecutive successes that end a bench. Defaults to 1.
    ///
    /// An open or half-open breaker has its own number.
    pub fn healthy(mut self, checks: u32) -> Self {
        self.schedule.healthy = checks;
        self
    }

    /// Sets the number of consecutive failures that open a closed breaker. Defaults to 3.
    pub fn unhealthy(mut self, checks: u32) -> Self {
        self.schedule.unhealthy = checks;
        self
    }

    /// Sets the path of a check, with an optional query. Defaults to `/models`.
    ///
    /// The path follows the base of the endpoint.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the only status with which a check passes. Defaults to the default classification.
    ///
    /// With a status set, a check with any other status fails. The status of a limit or of a
    /// rejected credential is the exception: it is no evidence about health.
    ///
    /// With the default classification, a success passes. If the breaker counts a response as a
    /// failure, the check fails. Any other response is no evidence, such as a `404` from an
    /// endpoint without this path.
    pub fn expect_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets the seed of the jitter, for a repeatable run. Defaults to a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts a task that sends a `GET` request through `client` for each check.
    ///
    /// The request has the headers and the credential of the endpoint. The check reads the response
    /// to the end.
    ///
    /// A check bypasses the [layers of the
    /// endpoints](crate::EndpointBalanceBuilder::endpoint_layer). It must neither wait for an
    /// exhausted limit nor count against one. If a layer adds an address or a credential, use
    /// [`start_each`](Self::start_each). A check does not count as a request in flight.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is misconfigured.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime.
    pub fn start<S, B, ResBody>(
        &self,
        pool: &PoolHandle,
        client: S,
    ) -> Result<HealthChecks, InvalidConfig>
    where
        S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
        ResBody::Data: Send,
    {
        self.start_each(pool, move |_| client.clone())
    }

    /// Starts a task that sends its requests through a separate client for each endpoint.
    ///
    /// `make` creates the client once. The task keeps it while the endpoint is in service.
    ///
    /// ```
    /// # use http::{HeaderValue, Request, Response};
    /// # use std::convert::Infallible;
    /// # use steadfast_balance::{Endpoint, EndpointBalanceLayer, HealthCheck};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let pool = EndpointBalanceLayer::builder().build_empty()?.handle();
    /// # let client = tower::service_fn(async |_: Request<String>| {
    /// #     Ok::<_, Infallible>(Response::new(String::new()))
    /// # });
    /// // As in the balancer's `endpoint_layer`.
    /// let region = |endpoint: &Endpoint| {
    ///     let name = HeaderValue::from_str(endpoint.name().as_str()).ok();
    ///     move |mut request: Request<String>| {
    ///         request.headers_mut().extend(name.clone().map(|it| ("x-region".parse().ok(), it)));
    ///         request
    ///     }
    /// };
    /// let checks = HealthCheck::new().start_each(&pool, move |endpoint| {
    ///     tower::ServiceBuilder::new().map_request(region(endpoint)).service(client.clone())
    /// })?;
    /// # drop(checks);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is misconfigured.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime. A panic in `make` ends all checks.
    pub fn start_each<M, S, B, ResBody>(
        &self,
        pool: &PoolHandle,
        make: M,
    ) -> Result<HealthChecks, InvalidConfig>
    where
        M: Fn(&Endpoint) -> S + Send + 'static,
        S: Service<Request<B>, Response = Response<ResBody>> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send,
        B: Default + Send + 'static,
        ResBody: Body + Send + 'static,
        ResBody::Error: Into<BoxError>,
        ResBody::Data: Send,
    {
        self.validate()?;
        let check = RequestCheck {
            path: self.path.clone(),
            status: self.status,
        };
        let make_check = move |endpoint: &Endpoint| -> Check {
            let (check, client) = (check.clone(), make(endpoint));
            Box::new(move |endpoint| check.begin(endpoint, client.clone()))
        };
        self.spawn(pool, Box::new(make_check))
    }

    /// Starts a task that calls `check`, which may test an endpoint in any way.
    ///
    /// An error is a failed check. If the error is [`Classified`](steadfast_core::Classified) as no
    /// evidence about health, the check does not count.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if something is misconfigured.
    ///
    /// # Panics
    ///
    /// Panics outside a Tokio runtime. A panic in `check` ends all checks.
    pub fn start_with<C, F>(
        &self,
        pool: &PoolHandle,
        check: C,
    ) -> Result<HealthChecks, InvalidConfig>
    where
        C: Fn(&Endpoint) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), BoxError>> + Send + 'static,
    {
        let begin = Arc::new(move |endpoint: &Endpoint| -> Checking {
            let running = check(endpoint);
            Box::pin(async move {
                match running.await {
                    Ok(()) => Outcome::passed(),
                    Err(error) => Outcome::unexpected(verdict_of::<()>(Err(&*error))),
                }
            })
        });
        let make_check = move |_: &Endpoint| -> Check {
            let begin = begin.clone();
            Box::new(move |endpoint| begin(endpoint))
        };
        self.spawn(pool, Box::new(make_check))
    }

    /// Checks the settings, without a start.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a value is invalid.
    pub fn validate(&self) -> Result<(), InvalidConfig> {
        let path = self.path.parse::<PathAndQuery>();
        let is_sent = path.is_ok_and(|path| !leaves_root(path.path()));
        if !self.path.starts_with('/') || !is_sent {
            let reason = "must be a path that begins with a slash, without `..`";
            return Err(InvalidConfig::new("path", &self.path, reason));
        }
        self.schedule.validate()
    }

    /// Validates the settings and starts the task.
    fn spawn(&self, pool: &PoolHandle, make: MakeCheck) -> Result<HealthChecks, InvalidConfig> {
        self.schedule.validate()?;
        let rng = self.seed.map_or_else(Rng::new, Rng::with_seed);
        let checker = Checker::new(pool.pool().clone(), self.schedule, make, rng);
        Ok(HealthChecks(tokio::spawn(checker)))
    }
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self::new()
    }
}

// ===== impl HealthChecks =====

impl HealthChecks {
    /// Returns whether the checks have ended on their own, because a check has panicked.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for HealthChecks {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl fmt::Debug for HealthChecks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChecks").finish_non_exhaustive()
    }
}
