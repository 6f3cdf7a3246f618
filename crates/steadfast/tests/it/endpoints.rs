//! The endpoints of a stack, wherever they were configured.

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast::{AiStack, Endpoint, RequestBody};

use crate::support::{client_with_first_endpoint_answering, local_client, with_two_endpoints};

fn endpoint(name: &str) -> Endpoint {
    Endpoint::new(name, &format!("http://{name}.test/base")).expect("an endpoint")
}

/// Before, `build` reported "no endpoint" to users with endpoints from the balancer's builder only.
#[tokio::test(start_paused = true)]
async fn endpoints_of_balance_closure_suffice() {
    let limited = || Response::builder().status(429).header("retry-after", "600");
    for path in ["/v1/chat/completions", "/v1/files"] {
        let (client, sent) = client_with_first_endpoint_answering(limited());
        let ai = AiStack::builder()
            .balance(|balance| {
                balance
                    .endpoint(endpoint("first"))
                    .endpoint(endpoint("second"))
            })
            .build_on(client)
            .expect("a stack");
        let request = Request::post(path).body(String::new()).expect("a request");
        let status = ai.send(request).await.expect("an answer").status();
        let stays = path.ends_with("files");
        assert_eq!(status, if stays { 429 } else { 200 }, "{path}");
        assert_eq!(sent.all().len(), if stays { 1 } else { 2 }, "{path}");
    }
}

/// The first endpoint in the order of the configuration stores the state of a caller.
#[tokio::test(start_paused = true)]
async fn stateful_request_stays_at_first_configured_endpoint() {
    let (client, sent) = client_with_first_endpoint_answering(Response::builder());
    let ai = AiStack::builder().balance(|balance| balance.endpoint(endpoint("zero")));
    let ai = with_two_endpoints(ai).build_on(client).expect("a stack");
    let request = Request::post("/v1/files")
        .body(String::new())
        .expect("a request");
    ai.send(request).await.expect("an answer");
    assert_eq!(sent.all(), ["http://zero.test/base/files"]);

    ai.endpoints().remove("zero").expect("an endpoint");
    let request = Request::post("/v1/files")
        .body(String::new())
        .expect("a request");
    ai.send(request).await.expect("an answer");
    assert_eq!(
        sent.all().last().map(String::as_str),
        Some("http://first.test/base/files")
    );
}

/// A caller chooses the path, so its length must not decide about the work of the stack.
#[tokio::test(start_paused = true)]
async fn id_is_searched_in_the_last_16_parts_of_a_path() {
    let client = tower::service_fn(async |request: Request<RequestBody>| {
        let by = request.uri().host().unwrap_or_default();
        let limited = by == "first.test" && request.uri().path() == "/base/responses";
        let response = Response::builder().header("x-by", by);
        let response = response.header("content-type", "application/json");
        let response = response.status(if limited { 429 } else { 200 });
        let body = Full::<Bytes>::from(r#"{"id":"resp_1","output":[]}"#);
        Ok::<_, Infallible>(response.body(body).expect("a response"))
    });
    let builder = with_two_endpoints(AiStack::builder());
    let ai = builder.build_on(local_client(client)).expect("a stack");
    let by = async |request: http::request::Builder| {
        let request = request.body(String::new()).expect("a request");
        let response = ai.send(request).await.expect("an answer");
        response.headers()["x-by"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    assert_eq!(by(Request::post("/v1/responses")).await, "second.test");
    for (behind, expected) in [(0, "second.test"), (15, "second.test"), (16, "first.test")] {
        let path = format!("/v1/responses/resp_1{}", "/x".repeat(behind));
        assert_eq!(
            by(Request::get(path)).await,
            expected,
            "{behind} parts behind"
        );
    }
}

#[test]
fn stack_without_endpoints_is_rejected() {
    let (client, _) = client_with_first_endpoint_answering(Response::builder());
    let error = AiStack::builder()
        .build_on(client)
        .expect_err("no endpoint");
    assert_eq!(
        error.to_string(),
        "endpoint: at least one is required, got 0"
    );
}
