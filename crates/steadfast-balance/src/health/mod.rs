//! Health checks: settings, and the task that makes them.

mod checker;
mod outcome;
mod request;
mod schedule;
mod watch;

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

use self::checker::Checker;
use self::outcome::{Check, Checking, MakeCheck, Outcome};
use self::request::RequestCheck;
use self::schedule::Schedule;
use crate::endpoint::Endpoint;
use crate::pool::handle::PoolHandle;

/// Asks endpoints from time to time whether they work, without waiting for a request to find out.
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

/// Health checks that run. Dropping it stops them, and what runs of them is dropped, too.
#[must_use = "dropping it stops the checks"]
pub struct HealthChecks(JoinHandle<()>);

// ===== impl HealthCheck =====

impl HealthCheck {
    /// The time between two checks of an endpoint, if not set.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);
    /// How long a check may take, if not set.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
    /// By what share the interval varies, if not set: instances that were started together are
    /// soon out of step.
    pub const DEFAULT_JITTER: f64 = 0.1;
    /// How many checks in a row have to pass to end a bench, if not set: what follows is one
    /// attempt, which is a second look.
    pub const DEFAULT_HEALTHY: u32 = 1;
    /// How many checks in a row have to fail to open a closed breaker, if not set.
    pub const DEFAULT_UNHEALTHY: u32 = 3;
    /// What is asked for behind the base of the endpoint, if not set: the list of models costs
    /// nothing.
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

    /// Sets the time from the beginning of one check of an endpoint to that of the next.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.schedule.interval = interval;
        self
    }

    /// Sets how long a check may take, to the end of the response. It has failed then.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.schedule.timeout = timeout;
        self
    }

    /// Sets by what share the interval varies at random, from 0 to 1. The first checks are spread
    /// over that share of it, too.
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.schedule.jitter = jitter;
        self
    }

    /// Sets the number of consecutive successes that end a bench.
    ///
    /// An open or half-open breaker has its own number.
    pub fn healthy(mut self, checks: u32) -> Self {
        self.schedule.healthy = checks;
        self
    }

    /// Sets the number of consecutive failures that open a closed breaker.
    pub fn unhealthy(mut self, checks: u32) -> Self {
        self.schedule.unhealthy = checks;
        self
    }

    /// Sets what is asked for, with a query if need be. It is put behind the base of the endpoint.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Sets the one status with which a check passes.
    ///
    /// Every other one fails then, but for those of a limit or a rejected credential, which say
    /// nothing about the health of an endpoint. If it is not set, the default classification
    /// decides: a success passes, what a breaker counts as a failure fails, and all else, such as
    /// a `404` of an endpoint that has no such path, says nothing.
    pub fn expect_status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Sets where the random numbers of the jitter begin, for a run that can be repeated.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Starts a task that sends a `GET` request through `client`, with the headers and the
    /// credential of the endpoint, and reads its response to the end.
    ///
    /// The [layers of the endpoints](crate::EndpointBalanceBuilder::endpoint_layer) are not passed:
    /// a check must not wait for a limit that requests have used up, nor be counted for one. Where
    /// they do more than that, as with an address or a credential that they know, take
    /// [`start_each`](Self::start_each). A check is no request in flight.
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

    /// Starts a task that sends its requests through a client for each endpoint, which is made
    /// once and kept as long as the endpoint is in service.
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
        let path = self.path.parse::<PathAndQuery>();
        let is_sent = path.is_ok_and(|path| !leaves_root(path.path()));
        if !self.path.starts_with('/') || !is_sent {
            let reason = "must be a path that begins with a slash, without `..`";
            return Err(InvalidConfig::new("path", &self.path, reason));
        }
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

    /// Starts a task that asks `check`, which may look at an endpoint in any way. An error is a
    /// check that has failed, unless it is [`Classified`](steadfast_core::Classified) as one that
    /// says nothing about the health of an endpoint.
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
    /// Returns whether they have ended although nobody stopped them: a check has panicked.
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
