//! Whole answers, resets and silence.

use std::io::ErrorKind;
use std::time::Duration;

use http::Method;
use serde_json::json;
use steadfast_testkit::{Dialect, Hint, Reply};
use tokio::time::{Instant, timeout};

use crate::support::{body_json, both, chat, header, http1, http2, io_kind, request, send, status};
use crate::support::{text, upstream};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn chat_answer_names_upstream() {
    let upstream = upstream().await;
    for http in both() {
        let answer = chat(&http, &upstream).await;
        assert_eq!(status(&answer), 200);
        assert_eq!(header(&answer, "x-upstream"), "primary");
        assert_eq!(header(&answer, "content-type"), "application/json");

        let body = body_json(answer).await;
        assert_eq!(body["model"], "m@primary");
        let content = &body["choices"][0]["message"]["content"];
        assert_eq!(content, "Hello from primary. Chunk 1. Chunk 2.");
        assert_eq!(body["usage"]["completion_tokens"], 3);
    }
}

#[tokio::test]
async fn other_api_paths_are_served() {
    let (upstream, http) = (upstream().await, http1());

    let body = json!({"model": "m", "prompt": "p"});
    let completion = body_json(send(&http, &upstream, "/completions", &body).await).await;
    assert_eq!(completion["object"], "text_completion");

    let body = json!({"model": "m", "input": ["one", "two"]});
    let embeddings = body_json(send(&http, &upstream, "/embeddings", &body).await).await;
    assert_eq!(embeddings["data"][1]["index"], 1);

    let url = format!("{}/models", upstream.url());
    let models = http.request(request(Method::GET, url, &json!(null))).await;
    assert_eq!(body_json(models).await["data"][0]["owned_by"], "primary");
}

#[tokio::test]
async fn unknown_path_gets_404_of_openai() {
    let (upstream, http) = (upstream().await, http1());
    let answer = send(&http, &upstream, "/elsewhere", &json!({})).await;
    assert_eq!(status(&answer), 404);
    assert_eq!(body_json(answer).await["error"]["code"], "unknown_url");

    let url = format!("{}/models", upstream.origin());
    let answer = http.request(request(Method::GET, url, &json!({}))).await;
    assert_eq!(status(&answer), 404);
}

#[tokio::test]
async fn reply_with_dialect_answers_any_path() {
    let (upstream, http) = (upstream().await, http1());
    for (dialect, pointer) in [
        (Dialect::Anthropic, "/content/0/text"),
        (Dialect::Gemini, "/candidates/0/content/parts/0/text"),
        (Dialect::OpenAi, "/choices/0/message/content"),
        (Dialect::OpenRouter, "/choices/0/message/content"),
        (Dialect::Responses, "/output/0/content/0/text"),
    ] {
        upstream.set(Reply::ok().dialect(dialect).chunks(1));
        let body = body_json(send(&http, &upstream, "/any", &json!({})).await).await;
        assert_eq!(body.pointer(pointer), Some(&json!("Hello from primary.")));
    }
}

#[tokio::test]
async fn status_has_error_body_of_dialect() {
    let (upstream, http) = (upstream().await, http1());
    for (reply, code, pointer, expected) in [
        (Reply::status(500), 500, "/error/type", "server_error"),
        (Reply::status(401), 401, "/error/code", "invalid_api_key"),
        (
            Reply::status(529).dialect(Dialect::Anthropic),
            529,
            "/error/type",
            "overloaded_error",
        ),
        (
            Reply::status(503).dialect(Dialect::Gemini),
            503,
            "/error/status",
            "UNAVAILABLE",
        ),
    ] {
        upstream.next(reply);
        let answer = chat(&http, &upstream).await;
        assert_eq!(status(&answer), code);
        let body = body_json(answer).await;
        assert_eq!(body.pointer(pointer), Some(&json!(expected)));
    }
}

#[tokio::test]
async fn spent_quota_differs_from_rate_limit_by_body() {
    let (upstream, http) = (upstream().await, http1());
    for (dialect, code, expected) in [
        (Dialect::OpenAi, 429, "insufficient_quota"),
        (Dialect::Anthropic, 429, "enforced_spend_limit_reached"),
        (Dialect::Gemini, 429, "PerDay"),
        (Dialect::OpenRouter, 402, "Insufficient credits"),
    ] {
        upstream.next(Reply::quota_spent(dialect));
        let answer = chat(&http, &upstream).await;
        assert_eq!(status(&answer), code);
        assert!(text(answer).await.contains(expected));
    }
}

#[tokio::test]
async fn each_hint_reaches_client() {
    let upstream = upstream().await;
    for http in both() {
        for hint in Hint::all(30 * SECOND) {
            upstream.next(Reply::rate_limited(hint));
            let answer = chat(&http, &upstream).await;
            assert_eq!(status(&answer), 429);
            let headers = format!("{:?}", answer.as_ref().map(|answer| answer.headers()));
            assert_eq!(
                headers.matches("\"date\"").count(),
                1,
                "one clock: {headers}"
            );
            let body = text(answer).await;
            assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok());
        }
    }
}

#[tokio::test]
async fn raw_reply_is_sent_unchanged() {
    let upstream = upstream().await;
    for http in both() {
        let headers = [
            ("content-type", "text/html"),
            ("x-twice", "1"),
            ("x-twice", "2"),
        ];
        upstream.next(Reply::raw(502, headers, "<html>"));
        let answer = chat(&http, &upstream).await;
        assert_eq!(status(&answer), 502);
        let twice = answer
            .as_ref()
            .map(|answer| answer.headers().get_all("x-twice").iter().count());
        assert_eq!(twice.ok(), Some(2));
        assert_eq!(header(&answer, "content-type"), "text/html");
        assert_eq!(text(answer).await, "<html>");
    }
}

#[tokio::test(start_paused = true)]
async fn latency_delays_head() {
    let upstream = upstream().await;
    upstream.set(Reply::ok().latency(30 * SECOND));
    for http in both() {
        let start = Instant::now();
        assert_eq!(status(&chat(&http, &upstream).await), 200);
        assert_eq!(start.elapsed().as_secs(), 30);
    }
}

#[tokio::test]
async fn reset_is_socket_error_before_head() {
    let upstream = upstream().await;
    for http in both() {
        upstream.next(Reply::reset());
        let error = chat(&http, &upstream).await.expect_err("a reset");
        assert!(!error.is_connect(), "{error:?}");
        assert_eq!(
            io_kind(&error),
            Some(ErrorKind::ConnectionReset),
            "{error:?}"
        );
        assert_eq!(upstream.connections(), 0);
        assert_eq!(status(&chat(&http, &upstream).await), 200);
    }
    assert_eq!(upstream.counts().connections, 4);
}

/// One stream of an HTTP/2 connection is reset, and the others go down with it.
#[tokio::test]
async fn reset_closes_whole_connection() {
    let (upstream, http) = (upstream().await, http2());
    upstream.script([Reply::silence(), Reply::reset()]);
    let (one, two) = (http.clone(), upstream.clone());
    let silent = tokio::spawn(async move { chat(&one, &two).await });
    upstream.wait_for_requests(1).await;

    assert!(chat(&http, &upstream).await.is_err());
    assert!(silent.await.expect("no panic").is_err());
    assert_eq!(upstream.counts().connections, 1);
}

#[tokio::test(start_paused = true)]
async fn silent_upstream_never_answers() {
    let upstream = upstream().await;
    for http in both() {
        upstream.next(Reply::silence());
        let answer = timeout(86_400 * SECOND, chat(&http, &upstream)).await;
        assert!(answer.is_err());
    }
    assert_eq!(upstream.counts().requests, 2);
    assert!(upstream.counts().answers.is_empty());
}

#[test]
#[should_panic(expected = "an answer cannot have the status 101")]
fn informational_status_panics() {
    let _ = Reply::status(101);
}

#[test]
#[should_panic(expected = "is no header value")]
fn malformed_header_panics() {
    let _ = Reply::ok().header("x-name", "two\nlines");
}
