//! The result of the last health check of an endpoint.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The result and the age of the last health check of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckResult {
    /// The result of the check.
    pub finding: CheckOutcome,
    /// The time since the check. Serialized in seconds.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "ago_seconds",
            serialize_with = "crate::state::serialize::seconds"
        )
    )]
    pub ago: Duration,
}

/// The result of a health check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CheckOutcome {
    /// The endpoint is healthy.
    Passed,
    /// The endpoint is not healthy.
    Failed,
    /// The endpoint responded without information about its health. For example, it refused the
    /// check for a limit or rejected the credential.
    Unknown,
}

/// Holds the result of the last check. It is written once per interval and read for a snapshot.
#[derive(Debug, Default)]
pub(crate) struct LastCheck(Mutex<Option<(CheckOutcome, Instant)>>);

impl LastCheck {
    /// Returns the last result with its age at `now`, if there was a check.
    pub(crate) fn at(&self, now: Instant) -> Option<CheckResult> {
        // The value is written in one step, so a poisoned value is valid.
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|(finding, at)| CheckResult {
            finding,
            ago: now.saturating_duration_since(at),
        })
    }

    /// Records a result. Returns the previous result, if there was one.
    #[cfg(feature = "health")]
    pub(crate) fn note(&self, finding: CheckOutcome, now: Instant) -> Option<CheckOutcome> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace((finding, now)).map(|(before, _)| before)
    }
}
