//! gRPC statuses in the head of a response, below a retry layer and below a breaker.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
use steadfast_core::{BreakerState, ClassifyLayer};
use steadfast_edge::GrpcErrors;
use steadfast_retry::RetryOn429Layer;
use tokio::time::Instant;
use tower::{ServiceBuilder, ServiceExt, service_fn};

type Body = Full<Bytes>;

fn reply(status: &str, pushback: Option<&str>) -> Response<Body> {
    let reply = Response::builder().header("grpc-status", status);
    let reply = match pushback {
        Some(pushback) => reply.header("grpc-retry-pushback-ms", pushback),
        None => reply,
    };
    reply.body(Body::default()).expect("a response")
}

/// A `200` with a failed status was a success, so it was never repeated.
#[tokio::test(start_paused = true)]
async fn status_and_pushback_decide_about_a_repeat() {
    for (status, pushback, calls, waited) in [
        ("14", Some("700"), 2, 700..1_500),
        ("14", Some("0"), 2, 0..1_500),
        ("8", Some("300"), 2, 300..1_500),
        ("14", Some("-1"), 1, 0..1),
        // It may have been processed, and a `POST` is not safe to repeat.
        ("14", None, 1, 0..1),
        ("13", None, 1, 0..1),
        ("3", Some("100"), 1, 0..1),
        ("0", None, 1, 0..1),
    ] {
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let server = service_fn(move |_: Request<_>| {
            let first = count.fetch_add(1, Ordering::Relaxed) == 0;
            let reply = if first {
                reply(status, pushback)
            } else {
                reply("0", None)
            };
            async move { Ok::<_, Infallible>(reply) }
        });
        let client = ServiceBuilder::new()
            .layer(RetryOn429Layer::new())
            .layer(ClassifyLayer::new(GrpcErrors))
            .service(server);
        let start = Instant::now();
        let request = Request::post("/Service/Method")
            .body(Body::default())
            .unwrap();
        client.oneshot(request).await.expect("an answer");
        let took = start.elapsed();
        assert_eq!(sent.load(Ordering::Relaxed), calls, "{status} {pushback:?}");
        let waited = Duration::from_millis(waited.start)..Duration::from_millis(waited.end);
        assert!(waited.contains(&took), "{status} {pushback:?}: {took:?}");
    }
}

/// One piece reads the status for both layers.
#[tokio::test(start_paused = true)]
async fn breaker_counts_statuses_of_a_broken_server() {
    for (status, expected) in [
        ("0", BreakerState::Closed),
        ("3", BreakerState::Closed),
        ("8", BreakerState::Closed),
        ("4", BreakerState::Open),
        ("13", BreakerState::Open),
        ("14", BreakerState::Open),
    ] {
        let breaker = CircuitBreaker::builder()
            .consecutive_failures(1)
            .build()
            .unwrap();
        let server =
            service_fn(
                move |_: Request<()>| async move { Ok::<_, Infallible>(reply(status, None)) },
            );
        let client = ServiceBuilder::new()
            .layer(CircuitBreakerLayer::http(breaker.clone()))
            .layer(ClassifyLayer::new(GrpcErrors))
            .service(server);
        drop(
            client
                .clone()
                .oneshot(Request::new(()))
                .await
                .expect("an answer"),
        );
        assert_eq!(breaker.state(), expected, "{status}");
        #[cfg(feature = "tonic")]
        if expected == BreakerState::Open {
            let error = client
                .oneshot(Request::new(()))
                .await
                .expect_err("rejected");
            let status = steadfast_edge::grpc_status(error);
            assert_eq!(status.code(), tonic::Code::Unavailable);
        }
    }
}
