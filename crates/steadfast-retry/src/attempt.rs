//! The span of an attempt, and its number in a header.

use http::{HeaderMap, HeaderName, HeaderValue};
use steadfast_core::Verdict;
use tracing::Span;
use tracing::field::{Empty, display};
use tracing::level_filters::LevelFilter;
use tracing::span::Entered;

/// Creates the span of attempt `number`, counted from 1. Without a subscriber it costs nothing.
pub(crate) fn span(number: u32) -> Span {
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
        // A disabled span keeps its metadata, and each use of it would check that.
        return Span::none();
    }
    if number > 1 {
        span.record("http.request.resend_count", number - 1);
    }
    span
}

/// Enters the span of an attempt until the guard is dropped. Without a subscriber it costs nothing.
///
/// A closure for `in_scope` would move requests and responses once more.
#[inline]
pub(crate) fn enter(span: &Span) -> Option<Entered<'_>> {
    (!span.is_none()).then(|| span.enter())
}

/// Records the outcome of an attempt in its span.
pub(crate) fn record(span: &Span, verdict: Verdict, status: Option<http::StatusCode>) {
    if span.is_disabled() {
        return;
    }
    span.record("class", display(verdict.class()));
    if let Some(status) = status {
        span.record("http.response.status_code", status.as_u16());
    }
}

/// Writes the number of an attempt into its headers.
pub(crate) fn number(headers: &mut HeaderMap, name: Option<&HeaderName>, number: u32) {
    if let Some(name) = name {
        headers.insert(name.clone(), HeaderValue::from(number));
    }
}
