//! Streams, and their timing.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use steadfast_testkit::{Dialect, Reply};
use tokio::time::Instant;

use crate::support::{both, contents, events, header, http1, send, status, stream, text, upstream};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn stream_has_role_text_finish_reason_and_end() {
    let upstream = upstream().await;
    upstream.set(Reply::ok().chunks(4));
    for http in both() {
        let answer = stream(&http, &upstream).await;
        assert_eq!(status(&answer), 200);
        assert_eq!(header(&answer, "content-type"), "text/event-stream");
        assert_eq!(header(&answer, "x-upstream"), "primary");

        let text = text(answer).await;
        let events = events(&text);
        assert_eq!(events.len(), 6);
        assert_eq!(events[0]["choices"][0]["delta"]["role"], "assistant");
        assert_eq!(events[0]["choices"][0]["delta"]["content"], "");
        assert_eq!(
            events[1]["choices"][0]["delta"]["content"],
            "Hello from primary."
        );
        assert_eq!(events[5]["choices"][0]["finish_reason"], "stop");
        assert_eq!(events[5]["usage"]["completion_tokens"], 4);
        assert_eq!(contents(&text), 4);
        assert!(text.ends_with("data: [DONE]\n\n"));
    }
    assert_eq!(upstream.counts().streams_completed, 2);
}

#[tokio::test]
async fn completions_stream_and_embeddings_do_not() {
    let (upstream, http) = (upstream().await, http1());
    let body = json!({"stream": true, "input": "x"});
    let completion = text(send(&http, &upstream, "/completions", &body).await).await;
    assert_eq!(
        events(&completion)[0]["choices"][0]["text"],
        "Hello from primary."
    );
    let embedding = send(&http, &upstream, "/embeddings", &body).await;
    assert_eq!(header(&embedding, "content-type"), "application/json");
}

#[tokio::test(start_paused = true)]
async fn first_token_delay_follows_immediate_head() {
    let upstream = upstream().await;
    upstream.set(Reply::ok().first_token(20 * SECOND).chunk_delay(SECOND));
    for http in both() {
        let start = Instant::now();
        let mut body = stream(&http, &upstream).await.expect("a head").into_body();
        let frame = body.frame().await.expect("a chunk").expect("no error");
        assert!(
            frame
                .data_ref()
                .is_some_and(|data| contents(&text_of(data)) == 0)
        );
        assert_eq!(start.elapsed().as_secs(), 0);

        let frame = body.frame().await.expect("a chunk").expect("no error");
        assert!(
            frame
                .data_ref()
                .is_some_and(|data| contents(&text_of(data)) == 1)
        );
        assert_eq!(start.elapsed().as_secs(), 20);

        body.collect().await.expect("a clean end");
        assert_eq!(start.elapsed().as_secs(), 23);
    }
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.into()).expect("text")
}

#[tokio::test(start_paused = true)]
async fn comments_precede_first_token_and_fill_waits() {
    let (upstream, http) = (upstream().await, http1());
    upstream.next(Reply::ok().comments(5));
    let answer = text(stream(&http, &upstream).await).await;
    let (before, _) = answer.split_once("Hello").expect("visible text");
    assert_eq!(before.matches(": keep-alive\n\n").count(), 5);

    upstream.next(Reply::ok().first_token(10 * SECOND).keep_alive(3 * SECOND));
    let start = Instant::now();
    let answer = text(stream(&http, &upstream).await).await;
    assert_eq!(answer.matches(": keep-alive\n\n").count(), 3);
    assert_eq!(start.elapsed().as_secs(), 10);

    upstream.next(Reply::ok().stall_after(1).keep_alive(SECOND));
    let mut body = stream(&http, &upstream).await.expect("a head").into_body();
    for _ in 0..20 {
        assert!(body.frame().await.is_some_and(|frame| frame.is_ok()));
    }
}

#[tokio::test]
async fn stream_has_format_of_each_dialect() {
    let (upstream, http) = (upstream().await, http1());
    for (dialect, end) in [
        (Dialect::Anthropic, "message_stop"),
        (Dialect::Gemini, "\"finishReason\":\"STOP\""),
        (Dialect::OpenAi, "[DONE]"),
        (Dialect::OpenRouter, "[DONE]"),
        (Dialect::Responses, "response.completed"),
    ] {
        upstream.next(Reply::ok().dialect(dialect));
        let text = text(stream(&http, &upstream).await).await;
        assert!(text.contains("Hello from primary."), "{text}");
        assert!(text.contains(end), "{text}");
        assert!(
            events(&text)
                .iter()
                .all(|event| event.get("error").is_none_or(Value::is_null))
        );
    }
}
