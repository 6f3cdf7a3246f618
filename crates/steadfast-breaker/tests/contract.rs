//! The promises of `tower_service::Service` that every layer of the workspace keeps.
//!
//! The mock panics when a handle is called that did not report readiness itself.

mod support;

use std::future::{Pending, pending};
use std::task::{Context, Poll};

use steadfast_breaker::{CircuitBreaker, CircuitBreakerLayer, CircuitBreakerService, CircuitOpen};
use support::{HALF_OPEN, admit, due, trip};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

type Mock = mock::Mock<&'static str, &'static str>;
type Handle = mock::Handle<&'static str, &'static str>;

fn spawn(breaker: &CircuitBreaker) -> (mock::Spawn<CircuitBreakerService<Mock>>, Handle) {
    mock::spawn_layer(CircuitBreakerLayer::new(breaker.clone()))
}

#[tokio::test(start_paused = true)]
async fn calls_the_handle_that_was_ready() {
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

/// The breaker opens after readiness was reported. The request is rejected then, but the handle
/// stays ready.
#[tokio::test(start_paused = true)]
async fn does_not_take_readiness_back() {
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
async fn a_clone_does_not_inherit_readiness() {
    let (mut service, mut handle) = spawn(&CircuitBreaker::new());
    handle.allow(1);
    assert_ready_ok!(service.poll_ready());
    handle.allow(0);
    assert_pending!(service.clone().poll_ready());
    assert_ready_ok!(service.poll_ready());
}

/// Waits only for the inner service, and is woken by it.
#[tokio::test(start_paused = true)]
async fn waits_for_the_inner_service_and_for_nothing_else() {
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
async fn passes_readiness_errors_on_and_does_not_count_them() {
    let breaker = CircuitBreaker::new();
    let (mut service, mut handle) = spawn(&breaker);
    handle.send_error("endpoint lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(breaker.health(), 1.0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_spent_by_readiness_alone() {
    let breaker = due().await;
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
async fn a_dropped_future_gives_its_place_back() {
    let breaker = due().await;
    let (mut service, mut handle) = spawn(&breaker);
    for polled in [false, true] {
        assert_ready_ok!(service.poll_ready());
        let mut response = task::spawn(service.call("request"));
        if polled {
            assert_pending!(response.poll());
        }
        let _request = handle.next_request().await.expect("a request");
        assert!(!breaker.would_admit(), "the only place is taken");
        drop(response);
        assert!(breaker.would_admit());
        assert_eq!(breaker.state(), HALF_OPEN);
    }
}

/// A place must not depend on code that a panic skips.
#[tokio::test(start_paused = true)]
async fn an_inner_service_that_panics_gives_its_place_back() {
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

    let breaker = due().await;
    let layer = CircuitBreakerLayer::new(breaker.clone());
    let mut service = tower::Layer::layer(&layer, Panics);
    let call = std::panic::AssertUnwindSafe(|| drop(service.call(())));
    std::panic::catch_unwind(call).expect_err("it panics");
    assert!(breaker.would_admit());
}

/// Compiles only while the middleware adds no bounds of its own to these traits.
#[allow(dead_code)]
fn keeps_auto_traits<S: Send + Sync + Clone, M: Send + Sync + Clone>(
    service: CircuitBreakerService<S, M>,
) {
    fn check<T: Send + Sync + Clone>(_: T) {}
    check(service);
}
