use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{Response, StatusCode};

/// Creates the response of an HTTP server that cannot serve a request now.
///
/// It is a `503`, with `retry-after` in whole seconds if `retry_in` is known.
#[must_use]
pub fn unavailable<B: Default>(retry_in: Option<Duration>) -> Response<B> {
    let mut response = Response::new(B::default());
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    if let Some(wait) = retry_in {
        // Rounded up, since a client that retries too early is rejected again.
        let more = u64::from(wait.subsec_nanos() > 0);
        let seconds = wait.as_secs().saturating_add(more);
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_rounded_up() {
        for (wait, header) in [
            (Some(Duration::from_millis(1001)), Some("2")),
            (Some(Duration::ZERO), Some("0")),
            (Some(Duration::MAX), Some("18446744073709551615")),
            (None, None),
        ] {
            let response: Response<String> = unavailable(wait);
            assert_eq!(response.status(), 503);
            let value = response.headers().get(RETRY_AFTER);
            let value = value.map(|value| value.to_str().unwrap());
            assert_eq!(value, header, "{wait:?}");
        }
    }
}
