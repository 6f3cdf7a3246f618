//! Requests that wait for their turn at limited endpoints: one queue per pool, first come first
//! served.
//!
//! Each waiter wants some of the endpoints. The turn of an endpoint belongs to the first waiter
//! that wants it, so one whose endpoints have no turn is passed over and keeps its place. That
//! first waiter has a timer for the turn, and the second one a later timer, in case that the first
//! does not look: somebody may hold its future and not poll it. Nobody else has one, but for the
//! time when it gives up. Whenever something changes a walk through the queue wakes those whose
//! timers are too late by now.

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

/// What a timer counts. Nobody looks twice in that time.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// A timer that is late by no more than this part of its time stays as it is.
const SLACK: u32 = 16;

/// The endpoints that somebody wants.
pub(crate) type Wanted = Arc<[Arc<EndpointState>]>;

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// All that a request reads while nobody waits.
    len: AtomicUsize,
    /// How often everyone was told to look again.
    epoch: AtomicUsize,
    state: Mutex<State>,
    /// Wakes those who wait for a busy service and not here.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiters: BTreeMap<Key, Waiter>,
    /// How many endpoints are wanted by anybody, and how many by two or more.
    wanted: [usize; 2],
    /// When somebody first found it too long, and when last. It is forgotten after twice the time
    /// that one could have waited.
    full: Option<(Instant, Instant)>,
    /// The number of the last waiter, and that of the last walk.
    last: u64,
    walk: u64,
}

/// The place in the queue: since when a request waits, and of several such who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    since: Instant,
    number: u64,
}

#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    tokens: Option<u64>,
    waker: Waker,
    /// Endpoints whose services are not ready, and wake it themselves.
    busy: Vec<u64>,
    /// When it is to look, if it is: since its timer ends then, or since it was told to.
    looks: Option<Instant>,
}

/// Which endpoints belong to those who wait already.
#[derive(Debug, PartialEq)]
pub(crate) enum Claims {
    None,
    All,
    /// Those with these ids, in order.
    Some(Vec<u64>),
}

impl Claims {
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
    /// Behind all who wait since that time.
    pub(crate) fn behind(since: Instant) -> Self {
        let number = u64::MAX;
        Self { since, number }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Is another number once everyone was told to look again.
    #[inline]
    pub(crate) fn epoch(&self) -> usize {
        self.epoch.load(Ordering::SeqCst)
    }

    /// How many wait before somebody with this key who wants what those want.
    pub(crate) fn ahead<'a>(
        &self,
        key: Key,
        wanted: impl Iterator<Item = &'a Arc<EndpointState>>,
    ) -> usize {
        let len = self.len();
        if len == 0 {
            return 0;
        }
        // Who waits for two of them is counted twice, and that is too many at most.
        let rivals = wanted.map(|endpoint| endpoint.queue_marks.wanted_by.load(Ordering::Relaxed));
        let most = rivals.sum::<usize>().min(len);
        let state = self.lock();
        let is_last = state.waiters.keys().next_back() < Some(&key);
        if is_last {
            return most;
        }
        // Of those who come back, most are far ahead.
        state.waiters.range(..key).take(most).count()
    }

    /// Which endpoints belong to others, for one who wants any of `all`.
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

    /// Notes that somebody found the queue too long, who could have waited for `longest`.
    pub(crate) fn too_long(&self, longest: Duration, now: Instant) {
        let mut state = self.lock();
        match &mut state.full {
            Some((_, last)) if now.saturating_duration_since(*last) <= 2 * longest => *last = now,
            full => *full = Some((now, now)),
        }
    }

    /// For how long the queue has been too long again and again for those who could wait for
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

    /// Tells those whose turn it is, after something has changed.
    pub(crate) fn pass_on(&self, now: Instant) {
        if self.len() == 0 {
            return;
        }
        let mut wake = Vec::new();
        self.lock().walk(None, now, &mut wake);
        wake_all(wake);
    }

    /// Tells everyone to look again, since there are other endpoints now, or one is back early.
    pub(crate) fn wake_all(&self, now: Instant) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        // Who joins after this lock was held sees the change.
        let mut wake = Vec::new();
        for waiter in self.lock().waiters.values_mut() {
            waiter.tell(now, &mut wake);
        }
        wake_all(wake);
        self.changed.notify_waiters();
    }

    /// Waits until there are other endpoints.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Adds a waiter behind all that have waited since `since` or longer.
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

    /// Continues to wait for these endpoints. Returns when the waiter is to look again, if that is
    /// left to it. The services of those in `busy` wake it themselves.
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

    /// Removes a waiter, and passes its slot on.
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
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn begin_walk(&mut self) -> u64 {
        self.walk += 1;
        self.walk
    }

    /// Sets what a waiter wants, and counts for each endpoint by how many it is wanted.
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

    /// Finds for each endpoint the first two who want it, and collects whom to wake: those whose
    /// turn it is, and those whose timers are too late. Returns when `own` is to look, who looks
    /// now and is not woken.
    fn walk(&mut self, own: Option<Key>, now: Instant, wake: &mut Vec<Waker>) -> Option<Instant> {
        let (once, twice) = (self.begin_walk(), self.begin_walk());
        let mut next = None;
        let mut left = self.wanted.iter().sum::<usize>();
        for (key, waiter) in &mut self.waiters {
            if left == 0 {
                break;
            }
            // What belongs to one who does not look is left to the next.
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
                    // It has no claim to that one before, and others may use it. Those who need as
                    // much as one before look after that one.
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
    /// The endpoints that it waits for in this queue. One whose service is not ready has a queue of
    /// its own, and wakes it.
    fn claimed(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        let wanted = self.wanted.iter();
        wanted.filter(|endpoint| !self.busy.contains(&endpoint.id))
    }

    fn is_absent(&self, now: Instant) -> bool {
        self.looks
            .is_some_and(|looks| now.saturating_duration_since(looks) >= GRACE)
    }

    /// Whether it does not look by itself in time.
    fn would_miss(&self, at: Instant, now: Instant) -> bool {
        let Some(looks) = self.looks else {
            return true;
        };
        // Rates change all the time, and so does each turn by a little.
        let slack = looks.saturating_duration_since(now) / SLACK + TICK;
        looks.saturating_duration_since(at) > slack
    }

    fn tell(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        if self.looks.is_none_or(|looks| looks > now) {
            self.looks = Some(now);
            wake.push(self.waker.clone());
        }
    }

    /// When an endpoint has enough tokens for it, if it has not now.
    fn lacks_tokens_at(&self, endpoint: &EndpointState, now: Instant) -> Option<Instant> {
        self.tokens
            .and_then(|tokens| endpoint.has_tokens_at(tokens, now))
    }
}

fn wake_all(wakers: Vec<Waker>) {
    // Outside the lock: a waker is somebody else's code.
    for waker in wakers {
        waker.wake();
    }
}
