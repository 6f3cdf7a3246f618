//! How many requests it takes to notice an outage.

use fastrand::Rng;

use super::clock::Clock;
use super::{Breaker, End, PACE, Row};
use crate::world::generator;

/// The requests that were sent until the breaker opened.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Detection {
    /// In a total outage of a service that was never asked before, and of one that was well.
    pub(crate) cold: Option<u32>,
    pub(crate) warm: Option<u32>,
    /// In an outage of every second request, of one that was well. A run for each seed.
    pub(crate) half: Vec<Option<u32>>,
}

impl Detection {
    /// The requests of a service that is well: a minute of them.
    pub(crate) const HEALTHY: u32 = 6_000;
    /// The number of requests after which detection is given up.
    pub(crate) const LIMIT: u32 = 1_000;

    pub(crate) fn of(row: &Row, seeds: u64) -> Self {
        Self {
            cold: requests(row, 1, 0, 1.0),
            warm: requests(row, 1, Self::HEALTHY, 1.0),
            half: (1..=seeds)
                .map(|seed| requests(row, seed, Self::HEALTHY, 0.5))
                .collect(),
        }
    }

    /// The share of runs in which it opened at all.
    pub(crate) fn share(&self) -> f64 {
        let opened = self.half.iter().flatten().count();
        opened as f64 / self.half.len().max(1) as f64
    }
}

/// The value that a share of all are not greater than, where none is greater than all.
pub(crate) fn quantile<T: Copy + PartialOrd>(values: &[Option<T>], share: f64) -> Option<T> {
    let mut known: Vec<T> = values.iter().flatten().copied().collect();
    known.sort_by(|a, b| a.partial_cmp(b).expect("numbers"));
    let place = (share * values.len() as f64).ceil() as usize;
    known.get(place.max(1) - 1).copied()
}

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

/// Sends a request that is answered at once.
pub(super) fn send(breaker: &mut dyn Breaker, clock: &Clock, end: End) -> bool {
    clock.advance(PACE);
    let ticket = breaker.admit(clock.now());
    let admitted = ticket.is_some();
    if let Some(ticket) = ticket {
        breaker.record(ticket, end, clock.now());
    }
    admitted
}

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
