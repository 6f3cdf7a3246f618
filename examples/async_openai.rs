//! The client of `async-openai` over a stack: one endpoint is limited, one breaks its streams.
//!
//! ```text
//! cargo run --example async_openai
//! ```

use std::time::Duration;

use async_openai::error::OpenAIError;
use async_openai::types::chat::{
    ChatCompletionRequestMessage, ChatCompletionRequestUserMessageArgs,
    CreateChatCompletionRequest, CreateChatCompletionRequestArgs,
};
use async_openai::types::embeddings::CreateEmbeddingRequestArgs;
use futures_util::StreamExt;
use steadfast::{AiStack, BoxError, Endpoint, async_openai as adapter};
use steadfast_testkit::{Behavior, Hint, Reply, Upstream};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let limited = Upstream::start().await?;
    limited.set(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        30,
    ))));
    let dying = Upstream::start().await?;
    dying.set(Reply::ok().cut_after(0));
    let healthy = Upstream::start().await?.named("healthy");

    let ai = AiStack::builder()
        .endpoint(Endpoint::new("limited", &limited.url())?)
        .endpoint(Endpoint::new("dying", &dying.url())?)
        .endpoint(Endpoint::new("healthy", &healthy.url())?)
        .build()?;
    let client = adapter::client(ai.clone());

    let mut stream = client.chat().create_stream(chat()?).await?;
    print!("stream: ");
    while let Some(chunk) = stream.next().await {
        for choice in chunk?.choices {
            print!("{}", choice.delta.content.unwrap_or_default());
        }
    }
    println!();

    let answer = client.chat().create(chat()?).await?;
    println!(
        "whole: {}",
        answer.choices[0]
            .message
            .content
            .as_deref()
            .unwrap_or_default()
    );

    let embedding = CreateEmbeddingRequestArgs::default()
        .model("m")
        .input("steadfast")
        .build()?;
    let vectors = client.embeddings().create(embedding).await?;
    println!("embeddings: {}", vectors.data.len());

    // All endpoints refuse. The error is the one of async-openai, with the message of the provider.
    for upstream in [&dying, &healthy] {
        let refusal = Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(60)));
        upstream.set(Behavior::always(refusal));
    }
    match client.chat().create(chat()?).await {
        Err(OpenAIError::ApiError(error)) => println!("refused: {error}"),
        other => println!("unexpected: {other:?}"),
    }
    println!(
        "{} requests, {} failovers",
        ai.snapshot().total,
        ai.snapshot().failovers
    );
    Ok(())
}

fn chat() -> Result<CreateChatCompletionRequest, OpenAIError> {
    let message = ChatCompletionRequestUserMessageArgs::default()
        .content("Hi")
        .build()?;
    CreateChatCompletionRequestArgs::default()
        .model("m")
        .messages([ChatCompletionRequestMessage::User(message)])
        .build()
}
