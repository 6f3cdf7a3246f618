//! Overload: impatient callers, and answers that are shorter than waits.
//!
//! Overload wastes work: an answer after its caller has cancelled uses a slot, and helps no caller.
//! The scenarios measure that waste.

use std::time::Duration;

use steadfast_testkit::Quota;

use super::at;
use crate::catalog::entry::{Entry, MINUTE, SECOND};
use crate::world::{Arrivals, Caller, Endpoint, Latency, Scenario, Trouble};

/// The loads of impatient callers.
const OVERLOADS: &[f64] = &[1.2, 2.0, 5.0];

/// The scenarios in the order of the page.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "impatient-2",
        about: "Three endpoints allow 20 requests/s each, and answer after 0.3 s (median, \
                lognormal, sigma 0.5). Callers state no deadline, and cancel after 2 s.",
        loads: OVERLOADS,
        make: |load| impatient("impatient-2", load, &[2]),
    },
    Entry {
        name: "impatient-5",
        about: "The same with a patience of 5 s.",
        loads: OVERLOADS,
        make: |load| impatient("impatient-5", load, &[5]),
    },
    Entry {
        name: "impatient-10",
        about: "The same with a patience of 10 s.",
        loads: OVERLOADS,
        make: |load| impatient("impatient-10", load, &[10]),
    },
    Entry {
        name: "impatient-mixed",
        about: "The same with a patience of 2, 5 or 10 s, at random.",
        loads: OVERLOADS,
        make: |load| impatient("impatient-mixed", load, &[2, 5, 10]),
    },
    Entry {
        name: "short",
        about: "Three endpoints allow 20 requests/s each, in fixed windows of a second. Answers \
                take 10 ms, and refusals 5 ms.",
        loads: &[0.8, 0.95, 1.6],
        make: short,
    },
    Entry {
        name: "forever",
        about: "Three endpoints answer every request with 429 after 30 ms, and `Retry-After: 1`. \
                Callers state no deadline, and cancel after 10 s. A load of 1 is 60 requests/s.",
        loads: &[0.05, 1.0, 5.0],
        make: forever,
    },
];

/// Creates a scenario with three equal endpoints.
fn three(name: &str, change: impl Fn(Endpoint) -> Endpoint) -> Scenario {
    let endpoints = ["a", "b", "c"].map(Endpoint::new).map(change);
    let endpoints = endpoints.into_iter();
    endpoints.fold(Scenario::new(name), Scenario::endpoint)
}

/// Creates a scenario with callers that cancel after one of these times in seconds, without a
/// stated deadline.
fn impatient(name: &str, load: f64, patience: &[u64]) -> Scenario {
    let scenario = three(name, |endpoint| {
        endpoint
            .requests(Quota::new(20, SECOND))
            .latency(Latency::LogNormal(3 * SECOND / 10, 0.5))
    });
    let rate = load * scenario.rate();
    let caller = Caller::new("all", Arrivals::Poisson(rate))
        .patience(patience.iter().copied().map(Duration::from_secs));
    let scenario = scenario
        .caller(caller)
        .without_stated_deadline()
        .lasting(MINUTE);
    at(load, scenario)
}

/// Creates a scenario in which answers (10 ms) are much shorter than the windows of the quotas (1
/// s). A wait for a slot then costs a hundred times the latency.
fn short(load: f64) -> Scenario {
    three("short", |endpoint| {
        endpoint
            .requests(Quota::new(20, SECOND).fixed_window())
            .latency(Latency::Constant(SECOND / 100))
            .refusal(SECOND / 200)
    })
    .load(load)
    .lasting(2 * MINUTE)
}

/// Creates a scenario in which all endpoints refuse all requests. The best policy rejects each
/// request once, with a true hint.
fn forever(load: f64) -> Scenario {
    // Longer than the last request lives.
    let always = 0..600;
    let scenario = three("forever", |endpoint| {
        endpoint
            .requests(Quota::new(20, SECOND))
            .trouble(always.clone(), Trouble::Limits(SECOND))
    });
    let rate = load * scenario.rate();
    let caller = Caller::new("all", Arrivals::Poisson(rate)).patience([10 * SECOND]);
    let scenario = scenario
        .caller(caller)
        .without_stated_deadline()
        .lasting(MINUTE);
    at(load, scenario)
}
