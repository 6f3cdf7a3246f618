//! The reference router as a strategy: 70 % health, 30 % latency, printed for each choice.
//!
//! ```text
//! cargo run --example scored_router
//! ```
//!
//! `Strategy::Scored` is the same idea with relative latencies. This file shows the formula of the
//! reference: `0.7 * health + 0.3 * max(0, 100 - latency in ms)`, with health from 0 to 100.

use std::time::Duration;

use steadfast::crates::balance::{Candidate, Candidates, PickContext};
use steadfast::{AiStack, CircuitBreaker, Endpoint, Pick, WhenExhausted};
use steadfast_chat::{BoxError, ChatClient};
use steadfast_testkit::{Reply, Upstream};

/// Chooses the highest score, and prints each choice.
struct ScoredRouter;

fn score(candidate: &Candidate<'_>) -> f64 {
    let latency = candidate.latency().unwrap_or_default().as_secs_f64() * 1000.0;
    70.0 * candidate.health() + 0.3 * (100.0 - latency).max(0.0)
}

impl Pick for ScoredRouter {
    fn pick<'a>(&self, _: &PickContext<'a>, candidates: Candidates<'a>) -> Option<Candidate<'a>> {
        // Of equal scores, the first endpoint wins.
        let best = candidates.min_by(|candidate| -score(candidate))?;
        let (name, points) = (best.name(), score(&best));
        println!(
            "  {name}: score {points:.1}, latency {:.1?}",
            best.latency().unwrap_or_default()
        );
        Some(best)
    }
}

/// Creates an endpoint with the breaker of the reference.
fn endpoint(upstream: &Upstream, failures: u32, recovery: u64) -> Result<Endpoint, BoxError> {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(failures)
        .recovery_timeout(Duration::from_secs(recovery));
    Ok(Endpoint::new(&upstream.name(), &upstream.url())?.breaker(breaker))
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut upstreams = Vec::new();
    for name in ["primary", "backup1", "backup2"] {
        upstreams.push(Upstream::start().await?.named(name));
    }
    let [primary, backup1, backup2] = &upstreams[..] else {
        unreachable!("three names");
    };
    let ai = AiStack::builder()
        .endpoint(endpoint(primary, 3, 30)?)
        .endpoint(endpoint(backup1, 5, 60)?)
        .endpoint(endpoint(backup2, 5, 60)?)
        .strategy(ScoredRouter)
        // If no endpoint may be used, one attempt per second goes to the least bad one.
        .balance(|balance| balance.when_exhausted(WhenExhausted::LeastBad))
        .build()?;
    let client = ChatClient::new(ai);

    primary.set(Reply::ok().latency(Duration::from_millis(80)));
    backup1.set(Reply::ok().latency(Duration::from_millis(20)));
    backup2.set(Reply::ok().latency(Duration::from_millis(40)));
    ask(&client, "all endpoints are healthy", 6).await?;
    backup1.set(Reply::status(500));
    ask(&client, "backup1 fails", 4).await?;
    backup1.set(Reply::ok().latency(Duration::from_millis(20)));
    ask(&client, "backup1 is back, with a lower health", 3).await?;
    println!("\n{}", client.metrics());
    Ok(())
}

async fn ask(client: &ChatClient, situation: &str, requests: usize) -> Result<(), BoxError> {
    println!("{situation}");
    for _ in 0..requests {
        client.chat_completion("gpt-4.1", "Hi").await?;
    }
    Ok(())
}
