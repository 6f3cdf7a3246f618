//! When an endpoint can take an attempt.

use tokio::time::Instant;

/// When an endpoint can take an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Availability {
    /// At once.
    Now,
    /// When its send rate allows it, or when the outcome of its probe is known.
    Paced(Instant),
    /// When a cooldown ends, or when it has enough tokens for the request.
    Limited(Instant),
    /// When its breaker admits a probe.
    Broken {
        /// When the breaker admits a probe and the endpoint is ready.
        at: Instant,
        /// Whether an attempt could succeed earlier: the endpoint neither cools nor is isolated.
        last_resort: bool,
        /// When an early probe is due, or the outcome of a probe may be known.
        early: Option<Instant>,
    },
    /// The request must not be sent to this endpoint.
    Never,
}

impl Availability {
    /// Returns the availability with a limit until `until`.
    pub(crate) fn not_before(self, until: Instant) -> Self {
        match self {
            Self::Now => Self::Limited(until),
            Self::Paced(at) | Self::Limited(at) => Self::Limited(at.max(until)),
            Self::Broken { at, early, .. } => Self::Broken {
                at: at.max(until),
                early: early.map(|early| early.max(until)),
                last_resort: false,
            },
            Self::Never => Self::Never,
        }
    }

    /// Returns the instant, or `None` for `Now` and `Never`.
    pub(crate) fn at(self) -> Option<Instant> {
        match self {
            Self::Now | Self::Never => None,
            Self::Paced(at) | Self::Limited(at) | Self::Broken { at, .. } => Some(at),
        }
    }

    /// Returns when the endpoint recovers, which may be now.
    pub(crate) fn recovery(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Never => None,
            other => Some(other.at().unwrap_or(now)),
        }
    }

    /// Returns when its limit ends, which may be now. A broken endpoint has no such time.
    pub(crate) fn end_of_limit(self, now: Instant) -> Option<Instant> {
        match self {
            Self::Broken { .. } => None,
            other => other.recovery(now),
        }
    }

    /// Returns whether the endpoint takes attempts, now or at its send rate.
    pub(crate) fn is_paced(self) -> bool {
        matches!(self, Self::Now | Self::Paced(_))
    }
}
