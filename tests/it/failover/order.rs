//! The order: the endpoints that a request tries after each class of failure.

use stack_tests::{
    SECOND, assert_idle, chat, endpoint, rate_limited, read, served_by, stack, status_of, upstreams,
};
use steadfast::crates::core::BreakerState;
use steadfast::{AiStack, Endpoint, RetryOverride, Trail, error_response};
use steadfast_testkit::Reply;
use tower::ServiceExt;

use super::{quick_retry, two_endpoints};

#[tokio::test]
async fn caller_error_is_sent_once() {
    for status in [400, 401, 403, 422] {
        let (ai, [a, b]) = two_endpoints(Reply::status(status)).await;
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(served_by(&response), "a");
        let sent = [a.counts().requests, b.counts().requests];
        assert_eq!(sent, [1, 0], "{status}");
    }
}

#[tokio::test]
async fn server_error_repeats_completion_unless_marked_unsafe() {
    let (ai, [a, b]) = two_endpoints(Reply::ok()).await;
    a.next(Reply::status(500));
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(served_by(&response), "b");
    let trail = Trail::of(response.extensions()).unwrap();
    assert_eq!(trail.to_string(), "a: server_error (500), b: success (200)");

    a.next(Reply::status(500));
    let mut request = chat(false);
    request
        .extensions_mut()
        .insert(RetryOverride::new().safe(false));
    let response = ai.send(request).await.unwrap();
    assert_eq!(response.status(), 500, "the caller marked it as unsafe");
    assert_eq!(b.counts().requests, 1);
}

#[tokio::test]
async fn missing_model_fails_over() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(Reply::status(404));
    let ai = stack([&a, &b]).build().unwrap();
    let response = ai.send(chat(false)).await.unwrap();
    assert_eq!(served_by(&response), "b");
    let trail = Trail::of(response.extensions()).unwrap().to_string();
    assert!(trail.starts_with("a: model_unavailable (404)"), "{trail}");
}

#[tokio::test]
async fn too_long_context_fails_over_only_to_larger_context() {
    let too_long = || {
        Reply::raw(
            400,
            [("content-type", "application/json")],
            r#"{"error":{"message":"too long","code":"context_length_exceeded"}}"#,
        )
    };
    let [a, b, c] = upstreams(["a", "b", "c"]).await;
    a.set(too_long());
    let ai = AiStack::builder()
        .endpoints([
            endpoint(&a),
            endpoint(&b),
            endpoint(&c).larger_context(true),
        ])
        .build()
        .unwrap();
    assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "c");
    assert_eq!(b.counts().requests, 0);

    let ai = stack([&a, &b]).build().unwrap();
    assert_eq!(ai.send(chat(false)).await.unwrap().status(), 400);
    assert_eq!(b.counts().requests, 0);
}

/// The stack is called as a tower service.
#[tokio::test]
async fn limited_lower_tier_uses_higher_tier() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let ai = AiStack::builder()
        .endpoint(endpoint(&backup).tier(1))
        .endpoint(endpoint(&primary))
        .build()
        .unwrap();
    primary.next(rate_limited(60));
    let first = ai.clone().oneshot(chat(false)).await.unwrap();
    assert_eq!(served_by(&first), "backup");
    assert_eq!(primary.counts().requests, 1);
}

#[tokio::test]
async fn closed_port_opens_breaker_until_endpoint_is_back() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    let breaker = Endpoint::default_breaker()
        .consecutive_failures(3)
        .recovery_timeout(SECOND / 5);
    let ai = AiStack::builder()
        .endpoints([endpoint(&primary).breaker(breaker), endpoint(&backup)])
        .build()
        .unwrap();
    primary.cut_off();
    for _ in 0..10 {
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "backup");
        read(response).await.unwrap();
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Open);

    primary.restore().await.unwrap();
    tokio::time::sleep(SECOND / 4).await;
    for _ in 0..5 {
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "primary");
        read(response).await.unwrap();
    }
    assert_eq!(status_of(&ai, "primary").breaker, BreakerState::Closed);
}

#[tokio::test]
async fn all_endpoints_down_error_names_each_endpoint() {
    let [a, b] = upstreams(["a", "b"]).await;
    let ai = stack([&a, &b]).retry(quick_retry()).build().unwrap();
    a.cut_off();
    b.cut_off();
    let error = ai.send(chat(false)).await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`a`: connection refused") && text.contains("`b`: connection refused"),
        "{text}"
    );
    assert_eq!(error_response(&error).status(), 502);
    assert_idle(&ai);
}
