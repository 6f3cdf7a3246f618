//! Rejections: callers after the first get the root cause, its code and the true time.

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use stack_tests::{SECOND, endpoint, local_client, rate_limited, read, stack, upstreams};
use steadfast::{AiStack, BoxError, Exhausted};
use steadfast_testkit::{Dialect, Reply};

const CHAT: &str = "/v1/chat/completions";
const MESSAGES: &str = "/v1/messages";

fn post(path: &str) -> Request<Full<bytes::Bytes>> {
    let body = r#"{"model":"m","messages":[]}"#;
    Request::post(path).body(Full::from(body)).expect("valid")
}

/// Sends requests until the stack rejects one without an attempt.
async fn rejection(ai: &AiStack, path: &str) -> BoxError {
    for _ in 0..20 {
        match ai.send(post(path)).await {
            Ok(response) => drop(read(response).await),
            Err(error) => {
                let exhausted = Exhausted::find(&*error).expect("typed");
                if exhausted.trail().is_empty() {
                    return error;
                }
            }
        }
    }
    panic!("no rejection after 20 requests");
}

/// The status, `retry-after` and body of an answer.
async fn parts(response: Response<Full<bytes::Bytes>>) -> (u16, u64, Value) {
    let status = response.status().as_u16();
    let wait = response.headers()["retry-after"].to_str().expect("text");
    let wait = wait.parse().expect("seconds");
    let body = response.into_body().collect().await.expect("in memory");
    (
        status,
        wait,
        serde_json::from_slice(&body.to_bytes()).expect("JSON"),
    )
}

/// These callers got `503 rate_limited` for every reason.
#[tokio::test]
async fn caller_after_the_first_gets_root_cause_in_format_of_its_api() {
    for (reply, status, code, kind, clause) in [
        (
            rate_limited(60),
            429,
            "rate_limit_exceeded",
            "rate_limit_error",
            "after a 429",
        ),
        (
            Reply::quota_spent(Dialect::OpenAi),
            429,
            "insufficient_quota",
            "billing_error",
            "(spent quota)",
        ),
    ] {
        let [primary] = upstreams(["primary"]).await;
        primary.set(reply);
        let ai = stack([&primary]).build().unwrap();
        let error = rejection(&ai, CHAT).await;
        let (number, wait, body) = parts(ai.error_response(CHAT, &error)).await;
        assert_eq!(number, status);
        assert!((30..=1_800).contains(&wait), "{wait} s");
        assert_eq!(body["error"]["code"], code);
        let message = body["error"]["message"].as_str().expect("a message");
        assert!(message.contains("`primary` "), "{message}");
        assert!(message.contains(clause), "{message}");
        assert!(!message.contains("127.0.0.1"), "{message}");

        let (number, _, body) = parts(ai.error_response(MESSAGES, &error)).await;
        assert_eq!((number, &body["type"]), (status, &Value::from("error")));
        assert_eq!(body["error"]["type"], kind);
        assert_eq!(body["error"]["message"], message);
    }
}

#[tokio::test]
async fn rejected_credential_stays_401_for_all_callers() {
    let [primary] = upstreams(["primary"]).await;
    primary.set(Reply::status(401));
    let ai = AiStack::builder()
        .endpoint(endpoint(&primary).api_key(steadfast::ApiKey::new("own-key").unwrap()))
        .build()
        .unwrap();
    // Only different requests of one family count.
    let paths = [CHAT, MESSAGES, "/v1/embeddings", "/v1/responses"];
    let mut numbered = (0..).zip(paths.iter().cycle());
    let error = loop {
        let (n, path) = numbered.next().expect("endless");
        let before = primary.counts().requests;
        let body = format!(r#"{{"model":"m","messages":[],"seed":{n}}}"#);
        let request = Request::post(*path).body(Full::from(body)).expect("valid");
        let result = ai.send(request).await;
        match result {
            Ok(response) => {
                assert_eq!(response.status(), 401);
                assert!(before < 50, "no bench");
            }
            Err(error) => break error,
        }
    };
    let (status, wait, body) = parts(ai.error_response(CHAT, &error)).await;
    assert_eq!(
        (status, &body["error"]["code"]),
        (401, &Value::from("invalid_api_key"))
    );
    assert!(wait > 0);
    let text = body.to_string();
    assert!(
        !text.contains("own-key") && text.contains("`primary`"),
        "{text}"
    );
}

/// The dead backup is the noise of a fallback. The message names both.
#[tokio::test]
async fn timeout_before_dead_backup_is_504_and_names_both() {
    let [primary, backup] = upstreams(["primary", "backup"]).await;
    primary.set(Reply::silence());
    backup.cut_off();
    let mut timeouts = steadfast::Timeouts::DEFAULT;
    timeouts.total = SECOND / 5;
    let ai = stack([&primary, &backup])
        .timeouts(timeouts)
        .build()
        .unwrap();
    let error = ai.send(post(CHAT)).await.expect_err("no answer");
    let response = ai.error_response(CHAT, &error);
    assert_eq!(response.status(), 504);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["error"]["code"], "timeout");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("`primary`: no complete answer within 200 ms")
            && message.contains("`backup`: connection refused"),
        "{message}"
    );
}

/// The first caller gets the answer of an endpoint, with the time of the soonest one.
#[tokio::test]
async fn answer_of_limited_endpoint_has_time_of_soonest_endpoint() {
    let [first, second] = upstreams(["first", "second"]).await;
    first.set(rate_limited(50));
    second.set(rate_limited(500));
    let ai = stack([&first, &second]).build().unwrap();
    let response = ai.send(post(CHAT)).await.expect("the last answer");
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "50");
    let reasons = steadfast::Trail::of(response.extensions()).and_then(steadfast::Trail::reasons);
    let reasons = reasons.expect("the clause of each endpoint");
    assert!(
        reasons.starts_with("`first` cools for 50 s after a 429; `second` "),
        "{reasons}"
    );
}

/// A client as the SDK of OpenAI: two retries, `x-should-retry` first, a hint up to 60 s, otherwise
/// a backoff. Returns the status of the last answer.
async fn send_as_sdk(ai: &AiStack) -> u16 {
    let mut backoff = SECOND / 2;
    for retries_left in [2, 1, 0] {
        let (status, headers) = match ai.send(post(CHAT)).await {
            Ok(response) => (response.status(), response.headers().clone()),
            Err(error) => {
                let response = ai.error_response(CHAT, &error);
                (response.status(), response.headers().clone())
            }
        };
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let retries = status == 429 || status.is_server_error();
        if !retries || retries_left == 0 || text("x-should-retry") == Some("false") {
            return status.as_u16();
        }
        let hint = text("retry-after").and_then(|seconds| seconds.parse().ok());
        let hint = hint.filter(|seconds| (1..=60).contains(seconds));
        tokio::time::sleep(hint.map_or(backoff, std::time::Duration::from_secs)).await;
        backoff *= 2;
    }
    unreachable!("the last round returns")
}

/// The retries of a client times the attempts of the stack were 12 calls to a limited endpoint.
#[tokio::test(start_paused = true)]
async fn sdk_above_the_stack_does_not_multiply_attempts() {
    for (hint, calls) in [
        // The stack waits twice itself.
        ("1", 3),
        // Only a wait beyond 30 s helps, which the client does.
        ("40", 3),
        // No client waits for a day. Its retries are rejected without an attempt.
        ("86400", 1),
    ] {
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = sent.clone();
        let client = tower::service_fn(move |_: Request<steadfast::RequestBody>| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let limited = Response::builder().status(429).header("retry-after", hint);
            let response = limited.body(Full::<bytes::Bytes>::from("{}"));
            async move { Ok::<_, std::convert::Infallible>(response.expect("valid")) }
        });
        let endpoint = steadfast::Endpoint::new("a", "http://a.test").expect("valid");
        let ai = AiStack::builder()
            .endpoint(endpoint)
            .build_on(local_client(client))
            .unwrap();
        assert_eq!(send_as_sdk(&ai).await, 429);
        let sent = sent.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(sent, calls, "hint {hint}");
    }
}

/// Twenty clients waited for 73 s in the median, and one client for 15 s with 12 calls.
#[tokio::test(start_paused = true)]
async fn crowd_of_sdks_over_limited_endpoints_is_answered_soon() {
    for (callers, longest) in [(1, 5), (20, 10)] {
        let sent = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let count = sent.clone();
        let client = tower::service_fn(move |_: Request<steadfast::RequestBody>| {
            count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let limited = Response::builder().status(429).header("retry-after", "1");
            let response = limited.body(Full::<bytes::Bytes>::from("{}"));
            async move { Ok::<_, std::convert::Infallible>(response.expect("valid")) }
        });
        let endpoints = ["a", "b"].map(|name| {
            steadfast::Endpoint::new(name, &format!("http://{name}.test")).expect("valid")
        });
        let builder = endpoints
            .into_iter()
            .fold(AiStack::builder(), |builder, endpoint| {
                builder.endpoint(endpoint)
            });
        let ai = builder.build_on(local_client(client)).unwrap();
        let start = tokio::time::Instant::now();
        let all = (0..callers).map(|_| send_as_sdk(&ai));
        let statuses = futures_util::future::join_all(all).await;
        assert!(
            statuses.iter().all(|status| matches!(status, 429 | 503)),
            "{statuses:?}"
        );
        let (took, sent) = (
            start.elapsed(),
            sent.load(std::sync::atomic::Ordering::Relaxed),
        );
        assert!(took <= longest * SECOND, "{callers} callers: {took:?}");
        assert!(sent <= 4 * callers, "{callers} callers: {sent} calls");
    }
}
