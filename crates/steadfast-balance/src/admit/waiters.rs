//! The waiters of a queue in their order, and the walk that finds the next ones of each endpoint.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

use crate::admit::overload::Overload;
use crate::state::EndpointState;
use crate::state::queue_marks::GRACE;

/// The resolution of a timer. A timer ends at least one tick after it is set.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// The divisor for the tolerance of a timer. If a timer is late by at most this part of its
/// remaining time, it is kept.
const SLACK: u32 = 16;

/// The endpoints that a waiter wants.
pub(crate) type Wanted = Arc<[Arc<EndpointState>]>;

/// The part of the queue under its lock.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    /// The waiters in the order of admission.
    pub(crate) by_position: BTreeMap<Key, Waiter>,
    /// The number of endpoints wanted by at least one waiter, and by at least two.
    pub(crate) wanted: [usize; 2],
    /// The evidence of an overload.
    pub(crate) overload: Overload,
    /// The number of the last waiter.
    pub(crate) last: u64,
    /// The number of the last walk.
    walk: u64,
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
    /// The number of tokens that the request needs, if known.
    pub(crate) tokens: Option<u64>,
    pub(crate) waker: Waker,
    /// The ids of endpoints with services that are not ready. These services wake the waiter.
    pub(crate) busy: Vec<u64>,
    /// The time of the next search, if one is due: the end of the timer, or the time of the wake-up.
    pub(crate) due: Option<Instant>,
}

impl Key {
    /// Returns a position behind all requests that have waited since `since` or longer.
    pub(crate) fn behind(since: Instant) -> Self {
        let number = u64::MAX;
        Self { since, number }
    }
}

impl Waiters {
    /// Returns the number of a new walk.
    pub(crate) fn begin_walk(&mut self) -> u64 {
        self.walk += 1;
        self.walk
    }

    /// Sets the wanted endpoints of a waiter, and updates the number of waiters of each endpoint.
    pub(crate) fn want(&mut self, key: Key, wanted: Wanted) {
        let Some(waiter) = self.by_position.get_mut(&key) else {
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
    /// Returns the time of the next search of `own`. This waiter searches now, so it is not woken.
    pub(crate) fn walk(
        &mut self,
        own: Option<Key>,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) -> Option<Instant> {
        let (once, twice) = (self.begin_walk(), self.begin_walk());
        let mut next = None;
        let mut left = self.wanted.iter().sum::<usize>();
        for (key, waiter) in &mut self.by_position {
            if left == 0 {
                break;
            }
            // If a waiter does not search, its slots go to the next waiter.
            if waiter.is_absent(now) {
                continue;
            }
            let mut due = None::<Instant>;
            for endpoint in waiter.claimed() {
                let mark = endpoint.queue_marks.mark.load(Ordering::Relaxed);
                if mark == twice {
                    continue;
                }
                let at = match waiter.lacks_tokens_at(endpoint, now) {
                    // Until it has the tokens, the waiter has no claim, so others may use the
                    // endpoint. A waiter that needs as many tokens as an earlier one searches later.
                    Some(at) => match endpoint
                        .queue_marks
                        .token_waiters
                        .visit(waiter.tokens, (once, twice))
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
                            slot if !is_first => saturating_add(slot.at().unwrap_or(now), GRACE),
                            slot => slot.at().unwrap_or(now),
                        }
                    }
                };
                due = Some(due.map_or(at, |due| due.min(at)));
            }
            match due {
                _ if own == Some(*key) => next = due,
                Some(at) if waiter.would_miss(at, now) => waiter.make_due(now, wake),
                _ => {}
            }
        }
        next
    }
}

impl Waiter {
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

    /// Returns whether it has no timer that ends in time for a search at `at`.
    fn would_miss(&self, at: Instant, now: Instant) -> bool {
        let Some(due) = self.due else {
            return true;
        };
        // Send rates change constantly, which moves each slot a little.
        let slack = due.saturating_duration_since(now) / SLACK + TICK;
        due.saturating_duration_since(at) > slack
    }

    /// Marks its search as due and collects its waker, unless the search is due already.
    pub(crate) fn make_due(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        if self.due.is_none_or(|due| due > now) {
            self.due = Some(now);
            wake.push(self.waker.clone());
        }
    }

    /// Returns when the endpoint has enough tokens for it, or `None` if it is not short of tokens.
    pub(crate) fn lacks_tokens_at(
        &self,
        endpoint: &EndpointState,
        now: Instant,
    ) -> Option<Instant> {
        self.tokens
            .and_then(|tokens| endpoint.has_tokens_at(tokens, now))
    }
}
