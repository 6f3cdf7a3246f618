use std::time::Duration;

use tokio::time::Instant;

use crate::state::limits::limit_state::LimitState;
use crate::state::quota::QuotaWindow;
use crate::state::reason::Reason;

/// One set of limits at one instant: of an endpoint, or of one of its keys.
///
/// [`EndpointStatus`](crate::EndpointStatus) and [`KeyStatus`](crate::KeyStatus) dereference to it.
/// With the feature `serde` its fields are serialized among their fields, with durations in
/// seconds.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LimitStatus {
    /// The rest of its cooldown, if it is cooling.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "cooling_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub cooling: Option<Duration>,
    /// Whether the cooldown is a bench: for a spent quota, a rejected credential or a missing
    /// model.
    pub benched: bool,
    /// The reason of its cooldown, if it is cooling.
    pub cooling_reason: Option<Reason>,
    /// The learned send rate in attempts per second, if it was limited recently.
    pub rate: Option<f64>,
    /// The quota of requests that headers report.
    pub requests: Option<QuotaWindow>,
    /// The quota of tokens that headers report.
    pub tokens: Option<QuotaWindow>,
}

impl LimitStatus {
    /// Reads one set of limits at `now`.
    pub(crate) fn of(limits: &LimitState, since_start: Duration, now: Instant) -> Self {
        let cooldown = limits.cooldown.present(now);
        Self {
            cooling: cooldown.map(|cooldown| cooldown.until.saturating_duration_since(now)),
            benched: cooldown.is_some_and(|cooldown| cooldown.bench),
            cooling_reason: cooldown.map(|cooldown| cooldown.trigger.reason()),
            rate: limits.cooldown.rate(),
            requests: limits.quota.requests(since_start),
            tokens: limits.quota.tokens(since_start),
        }
    }
}
