//! Why a breaker opens: the reasons, and the registry of the trip rules with a counter of their
//! own.
//!
//! Such a rule is a file with its numbers, their check and its counter, such as [`cusum`].
//! It has a [`TripReason`], a field of [`CountingRules`] and [`Counters`], and a line in each of
//! their functions.

pub(crate) mod cusum;

use std::fmt;

use steadfast_core::InvalidConfig;

use self::cusum::{Cusum, Excess};

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

/// The numbers of the rules with a counter. A rule without numbers is off.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct CountingRules {
    /// Opens at this number of failures in excess of a share.
    pub(crate) excess: Option<Excess>,
}

/// The counters of these rules. Each failure of a closed breaker counts, and each success after
/// the first failure. Successes before it change no counter and are skipped.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counters {
    excess: Option<Cusum>,
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

impl TripReason {
    /// Returns whether single failures caused the opening.
    pub(super) fn is_by_failures(self) -> bool {
        match self {
            Self::ConsecutiveFailures | Self::FailureRate | Self::ExcessFailures | Self::Probe => {
                true
            }
            Self::SlowCalls | Self::RateLimited | Self::Manual => false,
        }
    }
}

impl fmt::Display for TripReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl CountingRules {
    pub(crate) fn check(&self) -> Result<(), InvalidConfig> {
        self.excess.map_or(Ok(()), Excess::check)
    }
}

impl Counters {
    pub(crate) fn new(rules: CountingRules) -> Self {
        Self {
            excess: rules.excess.map(Cusum::new),
        }
    }

    /// Counts a success.
    pub(crate) fn succeed(&mut self) {
        if let Some(excess) = &mut self.excess {
            excess.succeed();
        }
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self) {
        if let Some(excess) = &mut self.excess {
            excess.fail();
        }
    }

    /// Takes back a failure.
    pub(crate) fn take_back(&mut self) {
        if let Some(excess) = &mut self.excess {
            excess.take_back();
        }
    }

    /// Returns the reason of the first rule that is reached.
    pub(crate) fn reached(&self) -> Option<TripReason> {
        let is_excess = self.excess.is_some_and(|excess| excess.is_reached());
        is_excess.then_some(TripReason::ExcessFailures)
    }

    /// Returns whether a success has nothing to clear.
    pub(crate) fn is_clean(&self) -> bool {
        self.excess.is_none_or(|excess| excess.is_zero())
    }

    /// Forgets all outcomes.
    pub(crate) fn clear(&mut self) {
        if let Some(excess) = &mut self.excess {
            excess.clear();
        }
    }
}
