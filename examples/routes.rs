//! Routes: one model under several names, aliases, wildcards, and a fallback to another model.
//!
//! ```text
//! cargo run --example routes
//! ```

use serde_json::Value;
use steadfast::models::{Catalogue, Route, Target};
use steadfast::{AiStack, Endpoint};
use steadfast_chat::{BoxError, ChatClient};
use steadfast_testkit::{Reply, Upstream};

/// Builds a client over a provider, a relay with prefixed names, and a second provider.
fn client(upstreams: &[Upstream]) -> Result<ChatClient, BoxError> {
    let mut builder = AiStack::builder().catalogue(Catalogue::shipped());
    for upstream in upstreams {
        builder = builder.endpoint(Endpoint::new(&upstream.name(), &upstream.url())?);
    }
    let smart = Route::new("gpt-4.1")
        .alias("smart")
        .to("provider", "gpt-4.1")
        .target(Target::new("relay", "openai/gpt-4.1").tier(1))
        // Another model answers only if both others cannot.
        .target(Target::new("other", "claude-sonnet-4-5").tier(2));
    let rest = Route::new("openai/*")
        .to("provider", "*")
        .to("relay", "openai/*");
    Ok(ChatClient::new(builder.route(smart).route(rest).build()?))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut upstreams = Vec::new();
    for name in ["provider", "relay", "other"] {
        upstreams.push(Upstream::start().await?.named(name));
    }
    let client = client(&upstreams)?;
    let show = async |situation: &str, model: &str| -> Result<(), BoxError> {
        let answer = client.chat_completion(model, "Hi").await?;
        println!(
            "{situation}: {model} was answered by {}",
            answer.model().unwrap_or_default()
        );
        Ok(())
    };

    show("an alias", "smart").await?;
    show("a wildcard", "openai/gpt-4o-mini").await?;
    upstreams[0].set(Reply::status(503));
    show("the provider fails", "smart").await?;
    upstreams[1].set(Reply::status(503));
    show("the relay fails as well", "smart").await?;

    if let Err(error) = client.chat_completion("gpt-4.1-mimi", "Hi").await {
        println!("not sent: {error}");
    }
    let call = client.chat_completion("gpt-4o", "Hi").max_tokens(1_000_000);
    if let Err(error) = call.await {
        println!("not sent: {error}");
    }

    let request = http::Request::get("/v1/models").body(String::new())?;
    let response = client.send(request).await?;
    let body = http_body_util::BodyExt::collect(response.into_body()).await?;
    let models: Value = serde_json::from_slice(&body.to_bytes())?;
    let ids = models["data"].as_array().into_iter().flatten();
    println!(
        "models: {:?}",
        ids.filter_map(|model| model["id"].as_str())
            .collect::<Vec<_>>()
    );
    Ok(())
}
