//! Scenarios for selection: stragglers, a rising load, and endpoints that always refuse.
//!
//! Stragglers are one answer in twenty: the share beyond the 95th percentile, where a hedge starts.

use std::time::Duration;

use steadfast_testkit::Quota;

use crate::catalog::entry::{Entry, MINUTE, SECOND};
use crate::world::{Arrivals, Endpoint, Latency, Scenario, Trouble};

/// The steps of `ramp`. At 1 an equal share for each endpoint is all that the slow ones can take.
pub(crate) const STEPS: [f64; 9] = [0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3];
/// The number of slow endpoints among the ten of `ramp`.
const SLOW: usize = 4;
/// The names of the endpoints of `ramp`.
const NAMES: [&str; 10] = [
    "a", "b", "c", "d", "e", "f", "slow-a", "slow-b", "slow-c", "slow-d",
];

/// Returns scenarios with an endpoint that refuses all requests with `Retry-After: 1`. The load is
/// in thousands of requests a second.
#[must_use]
pub(crate) fn refusing() -> &'static [Entry] {
    &[
        Entry {
            name: "refusing",
            about: "One endpoint answers all with 429 after 30 ms, and `Retry-After: 1`.",
            loads: &[0.001, 0.01, 0.1, 1.0],
            make: |load| alone("refusing", load),
        },
        Entry {
            name: "refusing-herd",
            about: "The same, and all requests of five seconds come at once.",
            loads: &[0.1],
            make: |load| {
                let every = 5 * SECOND;
                let size = (5_000.0 * load).round() as u32;
                alone("refusing-herd", load).arrivals(Arrivals::Bursts { size, every })
            },
        },
        Entry {
            name: "refusing-beside",
            about: "The same, beside one that could serve all of them.",
            loads: &[0.001, 0.01, 0.1, 1.0],
            make: |load| {
                let well = Endpoint::new("well").requests(Quota::new(1_000, SECOND));
                alone("refusing-beside", load).endpoint(well)
            },
        },
    ]
}

/// Creates a scenario with one endpoint that refuses each request with a hint of 1 s.
fn alone(name: &str, load: f64) -> Scenario {
    // Longer than the last request lives.
    let always = 0..600;
    let endpoint = Endpoint::new("refusing")
        .requests(Quota::new(1_000, SECOND))
        .trouble(always, Trouble::Limits(SECOND));
    Scenario::new(name)
        .endpoint(endpoint)
        .load(load)
        .lasting(MINUTE / 2)
}

/// Creates a scenario in which one answer of twenty takes 50 times as long. It shows the effect of
/// hedges.
pub(super) fn stragglers(load: f64) -> Scenario {
    let latency = Latency::Stragglers {
        median: SECOND / 20,
        sigma: 1.0,
        share: 0.05,
        factor: 50.0,
    };
    ["a", "b", "c", "d"]
        .map(|name| {
            Endpoint::new(name)
                .requests(Quota::new(200, SECOND))
                .latency(latency)
        })
        .into_iter()
        .fold(Scenario::new("stragglers"), Scenario::endpoint)
        .load(load)
}

/// Creates a scenario in which the load rises in steps of a minute, and four endpoints of ten are
/// four times slower. It shows the effect of latency in selection.
pub(super) fn ramp(load: f64) -> Scenario {
    let median = |n| if n < NAMES.len() - SLOW { 50 } else { 200 };
    let endpoint = |(n, name)| {
        let latency = Latency::LogNormal(Duration::from_millis(median(n)), 0.5);
        Endpoint::new(name).capacity(4).latency(latency)
    };
    let scenario = NAMES
        .into_iter()
        .enumerate()
        .map(endpoint)
        .fold(Scenario::new("ramp"), Scenario::endpoint);
    let slowest = scenario.endpoints.iter().map(|endpoint| endpoint.rate(1.0));
    let unit = slowest.fold(f64::INFINITY, f64::min) * NAMES.len() as f64;
    let rates = STEPS.map(|step| load * step * unit).to_vec();
    scenario
        .load(load)
        .arrivals(Arrivals::Steps(rates))
        .deadline(10 * SECOND)
        .lasting(STEPS.len() as u32 * MINUTE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::generator;

    /// The 99.9th percentile with one perfect hedge at the 95th one, as a part of that without.
    fn perfect_hedge(latency: Latency) -> f64 {
        let mut rng = generator(1, 1);
        let mut draws = || -> Vec<_> {
            let draws = (0..100_000).map(|_| latency.draw(&mut rng).as_secs_f64());
            draws.collect()
        };
        let quantile = |times: &[f64], q: f64| {
            let mut times = times.to_vec();
            times.sort_unstable_by(f64::total_cmp);
            times[(q * times.len() as f64) as usize]
        };
        let (first, second) = (draws(), draws());
        let delay = quantile(&first, 0.95);
        let both = first.iter().zip(&second);
        let hedged: Vec<_> = both.map(|(a, b)| a.min(delay + b)).collect();
        quantile(&hedged, 0.999) / quantile(&first, 0.999)
    }

    /// A hundred are above the percentile, so its error is some 5 %.
    #[test]
    fn one_hedge_cuts_straggler_tail_to_documented_share() {
        let latency = stragglers(0.25).endpoints[0].latency;
        let found = perfect_hedge(latency);
        assert!((0.115..0.15).contains(&found), "{found}");
        let Latency::Stragglers {
            median,
            share,
            factor,
            ..
        } = latency
        else {
            panic!("{latency:?}")
        };
        let found = perfect_hedge(Latency::Stragglers {
            median,
            share,
            factor,
            sigma: 0.5,
        });
        assert!((0.29..0.37).contains(&found), "{found}");
    }
}
