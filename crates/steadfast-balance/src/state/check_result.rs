//! What the last health check of an endpoint has found.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What the last health check of an endpoint has found, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CheckResult {
    /// What it has found.
    pub finding: CheckOutcome,
    /// How long ago that was.
    #[cfg_attr(
        feature = "serde",
        serde(
            rename = "ago_seconds",
            serialize_with = "crate::state::serialize::seconds"
        )
    )]
    pub ago: Duration,
}

/// What a health check has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum CheckOutcome {
    /// The endpoint does its work.
    Passed,
    /// It does not.
    Failed,
    /// It answered, and that says nothing about its health: the check was limited, say, or its
    /// credential was rejected.
    Unknown,
}

/// Where the last check is noted. It is written once in an interval and read for a snapshot.
#[derive(Debug, Default)]
pub(crate) struct LastCheck(Mutex<Option<(CheckOutcome, Instant)>>);

impl LastCheck {
    pub(crate) fn at(&self, now: Instant) -> Option<CheckResult> {
        // The value is written whole, so a panic cannot have broken it.
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.map(|(finding, at)| CheckResult {
            finding,
            ago: now.saturating_duration_since(at),
        })
    }

    /// Notes what was found. Returns what it was before.
    #[cfg(feature = "health")]
    pub(crate) fn note(&self, finding: CheckOutcome, now: Instant) -> Option<CheckOutcome> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        last.replace((finding, now)).map(|(before, _)| before)
    }
}
