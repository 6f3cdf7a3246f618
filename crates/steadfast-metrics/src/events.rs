use std::time::Duration;

use metrics::{counter, gauge, histogram};
use steadfast_core::{BreakerState, Class, EndpointName, Event, Observer};

use crate::names;

/// Records events as metrics: breakers, cooldowns, failovers, hedges, retries and exhausted pools.
///
/// Give it to the layers that tell of events. It keeps nothing itself, so one may observe several
/// layers, and two at one layer count everything twice.
///
/// Each event looks its series up in the recorder, which costs a few allocations. That is paid
/// where something failed or reached a limit, and is little beside the attempt that did: a request
/// which succeeds at its first endpoint causes no event.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventMetrics;

impl EventMetrics {
    /// Creates the observer.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

impl Observer for EventMetrics {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Breaker { endpoint, to, .. } => breaker(endpoint, *to),
            Event::Cooldown {
                endpoint,
                class,
                wait,
            } => cooldown(endpoint, *class, *wait),
            Event::Failover {
                from, to, class, ..
            } => failover(from, to, *class),
            Event::Hedge { from, to, .. } => hedge(from, to),
            Event::Retry { class, .. } => {
                counter!(names::RETRIES, "class" => class.as_str()).increment(1);
            }
            Event::Exhausted { .. } => counter!(names::EXHAUSTED).increment(1),
            _ => {}
        }
    }
}

fn breaker(endpoint: &EndpointName, to: BreakerState) {
    let state = match to {
        BreakerState::Closed => 0.0,
        BreakerState::Open => 1.0,
        BreakerState::HalfOpen => 2.0,
    };
    // One series whose value is the state. With a series for each state, the old one has to be
    // reset, and is 1 for ever where that is forgotten.
    gauge!(names::BREAKER_STATE, "endpoint" => endpoint.to_string()).set(state);
    counter!(
        names::BREAKER_TRANSITIONS,
        "endpoint" => endpoint.to_string(),
        "to" => to.as_str(),
    )
    .increment(1);
}

fn cooldown(endpoint: &EndpointName, class: Class, wait: Duration) {
    counter!(
        names::COOLDOWNS,
        "endpoint" => endpoint.to_string(),
        "class" => class.as_str(),
    )
    .increment(1);
    histogram!(names::COOLDOWN_SECONDS, "endpoint" => endpoint.to_string()).record(wait);
}

fn failover(from: &EndpointName, to: &EndpointName, class: Class) {
    counter!(
        names::FAILOVERS,
        "from" => from.to_string(),
        "to" => to.to_string(),
        "class" => class.as_str(),
    )
    .increment(1);
}

fn hedge(from: &EndpointName, to: &EndpointName) {
    counter!(
        names::HEDGES,
        "from" => from.to_string(),
        "to" => to.to_string(),
    )
    .increment(1);
}
