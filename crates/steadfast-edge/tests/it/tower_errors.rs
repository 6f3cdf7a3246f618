//! Errors of the middleware of tower.

use std::convert::Infallible;
use std::time::Duration;

use http::{Request, Response};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer};
use steadfast_core::{BoxError, BreakerState, Class, Classified, ClassifyLayer, Verdict};
use steadfast_edge::ClientErrors;
use tower::load_shed::LoadShedLayer;
use tower::timeout::TimeoutLayer;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

fn verdict_of(error: &BoxError) -> Verdict {
    let classified = Classified::find(&**error).expect("classified");
    classified.verdict()
}

/// A hanging call was a lost connection, so the calls of one burst counted once.
#[tokio::test(start_paused = true)]
async fn hanging_calls_below_tower_timeout_count_as_timeouts() {
    let breaker = CircuitBreaker::builder()
        .consecutive_failures(50)
        .build()
        .unwrap();
    let hangs = service_fn(|_: Request<()>| async {
        std::future::pending::<Result<Response<String>, Infallible>>().await
    });
    let client = ServiceBuilder::new()
        .layer(CircuitBreakerLayer::http(breaker.clone()))
        .layer(ClassifyLayer::new(ClientErrors))
        .layer(TimeoutLayer::new(Duration::from_secs(1)))
        .service(hangs);
    for n in 0..50 {
        assert_eq!(breaker.state(), BreakerState::Closed, "after {n}");
        let error: BoxError = client
            .clone()
            .oneshot(Request::new(()))
            .await
            .expect_err("late");
        assert_eq!(verdict_of(&error).class(), Class::Timeout);
    }
    assert_eq!(breaker.state(), BreakerState::Open);
}

/// This process rejected the request, so it was never sent, and the endpoint did not fail.
#[tokio::test]
async fn shed_request_is_local_and_unprocessed() {
    let busy = service_fn(|_: Request<()>| async {
        std::future::pending::<Result<Response<String>, Infallible>>().await
    });
    let mut client = ServiceBuilder::new()
        .layer(ClassifyLayer::new(ClientErrors))
        .layer(LoadShedLayer::new())
        .concurrency_limit(1)
        .service(busy);
    let first = client.ready().await.expect("ready").call(Request::new(()));
    let second = client.oneshot(Request::new(()));
    let error: BoxError = second.await.expect_err("shed");
    assert_eq!(verdict_of(&error).class(), Class::Local);
    assert!(verdict_of(&error).proves_unprocessed());
    drop(first);
}
