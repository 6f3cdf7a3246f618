//! Responses for errors, for a server above the stack.

use std::error::Error;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use steadfast_breaker::CircuitOpen;
use steadfast_core::layer::{unavailable, verdict_of_error};
use steadfast_core::{BoxError, Class, Exhausted, find_error};

/// Converts an error of an [`AiStack`](crate::AiStack) to a response for an HTTP client.
///
/// | Error | Status |
/// |---|---|
/// | `Exhausted` by limits, or an open breaker | `503` with `retry-after` in whole seconds |
/// | a lack of descriptors, ports or memory on this machine | `503` |
/// | a timeout | `504` |
/// | a fault of the request, such as a body that failed while it was sent | `400` |
/// | any other | `502` |
///
/// The body has the shape of OpenAI's errors. `x-should-retry: false` keeps the client from repeating
/// the waits of the stack.
#[must_use]
pub fn error_response(error: &BoxError) -> Response<Full<Bytes>> {
    let verdict = verdict_of_error(error);
    let error: &(dyn Error + 'static) = &**error;
    let refused = find_error::<Exhausted>(error).is_some_and(|it| it.trail().is_empty())
        || find_error::<CircuitOpen>(error).is_some();
    let status = match verdict.class() {
        Class::RateLimited | Class::QuotaExhausted | Class::Overloaded | Class::Local => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        _ if refused => StatusCode::SERVICE_UNAVAILABLE,
        Class::CallerFault => StatusCode::BAD_REQUEST,
        Class::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let body = json!({
        "error": {
            "message": error.to_string(),
            "type": "upstream_error",
            "param": null,
            "code": verdict.class().as_str(),
        }
    });
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-should-retry", HeaderValue::from_static("false"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        let (head, ()) = unavailable(verdict.hint()).into_parts();
        headers.extend(head.headers);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::RETRY_AFTER;
    use std::time::Duration;
    use steadfast_core::{Classified, Trail, Verdict};

    fn status(error: impl Into<BoxError>) -> (u16, Option<String>) {
        let response = error_response(&error.into());
        let wait = response.headers().get(RETRY_AFTER);
        let wait = wait.map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), wait)
    }

    #[test]
    fn error_maps_to_status_and_retry_after() {
        let limited = Verdict::new(Class::RateLimited).with_hint(Some(Duration::from_millis(1200)));
        let broken = Verdict::new(Class::Overloaded).neutral();
        let timeout = Classified::new(Verdict::new(Class::Timeout), "late");
        let connect = Classified::new(Verdict::new(Class::Connect), "refused");
        for (error, expected) in [
            (
                Exhausted::new(Trail::new(), limited, None).into(),
                (503, Some("2".to_owned())),
            ),
            (
                Exhausted::new(Trail::new(), broken, None).into(),
                (503, None),
            ),
            (BoxError::from(timeout), (504, None)),
            (connect.into(), (502, None)),
            (
                Classified::new(Verdict::new(Class::Local), "descriptors").into(),
                (503, None),
            ),
            (
                Classified::new(Verdict::new(Class::CallerFault), "gone").into(),
                (400, None),
            ),
            ("anything".into(), (502, None)),
        ] {
            assert_eq!(status(error), expected);
        }
    }
}
