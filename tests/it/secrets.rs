//! Secrets: the endpoints that receive a credential, and the places where none is printed.

use http::Request;
use stack_tests::{chat, endpoint, rate_limited, read, served_by, status_of, upstreams};
use steadfast::{AiStack, ApiKey};
use steadfast_testkit::{Reply, Upstream};

/// Adds the caller's secret in each header and parameter that can carry a credential.
fn with_caller_credentials(request: Request<String>) -> Request<String> {
    let (mut head, body) = request.into_parts();
    for (name, value) in [
        ("authorization", "Bearer caller-secret"),
        ("x-api-key", "caller-secret"),
        ("api-key", "caller-secret"),
        ("x-goog-api-key", "caller-secret"),
        ("openai-organization", "org-caller-secret"),
        ("openai-project", "proj-caller-secret"),
        ("cookie", "session=caller-secret"),
        ("proxy-authorization", "caller-secret"),
    ] {
        head.headers.insert(name, value.parse().unwrap());
    }
    head.uri = "/v1/chat/completions?user=7&key=caller-secret"
        .parse()
        .unwrap();
    Request::from_parts(head, body)
}

fn api_key(text: &str) -> ApiKey {
    ApiKey::new(text).unwrap()
}

#[tokio::test]
async fn endpoint_receives_no_foreign_credentials() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(rate_limited(60));
    let ai = stack_with_own_keys(&a, &b);
    let response = ai.send(with_caller_credentials(chat(false))).await.unwrap();
    assert_eq!(served_by(&response), "b");

    for (upstream, own, foreign) in [(&a, "key-of-a", "key-of-b"), (&b, "key-of-b", "key-of-a")] {
        let log = upstream.log();
        assert_eq!(log.len(), 1);
        let received = &log[0];
        assert_eq!(
            received.header("authorization"),
            Some(&*format!("Bearer {own}"))
        );
        assert!(!received.contains("caller-secret"), "{received:?}");
        assert!(!received.contains(foreign), "{received:?}");
        assert_eq!(received.path_and_query, "/v1/chat/completions?user=7");
    }
}

#[tokio::test]
async fn endpoint_with_pass_credentials_receives_callers_credentials() {
    let [a] = upstreams(["a"]).await;
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).pass_credentials(true))
        .build()
        .unwrap();
    ai.send(with_caller_credentials(chat(false))).await.unwrap();
    let received = &a.log()[0];
    assert_eq!(
        received.header("authorization"),
        Some("Bearer caller-secret")
    );
    assert_eq!(received.header("x-api-key"), Some("caller-secret"));
    assert_eq!(
        received.header("openai-organization"),
        Some("org-caller-secret")
    );
    assert_eq!(
        received.path_and_query,
        "/v1/chat/completions?user=7&key=caller-secret"
    );
    assert_eq!(
        received.header("proxy-authorization"),
        None,
        "a header for the proxy"
    );
}

fn stack_with_own_keys(a: &Upstream, b: &Upstream) -> AiStack {
    AiStack::builder()
        .endpoint(endpoint(a).api_key(api_key("key-of-a")))
        .endpoint(endpoint(b).api_key(api_key("key-of-b")))
        .build()
        .unwrap()
}

/// A caller with a wrong key must not take an endpoint from the other callers.
#[tokio::test]
async fn rejected_key_of_caller_starts_no_bench() {
    let [a] = upstreams(["a"]).await;
    a.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).pass_credentials(true))
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(
            ai.send(with_caller_credentials(chat(false)))
                .await
                .unwrap()
                .status(),
            401
        );
    }
    assert_eq!(a.counts().requests, 10);
    assert!(status_of(&ai, "a").admissible);
}

/// Requests that differ: one request alone proves nothing about a key.
fn chat_about(number: u32) -> Request<String> {
    chat(false).map(|body| body.replace("Hi", &format!("Hi {number}")))
}

/// One caller with one request took the endpoint from all others.
#[tokio::test]
async fn rejections_of_one_repeated_request_start_no_bench() {
    let [a, b]: [Upstream; 2] = upstreams(["a", "b"]).await;
    a.set(Reply::status(401));
    let ai = stack_with_own_keys(&a, &b);
    for _ in 0..10 {
        let response = ai.send(chat_about(1)).await.unwrap();
        assert_eq!(served_by(&response), "b");
    }
    assert!(status_of(&ai, "a").admissible);
}

#[tokio::test]
async fn three_rejections_of_own_key_start_bench() {
    let [a, b]: [Upstream; 2] = upstreams(["a", "b"]).await;
    a.set(Reply::status(401));
    let ai = stack_with_own_keys(&a, &b);
    for number in 0..5 {
        let response = ai.send(chat_about(number)).await.unwrap();
        assert_eq!(served_by(&response), "b", "another credential can be valid");
        read(response).await.unwrap();
    }
    assert_eq!(a.counts().requests, 3);
    assert!(status_of(&ai, "a").cooling.is_some());
}

/// Google rejects an invalid key with status 400.
#[tokio::test]
async fn three_rejections_of_own_key_with_400_start_bench() {
    let [a, b] = upstreams(["a", "b"]).await;
    let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    a.set(Reply::raw(
        400,
        [("content-type", "application/json")],
        body,
    ));
    let ai = stack_with_own_keys(&a, &b);
    for number in 0..5 {
        let response = ai.send(chat_about(number)).await.unwrap();
        assert_eq!(served_by(&response), "b");
    }
    assert_eq!(a.counts().requests, 3);
    assert!(status_of(&ai, "a").cooling.is_some());
}

#[tokio::test]
async fn debug_errors_and_status_show_no_key() {
    let [a] = upstreams(["a"]).await;
    let builder = AiStack::builder().endpoint(endpoint(&a).api_key(api_key("key-of-a")));
    let mut shown = format!("{builder:?}");
    let ai = builder.build().unwrap();
    a.cut_off();
    let error = ai
        .send(with_caller_credentials(chat(false)))
        .await
        .unwrap_err();
    shown += &format!("{ai:?} {error:?} {error} {:?}", ai.status());
    let response = steadfast::error_response(&error);
    shown += &format!("{response:?}");
    assert!(
        !shown.contains("key-of-a") && !shown.contains("caller-secret"),
        "{shown}"
    );
}
