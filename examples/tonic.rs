//! A breaker and retries over gRPC: a health service that is unavailable for its first two calls.
//!
//! ```text
//! cargo run --example tonic
//! ```

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use steadfast::crates::retry::ReplayBody;
use steadfast::{
    Backoff, BoxError, CircuitBreaker, CircuitBreakerLayer, ClassifyLayer, RetryOn429Layer,
};
use steadfast_edge::{GrpcErrors, grpc_status};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceBuilder;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let address = start_server().await?;
    let channel = Channel::from_shared(address)?.connect_lazy();

    let breaker = CircuitBreaker::builder().name("health").build()?;
    let backoff = Backoff::new(Duration::from_millis(20), Duration::from_millis(200))?;
    // A call of gRPC is a `POST`. This method is safe to repeat.
    let retry = RetryOn429Layer::new()
        .backoff(backoff)
        .safe_if(|parts| parts.uri.path().ends_with("Health/Check"));
    let stack = ServiceBuilder::new()
        // An open circuit is `UNAVAILABLE` for the caller.
        .map_err(grpc_status)
        .layer(retry)
        // A refused call is an HTTP `200` with a status in its head.
        .layer(ClassifyLayer::new(GrpcErrors))
        // tonic takes a body of its own.
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .layer(CircuitBreakerLayer::grpc(breaker.clone()))
        .service(channel);

    let mut client = HealthClient::new(stack);
    let answer = client.check(HealthCheckRequest::default()).await?;
    println!(
        "{:?} in attempt {}",
        answer.into_inner().status(),
        CALLS.load(Ordering::Relaxed)
    );
    println!(
        "breaker {}, health {:.2}",
        breaker.state(),
        breaker.health()
    );
    Ok(())
}

/// The calls that reached the server.
static CALLS: AtomicU32 = AtomicU32::new(0);

async fn start_server() -> Result<String, BoxError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = format!("http://{}", listener.local_addr()?);
    let (_, health) = tonic_health::server::health_reporter();
    let health = InterceptedService::new(health, |request: Request<()>| {
        match CALLS.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => Err(Status::unavailable("starting")),
            _ => Ok(request),
        }
    });
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    Ok(address)
}
