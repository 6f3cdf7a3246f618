use std::time::Duration;

use steadfast_core::{BreakerState, EndpointName};
use tokio::time::Instant;

use crate::pool::snapshot::{ActiveEndpoint, EndpointMode};
use crate::state::check_result::CheckResult;
use crate::state::quota::QuotaWindow;

/// What is known of one endpoint. With the feature `serde` it can be written down: durations as
/// seconds, which their names say then.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct EndpointStatus {
    /// Its name.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::text")
    )]
    pub name: EndpointName,
    /// Its base URI, without credentials.
    pub base: String,
    /// Its tier.
    pub tier: u16,
    /// Its weight, 1 if none was set.
    pub weight: f64,
    /// What a request costs there, 1 if nothing was set.
    pub cost: f64,
    /// Whether it takes requests at all.
    pub service: EndpointMode,
    /// Whether it could take a request now.
    pub admissible: bool,
    /// The state of its breaker.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::text")
    )]
    pub breaker: BreakerState,
    /// How long it takes until its breaker admits an attempt, if that is not now.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "retry_in_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub retry_in: Option<Duration>,
    /// The share of successes among the last outcomes, 1 if nothing is known.
    pub health: f64,
    /// How long it is still left alone, if it cools.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "cooling_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub cooling: Option<Duration>,
    /// The requests a second that it was seen to take, if it has been limited lately.
    pub rate: Option<f64>,
    /// What it says of its quota of requests, if it does.
    pub requests: Option<QuotaWindow>,
    /// What it says of its quota of tokens, if it does.
    pub tokens: Option<QuotaWindow>,
    /// Requests that were sent and whose response has not ended.
    pub in_flight: u32,
    /// A moving average of the time to the head of a successful response.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "latency_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub latency: Option<Duration>,
    /// What the last [health check](crate#health-checks) has found, if there was one.
    pub checked: Option<CheckResult>,
}

impl EndpointStatus {
    pub(crate) fn of(entry: &ActiveEndpoint, now: Instant) -> Self {
        let endpoint = &*entry.state;
        let since_start = endpoint.since_start(now);
        Self {
            name: endpoint.config.name.clone(),
            base: endpoint.config.base(),
            tier: entry.tier,
            weight: entry.weight,
            cost: endpoint.config.cost,
            service: entry.service,
            admissible: entry.service == EndpointMode::Enabled && endpoint.is_available(None, now),
            breaker: endpoint.breaker.state(),
            retry_in: endpoint.breaker.retry_in(),
            health: endpoint.breaker.health(),
            cooling: endpoint
                .cooldown
                .until(now)
                .map(|until| until.saturating_duration_since(now)),
            rate: endpoint.cooldown.rate(),
            requests: endpoint.quota.requests(since_start),
            tokens: endpoint.quota.tokens(since_start),
            in_flight: endpoint.load.in_flight(),
            latency: endpoint.load.latency.average(),
            checked: endpoint.last_check.at(now),
        }
    }
}
