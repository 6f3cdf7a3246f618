//! A breaker at an instant that the caller already has.

use std::time::Duration;

use tokio::time::Instant;

use super::breaker::CircuitBreaker;
use super::detached::Detached;
use super::error::CircuitOpen;
use super::permit::Permit;
use super::shared::Shared;
use crate::machine::Wait;

/// A [`CircuitBreaker`] at a given instant. Created by [`CircuitBreaker::at`].
#[derive(Clone, Copy, Debug)]
#[must_use = "does nothing until an attempt is admitted"]
pub struct BreakerAt<'a> {
    breaker: &'a CircuitBreaker,
    now: Instant,
}

impl CircuitBreaker {
    /// Returns this breaker at an instant that the caller already has.
    ///
    /// A closed breaker does not read the clock. For any other breaker the clock is most of the
    /// cost of a rejection. A caller that checks several breakers reads it once. `now` is the
    /// result of `Instant::now()`, or slightly earlier.
    ///
    /// ```
    /// use steadfast_breaker::CircuitBreaker;
    /// use tokio::time::Instant;
    ///
    /// let hosts = [CircuitBreaker::new(), CircuitBreaker::new()];
    /// hosts[0].trip();
    /// let now = Instant::now();
    /// let permit = hosts.iter().find_map(|host| host.at(now).try_acquire().ok());
    /// assert!(permit.is_some());
    /// ```
    #[inline]
    pub fn at(&self, now: Instant) -> BreakerAt<'_> {
        BreakerAt { breaker: self, now }
    }
}

impl BreakerAt<'_> {
    /// Admits an attempt, as [`CircuitBreaker::try_acquire`] does.
    ///
    /// # Errors
    ///
    /// Returns an error if the breaker is open, or half-open with all probe slots taken.
    #[inline]
    pub fn try_acquire(self) -> Result<Permit, CircuitOpen> {
        self.breaker.acquire(|| self.now)
    }

    /// Admits an attempt, with a permit that holds no reference to the breaker.
    ///
    /// See [`Detached`] for an example.
    ///
    /// # Errors
    ///
    /// Returns an error if the breaker is open, or half-open with all probe slots taken.
    #[inline]
    pub fn try_acquire_detached(self) -> Result<Permit<Detached>, CircuitOpen> {
        match self.breaker.shared().admit(|| self.now) {
            Ok(admission) => Ok(Permit::new(Detached::new(), admission)),
            Err(wait) => Err(CircuitOpen::of(self.breaker.handle().clone(), wait)),
        }
    }

    /// Admits a probe as soon as `every` has passed since the last opening, even if the open time
    /// is longer.
    ///
    /// For callers without an alternative: if all breakers of a pool are open, a rejection serves
    /// no request, and a probe may. A failed early probe keeps the rest of the open time. After
    /// [`trip`](CircuitBreaker::trip), [`isolate`](CircuitBreaker::isolate) and a rate limit no
    /// probe is early. A closed breaker admits the attempt as usual.
    ///
    /// A probe that hangs does not stop the next one: `every` after the last probe another one is
    /// admitted, beyond the probe slots. The loss or the timeout of such an overtaken probe then
    /// counts no longer. The caller bounds the number of unanswered probes. With each success the
    /// probe slots for early probes double, so that the requests that wait for the recovery are
    /// sent within the time of two answers.
    ///
    /// # Errors
    ///
    /// Returns an error if no probe is due.
    pub fn try_acquire_early(self, every: Duration) -> Result<Permit<Detached>, CircuitOpen> {
        match self.breaker.shared().admit_early(every, self.now) {
            Ok(admission) => Ok(Permit::new(Detached::new(), admission)),
            Err(wait) => Err(CircuitOpen::of(self.breaker.handle().clone(), wait)),
        }
    }

    /// Returns the time until [`try_acquire_early`](Self::try_acquire_early) may admit a probe, or
    /// `None` if it would now.
    #[must_use]
    pub fn early_retry_in(self, every: Duration) -> Option<Duration> {
        let wait = self.breaker.shared().early_wait(every, self.now)?;
        wait.into_time()
    }

    /// Returns whether [`try_acquire`](Self::try_acquire) would admit an attempt. Reads only.
    #[must_use]
    #[inline]
    pub fn would_admit(self) -> bool {
        let shared = self.breaker.shared();
        shared.is_closed() || would_admit_open(shared, self.now)
    }

    /// Returns the time until an attempt may be admitted, as [`CircuitBreaker::retry_in`] does.
    #[must_use]
    pub fn retry_in(self) -> Option<Duration> {
        self.breaker.shared().wait(|| self.now).into_time()
    }
}

/// Returns whether a breaker that is not closed would admit an attempt.
///
/// Apart, so that the check of a closed breaker stays in registers.
#[inline(never)]
fn would_admit_open(shared: &Shared, now: Instant) -> bool {
    shared.wait(|| now) == Wait::Nothing
}
