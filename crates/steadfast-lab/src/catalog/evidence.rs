//! Scenarios for the evidence behind a limit: refusals with and without a quota as their cause.
//!
//! A refusal can have three causes: a used-up quota, a quota that another process uses, and chance.
//! A client sees the same `429` each time, and should slow down only in the first case.

use std::time::Duration;

use steadfast_testkit::Quota;

use crate::catalog::entry::{Entry, MINUTE, SECOND};
use crate::world::{Arrivals, Endpoint, Hint, Latency, Scenario, Trouble};

/// The loads of `random`, in thousands of requests a second.
pub(crate) const RANDOM: &[f64] = &[0.01, 0.1, 1.0];
/// The loads of `neighbour`. At 0.5 the requests need all that the neighbour leaves.
pub(crate) const NEIGHBOUR: &[f64] = &[0.45, 0.55];
/// The load of `lifted`: 100 requests a second.
pub(crate) const LIFTED: f64 = 0.1;
/// The load of `burst`: 15 requests a second, in bursts.
pub(crate) const BURST: f64 = 0.5;
/// The names of the endpoints.
const NAMES: [&str; 3] = ["a", "b", "c"];

/// Creates an entry of `random`: its name, its refused share, its endpoints and its hint.
macro_rules! random {
    ($name:literal, $about:literal, $share:literal, $endpoints:literal, $hint:expr) => {
        Entry {
            name: $name,
            about: $about,
            loads: RANDOM,
            make: |load| random($name, load, ($share, $endpoints, $hint)),
        }
    };
}

/// Returns scenarios with refusals, some of which no quota causes.
#[must_use]
pub(crate) fn evidence() -> &'static [Entry] {
    EVIDENCE
}

/// The scenarios in the order of the page.
const EVIDENCE: &[Entry] = &[
    random!(
        "random-5",
        "One endpoint without a quota refuses one request of twenty at random, with \
         `Retry-After: 1`. All answers take 50 ms. The load is in thousands of requests a second.",
        0.05,
        1,
        Hint::Seconds
    ),
    random!(
        "random-0.5",
        "The same, and it is one of two hundred.",
        0.005,
        1,
        Hint::Seconds
    ),
    random!(
        "random-0.1",
        "The same, and it is one of a thousand.",
        0.001,
        1,
        Hint::Seconds
    ),
    random!(
        "random-5-no-hint",
        "`random-5` without hints.",
        0.05,
        1,
        Hint::Absent
    ),
    random!(
        "random-0.5-no-hint",
        "`random-0.5` without hints.",
        0.005,
        1,
        Hint::Absent
    ),
    random!(
        "random-0.1-no-hint",
        "`random-0.1` without hints.",
        0.001,
        1,
        Hint::Absent
    ),
    random!(
        "random-5-of-3",
        "`random-5` with three such endpoints.",
        0.05,
        3,
        Hint::Seconds
    ),
    random!(
        "random-0.5-of-3",
        "`random-0.5` with three such endpoints.",
        0.005,
        3,
        Hint::Seconds
    ),
    random!(
        "random-0.1-of-3",
        "`random-0.1` with three such endpoints.",
        0.001,
        3,
        Hint::Seconds
    ),
    random!(
        "random-5-of-3-no-hint",
        "`random-5-of-3` without hints.",
        0.05,
        3,
        Hint::Absent
    ),
    random!(
        "random-0.5-of-3-no-hint",
        "`random-0.5-of-3` without hints.",
        0.005,
        3,
        Hint::Absent
    ),
    random!(
        "random-0.1-of-3-no-hint",
        "`random-0.1-of-3` without hints.",
        0.001,
        3,
        Hint::Absent
    ),
    Entry {
        name: "neighbour",
        about: "One endpoint allows 20 requests/s with a burst of 1 s, and another process sends \
                10/s to it. Answers take 0.3 s (median, lognormal, sigma 0.5), a 429 takes 30 ms.",
        loads: NEIGHBOUR,
        make: neighbour,
    },
    Entry {
        name: "lifted-15",
        about: "100 requests/s to one endpoint. It allows 20/s for 15 s, then 1,000/s. Answers \
                take 50 ms, a 429 takes 30 ms and has `Retry-After: 1`.",
        loads: &[LIFTED],
        make: |load| lifted("lifted-15", load, 15),
    },
    Entry {
        name: "lifted-60",
        about: "The same, and it is limited for 60 s.",
        loads: &[LIFTED],
        make: |load| lifted("lifted-60", load, 60),
    },
    Entry {
        name: "burst",
        about: "60 requests at once, every 4 s, to three endpoints that allow 10/s each with a \
                burst of 1 s. Answers take 0.5 s, a 429 takes 30 ms and has no hint.",
        loads: &[BURST],
        make: burst,
    },
];

/// Creates a scenario with refusals at random. The quota is so large that it never refuses.
pub(super) fn random(
    name: &str,
    load: f64,
    (share, endpoints, hint): (f64, usize, Hint),
) -> Scenario {
    // The load counts all endpoints together.
    let quota = Quota::new(1_000, SECOND * endpoints as u32).burst(1_000_000_000);
    let endpoint = |name| {
        Endpoint::new(name)
            .requests(quota)
            .random_limits(share)
            .hint(hint)
            .refusal(SECOND / 20)
            .latency(Latency::Constant(SECOND / 20))
    };
    let lasting = if load < 0.5 { 5 * MINUTE } else { MINUTE };
    NAMES[..endpoints]
        .iter()
        .copied()
        .map(endpoint)
        .fold(Scenario::new(name), Scenario::endpoint)
        .load(load)
        .lasting(lasting)
}

/// Creates a scenario with another process that uses half of the quota.
fn neighbour(load: f64) -> Scenario {
    let endpoint = Endpoint::new("shared")
        .requests(Quota::new(20, SECOND))
        .neighbour(10.0)
        .latency(Latency::LogNormal(SECOND.mul_f64(0.3), 0.5));
    Scenario::new("neighbour")
        .endpoint(endpoint)
        .load(load)
        .lasting(5 * MINUTE)
}

/// Creates a scenario with a limit that ends after this number of seconds. It shows how fast a
/// client notices.
fn lifted(name: &str, load: f64, limited: u64) -> Scenario {
    let endpoint = Endpoint::new("lifted")
        .requests(Quota::new(1_000, SECOND))
        .trouble(0..limited, Trouble::Quota(Quota::new(20, SECOND)))
        .latency(Latency::Constant(SECOND / 20));
    Scenario::new(name)
        .endpoint(endpoint)
        .load(load)
        .lasting(Duration::from_secs(limited) + MINUTE)
}

/// Creates a scenario with bursts that exceed the bursts of all endpoints together.
fn burst(load: f64) -> Scenario {
    let endpoint = |name| {
        Endpoint::new(name)
            .requests(Quota::new(10, SECOND))
            .hint(Hint::Absent)
            .latency(Latency::Constant(SECOND / 2))
    };
    let size = (120.0 * load).round() as u32;
    let every = 4 * SECOND;
    NAMES
        .into_iter()
        .map(endpoint)
        .fold(Scenario::new("burst"), Scenario::endpoint)
        .load(load)
        .arrivals(Arrivals::Bursts { size, every })
        .lasting(2 * MINUTE)
}
