use std::time::Duration;

use steadfast_core::LimitKey;
use tokio::time::Instant;

use crate::state::limits::keyed::KeyedState;
use crate::state::quota::QuotaWindow;
use crate::state::reason::Reason;

/// The limits of one key at one endpoint, at one instant.
///
/// An endpoint has at most 64 of them. Callers may choose the keys, so a key is no label of a
/// metric. With the feature `serde` it implements `Serialize`, with durations in seconds.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KeyStatus {
    /// The key, usually a model. `None` for the limits of a caller's credential.
    #[cfg_attr(
        feature = "serde",
        serde(serialize_with = "crate::state::serialize::optional_text")
    )]
    pub key: Option<LimitKey>,
    /// Whether the limits belong to one credential of a caller, which the endpoint passes on.
    pub per_credential: bool,
    /// The rest of its cooldown, if it is cooling.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "cooling_seconds",
            serialize_with = "crate::state::serialize::optional_seconds"
        )
    )]
    pub cooling: Option<Duration>,
    /// Whether the cooldown is a bench.
    pub benched: bool,
    /// The reason of its cooldown, if it is cooling.
    pub cooling_reason: Option<Reason>,
    /// The learned send rate in attempts per second, if the key was limited recently.
    pub rate: Option<f64>,
    /// The quota of requests that headers report.
    pub requests: Option<QuotaWindow>,
    /// The quota of tokens that headers report.
    pub tokens: Option<QuotaWindow>,
}

impl KeyStatus {
    /// Reads the limits of a key at `now`.
    pub(crate) fn of(state: &KeyedState, since_start: Duration, now: Instant) -> Self {
        let limits = &state.limits;
        let cooldown = limits.cooldown.present(now);
        Self {
            key: state.key().copied(),
            per_credential: state.is_per_credential(),
            cooling: cooldown.map(|cooldown| cooldown.until.saturating_duration_since(now)),
            benched: cooldown.is_some_and(|cooldown| cooldown.bench),
            cooling_reason: cooldown.map(|cooldown| cooldown.trigger.reason()),
            rate: limits.cooldown.rate(),
            requests: limits.quota.requests(since_start),
            tokens: limits.quota.tokens(since_start),
        }
    }
}
