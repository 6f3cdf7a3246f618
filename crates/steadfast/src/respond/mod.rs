//! Responses for errors, for a server above the stack.

use std::error::Error;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};
use http_body_util::Full;
use serde_json::{Value, json};
use steadfast_balance::PoolHandle;
use steadfast_core::layer::{RecordAttempts, verdict_of_error};
use steadfast_core::{Attempt, BoxError, Class, Exhausted, Trail};
use tokio::time::Instant;

use crate::dialect::below;
use crate::format::Format;
use crate::operation::API_ROOT;
use crate::stack::AiStack;

/// Converts an error of an [`AiStack`] to a response for an HTTP client, in the format of OpenAI.
///
/// | Root cause | Status | `type` | `code` |
/// |---|---|---|---|
/// | a rate limit | `429` | `rate_limit_error` | `rate_limit_exceeded` |
/// | a spent quota | `429` | `insufficient_quota` | `insufficient_quota` |
/// | a rejected credential of an endpoint | `401` | `invalid_request_error` | `invalid_api_key` |
/// | a missing model | `404` | `invalid_request_error` | `model_not_found` |
/// | a fault of the request, such as a body that failed while it was sent | `400` | `invalid_request_error` | `caller_fault` |
/// | open breakers: nothing was sent | `503` | `upstream_error` | the class of the last failure |
/// | overload, or a lack of descriptors, ports or memory on this machine | `503` | `upstream_error` | the class |
/// | a timeout | `504` | `upstream_error` | `timeout` |
/// | any other | `502` | `upstream_error` | the class |
///
/// The message has the reason of each endpoint, such as `` `primary` cools for 12 s after a 429``.
/// The header `retry-after` has the time until the soonest recovery. `x-should-retry: false` keeps
/// the client from multiplying the attempts of the stack. It is absent if nothing was sent and only
/// a wait helps.
#[must_use]
pub fn error_response(error: &BoxError) -> Response<Full<Bytes>> {
    respond(error, openai_body)
}

impl AiStack {
    /// Converts an error to a response in the format of the API at `path`: of Anthropic for
    /// `/v1/messages`, and otherwise of OpenAI.
    ///
    /// Apart from the format, the response equals the one of [`error_response`].
    #[must_use]
    pub fn error_response(&self, path: &str, error: &BoxError) -> Response<Full<Bytes>> {
        respond(error, format_of(self.endpoints(), path))
    }
}

/// Writes the JSON of an error: its class and its message.
pub(crate) type ErrorFormat = fn(Class, &str) -> Value;

/// Returns the format of the API at `path`.
pub(crate) fn format_of(endpoints: &PoolHandle, path: &str) -> ErrorFormat {
    let path = endpoints.strip_request_root(path);
    let path = below(path, API_ROOT).unwrap_or(path);
    match Format::of(path) {
        Some(Format::Messages) => anthropic_body,
        _ => openai_body,
    }
}

fn respond(error: &BoxError, body: ErrorFormat) -> Response<Full<Bytes>> {
    let source: &(dyn Error + 'static) = &**error;
    let verdict = verdict_of_error(error);
    let exhausted = match Exhausted::find(source) {
        Some(exhausted) => exhausted,
        None => {
            // The error of a lone attempt.
            let trail = Trail::new();
            trail.record(Attempt::new(Instant::now(), verdict));
            &Exhausted::new(trail, verdict, None)
        }
    };
    let body = body(verdict.class(), &error.to_string()).to_string();
    let mut response = exhausted.to_response().map(|()| Full::from(body));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if !hint_stands(exhausted) {
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    response
}

/// Returns whether only a wait helps: nothing was sent, and the reason ends by itself.
fn hint_stands(exhausted: &Exhausted) -> bool {
    let lasts = matches!(
        exhausted.verdict().class(),
        Class::QuotaExhausted | Class::Unauthorized | Class::ModelUnavailable
    );
    exhausted.trail().is_empty() && exhausted.retry_in().is_some() && !lasts
}

/// Writes an error body in OpenAI's format.
///
/// Clients of OpenAI read `message`, `type` and `code`.
fn openai_body(class: Class, message: &str) -> Value {
    let (kind, code) = match class {
        Class::RateLimited => ("rate_limit_error", "rate_limit_exceeded"),
        Class::QuotaExhausted => ("insufficient_quota", "insufficient_quota"),
        Class::Unauthorized => ("invalid_request_error", "invalid_api_key"),
        Class::ModelUnavailable => ("invalid_request_error", "model_not_found"),
        Class::ContextTooLong => ("invalid_request_error", "context_length_exceeded"),
        Class::ContentPolicy => ("invalid_request_error", "content_policy_violation"),
        Class::CallerFault => ("invalid_request_error", class.as_str()),
        _ => ("upstream_error", class.as_str()),
    };
    json!({ "error": { "message": message, "type": kind, "param": null, "code": code } })
}

/// Writes an error body in Anthropic's format.
///
/// Its clients read `error.type` and `error.message`.
fn anthropic_body(class: Class, message: &str) -> Value {
    let kind = match class {
        Class::RateLimited => "rate_limit_error",
        Class::QuotaExhausted => "billing_error",
        Class::Unauthorized => "authentication_error",
        Class::ModelUnavailable => "not_found_error",
        Class::ContextTooLong => "request_too_large",
        Class::ContentPolicy | Class::CallerFault => "invalid_request_error",
        Class::Overloaded | Class::Local => "overloaded_error",
        Class::Timeout => "timeout_error",
        _ => "api_error",
    };
    json!({ "type": "error", "error": { "type": kind, "message": message } })
}

#[cfg(test)]
mod tests;
