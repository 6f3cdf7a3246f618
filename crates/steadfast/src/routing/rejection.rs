//! Responses for requests that the catalogue rejects.
//!
//! Within the stack a rejection is an error with a verdict, so metrics count the request, and
//! neither a breaker nor a cooldown changes. Above all layers it becomes the response that a
//! provider would send, so an SDK raises the same typed error for both.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use serde_json::{Value, json};
use std::fmt;
use steadfast_core::{BoxError, Class, Classified, Verdict, find_error};
use steadfast_models::{ModelRejected, RejectReason};

use crate::body::ResponseBody;

/// A request that is not sent, and the format of its API.
#[derive(Debug)]
pub(crate) struct Rejection {
    error: ModelRejected,
    /// The format of Anthropic. Otherwise the one of OpenAI.
    anthropic: bool,
}

impl Rejection {
    /// Creates the error, with a verdict that no layer repeats. No endpoint is at fault.
    #[expect(clippy::new_ret_no_self, reason = "the layers above need the verdict")]
    pub(crate) fn new(error: ModelRejected, anthropic: bool) -> Classified {
        let class = match error.reason() {
            RejectReason::Unknown { .. } => Class::ModelUnavailable,
            RejectReason::PromptTooLong { .. } => Class::ContextTooLong,
            _ => Class::CallerFault,
        };
        let rejection = Self { error, anthropic };
        Classified::new(Verdict::new(class).neutral(), rejection)
    }
}

impl Rejection {
    /// Returns the body of a response, in the format of the caller.
    fn body(&self) -> Value {
        let (error, message) = (&self.error, self.error.to_string());
        if self.anthropic {
            let kind = match error.status() {
                404 => "not_found_error",
                _ => "invalid_request_error",
            };
            return json!({ "type": "error", "error": { "type": kind, "message": message } });
        }
        json!({ "error": {
            "message": message,
            "type": "invalid_request_error",
            "param": error.param(),
            "code": error.code(),
        }})
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl std::error::Error for Rejection {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// Converts a rejection to a response, as a provider would send it.
pub(crate) fn into_response(
    outcome: Result<Response<ResponseBody>, BoxError>,
) -> Result<Response<ResponseBody>, BoxError> {
    match outcome {
        Err(error) => find_error::<Rejection>(&*error).map(respond).ok_or(error),
        outcome => outcome,
    }
}

/// Creates the response of a rejection.
fn respond(rejection: &Rejection) -> Response<ResponseBody> {
    let status = StatusCode::from_u16(rejection.error.status());
    let body = ResponseBody::new(Full::<Bytes>::from(rejection.body().to_string()));
    let mut response = Response::new(body);
    *response.status_mut() = status.unwrap_or(StatusCode::BAD_REQUEST);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    response
}
