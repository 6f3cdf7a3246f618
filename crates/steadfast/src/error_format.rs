//! The errors of each API: the body of a response, and the event that ends a stream.

use serde_json::{Value, json};
use steadfast_core::Class;

/// Writes the JSON of an error: its class and its message.
type Body = fn(Class, &str) -> Value;
/// Writes the data of an event: the class of the error, its message, and the number of the event.
pub(crate) type ErrorEvent = fn(Class, &str, u64) -> Value;

/// The errors of an API.
#[derive(Debug)]
pub(crate) struct ErrorFormat {
    /// The body of a response.
    pub(crate) body: Body,
    /// The last event of a stream. `None` if the API has no event for it.
    pub(crate) event: Option<ErrorEvent>,
}

/// The event of OpenAI, unless an API has its own.
pub(crate) const OPENAI_EVENT: ErrorEvent = |class, message, _| openai_body(class, message);

/// Paths without a format, and APIs without streams.
pub(crate) static WHOLE: ErrorFormat = ErrorFormat {
    body: openai_body,
    event: None,
};
/// Completions of OpenAI.
pub(crate) static COMPLETIONS: ErrorFormat = ErrorFormat {
    body: openai_body,
    event: Some(OPENAI_EVENT),
};
/// Responses of OpenAI.
pub(crate) static RESPONSES: ErrorFormat = ErrorFormat {
    body: openai_body,
    event: Some(responses_event),
};
/// Messages of Anthropic.
pub(crate) static MESSAGES: ErrorFormat = ErrorFormat {
    body: anthropic_body,
    event: Some(anthropic_event),
};
/// The models of Google.
pub(crate) static GENERATE_CONTENT: ErrorFormat = ErrorFormat {
    body: openai_body,
    event: Some(google_event),
};

/// Writes an error body in OpenAI's format.
///
/// Clients of OpenAI read `message`, `type` and `code`.
pub(crate) fn openai_body(class: Class, message: &str) -> Value {
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

/// Writes an event `error` of the Responses API.
///
/// The documented fields are at the top level. The SDKs of OpenAI raise only an event with a field
/// `error`, which the API sends as well.
fn responses_event(class: Class, message: &str, number: u64) -> Value {
    let mut event = openai_body(class, message);
    event["type"] = "error".into();
    event["code"] = event["error"]["code"].clone();
    event["message"] = message.into();
    event["param"] = Value::Null;
    event["sequence_number"] = number.into();
    event
}

/// Writes an error body in Anthropic's format.
///
/// Its clients read `error.type` and `error.message`.
pub(crate) fn anthropic_body(class: Class, message: &str) -> Value {
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

/// Writes an event `error` in Anthropic's format.
fn anthropic_event(class: Class, message: &str, _: u64) -> Value {
    anthropic_body(class, message)
}

/// Writes an event with an error in Google's format.
///
/// Its clients read `error.code`, `error.message` and `error.status`.
fn google_event(class: Class, message: &str, _: u64) -> Value {
    let (code, status) = match class {
        Class::RateLimited | Class::QuotaExhausted => (429, "RESOURCE_EXHAUSTED"),
        Class::Unauthorized => (401, "UNAUTHENTICATED"),
        Class::ModelUnavailable => (404, "NOT_FOUND"),
        Class::ContextTooLong | Class::ContentPolicy | Class::CallerFault => {
            (400, "INVALID_ARGUMENT")
        }
        Class::Timeout => (504, "DEADLINE_EXCEEDED"),
        _ => (503, "UNAVAILABLE"),
    };
    json!({ "error": { "code": code, "message": message, "status": status } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anthropic_error_has_its_shape() {
        for (class, kind) in [
            (Class::RateLimited, "rate_limit_error"),
            (Class::QuotaExhausted, "billing_error"),
            (Class::Unauthorized, "authentication_error"),
            (Class::ModelUnavailable, "not_found_error"),
            (Class::Overloaded, "overloaded_error"),
            (Class::Timeout, "timeout_error"),
            (Class::Connect, "api_error"),
        ] {
            let expected = json!({
                "type": "error",
                "error": { "type": kind, "message": "text" },
            });
            assert_eq!(anthropic_body(class, "text"), expected);
        }
    }

    #[test]
    fn event_of_each_format_has_its_shape() {
        for (format, class, expected) in [
            (
                &COMPLETIONS,
                Class::Transport,
                json!({ "error": {
                    "message": "text", "type": "upstream_error", "param": null, "code": "transport",
                } }),
            ),
            (
                &RESPONSES,
                Class::RateLimited,
                json!({
                    "type": "error", "sequence_number": 7, "message": "text", "param": null,
                    "code": "rate_limit_exceeded",
                    "error": {
                        "message": "text", "type": "rate_limit_error", "param": null,
                        "code": "rate_limit_exceeded",
                    },
                }),
            ),
            (
                &MESSAGES,
                Class::Transport,
                json!({ "type": "error", "error": { "type": "api_error", "message": "text" } }),
            ),
            (
                &GENERATE_CONTENT,
                Class::Transport,
                json!({ "error": { "code": 503, "message": "text", "status": "UNAVAILABLE" } }),
            ),
            (
                &GENERATE_CONTENT,
                Class::Timeout,
                json!({ "error": { "code": 504, "message": "text", "status": "DEADLINE_EXCEEDED" } }),
            ),
        ] {
            let event = format.event.expect("it has streams");
            assert_eq!(event(class, "text", 7), expected);
        }
        assert!(WHOLE.event.is_none());
    }
}
