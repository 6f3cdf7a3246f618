//! Scenarios with one endpoint.

use std::time::Duration;

use steadfast_testkit::Quota;

use crate::catalog::entry::{MINUTE, SECOND};
use crate::world::{Arrivals, Endpoint, Latency, Scenario, Trouble};

pub(super) fn storm(load: f64) -> Scenario {
    service("storm", load, overload)
}

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

pub(super) fn overload(endpoint: Endpoint) -> Endpoint {
    endpoint.trouble(30..40, Trouble::Capacity(0.3))
}

/// A service with a fixed capacity, with one change.
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
