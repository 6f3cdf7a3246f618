use std::time::Duration;

use crate::breaker_state::BreakerState;
use crate::class::Class;
use crate::endpoint::EndpointName;
use crate::limit_key::LimitKey;

/// A change or a decision that matters to an operator.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// A circuit breaker changed its state.
    Breaker {
        /// The name of the breaker. In a balancer it is the name of the endpoint.
        endpoint: EndpointName,
        /// The previous state.
        from: BreakerState,
        /// The new state.
        to: BreakerState,
        /// The time until the first probe, if the breaker is open.
        retry_in: Option<Duration>,
    },
    /// An endpoint cools.
    Cooldown {
        /// The endpoint.
        endpoint: EndpointName,
        /// The key that cools. `None` for all keys.
        key: Option<LimitKey>,
        /// Whether only the requests of one caller are concerned: the endpoint passes on its
        /// credential. Such a cooldown must not be applied to other callers.
        per_credential: bool,
        /// The class of its answer. `Success` if its headers report that nothing remains.
        class: Class,
        /// The length of the cooldown.
        wait: Duration,
    },
    /// A cooldown is over: the endpoint takes all requests again.
    CooldownEnded {
        /// The endpoint.
        endpoint: EndpointName,
        /// The key that cooled. `None` for all keys.
        key: Option<LimitKey>,
        /// Whether only the requests of one caller were concerned.
        per_credential: bool,
    },
    /// A request moved to another endpoint.
    Failover {
        /// The endpoint that did not serve the request.
        from: EndpointName,
        /// The endpoint of the next attempt.
        to: EndpointName,
        /// The class of the first endpoint's answer.
        class: Class,
        /// The time between the end of one attempt and the start of the next.
        after: Duration,
    },
    /// A hedge was sent, since the first attempt had no answer yet.
    Hedge {
        /// The endpoint of the first attempt.
        from: EndpointName,
        /// The endpoint of the hedge.
        to: EndpointName,
        /// The time since the first attempt was sent.
        after: Duration,
    },
    /// A request waits before its next attempt.
    Retry {
        /// The class of the last attempt.
        class: Class,
        /// The number of the next attempt, from 2.
        attempt: usize,
        /// The length of the wait.
        wait: Duration,
    },
    /// A stream broke after its first visible token. Its body ended with an error.
    StreamBroken {
        /// The endpoint.
        endpoint: EndpointName,
        /// The reason, such as `the stream ended before the answer did`. It contains no text of a
        /// server.
        reason: String,
        /// The events with a visible part that had come, each with about one token.
        after_tokens: u64,
    },
    /// No endpoint was admissible.
    Exhausted {
        /// The time until the soonest recovery, if it is known.
        retry_in: Option<Duration>,
    },
}
