use super::*;
use crate::layer::verdict_of;
use crate::{BreakerEffect, Class, Classified, Verdict};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use std::io;
use std::time::Duration;

fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
    pairs
        .iter()
        .map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        })
        .collect()
}

fn classify(status: u16, pairs: &[(&'static str, &'static str)]) -> Verdict {
    let status = StatusCode::from_u16(status).unwrap();
    DefaultClassifier.classify(Ok(Head::new(status, &headers(pairs))))
}

#[test]
fn status_has_its_class() {
    for status in 100..=999 {
        let expected = match status {
            402 => Class::QuotaExhausted,
            429 | 498 => Class::RateLimited,
            503 | 529 => Class::Overloaded,
            401 | 403 => Class::Unauthorized,
            413 => Class::ContextTooLong,
            504 | 524 => Class::Timeout,
            421 | 425 | 521 | 522 | 523 | 525 | 526 => Class::Connect,
            501 | 505 => Class::CallerFault,
            408 => Class::ServerError,
            400..=499 => Class::CallerFault,
            500..=599 => Class::ServerError,
            101 => Class::Success,
            100..=199 | 600..=999 => Class::ServerError,
            _ => Class::Success,
        };
        assert_eq!(classify(status, &[]).class(), expected, "{status}");
    }
}

#[test]
fn status_408_has_no_effect_on_a_breaker() {
    assert_eq!(classify(408, &[]).breaker(), BreakerEffect::Neutral);
    assert_eq!(classify(500, &[]).breaker(), BreakerEffect::Failure);
}

#[test]
fn status_403_with_a_limit_is_rate_limited() {
    for (pairs, expected) in [
        (&[("retry-after", "5")][..], Class::RateLimited),
        (&[("x-ratelimit-remaining", "0")], Class::RateLimited),
        (&[("x-ratelimit-remaining", "7")], Class::Unauthorized),
        (&[("x-ratelimit-reset", "60")], Class::Unauthorized),
        (&[], Class::Unauthorized),
    ] {
        assert_eq!(classify(403, pairs).class(), expected, "{pairs:?}");
    }
    let with_hint = classify(401, &[("retry-after", "5")]);
    assert_eq!(with_hint.class(), Class::Unauthorized);
}

#[test]
fn spent_bucket_is_a_hint_only_for_a_rate_limit() {
    let pairs = &[
        ("ratelimit-remaining", "0"),
        ("ratelimit-reset", "9"),
        ("ratelimit-limit", "10"),
    ];
    let nine = Some(Duration::from_secs(9));
    assert_eq!(classify(429, pairs).hint(), nine);
    assert_eq!(classify(503, pairs).hint(), None);
    assert_eq!(classify(503, &[("retry-after", "9")]).hint(), nine);
}

#[test]
fn aws_error_type_overrides_the_status() {
    for (value, expected) in [
        ("ThrottlingException:http://internal/", Class::RateLimited),
        ("ServiceQuotaExceededException", Class::QuotaExhausted),
        ("ValidationException", Class::CallerFault),
    ] {
        let verdict = classify(400, &[("x-amzn-errortype", value)]);
        assert_eq!(verdict.class(), expected, "{value}");
    }
}

#[test]
fn verdict_in_the_extensions_overrides_the_status() {
    let mut response = Response::new(());
    response
        .extensions_mut()
        .insert(Verdict::new(Class::QuotaExhausted));
    let verdict = verdict_of(Ok(&response));
    assert_eq!(verdict.class(), Class::QuotaExhausted);
}

#[test]
fn error_has_the_class_of_its_known_source() {
    let refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    let reset = io::Error::from(io::ErrorKind::ConnectionReset);
    let classified = Classified::new(Verdict::new(Class::Timeout), "too slow");
    for (error, expected) in [
        (io::Error::other(refused), Class::Connect),
        (reset, Class::Transport),
        (io::Error::other(classified), Class::Timeout),
    ] {
        assert_eq!(
            DefaultClassifier.classify(Err(&error)).class(),
            expected,
            "{error}"
        );
    }
}

/// A process without free descriptors counted its own errors as failures of healthy endpoints, and
/// their breakers opened.
#[test]
fn error_of_this_machine_is_local() {
    let (descriptors, ports, buffers, memory) = if cfg!(windows) {
        (vec![10024], 10049, 10055, 8)
    } else if cfg!(any(target_os = "linux", target_os = "android")) {
        (vec![24, 23], 99, 105, 12)
    } else {
        (vec![24, 23], 49, 55, 12)
    };
    let unsent = descriptors.into_iter().chain([ports]);
    let unsent = unsent.map(|code| (io::Error::from_raw_os_error(code), true));
    let codes = [buffers, memory].map(io::Error::from_raw_os_error);
    let cancelled = io::Error::new(io::ErrorKind::Interrupted, "cancelled");
    let uncertain = codes.into_iter().chain([cancelled]);
    for (error, proves) in unsent.chain(uncertain.map(|error| (error, false))) {
        let error = io::Error::other(error);
        let verdict = DefaultClassifier.classify(Err(&error));
        let is = (verdict.class(), verdict.proves_unprocessed());
        assert_eq!(is, (Class::Local, proves), "{error}");
    }
}
