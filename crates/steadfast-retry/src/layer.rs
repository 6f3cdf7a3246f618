use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use steadfast_core::layer::Observers;
use steadfast_core::{Observer, RetryBudget, Safety};
use tower_layer::Layer;

use crate::backoff::Backoff;
use crate::mode::{CloneBody, Prepared, Replay};
use crate::policy::{Chance, Policy};
use crate::retry::Shared;
use crate::service::RetryOn429;

/// Applies [`RetryOn429`] to a service.
///
/// Services made by one layer share its budget. See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RetryOn429Layer<M = Replay> {
    config: Config,
    mode: M,
}

#[derive(Clone, Debug)]
struct Config {
    max_attempts: u32,
    max_wait: Duration,
    backoff: Backoff,
    budget: Option<RetryBudget>,
    safety: Safety,
    observers: Observers,
    random: Random,
    attempt_header: Option<HeaderName>,
}

/// Where the random numbers of each service come from.
#[derive(Clone)]
enum Random {
    Entropy,
    Seed(u64),
    Given(Arc<dyn Fn() -> f64 + Send + Sync>),
}

impl RetryOn429Layer {
    /// The attempts of a request in all, if not set.
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;
    /// The longest wait of a request without a deadline, if not set.
    pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
    /// The size of a body that is kept for further attempts, if not set.
    pub const DEFAULT_REPLAY_LIMIT: u64 = 1024 * 1024;

    /// Creates a layer with the defaults that the [crate docs](crate#defaults) explain.
    pub fn new() -> Self {
        Self {
            config: Config {
                max_attempts: Self::DEFAULT_MAX_ATTEMPTS,
                max_wait: Self::DEFAULT_MAX_WAIT,
                backoff: Backoff::default(),
                budget: Some(RetryBudget::default()),
                safety: Safety::idempotent(),
                observers: Observers::new(),
                random: Random::Entropy,
                attempt_header: None,
            },
            mode: Replay {
                limit: Self::DEFAULT_REPLAY_LIMIT,
            },
        }
    }
}

impl Default for RetryOn429Layer {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> RetryOn429Layer<M> {
    /// Sets the attempts of a request in all. The first is always made, so 0 is the same as 1 and
    /// turns retrying off.
    ///
    /// Moving on to an untried endpoint after a refusal is not counted: each endpoint is tried at
    /// most once that way, and no request makes more than
    /// [`Trail::MAX_ATTEMPTS`](steadfast_core::Trail::MAX_ATTEMPTS).
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Sets how long a request without a [`Deadline`](steadfast_core::Deadline) may wait, all its
    /// waits together. Zero means that it never waits, and still moves to other endpoints. What is
    /// sent to the same endpoint again has to wait, so that is over with the time to wait.
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = wait;
        self
    }

    /// Sets how long to wait where no hint says it, and how much to add to a hint.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets the budget that retries are paid from. Layers may share one.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.config.budget = Some(budget);
        self
    }

    /// Lets retries cost nothing.
    ///
    /// During an outage every request then makes all its attempts, which multiplies the load of
    /// an endpoint that already fails.
    pub fn without_budget(mut self) -> Self {
        self.config.budget = None;
        self
    }

    /// Sets whether a request that may have been processed is sent again although its method is
    /// not idempotent. Do so only where doing it twice does no harm.
    pub fn retry_non_idempotent(mut self, retry: bool) -> Self {
        self.config.safety = if retry {
            Safety::always()
        } else {
            Safety::idempotent()
        };
        self
    }

    /// Sets which requests are safe to repeat when they may have been processed already, in place
    /// of the rule about methods and keys. [`RetryOverride::safe`](crate::RetryOverride::safe)
    /// counts before it.
    ///
    /// ```
    /// use steadfast_retry::RetryOn429Layer;
    ///
    /// // Searches are sent as `POST` and change nothing.
    /// let layer = RetryOn429Layer::new().safe_if(|head| {
    ///     head.method.is_safe() || head.uri.path().ends_with("/_search")
    /// });
    /// ```
    pub fn safe_if(mut self, is_safe: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.config.safety = Safety::when(is_safe);
        self
    }

    /// Sets a header that says which attempt a request is, counted from 1. None by default.
    pub fn attempt_header(mut self, name: HeaderName) -> Self {
        self.config.attempt_header = Some(name);
        self
    }

    /// Adds an observer, which is told of each wait.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.config.observers.add(observer);
        self
    }

    /// Adds observers.
    pub fn observers(mut self, observers: &Observers) -> Self {
        self.config.observers.extend(observers);
        self
    }

    /// Sets the seed of the random numbers, for runs that can be repeated. Each service begins
    /// with it anew.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.random = Random::Seed(seed);
        self
    }

    /// Takes random numbers, from 0 up to 1, from `draw` and not from a generator of each service.
    pub fn random(mut self, draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.config.random = Random::Given(Arc::new(draw));
        self
    }

    /// Keeps bodies as they are and clones them, for a client that is typed over a body of its
    /// own. Every request can then be sent again, and its whole body is kept meanwhile.
    pub fn clone_body(self) -> RetryOn429Layer<CloneBody> {
        RetryOn429Layer {
            config: self.config,
            mode: CloneBody(()),
        }
    }
}

impl<M> RetryOn429Layer<M> {
    /// Takes requests whose body is a [`ReplayBody`](crate::ReplayBody) already, for a caller who
    /// looks into it first.
    pub fn prepared_body(self) -> RetryOn429Layer<Prepared> {
        RetryOn429Layer {
            config: self.config,
            mode: Prepared(()),
        }
    }
}

impl RetryOn429Layer<Replay> {
    /// Sets the size of a body, in bytes, that is kept for further attempts. A request with a
    /// larger one gets a single attempt.
    pub fn replay_limit(mut self, bytes: u64) -> Self {
        self.mode.limit = bytes;
        self
    }

    /// Returns the size of a body, in bytes, that is kept for further attempts.
    #[must_use]
    pub fn get_replay_limit(&self) -> u64 {
        self.mode.limit
    }
}

impl<S, M: Clone> Layer<S> for RetryOn429Layer<M> {
    type Service = RetryOn429<S, M>;

    fn layer(&self, inner: S) -> Self::Service {
        let config = self.config.clone();
        let policy = Policy {
            max_attempts: config.max_attempts,
            max_wait: config.max_wait,
            backoff: config.backoff,
            budget: config.budget,
            safety: config.safety,
            observers: config.observers,
            chance: match config.random {
                Random::Entropy => Chance::seeded(fastrand::Rng::new()),
                Random::Seed(seed) => Chance::seeded(fastrand::Rng::with_seed(seed)),
                Random::Given(draw) => Chance::Given(draw),
            },
        };
        let shared = Shared {
            policy,
            attempt_header: config.attempt_header,
        };
        RetryOn429::new(inner, Arc::new(shared), self.mode.clone())
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entropy => f.write_str("Entropy"),
            Self::Seed(seed) => f.debug_tuple("Seed").field(seed).finish(),
            Self::Given(_) => f.write_str("Given(_)"),
        }
    }
}
