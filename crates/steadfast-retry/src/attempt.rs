//! What an attempt looks like from outside: its span, and its number in a header.

use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::Verdict;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;

/// Begins the span of an attempt, counted from 1. It costs nothing if nobody listens.
pub(crate) fn span(number: u32) -> Span {
    // Where nobody listens at all, this is one load.
    if LevelFilter::current() < LevelFilter::DEBUG {
        return Span::none();
    }
    let span = tracing::debug_span!(
        "attempt",
        http.request.resend_count = Empty,
        http.response.status_code = Empty,
        class = Empty,
    );
    if span.is_disabled() {
        // It would still know what it could have been, and each use of it would ask.
        return Span::none();
    }
    if number > 1 {
        span.record("http.request.resend_count", number - 1);
    }
    span
}

/// Says in a span what became of its attempt.
pub(crate) fn record(span: &Span, verdict: Verdict, status: Option<http::StatusCode>) {
    if span.is_disabled() {
        return;
    }
    span.record("class", display(verdict.class()));
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
}

/// Writes the number of an attempt into its head.
pub(crate) fn number(headers: &mut HeaderMap, name: Option<&HeaderName>, number: u32) {
    if let Some(name) = name {
        headers.insert(name.clone(), HeaderValue::from(number));
    }
}
