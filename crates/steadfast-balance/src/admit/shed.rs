//! Load shedding: whether it applies, and the end of the waits of a key as an overload begins.

use std::collections::BTreeSet;
use std::task::Waker;

use tokio::time::Instant;

use crate::admit::departure::{Departure, End};
use crate::admit::queue::{Queue, wake_all};
use crate::admit::waiters::Waiters;
use crate::config::PoolConfig;
use crate::pool::snapshot::PoolSnapshot;
use crate::state::limits::demand::Demand;
use crate::state::limits::limit_state::LimitState;

/// Returns whether load is shed for requests with these limits.
///
/// A send rate that has not reduced the refusals yet may be futile. A queue behind such rates alone
/// is no reason for a rejection.
pub(crate) fn sheds(config: &PoolConfig, snapshot: &PoolSnapshot, demand: &Demand) -> bool {
    if !config.sheds() {
        return false;
    }
    let is_proven = |limits: &LimitState| limits.cooldown.is_rate_proven();
    let rates = snapshot.active().iter();
    let mut rates =
        rates.filter_map(|entry| entry.state.limits.fold(demand, is_proven, Option::max));
    rates
        .next()
        .is_none_or(|first| first || rates.any(|proven| proven))
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
