//! The phases of a breaker, and the transitions between them.

use std::time::Duration;

use steadfast_core::BreakerState;
use tokio::time::Instant;

use super::ramp::Ramp;

/// The state of a breaker with its data.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    Closed {
        /// When it closed. `None` if it never opened.
        since: Option<Instant>,
        ramp: Option<Ramp>,
    },
    Open {
        until: Instant,
    },
    HalfOpen {
        successes: u32,
    },
    /// Admits every attempt and counts none, until `reset`.
    Disabled,
    /// Rejects every attempt, until `reset`.
    Isolated,
}

/// A transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) from: BreakerState,
    pub(crate) to: BreakerState,
    pub(crate) retry_in: Option<Duration>,
}

/// A manual transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Trip,
    Reset,
    Disable,
    Isolate,
}

/// When an attempt may be admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    Nothing,
    /// After this time, or at an unknown one.
    For(Option<Duration>),
}

impl Phase {
    /// The phase of a breaker without history.
    pub(crate) const NEW: Self = Self::Closed {
        since: None,
        ramp: None,
    };

    pub(crate) fn state(self) -> BreakerState {
        match self {
            Self::Closed { .. } | Self::Disabled => BreakerState::Closed,
            Self::Open { .. } | Self::Isolated => BreakerState::Open,
            Self::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }
}

impl Wait {
    /// Returns the time. An unknown one is [`Duration::MAX`].
    pub(crate) fn into_time(self) -> Option<Duration> {
        match self {
            Self::Nothing => None,
            Self::For(wait) => Some(wait.unwrap_or(Duration::MAX)),
        }
    }
}
