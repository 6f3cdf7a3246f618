//! Refusals with a `429` that no quota causes.
//!
//! | Scenario | Refusals |
//! |---|---|
//! | `refused` | each request of one caller, such as one with more tokens than a minute allows |
//! | `refused-once` | the same, and the caller repeats none of its requests |
//! | `random` | a large share of all requests, at random |
//! | `small` | requests above a quota of a few per second |
//!
//! Only the last ones have a quota as their cause. The others must not lower the send rate of the
//! other requests, and a small quota must not be taken for such an endpoint: it has few attempts
//! between its refusals.

use steadfast_testkit::Quota;

use super::outages::beside;
use crate::catalog::entry::{Entry, SECOND};
use crate::catalog::evidence::random;
use crate::world::{Arrivals, Caller, Endpoint, Hint, Latency, Scenario};

/// The loads of `refused`, in thousands of good requests per second at all endpoints together.
const GOOD: &[f64] = &[0.002, 0.01, 0.05];
/// The loads of `small`, as a share of the quota.
const OVER: &[f64] = &[1.2, 2.2];
/// The loads of `random`, in thousands of requests per second.
const RANDOM: &[f64] = &[0.01, 0.1];

/// The scenarios in the order of the page.
pub(super) const ENTRIES: &[Entry] = &[
    beside!(
        "refused-1",
        "Two endpoints refuse each request of the caller `bad`, which sends 1/s, with 429 and \
                `Retry-After: 1`. They serve the caller `good` as in `poison`. A load of 0.01 is 10 \
                good requests/s.",
        GOOD,
        refused(1.0, Hint::Seconds)
    ),
    beside!(
        "refused-3",
        "The same with 3 bad requests/s.",
        GOOD,
        refused(3.0, Hint::Seconds)
    ),
    beside!(
        "refused-1-no-hint",
        "1 bad request/s, and refusals without a hint.",
        GOOD,
        refused(1.0, Hint::Absent)
    ),
    beside!(
        "refused-3-no-hint",
        "The same with 3 bad requests/s.",
        GOOD,
        refused(3.0, Hint::Absent)
    ),
    beside!(
        "refused-once-1",
        "The caller of `refused-1` repeats none of its requests. It cancels after 0.5 s.",
        GOOD,
        refused_once(1.0, Hint::Seconds)
    ),
    beside!(
        "refused-once-5",
        "The same with 5 bad requests/s.",
        GOOD,
        refused_once(5.0, Hint::Seconds)
    ),
    beside!(
        "refused-once-5-no-hint",
        "The same, and refusals without a hint.",
        GOOD,
        refused_once(5.0, Hint::Absent)
    ),
    Entry {
        name: "small-1",
        about: "One endpoint allows 1 request/s with a burst of 1 s. Answers take 0.3 s (median, \
                lognormal, sigma 0.5), a 429 takes 30 ms.",
        loads: OVER,
        make: |load| small("small-1", load, 1),
    },
    Entry {
        name: "small-3",
        about: "The same with 3 requests/s.",
        loads: OVER,
        make: |load| small("small-3", load, 3),
    },
    Entry {
        name: "random-20",
        about: "One endpoint without a quota refuses one request of five at random, with \
                `Retry-After: 1`. All answers take 50 ms. A load of 0.01 is 10 requests/s. \
                For 5 min.",
        loads: RANDOM,
        make: |load| random("random-20", load, (0.2, 1, Hint::Seconds)),
    },
    Entry {
        name: "random-20-of-3",
        about: "The same with three such endpoints.",
        loads: RANDOM,
        make: |load| random("random-20-of-3", load, (0.2, 3, Hint::Seconds)),
    },
    Entry {
        name: "random-50-of-3",
        about: "Three such endpoints refuse half of the requests.",
        loads: RANDOM,
        make: |load| random("random-50-of-3", load, (0.5, 3, Hint::Seconds)),
    },
];

/// Creates a scenario in which each request of one caller is refused with `429` at every endpoint.
fn refused(name: &str, load: f64, bad: f64, hint: Hint) -> Scenario {
    let bad = Caller::new("bad", Arrivals::Poisson(bad)).refused();
    beside(bad, name, load, (2, hint))
}

/// Creates the same scenario with a caller that repeats no request.
fn refused_once(name: &str, load: f64, bad: f64, hint: Hint) -> Scenario {
    let bad = Caller::new("bad", Arrivals::Poisson(bad)).refused();
    beside(bad.patience([SECOND / 2]), name, load, (2, hint))
}

/// Creates a scenario with this number of requests per second as the quota.
fn small(name: &str, load: f64, quota: u32) -> Scenario {
    let endpoint = Endpoint::new("small")
        .requests(Quota::new(quota, SECOND))
        .latency(Latency::LogNormal(SECOND.mul_f64(0.3), 0.5));
    Scenario::new(name).endpoint(endpoint).load(load)
}
