//! Error bodies, as each provider writes them.

use http::StatusCode;
use serde_json::{Value, json};

use crate::dialect::Dialect;

/// The body of an answer with `status`.
pub(crate) fn error_body(dialect: Dialect, status: StatusCode) -> Value {
    let message = format!("scripted answer: {status}");
    match dialect {
        Dialect::Anthropic => anthropic(anthropic_type(status.as_u16()), &message),
        Dialect::Gemini => gemini(status, &message, json!([])),
        Dialect::OpenRouter => json!({"error": {
            "code": status.as_u16(), "message": message, "metadata": {"provider_name": "steadfast"},
        }}),
        Dialect::OpenAi | Dialect::Responses => {
            let (kind, code) = openai_type(status.as_u16());
            openai(&message, kind, code)
        }
    }
}

/// The answer to a path that the upstream does not serve.
pub(crate) fn unknown_path(method: &http::Method, path: &str) -> Value {
    let message = format!("Invalid URL ({method} {path})");
    openai(&message, "invalid_request_error", Some("unknown_url"))
}

/// The answer for spent money or credit, as opposed to the quota of a minute.
pub(crate) fn quota_spent(dialect: Dialect) -> (StatusCode, Value) {
    match dialect {
        Dialect::Anthropic => {
            let message = "This workspace has reached its spend limit.";
            let mut body = anthropic("rate_limit_error", message);
            body["error"]["details"] = json!({"error_code": "enforced_spend_limit_reached"});
            (StatusCode::TOO_MANY_REQUESTS, body)
        }
        Dialect::Gemini => {
            let violation = quota_failure("GenerateRequestsPerDayPerProjectPerModel-FreeTier");
            let message = "You exceeded your current quota, please check your plan.";
            let body = gemini(StatusCode::TOO_MANY_REQUESTS, message, json!([violation]));
            (StatusCode::TOO_MANY_REQUESTS, body)
        }
        Dialect::OpenRouter => {
            let error = json!({"code": 402, "message": "Insufficient credits"});
            (StatusCode::PAYMENT_REQUIRED, json!({"error": error}))
        }
        Dialect::OpenAi | Dialect::Responses => {
            let spent = "insufficient_quota";
            let message =
                "You exceeded your current quota, please check your plan and billing details.";
            (
                StatusCode::TOO_MANY_REQUESTS,
                openai(message, spent, Some(spent)),
            )
        }
    }
}

/// Returns an error body of OpenAI.
pub(crate) fn openai(message: &str, kind: &str, code: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind, "param": null, "code": code}})
}

/// Returns an error body of Anthropic.
pub(crate) fn anthropic(kind: &str, message: &str) -> Value {
    json!({
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": "req_steadfast",
    })
}

/// Returns an error body of Google.
pub(crate) fn gemini(status: StatusCode, message: &str, details: Value) -> Value {
    let name = gemini_status(status.as_u16());
    let mut error = json!({"code": status.as_u16(), "message": message, "status": name});
    if details
        .as_array()
        .is_some_and(|details| !details.is_empty())
    {
        error["details"] = details;
    }
    json!({"error": error})
}

/// Returns Google's detail with the id of a quota.
pub(crate) fn quota_failure(quota_id: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/google.rpc.QuotaFailure",
        "violations": [{
            "quotaMetric": "generativelanguage.googleapis.com/generate_content_requests",
            "quotaId": quota_id,
            "quotaValue": "15",
        }],
    })
}

/// Returns OpenAI's error type and code for a status.
fn openai_type(status: u16) -> (&'static str, Option<&'static str>) {
    match status {
        401 => ("invalid_request_error", Some("invalid_api_key")),
        402 => ("insufficient_quota", Some("insufficient_quota")),
        404 => ("invalid_request_error", Some("model_not_found")),
        429 => ("requests", Some("rate_limit_exceeded")),
        503 => ("service_unavailable_error", Some("server_is_overloaded")),
        500.. => ("server_error", None),
        _ => ("invalid_request_error", None),
    }
}

/// Returns Anthropic's error type for a status.
fn anthropic_type(status: u16) -> &'static str {
    match status {
        400 => "invalid_request_error",
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

/// Returns Google's status name for an HTTP status.
fn gemini_status(status: u16) -> &'static str {
    match status {
        400 => "INVALID_ARGUMENT",
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "FAILED_PRECONDITION",
    }
}
