//! Load shedding: whether it applies, and the end of the waits of a key as an overload begins.

use std::collections::BTreeSet;
use std::task::Waker;

use tokio::time::Instant;

use crate::admit::departure::{Departure, End};
use crate::admit::queue::{Queue, wake_all};
use crate::admit::waiters::Waiters;
use crate::config::PoolConfig;
use crate::pool::snapshot::PoolSnapshot;
use crate::select::eligibility::{Eligibility, Stage};
use crate::state::limits::demand::Demand;
use crate::state::limits::limit_state::LimitState;

/// Returns whether load is shed for a request.
///
/// A queue behind a doubted send rate is no reason for a rejection: refusals with another cause
/// than a quota may have led to the rate.
pub(crate) fn sheds(
    config: &PoolConfig,
    snapshot: &PoolSnapshot,
    eligibility: &Eligibility<'_>,
) -> bool {
    if !config.sheds() {
        return false;
    }
    let is_doubted = |limits: &LimitState| limits.cooldown.is_rate_doubted();
    let mut endpoints = snapshot.active().iter().map(|entry| &entry.state);
    !endpoints.any(|state| {
        state
            .limits
            .fold(eligibility.demand, is_doubted, |a, b| a || b)
            && eligibility.admits(Stage::Ever, state)
    })
}

impl Waiters {
    /// Returns the number of waiters with this key.
    pub(crate) fn len_of(&self, demand: &Demand) -> usize {
        let positions = self.by_key.get(&demand.key_group());
        positions.map_or(0, BTreeSet::len)
    }

    /// Ends the waits of all waiters with the same key behind the first `stay` ones, because an
    /// overload begins.
    pub(crate) fn shed(
        &mut self,
        demand: &Demand,
        stay: usize,
        now: Instant,
        wake: &mut Vec<Waker>,
    ) {
        let Some(keys) = self.by_key.get(&demand.key_group()) else {
            return;
        };
        for key in keys.iter().skip(stay) {
            if let Some(waiter) = self.by_position.get_mut(key) {
                waiter.shed = true;
                waiter.make_due(now, wake);
            }
        }
    }
}

impl Queue {
    /// Records that the caller of a request with a slot cancelled it before the answer.
    pub(crate) fn abandoned(&self, demand: &Demand, wait: Departure, now: Instant) {
        let mut wake = Vec::new();
        {
            let mut state = self.lock();
            let len = state.len_of(demand);
            let end = End::Abandoned;
            let left = (demand, Departure { end, ..wait });
            if let Some(stay) = state.overloads.left(left, len, now) {
                state.shed(demand, stay, now, &mut wake);
            }
        }
        wake_all(wake);
    }
}
