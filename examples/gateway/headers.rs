//! Headers of an answer: the headers of one connection and forged headers are removed, and the
//! number of attempts is added.

use axum::http::header::LOCATION;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use steadfast::Trail;
use steadfast::crates::core::Attempt;
use steadfast::crates::core::layer::{is_hop_by_hop, remove_named_by_connection};

/// The number of attempts, if there were several.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-steadfast-attempts");
/// The endpoint that answered, if there were several attempts.
const ENDPOINT: HeaderName = HeaderName::from_static("x-steadfast-endpoint");

/// A mark of redirects: the endpoint chose the target, and the gateway did not follow it.
const REDIRECT: HeaderName = HeaderName::from_static("x-steadfast-redirect");
const NOT_FOLLOWED: HeaderValue = HeaderValue::from_static("not-followed");
/// The start of the names of the gateway's own headers.
const OWN: &str = "x-steadfast-";

/// Removes the headers of one connection or of one proxy, and headers that only the gateway may
/// send.
pub(crate) fn remove_private_headers(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    let is_private = |name: &&HeaderName| {
        let text = name.as_str();
        is_hop_by_hop(name) || text.starts_with("proxy-") || text.starts_with(OWN)
    };
    while let Some(name) = headers.keys().find(is_private).cloned() {
        headers.remove(name);
    }
}

/// Inserts the number of attempts, if there were several.
pub(crate) fn insert_attempts(headers: &mut HeaderMap, trail: &Trail) {
    let attempts = trail.len();
    if attempts > 1 {
        headers.insert(ATTEMPTS, attempts.into());
    }
}

/// Inserts the name of the endpoint that answered.
pub(crate) fn insert_endpoint(headers: &mut HeaderMap, trail: &Trail) {
    let Some(endpoint) = answered(&trail.attempts()).and_then(|it| it.endpoint.clone()) else {
        return;
    };
    // A name that is no valid header value is left out.
    if let Ok(name) = HeaderValue::from_bytes(endpoint.as_str().as_bytes()) {
        headers.insert(ENDPOINT, name);
    }
}

/// Marks a redirect as not followed.
pub(crate) fn mark_redirect(status: StatusCode, headers: &mut HeaderMap) {
    if status.is_redirection() && headers.contains_key(LOCATION) {
        headers.insert(REDIRECT, NOT_FOLLOWED);
    }
}

/// Returns the attempt with the forwarded answer: the last attempt if it succeeded, otherwise the
/// last attempt with an answer in the lowest tier.
fn answered(attempts: &[Attempt]) -> Option<&Attempt> {
    let last = attempts.last()?;
    if last.verdict.is_success() {
        return Some(last);
    }
    let answers = attempts.iter().rev().filter(|it| it.status.is_some());
    answers.min_by_key(|it| it.tier)
}

#[cfg(test)]
mod tests {
    use super::*;
    use steadfast::crates::core::layer::RecordAttempts;
    use steadfast::{Class, Verdict};
    use tokio::time::Instant;

    fn attempt(endpoint: &str, tier: u16, status: Option<u16>, class: Class) -> Attempt {
        let mut attempt = Attempt::new(Instant::now(), Verdict::new(class));
        attempt.endpoint = Some(endpoint.into());
        attempt.tier = tier;
        attempt.status = status.and_then(|status| StatusCode::from_u16(status).ok());
        attempt
    }

    #[test]
    fn several_attempts_name_endpoint_of_forwarded_answer() {
        let limited = attempt("primary", 0, Some(429), Class::RateLimited);
        let broken = attempt("backup", 0, None, Class::Connect);
        let busy = attempt("spare", 1, Some(503), Class::Overloaded);
        let good = attempt("spare", 1, Some(200), Class::Success);
        for (attempts, expected) in [
            (&[&limited, &good][..], Some("spare")),
            (&[&limited, &busy], Some("primary")),
            (&[&limited, &broken, &busy], Some("primary")),
            (&[&broken, &busy], Some("spare")),
            (&[&busy, &limited], Some("primary")),
            (&[&broken, &broken], None),
            (&[], None),
        ] {
            let attempts: Vec<_> = attempts.iter().copied().cloned().collect();
            let endpoint = answered(&attempts).and_then(|it| it.endpoint.clone());
            let endpoint = endpoint.as_ref().map(|endpoint| endpoint.as_str());
            assert_eq!(endpoint, expected, "{attempts:?}");
        }
    }

    #[test]
    fn one_attempt_inserts_no_header() {
        let trail = Trail::new();
        let mut headers = HeaderMap::new();
        trail.record(attempt("primary", 0, Some(200), Class::Success));
        insert_attempts(&mut headers, &trail);
        assert!(headers.is_empty());

        trail.record(attempt("primary", 0, Some(200), Class::Success));
        insert_attempts(&mut headers, &trail);
        assert_eq!(headers[ATTEMPTS], "2");
    }

    #[test]
    fn endpoint_name_that_is_no_header_value_is_left_out() {
        let trail = Trail::new();
        let mut headers = HeaderMap::new();
        trail.record(attempt("a\nb", 0, Some(200), Class::Success));
        insert_endpoint(&mut headers, &trail);
        assert!(headers.is_empty());

        trail.record(attempt("süd", 0, Some(200), Class::Success));
        insert_endpoint(&mut headers, &trail);
        assert_eq!(headers[ENDPOINT].as_bytes(), "süd".as_bytes());
    }

    #[test]
    fn hop_by_hop_and_forged_headers_are_removed() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Private"),
            ("connection", "x-other"),
            ("x-private", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authenticate", "Basic"),
            ("proxy-anything", "1"),
            ("te", "trailers"),
            ("trailer", "x"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("x-steadfast-endpoint", "forged"),
            ("X-Steadfast-Anything", "forged"),
            ("content-type", "text/plain"),
            ("x-request-id", "7"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_private_headers(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "x-request-id"]);
    }
}
