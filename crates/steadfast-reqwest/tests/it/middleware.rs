//! A stack as a middleware of `reqwest-middleware`.

use std::io;
use std::time::Duration;

use http::{Request, Response};
use reqwest_middleware::{ClientBuilder, Error};
use steadfast_core::{Deadline, find_error};
use steadfast_reqwest::{StackError, StackMiddleware};
use tokio::time::Instant;
use tower::service_fn;

const URL: &str = "http://stack.test/v1/models";

#[tokio::test(start_paused = true)]
async fn extension_of_request_reaches_stack() {
    let stack = service_fn(|request: Request<reqwest::Body>| async move {
        let deadline = Deadline::of(request.extensions()).expect("a deadline");
        let seconds = deadline.remaining(Instant::now()).as_secs();
        Ok::<_, io::Error>(Response::new(reqwest::Body::from(seconds.to_string())))
    });
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(StackMiddleware::new(stack))
        .build();
    let request = client
        .get(URL)
        .with_extension(Deadline::after(Duration::from_secs(9)));
    // The extension takes precedence over the timeout of the request.
    let response = request
        .timeout(Duration::from_secs(2))
        .send()
        .await
        .expect("a response");
    assert_eq!(response.text().await.expect("a body"), "9");
}

#[tokio::test]
async fn error_of_stack_is_among_sources() {
    let stack = service_fn(|_: Request<reqwest::Body>| async {
        Err::<Response<reqwest::Body>, _>(io::Error::other("down"))
    });
    let client = ClientBuilder::new(reqwest::Client::new())
        .with(StackMiddleware::new(stack))
        .build();
    let Error::Middleware(error) = client.get(URL).send().await.unwrap_err() else {
        panic!("the error of a middleware is expected");
    };
    let error = error
        .downcast_ref::<StackError>()
        .expect("the error of the stack");
    assert!(find_error::<io::Error>(error).is_some());
}
