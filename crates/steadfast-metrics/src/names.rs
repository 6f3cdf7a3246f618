//! The names of all metrics.
//!
//! The metrics of attempts also have the label `endpoint`. The labels `outcome` and `class` have
//! the 15 values of [`Class::as_str`](steadfast_core::Class::as_str), and the label `to` of a
//! transition has 3 values. The names of endpoints and breakers come from the configuration. If the
//! endpoints are the addresses of a DNS name, they contain the address. The label `key` has the
//! names of [`EventMetrics::keys`](crate::EventMetrics::keys), which are the configured models in a
//! stack for AI APIs. Without these names, it has the first 64 keys that cool. No other label
//! contains a part of a request, and none a part of a response or of a credential.
//!
//! # Requests and attempts
//!
//! These come from [`MetricsLayer`](crate::MetricsLayer). `started == ended + in_flight` always
//! holds.
//!
//! | Name | Type, unit | Labels | Value | After a cancellation |
//! |---|---|---|---|---|
//! | `steadfast_requests_started_total`, `steadfast_attempts_started_total` | counter | – | calls | counted, since it rises at the call |
//! | `steadfast_requests_total`, `steadfast_attempts_total` | counter | `outcome` | ends | before the head `cancelled`, after it the class of the head |
//! | `steadfast_requests_in_flight`, `steadfast_attempts_in_flight` | gauge | – | calls without an end | falls at the drop |
//! | `steadfast_request_duration_seconds`, `steadfast_attempt_duration_seconds` | histogram, s | `outcome` | time from the call to the end of the body, or to the error | time to the drop, under the outcome of the row above |
//! | `steadfast_request_head_seconds`, `steadfast_attempt_head_seconds` | histogram, s | `outcome` | time to the head, under its class, even if the body breaks later; no value for an error | no value before the head |
//! | `steadfast_request_attempts` | histogram, attempts | – | attempts of a request, at its end; 0 if no endpoint was admissible | no value before the head; its attempts are in `steadfast_attempts_total` |
//! | `steadfast_request_failovers_total` | counter | – | moves to another endpoint, at the end of the request | no value before the head |
//!
//! # Tokens
//!
//! These come from [`TokenUsage`](crate::TokenUsage), which the stack for AI APIs uses.
//!
//! | Name | Type, unit | Labels | Value | After a cancellation |
//! |---|---|---|---|---|
//! | `steadfast_attempt_input_tokens_total`, `steadfast_attempt_output_tokens_total` | counter, tokens | `endpoint` | the `usage` of whole answers | no value before the end of the answer |
//!
//! # Events
//!
//! These come from [`EventMetrics`](crate::EventMetrics).
//!
//! | Name | Type, unit | Labels | Value | After a cancellation |
//! |---|---|---|---|---|
//! | `steadfast_breaker_state` | gauge: 0 closed, 1 open, 2 half-open | `endpoint` | the state since the last transition; no series before the first transition | a cancelled probe changes nothing |
//! | `steadfast_breaker_transitions_total` | counter | `endpoint`, `to` | transitions | as above |
//! | `steadfast_cooldowns_total` | counter | `endpoint`, `key`, `per_credential`, `class` | cooldowns that began; without `key`, all keys are concerned; with `per_credential="true"`, only one caller | stays counted |
//! | `steadfast_cooldown_seconds` | histogram, s | `endpoint` | their planned length | stays counted |
//! | `steadfast_hedges_total` | counter | `from`, `to` | hedges, when they are sent | stays counted |
//! | `steadfast_failovers_total` | counter | `from`, `to`, `class` | moves to another endpoint, at once | stays counted |
//! | `steadfast_retries_total` | counter | `class` | waits before a next attempt | counted, even if the attempt is not sent |
//! | `steadfast_streams_broken_total` | counter | `endpoint` | streams that broke after their first visible token | counted if the stream broke before the drop |
//! | `steadfast_exhausted_total` | counter | – | times at which no endpoint could take a request | stays counted |

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
/// Attempts of a request.
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

/// Tokens of the requests, as whole answers report them, by `endpoint`.
pub const INPUT_TOKENS: &str = "steadfast_attempt_input_tokens_total";
/// Tokens of whole answers, by `endpoint`.
pub const OUTPUT_TOKENS: &str = "steadfast_attempt_output_tokens_total";

/// The state of a circuit breaker, by `endpoint`: 0 closed, 1 open, 2 half-open.
pub const BREAKER_STATE: &str = "steadfast_breaker_state";
/// Changes of that state, by `endpoint` and `to`.
pub const BREAKER_TRANSITIONS: &str = "steadfast_breaker_transitions_total";
/// Cooldowns that began, by `endpoint`, `key`, `per_credential` and `class`.
pub const COOLDOWNS: &str = "steadfast_cooldowns_total";
/// The length of a cooldown, as planned at its start, by `endpoint`.
pub const COOLDOWN_SECONDS: &str = "steadfast_cooldown_seconds";
/// Moves of a request to another endpoint, by `from`, `to` and `class`.
pub const FAILOVERS: &str = "steadfast_failovers_total";
/// Hedges, by `from` and `to`.
pub const HEDGES: &str = "steadfast_hedges_total";
/// Waits of a request before its next attempt, by the `class` of the last attempt.
pub const RETRIES: &str = "steadfast_retries_total";
/// Streams that broke after their first visible token, by `endpoint`.
pub const STREAMS_BROKEN: &str = "steadfast_streams_broken_total";
/// Times at which no endpoint could take a request.
pub const EXHAUSTED: &str = "steadfast_exhausted_total";
