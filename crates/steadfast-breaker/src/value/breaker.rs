//! The breaker as a value.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use steadfast_core::{BreakerState, Class, EndpointName, Observers, Verdict};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::machine::rules::Rules;
use crate::machine::state_machine::{Order, TripReason, Wait};
use crate::sync::now;
use crate::value::builder::CircuitBreakerBuilder;
use crate::value::error::CallError;
use crate::value::error::CircuitOpen;
use crate::value::handle::Handle;
use crate::value::permit::Permit;
use crate::value::shared::Shared;

/// Decides from the outcomes of attempts whether the next attempt is worth making.
///
/// Ask it before an attempt with [`try_acquire`](Self::try_acquire), and tell the
/// [`Permit`] how the attempt ended. Clones share one state; a
/// [`CircuitBreakerLayer`](crate::CircuitBreakerLayer) does the asking and telling for a service.
/// See the [crate docs](crate) for the rules.
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
pub struct CircuitBreaker {
    handle: Arc<Handle>,
}

impl CircuitBreaker {
    /// Creates a closed breaker with the defaults of the [`CircuitBreakerBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::from_parts(
            CircuitBreakerBuilder::DEFAULT_NAME.into(),
            Rules::default(),
            Observers::new(),
        )
    }

    /// Creates a builder.
    pub fn builder() -> CircuitBreakerBuilder {
        CircuitBreakerBuilder::new()
    }

    pub(crate) fn from_parts(name: EndpointName, rules: Rules, observers: Observers) -> Self {
        Self::of(Arc::new(Shared::new(name, rules, observers)))
    }

    fn of(shared: Arc<Shared>) -> Self {
        Self {
            handle: Arc::new(Handle::new(shared)),
        }
    }

    /// Returns the name that stands in events, logs and errors.
    #[must_use]
    pub fn name(&self) -> &EndpointName {
        self.handle.announcer().name()
    }

    /// Admits an attempt.
    ///
    /// An open breaker whose time is over turns half-open here, and the attempt is its first
    /// probe. There is no timer and no task that would do it.
    ///
    /// # Errors
    ///
    /// Returns an error if the breaker is open, or half-open with all its places taken.
    #[inline]
    pub fn try_acquire(&self) -> Result<Permit, CircuitOpen> {
        self.acquire(now)
    }

    #[inline]
    pub(crate) fn acquire(&self, now: impl Fn() -> Instant) -> Result<Permit, CircuitOpen> {
        match self.handle.admit(now) {
            Ok(admission) => Ok(Permit::attached(self.handle.clone(), admission)),
            Err(wait) => Err(CircuitOpen::of(self.handle.clone(), wait)),
        }
    }

    /// Makes an attempt unless it is rejected, and takes `Ok` for a success and `Err` for a failure.
    ///
    /// A future that is dropped before its end is a cancelled attempt. Where an `Err` is no fault of
    /// the service, or an `Ok` says that it failed, take [`try_acquire`](Self::try_acquire) and record
    /// what it was.
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
    /// Returns the error of the attempt, or why there was none.
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
    /// Reads only. An attempt of another thread may take the place that was free, and while traffic
    /// [grows](CircuitBreakerBuilder::ramp) only some of those that ask are admitted.
    #[must_use]
    pub fn would_admit(&self) -> bool {
        self.handle.wait(now) == Wait::Nothing
    }

    /// Returns the state.
    ///
    /// Reads only: a breaker stays open until an attempt is admitted, however long ago its time
    /// was over.
    #[must_use]
    pub fn state(&self) -> BreakerState {
        self.handle.state()
    }

    /// Returns the share of successes among the last outcomes, from 0 to 1.
    ///
    /// The outcomes are those of the window, [`DEFAULT_WINDOW`] if none was set. Those that are
    /// not known yet count as successes, so a breaker that has seen nothing is at 1, as is one
    /// that has just closed. While it is open and half-open the share stays as it was when it
    /// opened.
    ///
    /// [`DEFAULT_WINDOW`]: CircuitBreakerBuilder::DEFAULT_WINDOW
    #[must_use]
    #[inline]
    pub fn health(&self) -> f64 {
        self.handle.health()
    }

    /// Returns the time until an attempt may be admitted, or `None` if one would be now.
    ///
    /// If all places of a half-open breaker are taken that is a second, or less if one of them is
    /// reclaimed sooner: a verdict may free one at any time. An [isolated](Self::isolate) breaker has no such
    /// time, which is [`Duration::MAX`].
    #[must_use]
    pub fn retry_in(&self) -> Option<Duration> {
        self.handle.wait(now).into_time()
    }

    /// Returns why it opened the last time, also if it has closed since.
    #[must_use]
    pub fn last_trip(&self) -> Option<TripReason> {
        self.handle.reason()
    }

    /// Returns how many verdicts came too late: on attempts from before the last transition, which
    /// have changed nothing.
    #[must_use]
    pub fn late_verdicts(&self) -> u64 {
        self.handle.late_verdicts()
    }

    /// Opens it as if it had failed too often. It recovers as it always does.
    ///
    /// Does nothing if it is open, disabled or isolated.
    pub fn trip(&self) {
        self.handle.order(Order::Trip);
    }

    /// Closes it, and forgets all that it has seen. Ends [`disable`](Self::disable) and
    /// [`isolate`](Self::isolate) too.
    pub fn reset(&self) {
        self.handle.order(Order::Reset);
    }

    /// Lets every attempt through, whatever comes of it, until [`reset`](Self::reset).
    ///
    /// Its state is closed meanwhile.
    pub fn disable(&self) {
        self.handle.order(Order::Disable);
    }

    /// Rejects every attempt until [`reset`](Self::reset).
    ///
    /// Its state is open meanwhile. Attempts that are under way are not ended, and no verdict on
    /// them changes anything.
    pub fn isolate(&self) {
        self.handle.order(Order::Isolate);
    }

    /// Returns whether it was [disabled](Self::disable).
    #[must_use]
    pub fn is_disabled(&self) -> bool {
        self.handle.is_disabled()
    }

    /// Returns whether it was [isolated](Self::isolate).
    #[must_use]
    pub fn is_isolated(&self) -> bool {
        self.handle.is_isolated()
    }

    #[inline]
    pub(crate) fn handle(&self) -> &Arc<Handle> {
        &self.handle
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.handle.shared()
    }

    /// Returns a receiver of the state, which is told of each transition.
    ///
    /// A receiver that is slow sees the last state and not each one between. An
    /// [observer](CircuitBreakerBuilder::observer) is told of all.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<BreakerState> {
        self.handle.announcer().subscribe()
    }
}

impl Clone for CircuitBreaker {
    fn clone(&self) -> Self {
        Self::of(self.handle.shared().clone())
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
