//! gRPC over a real channel of tonic.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitOpen};
use steadfast_core::{BoxError, BreakerState, Class, Classified, ClassifyLayer, find_error};
use steadfast_edge::{GrpcErrors, grpc_status};
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tower::{ServiceBuilder, ServiceExt};

const MS: Duration = Duration::from_millis(1);

/// Starts a health service that refuses its first `refusals` calls with `status`. Returns the
/// number of calls.
async fn server(refusals: u32, status: Status) -> (Channel, Arc<AtomicU32>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let calls = Arc::new(AtomicU32::new(0));
    let count = calls.clone();
    let (_, health) = tonic_health::server::health_reporter();
    let health = InterceptedService::new(health, move |request: Request<()>| {
        match count.fetch_add(1, Ordering::Relaxed) < refusals {
            true => Err(status.clone()),
            false => Ok(request),
        }
    });
    let server = Server::builder().add_service(health);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (channel(&address), calls)
}

fn channel(address: &str) -> Channel {
    let endpoint = Channel::from_shared(address.to_owned()).expect("an address");
    endpoint.connect_lazy()
}

/// The status of a refused call is in the head of a `200`, which was a success for a retry layer.
#[tokio::test]
async fn refused_call_is_repeated_after_its_pushback() {
    let mut refused = Status::resource_exhausted("later");
    let pushback = "5".parse().expect("a value");
    refused
        .metadata_mut()
        .insert("grpc-retry-pushback-ms", pushback);
    let (channel, calls) = server(1, refused).await;
    let stack = ServiceBuilder::new()
        .map_err(grpc_status)
        .layer(RetryOn429Layer::new())
        .layer(ClassifyLayer::new(GrpcErrors))
        .map_request(|request: http::Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    let mut client = HealthClient::new(stack);
    client
        .check(HealthCheckRequest::default())
        .await
        .expect("an answer");
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

/// The client got `Unknown`, which it does not repeat.
#[tokio::test]
async fn open_circuit_is_unavailable_and_keeps_its_source() {
    let (channel, calls) = server(9, Status::internal("broken")).await;
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(2)
        .build()
        .unwrap();
    let stack = ServiceBuilder::new()
        .map_err(grpc_status)
        .layer(CircuitBreakerLayer::grpc(breaker.clone()))
        .layer(ClassifyLayer::new(GrpcErrors))
        .service(channel);
    let mut client = HealthClient::new(stack);
    let mut codes = Vec::new();
    for _ in 0..3 {
        let refused = client.check(HealthCheckRequest::default()).await;
        codes.push(refused.expect_err("refused").code());
    }
    assert_eq!(codes, [Code::Internal, Code::Internal, Code::Unavailable]);
    assert_eq!(breaker.state(), BreakerState::Open);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    let rejected = client
        .check(HealthCheckRequest::default())
        .await
        .expect_err("rejected");
    assert!(
        find_error::<CircuitOpen>(&rejected).is_some(),
        "{rejected:?}"
    );
}

/// A failed lookup was `Transport`, so the call was not repeated.
#[tokio::test]
async fn failed_connect_of_a_channel_is_connect() {
    for address in ["http://127.0.0.1:1", "http://steadfast.invalid"] {
        let client = ServiceBuilder::new()
            .layer(ClassifyLayer::new(GrpcErrors))
            .service(channel(address));
        let error: BoxError = client
            .oneshot(http::Request::new(Body::empty()))
            .await
            .expect_err("no server");
        let verdict = Classified::find(&*error).expect("classified").verdict();
        assert_eq!(verdict.class(), Class::Connect, "{address}");
    }
}

/// The time of a channel belongs to the attempt.
#[tokio::test]
async fn timeout_of_a_channel_is_a_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let silent = Channel::from_shared(address)
        .expect("an address")
        .timeout(50 * MS);
    let client = ServiceBuilder::new()
        .layer(ClassifyLayer::new(GrpcErrors))
        .service(silent.connect_lazy());
    let request = http::Request::new(Body::empty());
    let error: BoxError = client.oneshot(request).await.expect_err("late");
    let verdict = Classified::find(&*error).expect("classified").verdict();
    assert_eq!(verdict.class(), Class::Timeout);
}
