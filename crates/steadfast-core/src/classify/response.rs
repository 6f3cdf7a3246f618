//! The default classification of a response by status and headers.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, HeaderName, StatusCode};

use super::head::Head;
use crate::class::Class;
use crate::rate_limit::RateLimit;
use crate::verdict::Verdict;

/// The error type of an AWS service.
static ERROR_TYPE: HeaderName = HeaderName::from_static("x-amzn-errortype");
/// The order of a server for the SDKs of OpenAI and Anthropic.
static SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

pub(super) fn classify_head(head: Head<'_>) -> Verdict {
    if head.status().is_success() {
        return Verdict::SUCCESS;
    }
    let class = aws_class(head.headers()).unwrap_or_else(|| status_class(head.status()));
    if matches!(class, Class::Success) {
        return Verdict::SUCCESS;
    }
    let (class, hint) = with_hint(class, head);
    let verdict = Verdict::new(class)
        .with_hint(hint)
        .with_should_retry(should_retry(head.headers()));
    if head.status() == StatusCode::REQUEST_TIMEOUT {
        // The server waited for the rest of our request, which is no failure of the server.
        verdict.neutral()
    } else {
        verdict
    }
}

/// Returns the class, which is `RateLimited` for a 403 that reports a limit, and the hint.
fn with_hint(class: Class, head: Head<'_>) -> (Class, Option<Duration>) {
    let now = SystemTime::now();
    if matches!(class, Class::RateLimited | Class::QuotaExhausted) {
        return (class, RateLimit::of_refusal(head.headers(), now).hint());
    }
    let limit = RateLimit::from_headers(head.headers(), now);
    match class {
        Class::Unauthorized
            if head.status() == StatusCode::FORBIDDEN
                && (limit.retry_after().is_some() || limit.is_spent()) =>
        {
            (Class::RateLimited, limit.hint())
        }
        // A spent bucket does not explain another failure.
        _ => (class, limit.retry_after()),
    }
}

fn status_class(status: StatusCode) -> Class {
    match status.as_u16() {
        402 => Class::QuotaExhausted,
        429 | 498 => Class::RateLimited,
        503 | 529 => Class::Overloaded,
        401 | 403 => Class::Unauthorized,
        413 => Class::ContextTooLong,
        504 | 524 => Class::Timeout,
        421 | 425 | 521..=523 | 525 | 526 => Class::Connect,
        501 | 505 => Class::CallerFault,
        408 | 500..=599 => Class::ServerError,
        400..=499 => Class::CallerFault,
        // No final answer has such a status. 101 is final if the client asked for an upgrade.
        100 | 102..=199 | 600.. => Class::ServerError,
        _ => Class::Success,
    }
}

/// Returns the class of the error type in the header of an AWS service, such as
/// `ThrottlingException:http://…`.
fn aws_class(headers: &HeaderMap) -> Option<Class> {
    let value = headers.get(&ERROR_TYPE)?.to_str().ok()?;
    match value.split(':').next()? {
        "ThrottlingException" | "TooManyRequestsException" => Some(Class::RateLimited),
        "ServiceQuotaExceededException" => Some(Class::QuotaExhausted),
        _ => None,
    }
}

fn should_retry(headers: &HeaderMap) -> Option<bool> {
    match headers.get(&SHOULD_RETRY)?.as_bytes() {
        b"true" => Some(true),
        b"false" => Some(false),
        _ => None,
    }
}
