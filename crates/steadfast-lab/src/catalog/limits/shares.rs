//! Quotas per model, per credential and per minute.
//!
//! Providers count per model, per credential and per fixed minute. A policy with one state per
//! endpoint takes a limited model or caller for a limited endpoint.

use steadfast_testkit::Quota;

use super::at;
use crate::catalog::entry::{Entry, MINUTE, SECOND};
use crate::world::{Arrivals, Caller, Endpoint, Latency, Scenario};

/// The scenarios in the order of the page.
pub(super) const ENTRIES: &[Entry] = &[
    Entry {
        name: "models",
        about: "Two endpoints with one credential each, and two models. Each endpoint allows 20 \
                requests/s for the model `free`, and 60 per minute, in fixed windows, for the \
                model `limited`. The load is the share of its quota that `free` uses. `limited` \
                needs twice its quota. Answers take 0.5 s (median, lognormal, sigma 0.5).",
        loads: &[0.25, 0.5],
        make: models,
    },
    Entry {
        name: "greedy",
        about: "Two endpoints, and two callers with credentials of their own, which are passed \
                on. Each endpoint allows 10 requests/s for each credential. The load is the share \
                of its quota that `modest` uses. `greedy` sends five times its quota. Answers \
                take 0.2 s (median, lognormal, sigma 0.5).",
        loads: &[0.5, 0.8],
        make: greedy,
    },
    Entry {
        name: "minute",
        about: "Three endpoints allow 300, 120 and 60 requests per minute, in fixed windows. \
                Answers take 1 s (median, lognormal, sigma 0.5). For 15 min.",
        loads: &[0.8, 0.95],
        make: minute,
    },
];

/// Creates a scenario with two models, one of which needs twice its quota.
fn models(load: f64) -> Scenario {
    let endpoint = |name| {
        Endpoint::new(name)
            .requests_of("free", Quota::new(20, SECOND))
            .requests_of("limited", Quota::new(60, MINUTE).fixed_window())
            .latency(Latency::LogNormal(SECOND / 2, 0.5))
    };
    let caller = |name, rate| Caller::new(name, Arrivals::Poisson(rate)).model(name);
    let scenario = Scenario::new("models")
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b"))
        .caller(caller("free", 40.0 * load))
        .caller(caller("limited", 4.0));
    at(load, scenario)
}

/// Creates a scenario with two callers, one of which sends five times its quota.
fn greedy(load: f64) -> Scenario {
    let quota = || Quota::new(10, SECOND);
    let endpoint = |name| {
        Endpoint::new(name)
            .requests_of("modest", quota())
            .requests_of("greedy", quota())
            .latency(Latency::LogNormal(SECOND / 5, 0.5))
    };
    let caller = |name, rate| Caller::new(name, Arrivals::Poisson(rate)).credential(name);
    let scenario = Scenario::new("greedy")
        .endpoint(endpoint("a"))
        .endpoint(endpoint("b"))
        .caller(caller("modest", 20.0 * load))
        .caller(caller("greedy", 100.0))
        .lasting(2 * MINUTE);
    at(load, scenario)
}

/// Creates a scenario with quotas per minute in fixed windows. A whole quota is available at each
/// full minute, and a hint is up to a minute long.
fn minute(load: f64) -> Scenario {
    let endpoint = |(name, requests)| {
        Endpoint::new(name)
            .requests(Quota::new(requests, MINUTE).fixed_window())
            .latency(Latency::LogNormal(SECOND, 0.5))
    };
    [("large", 300), ("medium", 120), ("small", 60)]
        .map(endpoint)
        .into_iter()
        .fold(Scenario::new("minute"), Scenario::endpoint)
        .load(load)
        .lasting(15 * MINUTE)
}
