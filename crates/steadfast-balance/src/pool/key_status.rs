use std::ops::Deref;
use std::time::Duration;

use steadfast_core::LimitKey;
use tokio::time::Instant;

use crate::pool::limit_status::LimitStatus;
use crate::state::limits::keyed::KeyedState;

/// The limits of one key, or of one caller, at one endpoint, at one instant.
///
/// An endpoint has at most 64 of them. Callers may choose the keys, so only configured keys should
/// be labels of a metric. With the feature `serde` it implements `Serialize`, with durations in
/// seconds.
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
    /// The limits.
    #[cfg_attr(feature = "serde", serde(flatten))]
    pub limits: LimitStatus,
}

impl KeyStatus {
    /// Reads the limits of a key at `now`.
    pub(crate) fn of(state: &KeyedState, since_start: Duration, now: Instant) -> Self {
        Self {
            key: state.key().copied(),
            per_credential: state.is_per_credential(),
            limits: LimitStatus::of(&state.limits, since_start, now),
        }
    }
}

impl Deref for KeyStatus {
    type Target = LimitStatus;

    fn deref(&self) -> &LimitStatus {
        &self.limits
    }
}
