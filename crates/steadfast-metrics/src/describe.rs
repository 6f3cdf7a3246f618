use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

use crate::names;

/// Buckets for the histograms whose names end in `_seconds`.
///
/// The numbers up to 81.92 are those which the OpenTelemetry conventions for generative AI advise
/// for `gen_ai.client.operation.duration`. They are doubled three times more, because a long
/// completion takes minutes, and our default timeout for one is ten of them.
pub const SECONDS_BUCKETS: [f64; 17] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36,
];

/// Buckets for [`REQUEST_ATTEMPTS`](names::REQUEST_ATTEMPTS).
///
/// Zero is a request that no endpoint could take. Up to three, the usual limit of attempts, each
/// number has its own bucket.
pub const ATTEMPTS_BUCKETS: [f64; 6] = [0.0, 1.0, 2.0, 3.0, 5.0, 8.0];

/// Tells the installed recorder what the metrics mean and what their units are.
///
/// Call it once, after the recorder is installed. Without it everything is measured all the same,
/// but an exporter has no help texts to show.
pub fn describe() {
    describe_requests();
    describe_attempts();
    describe_events();
}

fn describe_requests() {
    describe_counter!(
        names::REQUESTS_STARTED,
        Unit::Count,
        "Requests that were started"
    );
    describe_counter!(
        names::REQUESTS,
        Unit::Count,
        "Requests that ended, by outcome"
    );
    describe_gauge!(
        names::REQUESTS_IN_FLIGHT,
        Unit::Count,
        "Requests that were started and have not ended"
    );
    describe_histogram!(
        names::REQUEST_DURATION,
        Unit::Seconds,
        "Time from the call of a request to the end of the response body"
    );
    describe_histogram!(
        names::REQUEST_HEAD,
        Unit::Seconds,
        "Time from the call of a request to the head of the response"
    );
    describe_histogram!(
        names::REQUEST_ATTEMPTS,
        Unit::Count,
        "Attempts that a request took"
    );
    describe_counter!(
        names::REQUEST_FAILOVERS,
        Unit::Count,
        "Moves to another endpoint, counted when their request ends"
    );
}

fn describe_attempts() {
    describe_counter!(
        names::ATTEMPTS_STARTED,
        Unit::Count,
        "Attempts that were started"
    );
    describe_counter!(
        names::ATTEMPTS,
        Unit::Count,
        "Attempts that ended, by outcome"
    );
    describe_gauge!(
        names::ATTEMPTS_IN_FLIGHT,
        Unit::Count,
        "Attempts that were started and have not ended"
    );
    describe_histogram!(
        names::ATTEMPT_DURATION,
        Unit::Seconds,
        "Time from the call of an attempt to the end of the response body"
    );
    describe_histogram!(
        names::ATTEMPT_HEAD,
        Unit::Seconds,
        "Time from the call of an attempt to the head of the response"
    );
}

fn describe_events() {
    describe_gauge!(
        names::BREAKER_STATE,
        Unit::Count,
        "State of a circuit breaker: 0 closed, 1 open, 2 half-open"
    );
    describe_counter!(
        names::BREAKER_TRANSITIONS,
        Unit::Count,
        "Changes of the state of a circuit breaker"
    );
    describe_counter!(names::COOLDOWNS, Unit::Count, "Cooldowns that began");
    describe_histogram!(
        names::COOLDOWN_SECONDS,
        Unit::Seconds,
        "How long a cooldown was set to last"
    );
    describe_counter!(
        names::FAILOVERS,
        Unit::Count,
        "Moves of a request to another endpoint"
    );
    describe_counter!(
        names::HEDGES,
        Unit::Count,
        "Further attempts of a request while the first had not answered"
    );
    describe_counter!(
        names::RETRIES,
        Unit::Count,
        "Waits of a request before its next attempt"
    );
    describe_counter!(
        names::EXHAUSTED,
        Unit::Count,
        "How often no endpoint could take a request"
    );
}
