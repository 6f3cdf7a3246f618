//! Requests go to the endpoints that take their format, over real sockets.

use http::{Method, Request, StatusCode};
use serde_json::Value;
use steadfast::models::Route;
use steadfast::{AiStack, Endpoint, Provider, RequestExt, RoutingOptions};
use steadfast_testkit::{Reply, Upstream};

use crate::support::{post, text};

/// Starts an upstream that answers in each format, and returns its endpoint.
async fn endpoint(name: &str, formats: &[&str]) -> (Upstream, Endpoint) {
    let upstream = Upstream::start().await.expect("a free port").named(name);
    let json = [("content-type", "application/json"), ("x-upstream", name)];
    upstream.set(Reply::raw(
        200,
        json,
        r#"{"content":[],"choices":[],"data":[],"output":[]}"#,
    ));
    let endpoint = Endpoint::new(name, &upstream.url()).expect("a URL");
    (upstream, endpoint.formats(formats.iter().copied()))
}

/// Starts an upstream for each endpoint, and a stack over them.
async fn stack<const N: usize>(
    endpoints: [(&str, &[&str]); N],
    routes: impl IntoIterator<Item = Route>,
) -> ([Upstream; N], AiStack) {
    let mut upstreams = Vec::new();
    let mut builder = AiStack::builder();
    for (name, formats) in endpoints {
        let (upstream, endpoint) = endpoint(name, formats).await;
        builder = builder.endpoint(endpoint);
        upstreams.push(upstream);
    }
    let builder = routes
        .into_iter()
        .fold(builder, |all, route| all.route(route));
    let upstreams = upstreams.try_into().expect("as many as names");
    (upstreams, builder.build().expect("a stack"))
}

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";
const BODY: &str = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;

#[tokio::test]
async fn request_goes_to_endpoints_of_its_format() {
    let (upstreams, ai) = stack(
        [
            ("openai", &["chat_completions"]),
            ("anthropic", &["messages"]),
            ("any", &[]),
        ],
        [],
    )
    .await;
    let by = async |path: &str| {
        let response = ai.send(post(path, BODY)).await.expect("an answer");
        assert_eq!(response.status(), 200);
        response.headers()["x-upstream"]
            .to_str()
            .expect("text")
            .to_owned()
    };
    assert_eq!(by(CHAT).await, "openai");
    assert_eq!(by(MESSAGES).await, "anthropic");
    assert_eq!(
        by("/v1/moderations").await,
        "openai",
        "a path without a format"
    );
    let [openai, anthropic, _] = &upstreams;
    openai.set(Reply::status(503));
    anthropic.set(Reply::status(503));
    assert_eq!(by(CHAT).await, "any");
    assert_eq!(by(MESSAGES).await, "any");
    assert_eq!(upstreams.each_ref().map(|it| it.log().len()), [3, 2, 2]);
}

/// The failover of a request ends with its format.
#[tokio::test]
async fn failed_request_does_not_move_to_another_format() {
    let endpoints: [(&str, &[&str]); 2] = [("a", &["messages"]), ("b", &["chat_completions"])];
    let ([a, b], ai) = stack(endpoints, []).await;
    a.set(Reply::status(503));
    let response = ai.send(post(MESSAGES, BODY)).await;
    assert!(response.is_err() || response.is_ok_and(|it| it.status() == 503));
    assert!(!a.log().is_empty());
    ai.endpoints().disable("a").expect("a known name");
    let error = ai.send(post(MESSAGES, BODY)).await.expect_err("disabled");
    let reasons = "`a` is disabled; `b` is excluded by the request";
    assert!(error.to_string().contains(reasons), "{error}");
    assert_eq!(b.log().len(), 0);
}

#[tokio::test]
async fn format_of_no_endpoint_is_answered_without_a_request() {
    let endpoints: [(&str, &[&str]); 2] = [
        ("a", &["chat_completions", "responses"]),
        ("b", &["embeddings"]),
    ];
    let ([a, b], ai) = stack(endpoints, []).await;
    let answer = async |path: &str| {
        let response = ai.send(post(path, BODY)).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert_eq!(response.headers()["x-should-retry"], "false");
        serde_json::from_str::<Value>(&text(response).await).expect("JSON")
    };
    let body = answer(MESSAGES).await;
    let message = "no endpoint takes the format `messages` of this path: `a` takes chat_completions, responses; \
        `b` takes embeddings";
    assert_eq!(body["error"]["message"], message);
    assert_eq!(
        (&body["type"], &body["error"]["type"]),
        (&"error".into(), &"not_found_error".into())
    );
    let body = answer("/v1/completions").await;
    assert_eq!(body["error"]["code"], "unsupported_format");
    assert_eq!(body["error"]["type"], "invalid_request_error");
    let body = answer("/v1beta/models/m:generateContent").await;
    assert_eq!(
        (&body["error"]["code"], &body["error"]["status"]),
        (&404.into(), &"NOT_FOUND".into())
    );
    assert_eq!((a.log().len(), b.log().len()), (0, 0));
    assert_eq!(ai.snapshot().other_errors, 3, "{:?}", ai.snapshot());
}

/// A route or the options of a request may leave only endpoints of another format.
#[tokio::test]
async fn restriction_to_another_format_is_answered_without_a_request() {
    let endpoints: [(&str, &[&str]); 2] = [("a", &["chat_completions"]), ("b", &["messages"])];
    let (upstreams, ai) = stack(endpoints, [Route::new("fast").to("a", "m")]).await;
    let routed = post(MESSAGES, BODY.replace(r#""m""#, r#""fast""#));
    let pinned = post(MESSAGES, BODY).routing(RoutingOptions::new().only("a"));
    for request in [routed, pinned] {
        let response = ai.send(request).await.expect("an answer");
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        let body = text(response).await;
        assert!(
            body.contains("`a` takes chat_completions") && !body.contains("`b`"),
            "{body}"
        );
    }
    assert_eq!(upstreams.map(|it| it.log().len()), [0, 0]);
}

/// Otherwise a batch of messages would be created at the first endpoint, which has none.
#[tokio::test]
async fn stored_state_is_at_an_endpoint_of_its_format() {
    let endpoints: [(&str, &[&str]); 3] = [
        ("a", &["responses"]),
        ("b", &["messages"]),
        ("c", &["messages"]),
    ];
    let ([a, b, c], ai) = stack(endpoints, []).await;
    for method in [Method::POST, Method::GET] {
        let mut request = post("/v1/messages/batches", "{}");
        *request.method_mut() = method;
        ai.send(request).await.expect("an answer");
    }
    assert_eq!([a, b, c].map(|it| it.log().len()), [0, 2, 0]);
}

#[tokio::test]
async fn endpoint_that_is_added_brings_its_format() {
    let ([_a], ai) = stack([("a", &["chat_completions"] as &[&str])], []).await;
    assert_eq!(
        ai.send(post(MESSAGES, BODY))
            .await
            .expect("an answer")
            .status(),
        404
    );
    let (b, endpoint) = endpoint("b", &["messages"]).await;
    ai.endpoints().add(endpoint).expect("a new name");
    assert_eq!(
        ai.send(post(MESSAGES, BODY))
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(b.log().len(), 1);
}

#[test]
fn unknown_format_is_an_error_of_the_builder() {
    let endpoint = Endpoint::new("a", "http://127.0.0.1:9").expect("a URL");
    let error = AiStack::builder()
        .endpoint(endpoint.formats(["message"]))
        .build();
    let error = error.expect_err("a misspelt name");
    assert_eq!(error.field(), "endpoint.formats");
    assert!(error.to_string().contains("messages"), "{error}");
}

#[test]
fn provider_declares_its_formats() {
    for (provider, format, expected) in [
        (Provider::Anthropic, "messages", true),
        (Provider::Anthropic, "chat_completions", false),
        (Provider::OpenAi, "messages", false),
        (Provider::OpenAi, "responses", true),
        (Provider::Ollama, "messages", true),
        (Provider::OpenRouter, "messages", true),
        (Provider::GeminiNative, "generate_content", true),
        (Provider::Gemini, "generate_content", false),
    ] {
        let key = "sk-ant-sk-or-0123456789abcdef";
        let key = if provider == Provider::OpenRouter {
            &key[7..]
        } else {
            key
        };
        let endpoints = provider.endpoints([key]).expect("endpoints");
        assert_eq!(endpoints[0].takes(format), expected, "{provider} {format}");
    }
}

#[tokio::test]
async fn list_of_models_has_no_format() {
    let ([a], ai) = stack([("a", &["messages"] as &[&str])], []).await;
    let request = Request::get("/v1/models")
        .body(String::new())
        .expect("a request");
    ai.send(request).await.expect("an answer");
    assert_eq!(a.log().len(), 1);
}
