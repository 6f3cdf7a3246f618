//! The effects of a change at an endpoint: events, and slots for waiters.

use std::fmt;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use steadfast_core::layer::Observers;
use tokio::time::Instant;

use crate::admit::departure::{Departure, End};
use crate::admit::queue::Queue;
use crate::admit::waiters::{Key, Wanted};
use crate::state::limits::demand::Demand;
use crate::state::recovery::RecoverySchedule;

/// The observers and the queue of a pool.
///
/// The guards of attempts hold them, so that a response body settles its attempt without the pool.
pub(crate) struct PoolSignals {
    pub(crate) observers: Observers,
    pub(crate) queue: Queue,
    /// When the next recovery probe may be due.
    pub(crate) recovery: RecoverySchedule,
    /// If an attempt is dropped before its head but after this time, it counts as a timeout.
    pub(crate) abandoned_after: Option<Duration>,
    /// The shortest bound of a wait during an overload.
    overload_wait: Duration,
}

/// A waiter's position in the queue. Dropping it passes its slot on.
#[derive(Debug)]
pub(crate) struct QueuePosition {
    signals: Arc<PoolSignals>,
    key: Key,
    /// The end of the wait, as known so far.
    departure: Departure,
}

impl PoolSignals {
    pub(crate) fn new(
        observers: Observers,
        abandoned_after: Option<Duration>,
        overload_wait: Duration,
    ) -> Self {
        Self {
            observers,
            queue: Queue::default(),
            recovery: RecoverySchedule::new(),
            abandoned_after,
            overload_wait,
        }
    }

    /// Lets the waiters check whether their wait can still help, because a probe was refused.
    pub(crate) fn probe_refused(&self, now: Instant) {
        self.queue.wake_older(self.overload_wait, now);
    }

    /// Notifies the waiters with a due slot after a change at an endpoint.
    #[inline]
    pub(crate) fn notify_waiters(&self, now: Instant) {
        self.queue.pass_on(now);
    }
}

impl fmt::Debug for PoolSignals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolSignals").finish_non_exhaustive()
    }
}

impl QueuePosition {
    /// Joins the queue behind all waiters that have waited since `since` or longer.
    pub(crate) fn join(
        signals: &Arc<PoolSignals>,
        since: Instant,
        demand: &Demand,
        departure: Departure,
        waker: &Waker,
    ) -> Self {
        Self {
            key: signals.queue.join(since, demand, waker),
            signals: signals.clone(),
            departure,
        }
    }

    /// Leaves the queue. If the position is dropped instead, the caller has cancelled the request.
    pub(crate) fn leave(mut self, end: End) -> Departure {
        self.departure.end = end;
        self.departure
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    /// Continues to wait for these endpoints. Returns the time of the next search, if the waiter
    /// needs a timer. The services of the endpoints in `busy` wake the waiter.
    pub(crate) fn wait(
        &self,
        demand: &Demand,
        (wanted, busy): (Wanted, Vec<u64>),
        waker: &Waker,
        now: Instant,
    ) -> Option<Instant> {
        let queue = &self.signals.queue;
        queue.wait((self.key, demand), (wanted, busy), waker, now)
    }
}

impl Drop for QueuePosition {
    fn drop(&mut self) {
        self.signals.queue.leave(self.key, self.departure);
    }
}
