//! Replies of a relay that no dialect knows, described by rules.
//!
//! ```text
//! cargo run --example custom_dialect
//! ```
//!
//! The relay answers `403` when the credit is spent, and `200` with a text when it is busy. Without
//! rules, the first reply is a rejected credential and the second one an answer.

use std::time::Duration;

use steadfast::crates::balance::Rule;
use steadfast::{AiStack, Class, Endpoint};
use steadfast_chat::{BoxError, ChatClient};
use steadfast_testkit::{Reply, Upstream};

fn relay(url: &str) -> Result<Endpoint, BoxError> {
    let spent = Rule::new(Class::QuotaExhausted)
        .status(403)
        .code("no_credit");
    let busy = Rule::new(Class::RateLimited)
        .status(200)
        .contains("queue is full")
        .hint(Duration::from_secs(20));
    Ok(Endpoint::new("relay", url)?.rule(spent).rule(busy))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let json = [("content-type", "application/json")];
    let spent = Reply::raw(
        403,
        json,
        r#"{"error":{"code":"no_credit","message":"Top up"}}"#,
    );
    let busy = Reply::raw(200, json, r#"{"status":"The queue is full"}"#);
    for (situation, reply) in [("the credit is spent", spent), ("the relay is busy", busy)] {
        let relay_server = Upstream::start().await?;
        let backup = Upstream::start().await?;
        relay_server.set(reply);
        let ai = AiStack::builder()
            .endpoint(relay(&relay_server.url())?)
            .endpoint(Endpoint::new("backup", &backup.url())?)
            .build()?;
        let client = ChatClient::new(ai);
        println!("{situation}");
        for _ in 0..2 {
            let answer = client.chat_completion("gpt-4.1", "Hi").await?;
            println!("  attempts: {}", answer.trail());
        }
        for status in client.stack().status() {
            let left = status
                .cooling
                .map(|left| format!(", cools for {:.0} s", left.as_secs_f64()));
            println!(
                "  {}: in flight {}{}",
                status.name,
                status.in_flight,
                left.unwrap_or_default()
            );
        }
    }
    Ok(())
}
