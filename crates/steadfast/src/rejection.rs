//! Responses for requests that the stack does not send.
//!
//! Within the stack a rejection is an error with a verdict, so metrics count the request, and
//! neither a breaker nor a cooldown changes. Above all layers it becomes the response that a
//! provider would send, so an SDK raises the same typed error for both.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};
use steadfast_core::{BoxError, Class, Classified, Verdict, find_error};

use crate::body::ResponseBody;
use crate::format::Format;

/// A request that is not sent.
#[derive(Debug)]
pub(crate) struct Rejection {
    /// The reason. Its text is the message.
    pub(crate) error: BoxError,
    /// The status of the response.
    pub(crate) status: StatusCode,
    /// The code in the format of OpenAI.
    pub(crate) code: &'static str,
    /// The field of the request, if one is at fault.
    pub(crate) param: Option<&'static str>,
    /// The format of the request, and of the response.
    pub(crate) format: Option<Format>,
}

impl Rejection {
    /// Returns the error, with a verdict that no layer repeats. No endpoint is at fault.
    pub(crate) fn classified(self, class: Class) -> BoxError {
        Classified::new(Verdict::new(class).neutral(), self).into()
    }

    /// Returns the body of a response, in the format of the caller.
    fn body(&self) -> Value {
        let message = self.error.to_string();
        let (anthropic, google) = match self.status {
            StatusCode::NOT_FOUND => ("not_found_error", "NOT_FOUND"),
            _ => ("invalid_request_error", "INVALID_ARGUMENT"),
        };
        let error = match self.format {
            Some(Format::Messages) => {
                return json!({ "type": "error", "error": { "type": anthropic, "message": message } });
            }
            Some(Format::GenerateContent) => {
                json!({ "code": self.status.as_u16(), "message": message, "status": google })
            }
            _ => self.openai_error(&message),
        };
        json!({ "error": error })
    }

    /// Returns the error in the format of OpenAI.
    fn openai_error(&self, message: &str) -> Value {
        json!({
            "message": message,
            "type": "invalid_request_error",
            "param": self.param,
            "code": self.code,
        })
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Rejection {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.error)
    }
}

/// Converts a rejection to a response, as a provider would send it. Returns any other error.
pub(crate) fn into_response(error: BoxError) -> Result<Response<ResponseBody>, BoxError> {
    find_error::<Rejection>(&*error).map(respond).ok_or(error)
}

/// Creates the response of a rejection.
fn respond(rejection: &Rejection) -> Response<ResponseBody> {
    let body = ResponseBody::new(Full::<Bytes>::from(rejection.body().to_string()));
    let mut response = Response::new(body);
    *response.status_mut() = rejection.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    response
}
