//! How often a breaker opens although nothing is wrong but a few requests.
//!
//! A false alarm is an opening without an outage: independent failures that happen to come close
//! together.

use super::Row;
use super::clock::Clock;
use super::detect::{end, send};
use crate::world::generator;

/// The requests of 30 days at 100 a second.
pub(crate) const MONTH: f64 = 259_200_000.0;

/// The false alarms of one run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Noise {
    /// The number of openings.
    pub(crate) trips: u32,
    /// The calls of a closed breaker.
    pub(crate) calls: u64,
}

impl Noise {
    /// The requests of a new breaker: 40 s of traffic.
    pub(crate) const START: u64 = 4_000;

    /// Sends a number of requests that fail independently with the probability `failing`.
    pub(crate) fn of(row: &Row, failing: f64, requests: u64, seed: u64) -> Self {
        Clock::run(|clock| {
            let mut breaker = row.make(seed);
            let mut rng = generator(seed, 2);
            let mut noise = Self { trips: 0, calls: 0 };
            let mut closed = true;
            for _ in 0..requests {
                let end = end(&mut rng, failing);
                if send(&mut *breaker, clock, end) {
                    noise.calls += u64::from(closed);
                    let before = std::mem::replace(&mut closed, breaker.is_closed());
                    noise.trips += u32::from(before && !closed);
                }
            }
            noise
        })
    }

    /// Returns the share of new breakers that open within their first 40 s.
    pub(crate) fn of_starts(row: &Row, failing: f64, seeds: u64) -> f64 {
        let opens = |seed: &u64| Self::of(row, failing, Self::START, *seed).trips > 0;
        (1..=seeds).filter(opens).count() as f64 / seeds.max(1) as f64
    }

    /// Returns the openings per month of traffic.
    pub(crate) fn a_month(self) -> f64 {
        f64::from(self.trips) / self.calls.max(1) as f64 * MONTH
    }
}
