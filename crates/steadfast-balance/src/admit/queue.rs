//! The queue of a pool: requests that wait for a slot at limited endpoints, first in, first out.
//!
//! Each waiter wants some of the endpoints. The next slot of an endpoint belongs to the first
//! waiter that wants the endpoint. If no endpoint of a waiter has a slot, the walk passes over that
//! waiter, which keeps its position. This avoids head-of-line blocking.
//!
//! The first waiter of an endpoint has a timer for the slot. The second waiter has a later timer,
//! because the future of the first may be held without being polled. All other waiters have a timer
//! only for the end of their patience. After each change, a walk through the queue wakes the
//! waiters with timers that are now too late.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::state::EndpointState;
use crate::state::queue_marks::GRACE;

/// The resolution of a timer. A timer ends at least one tick after it is set.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// The divisor for the tolerance of a timer. If a timer is late by at most this part of its
/// remaining time, it is kept.
const SLACK: u32 = 16;

/// The endpoints that a waiter wants.
pub(crate) type Wanted = Arc<[Arc<EndpointState>]>;

/// The waiters of a pool.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// The number of waiters. If the queue is empty, a request reads only this field.
    len: AtomicUsize,
    /// The number of times that all waiters were woken.
    epoch: AtomicUsize,
    state: Mutex<State>,
    /// Wakes the requests that wait for a busy service outside the queue.
    changed: Notify,
}

/// The part of the queue under its lock.
#[derive(Debug, Default)]
struct State {
    /// The waiters in the order of admission.
    waiters: BTreeMap<Key, Waiter>,
    /// The number of endpoints wanted by at least one waiter, and by at least two.
    wanted: [usize; 2],
    /// The first and the last time that a request found the queue too long. The next such request
    /// starts a new period if the last time is older than twice its longest wait.
    full: Option<(Instant, Instant)>,
    /// The number of the last waiter.
    last: u64,
    /// The number of the last walk.
    walk: u64,
}

/// A position in the queue: the start of the wait, then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    since: Instant,
    number: u64,
}

/// A request in the queue.
#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    /// The number of tokens that the request needs, if known.
    tokens: Option<u64>,
    waker: Waker,
    /// The ids of endpoints with services that are not ready. These services wake the waiter.
    busy: Vec<u64>,
    /// The time of the next look, if one is due: the end of the timer, or the time of the wake-up.
    looks: Option<Instant>,
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

impl Key {
    /// Returns a position behind all requests that have waited since `since` or longer.
    pub(crate) fn behind(since: Instant) -> Self {
        let number = u64::MAX;
        Self { since, number }
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
        key: Key,
        wanted: impl Iterator<Item = &'a Arc<EndpointState>>,
    ) -> usize {
        let len = self.len();
        if len == 0 {
            return 0;
        }
        // A waiter that wants two of the endpoints counts twice, so this is an upper bound.
        let rivals = wanted.map(|endpoint| endpoint.queue_marks.wanted_by.load(Ordering::Relaxed));
        let most = rivals.sum::<usize>().min(len);
        let state = self.lock();
        let is_last = state.waiters.keys().next_back() < Some(&key);
        if is_last {
            return most;
        }
        // A request that returns after a failover is usually near the front, so the range is short.
        state.waiters.range(..key).take(most).count()
    }

    /// Returns the endpoints claimed by waiters before `own`. The request wants any of `all`.
    pub(crate) fn claims(&self, own: Key, all: &Wanted, now: Instant) -> Claims {
        if self.len() == 0 {
            return Claims::None;
        }
        let mut state = self.lock();
        let walk = state.begin_walk();
        let mut ids = Vec::new();
        for (_, waiter) in state.waiters.range(..own) {
            if waiter.is_absent(now) {
                continue;
            }
            let is_whole = waiter.tokens.is_none() && waiter.busy.is_empty();
            if is_whole && Arc::ptr_eq(&waiter.wanted, all) {
                return Claims::All;
            }
            let suitable = waiter
                .claimed()
                .filter(|endpoint| waiter.lacks_tokens_at(endpoint, now).is_none());
            ids.extend(
                suitable
                    .filter(|endpoint| endpoint.queue_marks.is_new_to(walk))
                    .map(|endpoint| endpoint.id),
            );
            if ids.len() >= state.wanted[0] {
                break;
            }
        }
        if ids.is_empty() {
            return Claims::None;
        }
        ids.sort_unstable();
        Claims::Some(ids)
    }

    /// Records that the queue was too long for a request with a longest wait of `longest`.
    pub(crate) fn too_long(&self, longest: Duration, now: Instant) {
        let mut state = self.lock();
        match &mut state.full {
            Some((_, last)) if now.saturating_duration_since(*last) <= 2 * longest => *last = now,
            full => *full = Some((now, now)),
        }
    }

    /// Returns how long the queue has been repeatedly too long for requests with a longest wait of
    /// `longest`.
    pub(crate) fn overloaded(&self, longest: Duration, now: Instant) -> Duration {
        if self.len() == 0 {
            return Duration::ZERO;
        }
        match self.lock().full {
            Some((first, last)) if now.saturating_duration_since(last) <= 2 * longest => {
                now.saturating_duration_since(first)
            }
            _ => Duration::ZERO,
        }
    }

    /// Wakes the waiters with a due slot after a change.
    pub(crate) fn pass_on(&self, now: Instant) {
        if self.len() == 0 {
            return;
        }
        let mut wake = Vec::new();
        self.lock().walk(None, now, &mut wake);
        wake_all(wake);
    }

    /// Wakes all waiters, because the endpoints have changed or one has recovered early.
    pub(crate) fn wake_all(&self, now: Instant) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        // A request that joins after this lock is released sees the change.
        let mut wake = Vec::new();
        for waiter in self.lock().waiters.values_mut() {
            waiter.tell(now, &mut wake);
        }
        wake_all(wake);
        self.changed.notify_waiters();
    }

    /// Waits until all waiters are woken, for example because the endpoints have changed.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Adds a waiter behind all waiters that have waited since `since` or longer.
    pub(crate) fn join(&self, since: Instant, tokens: Option<u64>, waker: &Waker) -> Key {
        let mut state = self.lock();
        state.last += 1;
        let key = Key {
            since,
            number: state.last,
        };
        let waiter = Waiter {
            wanted: Arc::default(),
            tokens,
            waker: waker.clone(),
            busy: Vec::new(),
            looks: None,
        };
        state.waiters.insert(key, waiter);
        self.len.store(state.waiters.len(), Ordering::Release);
        key
    }

    /// Continues to wait for these endpoints. Returns the time of the next look, if the waiter
    /// needs a timer. The services of the endpoints in `busy` wake the waiter.
    pub(crate) fn wait(
        &self,
        key: Key,
        (wanted, busy): (Wanted, Vec<u64>),
        waker: &Waker,
        now: Instant,
    ) -> Option<Instant> {
        let mut wake = Vec::new();
        let next = {
            let mut state = self.lock();
            state.want(key, wanted);
            if let Some(waiter) = state.waiters.get_mut(&key) {
                waiter.looks = None;
                waiter.busy = busy;
                waiter.waker.clone_from(waker);
            }
            let next = state.walk(Some(key), now, &mut wake);
            let next = next.map(|next| next.max(now + TICK));
            if let Some(waiter) = state.waiters.get_mut(&key) {
                waiter.looks = next;
            }
            next
        };
        wake_all(wake);
        next
    }

    /// Removes a waiter and passes its slot on.
    pub(crate) fn leave(&self, key: Key) {
        let mut wake = Vec::new();
        {
            let mut state = self.lock();
            state.want(key, Arc::default());
            state.waiters.remove(&key);
            self.len.store(state.waiters.len(), Ordering::Release);
            state.walk(None, Instant::now(), &mut wake);
        }
        wake_all(wake);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is complete before any code can panic, so a poisoned state is valid.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Returns the number of a new walk.
    fn begin_walk(&mut self) -> u64 {
        self.walk += 1;
        self.walk
    }

    /// Sets the wanted endpoints of a waiter, and updates the number of waiters of each endpoint.
    fn want(&mut self, key: Key, wanted: Wanted) {
        let Some(waiter) = self.waiters.get_mut(&key) else {
            return;
        };
        if Arc::ptr_eq(&waiter.wanted, &wanted) {
            return;
        }
        let before = std::mem::replace(&mut waiter.wanted, wanted);
        let order = Ordering::Relaxed;
        for endpoint in waiter.wanted.iter() {
            if let Some(count) = self
                .wanted
                .get_mut(endpoint.queue_marks.wanted_by.fetch_add(1, order))
            {
                *count += 1;
            }
        }
        for endpoint in before.iter() {
            if let Some(count) = self
                .wanted
                .get_mut(endpoint.queue_marks.wanted_by.fetch_sub(1, order) - 1)
            {
                *count -= 1;
            }
        }
    }

    /// Finds the first two waiters of each endpoint. Collects the wakers of the waiters with a due
    /// slot or a late timer.
    ///
    /// Returns the time of the next look of `own`. This waiter looks now, so it is not woken.
    fn walk(&mut self, own: Option<Key>, now: Instant, wake: &mut Vec<Waker>) -> Option<Instant> {
        let (once, twice) = (self.begin_walk(), self.begin_walk());
        let mut next = None;
        let mut left = self.wanted.iter().sum::<usize>();
        for (key, waiter) in &mut self.waiters {
            if left == 0 {
                break;
            }
            // If a waiter does not look, its slots go to the next waiter.
            if waiter.is_absent(now) {
                continue;
            }
            let mut looks = None::<Instant>;
            for endpoint in waiter.claimed() {
                let mark = endpoint.queue_marks.mark.load(Ordering::Relaxed);
                if mark == twice {
                    continue;
                }
                let at = match waiter.lacks_tokens_at(endpoint, now) {
                    // Until it has the tokens, the waiter has no claim, so others may use the
                    // endpoint. A waiter that needs as many tokens as an earlier one looks later.
                    Some(at) => match endpoint
                        .queue_marks
                        .lacking
                        .meet(waiter.tokens, (once, twice))
                    {
                        Some(late) => saturating_add(at, late),
                        None => continue,
                    },
                    None => {
                        left -= 1;
                        let is_first = mark != once;
                        let mark = if is_first { once } else { twice };
                        endpoint.queue_marks.mark.store(mark, Ordering::Relaxed);
                        match endpoint.availability(waiter.tokens, now) {
                            turn if !is_first => saturating_add(turn.at().unwrap_or(now), GRACE),
                            turn => turn.at().unwrap_or(now),
                        }
                    }
                };
                looks = Some(looks.map_or(at, |looks| looks.min(at)));
            }
            match looks {
                _ if own == Some(*key) => next = looks,
                Some(at) if waiter.would_miss(at, now) => waiter.tell(now, wake),
                _ => {}
            }
        }
        next
    }
}

impl Waiter {
    /// Returns the endpoints that it waits for in this queue. A service that is not ready has its
    /// own queue and wakes the waiter.
    fn claimed(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        let wanted = self.wanted.iter();
        wanted.filter(|endpoint| !self.busy.contains(&endpoint.id))
    }

    /// Returns whether its look is overdue by the grace period or more.
    fn is_absent(&self, now: Instant) -> bool {
        self.looks
            .is_some_and(|looks| now.saturating_duration_since(looks) >= GRACE)
    }

    /// Returns whether it has no timer that ends in time for a look at `at`.
    fn would_miss(&self, at: Instant, now: Instant) -> bool {
        let Some(looks) = self.looks else {
            return true;
        };
        // Send rates change constantly, which moves each slot a little.
        let slack = looks.saturating_duration_since(now) / SLACK + TICK;
        looks.saturating_duration_since(at) > slack
    }

    /// Marks its look as due and collects its waker, unless the look is due already.
    fn tell(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        if self.looks.is_none_or(|looks| looks > now) {
            self.looks = Some(now);
            wake.push(self.waker.clone());
        }
    }

    /// Returns when the endpoint has enough tokens for it, or `None` if it is not short of tokens.
    fn lacks_tokens_at(&self, endpoint: &EndpointState, now: Instant) -> Option<Instant> {
        self.tokens
            .and_then(|tokens| endpoint.has_tokens_at(tokens, now))
    }
}

fn wake_all(wakers: Vec<Waker>) {
    // Outside the lock, because a waker runs foreign code.
    for waker in wakers {
        waker.wake();
    }
}
