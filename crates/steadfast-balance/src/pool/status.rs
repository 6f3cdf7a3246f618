use std::ops::Deref;
use std::time::Duration;

use steadfast_core::{BreakerState, EndpointName};
use tokio::time::Instant;

use crate::pool::key_status::KeyStatus;
use crate::pool::limit_status::LimitStatus;
use crate::pool::snapshot::{ActiveEndpoint, EndpointMode};
use crate::state::check_result::CheckResult;
use crate::state::limits::demand::Demand;
use crate::state::reason::Reason;

/// The state of one endpoint at one instant.
///
/// With the feature `serde` it implements `Serialize`, with durations in seconds.
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
    /// Its weight. Defaults to 1.
    pub weight: f64,
    /// The cost of a request. Defaults to 1.
    pub cost: f64,
    /// Whether it is enabled.
    pub service: EndpointMode,
    /// Whether it is admissible now.
    pub admissible: bool,
    /// The state of its breaker.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::text")
    )]
    pub breaker: BreakerState,
    /// The time until its breaker admits an attempt, if it is open.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "retry_in_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub retry_in: Option<Duration>,
    /// The last failure, if its breaker is not closed.
    pub breaker_reason: Option<Reason>,
    /// The share of successes among the last outcomes. 1 without any outcome.
    pub health: f64,
    /// The limits that all requests share.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub limits: LimitStatus,
    /// The limits of each key.
    pub keys: Vec<KeyStatus>,
    /// The attempts in flight.
    pub in_flight: u32,
    /// The EWMA of the time to the head of a success.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "latency_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub latency: Option<Duration>,
    /// The result of the last health check, if there was one.
    pub checked: Option<CheckResult>,
}

impl EndpointStatus {
    /// Reads the state of an endpoint at `now`.
    pub(crate) fn of(entry: &ActiveEndpoint, now: Instant) -> Self {
        let endpoint = &*entry.state;
        let (since_start, wide) = (endpoint.since_start(now), &endpoint.limits.wide);
        let breaker = endpoint.breaker.state();
        Self {
            name: endpoint.config.name.clone(),
            base: endpoint.config.base(),
            tier: entry.tier,
            weight: entry.weight,
            cost: endpoint.config.cost,
            service: entry.service,
            admissible: entry.service == EndpointMode::Enabled
                && endpoint.is_available(&Demand::default(), now),
            breaker,
            retry_in: endpoint.breaker.retry_in(),
            breaker_reason: (breaker != BreakerState::Closed)
                .then(|| endpoint.last_failure.get())
                .flatten(),
            health: endpoint.breaker.health(),
            limits: LimitStatus::of(wide, since_start, now),
            keys: (endpoint.limits.keys().iter())
                .map(|state| KeyStatus::of(state, since_start, now))
                .collect(),
            in_flight: endpoint.load.in_flight(),
            latency: endpoint.load.latency.average(),
            checked: endpoint.last_check.at(now),
        }
    }
}

impl Deref for EndpointStatus {
    type Target = LimitStatus;

    fn deref(&self) -> &LimitStatus {
        &self.limits
    }
}
