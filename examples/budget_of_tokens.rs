//! A budget of money and tokens: requests are priced before they are sent, and go only where their
//! tokens are left.
//!
//! ```text
//! cargo run --example budget_of_tokens
//! ```

use serde_json::json;
use steadfast::{AiStack, Endpoint, RoutingOptions};
use steadfast_chat::{BoxError, ChatClient};
use steadfast_models::{Catalogue, RequestSize, Tokens};
use steadfast_testkit::{Reply, Upstream};

const MODEL: &str = "gpt-4.1";
const MAX_TOKENS: u64 = 500;
/// US dollars.
const BUDGET: f64 = 0.02;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let primary = Upstream::start().await?.named("primary");
    let backup = Upstream::start().await?.named("backup");
    // The primary reports that few tokens of this minute are left.
    let left = Reply::ok()
        .header("x-ratelimit-limit-tokens", "30000")
        .header("x-ratelimit-remaining-tokens", "900")
        .header("x-ratelimit-reset-tokens", "40s");
    primary.set(left);
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("primary", &primary.url())?)
        .endpoint(Endpoint::new("backup", &backup.url())?)
        .build()?;
    let client = ChatClient::new(ai);
    let catalogue = Catalogue::shipped();
    let model = catalogue.find(MODEL)?;
    let price = model.price().expect("a row with a price");

    let mut spent = 0.0;
    for words in [10, 100, 2000, 4000, 100] {
        let prompt = "tell me more ".repeat(words);
        let messages = json!([{ "role": "user", "content": prompt }]);
        let body = json!({ "messages": messages, "max_tokens": MAX_TOKENS }).to_string();
        let size = RequestSize::of(body.as_bytes(), Tokens::Bytes);
        model.fits(&size)?;
        // At most: the answer may be shorter.
        let cost = price.cost(size.prompt_tokens(), 0, MAX_TOKENS);
        let tokens = size.total_tokens();
        if spent + cost > BUDGET {
            println!("{tokens} tokens, {cost:.4} $: beyond the budget, not sent");
            continue;
        }
        let answer = client
            .chat_completion(MODEL, messages)
            .max_tokens(MAX_TOKENS)
            .routing(RoutingOptions::new().estimated_tokens(tokens))
            .await?;
        let usage = answer.usage().unwrap_or_default();
        let cost = price.cost(
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
        );
        spent += cost;
        println!("{tokens} tokens at most, {cost:.4} $: {}", answer.trail());
    }
    println!("spent {spent:.4} $ of {BUDGET} $");
    Ok(())
}
