//! The contract of `tower_service::Service`.
//!
//! The mock panics if a handle is called that did not report readiness.

use std::future::{Pending, pending};
use std::task::{Context, Poll};

use crate::support::{HALF_OPEN, admit, due_breaker, trip};
use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitBreakerService, CircuitOpen};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

type Mock = mock::Mock<&'static str, &'static str>;
type Handle = mock::Handle<&'static str, &'static str>;

fn spawn(breaker: &CircuitBreaker) -> (mock::Spawn<CircuitBreakerService<Mock>>, Handle) {
    mock::spawn_layer(CircuitBreakerLayer::new(breaker.clone()))
}

#[tokio::test(start_paused = true)]
async fn ready_handle_is_called() {
    let (mut service, mut handle) = spawn(&CircuitBreaker::new());
    for _ in 0..3 {
        let mut clone = service.clone();
        assert_ready_ok!(clone.poll_ready());
        let mut response = task::spawn(clone.call("request"));
        let (_, respond) = handle.next_request().await.expect("a request");
        respond.send_response("response");
        assert_ready_ok!(response.poll());
        assert_ready_ok!(service.poll_ready());
    }
}

/// The breaker opens after readiness was reported. The request is rejected, and the handle stays
/// ready.
#[tokio::test(start_paused = true)]
async fn readiness_is_not_revoked() {
    let breaker = CircuitBreaker::new();
    let (mut service, mut handle) = spawn(&breaker);
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    trip(&breaker);
    assert_ready_ok!(service.poll_ready());

    let mut response = task::spawn(service.call("request"));
    let error = assert_ready_err!(response.poll());
    assert!(CircuitOpen::find(&*error).is_some());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn clone_does_not_inherit_readiness() {
    let (mut service, mut handle) = spawn(&CircuitBreaker::new());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    handle.allow(0);
    assert_pending!(service.clone().poll_ready());
    assert_ready_ok!(service.poll_ready());
}

/// Without backpressure, the service waits only for the inner service, even with an open breaker.
#[tokio::test(start_paused = true)]
async fn pending_inner_service_wakes_caller() {
    let breaker = CircuitBreaker::new();
    trip(&breaker);
    let (mut service, mut handle) = spawn(&breaker);
    handle.allow(0);
    assert_pending!(service.poll_ready());

    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn readiness_error_passes_and_does_not_count() {
    let breaker = CircuitBreaker::new();
    let (mut service, mut handle) = spawn(&breaker);
    handle.send_error("endpoint lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(breaker.health(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn poll_ready_takes_no_slot() {
    let breaker = due_breaker().await;
    let (mut service, _handle) = spawn(&breaker);
    for _ in 0..3 {
        assert_ready_ok!(service.poll_ready());
    }
    let clone = service.clone();
    drop(service);
    drop(clone);
    assert!(admit(&breaker).is_probe());
}

#[tokio::test(start_paused = true)]
async fn dropped_future_releases_slot() {
    let breaker = due_breaker().await;
    let (mut service, mut handle) = spawn(&breaker);
    for polled in [false, true] {
        assert_ready_ok!(service.poll_ready());
        let mut response = task::spawn(service.call("request"));
        if polled {
            assert_pending!(response.poll());
        }
        let _request = handle.next_request().await.expect("a request");
        assert!(!breaker.would_admit(), "the only slot is taken");
        drop(response);
        assert!(breaker.would_admit());
        assert_eq!(breaker.state(), HALF_OPEN);
    }
}

/// A slot must not depend on code that a panic skips.
#[tokio::test(start_paused = true)]
async fn panic_of_inner_service_releases_slot() {
    #[derive(Clone)]
    struct Panics;

    impl Service<()> for Panics {
        type Response = ();
        type Error = std::io::Error;
        type Future = Pending<Result<(), std::io::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, (): ()) -> Self::Future {
            assert!(std::hint::black_box(false), "on purpose");
            pending()
        }
    }

    let breaker = due_breaker().await;
    let layer = CircuitBreakerLayer::new(breaker.clone());
    let mut service = tower::Layer::layer(&layer, Panics);
    let call = std::panic::AssertUnwindSafe(|| drop(service.call(())));
    std::panic::catch_unwind(call).expect_err("it panics");
    assert!(breaker.would_admit());
}

/// Compiles only while the middleware adds no bounds to these traits.
#[allow(dead_code)]
fn keeps_auto_traits<S: Send + Sync + Clone, M: Send + Sync + Clone>(
    service: CircuitBreakerService<S, M>,
) {
    fn check<T: Send + Sync + Clone>(_: T) {}
    check(service);
}
