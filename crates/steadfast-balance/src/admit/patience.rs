//! The limits of a wait for a slot.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::overload::Pressure;

/// The part of the time until a deadline that a request may wait during an overload.
const DEADLINE_PART: u32 = 5;

/// The limits of a wait for a slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// When the request gives up.
    pub(crate) until: Instant,
    /// The longest wait during an overload.
    pub(crate) bound: Duration,
    /// The expected latency of an attempt.
    pub(crate) latency: Duration,
    /// Whether the wait is for a better endpoint while others are possible.
    pub(crate) prefers: bool,
    /// Whether the caller set a deadline.
    pub(crate) has_deadline: bool,
}

impl Patience {
    /// Returns the limits of a request that came at `came`.
    ///
    /// During an overload it waits for the longest of `least`, twice the latency and a fifth of the
    /// time until its deadline.
    pub(crate) fn new(
        until: Instant,
        (came, deadline): (Instant, Option<Instant>),
        latency: Duration,
        least: Duration,
        pressure: Pressure,
    ) -> Self {
        // A deadline shows that the caller is patient.
        let of_deadline = deadline.map(|it| it.saturating_duration_since(came) / DEADLINE_PART);
        let bound = least
            .max(latency.saturating_mul(2))
            .max(of_deadline.unwrap_or_default());
        let until = if pressure.overloaded {
            until.min(saturating_add(came, bound))
        } else {
            until
        };
        Self {
            until,
            bound,
            latency,
            prefers: false,
            has_deadline: deadline.is_some(),
        }
    }

    /// Returns whether its wait may be `wait` long on arrival.
    pub(crate) fn admits(&self, wait: Duration, pressure: Pressure, now: Instant) -> bool {
        let fits = now < self.until && saturating_add(now, wait) <= self.until;
        let is_short = !pressure.overloaded || wait <= self.bound_on_arrival();
        fits && (self.prefers || is_short && !self.is_stale(wait, pressure))
    }

    /// Returns the bound of a wait on arrival at an overloaded queue. Callers without a deadline may
    /// be impatient, so the other half of their bound is a reserve.
    fn bound_on_arrival(&self) -> Duration {
        if self.has_deadline {
            self.bound
        } else {
            self.bound / 2
        }
    }

    /// Returns whether a rejection on arrival shows that a present overload continues. A short
    /// deadline shows nothing, and neither does a wait for a better endpoint.
    pub(crate) fn is_evidence(&self, wait: Duration, pressure: Pressure) -> bool {
        pressure.overloaded && wait > self.bound_on_arrival() && !self.prefers
    }

    /// Ends the wait of a stale request. Returns whether it is stale.
    pub(crate) fn expire(&mut self, age: Duration, pressure: Pressure, now: Instant) -> bool {
        let is_stale = self.is_stale(age, pressure);
        if is_stale {
            self.until = now;
        }
        is_stale
    }

    /// Returns whether the caller of a request of this age is probably about to cancel. The
    /// answer would come too late.
    fn is_stale(&self, age: Duration, pressure: Pressure) -> bool {
        if self.prefers {
            return false;
        }
        let patience = pressure.patience;
        // An eighth is kept for answers that are slower than usual.
        let patience = patience.map(|it| (it - it / 8).saturating_sub(self.latency));
        patience.is_some_and(|patience| age > patience.max(self.bound))
    }
}
