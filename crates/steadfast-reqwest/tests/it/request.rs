//! Requests of reqwest above a stack.

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::time::Duration;

use http::{Request, Response};
use steadfast_core::{Deadline, find_error};
use steadfast_reqwest::{RequestBuilderExt, StackError};
use steadfast_testkit::Contract;
use tower::service_fn;

const URL: &str = "http://stack.test/v1/models?limit=5";

/// Returns the deadline of the request as seconds from now, in the body of the response.
async fn remaining(request: Request<reqwest::Body>) -> Result<Response<reqwest::Body>, Infallible> {
    let deadline = Deadline::of(request.extensions());
    let now = tokio::time::Instant::now();
    let text = deadline.map_or("none".to_owned(), |it| {
        it.remaining(now).as_secs().to_string()
    });
    Ok(Response::new(text.into()))
}

#[tokio::test(start_paused = true)]
async fn timeout_of_request_is_its_deadline() {
    let http = reqwest::Client::new();
    let stack = service_fn(remaining);
    let request = http.get(URL).timeout(Duration::from_secs(7));
    let response = request.send_with(stack).await.expect("a response");
    assert_eq!(response.text().await.expect("a body"), "7");
    let response = http.get(URL).send_with(stack).await.expect("a response");
    assert_eq!(response.text().await.expect("a body"), "none");
}

/// Without it, `Response::url` is a placeholder, and relative links of an answer lead nowhere.
#[tokio::test]
async fn response_has_url_of_request() {
    let response = reqwest::Client::new()
        .get(URL)
        .send_with(service_fn(remaining))
        .await;
    assert_eq!(response.expect("a response").url().as_str(), URL);
}

#[tokio::test]
async fn error_of_stack_is_among_sources() {
    let stack = service_fn(|_: Request<reqwest::Body>| async {
        Err::<Response<reqwest::Body>, _>(io::Error::other("all endpoints are down"))
    });
    let error = reqwest::Client::new()
        .get(URL)
        .send_with(stack)
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "all endpoints are down");
    assert!(find_error::<io::Error>(&error).is_some());
    let outer: &dyn Error = &error;
    assert!(outer.downcast_ref::<StackError>().is_some());
}

#[tokio::test]
async fn invalid_builder_sends_nothing() {
    let inner = Contract::new(service_fn(remaining));
    let probe = inner.probe();
    let request = reqwest::Client::new().get("no address");
    assert!(request.send_with(inner).await.is_err());
    assert_eq!(probe.report().completed, 0);
}

/// The query of a URL may contain a credential.
#[tokio::test]
async fn error_of_builder_omits_the_url() {
    let request = reqwest::Client::new().get("data:text?key=secret");
    let error = request.send_with(service_fn(remaining)).await.unwrap_err();
    assert!(
        !format!("{error} {error:?}").contains("secret"),
        "{error:?}"
    );
}

/// The contract service panics if a handle is called that has not reported readiness itself.
#[tokio::test]
async fn ready_handle_takes_the_call() {
    let inner = Contract::new(service_fn(remaining));
    let probe = inner.probe();
    let response = reqwest::Client::new().get(URL).send_with(inner).await;
    drop(response.expect("a response"));
    assert_eq!(probe.report().completed, 1);
    probe.assert_idle();
}
