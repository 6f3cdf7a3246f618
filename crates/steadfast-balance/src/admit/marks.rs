//! The marks that walks through the queue leave at the limits of one key at an endpoint.

use std::collections::HashMap;
use std::time::Duration;

use crate::state::EndpointState;
use crate::state::limits::demand::Demand;
use crate::state::queue_marks::GRACE;

/// The marks of all limits that a waiter wants: by the id of the endpoint, and by the key.
#[derive(Debug, Default)]
pub(crate) struct Marks(HashMap<(u64, u64), KeyMarks>);

/// The marks of the waiters with the same limits at one endpoint.
#[derive(Debug, Default)]
pub(crate) struct KeyMarks {
    /// The number of the last walk that visited a waiter.
    pub(crate) mark: u64,
    /// The marks of waiters that lack tokens.
    pub(crate) lacking: Lacking,
    /// The number of waiters.
    pub(crate) wanted_by: usize,
}

/// The marks of a walk for the waiters that need more tokens than the endpoint has.
#[derive(Debug, Default)]
pub(crate) struct Lacking {
    /// The number of the last walk that visited such a waiter.
    mark: u64,
    /// The smallest number of tokens that such a waiter needs.
    least: u64,
}

impl Marks {
    /// Returns the marks of the waiters with these limits at `endpoint`.
    pub(crate) fn of(&mut self, endpoint: &EndpointState, demand: &Demand) -> &mut KeyMarks {
        self.0.entry(at(endpoint, demand)).or_default()
    }

    /// Returns the number of waiters with these limits at `endpoint`.
    pub(crate) fn wanted_by(&self, endpoint: &EndpointState, demand: &Demand) -> usize {
        let marks = self.0.get(&at(endpoint, demand));
        marks.map_or(0, |marks| marks.wanted_by)
    }

    /// Adds a waiter. Returns the number of waiters before it.
    pub(crate) fn add(&mut self, endpoint: &EndpointState, demand: &Demand) -> usize {
        let marks = self.of(endpoint, demand);
        marks.wanted_by += 1;
        marks.wanted_by - 1
    }

    /// Removes a waiter. Returns the number of waiters without it.
    pub(crate) fn remove(&mut self, endpoint: &EndpointState, demand: &Demand) -> usize {
        let at = at(endpoint, demand);
        let marks = self.0.entry(at).or_default();
        marks.wanted_by = marks.wanted_by.saturating_sub(1);
        let left = marks.wanted_by;
        // Callers choose the keys, so unused marks do not stay.
        if left == 0 {
            self.0.remove(&at);
        }
        left
    }
}

fn at(endpoint: &EndpointState, demand: &Demand) -> (u64, u64) {
    (endpoint.id, endpoint.limits.group(demand))
}

impl Lacking {
    /// Returns the delay of the next search of a waiter that lacks `tokens` tokens.
    ///
    /// If the waiter needs fewer tokens than all waiters before it, the delay is zero. The first of
    /// the others has a delay of [`GRACE`]. The rest have no timer.
    pub(crate) fn visit(
        &mut self,
        tokens: Option<u64>,
        (once, twice): (u64, u64),
    ) -> Option<Duration> {
        let tokens = tokens.unwrap_or_default();
        let mark = self.mark;
        let is_new = mark != once && mark != twice;
        if is_new || tokens < self.least {
            self.least = tokens;
            self.mark = if is_new { once } else { mark };
            return Some(Duration::ZERO);
        }
        self.mark = twice;
        (mark == once).then_some(GRACE)
    }
}
