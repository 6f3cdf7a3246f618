//! The breaker of an endpoint in a configuration file.

use std::time::Duration;

use serde::Deserialize;
use steadfast_balance::Endpoint;
use steadfast_breaker::{CircuitBreakerBuilder, RateLimits, Window};
use steadfast_core::InvalidConfig;

#[cfg(feature = "schema")]
use super::schema;
use super::set::Set;
use crate::duration::deserialize_some;

/// The breaker of an endpoint. Defaults to [`Endpoint::default_breaker`].
///
/// | Rule | Table |
/// |---|---|
/// | `failures_of_last` | `{ failures = 10, window = 20 }` |
/// | `excess_failures` | `{ failures = 6, share = 0.22 }` |
/// | `failure_rate` | `{ share = 0.5, calls = 100, min_calls = 20 }`, or `time` in place of `calls` |
/// | `slow_calls` | `{ slow = "10s", share = 0.5, time = "1m", min_calls = 5 }` |
///
/// The rules `failures_of_last`, `excess_failures`, `failure_rate` and `slow_calls` are tables.
/// `rate_limits` is `neutral`, `count` or `open_until_hint`.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BreakerConfig {
    /// The consecutive failures that open it.
    pub consecutive_failures: Option<u32>,
    /// Opens it at `failures` among the last `window` outcomes.
    failures_of_last: Option<FailuresOfLast>,
    /// Opens it at `failures` in excess of `share` of the calls.
    excess_failures: Option<ExcessFailures>,
    /// Opens it at a share of failed calls.
    failure_rate: Option<Rate>,
    /// Opens it at a share of slow calls.
    slow_calls: Option<SlowCalls>,
    /// The effect of a rate limit.
    rate_limits: RateLimitsName,
    /// The time in which traffic grows to all after it closed.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub ramp: Option<Duration>,
    /// The time that it stays open at first.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub recovery_timeout: Option<Duration>,
    /// The maximum of this time, which doubles with each failed probe.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub max_recovery_timeout: Option<Duration>,
    /// The concurrent probes while it is half-open.
    pub probes: Option<u32>,
    /// The successes of probes that close it.
    pub success_threshold: Option<u32>,
    /// The time after which the slot of a probe is reclaimed.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    pub probe_timeout: Option<Duration>,
    /// The share of an open time that jitter may subtract, from 0 to 1.
    pub jitter: Option<f64>,
    /// The seed of the jitter, for repeatable runs.
    pub seed: Option<u64>,
}

/// The rule "10 of the last 20".
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct FailuresOfLast {
    /// The number of failures that opens the breaker.
    failures: u32,
    /// The number of outcomes among which they are counted, up to 64.
    window: u32,
}

/// The CUSUM rule.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct ExcessFailures {
    /// The number of failures in excess that opens the breaker.
    failures: u32,
    /// The share of failures that never opens it, from 0 to 1.
    share: f64,
}

/// A share of the calls of a window: the last `calls`, or the calls of the last `time`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct Rate {
    /// The share of the calls, from 0 to 1.
    share: f64,
    /// The number of the last calls.
    #[serde(default)]
    calls: Option<u32>,
    /// The time in which the calls ended.
    #[serde(default, deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    time: Option<Duration>,
    /// The number of calls from which the share counts.
    #[serde(default)]
    min_calls: Option<u32>,
}

/// A share of slow calls of a window.
#[derive(Clone, Copy, Debug, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
struct SlowCalls {
    /// The time from which a call is slow.
    #[serde(deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    slow: Option<Duration>,
    /// The share of the calls, from 0 to 1.
    share: f64,
    /// The number of the last calls.
    #[serde(default)]
    calls: Option<u32>,
    /// The time in which the calls ended.
    #[serde(default, deserialize_with = "deserialize_some")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    time: Option<Duration>,
    #[serde(default)]
    min_calls: Option<u32>,
}

/// The names of [`RateLimits`].
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
enum RateLimitsName {
    #[default]
    Neutral,
    Count,
    OpenUntilHint,
}

impl BreakerConfig {
    /// Creates the builder, and checks its values.
    pub(super) fn builder(&self) -> Result<CircuitBreakerBuilder, InvalidConfig> {
        let failure_rate = self.failure_rate.map(|rate| rate.window("failure_rate"));
        let slow_calls = self.slow_calls.map(|it| it.rate().window("slow_calls"));
        let max = self.max_recovery_timeout.or(self
            .recovery_timeout
            .map(|timeout| timeout.max(Endpoint::DEFAULT_MAX_RECOVERY_TIMEOUT)));
        let builder = Endpoint::default_breaker()
            .rate_limits(self.rate_limits.value())
            .set(
                self.consecutive_failures,
                CircuitBreakerBuilder::consecutive_failures,
            )
            .set(self.failures_of_last, |builder, it| {
                builder.failures_of_last(it.failures, it.window)
            })
            .set(self.excess_failures, |builder, it| {
                builder.excess_failures(it.failures, it.share)
            })
            .set(failure_rate.transpose()?, |builder, (share, window)| {
                builder.failure_rate(share, window)
            })
            .set(slow_calls.transpose()?, |builder, (share, window)| {
                let slow = self.slow_calls.and_then(|it| it.slow);
                builder.slow_calls(slow.unwrap_or_default(), share, window)
            })
            .set(self.ramp, CircuitBreakerBuilder::ramp)
            .set(
                self.recovery_timeout,
                CircuitBreakerBuilder::recovery_timeout,
            )
            .set(max, CircuitBreakerBuilder::max_recovery_timeout)
            .set(self.probes, CircuitBreakerBuilder::probes)
            .set(
                self.success_threshold,
                CircuitBreakerBuilder::success_threshold,
            )
            .set(self.probe_timeout, CircuitBreakerBuilder::probe_timeout)
            .set(self.jitter, CircuitBreakerBuilder::jitter)
            .set(self.seed, CircuitBreakerBuilder::seed);
        // Built once here, so that an error names the endpoint.
        builder.clone().build()?;
        Ok(builder)
    }
}

impl Rate {
    /// Returns the share and the window.
    fn window(self, field: &str) -> Result<(f64, Window), InvalidConfig> {
        let window = match (self.calls, self.time) {
            (Some(calls), None) => Window::calls(calls),
            (None, Some(time)) => Window::time(time),
            _ => {
                let reason = "must have either `calls` or `time`";
                return Err(InvalidConfig::new(field, "{...}", reason));
            }
        };
        Ok((self.share, window.set(self.min_calls, Window::min_calls)))
    }
}

impl SlowCalls {
    /// Returns the share and the window without the time of a slow call.
    fn rate(self) -> Rate {
        Rate {
            share: self.share,
            calls: self.calls,
            time: self.time,
            min_calls: self.min_calls,
        }
    }
}

impl RateLimitsName {
    /// Returns the effect of this name.
    fn value(self) -> RateLimits {
        match self {
            Self::Neutral => RateLimits::Neutral,
            Self::Count => RateLimits::Count,
            Self::OpenUntilHint => RateLimits::OpenUntilHint,
        }
    }
}
