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

use serde::Deserialize;
use serde::de::{Deserializer, Error};
use steadfast_balance::{Endpoint, Strategy};
use steadfast_core::InvalidConfig;
use steadfast_retry::{Backoff, RetryOn429Layer};

use crate::api_key::{ApiKey, InvalidApiKey};
use crate::stack::{AiStack, AiStackBuilder};
use crate::timeouts::Timeouts;

/// What holds for the whole stack. Everything has a default.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StackConfig {
    /// `failover`, `round_robin`, `least_loaded`, `scored`, `headroom` or `sticky`.
    pub strategy: StrategyName,
    /// `short`, `medium`, `long`, or a table of durations.
    pub timeouts: TimeoutsConfig,
    /// How often and how long a request is tried.
    pub retry: RetryConfig,
}

/// One endpoint. `name` and `url` are required.
///
/// `Debug` shows neither the URL nor the variable of the key, where somebody may have put a secret
/// by mistake. The errors of a format may quote the line that they are about.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct EndpointConfig {
    /// Its name in logs and metrics.
    pub name: String,
    /// Its base URI, with the part of the path that all its requests have.
    pub url: String,
    /// The environment variable that holds its API key.
    pub api_key_env: Option<String>,
    /// Its tier, 0 if not set.
    #[serde(default)]
    pub tier: u16,
    /// Its weight beside others of its tier, 1 if not set.
    pub weight: Option<f64>,
    /// Whether it gets the caller's own credentials.
    #[serde(default)]
    pub pass_credentials: bool,
    /// Its breaker.
    #[serde(default)]
    pub breaker: BreakerConfig,
}

/// The name of a [`Strategy`].
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StrategyName {
    /// [`Strategy::Failover`].
    #[default]
    Failover,
    /// [`Strategy::RoundRobin`].
    RoundRobin,
    /// [`Strategy::LeastLoaded`].
    LeastLoaded,
    /// [`Strategy::Scored`].
    Scored,
    /// [`Strategy::Headroom`].
    Headroom,
    /// [`Strategy::Sticky`].
    Sticky,
}

/// [`Timeouts`] by the name of a profile or one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeoutsConfig(pub Timeouts);

/// How often and how long a request is tried.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryConfig {
    /// The attempts of a request in all.
    pub max_attempts: Option<u32>,
    /// The bound of the first wait.
    #[serde(deserialize_with = "duration")]
    pub base_delay: Option<Duration>,
    /// The bound of all waits.
    #[serde(deserialize_with = "duration")]
    pub max_delay: Option<Duration>,
    /// How long a request may take until its stream begins or its whole answer ends.
    #[serde(deserialize_with = "duration")]
    pub deadline: Option<Duration>,
    /// The size of the largest body, in bytes, that is kept for further attempts.
    pub replay_limit: Option<u64>,
}

/// The breaker of an endpoint. What is not set is as in [`Endpoint::default_breaker`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// The failures in a row that open it.
    pub consecutive_failures: Option<u32>,
    /// How long it stays open at first.
    #[serde(deserialize_with = "duration")]
    pub recovery_timeout: Option<Duration>,
}

impl StackConfig {
    /// Begins a stack that is configured so.
    ///
    /// # Errors
    ///
    /// Returns an error that names the field, also if the variable of an API key is not set.
    pub fn builder(&self, endpoints: &[EndpointConfig]) -> Result<AiStackBuilder, InvalidConfig> {
        let TimeoutsConfig(timeouts) = self.timeouts;
        timeouts.validate().map_err(|error| error.within("stack"))?;
        let retry = self
            .retry
            .layer()
            .map_err(|error| error.within("stack.retry"))?;
        let mut builder = AiStack::builder()
            .strategy(Strategy::from(self.strategy))
            .timeouts(timeouts)
            .retry(retry);
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

impl RetryConfig {
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
    /// Makes the endpoint, with the API key of its environment variable.
    fn endpoint(&self) -> Result<Endpoint, InvalidConfig> {
        let mut endpoint = Endpoint::new(&self.name, &self.url)?
            .tier(self.tier)
            .pass_credentials(self.pass_credentials);
        if let Some(weight) = self.weight {
            endpoint = endpoint.weight(weight);
        }
        if let Some(variable) = &self.api_key_env {
            // Somebody may have put the key itself there.
            let invalid = |reason| InvalidConfig::new("api_key_env", "(not shown)", reason);
            let text = env::var(variable)
                .map_err(|_| invalid("must name an environment variable that is set"))?;
            let key = ApiKey::new(&text).map_err(|error| match error {
                InvalidApiKey::Empty => invalid("must name a variable that is not empty"),
                _ => invalid("must name a variable whose value can stand in a header"),
            })?;
            endpoint = endpoint.api_key(key);
        }
        let mut breaker = Endpoint::default_breaker();
        if let Some(failures) = self.breaker.consecutive_failures {
            breaker = breaker.consecutive_failures(failures);
        }
        if let Some(timeout) = self.breaker.recovery_timeout {
            let max = timeout.max(Endpoint::DEFAULT_MAX_RECOVERY_TIMEOUT);
            breaker = breaker.recovery_timeout(timeout).max_recovery_timeout(max);
        }
        // Built once here, so that an error can say which endpoint it is about.
        breaker
            .clone()
            .build()
            .map_err(|error| error.within("breaker"))?;
        Ok(endpoint.breaker(breaker))
    }
}

impl fmt::Debug for EndpointConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointConfig")
            .field("name", &self.name)
            .field("tier", &self.tier)
            .field("weight", &self.weight)
            .field("pass_credentials", &self.pass_credentials)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl From<StrategyName> for Strategy {
    fn from(name: StrategyName) -> Self {
        match name {
            StrategyName::Failover => Self::Failover,
            StrategyName::LeastLoaded => Self::LeastLoaded,
            StrategyName::Scored => Self::Scored,
            StrategyName::RoundRobin => Self::RoundRobin,
            StrategyName::Headroom => Self::Headroom,
            StrategyName::Sticky => Self::Sticky,
        }
    }
}

impl<'de> Deserialize<'de> for TimeoutsConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "snake_case")]
        enum Profile {
            Short,
            Medium,
            Long,
        }

        #[derive(Deserialize)]
        #[serde(default, deny_unknown_fields)]
        #[derive(Default)]
        struct Table {
            #[serde(deserialize_with = "duration")]
            connect: Option<Duration>,
            #[serde(deserialize_with = "duration")]
            head: Option<Duration>,
            #[serde(deserialize_with = "duration")]
            first_token: Option<Duration>,
            #[serde(deserialize_with = "duration")]
            idle: Option<Duration>,
            #[serde(deserialize_with = "duration")]
            total: Option<Duration>,
        }

        /// Reads the one or the other. An untagged enum could not say what is wrong.
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Timeouts;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("timeouts: `short`, `medium`, `long`, or a table of durations")
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Timeouts, E> {
                let name = serde::de::value::StrDeserializer::new(name);
                Ok(match Profile::deserialize(name)? {
                    Profile::Short => Timeouts::SHORT,
                    Profile::Medium => Timeouts::MEDIUM,
                    Profile::Long => Timeouts::LONG,
                })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, map: A) -> Result<Timeouts, A::Error> {
                let table = serde::de::value::MapAccessDeserializer::new(map);
                let table = Table::deserialize(table)?;
                let default = Timeouts::DEFAULT;
                Ok(Timeouts {
                    connect: table.connect.unwrap_or(default.connect),
                    head: table.head.unwrap_or(default.head),
                    first_token: table.first_token.unwrap_or(default.first_token),
                    idle: table.idle.unwrap_or(default.idle),
                    total: table.total.unwrap_or(default.total),
                })
            }
        }

        deserializer.deserialize_any(Visitor).map(Self)
    }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let text = String::deserialize(deserializer)?;
    match humantime::parse_duration(&text) {
        Ok(duration) => Ok(Some(duration)),
        Err(error) => Err(D::Error::custom(format_args!(
            "{text:?} is no duration such as \"500ms\", \"30s\" or \"10m\": {error}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Config {
        #[serde(default)]
        stack: StackConfig,
        #[serde(default)]
        endpoint: Vec<EndpointConfig>,
    }

    fn build(text: &str) -> Result<AiStackBuilder, String> {
        // The text of a format's error quotes the line that it is about, and so names every field.
        let config = toml::Deserializer::parse(text).map_err(|error| error.message().to_owned())?;
        let config: Config = serde_path_to_error::deserialize(config).map_err(|error| {
            let path = error.path().to_string();
            format!("{path}: {}", error.into_inner().message())
        })?;
        let builder = config.stack.builder(&config.endpoint);
        builder.map_err(|error| error.to_string())
    }

    #[test]
    fn reads_profiles_and_tables() {
        for (text, expected) in [
            ("", Timeouts::DEFAULT),
            ("timeouts = 'short'", Timeouts::SHORT),
            ("timeouts = 'medium'", Timeouts::MEDIUM),
            ("timeouts = 'long'", Timeouts::LONG),
            (
                "timeouts = { head = '2s', idle = '90s' }",
                Timeouts {
                    head: Duration::from_secs(2),
                    idle: Duration::from_secs(90),
                    ..Timeouts::DEFAULT
                },
            ),
        ] {
            let config: StackConfig = toml::from_str(text).unwrap();
            assert_eq!(config.timeouts.0, expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        const ENDPOINT: &str = "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1/v1'\n";
        for (text, named) in [
            ("[stack]\nstrategy = 'fastest'", "stack.strategy"),
            ("[stack]\ntimeouts = 'quick'", "stack.timeouts"),
            (
                "[stack]\ntimeouts = { head = '2 bananas' }",
                "stack.timeouts.head",
            ),
            ("[stack]\ntimeouts = { body = '2s' }", "stack.timeouts.body"),
            ("[stack]\ntimeouts = { idle = '0s' }", "stack.timeouts.idle"),
            (
                "[stack.retry]\nmax_attempts = 0",
                "stack.retry.max_attempts",
            ),
            (
                "[stack.retry]\nmax_attempts = -1",
                "stack.retry.max_attempts",
            ),
            (
                "[stack.retry]\nbase_delay = '9s'\nmax_delay = '1s'",
                "stack.retry.max_delay",
            ),
            ("[stack.retry]\nbase_delay = '0s'", "stack.retry.base_delay"),
            ("[stack.retry]\nmax_delay = '0s'", "stack.retry.max_delay"),
            ("[stack.retry]\ndeadline = '0s'", "stack.retry.deadline"),
            (
                "[stack.retry]\nreplay_limit = '1 MiB'",
                "stack.retry.replay_limit",
            ),
            ("[stack.retry]\nretries = 3", "stack.retry.retries"),
            (
                "[[endpoint]]\nurl = 'http://127.0.0.1:1'",
                "endpoint[0]: missing field `name`",
            ),
            (
                "[[endpoint]]\nname = 'a'",
                "endpoint[0]: missing field `url`",
            ),
            (
                "[[endpoint]]\nname = 'a'\nurl = 'nowhere'",
                "endpoint[0].url",
            ),
            (
                "[[endpoint]]\nname = ''\nurl = 'http://127.0.0.1:1'",
                "endpoint[0].name",
            ),
            (&format!("{ENDPOINT}tier = -1"), "endpoint[0].tier"),
            (
                &format!("{ENDPOINT}api_key_env = 'NOT_SET_ANYWHERE'"),
                "endpoint[0].api_key_env",
            ),
            (
                &format!("{ENDPOINT}[endpoint.breaker]\nconsecutive_failures = 0"),
                "endpoint[0].breaker.consecutive_failures",
            ),
            (
                &format!("{ENDPOINT}[endpoint.breaker]\nrecovery_timeout = 'soon'"),
                "endpoint[0].breaker.recovery_timeout",
            ),
            (
                &format!("{ENDPOINT}[endpoint.breaker]\nfailures = 1"),
                "endpoint[0].breaker.failures",
            ),
        ] {
            let error = build(text).expect_err(text);
            assert!(error.starts_with(named), "{text}: {error}");
        }
    }

    #[test]
    fn a_key_in_the_place_of_its_variable_is_not_shown() {
        let text =
            "[[endpoint]]\nname = 'a'\nurl = 'http://127.0.0.1:1'\napi_key_env = 'sk-secret'";
        let error = build(text).unwrap_err();
        assert!(
            error.contains("api_key_env") && !error.contains("secret"),
            "{error}"
        );
    }

    #[test]
    fn a_long_delay_moves_the_bound_that_is_not_set() {
        for text in [
            "base_delay = '20s'",
            "max_delay = '100ms'",
            "base_delay = '1s'\nmax_delay = '1s'",
        ] {
            let config: RetryConfig = toml::from_str(text).unwrap();
            assert!(config.layer().is_ok(), "{text}");
        }
    }
}
