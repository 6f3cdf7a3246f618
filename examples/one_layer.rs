//! One layer over a hyper client, without AI: a client that respects `Retry-After`.
//!
//! ```text
//! cargo run --example one_layer
//! ```

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use steadfast::ServiceBuilderExt;
use steadfast::crates::core::Trail;
use steadfast::crates::retry::ReplayBody;
use steadfast_testkit::{Hint, Reply, Upstream};
use tokio::time::Instant;
use tower::{BoxError, ServiceBuilder, ServiceExt};

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    // A server that is busy once, with a hint.
    let server = Upstream::start().await?;
    server.next(Reply::rate_limited(Hint::RetryAfter(Duration::from_secs(
        1,
    ))));

    // The client takes `ReplayBody`, which each attempt can send again.
    let hyper: Client<_, ReplayBody<Full<Bytes>>> =
        Client::builder(TokioExecutor::new()).build_http();
    let client = ServiceBuilder::new().retry_on_429().service(hyper);

    let start = Instant::now();
    let request = Request::post(format!("{}/embeddings", server.url()))
        .body(Full::from(r#"{"model":"m","input":"steadfast"}"#))?;
    let response = client.oneshot(request).await?;

    println!("{} after {:.1?}", response.status(), start.elapsed());
    if let Some(trail) = Trail::of(response.extensions()) {
        println!("attempts: {trail}");
    }
    let body = response.into_body().collect().await?.to_bytes();
    println!("{} bytes of body", body.len());
    Ok(())
}
