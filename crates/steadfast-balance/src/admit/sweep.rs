//! The walk through the queue that finds the next waiters of each endpoint and wakes them.

use std::task::Waker;

use steadfast_core::layer::{TICK, saturating_add};
use tokio::time::Instant;

use crate::admit::waiters::{Key, Waiter, Waiters};
use crate::state::queue_marks::GRACE;

/// The divisor for the tolerance of a timer. If a timer is late by at most this part of its
/// remaining time, it is kept.
const SLACK: u32 = 16;

impl Waiters {
    /// Returns the number of a new walk.
    pub(crate) fn begin_walk(&mut self) -> u64 {
        self.walk += 1;
        self.walk
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
                let marks = self.marks.of(endpoint, &waiter.demand);
                if marks.mark == twice {
                    continue;
                }
                let lacks = endpoint.limits.has_tokens_at(&waiter.demand, now);
                let at = match lacks {
                    // Until it has the tokens, the waiter has no claim, so others may use the
                    // endpoint. A waiter that needs as many tokens as an earlier one searches later.
                    Some(at) => match marks.lacking.visit(waiter.demand.tokens, (once, twice)) {
                        Some(late) => saturating_add(at, late),
                        None => continue,
                    },
                    None => {
                        left -= 1;
                        let mut is_first = marks.mark != once;
                        marks.mark = if is_first { once } else { twice };
                        // The next slot of shared limits belongs to the first waiter of all keys.
                        if endpoint.limits.is_shared_slot(&waiter.demand, now) {
                            match endpoint.queue_marks.take_slot((once, twice)) {
                                0 => {}
                                1 => is_first = false,
                                _ => continue,
                            }
                        }
                        match endpoint.availability(&waiter.demand, now) {
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
    ///
    /// Moves the waker, because a clone would run foreign code under the lock.
    pub(crate) fn make_due(&mut self, now: Instant, wake: &mut Vec<Waker>) {
        if self.due.is_none_or(|due| due > now) {
            self.due = Some(now);
            wake.extend(self.waker.take());
        }
    }
}
