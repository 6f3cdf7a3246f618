//! The errors of calls.

use std::io;

use async_openai::error::OpenAIError;
use http::{Request, Response};
use steadfast_async_openai::{client, client_with_config};
use steadfast_core::{BoxError, find_error};
use steadfast_reqwest::{StackError, Transport};
use steadfast_testkit::{Reply, Upstream};
use tower::service_fn;

/// The error of a stack is no `ApiError`: no endpoint sent one.
#[tokio::test]
async fn error_of_stack_is_among_sources() {
    let stack = service_fn(|_: Request<reqwest::Body>| async {
        Err::<Response<reqwest::Body>, BoxError>(io::Error::other("all endpoints are down").into())
    });
    let error = client(stack).models().list().await.unwrap_err();
    assert_eq!(error.to_string(), "all endpoints are down");
    assert!(matches!(&error, OpenAIError::Boxed(inner) if inner.is::<StackError>()));
    assert!(find_error::<io::Error>(&error).is_some(), "{error:?}");
}

/// The retries of async-openai would send each `500` of this upstream three times.
#[tokio::test]
async fn failed_call_is_sent_once() {
    let upstream = Upstream::start().await.expect("an upstream");
    upstream.set(Reply::status(500));
    let config = async_openai::config::OpenAIConfig::new().with_api_base(upstream.url());
    let client = client_with_config(Transport::default(), config.with_api_key("sk-0123456789"));
    let error = client.models().list().await.unwrap_err();
    assert!(matches!(error, OpenAIError::ApiError(_)), "{error:?}");
    assert_eq!(upstream.counts().requests, 1);
    assert_eq!(
        upstream.log()[0].header("authorization"),
        Some("Bearer sk-0123456789")
    );
}
