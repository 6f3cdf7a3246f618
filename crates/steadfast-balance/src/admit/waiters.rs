//! The waiters of a queue in their order, and the walk that finds the next ones of each endpoint.
//!
//! Waiters with the same limits at an endpoint compete for its slots. Waiters with other limit keys
//! compete with them only while the limits that all keys share decide about the next slot.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use tokio::time::Instant;

use crate::admit::marks::Marks;
use crate::admit::overloads::Overloads;
use crate::state::EndpointState;
use crate::state::limits::demand::Demand;
use crate::state::queue_marks::GRACE;

/// The endpoints that a waiter wants.
pub(crate) type Wanted = Arc<[Arc<EndpointState>]>;

/// The part of the queue under its lock.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The waiters in the order of admission.
    pub(crate) by_position: BTreeMap<Key, Waiter>,
    /// The positions of the waiters of each limit key.
    pub(crate) by_key: HashMap<u64, BTreeSet<Key>>,
    /// The marks of the endpoints and keys that waiters want.
    pub(crate) marks: Marks,
    /// The number of pairs of endpoint and key wanted by at least one waiter, and by at least two.
    pub(super) wanted: [usize; 2],
    /// The number of endpoints wanted by at least one waiter.
    pub(crate) endpoints: usize,
    /// The evidence of an overload.
    pub(crate) overloads: Overloads,
    /// The number of the last waiter.
    pub(crate) last: u64,
    /// The number of the last walk.
    pub(super) walk: u64,
}

/// A position in the queue: the start of the wait, then the order of arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) since: Instant,
    pub(crate) number: u64,
}

/// A request in the queue.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) wanted: Wanted,
    /// The limits that apply to the request.
    pub(crate) demand: Demand,
    /// Wakes the request. `None` after the wake-up, until the request waits again.
    pub(crate) waker: Option<Waker>,
    /// The ids of endpoints with services that are not ready. These services wake the waiter.
    pub(crate) busy: Vec<u64>,
    /// The time of the next search, if one is due: the end of the timer, or the time of the wake-up.
    pub(crate) due: Option<Instant>,
    /// Whether an overload has ended the wait.
    pub(crate) shed: bool,
}

impl Key {
    /// Returns a position behind all requests that have waited since `since` or longer.
    pub(crate) fn behind(since: Instant) -> Self {
        let number = u64::MAX;
        Self { since, number }
    }
}

impl Waiters {
    /// Sets the wanted endpoints of a waiter, and updates the number of waiters of each endpoint.
    ///
    /// Returns the endpoints that are no longer used, to be dropped without the lock.
    #[must_use]
    pub(crate) fn want(&mut self, key: Key, wanted: Wanted) -> Wanted {
        let Some(waiter) = self.by_position.get_mut(&key) else {
            return wanted;
        };
        if Arc::ptr_eq(&waiter.wanted, &wanted) {
            return wanted;
        }
        let before = std::mem::replace(&mut waiter.wanted, wanted);
        let (order, demand) = (Ordering::Relaxed, &waiter.demand);
        for endpoint in waiter.wanted.iter() {
            let others = self.marks.add(endpoint, demand);
            if let Some(count) = self.wanted.get_mut(others) {
                *count += 1;
            }
            let is_first = endpoint.queue_marks.wanted_by.fetch_add(1, order) == 0;
            self.endpoints += usize::from(is_first);
        }
        for endpoint in before.iter() {
            let others = self.marks.remove(endpoint, demand);
            if let Some(count) = self.wanted.get_mut(others) {
                *count -= 1;
            }
            let was_last = endpoint.queue_marks.wanted_by.fetch_sub(1, order) == 1;
            self.endpoints -= usize::from(was_last);
        }
        before
    }

    /// Sets the limits of a waiter. An endpoint that is added later may pass the credential of its
    /// caller on. If they differ, the waiter wants no endpoint until the next call of
    /// [`want`](Self::want).
    ///
    /// Returns the endpoints that are no longer used, to be dropped without the lock.
    #[must_use]
    pub(crate) fn set_demand(&mut self, key: Key, demand: &Demand) -> Wanted {
        let known = self.by_position.get(&key);
        if known.is_none_or(|waiter| waiter.demand.group() == demand.group()) {
            return Arc::default();
        }
        let before = self.want(key, Arc::default());
        if let Some(waiter) = self.by_position.get_mut(&key) {
            waiter.demand = *demand;
        }
        before
    }

    /// Returns the waiters before `own` that may compete with a request. It wants any of `all`.
    pub(crate) fn rivals<'a>(
        &'a self,
        own: Key,
        demand: &Demand,
        all: &Wanted,
    ) -> impl Iterator<Item = &'a Waiter> + use<'a> {
        let shares = (all.iter()).any(|endpoint| endpoint.limits.has_shared_slots());
        let all = self.by_position.range(..own).map(|(_, waiter)| waiter);
        // Other keys may have many waiters, so their waiters are not visited without need.
        let same = self.by_key.get(&demand.key_group());
        let same = same.into_iter().flat_map(move |keys| keys.range(..own));
        let same = same.filter_map(|key| self.by_position.get(key));
        let (all, same) = match shares {
            true => (Some(all), None),
            false => (None, Some(same)),
        };
        all.into_iter().flatten().chain(same.into_iter().flatten())
    }

    /// Adds a waiter.
    pub(crate) fn insert(&mut self, key: Key, waiter: Waiter) {
        self.by_key
            .entry(waiter.demand.key_group())
            .or_default()
            .insert(key);
        self.by_position.insert(key, waiter);
    }

    /// Removes a waiter. Returns it, to be dropped without the lock, and the number of waiters left
    /// with the same key.
    pub(crate) fn remove(&mut self, key: Key) -> Option<(Waiter, usize)> {
        let wanted = self.want(key, Arc::default());
        let mut waiter = self.by_position.remove(&key)?;
        waiter.wanted = wanted;
        let group = waiter.demand.key_group();
        let positions = self.by_key.get_mut(&group)?;
        positions.remove(&key);
        let left = positions.len();
        if left == 0 {
            self.by_key.remove(&group);
        }
        Some((waiter, left))
    }
}

impl Waiter {
    /// Creates a waiter for no endpoint.
    pub(crate) fn new(demand: Demand, waker: Waker) -> Self {
        Self {
            wanted: Arc::default(),
            demand,
            waker: Some(waker),
            busy: Vec::new(),
            due: None,
            shed: false,
        }
    }

    /// Returns the endpoints that it waits for in this queue. A service that is not ready has its
    /// own queue and wakes the waiter.
    pub(crate) fn claimed(&self) -> impl Iterator<Item = &Arc<EndpointState>> {
        let wanted = self.wanted.iter();
        wanted.filter(|endpoint| !self.busy.contains(&endpoint.id))
    }

    /// Returns whether its search is overdue by the grace period or more.
    pub(crate) fn is_absent(&self, now: Instant) -> bool {
        self.due
            .is_some_and(|due| now.saturating_duration_since(due) >= GRACE)
    }
}
