//! A stack from a configuration file, in any format that serde reads.
//!
//! ```
//! use steadfast::config::{EndpointConfig, StackConfig};
//!
//! #[derive(serde::Deserialize)]
//! struct Config {
//!     stack: StackConfig,
//!     endpoint: Vec<EndpointConfig>,
//! }
//!
//! let config: Config = toml::from_str(
//!     r#"
//!     [stack]
//!     strategy = "scored"
//!     timeouts = { head = "2s", total = "1m" }
//!     [stack.retry]
//!     max_attempts = 4
//!     [[endpoint]]
//!     name = "primary"
//!     url = "http://127.0.0.1:9001/v1"
//!     "#,
//! )?;
//! let ai = config.stack.builder(&config.endpoint)?.build()?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::env;
use std::fmt;
use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;
use steadfast_balance::{Endpoint, EndpointBalanceBuilder, Rule, Strategy, WhenExhausted};
use steadfast_core::InvalidConfig;
use steadfast_retry::{Backoff, RetryOn429Layer};

use crate::answers::{Answers, StreamMode};
use crate::api_key::{ApiKey, InvalidApiKey};
use crate::builder::AiStackBuilder;
use crate::duration::deserialize_some;
use crate::stack::AiStack;
use crate::timeouts::Timeouts;

/// The settings of the whole stack. All fields have defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StackConfig {
    /// `failover`, `round_robin`, `least_loaded`, `scored`, `headroom` or `sticky`.
    pub strategy: Strategy,
    /// `short`, `medium`, `long`, or a table of durations.
    pub timeouts: Timeouts,
    /// Whether `x-stainless-read-timeout` of a client ends its request.
    pub caller_timeouts: bool,
    /// `checked` or `unchecked`: the treatment of successful answers.
    pub answers: Answers,
    /// `direct` or `buffered`: when streams are passed on.
    pub stream_mode: StreamMode,
    /// The number of attempts and the waits between them.
    pub retry: RetryConfig,
    /// `fail`, `wait` or `least_bad`: the treatment of a request without an admissible endpoint.
    pub when_exhausted: WhenExhausted,
    /// The longest wait in the queue. Zero disables the queue.
    #[serde(deserialize_with = "deserialize_some")]
    pub max_wait: Option<Duration>,
    /// The shortest bound of a wait during an overload.
    #[serde(deserialize_with = "deserialize_some")]
    pub overload_wait: Option<Duration>,
    /// The longest wait for a probe while all breakers are open. Zero disables early probes.
    #[serde(deserialize_with = "deserialize_some")]
    pub probe_wait: Option<Duration>,
    /// The longest wait for a better endpoint before a request moves to a degraded one.
    #[serde(deserialize_with = "deserialize_some")]
    pub prefer_wait: Option<Duration>,
}

/// One endpoint. `name` and `url` are required.
///
/// `Debug` shows neither the URL nor the variable of the key: a user may have put a secret there by
/// mistake. The errors of a format may quote a line of the file.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// Its name in logs and metrics.
    pub name: String,
    /// Its base URI, with the base path of its requests.
    pub url: String,
    /// The environment variable that holds its API key.
    pub api_key_env: Option<String>,
    /// Its tier. Defaults to 0.
    #[serde(default)]
    pub tier: u16,
    /// Its weight within its tier. Defaults to 1.
    pub weight: Option<f64>,
    /// Whether it gets the caller's credentials. Defaults to `false`.
    #[serde(default)]
    pub pass_credentials: bool,
    /// The headers that it gets although their names look like credentials.
    #[serde(default)]
    pub pass_headers: Vec<String>,
    /// The rules about its replies: conditions (`status`, `code`, `header`, `contains`) and a
    /// verdict (`class`, `hint`, `scope`).
    #[serde(default, deserialize_with = "rule::deserialize")]
    pub rule: Vec<Rule>,
    /// Its breaker.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// The number of attempts and the waits between them.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The total number of attempts.
    pub max_attempts: Option<u32>,
    /// The bound of the first backoff.
    #[serde(deserialize_with = "deserialize_some")]
    pub base_delay: Option<Duration>,
    /// The bound of each backoff.
    #[serde(deserialize_with = "deserialize_some")]
    pub max_delay: Option<Duration>,
    /// The time until a stream begins or a whole answer ends.
    #[serde(deserialize_with = "deserialize_some")]
    pub deadline: Option<Duration>,
    /// The size of the largest body, in bytes, that is kept for retries.
    pub replay_limit: Option<u64>,
}

/// The breaker of an endpoint. Defaults to [`Endpoint::default_breaker`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// The consecutive failures that open it.
    pub consecutive_failures: Option<u32>,
    /// The time that it stays open at first.
    #[serde(deserialize_with = "deserialize_some")]
    pub recovery_timeout: Option<Duration>,
}

impl StackConfig {
    /// Creates the builder of a stack with this configuration.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field if a value is invalid, or if the variable of an API
    /// key is not set.
    pub fn builder(&self, endpoints: &[EndpointConfig]) -> Result<AiStackBuilder, InvalidConfig> {
        self.timeouts
            .validate()
            .map_err(|error| error.within("stack"))?;
        let retry = self
            .retry
            .layer()
            .map_err(|error| error.within("stack.retry"))?;
        let mut builder = AiStack::builder()
            .strategy(self.strategy)
            .timeouts(self.timeouts)
            .caller_timeouts(self.caller_timeouts)
            .answers(self.answers)
            .stream_mode(self.stream_mode)
            .retry(retry)
            .balance(|balance| self.balance(balance));
        if let Some(deadline) = self.retry.deadline {
            if deadline.is_zero() {
                let reason = "must be longer than zero";
                return Err(InvalidConfig::new("stack.retry.deadline", "0s", reason));
            }
            builder = builder.deadline(deadline);
        }
        for (n, endpoint) in endpoints.iter().enumerate() {
            let endpoint = endpoint
                .endpoint()
                .map_err(|error| error.within(&format!("endpoint[{n}]")))?;
            builder = builder.endpoint(endpoint);
        }
        Ok(builder)
    }
}

impl StackConfig {
    /// Applies the waits of the balancer.
    fn balance(&self, balance: EndpointBalanceBuilder) -> EndpointBalanceBuilder {
        let mut balance = balance.when_exhausted(self.when_exhausted);
        if let Some(wait) = self.max_wait {
            balance = balance.max_wait(wait);
        }
        if let Some(wait) = self.overload_wait {
            balance = balance.overload_wait(wait);
        }
        if let Some(wait) = self.probe_wait {
            balance = balance.probe_wait(wait);
        }
        if let Some(wait) = self.prefer_wait {
            balance = balance.prefer_wait(wait);
        }
        balance
    }
}

impl RetryConfig {
    /// Creates the retry layer of these settings.
    fn layer(&self) -> Result<RetryOn429Layer, InvalidConfig> {
        let mut layer = RetryOn429Layer::new();
        match self.max_attempts {
            Some(0) => return Err(InvalidConfig::new("max_attempts", 0, "must be at least 1")),
            Some(attempts) => layer = layer.max_attempts(attempts),
            None => {}
        }
        if self.max_delay.is_some_and(|delay| delay.is_zero()) {
            let reason = "must be longer than zero";
            return Err(InvalidConfig::new("max_delay", "0s", reason));
        }
        if let Some(bytes) = self.replay_limit {
            layer = layer.replay_limit(bytes);
        }
        // A longer base than the default maximum raises the maximum, and the other way round.
        let base = self.base_delay.unwrap_or(
            self.max_delay
                .unwrap_or(Duration::MAX)
                .min(Backoff::DEFAULT_BASE),
        );
        let max = self.max_delay.unwrap_or(base.max(Backoff::DEFAULT_MAX));
        Ok(layer.backoff(Backoff::new(base, max)?))
    }
}

impl EndpointConfig {
    /// Creates the endpoint, with the API key of its environment variable.
    fn endpoint(&self) -> Result<Endpoint, InvalidConfig> {
        let mut endpoint = Endpoint::new(&self.name, &self.url)?
            .tier(self.tier)
            .pass_credentials(self.pass_credentials)
            .pass_headers(self.pass_headers()?);
        if let Some(weight) = self.weight {
            endpoint = endpoint.weight(weight);
        }
        if let Some(variable) = &self.api_key_env {
            // A user may have put the key itself there.
            let invalid = |reason| InvalidConfig::new("api_key_env", "(not shown)", reason);
            let text = env::var(variable)
                .map_err(|_| invalid("must name an environment variable that is set"))?;
            let key = ApiKey::new(&text).map_err(|error| match error {
                InvalidApiKey::Empty => invalid("must name a variable that is not empty"),
                _ => invalid("must name a variable whose value can stand in a header"),
            })?;
            endpoint = endpoint.api_key(key);
        }
        endpoint = self.rule.iter().cloned().fold(endpoint, Endpoint::rule);
        let mut breaker = Endpoint::default_breaker();
        if let Some(failures) = self.breaker.consecutive_failures {
            breaker = breaker.consecutive_failures(failures);
        }
        if let Some(timeout) = self.breaker.recovery_timeout {
            let max = timeout.max(Endpoint::DEFAULT_MAX_RECOVERY_TIMEOUT);
            breaker = breaker.recovery_timeout(timeout).max_recovery_timeout(max);
        }
        // Built once here, so that an error names the endpoint.
        breaker
            .clone()
            .build()
            .map_err(|error| error.within("breaker"))?;
        Ok(endpoint.breaker(breaker))
    }
}

impl EndpointConfig {
    fn pass_headers(&self) -> Result<Vec<HeaderName>, InvalidConfig> {
        let names = self.pass_headers.iter().map(|name| name.parse());
        names.collect::<Result<_, _>>().map_err(|_| {
            let reason = "must be a list of header names";
            InvalidConfig::new("pass_headers", "(not shown)", reason)
        })
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("tier", &self.tier)
            .field("weight", &self.weight)
            .field("pass_credentials", &self.pass_credentials)
            .field("rule", &self.rule)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

mod rule;

#[cfg(test)]
mod tests;
