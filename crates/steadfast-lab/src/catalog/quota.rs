//! Scenarios with endpoints that have quotas.
//!
//! Four endpoints of different size, speed and price are the base. Each other scenario changes one
//! property, so that a difference between two rows of the page has one cause.

use steadfast_testkit::Quota;

use crate::catalog::entry::{MINUTE, SECOND};
use crate::world::{Endpoint, Hint, Latency, Scenario, Trouble};

/// The requests per second, the median of the latency in seconds, and the cost of a request.
const QUOTAS: [(&str, u32, f64, f64); 4] = [
    ("large", 20, 1.0, 1.0),
    ("medium", 10, 1.5, 1.0),
    ("small", 5, 2.0, 2.0),
    ("slow", 5, 4.0, 0.5),
];

/// Creates the base scenario.
pub(super) fn quota(load: f64) -> Scenario {
    four("quota", load, |endpoint| endpoint)
}

/// Creates the base scenario with a `429` that has no hint.
pub(super) fn quota_no_hint(load: f64) -> Scenario {
    four("quota-no-hint", load, |endpoint| {
        endpoint.hint(Hint::Absent)
    })
}

/// Creates the base scenario with answers of 8 s, as long as the answers of large models.
pub(super) fn quota_slow(load: f64) -> Scenario {
    let latency = Latency::LogNormal(8 * SECOND, 0.5);
    four("quota-slow", load, |endpoint| endpoint.latency(latency)).deadline(MINUTE)
}

/// Creates the base scenario with a closed port of the largest endpoint for a minute.
pub(super) fn outage(load: f64) -> Scenario {
    four("outage", load, |endpoint| match endpoint.name() {
        "large" => endpoint.trouble(60..120, Trouble::Refuses),
        _ => endpoint,
    })
}

/// Creates the base scenario with eight independent clients. Each learns the limits of the others
/// only by its own refusals.
pub(super) fn clients(load: f64) -> Scenario {
    four("clients", load, |endpoint| endpoint).clients(8)
}

/// Creates the base scenario with an endpoint that fails after 5 ms. A policy that prefers low
/// latency must not prefer it.
pub(super) fn fast_fail(load: f64) -> Scenario {
    four("fast-fail", load, |endpoint| match endpoint.name() {
        "medium" => endpoint
            .refusal(SECOND / 200)
            .trouble(30..150, Trouble::Fails(1.0, 500)),
        _ => endpoint,
    })
}

/// Creates the base scenario with 5 % random failures. Breakers must stay closed.
pub(super) fn noise(load: f64) -> Scenario {
    four("noise", load, |endpoint| endpoint.failures(0.05))
}

/// Creates the base scenario with an outage of ten minutes and a slow start after it, as caches are
/// cold.
pub(super) fn recovery(load: f64) -> Scenario {
    four("recovery", load, |endpoint| match endpoint.name() {
        "large" => endpoint
            .trouble(60..660, Trouble::Refuses)
            .slow_start(3.0, MINUTE),
        _ => endpoint,
    })
    .lasting(15 * MINUTE)
}

/// Creates a scenario with quotas of tokens. One request of ten has 40 times the size of the
/// others.
pub(super) fn tokens(load: f64) -> Scenario {
    let endpoint = |(name, tokens, median): (&'static str, u32, f64)| {
        Endpoint::new(name)
            .requests(Quota::new(tokens / 1_225, SECOND))
            .tokens(Quota::new(tokens, SECOND).burst(4 * tokens))
            .latency(Latency::LogNormal(SECOND.mul_f64(median), 0.5))
    };
    let endpoints = [
        ("large", 24_500, 1.0),
        ("medium", 12_250, 1.5),
        ("small", 6_125, 2.0),
    ];
    endpoints
        .map(endpoint)
        .into_iter()
        .fold(Scenario::new("tokens"), Scenario::endpoint)
        .sizes([(0.9, 500), (0.1, 20_000)])
        .load(load)
}

/// Creates a scenario with the four endpoints, each changed by `change`.
fn four(name: &str, load: f64, change: impl Fn(Endpoint) -> Endpoint) -> Scenario {
    let endpoint = |(name, requests, median, cost)| {
        Endpoint::new(name)
            .requests(Quota::new(requests, SECOND))
            .latency(Latency::LogNormal(SECOND.mul_f64(median), 0.5))
            .cost(cost)
    };
    // An overload shows its whole effect only when queues have grown.
    let lasting = if load > 1.0 { 60 * MINUTE } else { 4 * MINUTE };
    QUOTAS
        .map(endpoint)
        .into_iter()
        .map(change)
        .fold(Scenario::new(name), Scenario::endpoint)
        .load(load)
        .lasting(lasting)
}
