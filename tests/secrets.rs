//! Secrets: who gets to see a credential, and where none may show up.

use http::Request;
use stack_tests::{chat, endpoint, limited, read, served_by, status_of, upstreams};
use steadfast::{AiStack, ApiKey};
use steadfast_testkit::{Reply, Upstream};

/// Every header and parameter that a caller may prove itself with.
fn with_credentials(request: Request<String>) -> Request<String> {
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

fn key(text: &str) -> ApiKey {
    ApiKey::new(text).unwrap()
}

#[tokio::test]
async fn no_endpoint_sees_the_callers_credentials_or_those_of_another() {
    let [a, b] = upstreams(["a", "b"]).await;
    a.set(limited(60));
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).api_key(key("key-of-a")))
        .endpoint(endpoint(&b).api_key(key("key-of-b")))
        .build()
        .unwrap();
    let response = ai.send(with_credentials(chat(false))).await.unwrap();
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
async fn an_endpoint_that_is_told_to_gets_the_callers_credentials() {
    let [a] = upstreams(["a"]).await;
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).pass_credentials(true))
        .build()
        .unwrap();
    ai.send(with_credentials(chat(false))).await.unwrap();
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
        "that was for the proxy"
    );
}

/// One caller with a wrong key must not take an endpoint away from the others.
#[tokio::test]
async fn a_callers_own_bad_key_benches_nothing() {
    let [a] = upstreams(["a"]).await;
    a.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).pass_credentials(true))
        .build()
        .unwrap();
    for _ in 0..10 {
        assert_eq!(
            ai.send(with_credentials(chat(false)))
                .await
                .unwrap()
                .status(),
            401
        );
    }
    assert_eq!(a.counts().requests, 10);
    assert!(status_of(&ai, "a").admissible);
}

#[tokio::test]
async fn an_endpoint_that_rejects_its_own_key_is_benched_after_three_times() {
    let [a, b]: [Upstream; 2] = upstreams(["a", "b"]).await;
    a.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).api_key(key("key-of-a")))
        .endpoint(endpoint(&b).api_key(key("key-of-b")))
        .build()
        .unwrap();
    for _ in 0..5 {
        let response = ai.send(chat(false)).await.unwrap();
        assert_eq!(served_by(&response), "b", "another credential may be good");
        read(response).await.unwrap();
    }
    assert_eq!(a.counts().requests, 3);
    assert!(status_of(&ai, "a").cooling.is_some());
}

/// Google says `400` for a key that is none.
#[tokio::test]
async fn an_endpoint_that_rejects_its_own_key_with_400_is_benched_too() {
    let [a, b] = upstreams(["a", "b"]).await;
    let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT","details":[{"reason":"API_KEY_INVALID"}]}}"#;
    a.set(Reply::raw(
        400,
        [("content-type", "application/json")],
        body,
    ));
    let ai = AiStack::builder()
        .endpoint(endpoint(&a).api_key(key("key-of-a")))
        .endpoint(endpoint(&b).api_key(key("key-of-b")))
        .build()
        .unwrap();
    for _ in 0..5 {
        assert_eq!(served_by(&ai.send(chat(false)).await.unwrap()), "b");
    }
    assert_eq!(a.counts().requests, 3);
    assert!(status_of(&ai, "a").cooling.is_some());
}

#[tokio::test]
async fn nothing_that_is_printed_shows_a_key() {
    let [a] = upstreams(["a"]).await;
    let builder = AiStack::builder().endpoint(endpoint(&a).api_key(key("key-of-a")));
    let mut shown = format!("{builder:?}");
    let ai = builder.build().unwrap();
    a.cut_off();
    let error = ai.send(with_credentials(chat(false))).await.unwrap_err();
    shown += &format!("{ai:?} {error:?} {error} {:?}", ai.status());
    let response = steadfast::error_response(&error);
    shown += &format!("{response:?}");
    assert!(
        !shown.contains("key-of-a") && !shown.contains("caller-secret"),
        "{shown}"
    );
}
