use super::*;
use http::HeaderMap;
use http::header::RETRY_AFTER;
use http_body_util::BodyExt;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use steadfast_breaker::CircuitOpen;
use steadfast_core::layer::verdict_of;
use steadfast_core::{Classified, Verdict};

use crate::dialect::{Context, refine};

fn header(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(RETRY_AFTER)?;
    Some(value.to_str().expect("text"))
}

/// The error of a pool that has sent nothing.
fn unsent(class: Class, millis: u64) -> BoxError {
    let hint = Some(Duration::from_millis(millis));
    let verdict = Verdict::new(class).neutral().with_hint(hint);
    let trail = Trail::new();
    trail.set_reasons(Arc::new(
        "`a` is benched for 1 min after a 404 (missing model)",
    ));
    Exhausted::new(trail, verdict, None).into()
}

fn lone(class: Class) -> BoxError {
    Classified::new(Verdict::new(class), "anything").into()
}

async fn body_of(response: Response<Full<Bytes>>) -> Bytes {
    let Ok(body) = response.into_body().collect().await;
    body.to_bytes()
}

#[tokio::test]
async fn error_maps_to_status_code_and_retry_after() {
    for (error, expected) in [
        (
            unsent(Class::RateLimited, 1_200),
            (429, "rate_limit_exceeded", Some("2")),
        ),
        (
            unsent(Class::QuotaExhausted, 60_000),
            (429, "insufficient_quota", Some("60")),
        ),
        (
            unsent(Class::Unauthorized, 60_000),
            (401, "invalid_api_key", Some("60")),
        ),
        (
            unsent(Class::ModelUnavailable, 60_000),
            (404, "model_not_found", Some("60")),
        ),
        (unsent(Class::Timeout, 3_000), (503, "timeout", Some("3"))),
        (unsent(Class::Overloaded, 0), (503, "overloaded", None)),
        (lone(Class::Timeout), (504, "timeout", None)),
        (lone(Class::Connect), (502, "connect", None)),
        (lone(Class::Local), (503, "local", None)),
        (lone(Class::CallerFault), (400, "caller_fault", None)),
        ("anything".into(), (502, "transport", None)),
        (
            Classified::new(
                Verdict::new(Class::Overloaded).with_hint(Some(Duration::from_secs(7))),
                CircuitOpen::new("a".into(), None),
            )
            .into(),
            (503, "overloaded", Some("7")),
        ),
    ] {
        let response = error_response(&error);
        let status = response.status().as_u16();
        let wait = header(response.headers()).map(str::to_owned);
        let body: Value = serde_json::from_slice(&body_of(response).await).expect("JSON");
        let code = body["error"]["code"].as_str().expect("a code");
        assert_eq!((status, code, wait.as_deref()), expected, "{error:?}");
        assert_eq!(body["error"]["message"], error.to_string());
    }
}

/// A gateway may be the endpoint of another stack.
#[tokio::test]
async fn response_has_class_of_error_for_another_stack() {
    for class in [
        Class::RateLimited,
        Class::QuotaExhausted,
        Class::Unauthorized,
        Class::ModelUnavailable,
        Class::ContextTooLong,
        Class::Overloaded,
        Class::CallerFault,
    ] {
        for format in [&error_format::WHOLE, &error_format::MESSAGES] {
            let response = respond(&unsent(class, 5_000), format);
            let (status, headers) = (response.status(), response.headers().clone());
            let verdict = verdict_of(Ok(&response));
            let body = body_of(response).await;
            let request = Context::default();
            let verdict = refine(verdict, (status, &headers), &body, &request, true);
            assert_eq!(verdict.class(), class);
            assert_eq!(verdict.hint(), Some(Duration::from_secs(5)), "{class}");
        }
    }
}

/// SDKs honour the header, and would otherwise repeat each attempt of the stack.
#[test]
fn client_retries_only_unsent_request_that_a_wait_helps() {
    for (error, retried) in [
        (unsent(Class::RateLimited, 40_000), true),
        (unsent(Class::Timeout, 3_000), true),
        (unsent(Class::RateLimited, 0), false),
        (unsent(Class::QuotaExhausted, 40_000), false),
        (unsent(Class::Unauthorized, 40_000), false),
        (lone(Class::Connect), false),
    ] {
        let response = error_response(&error);
        let header = response.headers().get("x-should-retry");
        assert_eq!(header.is_none(), retried, "{error}");
    }
}
