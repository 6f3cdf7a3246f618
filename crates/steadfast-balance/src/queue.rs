//! Requests that wait for their turn at limited endpoints: one queue per pool, first come first
//! served.
//!
//! Each waiter wants some of the endpoints. The turn of an endpoint belongs to the first waiter
//! that wants it, so one whose endpoints have no turn is passed over and keeps its place. The
//! first waiter has a timer for the next turn of all of them, and each a timer for the time when
//! it gives up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::member::{Member, Turn};
use crate::pool::Shared;

/// How long a waiter may take to use its turn after it was woken. Somebody may hold its future
/// and not poll it, and the others go on without it.
const GRACE: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
pub(crate) struct Queue {
    /// All that a request reads while nobody waits.
    len: AtomicUsize,
    state: Mutex<State>,
    /// Wakes those who wait for a busy service and not here.
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    waiters: BTreeMap<Key, Waiter>,
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
    wanted: Arc<[Arc<Member>]>,
    tokens: Option<u64>,
    waker: Waker,
    /// When it was told that it is its turn, if it has not looked since.
    woken: Option<Instant>,
}

/// A place in the queue. Dropping it passes the turn on.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    key: Key,
}

/// Which endpoints belong to those who wait already.
#[derive(Debug, PartialEq)]
pub(crate) enum Claims {
    None,
    All,
    /// Those with these ids.
    Some(Vec<u64>),
}

impl Claims {
    #[inline]
    pub(crate) fn has(&self, member: &Member) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Some(ids) => ids.contains(&member.id),
        }
    }
}

impl Queue {
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Acquire)
    }

    /// Which endpoints belong to others. `endpoints` is how many there are.
    pub(crate) fn claims(&self, own: Option<&Place>, endpoints: usize, now: Instant) -> Claims {
        if self.len() == 0 {
            return Claims::None;
        }
        let mut state = self.lock();
        let walk = state.begin_walk();
        let mut ids = Vec::new();
        for (key, waiter) in &state.waiters {
            if own.is_some_and(|own| own.key <= *key) {
                break;
            }
            if waiter.is_absent(now) {
                continue;
            }
            let mut left = waiter.wanted.iter();
            ids.extend(
                left.by_ref()
                    .filter(|member| member.is_new_to(walk))
                    .map(|member| member.id),
            );
            if ids.len() >= endpoints {
                return Claims::All;
            }
        }
        if ids.is_empty() {
            Claims::None
        } else {
            Claims::Some(ids)
        }
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
    pub(crate) fn pass_on(&self, endpoints: usize, now: Instant) {
        if self.len() == 0 {
            return;
        }
        let mut wake = Vec::new();
        self.lock().walk(endpoints, None, now, &mut wake);
        wake_all(wake);
    }

    /// Tells everyone to look again, since there are other endpoints now.
    pub(crate) fn wake_all(&self) {
        // Who joins after this lock was held sees the change.
        let wakers = self
            .lock()
            .waiters
            .values()
            .map(|waiter| waiter.waker.clone())
            .collect();
        wake_all(wakers);
        self.changed.notify_waiters();
    }

    /// Waits until there are other endpoints.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is whole before anything can panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Joins the queue behind all who wait since `since` or longer.
    pub(crate) fn join(
        shared: &Arc<Shared>,
        since: Instant,
        wanted: Arc<[Arc<Member>]>,
        tokens: Option<u64>,
        waker: &Waker,
    ) -> Self {
        let mut state = shared.queue.lock();
        state.last += 1;
        let key = Key {
            since,
            number: state.last,
        };
        let waiter = Waiter {
            wanted,
            tokens,
            waker: waker.clone(),
            woken: None,
        };
        state.waiters.insert(key, waiter);
        shared
            .queue
            .len
            .store(state.waiters.len(), Ordering::Release);
        Self {
            shared: shared.clone(),
            key,
        }
    }

    /// Goes on waiting, for these endpoints. Returns when to look again, if that is for this one
    /// to do, as the first of all.
    pub(crate) fn wait(
        &self,
        wanted: Arc<[Arc<Member>]>,
        waker: &Waker,
        endpoints: usize,
        now: Instant,
    ) -> Option<Instant> {
        let mut wake = Vec::new();
        let next = {
            let mut state = self.shared.queue.lock();
            if let Some(waiter) = state.waiters.get_mut(&self.key) {
                waiter.wanted = wanted;
                waiter.woken = None;
                waiter.waker.clone_from(waker);
            }
            let is_first = state.waiters.keys().next() == Some(&self.key);
            is_first.then(|| state.walk(endpoints, Some(self.key), now, &mut wake))
        };
        wake_all(wake);
        next.flatten()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let queue = &self.shared.queue;
        let mut wake = Vec::new();
        {
            let mut state = queue.lock();
            let was_first = state.waiters.keys().next() == Some(&self.key);
            state.waiters.remove(&self.key);
            queue.len.store(state.waiters.len(), Ordering::Release);
            if was_first {
                // The next one has no timer yet.
                wake.extend(state.waiters.values().next().map(|next| next.waker.clone()));
            }
            state.walk(self.shared.endpoints(), None, Instant::now(), &mut wake);
        }
        wake_all(wake);
    }
}

impl State {
    fn begin_walk(&mut self) -> u64 {
        self.walk += 1;
        self.walk
    }

    /// Finds for each endpoint the first who wants it, and collects whom to wake: those whose turn
    /// it is. Returns when the next turn comes.
    fn walk(
        &mut self,
        endpoints: usize,
        own: Option<Key>,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Option<Instant> {
        let walk = self.begin_walk();
        let (mut met, mut next) = (0, None::<Instant>);
        for (key, waiter) in &mut self.waiters {
            let is_own = own == Some(*key);
            let absent = waiter.is_absent(now);
            for member in waiter.wanted.iter() {
                // An endpoint of one who does not look is left to the next.
                if member.mark.load(Ordering::Relaxed) == walk || absent {
                    continue;
                }
                member.is_new_to(walk);
                met += 1;
                let at = match member.turn(waiter.tokens, now) {
                    // Its service is not ready, and wakes this one itself.
                    Turn::Now if is_own => continue,
                    Turn::Now => {
                        if waiter.woken.is_none() {
                            waiter.woken = Some(now);
                            wake.push(waiter.waker.clone());
                        }
                        now + GRACE
                    }
                    Turn::Paced(at) | Turn::Limited(at) | Turn::Broken(at) => at,
                };
                next = Some(next.map_or(at, |next| next.min(at)));
            }
            if met >= endpoints {
                break;
            }
        }
        next
    }
}

impl Waiter {
    fn is_absent(&self, now: Instant) -> bool {
        self.woken
            .is_some_and(|woken| now.saturating_duration_since(woken) >= GRACE)
    }
}

fn wake_all(wakers: Vec<Waker>) {
    // Outside the lock: a waker is somebody else's code.
    for waker in wakers {
        waker.wake();
    }
}
