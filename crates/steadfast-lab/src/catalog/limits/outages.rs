//! Requests that make servers fail, and endpoints that change all the time.
//!
//! A request that makes servers fail (`poison`) is a common fault: one body that a model cannot
//! process, sent again and again. It must not take endpoints from other callers.

use std::time::Duration;

use fastrand::Rng;
use steadfast_testkit::Quota;

use super::at;
use crate::catalog::entry::{Entry, MINUTE, SECOND};
use crate::world::{Arrivals, Caller, Endpoint, Hint, Latency, Scenario, Trouble, generator};

/// The loads of `poison`, in thousands of good requests per second at all endpoints together.
const GOOD: &[f64] = &[0.001, 0.01, 0.05];
/// The names of the endpoints.
const NAMES: [&str; 3] = ["a", "b", "c"];
/// The length of `flapping`, in seconds.
const LASTING: u64 = 600;

/// The scenarios in the order of the page.
pub(super) const ENTRIES: &[Entry] = &[
    beside!(
        "poison-1-of-2",
        "Two endpoints fail with 500 after 30 ms on each request of the caller `bad`, \
                which sends 1/s. They serve the caller `good` after 50 ms (median, lognormal, \
                sigma 0.5). A load of 0.001 is 1 good request/s.",
        GOOD,
        poison(1.0, 2)
    ),
    beside!(
        "poison-3-of-2",
        "The same with 3 bad requests/s.",
        GOOD,
        poison(3.0, 2)
    ),
    beside!(
        "poison-5-of-2",
        "The same with 5 bad requests/s.",
        GOOD,
        poison(5.0, 2)
    ),
    beside!(
        "poison-1-of-3",
        "Three such endpoints, and 1 bad request/s.",
        GOOD,
        poison(1.0, 3)
    ),
    beside!(
        "poison-3-of-3",
        "The same with 3 bad requests/s.",
        GOOD,
        poison(3.0, 3)
    ),
    beside!(
        "poison-5-of-3",
        "The same with 5 bad requests/s.",
        GOOD,
        poison(5.0, 3)
    ),
    Entry {
        name: "flapping",
        about: "Three endpoints are limited (`Retry-After: 1`), dead, silent or healthy, \
                independently of each other and at random, and change every 3 to 14 s. Answers \
                take 0.1 s (median, lognormal, sigma 0.5). Attempts time out after 2 s. For 10 \
                min. A load of 0.01 is 10 requests/s.",
        loads: &[0.001, 0.01, 0.05],
        make: flapping,
    },
];

/// Creates a scenario in which each request of one caller fails with `500` at every endpoint.
///
/// The load counts the good requests, in thousands per second at all endpoints together.
fn poison(name: &str, load: f64, bad: f64, endpoints: usize) -> Scenario {
    let bad = Caller::new("bad", Arrivals::Poisson(bad)).poison();
    beside(bad, name, load, (endpoints, Hint::Seconds))
}

/// Creates a scenario in which the endpoints serve another caller than `bad`.
pub(super) fn beside(
    bad: Caller,
    name: &str,
    load: f64,
    (endpoints, hint): (usize, Hint),
) -> Scenario {
    let endpoint = |name| {
        Endpoint::new(name)
            .requests(Quota::new(1_000, SECOND))
            .hint(hint)
            .latency(Latency::LogNormal(SECOND / 20, 0.5))
    };
    let scenario = NAMES[..endpoints]
        .iter()
        .map(|name| endpoint(*name))
        .fold(Scenario::new(name), Scenario::endpoint)
        .caller(Caller::new("good", Arrivals::Poisson(1_000.0 * load)))
        .caller(bad)
        .lasting(2 * MINUTE);
    at(load, scenario)
}

/// Creates a scenario in which three endpoints change their state at random. The schedule has a
/// fixed seed, so it is the same in each run.
fn flapping(load: f64) -> Scenario {
    let endpoint = |(n, name)| {
        let endpoint = Endpoint::new(name)
            .requests(Quota::new(1_000, SECOND))
            .latency(Latency::LogNormal(SECOND / 10, 0.5));
        troubled(endpoint, &mut generator(1, n))
    };
    let scenario = (0..)
        .zip(NAMES)
        .map(endpoint)
        .fold(Scenario::new("flapping"), Scenario::endpoint)
        .attempt_timeout(2 * SECOND)
        .arrivals(Arrivals::Poisson(1_000.0 * load))
        .lasting(Duration::from_secs(LASTING));
    at(load, scenario)
}

/// Adds a random schedule of states to an endpoint. A state lasts from 3 to 14 s, and the next one
/// differs.
fn troubled(mut endpoint: Endpoint, rng: &mut Rng) -> Endpoint {
    let states = [
        None,
        Some(Trouble::Limits(SECOND)),
        Some(Trouble::Refuses),
        Some(Trouble::Hangs),
    ];
    let (mut start, mut state) = (0, rng.usize(..states.len()));
    while start < LASTING {
        let end = start + rng.u64(3..=14);
        if let Some(trouble) = states[state] {
            endpoint = endpoint.trouble(start..end, trouble);
        }
        start = end;
        state = (state + rng.usize(1..states.len())) % states.len();
    }
    endpoint
}

#[cfg(test)]
mod tests {
    use super::*;

    /// About three in eight seconds have no healthy endpoint, so the rest is no small sample.
    #[test]
    fn flapping_endpoints_change_and_are_healthy_a_quarter_of_the_time() {
        let scenario = flapping(0.01);
        for endpoint in &scenario.endpoints {
            let healthy = (0..LASTING).filter(|second| {
                let at = Duration::from_secs(*second);
                endpoint.troubles_at(at).next().is_none()
            });
            let healthy = healthy.count();
            assert!((75..225).contains(&healthy), "{healthy}");
            let lengths = endpoint
                .troubles
                .iter()
                .map(|(range, _)| range.end - range.start);
            assert!(lengths.into_iter().all(|length| length <= 14 * SECOND));
        }
        let starts = |n: usize| {
            let troubles = scenario.endpoints[n].troubles.iter();
            troubles.map(|(range, _)| range.start).collect::<Vec<_>>()
        };
        assert_ne!(starts(0), starts(1));
    }
}
