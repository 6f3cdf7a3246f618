//! Endpoints with a service that fails in `poll_ready`.

use std::future::Ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_balance::PoolHandle;
use steadfast_core::{BoxError, Classify, ClassifyLayer, DefaultClassifier, Trail, classify_fn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};

use super::healthy;
use crate::support::gate::{Gates, gated};
use crate::support::{Body, SECOND, Stream, get, get_with, of, pool, send, status};

#[tokio::test(start_paused = true)]
async fn readiness_error_skips_endpoint_and_counts_as_failure() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
    let trail = Trail::new();
    gates.fail("a", 1);
    assert_eq!(status(&service, get_with(&trail)).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
    assert_eq!(trail.to_string(), "a: transport, b: success (200)");
    assert!(of(&endpoints, "a").health < 1.0, "its breaker knows");
    assert_eq!(of(&endpoints, "a").in_flight, 0);
}

/// The balancer of tower drops such an endpoint for good, and hangs once all are gone.
#[tokio::test(start_paused = true)]
async fn readiness_errors_of_all_endpoints_leave_pool_usable() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", 1);
    gates.fail("b", 1);
    let mut first = task::spawn(service.clone().oneshot(get()));
    let error = assert_ready_err!(first.poll());
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(status(&service, get()).await, 200);
}

/// A service that fails in `poll_ready` and starts a cooldown of its endpoint before. So the
/// endpoint admits no attempt.
#[derive(Clone)]
struct Cooled(Arc<OnceLock<PoolHandle>>);

impl Service<Request<Body>> for Cooled {
    type Response = Response<Stream>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Stream>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let handle = self.0.get().expect("it is set");
        handle.cool("a", SECOND).expect("there is one");
        Poll::Ready(Err("endpoint lost".into()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("it is never ready")
    }
}

#[tokio::test(start_paused = true)]
async fn readiness_error_without_admission_is_not_classified() {
    let classified = Arc::new(AtomicUsize::new(0));
    let count = classified.clone();
    let classify = ClassifyLayer::new(classify_fn(move |outcome| {
        count.fetch_add(1, Ordering::Relaxed);
        DefaultClassifier.classify(outcome)
    }));
    let layer = pool(&["a"]).build().unwrap();
    let handle = Arc::new(OnceLock::new());
    let service = layer.layer(classify.layer(Cooled(handle.clone())));
    handle.set(layer.handle()).unwrap();
    let trail = Trail::new();
    let error = send(&service, get_with(&trail)).await.unwrap_err();
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(classified.load(Ordering::Relaxed), 0);
    assert!(trail.is_empty(), "no attempt was made");
    assert_eq!(of(&layer.handle(), "a").health, 1.0);
}

/// A request that waited for a busy endpoint counted a failure of the broken one at each wake-up.
/// So a single request opened the breaker.
#[tokio::test(start_paused = true)]
async fn repeated_readiness_error_of_one_request_counts_once() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", usize::MAX);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    for _ in 0..10 {
        gates.room("b", 0);
        assert!(response.is_woken());
        assert_pending!(response.poll());
    }
    assert_eq!(of(&endpoints, "a").health, 0.95, "one of twenty");

    gates.room("b", 1);
    assert_ready_ok!(response.poll());
}

/// The first endpoint fails at once, and the busy one fails later.
#[tokio::test(start_paused = true)]
async fn readiness_error_is_returned_after_wait_for_busy_endpoint() {
    let (net, gates) = (healthy(&["a", "b"]), Gates::default());
    let (service, _) = gated(pool(&["a", "b"]), &net, &gates);
    gates.fail("a", 1);
    gates.room("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    gates.fail("b", 1);
    let error = assert_ready_err!(response.poll());
    assert_eq!(error.to_string(), "endpoint lost");
}
