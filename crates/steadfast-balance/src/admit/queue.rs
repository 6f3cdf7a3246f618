//! The queue of a pool: requests that wait for a slot at limited endpoints, first in, first out.
//!
//! Each waiter wants some of the endpoints. The next slot of an endpoint belongs to the first
//! waiter that wants the endpoint and has the same limit key. Waiters with different keys compete
//! only for the slots of limits that all keys share. If no endpoint of a waiter has a slot, the
//! walk passes over that waiter, which keeps its position. This avoids head-of-line blocking.
//!
//! The first waiter of an endpoint has a timer for the slot. The second waiter has a later timer,
//! because the future of the first may be held without being polled. All other waiters have a timer
//! only for the end of their patience. After each change, a walk through the queue wakes the
//! waiters with timers that are now too late.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use steadfast_core::layer::TICK;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::admit::departure::Departure;
use crate::admit::overload::Pressure;
use crate::admit::waiters::{Key, Waiter, Waiters, Wanted};
use crate::state::EndpointState;
use crate::state::limits::demand::Demand;

/// The waiters of a pool.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The number of waiters. If the queue is empty, a request reads only this field.
    len: AtomicUsize,
    /// The number of times that all waiters were woken.
    epoch: AtomicUsize,
    state: Mutex<Waiters>,
    /// Wakes the requests that wait for a busy service outside the queue.
    changed: Notify,
}

/// The endpoints with a next slot that belongs to an earlier waiter.
#[derive(Debug, PartialEq)]
pub(crate) enum Claims {
    /// No endpoint.
    None,
    /// All endpoints of the request.
    All,
    /// The endpoints with these ids, sorted.
    Some(Vec<u64>),
}

impl Claims {
    /// Returns whether the slot of `endpoint` belongs to an earlier waiter.
    #[inline]
    pub(crate) fn has(&self, endpoint: &EndpointState) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(ids) => ids.binary_search(&endpoint.id).is_ok(),
        }
    }
}

impl Queue {
    /// Returns the number of waiters.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Returns a number that changes each time all waiters are woken.
    #[inline]
    pub(crate) fn epoch(&self) -> usize {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Returns an upper bound for the number of waiters before `key` that want one of `wanted`.
    pub(crate) fn ahead<'a>(
        &self,
        (key, demand): (Key, &Demand),
        wanted: impl Iterator<Item = &'a Arc<EndpointState>>,
    ) -> usize {
        let len = self.len();
        if len == 0 {
            return 0;
        }
        let state = self.lock();
        // A waiter that wants two of the endpoints counts twice, so this is an upper bound.
        let rivals = wanted.map(|endpoint| match endpoint.limits.has_shared_slots() {
            true => endpoint.queue_marks.wanted_by.load(Ordering::Relaxed),
            false => state.marks.wanted_by(endpoint, demand),
        });
        let most = rivals.sum::<usize>().min(len);
        let is_last = state.by_position.keys().next_back() < Some(&key);
        if is_last {
            return most;
        }
        // A request that returns after a failover is usually near the front, so the range is short.
        state.by_position.range(..key).take(most).count()
    }

    /// Returns the endpoints claimed by waiters before `own`. The request wants any of `all`.
    #[inline]
    pub(crate) fn claims(&self, own: (Key, &Demand), all: &Wanted, now: Instant) -> Claims {
        match self.len() {
            0 => Claims::None,
            _ => self.claims_of_waiters(own, all, now),
        }
    }

    #[inline(never)]
    fn claims_of_waiters(
        &self,
        (own, demand): (Key, &Demand),
        all: &Wanted,
        now: Instant,
    ) -> Claims {
        let mut state = self.lock();
        let walk = state.begin_walk();
        let mut ids = Vec::new();
        for waiter in state.rivals(own, demand, all) {
            if waiter.is_absent(now) {
                continue;
            }
            let is_whole = waiter.demand.tokens.is_none() && waiter.busy.is_empty();
            let is_rival = waiter.demand.group() == demand.group();
            if is_whole && is_rival && Arc::ptr_eq(&waiter.wanted, all) {
                return Claims::All;
            }
            let claimed = waiter.claimed().filter(|endpoint| {
                let limits = &endpoint.limits;
                let competes = is_rival
                    || limits.group(&waiter.demand) == limits.group(demand)
                    || limits.is_shared_slot(&waiter.demand, now);
                competes && limits.has_tokens_at(&waiter.demand, now).is_none()
            });
            ids.extend(
                claimed
                    .filter(|endpoint| endpoint.queue_marks.is_new_to(walk))
                    .map(|endpoint| endpoint.id),
            );
            if ids.len() >= state.endpoints {
                break;
            }
        }
        if ids.is_empty() {
            return Claims::None;
        }
        ids.sort_unstable();
        Claims::Some(ids)
    }

    /// Returns whether an overload has ended the wait.
    pub(crate) fn is_shed(&self, key: Key) -> bool {
        let state = self.lock();
        (state.by_position.get(&key)).is_some_and(|waiter| waiter.shed)
    }

    /// Returns the expected wait behind `ahead` waiters during an overload, if the slots were
    /// counted.
    pub(crate) fn wait_in_overload(&self, demand: &Demand, ahead: usize) -> Option<Duration> {
        self.lock().overloads.wait_behind(demand, ahead)
    }

    /// Records that a request was rejected, because its wait would have been too long.
    pub(crate) fn rejected(&self, demand: &Demand, now: Instant) {
        self.lock().overloads.rejected(demand, now);
    }

    /// Returns the effect of an overload on the waits of requests with or without a deadline.
    pub(crate) fn pressure(&self, demand: &Demand, has_deadline: bool, now: Instant) -> Pressure {
        self.lock().overloads.pressure(demand, has_deadline, now)
    }

    /// Wakes the waiters with a due slot after a change.
    #[inline]
    pub(crate) fn pass_on(&self, now: Instant) {
        if self.len() > 0 {
            self.pass_on_to_waiters(now);
        }
    }

    #[inline(never)]
    fn pass_on_to_waiters(&self, now: Instant) {
        let mut wake = Vec::new();
        self.lock().walk(None, now, &mut wake);
        wake_all(wake);
    }

    /// Wakes all waiters, because the endpoints have changed or one has recovered early.
    pub(crate) fn wake_all(&self, now: Instant) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        // A request that joins after this lock is released sees the change.
        let mut wake = Vec::new();
        for waiter in self.lock().by_position.values_mut() {
            waiter.make_due(now, &mut wake);
        }
        wake_all(wake);
        self.changed.notify_waiters();
    }

    /// Wakes the waiters that have waited for `bound` or longer, because a probe was refused.
    pub(crate) fn wake_older(&self, bound: Duration, now: Instant) {
        if self.len() == 0 {
            return;
        }
        let mut wake = Vec::new();
        for (key, waiter) in &mut self.lock().by_position {
            if now.saturating_duration_since(key.since) < bound {
                break;
            }
            waiter.make_due(now, &mut wake);
        }
        wake_all(wake);
    }

    /// Waits until all waiters are woken, for example because the endpoints have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Adds a waiter behind all waiters that have waited since `since` or longer.
    pub(crate) fn join(&self, since: Instant, demand: &Demand, waker: &Waker) -> Key {
        let waker = waker.clone();
        let mut state = self.lock();
        state.last += 1;
        let key = Key {
            since,
            number: state.last,
        };
        state.insert(key, Waiter::new(*demand, waker));
        self.len.store(state.by_position.len(), Ordering::Release);
        key
    }

    /// Continues to wait for these endpoints. Returns the time of the next search, if the waiter
    /// needs a timer. The services of the endpoints in `busy` wake the waiter.
    pub(crate) fn wait(
        &self,
        (key, demand): (Key, &Demand),
        (wanted, busy): (Wanted, Vec<u64>),
        waker: &Waker,
        now: Instant,
    ) -> Option<Instant> {
        let mut wake = Vec::new();
        // Dropped without the lock, like the endpoints of the last search.
        let mut own = Some(waker.clone());
        let _before;
        let next = {
            let mut state = self.lock();
            _before = (state.set_demand(key, demand), state.want(key, wanted));
            if let Some(waiter) = state.by_position.get_mut(&key) {
                waiter.due = None;
                waiter.busy = busy;
                std::mem::swap(&mut waiter.waker, &mut own);
            }
            let next = state.walk(Some(key), now, &mut wake);
            let next = next.map(|next| next.max(now + TICK));
            if let Some(waiter) = state.by_position.get_mut(&key) {
                waiter.due = next;
            }
            next
        };
        wake_all(wake);
        next
    }

    /// Removes a waiter and passes its slot on.
    pub(crate) fn leave(&self, key: Key, departure: Departure) {
        let mut wake = Vec::new();
        let now = Instant::now();
        // Dropped without the lock.
        let _waiter;
        {
            let mut state = self.lock();
            let left = state.remove(key);
            if let Some((waiter, len)) = &left {
                let demand = &waiter.demand;
                if let Some(stay) = state.overloads.left((demand, departure), *len, now) {
                    state.shed(demand, stay, now, &mut wake);
                }
            }
            _waiter = left;
            self.len.store(state.by_position.len(), Ordering::Release);
            state.walk(None, now, &mut wake);
        }
        wake_all(wake);
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Waiters> {
        // Each change is complete before any code can panic, so a poisoned state is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) fn wake_all(wakers: Vec<Waker>) {
    // Outside the lock, because a waker runs foreign code.
    for waker in wakers {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admit::departure::End;
    use crate::pool::tests::pool;
    use std::task::Wake;

    /// Notes at its end whether the queue could be used.
    struct Task {
        queue: Arc<Queue>,
        ends: Arc<Mutex<Vec<bool>>>,
    }

    impl Wake for Task {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for Task {
        fn drop(&mut self) {
            let is_free = self.queue.state.try_lock().is_ok();
            self.ends.lock().unwrap().push(is_free);
        }
    }

    /// The last waker of a task drops its future, and the future may hold another waiter. The queue
    /// once waited for itself then.
    #[tokio::test(start_paused = true)]
    async fn wakers_end_without_the_lock() {
        let (queue, ends) = (Arc::new(Queue::default()), Arc::default());
        let waker = || {
            Waker::from(Arc::new(Task {
                queue: queue.clone(),
                ends: Arc::clone(&ends),
            }))
        };
        let ends = || std::mem::take(&mut *ends.lock().unwrap());
        let (now, demand) = (Instant::now(), Demand::default());
        let wanted = || Wanted::from([pool(&[0]).snapshot().active()[0].state.clone()]);
        let departure = Departure {
            end: End::Cancelled,
            since: now,
            joined: now,
            bound: Duration::ZERO,
            late: Duration::ZERO,
            due: Duration::ZERO,
            has_deadline: false,
        };

        let key = queue.join(now, &demand, &waker());
        queue.wait((key, &demand), (wanted(), Vec::new()), &waker(), now);
        assert_eq!(ends(), [true], "another task polls the request");
        queue.leave(key, departure);
        assert_eq!(ends(), [true], "the waiter leaves");

        let key = queue.join(now, &demand, &waker());
        queue.wake_all(now);
        assert_eq!(ends(), [true], "no copy of the waker is left");
        queue.leave(key, departure);
        assert!(ends().is_empty());
    }
}
