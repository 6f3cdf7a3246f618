//! Retries in a configuration file.

use std::time::Duration;

use http::HeaderName;
use serde::Deserialize;
use steadfast_core::{InvalidConfig, RetryBudget};
use steadfast_retry::{Backoff, Jitter, RetryOn429Layer};

#[cfg(feature = "schema")]
use super::schema;
use super::set::Set;
use crate::duration::{deserialize_list, deserialize_some};

/// The number of attempts and the waits between them.
#[derive(Clone, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The total number of attempts.
    pub max_attempts: Option<u32>,
    /// The bound of the first backoff.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub base_delay: Option<Duration>,
    /// The bound of each backoff.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub max_delay: Option<Duration>,
    /// The waits before each retry, in place of a backoff that doubles. The last one repeats.
    #[serde(deserialize_with = "deserialize_list")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<Vec<schema::Duration>>"))]
    pub delays: Option<Vec<Duration>>,
    /// `full`, `equal`, `decorrelated` or `none`: the random part of each wait. Defaults to `full`,
    /// and to `none` beside `delays`.
    pub jitter: Option<String>,
    /// The total time that a request without a deadline may wait.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub max_wait: Option<Duration>,
    /// The time until a stream begins or a whole answer ends.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub deadline: Option<Duration>,
    /// The tokens of the retry budget. Defaults to 500. Zero removes the budget: in an outage, each
    /// request then makes all its attempts.
    pub budget: Option<u32>,
    /// Whether a request that may have been processed is repeated, whatever its method. Defaults to
    /// `false`. Chat completions and the like are repeated without it.
    pub retry_non_idempotent: bool,
    /// The request header for the number of the attempt. Defaults to none.
    pub attempt_header: Option<String>,
    /// The size of the largest body, in bytes, that is kept for retries.
    pub replay_limit: Option<u64>,
    /// The seed of the jitter, for repeatable runs.
    pub seed: Option<u64>,
}

impl RetryConfig {
    /// Creates the retry layer of these settings.
    pub(super) fn layer(&self) -> Result<RetryOn429Layer, InvalidConfig> {
        if self.max_attempts == Some(0) {
            return Err(InvalidConfig::new("max_attempts", 0, "must be at least 1"));
        }
        let layer = RetryOn429Layer::new()
            .backoff(self.backoff()?)
            .set(self.max_attempts, RetryOn429Layer::max_attempts)
            .set(self.max_wait, RetryOn429Layer::max_wait)
            .set(self.replay_limit, |layer, bytes| layer.replay_limit(bytes))
            .set(self.attempt_header()?, RetryOn429Layer::attempt_header)
            .set(self.seed, RetryOn429Layer::seed);
        let always = self.retry_non_idempotent.then_some(true);
        Ok(self.with_budget(layer.set(always, RetryOn429Layer::retry_non_idempotent)))
    }

    /// Applies the budget. A budget without tokens would pay for no retry, so zero removes it.
    fn with_budget(&self, layer: RetryOn429Layer) -> RetryOn429Layer {
        match self.budget {
            None => layer,
            Some(0) => layer.without_budget(),
            Some(tokens) => layer.budget(RetryBudget::new(tokens)),
        }
    }

    /// Returns the waits: the list `delays`, or a backoff that doubles.
    fn backoff(&self) -> Result<Backoff, InvalidConfig> {
        let backoff = match &self.delays {
            Some(_) if self.base_delay.is_some() || self.max_delay.is_some() => {
                let reason = "must not stand beside base_delay or max_delay";
                return Err(InvalidConfig::new("delays", "[...]", reason));
            }
            Some(delays) => Backoff::list(delays.iter().copied())?,
            None => self.doubling()?,
        };
        Ok(match self.jitter.as_deref().map(jitter).transpose()? {
            Some(jitter) => backoff.jitter(jitter),
            None => backoff,
        })
    }

    /// Creates a backoff that doubles.
    fn doubling(&self) -> Result<Backoff, InvalidConfig> {
        if self.max_delay.is_some_and(|delay| delay.is_zero()) {
            let reason = "must be longer than zero";
            return Err(InvalidConfig::new("max_delay", "0s", reason));
        }
        // A longer base than the default maximum raises the maximum, and the other way round.
        let base = self.base_delay.unwrap_or(
            self.max_delay
                .unwrap_or(Duration::MAX)
                .min(Backoff::DEFAULT_BASE),
        );
        let max = self.max_delay.unwrap_or(base.max(Backoff::DEFAULT_MAX));
        Backoff::new(base, max)
    }

    /// Returns the name of the header.
    fn attempt_header(&self) -> Result<Option<HeaderName>, InvalidConfig> {
        let name = self.attempt_header.as_deref();
        let name = name.map(str::parse).transpose();
        name.map_err(|_| {
            let reason = "must be the name of a header";
            InvalidConfig::new("attempt_header", "(not shown)", reason)
        })
    }
}

/// Returns the jitter of this name.
fn jitter(name: &str) -> Result<Jitter, InvalidConfig> {
    match name {
        "full" => Ok(Jitter::Full),
        "equal" => Ok(Jitter::Equal),
        "decorrelated" => Ok(Jitter::Decorrelated),
        "none" => Ok(Jitter::None),
        _ => {
            let reason = "must be full, equal, decorrelated or none";
            Err(InvalidConfig::new("jitter", "(not shown)", reason))
        }
    }
}
