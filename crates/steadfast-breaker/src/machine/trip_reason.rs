//! The reason of an opening.

use std::fmt;

/// The reason why a breaker opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TripReason {
    /// Consecutive failures.
    ConsecutiveFailures,
    /// Failures among the last outcomes, or their share of a window.
    FailureRate,
    /// Failures in excess of a share of the calls.
    ExcessFailures,
    /// The share of slow calls.
    SlowCalls,
    /// A rate limit, until its hint.
    RateLimited,
    /// A failed probe.
    Probe,
    /// A call of [`trip`](crate::CircuitBreaker::trip) or
    /// [`isolate`](crate::CircuitBreaker::isolate).
    Manual,
}

impl TripReason {
    /// Returns the name in logs and metrics, such as `failure_rate`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::FailureRate => "failure_rate",
            Self::ExcessFailures => "excess_failures",
            Self::SlowCalls => "slow_calls",
            Self::RateLimited => "rate_limited",
            Self::Probe => "probe",
            Self::Manual => "manual",
        }
    }
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
