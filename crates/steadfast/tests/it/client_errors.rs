//! Errors of a user's own client on top of hyper, with `client` or with `hyper-errors` alone.

use std::fmt;
use std::future::ready;

use http::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::Connect;
use hyper_util::rt::{TokioExecutor, TokioIo};
use steadfast::crates::core::Classified;
use steadfast::{
    AiStack, BoxError, Class, ClassifyLayer, Endpoint, RequestBody, Verdict, classify_fn,
};
use tokio::net::TcpStream;
use tower::{Layer, service_fn};

/// A failed lookup of a name, which no type of the standard library describes.
#[derive(Debug)]
struct LookupFailed;

impl fmt::Display for LookupFailed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such host")
    }
}

impl std::error::Error for LookupFailed {}

/// A client of hyper-util with a connector that always fails.
fn unconnected_client() -> Client<impl Connect + Clone + Send + Sync + 'static, RequestBody> {
    let connector = service_fn(|_: Uri| ready(Err::<TokioIo<TcpStream>, _>(LookupFailed)));
    Client::builder(TokioExecutor::new()).build(connector)
}

/// Sends one attempt that is unsafe to repeat, and returns its class.
async fn class_of_failure(ai: AiStack) -> Class {
    let request = Request::post("/v1/files").body(String::new());
    let error: BoxError = ai
        .send(request.expect("a request"))
        .await
        .expect_err("no connection");
    let classified = Classified::find(&*error).expect("classified");
    assert!(steadfast::find_error::<LookupFailed>(&*error).is_some());
    classified.verdict().class()
}

fn one_endpoint() -> steadfast::AiStackBuilder {
    let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
    AiStack::builder()
        .endpoint(endpoint)
        .retry(steadfast::RetryOn429Layer::new().max_attempts(1))
}

/// Before, the errors of hyper were recognized only with the feature `client`. With `build_on`
/// alone a failed lookup was `Transport`, and an upload was not sent to another endpoint.
#[tokio::test(start_paused = true)]
async fn failed_lookup_of_own_client_is_connect() {
    let ai = one_endpoint().build_on(unconnected_client());
    assert_eq!(class_of_failure(ai.expect("a stack")).await, Class::Connect);
}

#[tokio::test(start_paused = true)]
async fn verdict_of_classify_layer_wins_over_recognized_error() {
    let fault = classify_fn(|_| Verdict::new(Class::CallerFault));
    let client = ClassifyLayer::new(fault).layer(unconnected_client());
    let ai = one_endpoint().build_on(client);
    assert_eq!(
        class_of_failure(ai.expect("a stack")).await,
        Class::CallerFault
    );
}
