use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::names;

const COUNTERS: [(&str, &str); 14] = [
    (names::REQUESTS_STARTED, "Requests that were started"),
    (names::REQUESTS, "Requests that ended, by outcome"),
    (
        names::REQUEST_FAILOVERS,
        "Moves to another endpoint, counted when their request ends",
    ),
    (names::ATTEMPTS_STARTED, "Attempts that were started"),
    (names::ATTEMPTS, "Attempts that ended, by outcome"),
    (
        names::BREAKER_TRANSITIONS,
        "Changes of the state of a circuit breaker",
    ),
    (names::COOLDOWNS, "Cooldowns that began"),
    (names::FAILOVERS, "Moves of a request to another endpoint"),
    (
        names::HEDGES,
        "Further attempts of a request while the first had not answered",
    ),
    (names::RETRIES, "Waits of a request before its next attempt"),
    (
        names::INPUT_TOKENS,
        "Tokens of the requests, as whole answers report them",
    ),
    (names::OUTPUT_TOKENS, "Tokens of whole answers"),
    (
        names::STREAMS_BROKEN,
        "Streams that broke after their first visible token",
    ),
    (
        names::EXHAUSTED,
        "Times at which no endpoint could take a request",
    ),
];

const GAUGES: [(&str, &str); 3] = [
    (
        names::REQUESTS_IN_FLIGHT,
        "Requests that were started and have not ended",
    ),
    (
        names::ATTEMPTS_IN_FLIGHT,
        "Attempts that were started and have not ended",
    ),
    (
        names::BREAKER_STATE,
        "State of a circuit breaker: 0 closed, 1 open, 2 half-open",
    ),
];

const HISTOGRAMS: [(&str, Unit, &str); 6] = [
    (
        names::REQUEST_DURATION,
        Unit::Seconds,
        "Time from the call of a request to the end of the response body",
    ),
    (
        names::REQUEST_HEAD,
        Unit::Seconds,
        "Time from the call of a request to the head of the response",
    ),
    (
        names::REQUEST_ATTEMPTS,
        Unit::Count,
        "Attempts that a request took",
    ),
    (
        names::ATTEMPT_DURATION,
        Unit::Seconds,
        "Time from the call of an attempt to the end of the response body",
    ),
    (
        names::ATTEMPT_HEAD,
        Unit::Seconds,
        "Time from the call of an attempt to the head of the response",
    ),
    (
        names::COOLDOWN_SECONDS,
        Unit::Seconds,
        "Length of a cooldown, as planned at its start",
    ),
];

/// Registers the units and the help texts of all metrics with the installed recorder.
///
/// Call it once, after the recorder is installed. Without it, everything is measured as well, but
/// an exporter has no help texts.
pub fn describe() {
    for (name, text) in COUNTERS {
        describe_counter!(name, Unit::Count, text);
    }
    for (name, text) in GAUGES {
        describe_gauge!(name, Unit::Count, text);
    }
    for (name, unit, text) in HISTOGRAMS {
        describe_histogram!(name, unit, text);
    }
}
