//! A strategy of your own: the cheapest endpoint, unless it is busy or unhealthy.
//!
//! ```text
//! cargo run --example custom_strategy
//! ```

use std::time::Duration;

use steadfast::crates::balance::{Candidate, Candidates, PickContext};
use steadfast::{AiStack, Endpoint, Pick};
use steadfast_chat::{BoxError, ChatClient};
use steadfast_testkit::{Reply, Upstream};
use tokio::task::JoinSet;

/// Chooses the cheapest endpoint with a free slot. If all are busy, the shortest queue wins.
struct CheapestFree {
    slots: u32,
}

impl Pick for CheapestFree {
    fn pick<'a>(&self, _: &PickContext<'a>, candidates: Candidates<'a>) -> Option<Candidate<'a>> {
        let is_good = |it: &Candidate<'_>| it.in_flight() < self.slots && it.health() > 0.5;
        // Among pairs, the first part decides: good ones first, then by cost or by load.
        candidates.min_by(|it| match is_good(it) {
            true => (0, it.cost()),
            false => (1, f64::from(it.in_flight()) / it.weight()),
        })
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let mut builder = AiStack::builder().strategy(CheapestFree { slots: 4 });
    let mut upstreams = Vec::new();
    for (name, cost) in [("cheap", 0.4), ("fair", 2.0), ("dear", 8.0)] {
        let upstream = Upstream::start().await?.named(name);
        upstream.set(Reply::ok().latency(Duration::from_millis(100)));
        builder = builder.endpoint(Endpoint::new(name, &upstream.url())?.cost(cost));
        upstreams.push(upstream);
    }
    let client = ChatClient::new(builder.build()?);

    for callers in [2, 10] {
        let mut calls = JoinSet::new();
        for _ in 0..callers {
            calls.spawn(client.chat_completion("gpt-4.1", "Hi").into_future());
        }
        while let Some(answer) = calls.join_next().await {
            answer??;
        }
        let counts = upstreams
            .iter()
            .map(|it| format!("{} {}", it.name(), it.log().len()));
        println!(
            "{callers} callers at once: {}",
            counts.collect::<Vec<_>>().join(", ")
        );
        upstreams.iter().for_each(Upstream::clear_log);
    }
    Ok(())
}
