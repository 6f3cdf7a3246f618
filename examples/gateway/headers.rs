//! Headers of an answer: the headers of one connection, forged headers and orders to a browser or a
//! proxy are removed, and the number of attempts is added.

use axum::http::header::{
    CONTENT_LENGTH, CONTENT_SECURITY_POLICY, LOCATION, SET_COOKIE, TRANSFER_ENCODING,
};
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

/// The starts of the names of headers for a proxy, of the gateway's own ones, and of orders to
/// browsers and to nginx. A proxy in front would obey `x-accel-redirect`.
const PRIVATE: [&str; 4] = ["proxy-", OWN, "access-control-", "x-accel-"];
/// The only order to a proxy that streams need: it passes each event on at once.
const UNBUFFERED: &str = "x-accel-buffering";

/// Orders to a browser about all pages of this server, and to a proxy about its own files and
/// servers. An endpoint decides about neither.
const ORDERS: [&str; 16] = [
    "alt-svc",
    "clear-site-data",
    "content-security-policy",
    "nel",
    "public-key-pins",
    "refresh",
    "report-to",
    "reporting-endpoints",
    "service-worker-allowed",
    "set-cookie2",
    "strict-transport-security",
    "x-lighttpd-send-file",
    "x-lighttpd-send-tempfile",
    "x-reproxy-file",
    "x-reproxy-url",
    "x-sendfile",
];

/// A page of an endpoint runs no script, and is no page of this server.
const SANDBOX: HeaderValue = HeaderValue::from_static("sandbox");

/// Removes the headers of an endpoint that are not for the client, and shows its pages in a
/// sandbox.
pub(crate) fn take_over(headers: &mut HeaderMap) {
    // The chunks had precedence, and their sum can differ (RFC 9112, section 6.3).
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove_private_headers(headers);
    headers.insert(CONTENT_SECURITY_POLICY, SANDBOX);
}

/// Removes the trailers that are not for the client. The length precedes a body.
pub(crate) fn take_over_trailers(trailers: &mut HeaderMap) {
    remove_private_headers(trailers);
    trailers.remove(CONTENT_LENGTH);
}

/// Removes the headers of one connection or of one proxy, and headers that only the gateway may
/// send.
fn remove_private_headers(headers: &mut HeaderMap) {
    remove_named_by_connection(headers);
    while let Some(name) = headers.keys().find(|name| is_private(name)).cloned() {
        headers.remove(name);
    }
}

fn is_private(name: &HeaderName) -> bool {
    let text = name.as_str();
    let is_named = *name == SET_COOKIE || ORDERS.contains(&text);
    let begins = PRIVATE.iter().any(|start| text.starts_with(start));
    is_hop_by_hop(name) || is_named || begins && text != UNBUFFERED
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
    fn hop_by_hop_headers_forged_ones_and_orders_are_removed() {
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
            ("set-cookie", "session=forged"),
            ("Clear-Site-Data", "*"),
            ("access-control-allow-origin", "*"),
            ("x-accel-redirect", "/internal"),
            ("x-accel-buffering", "no"),
            ("content-type", "text/plain"),
            ("x-request-id", "7"),
        ] {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_static(value));
        }
        remove_private_headers(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "x-accel-buffering", "x-request-id"]);
    }
}
