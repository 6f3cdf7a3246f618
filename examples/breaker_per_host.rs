//! A breaker for each host of a client, created on first use.
//!
//! ```text
//! cargo run --example breaker_per_host
//! ```

use std::convert::Infallible;
use std::num::NonZeroUsize;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use steadfast::crates::breaker::{
    BreakerRegistry, CircuitBreaker, CircuitBreakerLayer, CircuitOpen,
};
use tower::{BoxError, Layer, ServiceExt};

type Body = Empty<bytes::Bytes>;

/// An HTTP client for this example: one of three hosts is down.
async fn send(request: Request<Body>) -> Result<Response<Body>, Infallible> {
    let mut response = Response::new(Body::new());
    if request.uri().host() == Some("down.test") {
        *response.status_mut() = StatusCode::BAD_GATEWAY;
    }
    Ok(response)
}

/// Callers choose the hosts, so the number of breakers is bounded.
const MAX_HOSTS: NonZeroUsize = NonZeroUsize::new(1000).unwrap();

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), BoxError> {
    let breakers = BreakerRegistry::new(MAX_HOSTS, |host: &String| {
        CircuitBreaker::builder()
            .name(host.as_str())
            .consecutive_failures(3)
            .recovery_timeout(Duration::from_secs(10))
    });
    let client = tower::service_fn(send);

    for n in 1..=5 {
        for host in ["a.test", "down.test", "b.test"] {
            let breaker = breakers.get(host)?;
            let request = Request::get(format!("http://{host}/{n}")).body(Body::new())?;
            let service = CircuitBreakerLayer::http(breaker).layer(client);
            let result = match service.oneshot(request).await {
                Ok(response) => response.status().to_string(),
                Err(error) => match CircuitOpen::find(&*error) {
                    Some(open) => format!("not sent: {open}"),
                    None => return Err(error),
                },
            };
            println!("{n} {host:<10} {result}");
        }
    }
    for (host, breaker) in breakers.all() {
        println!(
            "{host:<10} is {}, health {}",
            breaker.state(),
            breaker.health()
        );
    }
    Ok(())
}
