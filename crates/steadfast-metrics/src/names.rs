//! The names of all metrics. Dashboards and alerts are written against them.

/// Requests that were started.
pub const REQUESTS_STARTED: &str = "steadfast_requests_started_total";
/// Requests that ended, by `outcome`.
pub const REQUESTS: &str = "steadfast_requests_total";
/// Requests that were started and have not ended.
pub const REQUESTS_IN_FLIGHT: &str = "steadfast_requests_in_flight";
/// Time from the call to the end of the body, by `outcome`.
pub const REQUEST_DURATION: &str = "steadfast_request_duration_seconds";
/// Time from the call to the head of the response, by `outcome`.
pub const REQUEST_HEAD: &str = "steadfast_request_head_seconds";
/// Attempts that a request took.
pub const REQUEST_ATTEMPTS: &str = "steadfast_request_attempts";
/// Moves to another endpoint, counted when their request ends.
pub const REQUEST_FAILOVERS: &str = "steadfast_request_failovers_total";

/// Attempts that were started, by `endpoint`.
pub const ATTEMPTS_STARTED: &str = "steadfast_attempts_started_total";
/// Attempts that ended, by `endpoint` and `outcome`.
pub const ATTEMPTS: &str = "steadfast_attempts_total";
/// Attempts that were started and have not ended, by `endpoint`.
pub const ATTEMPTS_IN_FLIGHT: &str = "steadfast_attempts_in_flight";
/// Time from the call to the end of the body, by `endpoint` and `outcome`.
pub const ATTEMPT_DURATION: &str = "steadfast_attempt_duration_seconds";
/// Time from the call to the head of the response, by `endpoint` and `outcome`.
pub const ATTEMPT_HEAD: &str = "steadfast_attempt_head_seconds";

/// The state of a circuit breaker, by `endpoint`: 0 closed, 1 open, 2 half-open.
pub const BREAKER_STATE: &str = "steadfast_breaker_state";
/// Changes of that state, by `endpoint` and `to`.
pub const BREAKER_TRANSITIONS: &str = "steadfast_breaker_transitions_total";
/// Cooldowns that began, by `endpoint` and `class`.
pub const COOLDOWNS: &str = "steadfast_cooldowns_total";
/// How long a cooldown was set to last, by `endpoint`.
pub const COOLDOWN_SECONDS: &str = "steadfast_cooldown_seconds";
/// Moves of a request to another endpoint, by `from`, `to` and `class`.
pub const FAILOVERS: &str = "steadfast_failovers_total";
/// Further attempts of a request while the first had not answered, by `from` and `to`.
pub const HEDGES: &str = "steadfast_hedges_total";
/// Waits of a request before its next attempt, by `class` of the last one.
pub const RETRIES: &str = "steadfast_retries_total";
/// How often no endpoint could take a request.
pub const EXHAUSTED: &str = "steadfast_exhausted_total";
