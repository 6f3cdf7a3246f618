//! The contract of `tower_service::Service`.

use std::io;

use async_openai::middleware::HttpRequestFactory;
use http::{Request, Response};
use steadfast_async_openai::HttpService;
use steadfast_core::{BoxError, find_error};
use steadfast_testkit::Contract;
use tower::{Service, ServiceExt, service_fn};

fn factory(url: &'static str) -> HttpRequestFactory {
    HttpRequestFactory::new(move || async move { Ok(reqwest::Client::new().get(url).build()?) })
}

async fn answer(_: Request<reqwest::Body>) -> Result<Response<reqwest::Body>, BoxError> {
    Ok(Response::new("answer".into()))
}

/// The contract service panics if a handle is called that has not reported readiness itself.
#[tokio::test]
async fn ready_handle_takes_the_call() {
    let inner = Contract::new(service_fn(answer));
    let probe = inner.probe();
    let mut service = HttpService::new(inner);
    for _ in 0..3 {
        let call = service
            .ready()
            .await
            .expect("ready")
            .call(factory("http://stack.test/"));
        assert_eq!(call.await.expect("a response").status(), 200);
    }
    assert_eq!(probe.report().completed, 3);
    probe.assert_idle();
}

#[tokio::test]
async fn request_that_cannot_be_built_releases_readiness() {
    let inner = Contract::new(service_fn(answer)).limit(1);
    let probe = inner.probe();
    let service = HttpService::new(inner);
    assert!(
        service
            .clone()
            .oneshot(factory("no address"))
            .await
            .is_err()
    );
    let response = service.oneshot(factory("http://stack.test/")).await;
    assert_eq!(response.expect("a response").status(), 200);
    probe.assert_idle();
}

#[tokio::test]
async fn error_of_readiness_reaches_caller() {
    let inner = Contract::new(service_fn(|_: Request<reqwest::Body>| async {
        Ok::<_, io::Error>(Response::new(reqwest::Body::default()))
    }));
    inner.probe().fail_ready(io::Error::other("down"));
    let outcome = HttpService::new(inner)
        .oneshot(factory("http://stack.test/"))
        .await;
    let error = outcome.unwrap_err();
    assert!(find_error::<io::Error>(&error).is_some(), "{error:?}");
}
