//! How many requests it takes to notice an outage.
//!
//! Calls are sent one after the other at a fixed pace, and end at once. So a number of calls is
//! also a time.

use fastrand::Rng;

use super::clock::Clock;
use super::{Breaker, End, PACE, Row};
use crate::world::generator;

/// The number of requests from the start of an outage until the breaker opens. `None`: it did not
/// open.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detection {
    /// In a total outage, for a new breaker.
    pub(crate) cold: Option<u32>,
    /// In a total outage, after a minute of successes.
    pub(crate) warm: Option<u32>,
    /// If half of the requests fail at random, after a minute of successes. One number per seed.
    pub(crate) half: Vec<Option<u32>>,
}

impl Detection {
    /// The successes before an outage: a minute of traffic.
    pub(crate) const HEALTHY: u32 = 6_000;
    /// The number of requests after which detection is given up.
    pub(crate) const LIMIT: u32 = 1_000;

    /// Measures a breaker, with this number of seeds for the partial outage.
    pub(crate) fn of(row: &Row, seeds: u64) -> Self {
        Self {
            cold: requests(row, 1, 0, 1.0),
            warm: requests(row, 1, Self::HEALTHY, 1.0),
            half: (1..=seeds)
                .map(|seed| requests(row, seed, Self::HEALTHY, 0.5))
                .collect(),
        }
    }

    /// Returns the share of partial outages in which the breaker opened.
    pub(crate) fn share(&self) -> f64 {
        let opened = self.half.iter().flatten().count();
        opened as f64 / self.half.len().max(1) as f64
    }
}

/// Returns the quantile `share` by the nearest rank. A missing value is larger than all others.
pub(crate) fn quantile<T: Copy + PartialOrd>(values: &[Option<T>], share: f64) -> Option<T> {
    let mut known: Vec<T> = values.iter().flatten().copied().collect();
    known.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    let place = (share * values.len() as f64).ceil() as usize;
    known.get(place.max(1) - 1).copied()
}

/// Returns the number of requests until the breaker opens, after `healthy` successes. Each request
/// fails with the probability `failing`.
pub(super) fn requests(row: &Row, seed: u64, healthy: u32, failing: f64) -> Option<u32> {
    Clock::run(|clock| {
        let mut breaker = row.make(seed);
        let mut rng = generator(seed, 1);
        for _ in 0..healthy {
            send(&mut *breaker, clock, End::Succeeded);
        }
        (1..=Detection::LIMIT).find(|_| {
            send(&mut *breaker, clock, end(&mut rng, failing));
            !breaker.is_closed()
        })
    })
}

/// Sends a request that ends at once. Returns whether it was admitted.
pub(super) fn send(breaker: &mut dyn Breaker, clock: &Clock, end: End) -> bool {
    clock.advance(PACE);
    let ticket = breaker.admit(clock.now());
    let admitted = ticket.is_some();
    if let Some(ticket) = ticket {
        breaker.record(ticket, end, clock.now());
    }
    admitted
}

/// Draws the end of a call that fails with the probability `failing`.
pub(super) fn end(rng: &mut Rng, failing: f64) -> End {
    // A draw is below 1, so that 1.0 fails each time.
    if rng.f64() < failing {
        End::Failed
    } else {
        End::Succeeded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_detection_sorts_last() {
        let values = [Some(3), None, Some(1), Some(2)];
        assert_eq!(quantile(&values, 0.25), Some(1));
        assert_eq!(quantile(&values, 0.5), Some(2));
        assert_eq!(quantile(&values, 0.75), Some(3));
        assert_eq!(quantile(&values, 0.76), None);
        assert_eq!(quantile(&values, 1.0), None);
        assert_eq!(quantile::<u32>(&[], 0.5), None);
    }
}
