//! Rejections: callers after the first get the root cause, its code and the true time.

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::Value;
use stack_tests::{SECOND, endpoint, rate_limited, read, stack, upstreams};
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
    let mut paths = [CHAT, MESSAGES, "/v1/embeddings", "/v1/responses"]
        .iter()
        .cycle();
    let error = loop {
        let path = paths.next().expect("endless");
        let before = primary.counts().requests;
        let result = ai.send(post(path)).await;
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
