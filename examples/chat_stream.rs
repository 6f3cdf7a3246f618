//! A streamed chat: failover before the first visible token, parts of the answer as they come.
//!
//! ```text
//! cargo run --example chat_stream
//! ```

use std::time::Duration;

use steadfast::{AiStack, Endpoint, Timeouts};
use steadfast_chat::{BoxError, ChatClient, Delta};
use steadfast_testkit::{Reply, Upstream};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let primary = Upstream::start().await?.named("primary");
    let backup = Upstream::start().await?.named("backup");
    // The connection of the primary breaks before a token, and the one of the backup later.
    primary.set(Reply::ok().cut_after(0));
    backup.set(
        Reply::ok()
            .chunks(12)
            .chunk_delay(Duration::from_millis(20)),
    );
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("primary", &primary.url())?)
        .endpoint(Endpoint::new("backup", &backup.url())?)
        .build()?;
    let client = ChatClient::new(ai);

    let call = client
        .chat_completion("gpt-4.1", "Tell me a story.")
        .usage();
    let mut answer = call.timeouts(Timeouts::SHORT).stream().await?;
    println!("attempts: {}", answer.trail());
    while let Some(delta) = answer.next().await {
        match delta? {
            Delta::Text(text) => print!("{text}"),
            Delta::ToolCall(call) => print!("[{:?} {}]", call.name, call.arguments),
            Delta::Finish(reason) => println!("\nfinish reason: {reason}"),
            Delta::Usage(usage) => println!("{} tokens", usage.completion_tokens),
            _ => {}
        }
    }

    // A stream that breaks after its first token ends with an error: no endpoint can continue it.
    backup.set(Reply::ok().chunks(12).cut_after(3));
    match client
        .stream("gpt-4.1", "And another one.")
        .await?
        .text()
        .await
    {
        Ok(text) => println!("{text}"),
        Err(error) => println!("the stream broke: {error}"),
    }
    Ok(())
}
