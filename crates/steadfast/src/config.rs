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

mod breaker;
mod endpoint;
#[cfg(feature = "health")]
mod health;
#[cfg(feature = "hedge")]
mod hedge;
mod retry;
mod rule;
#[cfg(feature = "schema")]
mod schema;
mod scored;
mod set;

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
#[cfg(feature = "health")]
use steadfast_balance::HealthCheck;
use steadfast_balance::{EndpointBalanceBuilder, Scored, Strategy, WhenExhausted};
use steadfast_core::InvalidConfig;
#[cfg(feature = "hedge")]
use steadfast_hedge::HedgeLayer;
use steadfast_models::{Catalogue, Route};

pub use self::breaker::BreakerConfig;
pub use self::endpoint::EndpointConfig;
pub use self::retry::RetryConfig;
use self::set::Set;
use crate::answers::{Answers, StreamMode};
use crate::builder::AiStackBuilder;
use crate::duration::deserialize_some;
use crate::stack::AiStack;
use crate::timeouts::Timeouts;

/// The settings of the whole stack. All fields have defaults.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StackConfig {
    /// `failover`, `round_robin`, `least_loaded`, `scored`, `headroom` or `sticky`.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Strategy"))]
    pub strategy: Strategy,
    /// The shares of `health`, `latency` and `cost` in the score of the strategy `scored`. A share
    /// that is absent is 0.
    #[serde(deserialize_with = "scored::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<scored::Shares>"))]
    pub scored: Option<Scored>,
    /// `short`, `medium`, `long`, or a table of durations.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Timeouts"))]
    pub timeouts: Timeouts,
    /// Whether `x-stainless-read-timeout` of a client ends its request.
    pub caller_timeouts: bool,
    /// `checked` or `unchecked`: the treatment of successful answers.
    #[cfg_attr(feature = "schema", schemars(with = "schema::Answers"))]
    pub answers: Answers,
    /// `direct` or `buffered`: when streams are passed on.
    #[cfg_attr(feature = "schema", schemars(with = "schema::StreamMode"))]
    pub stream_mode: StreamMode,
    /// The number of attempts and the waits between them.
    pub retry: RetryConfig,
    /// The routes from a model to endpoints: `model`, `aliases`, and a list `target` of `endpoint`,
    /// `model`, `tier`, `degraded`, `weight` and `deployment`.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<schema::Route>"))]
    pub route: Vec<Route>,
    /// Whether models are checked before a request is sent. Defaults to `false`.
    pub catalogue: bool,
    /// A file that replaces and extends the rows of the catalogue.
    pub catalogue_file: Option<PathBuf>,
    /// `fail`, `wait` or `least_bad`: the treatment of a request without an admissible endpoint.
    #[cfg_attr(feature = "schema", schemars(with = "schema::WhenExhausted"))]
    pub when_exhausted: WhenExhausted,
    /// The longest wait in the queue. Zero disables the queue.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub max_wait: Option<Duration>,
    /// The shortest bound of a wait during an overload. With `max_wait` or more, no load is shed.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub overload_wait: Option<Duration>,
    /// The wait for a probe while all breakers are open. Zero disables early probes.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub probe_wait: Option<Duration>,
    /// The longest wait for a better endpoint before a request moves to a degraded one.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub prefer_wait: Option<Duration>,
    /// The time from which an attempt that its caller drops counts as a timeout.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub abandoned_after: Option<Duration>,
    /// Whether send rates are learned from refusals. Defaults to `true`.
    pub learned_rates: Option<bool>,
    /// The path that a request has in common with the base path of its endpoint. Defaults to `/v1`.
    pub request_root: Option<String>,
    /// The seed of random choices and of jitter, for repeatable runs.
    pub seed: Option<u64>,
    /// Hedges: `after` or `quantile`, `min_delay`, `max_share`, `max_hedges`,
    /// `hedge_non_idempotent`. Without this table, there are none.
    #[cfg(feature = "hedge")]
    #[serde(deserialize_with = "hedge::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<hedge::Fields>"))]
    pub hedge: Option<HedgeLayer>,
    /// The health checks of the endpoints: `interval`, `timeout`, `jitter`, `healthy`, `unhealthy`,
    /// `path`, `expect_status`. The stack does not start them: a check needs a client and a
    /// runtime.
    #[cfg(feature = "health")]
    #[serde(deserialize_with = "health::deserialize")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<health::Fields>"))]
    pub health: Option<HealthCheck>,
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
        if self.scored.is_some() && self.strategy != Strategy::Scored {
            let reason = "applies to the strategy `scored` only";
            return Err(InvalidConfig::new("stack.scored", self.strategy, reason));
        }
        let retry = self
            .retry
            .layer()
            .map_err(|error| error.within("stack.retry"))?;
        let mut builder = AiStack::builder()
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
        #[cfg(feature = "hedge")]
        if let Some(hedge) = &self.hedge {
            builder = builder.hedge(hedge.clone());
        }
        if let Some(catalogue) = self.catalogue()? {
            builder = builder.catalogue(catalogue);
        }
        builder = self
            .route
            .iter()
            .cloned()
            .fold(builder, AiStackBuilder::route);
        for (n, endpoint) in endpoints.iter().enumerate() {
            builder = endpoint
                .add_to(builder)
                .map_err(|error| error.within(&format!("endpoint[{n}]")))?;
        }
        Ok(builder)
    }
}

impl StackConfig {
    /// Reads the catalogue, if models are checked.
    fn catalogue(&self) -> Result<Option<Catalogue>, InvalidConfig> {
        let shipped = self.catalogue.then(Catalogue::shipped);
        let (Some(catalogue), Some(path)) = (&shipped, &self.catalogue_file) else {
            return Ok(shipped);
        };
        let text = std::fs::read_to_string(path).map_err(|_| {
            let reason = "must be the path of a file that can be read";
            InvalidConfig::new("stack.catalogue_file", path.display(), reason)
        })?;
        let extended = catalogue.clone().extend_toml(&text);
        extended
            .map(Some)
            .map_err(|error| error.within("stack.catalogue_file"))
    }

    /// Applies the settings of the balancer.
    fn balance(&self, balance: EndpointBalanceBuilder) -> EndpointBalanceBuilder {
        let balance = match self.scored {
            Some(scored) => balance.strategy(scored),
            None => balance.strategy(self.strategy),
        };
        balance
            .when_exhausted(self.when_exhausted)
            .set(self.max_wait, EndpointBalanceBuilder::max_wait)
            .set(self.overload_wait, EndpointBalanceBuilder::overload_wait)
            .set(self.probe_wait, EndpointBalanceBuilder::probe_wait)
            .set(self.prefer_wait, EndpointBalanceBuilder::prefer_wait)
            .set(
                self.abandoned_after,
                EndpointBalanceBuilder::abandoned_after,
            )
            .set(self.learned_rates, EndpointBalanceBuilder::learned_rates)
            .set(
                self.request_root.as_deref(),
                EndpointBalanceBuilder::request_root,
            )
            .set(self.seed, EndpointBalanceBuilder::seed)
    }
}

#[cfg(test)]
mod tests;
