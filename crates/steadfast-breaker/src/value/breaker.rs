//! The breaker as a value.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::layer::Observers;
use steadfast_core::{BreakerState, Class, EndpointName, Verdict};
use tokio::sync::watch;
use tokio::time::Instant;

use super::error::{CallError, CircuitOpen};
use super::handle::Handle;
use super::permit::Permit;
use super::shared::Shared;
use crate::machine::{Order, Rules, TripReason, Wait};
use crate::sync::now;

/// Decides from the outcomes of attempts whether the next attempt is admitted.
///
/// [`try_acquire`](Self::try_acquire) admits an attempt, and its [`Permit`] records the verdict.
/// Clones share one state. A [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) does both for a
/// service. See the [crate docs](crate) for the states.
///
/// ```
/// use steadfast_breaker::CircuitBreaker;
/// use steadfast_core::{BreakerState, Class, Verdict};
///
/// let breaker = CircuitBreaker::builder().consecutive_failures(2).build()?;
/// for _ in 0..2 {
///     let permit = breaker.try_acquire()?;
///     permit.record(Verdict::new(Class::Connect));
/// }
/// assert_eq!(breaker.state(), BreakerState::Open);
/// assert!(breaker.try_acquire().is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Cost
///
/// A closed breaker is clean without a failure among the last outcomes and without an
/// [excess](crate::CircuitBreakerBuilder::excess_failures). Then an attempt costs two atomic loads
/// and the reference count of its clone. It takes no lock, reads no clock, allocates nothing and
/// writes nothing that threads share. A clone of the breaker costs an allocation: it has its own
/// reference count, so threads with their own clones do not contend.
///
/// A rate adds a few atomic operations per call. A rate by time also reads the clock, and takes a
/// lock once per tenth of its window. An open breaker rejects without a lock and without an
/// allocation. Other steps take a short lock, which is never held while user code runs.
pub struct CircuitBreaker {
    /// Without the handle in between, a check of many breakers reads one cache line less for each.
    shared: Arc<Shared>,
    handle: Arc<Handle>,
}

impl CircuitBreaker {
    pub(super) const DEFAULT_NAME: &'static str = "breaker";

    /// Creates a closed breaker with the defaults of the
    /// [`CircuitBreakerBuilder`](crate::CircuitBreakerBuilder).
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(
            Self::DEFAULT_NAME.into(),
            Rules::default(),
            Observers::new(),
        )
    }

    pub(super) fn from_parts(name: EndpointName, rules: Rules, observers: Observers) -> Self {
        Self::of(Arc::new(Shared::new(name, rules, observers)))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle::new(shared.clone())),
            shared,
        }
    }

    /// Returns the name in events, logs and errors.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        self.shared.announcer().name()
    }

    /// Admits an attempt.
    ///
    /// After the open time, this call makes the breaker half-open, and the attempt is its first
    /// probe. There is no timer and no task.
    ///
    /// # Errors
    ///
    /// Returns an error if the breaker is open, or half-open with all probe slots taken.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, CircuitOpen> {
        self.acquire(now)
    }

    #[inline]
    pub(super) fn acquire(&self, now: impl Fn() -> Instant) -> Result<Permit, CircuitOpen> {
        match self.shared.admit(now) {
            Ok(admission) => Ok(Permit::attached(self.handle.clone(), admission)),
            Err(wait) => Err(CircuitOpen::of(self.handle.clone(), wait)),
        }
    }

    /// Makes an attempt unless it is rejected. `Ok` is a success and `Err` is a failure.
    ///
    /// A future that is dropped before its end is a cancelled attempt. For other rules, record the
    /// verdict on the permit of [`try_acquire`](Self::try_acquire).
    ///
    /// ```
    /// use std::io;
    /// use steadfast_breaker::{CallError, CircuitBreaker};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # async fn load(key: u32) -> io::Result<u32> { if key > 0 { Ok(key) } else { Err(io::ErrorKind::NotFound.into()) } }
    /// let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    /// assert_eq!(breaker.call(load(1)).await?, 1);
    /// assert!(matches!(breaker.call(load(0)).await, Err(CallError::Failed(_))));
    /// assert!(matches!(breaker.call(load(1)).await, Err(CallError::Open(_))));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Returns the error of the attempt, or [`CallError::Open`] if it was rejected.
    pub async fn call<T, E>(
        &self,
        attempt: impl Future<Output = Result<T, E>>,
    ) -> Result<T, CallError<E>> {
        let permit = self.try_acquire().map_err(CallError::Open)?;
        let result = attempt.await;
        permit.record(match &result {
            Ok(_) => Verdict::SUCCESS,
            Err(_) => Verdict::new(Class::ServerError),
        });
        result.map_err(CallError::Failed)
    }

    /// Returns whether [`try_acquire`](Self::try_acquire) would admit an attempt now.
    ///
    /// Reads only. A concurrent attempt may take the free slot, and while traffic
    /// [grows](crate::CircuitBreakerBuilder::ramp) only a share of the attempts is admitted.
    #[must_use]
    pub fn would_admit(&self) -> bool {
        self.shared.wait(now) == Wait::Nothing
    }

    /// Returns whether every attempt is admitted: the breaker is disabled, or it is closed and
    /// traffic does not [grow](crate::CircuitBreakerBuilder::ramp).
    ///
    /// A single load, so a caller with several breakers can check it first.
    #[must_use]
    #[inline]
    pub fn admits_all(&self) -> bool {
        self.shared.is_closed() || self.shared.is_disabled()
    }

    /// Returns the state.
    ///
    /// Reads only: after the open time, a breaker stays open until an attempt is admitted.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.shared.state()
    }

    /// Returns the share of successes among the last outcomes, from 0 to 1.
    ///
    /// The window has the size of
    /// [`failures_of_last`](crate::CircuitBreakerBuilder::failures_of_last), or [`DEFAULT_WINDOW`].
    /// Unknown outcomes count as successes, so a new breaker is at 1, as is one that has just
    /// closed. While the breaker is open or half-open, the share does not change.
    ///
    /// [`DEFAULT_WINDOW`]: crate::CircuitBreakerBuilder::DEFAULT_WINDOW
    #[must_use]
    #[inline]
    pub fn health(&self) -> f64 {
        self.shared.health()
    }

    /// Returns the time until an attempt may be admitted, or `None` if one would be now.
    ///
    /// If all probe slots are taken, that is one second, or less if a slot is reclaimed sooner: a
    /// verdict may release a slot at any time. An [isolated](Self::isolate) breaker has no such
    /// time and returns [`Duration::MAX`].
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.shared.wait(now).into_time()
    }

    /// Returns the reason of the last opening, even if the breaker has closed since.
    #[must_use]
    pub fn last_trip(&self) -> Option<TripReason> {
        self.shared.reason()
    }

    /// Returns the number of verdicts without effect: verdicts on attempts from before the last
    /// transition.
    #[must_use]
    pub fn late_verdicts(&self) -> u64 {
        self.shared.late_verdicts()
    }

    /// Opens the breaker as too many failures would. It recovers as usual.
    ///
    /// Does nothing if the breaker is open, disabled or isolated.
    pub fn trip(&self) {
        self.shared.order(Order::Trip);
    }

    /// Closes the breaker and clears all outcomes. Also ends [`disable`](Self::disable) and
    /// [`isolate`](Self::isolate).
    pub fn reset(&self) {
        self.shared.order(Order::Reset);
    }

    /// Admits every attempt and counts none, until [`reset`](Self::reset).
    ///
    /// Meanwhile the state is closed.
    pub fn disable(&self) {
        self.shared.order(Order::Disable);
    }

    /// Rejects every attempt until [`reset`](Self::reset).
    ///
    /// Meanwhile the state is open. Attempts in flight continue, and their verdicts change nothing.
    pub fn isolate(&self) {
        self.shared.order(Order::Isolate);
    }

    /// Returns whether the breaker is [disabled](Self::disable).
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.shared.is_disabled()
    }

    /// Returns whether the breaker is [isolated](Self::isolate).
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.shared.is_isolated()
    }

    /// Returns whether the breaker is half-open and a probe has succeeded.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        self.shared.is_recovering()
    }

    /// Returns a receiver of the state, which is notified of each transition.
    ///
    /// A slow receiver sees only the last state. An
    /// [observer](crate::CircuitBreakerBuilder::observer) gets every transition.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BreakerState> {
        self.shared.announcer().subscribe()
    }

    #[inline]
    pub(super) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    #[inline]
    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }
}

impl Clone for CircuitBreaker {
    fn clone(&self) -> Self {
        Self::of(self.shared.clone())
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CircuitBreaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreaker")
            .field("name", self.name())
            .field("state", &self.state())
            .field("health", &self.health())
            .field("retry_in", &self.retry_in())
            .finish_non_exhaustive()
    }
}
