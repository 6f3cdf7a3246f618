//! The counter behind a rate.

use tokio::time::Instant;

use super::call_ring::CallRing;
use super::time_ring::TimeRing;
use super::window::{Span, Window};

/// Counts calls and the bad ones among them, without a lock for most calls.
#[derive(Debug)]
pub(crate) enum Counter {
    Calls(CallRing),
    Time(TimeRing),
}

impl Counter {
    pub(crate) fn new(window: Window, now: Instant) -> Self {
        match window.span {
            Span::Calls(calls) => Self::Calls(CallRing::new(calls)),
            Span::Time(time) => Self::Time(TimeRing::new(time, now)),
        }
    }

    /// Returns whether a call needs its instant.
    pub(crate) fn needs_time(&self) -> bool {
        matches!(self, Self::Time(_))
    }

    /// Adds a call.
    pub(crate) fn push(&self, bad: bool, now: Instant) {
        match self {
            Self::Calls(ring) => ring.push(bad),
            Self::Time(ring) => ring.push(bad, now),
        }
    }

    /// Returns the bad calls, and all calls.
    pub(crate) fn counts(&self, now: Instant) -> (u64, u64) {
        match self {
            Self::Calls(ring) => ring.counts(),
            Self::Time(ring) => ring.counts(now),
        }
    }

    /// Makes a good call of the newest bad one.
    pub(crate) fn take_back(&self, now: Instant) {
        match self {
            Self::Calls(ring) => ring.take_back(),
            Self::Time(ring) => ring.take_back(now),
        }
    }

    pub(crate) fn clear(&self) {
        match self {
            Self::Calls(ring) => ring.clear(),
            Self::Time(ring) => ring.clear(),
        }
    }
}
