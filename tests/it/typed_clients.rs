//! The clients of other crates over a stack: one endpoint is limited, one dies, one is healthy.

use async_openai::config::OpenAIConfig;
use async_openai::error::OpenAIError;
use async_openai::types::chat::{
    ChatCompletionRequestUserMessageArgs, CreateChatCompletionRequest,
    CreateChatCompletionRequestArgs,
};
use async_openai::types::embeddings::CreateEmbeddingRequestArgs;
use async_openai::types::responses::CreateResponseArgs;
use futures_util::StreamExt;
use serde_json::json;
use stack_tests::{assert_idle, rate_limited, stack, upstreams};
use steadfast::reqwest::{RequestBuilderExt, Transport};
use steadfast::{AiStack, Exhausted, async_openai as adapter};
use steadfast_testkit::{Dialect, Reply, Upstream};

use crate::gateway::Gateway;

fn chat() -> CreateChatCompletionRequest {
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content("Hi")
        .build();
    CreateChatCompletionRequestArgs::default()
        .model("m")
        .messages([message.expect("a message").into()])
        .build()
        .expect("a request")
}

/// Starts a limited, a dying and a healthy upstream, and a stack over them.
async fn troubled() -> ([Upstream; 3], AiStack) {
    let upstreams = upstreams(["limited", "dying", "healthy"]).await;
    upstreams[0].set(rate_limited(60));
    upstreams[1].set(Reply::reset());
    let ai = stack(&upstreams).build().expect("a stack");
    (upstreams, ai)
}

/// Asserts that each upstream got at most one attempt of the last call.
fn assert_not_multiplied(upstreams: &[Upstream]) {
    for upstream in upstreams {
        assert!(upstream.counts().requests <= 1, "{}", upstream.name());
    }
}

#[tokio::test]
async fn typed_call_fails_over_to_healthy_endpoint() {
    let (upstreams, ai) = troubled().await;
    let answer = adapter::client(ai.clone())
        .chat()
        .create(chat())
        .await
        .expect("an answer");
    let text = answer.choices[0].message.content.as_deref();
    assert!(
        text.is_some_and(|text| text.starts_with("Hello from healthy")),
        "{text:?}"
    );
    assert_not_multiplied(&upstreams);
    assert_eq!(
        upstreams[2].log()[0].header("authorization"),
        None,
        "the placeholder is removed"
    );
    assert_idle(&ai);
}

#[tokio::test]
async fn typed_stream_fails_over_before_first_token() {
    let (upstreams, ai) = troubled().await;
    upstreams[1].set(Reply::ok().cut_after(0));
    let client = adapter::client(ai.clone());
    let mut stream = client.chat().create_stream(chat()).await.expect("a stream");
    let mut text = String::new();
    while let Some(chunk) = stream.next().await {
        let choices = chunk.expect("a chunk").choices;
        text.extend(
            choices
                .into_iter()
                .filter_map(|choice| choice.delta.content),
        );
    }
    assert!(text.starts_with("Hello from healthy"), "{text}");
    assert_not_multiplied(&upstreams);
    drop(stream);
    assert_idle(&ai);
}

#[tokio::test]
async fn stream_that_breaks_late_ends_with_typed_error() {
    let (upstreams, ai) = troubled().await;
    upstreams[1].set(Reply::ok().cut_after(2));
    let client = adapter::client(ai);
    let mut stream = client.chat().create_stream(chat()).await.expect("a stream");
    let mut last = None;
    while let Some(chunk) = stream.next().await {
        last = Some(chunk);
    }
    assert!(
        matches!(last, Some(Err(OpenAIError::StreamError(_)))),
        "{last:?}"
    );
    assert_eq!(
        upstreams[2].counts().requests,
        0,
        "a reader has seen tokens"
    );
}

/// The client of another process sees only what the gateway sends.
#[tokio::test]
async fn stream_that_breaks_behind_gateway_ends_with_typed_error() {
    let [dying] = upstreams(["dying"]).await;
    dying.set(Reply::ok().cut_after(2));
    let gateway = Gateway::over(&[&dying]).await;
    let config = OpenAIConfig::new()
        .with_api_base(gateway.url("/v1"))
        .with_api_key("unused");
    let client = async_openai::Client::with_config(config);
    let stream = client.chat().create_stream(chat()).await.expect("a stream");
    let chunks: Vec<_> = stream.collect().await;
    let errors: Vec<_> = chunks
        .iter()
        .filter_map(|chunk| chunk.as_ref().err())
        .collect();
    let Some(OpenAIError::JSONDeserialize(_, content)) = errors.first() else {
        panic!("the event is expected, got {errors:?}");
    };
    assert!(
        content.contains("the stream of dying broke after 2 tokens"),
        "{content}"
    );
}

#[tokio::test]
async fn embeddings_and_responses_fail_over() {
    let (upstreams, ai) = troubled().await;
    let client = adapter::client(ai);
    let request = CreateEmbeddingRequestArgs::default()
        .model("m")
        .input(["a", "b"])
        .build();
    let vectors = client
        .embeddings()
        .create(request.expect("a request"))
        .await;
    assert_eq!(vectors.expect("vectors").data.len(), 2);
    let text = json!({ "type": "output_text", "text": "Hello from healthy.", "annotations": [] });
    let message = json!({
        "type": "message", "id": "msg-1", "role": "assistant", "status": "completed",
        "content": [text],
    });
    let answer = json!({
        "id": "resp-1", "object": "response", "created_at": 1, "model": "m", "status": "completed",
        "output": [message],
    });
    let reply = Reply::ok().dialect(Dialect::Responses);
    upstreams[2].set(reply.body(answer.to_string()));
    let request = CreateResponseArgs::default()
        .model("m")
        .input("Hi")
        .store(false)
        .build();
    let answer = client.responses().create(request.expect("a request")).await;
    let text = answer.expect("an answer").output_text();
    assert!(text.is_some_and(|text| text.starts_with("Hello from healthy")));
}

#[tokio::test]
async fn refusal_of_all_endpoints_has_message_of_provider() {
    let (upstreams, ai) = troubled().await;
    for upstream in &upstreams {
        upstream.set(Reply::status(400).dialect(Dialect::OpenAi));
    }
    let error = adapter::client(ai).chat().create(chat()).await.unwrap_err();
    let OpenAIError::ApiError(error) = error else {
        panic!("the error of the API is expected, got {error:?}");
    };
    assert_eq!(error.status_code, 400);
    assert!(!error.api_error.message.is_empty());
    assert_not_multiplied(&upstreams);
}

#[tokio::test]
async fn call_without_any_answer_has_reasons_of_all_endpoints() {
    let (upstreams, ai) = troubled().await;
    for upstream in &upstreams {
        upstream.cut_off();
    }
    let error = adapter::client(ai).chat().create(chat()).await.unwrap_err();
    let exhausted = Exhausted::find(&error).expect("the reasons");
    assert!(exhausted.to_string().contains("healthy"), "{exhausted}");
}

#[tokio::test]
async fn reqwest_below_and_above_stack_fails_over() {
    let upstreams = upstreams(["limited", "dying", "healthy"]).await;
    upstreams[0].set(rate_limited(60));
    upstreams[1].set(Reply::reset());
    let http = reqwest::Client::new();
    let ai = stack(&upstreams).build_on(Transport::new(http.clone()));
    let ai = ai.expect("a stack");
    let request = http
        .post("http://stack/v1/chat/completions")
        .header("content-type", "application/json")
        .body(r#"{"model":"m","messages":[]}"#);
    let response = request.send_with(ai.clone()).await.expect("a response");
    assert_eq!(response.headers()["x-upstream"], "healthy");
    response.bytes().await.expect("a body");
    assert_not_multiplied(&upstreams);
    assert_idle(&ai);
}
