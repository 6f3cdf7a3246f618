//! reqwest below a layer, above a stack, and as a middleware.
//!
//! ```text
//! cargo run --example reqwest
//! ```

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use reqwest_middleware::ClientBuilder;
use steadfast::reqwest::{RequestBuilderExt, StackMiddleware, Transport};
use steadfast::{AiStack, BoxError, Endpoint, ServiceBuilderExt};
use steadfast_testkit::{Hint, Reply, Upstream};
use tower::{ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let (primary, backup) = (Upstream::start().await?, Upstream::start().await?);
    let http = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .connect_timeout(Duration::from_secs(10))
        .build()?;

    // Below: one layer over an existing client.
    let client = ServiceBuilder::new()
        .retry_on_429()
        .service(Transport::new(http.clone()));
    primary.next(Reply::rate_limited(Hint::RetryAfter(Duration::ZERO)));
    let request = http::Request::get(format!("{}/models", primary.url()));
    let response = client
        .oneshot(request.body(Full::<Bytes>::default())?)
        .await?;
    println!(
        "below a layer: {} after {} attempts",
        response.status(),
        primary.counts().requests
    );

    // The same client below the whole stack.
    primary.set(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        30,
    ))));
    let ai = AiStack::builder()
        .endpoint(Endpoint::new("primary", &primary.url())?)
        .endpoint(Endpoint::new("backup", &backup.url())?)
        .build_on(Transport::new(http.clone()))?;

    // Above: requests and responses of reqwest.
    let response = http
        .post("http://stack/v1/chat/completions")
        .header("content-type", "application/json")
        .body(r#"{"model":"m","messages":[]}"#)
        .timeout(Duration::from_secs(20))
        .send_with(ai.clone())
        .await?;
    println!("above the stack: {}", response.error_for_status()?.status());

    // Code with a `ClientWithMiddleware` needs no change.
    let client = ClientBuilder::new(http)
        .with(StackMiddleware::new(ai))
        .build();
    let response = client.get("http://stack/v1/models").send().await?;
    println!("as a middleware: {}", response.text().await?);
    Ok(())
}
