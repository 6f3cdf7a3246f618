//! Pinned requests: stored state is known to one endpoint only.

use http::Request;
use stack_tests::{chat, endpoint, read, served_by, upstreams};
use steadfast::{AiStack, Endpoint, RoutingOptions};
use steadfast_testkit::Reply;

use super::two_endpoints;

/// Another endpoint does not know the identifiers of the first one.
#[tokio::test]
async fn stateful_path_stays_at_first_endpoint() {
    let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
    a.set(Reply::status(500));
    for (method, path, body) in [
        ("POST", "/v1/files", "x"),
        ("GET", "/v1/batches/b_1", ""),
        ("POST", "/v1/threads", "{}"),
        ("POST", "/v1/responses", r#"{"previous_response_id":"r"}"#),
        ("POST", "/v1/responses", r#"{"background":true}"#),
    ] {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(body.to_owned())
            .unwrap();
        let response = ai.send(request).await.unwrap();
        assert_eq!(served_by(&response), "a", "{path}");
        read(response).await.unwrap();
    }
    assert_eq!(b.counts().requests, 0);

    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(RoutingOptions::new().only("b"));
    assert_eq!(served_by(&ai.send(request).await.unwrap()), "b");
}

/// The stored state is gone with the endpoint, and new state needs another place.
#[tokio::test]
async fn removal_of_first_endpoint_moves_state_to_next() {
    let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
    let stored = || {
        let request = Request::post("/v1/threads");
        request.body("{}".to_owned()).unwrap()
    };
    assert_eq!(served_by(&ai.send(stored()).await.unwrap()), "a");
    ai.endpoints().remove("a").unwrap();
    assert_eq!(served_by(&ai.send(stored()).await.unwrap()), "b");
    ai.endpoints().add(endpoint(&a)).unwrap();
    assert_eq!(served_by(&ai.send(stored()).await.unwrap()), "a");
    ai.endpoints().replace([endpoint(&b)]).unwrap();
    assert_eq!(served_by(&ai.send(stored()).await.unwrap()), "b");
    ai.endpoints().replace([]).unwrap();
    ai.send(stored()).await.expect_err("an empty pool");
}

#[tokio::test]
async fn request_root_is_removed_from_path() {
    let [a] = upstreams(["a"]).await;
    let base = a.url().replace("/v1", "");
    for (root, path) in [
        ("", "/v1/models"),
        ("/api", "/v1/models"),
        ("/v1", "/models"),
    ] {
        let ai = AiStack::builder()
            .balance(|balance| balance.request_root(root))
            .endpoint(Endpoint::new("a", &base).unwrap())
            .build()
            .unwrap();
        let request = Request::get("/v1/models").body(String::new()).unwrap();
        ai.send(request).await.unwrap();
        assert_eq!(a.log().last().unwrap().path_and_query, path, "{root:?}");
    }
}
