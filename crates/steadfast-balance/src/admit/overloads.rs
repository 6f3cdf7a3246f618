//! The overload of each limit key.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::admit::departure::Departure;
use crate::admit::overload::{Overload, Pressure};
use crate::state::limits::demand::Demand;

/// The maximum number of keys with evidence. Callers choose the keys.
const MAX_KEYS: usize = 64;

/// The evidence of an overload, per limit key.
///
/// A long queue of one key does not shorten the waits of another key.
#[derive(Debug, Default)]
pub(crate) struct Overloads(HashMap<u64, Overload>);

impl Overloads {
    /// Records the end of a wait. `len` waiters with this key remain.
    ///
    /// Returns the number of waiters with this key that may stay, if an overload begins.
    pub(crate) fn left(
        &mut self,
        (demand, departure): (&Demand, Departure),
        len: usize,
        now: Instant,
    ) -> Option<usize> {
        self.of(demand).left(departure, len, now)
    }

    /// Returns the expected wait behind `ahead` waiters, if the slots were counted.
    pub(crate) fn wait_behind(&self, demand: &Demand, ahead: usize) -> Option<Duration> {
        let overload = self.0.get(&demand.key_group())?;
        overload.wait_behind(ahead)
    }

    /// Records that a request was rejected, because its wait would have been too long.
    pub(crate) fn rejected(&mut self, demand: &Demand, now: Instant) {
        self.of(demand).rejected(now);
    }

    /// Returns the effect on the waits of requests with or without a deadline.
    pub(crate) fn pressure(&self, demand: &Demand, has_deadline: bool, now: Instant) -> Pressure {
        let overload = self.0.get(&demand.key_group());
        overload.map_or_else(Pressure::default, |overload| {
            overload.pressure(has_deadline, now)
        })
    }

    /// Returns the evidence of a key. If there are too many, the oldest evidence is dropped.
    fn of(&mut self, demand: &Demand) -> &mut Overload {
        let group = demand.key_group();
        if self.0.len() >= MAX_KEYS && !self.0.contains_key(&group) {
            let oldest = self.0.iter().min_by_key(|(_, overload)| overload.until());
            if let Some(oldest) = oldest.map(|(group, _)| *group) {
                self.0.remove(&oldest);
            }
        }
        self.0.entry(group).or_default()
    }
}
