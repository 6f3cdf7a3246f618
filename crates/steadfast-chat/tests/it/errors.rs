//! `check` and `ApiError`.

use std::error::Error;
use std::time::Duration;

use http::{Request, StatusCode};
use steadfast::{Class, Exhausted};
use steadfast_chat::{ApiError, check};
use steadfast_testkit::{Dialect, Hint, Reply};

use crate::support::client;

#[tokio::test]
async fn refused_response_has_code_message_and_each_endpoint() {
    let (client, [primary, backup]) = client(["primary", "backup"]).await;
    let body =
        r#"{"error":{"message":"slow down","type":"requests","code":"rate_limit_exceeded"}}"#;
    for upstream in [&primary, &backup] {
        upstream.set(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(60))).body(body));
    }
    let call = client
        .chat_completion("m", "Hi")
        .deadline(Duration::from_secs(5));
    let error = call.await.expect_err("no endpoint serves");
    assert_eq!(
        (error.status(), error.class()),
        (StatusCode::TOO_MANY_REQUESTS, Class::RateLimited)
    );
    assert_eq!(
        (error.code(), error.message()),
        (Some("rate_limit_exceeded"), "slow down")
    );
    let wait = error.retry_in().expect("a hint");
    assert!((55..=60).contains(&wait.as_secs()), "{wait:?}");
    let shown = error.to_string();
    let tried = "(tried primary: rate_limited (429), backup: rate_limited (429))";
    assert!(
        shown.starts_with("429 rate_limit_exceeded: slow down"),
        "{shown}"
    );
    assert!(shown.contains(tried), "{shown}");
}

#[tokio::test]
async fn request_without_response_has_reasons_and_attempts() {
    let (client, [primary, backup]) = client(["primary", "backup"]).await;
    primary.cut_off();
    backup.cut_off();
    let call = client
        .chat_completion("m", "Hi")
        .deadline(Duration::from_secs(1));
    let error = call.await.expect_err("no endpoint serves");
    assert_eq!(
        (error.status(), error.class()),
        (StatusCode::BAD_GATEWAY, Class::Connect)
    );
    assert!(
        error
            .source()
            .is_some_and(|source| Exhausted::find(source).is_some())
    );
    let shown = error.to_string();
    for text in [
        "502 connect: no endpoint served the request",
        "`primary`",
        "`backup`",
    ] {
        assert!(shown.contains(text), "{shown}");
    }
    assert!(error.trail().len() >= 2, "{:?}", error.trail());
}

/// A response after one attempt has no trail of its own.
#[tokio::test]
async fn single_refusal_names_its_endpoint() {
    let (client, [primary, _backup]) = client(["primary", "backup"]).await;
    primary.set(Reply::status(400));
    let error = client
        .chat_completion("m", "Hi")
        .await
        .expect_err("a fault of the request");
    assert_eq!(error.status(), 400);
    assert!(
        error
            .to_string()
            .contains("(tried primary: caller_fault (400))"),
        "{error}"
    );
}

#[tokio::test]
async fn users_of_send_check_both_kinds_of_failures() {
    let (client, [primary]) = client(["primary"]).await;
    let request = || {
        Request::get("/v1/models")
            .body(String::new())
            .expect("a request")
    };
    let ai = client.stack();
    let response = check(ai.send(request()).await).await.expect("a success");
    assert_eq!(response.status(), 200);

    primary.set(Reply::quota_spent(Dialect::OpenAi));
    let error = check(ai.send(request()).await).await.expect_err("refused");
    assert_eq!(
        (error.class(), error.code()),
        (Class::QuotaExhausted, Some("insufficient_quota"))
    );

    // The first requests test the bench, because one request has caused it.
    for _ in 0..20 {
        let error = check(ai.send(request()).await).await.expect_err("benched");
        assert_eq!(error.class(), Class::QuotaExhausted);
        if error.source().is_some() {
            assert!(error.retry_in().is_some(), "{error:?}");
            return;
        }
    }
    panic!("each request was sent");
}

#[tokio::test]
async fn huge_error_body_leaves_the_status() {
    let (client, [primary]) = client(["primary"]).await;
    primary.set(Reply::raw(400, [], "x".repeat(1_000_000)));
    let error = client
        .chat_completion("m", "Hi")
        .await
        .expect_err("refused");
    assert_eq!(
        (error.status().as_u16(), error.message()),
        (400, "no message")
    );
}

#[test]
fn error_can_be_created_for_tests() {
    let error = ApiError::new(StatusCode::BAD_GATEWAY, Class::Connect, "m");
    let error = error.with_retry_in(Duration::from_millis(1500));
    assert_eq!(error.to_string(), "502 connect: m (retry in 2 s)");
}
