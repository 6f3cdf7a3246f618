//! The four common errors of the reference programs. `docs/models.md` has their messages.

use std::convert::Infallible;
use std::future::pending;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Full;
use steadfast::{AiStack, Endpoint, Timeouts};
use steadfast_chat::{ApiError, ChatClient};
use steadfast_testkit::Reply;
use tokio::time::Instant;
use tower::service_fn;

use crate::support::client;

/// The guide must have the message as a user reads it.
fn assert_documented(message: &str) {
    let guide = include_str!("../../../../docs/models.md");
    assert!(guide.contains(message), "docs/models.md lacks: {message}");
}

#[test]
fn key_with_spaces_is_trimmed_and_wrong_keys_have_distinct_messages() {
    assert!(ChatClient::holysheep("  sk-0123456789abcdef01\n").is_ok());
    for (key, expected) in [
        (
            "pk-0123456789abcdef01",
            r#"the API key does not begin with "sk-""#,
        ),
        (
            "sk-01234",
            "the API key has 8 characters and should have at least 20",
        ),
        (" ", "the API key is empty"),
        ("sk-0123456789 abcdef01", "the API key contains a space"),
    ] {
        let error = ChatClient::holysheep(key).expect_err(expected).to_string();
        assert_eq!(error, expected);
        assert_documented(&error);
    }
}

/// All endpoints answer 429 without a hint.
#[tokio::test(start_paused = true)]
async fn endless_429_ends_after_bounded_attempts() {
    let limited = service_fn(|_: Request<_>| async {
        let mut response = Response::new(Full::<bytes::Bytes>::from(
            r#"{"error":{"message":"Rate limit reached","type":"requests","code":"rate_limit_exceeded"}}"#,
        ));
        *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
        Ok::<_, Infallible>(response)
    });
    let started = Instant::now();
    let error = of_three_endpoints(limited, Timeouts::MEDIUM).await;
    assert!(
        started.elapsed() <= Duration::from_secs(31),
        "{:?}",
        started.elapsed()
    );
    assert_eq!(error.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(
        (3..=12).contains(&error.trail().len()),
        "{:?}",
        error.trail()
    );
    let shown = error.to_string();
    let expected = "429 rate_limit_exceeded: Rate limit reached (tried primary: rate_limited (429), \
        backup1: rate_limited (429), backup2: rate_limited (429)";
    assert!(shown.starts_with(expected), "{shown}");
    assert_documented(
        "429 rate_limit_exceeded: Rate limit reached (tried primary: rate_limited (429)",
    );
}

#[tokio::test(start_paused = true)]
async fn each_profile_ends_silent_calls_at_its_time() {
    let expected = "504 timeout: no endpoint served the request in 2 attempts: `primary`: timeout; \
        `backup1`: timeout; ";
    for (timeouts, seconds) in [
        (Timeouts::SHORT, 10),
        (Timeouts::MEDIUM, 30),
        (Timeouts::LONG, 60),
    ] {
        let silent = service_fn(|_: Request<_>| async {
            pending::<()>().await;
            Ok::<_, Infallible>(Response::new(Full::<bytes::Bytes>::default()))
        });
        let started = Instant::now();
        // The profile of the call replaces the one of the stack.
        let error = of_three_endpoints(silent, timeouts).await;
        assert_eq!(started.elapsed().as_secs(), seconds, "{error}");
        assert_eq!(error.status(), StatusCode::GATEWAY_TIMEOUT, "{error}");
        let shown = error.to_string();
        assert!(shown.starts_with(expected), "{shown}");
    }
    assert_documented(expected);
}

async fn of_three_endpoints<C, B>(service: C, timeouts: Timeouts) -> ApiError
where
    C: tower::Service<Request<steadfast::RequestBody>, Response = Response<B>, Error = Infallible>,
    C: Clone + Send + Sync + 'static,
    C::Future: Send + 'static,
    B: http_body::Body<Data = bytes::Bytes, Error = Infallible> + Unpin + Send + 'static,
{
    let endpoints = ["primary", "backup1", "backup2"]
        .map(|name| Endpoint::new(name, &format!("http://{name}.test/v1")).expect("a URL"));
    let ai = AiStack::builder()
        .endpoints(endpoints)
        .build_on(service)
        .expect("a stack");
    let call = ChatClient::new(ai)
        .chat_completion("m", "Hi")
        .timeouts(timeouts);
    call.await.expect_err("no endpoint serves")
}

#[tokio::test]
async fn unknown_model_has_message_of_provider_and_each_endpoint() {
    let (client, [primary, backup]) = client(["primary", "backup"]).await;
    let body = r#"{"error":{"message":"The model `gpt-4.2` does not exist","type":"invalid_request_error","code":"model_not_found"}}"#;
    for upstream in [&primary, &backup] {
        upstream.set(Reply::raw(
            404,
            [("content-type", "application/json")],
            body,
        ));
    }
    let error = client
        .chat_completion("gpt-4.2", "Hi")
        .await
        .expect_err("unknown");
    assert_eq!(
        (error.status().as_u16(), error.code()),
        (404, Some("model_not_found"))
    );
    let message = "404 model_not_found: The model `gpt-4.2` does not exist \
        (tried primary: model_unavailable (404), backup: model_unavailable (404))";
    assert!(error.to_string().starts_with(message), "{error}");
    assert_documented(message);
}
