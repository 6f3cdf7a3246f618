use super::*;
use crate::Attempt;
use crate::layer::RecordAttempts;
use std::sync::Arc;
use tokio::time::Instant;

fn connect_attempt() -> Attempt {
    Attempt {
        endpoint: Some("primary".into()),
        ..Attempt::new(Instant::now(), Verdict::new(Class::Connect))
    }
}

fn limited(millis: u64) -> Verdict {
    Verdict::new(Class::RateLimited).with_hint(Some(Duration::from_millis(millis)))
}

#[test]
fn message_contains_attempts_and_soonest_recovery() {
    let trail = Trail::new();
    let error = Exhausted::new(trail.clone(), Verdict::new(Class::RateLimited), None);
    assert_eq!(error.to_string(), "no endpoint can take the request");

    trail.record(connect_attempt());
    let error = Exhausted::new(trail, limited(1500), Some("refused".into()));
    assert_eq!(
        error.to_string(),
        "no endpoint served the request in 1 attempt: primary: connect (retry in 1.5 s)"
    );
    assert_eq!(
        error.source().map(ToString::to_string),
        Some("refused".into())
    );
}

#[test]
fn message_contains_reasons_instead_of_attempts() {
    let trail = Trail::new();
    trail.set_reasons(Arc::new("`a` cools for 12 s after a 429"));
    let error = Exhausted::new(trail.clone(), limited(12_000), None);
    assert_eq!(
        error.to_string(),
        "no endpoint can take the request: `a` cools for 12 s after a 429 (retry in 12 s)"
    );
    trail.record(connect_attempt());
    trail.record(connect_attempt());
    let error = Exhausted::new(trail, Verdict::new(Class::Connect), None);
    assert_eq!(
        error.to_string(),
        "no endpoint served the request in 2 attempts: `a` cools for 12 s after a 429"
    );
}

#[test]
fn root_cause_decides_status() {
    let expected = |class| match class {
        Class::RateLimited | Class::QuotaExhausted => (429, 429),
        Class::Unauthorized => (401, 401),
        Class::ModelUnavailable => (404, 404),
        Class::ContextTooLong => (413, 413),
        Class::ContentPolicy | Class::CallerFault => (400, 400),
        Class::Overloaded | Class::Local => (503, 503),
        Class::Timeout => (503, 504),
        _ => (503, 502),
    };
    for class in Class::ALL {
        let status = |trail| {
            let verdict = Verdict::new(class).with_hint(Some(Duration::from_millis(1500)));
            let response: Response<()> = Exhausted::new(trail, verdict, None).to_response();
            assert_eq!(response.headers()["retry-after"], "2");
            response.status().as_u16()
        };
        let tried = Trail::new();
        tried.record(connect_attempt());
        let statuses = (status(Trail::new()), status(tried));
        assert_eq!(statuses, expected(class), "{class}");
    }
}

#[test]
fn response_without_known_recovery_has_no_delay() {
    for hint in [None, Some(Duration::ZERO)] {
        let verdict = Verdict::new(Class::Overloaded).with_hint(hint);
        let error = Exhausted::new(Trail::new(), verdict, None);
        assert_eq!(error.retry_in(), None);
        let response: Response<()> = error.to_response();
        assert!(response.headers().is_empty());
    }
}
