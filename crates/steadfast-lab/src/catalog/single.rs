//! Scenarios with one endpoint.
//!
//! With one endpoint a policy cannot fail over. It can only wait, retry or give up.

use std::time::Duration;

use steadfast_testkit::Quota;

use crate::catalog::entry::{MINUTE, SECOND};
use crate::world::{Arrivals, Endpoint, Latency, Scenario, Trouble};

/// Creates a scenario with an overload of ten seconds. A policy without a budget keeps the overload
/// alive by its retries (a metastable failure).
pub(super) fn storm(load: f64) -> Scenario {
    service("storm", load, overload)
}

/// Creates a scenario with many clients that start at the same instant. Hints without jitter make
/// them return at the same instant.
pub(super) fn herd(load: f64) -> Scenario {
    let clients = (300.0 * load).round() as u32;
    let endpoint = Endpoint::new("limited")
        .requests(Quota::new(10, SECOND).burst(20))
        .latency(Latency::Constant(SECOND / 10));
    Scenario::new("herd")
        .endpoint(endpoint)
        .load(load)
        .arrivals(Arrivals::Bursts {
            size: clients,
            every: Duration::ZERO,
        })
        .clients(clients as usize)
        .attempts(u32::MAX)
        .deadline(10 * MINUTE)
}

/// Reduces the capacity of an endpoint to 30 % from 30 to 40 s.
pub(super) fn overload(endpoint: Endpoint) -> Endpoint {
    endpoint.trouble(30..40, Trouble::Capacity(0.3))
}

/// Creates a scenario with one service of 20 slots and 50 ms per request (400 requests/s), changed
/// by `change`.
pub(super) fn service(name: &str, load: f64, change: impl Fn(Endpoint) -> Endpoint) -> Scenario {
    let service = Endpoint::new("service")
        .capacity(20)
        .latency(Latency::Constant(SECOND / 20));
    Scenario::new(name)
        .endpoint(change(service))
        .load(load)
        .attempt_timeout(SECOND)
        .lasting(2 * MINUTE)
}
