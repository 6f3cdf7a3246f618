use std::sync::Arc;
use std::time::Duration;

use metrics::{Label, counter, gauge, histogram};
use steadfast_core::{BreakerState, Class, EndpointName, Event, LimitKey, Observer};

use crate::key_labels::{self, KeyLabels};
use crate::names;

/// Records events as metrics: breakers, cooldowns, failovers, hedges, retries, broken streams and
/// exhausted pools.
///
/// Set it as the observer of a layer. One observer suffices for several layers. Two observers at
/// one layer count each event twice.
///
/// A cooldown of a limit key, usually a model, has the label `key`. Callers choose the keys, so the
/// number of label values is bounded: the first [`MAX_KEYS`](Self::MAX_KEYS) keys that cool, or the
/// names of [`keys`](Self::keys). All further keys have the label `other`. Clones share the keys. A
/// cooldown that concerns one caller has the label `per_credential`.
///
/// Each event looks up its series in the recorder, which costs a few allocations. A request that
/// succeeds at its first endpoint causes no event and no such cost.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct EventMetrics {
    keys: Arc<KeyLabels>,
}

impl EventMetrics {
    /// The maximum number of keys with a label of their own, unless the names are set.
    pub const MAX_KEYS: usize = key_labels::MAX_KEYS;

    /// Creates the observer.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the keys with a label of their own. All others have the label `other`.
    #[must_use]
    pub fn keys<K: Into<LimitKey>>(self, keys: impl IntoIterator<Item = K>) -> Self {
        let keys = KeyLabels::only(keys.into_iter().map(Into::into).collect());
        Self {
            keys: Arc::new(keys),
        }
    }
}

impl Observer for EventMetrics {
    fn on_event(&self, event: &Event) {
        match event {
            Event::Breaker { endpoint, to, .. } => breaker(endpoint, *to),
            Event::Cooldown {
                endpoint,
                key,
                per_credential,
                class,
                wait,
            } => {
                let key = key.as_ref().map(|key| self.keys.label(key));
                cooldown(endpoint, (key, *per_credential), *class, *wait);
            }
            Event::Failover {
                from, to, class, ..
            } => failover(from, to, *class),
            Event::Hedge { from, to, .. } => hedge(from, to),
            Event::Retry { class, .. } => {
                counter!(names::RETRIES, "class" => class.as_str()).increment(1);
            }
            Event::StreamBroken { endpoint, .. } => {
                counter!(names::STREAMS_BROKEN, "endpoint" => endpoint.as_str().to_owned())
                    .increment(1);
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
    gauge!(names::BREAKER_STATE, "endpoint" => endpoint.as_str().to_owned()).set(state);
    counter!(
        names::BREAKER_TRANSITIONS,
        "endpoint" => endpoint.as_str().to_owned(),
        "to" => to.as_str(),
    )
    .increment(1);
}

fn cooldown(
    endpoint: &EndpointName,
    (key, per_credential): (Option<String>, bool),
    class: Class,
    wait: Duration,
) {
    // Without a key, all keys are concerned, and there is no such label.
    let mut labels = Vec::with_capacity(4);
    labels.push(Label::new("endpoint", endpoint.as_str().to_owned()));
    labels.extend(key.map(|key| Label::new("key", key)));
    labels.extend(per_credential.then(|| Label::from_static_parts("per_credential", "true")));
    labels.push(Label::from_static_parts("class", class.as_str()));
    counter!(names::COOLDOWNS, labels).increment(1);
    // Without the key: each series has many buckets.
    histogram!(names::COOLDOWN_SECONDS, "endpoint" => endpoint.as_str().to_owned()).record(wait);
}

fn failover(from: &EndpointName, to: &EndpointName, class: Class) {
    counter!(
        names::FAILOVERS,
        "from" => from.as_str().to_owned(),
        "to" => to.as_str().to_owned(),
        "class" => class.as_str(),
    )
    .increment(1);
}

fn hedge(from: &EndpointName, to: &EndpointName) {
    counter!(
        names::HEDGES,
        "from" => from.as_str().to_owned(),
        "to" => to.as_str().to_owned(),
    )
    .increment(1);
}
