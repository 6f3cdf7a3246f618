//! Whole answers.

use serde_json::{Value, json};
use std::time::Duration;
use steadfast::AiStack;
use steadfast_chat::{ChatCall, ChatClient, Message};
use steadfast_testkit::{Hint, Reply, Upstream};

use crate::support::{client, client_over};

fn sent(upstream: &Upstream) -> Value {
    let log = upstream.log();
    let last = log.last().expect("a request");
    assert_eq!(last.path(), "/v1/chat/completions");
    assert_eq!(last.header("content-type"), Some("application/json"));
    serde_json::from_slice(&last.body).expect("JSON")
}

#[tokio::test]
async fn call_without_options_has_defaults_of_the_reference() {
    let (client, [upstream]) = client(["primary"]).await;
    let answer = client.chat_completion("m", "Hi").await.expect("an answer");
    assert!(!answer.text().is_empty());
    assert_eq!(answer.finish_reason(), Some("stop"));
    assert_eq!(answer.model(), Some("m@primary"));
    assert!(answer.usage().expect("counted").completion_tokens > 0);
    let expected = json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "Hi" }],
        "temperature": 0.7,
        "max_tokens": 1000,
    });
    assert_eq!(sent(&upstream), expected);
}

/// The base of the endpoint has the path `/v1`, which must not come twice.
#[tokio::test]
async fn request_root_of_the_stack_is_no_part_of_the_path() {
    for root in ["/v1", "/api", ""] {
        let builder = AiStack::builder().balance(|balance| balance.request_root(root));
        let (client, [upstream]) = client_over(builder, ["primary"]).await;
        client.chat_completion("m", "Hi").await.expect("an answer");
        sent(&upstream);
    }
}

#[tokio::test]
async fn options_and_tools_are_sent_as_given() {
    let (client, [upstream]) = client(["primary"]).await;
    let tools = json!([{ "type": "function", "function": { "name": "f", "parameters": {} } }]);
    let messages = [
        Message::system("s"),
        Message::user(json!([{ "type": "text", "text": "t" }])),
        json!({ "role": "assistant", "tool_calls": [] }).into(),
        Message::tool("c1", "42"),
    ];
    let call = client
        .chat_completion("m", messages)
        .temperature(0.2)
        .max_tokens(5);
    let call = call
        .tools(tools.clone())
        .field("seed", 7)
        .without("max_tokens");
    call.await.expect("an answer");
    let expected = json!({
        "model": "m",
        "messages": [
            { "role": "system", "content": "s" },
            { "role": "user", "content": [{ "type": "text", "text": "t" }] },
            { "role": "assistant", "tool_calls": [] },
            { "role": "tool", "tool_call_id": "c1", "content": "42" },
        ],
        "temperature": 0.2,
        "tools": tools,
        "seed": 7,
    });
    assert_eq!(sent(&upstream), expected);
}

#[tokio::test]
async fn limited_endpoint_fails_over_and_trail_names_both() {
    let (client, [primary, _backup]) = client(["primary", "backup"]).await;
    primary.set(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        60,
    ))));
    let answer = client.chat_completion("m", "Hi").await.expect("an answer");
    let trail = answer.trail().to_string();
    assert_eq!(trail, "primary: rate_limited (429), backup: success (200)");
}

#[tokio::test]
async fn calls_of_tools_are_returned() {
    let (client, [upstream]) = client(["primary"]).await;
    let call =
        json!({ "id": "c", "type": "function", "function": { "name": "f", "arguments": "{}" } });
    let message = json!({ "role": "assistant", "content": null, "tool_calls": [call] });
    let body = json!({
        "object": "chat.completion",
        "choices": [{ "index": 0, "message": message, "finish_reason": "tool_calls" }],
    });
    upstream.set(Reply::raw(
        200,
        [("content-type", "application/json")],
        body.to_string(),
    ));
    let answer = client.chat_completion("m", "Hi").await.expect("an answer");
    assert_eq!(answer.tool_calls(), [call]);
    assert_eq!((answer.text(), answer.usage()), ("", None));
    assert_eq!(answer.message(), &message);
}

#[tokio::test]
async fn json_is_sent_to_any_operation() {
    let (client, [_upstream]) = client(["primary"]).await;
    let body = json!({ "model": "m", "input": ["a", "b"] });
    let answer: Value = client
        .send_json("/v1/embeddings", &body)
        .await
        .expect("an answer");
    assert_eq!(answer["data"].as_array().map(Vec::len), Some(2));
    let error = client
        .send_json::<Vec<u8>>("/v1/embeddings", &body)
        .await
        .expect_err("another type");
    assert_eq!(error.status(), 502);
    assert!(
        error.to_string().contains("primary: success (200)"),
        "{error}"
    );
    let error = client
        .send_json::<Value>("no path", &body)
        .await
        .expect_err("no URI");
    assert_eq!(error.status(), 400);
}

#[test]
fn types_of_a_call_can_move_between_threads() {
    fn check<T: Send + Sync>() {}
    fn is_send<T: Send>() {}
    check::<ChatClient>();
    is_send::<ChatCall>();
    is_send::<<ChatCall as IntoFuture>::IntoFuture>();
}
