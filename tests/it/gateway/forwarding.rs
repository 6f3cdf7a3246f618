//! Forwarding: requests, answers and failover through the gateway.

use http::{Request, StatusCode, Version};
use stack_tests::upstreams;
use steadfast_testkit::{Hint, Reply, Upstream};

use super::{
    CHAT, Gateway, MINUTE, REQUEST, body_of, endpoint_table, header, http2_connection, json, text,
};

#[tokio::test]
async fn request_arrives_unchanged() {
    let upstream = Upstream::start().await.unwrap();
    let gateway = Gateway::over(&[&upstream]).await;
    let request = Request::post(gateway.url("/v1/embeddings?user=a%20b"))
        .header("content-type", "application/json; charset=utf-8")
        .header("x-request-id", "7")
        .header("expect", "100-continue")
        .header("connection", "x-private")
        .header("x-private", "1");
    let body = r#"{ "model":"m",  "input":"hé" }"#;
    let answer = gateway.send(request.body(body_of(body)).unwrap()).await;

    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-steadfast-attempts"));
    let received = &upstream.log()[0];
    assert_eq!(received.path_and_query, "/v1/embeddings?user=a%20b");
    assert_eq!(received.body, body);
    assert_eq!(
        received.header("content-type"),
        Some("application/json; charset=utf-8")
    );
    assert_eq!(received.header("x-request-id"), Some("7"));
    assert_eq!(received.header("x-private"), None);
    assert_eq!(
        received.header("expect"),
        None,
        "the gateway has answered it"
    );
    assert_eq!(
        received.header("host"),
        Some(&*upstream.addr().to_string()),
        "the host of the endpoint"
    );
}

#[tokio::test]
async fn answer_passes_without_hop_by_hop_headers() {
    let upstream = Upstream::start().await.unwrap();
    let headers = [
        ("connection", "x-private"),
        ("x-private", "1"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("x-request-id", "7"),
    ];
    upstream.next(Reply::raw(418, headers, "short and stout"));
    let gateway = Gateway::over(&[&upstream]).await;
    let answer = gateway.get("/v1/models").await;

    assert_eq!(answer.status(), 418);
    assert_eq!(answer.headers()["x-request-id"], "7");
    for name in [
        "connection",
        "x-private",
        "keep-alive",
        "proxy-authenticate",
    ] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    assert_eq!(text(answer).await, "short and stout");
}

/// A client would trust the name of an endpoint that an upstream chose.
#[tokio::test]
async fn forged_headers_of_upstream_are_removed() {
    let upstream = Upstream::start().await.unwrap();
    upstream.set(
        Reply::ok()
            .header("x-steadfast-endpoint", "forged")
            .header("x-steadfast-attempts", "1000")
            .header("x-steadfast-redirect", "forged"),
    );
    let gateway = Gateway::over(&[&upstream]).await;
    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 200);
    let mut names = answer.headers().keys();
    let forged = names.find(|name| name.as_str().starts_with("x-steadfast-"));
    assert_eq!(forged, None);
}

#[tokio::test]
async fn redirect_passes_as_not_followed_and_fails_generation() {
    let [first, second] = upstreams(["first", "second"]).await;
    let location = [("location", "http://127.0.0.1:1/elsewhere")];
    first.set(Reply::raw(307, location, "moved"));
    let gateway = Gateway::over(&[&first, &second]).await;
    let answer = gateway.get("/v1/models").await;
    assert_eq!(answer.status(), 307);
    assert_eq!(header(&answer, "x-steadfast-redirect"), "not-followed");

    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "x-steadfast-endpoint"), "second");

    second.set(Reply::raw(307, location, "moved"));
    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 502);
    assert!(!answer.headers().contains_key("location"));
    let text = json(answer).await["error"]["message"].to_string();
    assert!(
        text.contains("redirect 307, which is not followed"),
        "{text}"
    );
}

#[tokio::test]
async fn http2_client_for_other_authority_reaches_http1_endpoint() {
    let upstream = Upstream::start().await.unwrap();
    let endpoint = endpoint_table("a", &upstream.url());
    let gateway = Gateway::with("hosts = ['api.example.test']\n", &endpoint).await;
    let (mut sender, _connection) = http2_connection(&gateway).await;

    let request = Request::post(format!("http://api.example.test{CHAT}"));
    let answer = sender
        .send_request(request.body(body_of(REQUEST)).unwrap())
        .await;
    let answer = answer.unwrap();
    assert_eq!(
        (answer.status(), answer.version()),
        (StatusCode::OK, Version::HTTP_2)
    );
    let received = &upstream.log()[0];
    assert_eq!(received.version, Version::HTTP_11);
    assert_eq!(received.path(), CHAT);
    assert!(!received.contains("example.test"), "{:?}", received.headers);
}

#[tokio::test]
async fn endpoint_receives_own_key_and_no_callers_secret() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    // Only unsafe code can set variables. Cargo sets this one for all tests.
    const KEY: &str = env!("CARGO_PKG_NAME");
    let config = format!(
        "{}api_key_env = 'CARGO_PKG_NAME'\n{}",
        endpoint_table("first", &first.url()),
        endpoint_table("second", &second.url()),
    );
    let gateway = Gateway::start(&config).await;
    let request = Request::post(gateway.url(&format!("{CHAT}?key=callers-secret&a=1")))
        .header("authorization", "Bearer callers-secret")
        .header("x-api-key", "callers-secret")
        .header("api-key", "callers-secret")
        .header("x-goog-api-key", "callers-secret")
        .header("cookie", "session=callers-secret")
        .header("proxy-authorization", "Basic callers-secret");
    let answer = gateway.send(request.body(body_of(REQUEST)).unwrap()).await;
    assert_eq!(answer.status(), 200);

    let (first, second) = (&first.log()[0], &second.log()[0]);
    assert_eq!(
        first.header("authorization"),
        Some(&*format!("Bearer {KEY}"))
    );
    assert_eq!(second.header("authorization"), None);
    assert!(!second.contains(KEY), "the key of the first endpoint");
    for received in [first, second] {
        assert!(!received.contains("callers-secret"), "{received:?}");
        assert_eq!(received.path_and_query, format!("{CHAT}?a=1"));
    }
}

// ===== Failover =====

#[tokio::test]
async fn limited_endpoint_fails_over_and_answer_names_attempts() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.next(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let answer = gateway.post(CHAT, REQUEST).await;

    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-upstream"], "second");
    assert_eq!(answer.headers()["x-steadfast-attempts"], "2");
    assert_eq!(answer.headers()["x-steadfast-endpoint"], "second");
    assert_eq!(first.log()[0].body, second.log()[0].body);

    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 200);
    assert!(!answer.headers().contains_key("x-steadfast-attempts"));
    assert_eq!(first.counts().requests, 1, "the first endpoint cools");
}

/// The gateway holds the body in memory, so it can be sent again.
#[tokio::test]
async fn large_body_fails_over() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.set(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let body = format!(
        r#"{{"model":"m","messages":[],"pad":"{}"}}"#,
        "x".repeat(2 << 20)
    );
    let answer = gateway.post(CHAT, &body).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["x-upstream"], "second");
    assert_eq!(second.log()[0].body, body);
}

#[tokio::test]
async fn all_endpoints_limited_passes_last_answer_with_hint() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.set(Reply::rate_limited(Hint::RetryAfter(2 * MINUTE)));
    second.set(Reply::rate_limited(Hint::RetryAfter(MINUTE)));
    let gateway = Gateway::over(&[&first, &second]).await;
    let answer = gateway.post(CHAT, REQUEST).await;

    assert_eq!(answer.status(), 429);
    assert_eq!(answer.headers()["retry-after"], "60");
    assert_eq!(answer.headers()["x-steadfast-attempts"], "2");
    assert_eq!(answer.headers()["x-steadfast-endpoint"], "second");
    assert!(json(answer).await["error"]["message"].is_string());

    // Both endpoints cool, so the stack returns its own error.
    let answer = gateway.post(CHAT, REQUEST).await;
    assert_eq!(answer.status(), 429);
    let wait: u64 = header(&answer, "retry-after").parse().unwrap();
    assert!((59..=60).contains(&wait), "{wait}");
    assert_eq!(json(answer).await["error"]["code"], "rate_limit_exceeded");
}

#[tokio::test]
async fn all_endpoints_down_returns_json_error_with_trail() {
    let [first, second] = upstreams(["first", "second"]).await;
    let gateway = Gateway::over(&[&first, &second]).await;
    first.cut_off();
    second.cut_off();
    let answer = gateway.post(CHAT, REQUEST).await;

    assert_eq!(answer.status(), 502);
    let attempts: u32 = header(&answer, "x-steadfast-attempts").parse().unwrap();
    assert!(attempts >= 2, "{attempts}");
    let error = &json(answer).await["error"];
    assert_eq!(error["code"], "connect");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("`second`: connection refused")
    );
}
