//! The layer, its settings and their defaults.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use http::request::Parts;
use steadfast_core::layer::Observers;
use steadfast_core::{Observer, RetryBudget, Safety};
use tower_layer::Layer;

use crate::backoff::Backoff;
use crate::mode::{CloneBody, Prepared, Replay};
use crate::policy::{Policy, Refusals};
use crate::random::Random;
use crate::retry::Settings;
use crate::service::RetryOn429;

/// Applies [`RetryOn429`] to a service.
///
/// Services created by one layer share its budget. See the [crate docs](crate) for an example.
///
/// # Observation
///
/// Each attempt runs in a `tracing` span `attempt` at level `debug`. Its fields are
/// `http.response.status_code`, the `class` of the verdict, and from the second attempt on
/// `http.request.resend_count`, the name of OpenTelemetry. Each wait is an
/// [`Event::Retry`](steadfast_core::Event::Retry) for the [observers](Self::observer), and a `debug`
/// event. The reason for giving up is logged at `debug`.
///
/// # Limits
///
/// * A redirect is an answer. A client that follows redirects must be able to repeat the body.
/// * A response body that breaks is not restarted, because the caller has a part of it.
/// * A request without a body size is sent without one each time.
#[derive(Clone, Debug)]
#[must_use = "a layer does nothing until it is applied to a service"]
pub struct RetryOn429Layer<M = Replay> {
    /// The settings that services of this layer share.
    config: Config,
    /// The way in which further attempts get a body.
    mode: M,
}

/// The settings of a layer. [`RetryOn429Layer`] documents each one.
#[derive(Clone, Debug)]
struct Config {
    /// Attempts, the first one included.
    max_attempts: u32,
    /// The sum of the waits of a request without a deadline.
    max_wait: Duration,
    /// The waits without a hint.
    backoff: Backoff,
    /// `None` removes the protection against retry storms.
    budget: Option<RetryBudget>,
    /// The requests that are safe to repeat.
    safety: Safety,
    /// Notified of each retry.
    observers: Observers,
    /// The source of jitter.
    random: Random,
    /// The request header that carries the number of the attempt.
    attempt_header: Option<HeaderName>,
    /// Whether a final answer gets `x-should-retry: false`.
    marks_final: bool,
}

impl RetryOn429Layer {
    /// The default of [`max_attempts`](Self::max_attempts).
    pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;
    /// The default of [`max_wait`](Self::max_wait).
    pub const DEFAULT_MAX_WAIT: Duration = Duration::from_secs(30);
    /// The default of [`replay_limit`](Self::replay_limit), in bytes.
    pub const DEFAULT_REPLAY_LIMIT: u64 = 1024 * 1024;

    /// Creates a layer with the [defaults](crate#defaults).
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
                marks_final: false,
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
    /// Sets the total number of attempts of a request. Defaults to 3.
    ///
    /// The first attempt is always made, so 0 equals 1 and disables retries. A move to an untried
    /// endpoint after a refusal does not count. Below a balancer and with a
    /// [`Deadline`](steadfast_core::Deadline), neither does a `429` within
    /// [`max_wait`](Self::max_wait) of the arrival, nor a rejection by the balancer, nor a failed
    /// connect: the balancer decides when the endpoint is tried again. All of them count if the
    /// deadline leaves less time than the first [backoff](Self::backoff) or the last attempt. A
    /// request makes at most [`Trail::MAX_ATTEMPTS`](steadfast_core::Trail::MAX_ATTEMPTS) attempts.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.config.max_attempts = attempts;
        self
    }

    /// Sets the total time that a request without a [`Deadline`](steadfast_core::Deadline) may
    /// wait. Defaults to 30 s.
    ///
    /// A request that may wait no longer can still move to another endpoint. A retry at the same
    /// endpoint needs a wait. With a deadline, it is the time in which attempts that cost their
    /// endpoint nothing do [not count](Self::max_attempts).
    pub fn max_wait(mut self, wait: Duration) -> Self {
        self.config.max_wait = wait;
        self
    }

    /// Sets the waits without a hint, and the random part that is added to a hint.
    ///
    /// A hint is a floor: an earlier attempt would be refused again. All clients that a server
    /// refused together got the same hint. So if a hint was followed in vain, the jitter of the
    /// next wait grows with the evidence of a crowd:
    ///
    /// | Evidence | Random part |
    /// |---|---|
    /// | none: a lone request | a quarter of the hint |
    /// | other requests of this layer were refused meanwhile | a quarter more for each, up to the longest wait |
    /// | the same, and two hints in vain | twice the longest wait, then the longest wait |
    /// | three hints in vain: a crowd of clients that know nothing of each other | three times the longest wait, then twice, but at most 24 and 16 hints |
    ///
    /// Two hints of 1 s cost a lone request 2.4 s in the median. In the simulator, 300 clients of
    /// an endpoint with 10 requests/s need 4.4 instead of 5.8 calls each. A balancer below admits
    /// one probe after the other, so the requests of this layer are no evidence over a balancer.
    ///
    /// A wait that does not fit is not started. A wait takes at most half of the time that a hint
    /// leaves of a [`Deadline`](steadfast_core::Deadline), so that the next attempt has time as
    /// well.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.config.backoff = backoff;
        self
    }

    /// Sets the budget that pays for retries. Layers can share one.
    ///
    /// Three attempts per request would triple the load of an outage. Successes fill the budget and
    /// retries empty it. So five failures in a hundred are all retried, and in an outage retries
    /// end after the first 35, or 26 if all failures are server errors. Attempts of one lost
    /// connection are billed once, and attempts that were not processed cost almost nothing. A
    /// retry pays before its wait. The tokens return if the retry succeeds, or if the caller drops
    /// the request before the retry is sent. See [`RetryBudget`](steadfast_core::RetryBudget) for
    /// the costs.
    ///
    /// An answer about the request, such as a `404`, counts as a success: its endpoint serves. A
    /// rejected credential, a refusal and a prompt that is too long return no token.
    pub fn budget(mut self, budget: RetryBudget) -> Self {
        self.config.budget = Some(budget);
        self
    }

    /// Removes the budget.
    ///
    /// During an outage every request then makes all its attempts. That multiplies the load of an
    /// endpoint that already fails.
    pub fn without_budget(mut self) -> Self {
        self.config.budget = None;
        self
    }

    /// Sets whether a request with a non-idempotent method is repeated although it may have been
    /// processed. Use this only if a repeated request does no harm.
    pub fn retry_non_idempotent(mut self, retry: bool) -> Self {
        self.config.safety = if retry {
            Safety::always()
        } else {
            Safety::idempotent()
        };
        self
    }

    /// Sets the requests that are safe to repeat although they may have been processed. Replaces
    /// the rule for methods and keys.
    ///
    /// [`RetryOverride::safe`](crate::RetryOverride::safe) takes precedence.
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

    /// Sets a request header for the number of the attempt, counted from 1. Defaults to none.
    pub fn attempt_header(mut self, name: HeaderName) -> Self {
        self.config.attempt_header = Some(name);
        self
    }

    /// Adds `x-should-retry: false` to a final answer that a client would otherwise retry. Defaults
    /// to off.
    ///
    /// For a server above this layer: its clients would multiply the attempts. Exception: if only a
    /// longer wait would help, the answer has no such header, and its `retry-after` stands.
    pub fn mark_final(mut self, mark: bool) -> Self {
        self.config.marks_final = mark;
        self
    }

    /// Adds an observer of waits.
    pub fn observer(mut self, observer: impl Observer + 'static) -> Self {
        self.config.observers.add(observer);
        self
    }

    /// Adds observers of waits.
    pub fn observers(mut self, observers: &Observers) -> Self {
        self.config.observers.extend(observers);
        self
    }

    /// Sets the seed of the random numbers, for repeatable runs. Each service starts with this
    /// seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.random = Random::Seed(seed);
        self
    }

    /// Replaces the random numbers of all services. `draw` returns numbers from 0 up to 1.
    pub fn random(mut self, draw: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        self.config.random = Random::Given(Arc::new(draw));
        self
    }

    /// Clones bodies instead of wrapping them, for a client that is typed over its own body.
    ///
    /// Every request can then be sent again, and its whole body is kept meanwhile.
    pub fn clone_body(self) -> RetryOn429Layer<CloneBody> {
        RetryOn429Layer {
            config: self.config,
            mode: CloneBody(()),
        }
    }
}

impl RetryOn429Layer<Replay> {
    /// Sets the largest body, in bytes, that is kept for further attempts. Defaults to 1 MiB. A
    /// request with a larger body gets one attempt.
    pub fn replay_limit(mut self, bytes: u64) -> Self {
        self.mode.limit = bytes;
        self
    }

    /// Takes requests with a [`ReplayBody`](crate::ReplayBody), for a layer above that inspects the
    /// body first. That layer applies the replay limit.
    pub fn prepared_body(self) -> RetryOn429Layer<Prepared> {
        RetryOn429Layer {
            config: self.config,
            mode: Prepared {
                limit: self.mode.limit,
            },
        }
    }
}

impl RetryOn429Layer<Prepared> {
    /// Returns the limit for [`ReplayBody::new`](crate::ReplayBody::new).
    #[must_use]
    pub fn replay_limit(&self) -> u64 {
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
            refusals: Refusals::default(),
            observers: config.observers,
            random: config.random.source(),
        };
        let settings = Settings {
            policy,
            attempt_header: config.attempt_header,
            marks_final: config.marks_final,
        };
        RetryOn429::new(inner, Arc::new(settings), self.mode.clone())
    }
}
