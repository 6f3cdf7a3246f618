use std::time::Duration;

use metrics::{counter, gauge, histogram};
use steadfast_core::{BreakerState, Class, EndpointName, Event, Observer};

use crate::names;

/// Records events as metrics: breakers, cooldowns, failovers, hedges, retries and exhausted pools.
///
/// Set it as the observer of a layer. It has no state, so one observer suffices for several layers.
/// Two observers at one layer count each event twice.
///
/// Each event looks up its series in the recorder, which costs a few allocations. A request that
/// succeeds at its first endpoint causes no event and no such cost.
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
                ..
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
    // One series with the state as its value. With one series per state, a missed reset would leave
    // two states at 1.
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
