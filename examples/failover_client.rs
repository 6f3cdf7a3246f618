//! The reference client in Rust: three endpoints, one key, failover after a 429 or a timeout,
//! metrics.
//!
//! ```text
//! cargo run --example failover_client
//! ```
//!
//! The endpoints run in this process, so the example needs no network and no key. With a key,
//! `ChatClient::holysheep(key)` replaces `client`.

use std::time::Duration;

use steadfast::{AiStack, ApiKey, Backoff, Endpoint, RetryOn429Layer};
use steadfast_chat::{BoxError, ChatClient, Message};
use steadfast_testkit::{Hint, Reply, Upstream};

const SECOND: Duration = Duration::from_secs(1);

/// Builds the client with the settings of the reference: 3 attempts, 1 s of delay that doubles, 30
/// s for each attempt.
fn client(upstreams: &[Upstream], key: &str) -> Result<ChatClient, BoxError> {
    let key = ApiKey::new(key)?.check("sk-", 20)?;
    let mut builder = AiStack::builder().retry(
        RetryOn429Layer::new()
            .max_attempts(3)
            .backoff(Backoff::new(SECOND, 8 * SECOND)?),
    );
    for upstream in upstreams {
        let endpoint = Endpoint::new(&upstream.name(), &upstream.url())?;
        builder = builder.endpoint(endpoint.api_key(key.clone()));
    }
    Ok(ChatClient::new(builder.build()?))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut upstreams = Vec::new();
    for name in ["primary", "backup1", "backup2"] {
        upstreams.push(Upstream::start().await?.named(name));
    }
    let client = client(&upstreams, " sk-0123456789abcdef01\n")?;

    // The primary is limited, and the first backup fails once.
    upstreams[0].set(Reply::rate_limited(Hint::RetryAfter(60 * SECOND)));
    upstreams[1].next(Reply::status(503));

    for question in ["What is a breaker?", "What is a hint?", "What is a trail?"] {
        let messages = [
            Message::system("Answer in one sentence."),
            Message::user(question),
        ];
        let answer = client
            .chat_completion("gpt-4.1", messages)
            .temperature(0.7)
            .max_tokens(1000)
            .await?;
        println!("{question} {}", answer.text());
        println!("  attempts: {}", answer.trail());
    }

    // A fault of the request is not repeated, and the error names the endpoint.
    upstreams[1].next(Reply::status(400));
    if let Err(error) = client.chat_completion("gpt-4.1", "Hi").await {
        println!("{error}");
    }

    let metrics = client.metrics();
    println!("\n{metrics}");
    assert_eq!(
        (metrics.total_requests, metrics.successful_requests),
        (4, 3)
    );
    assert_eq!((metrics.errors_429, metrics.fallback_count), (1, 2));
    Ok(())
}
