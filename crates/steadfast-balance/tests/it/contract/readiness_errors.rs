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

use super::healthy_servers;
use crate::support::gate::{Gates, gated_balancer};
use crate::support::{
    Body, SECOND, Stream, get, get_with_trail, pool, send, send_for_status, status_of,
};

#[tokio::test(start_paused = true)]
async fn readiness_error_skips_endpoint_and_counts_as_failure() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    let trail = Trail::new();
    gates.fail_readiness("a", 1);
    assert_eq!(send_for_status(&service, get_with_trail(&trail)).await, 200);
    assert_eq!(net.counts(["a", "b"]), [0, 1]);
    assert_eq!(trail.to_string(), "a: transport, b: success (200)");
    assert!(
        status_of(&endpoints, "a").health < 1.0,
        "the failure is counted"
    );
    assert_eq!(status_of(&endpoints, "a").in_flight, 0);
}

/// The balancer of tower drops such an endpoint for good, and hangs once all are gone.
#[tokio::test(start_paused = true)]
async fn readiness_errors_of_all_endpoints_leave_pool_usable() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.fail_readiness("a", 1);
    gates.fail_readiness("b", 1);
    let mut first = task::spawn(service.clone().oneshot(get()));
    let error = assert_ready_err!(first.poll());
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(send_for_status(&service, get()).await, 200);
}

/// A service that fails in `poll_ready` and starts a cooldown of its endpoint before. So the
/// endpoint admits no attempt.
#[derive(Clone)]
struct CoolsInPollReady(Arc<OnceLock<PoolHandle>>);

impl Service<Request<Body>> for CoolsInPollReady {
    type Response = Response<Stream>;
    type Error = BoxError;
    type Future = Ready<Result<Response<Stream>, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let handle = self.0.get().expect("the handle is set");
        handle.cool("a", SECOND).expect("the endpoint exists");
        Poll::Ready(Err("endpoint lost".into()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        unreachable!("the service is never ready")
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
    let service = layer.layer(classify.layer(CoolsInPollReady(handle.clone())));
    handle.set(layer.handle()).unwrap();
    let trail = Trail::new();
    let error = send(&service, get_with_trail(&trail)).await.unwrap_err();
    assert_eq!(error.to_string(), "endpoint lost");
    assert_eq!(classified.load(Ordering::Relaxed), 0);
    assert!(trail.is_empty(), "no attempt was recorded");
    assert_eq!(status_of(&layer.handle(), "a").health, 1.0);
}

/// A request that waited for a busy endpoint counted a failure of the broken one at each wake-up.
/// So a single request opened the breaker.
#[tokio::test(start_paused = true)]
async fn repeated_readiness_error_of_one_request_counts_once() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    let (service, endpoints) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.fail_readiness("a", usize::MAX);
    gates.set_free_slots("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    for _ in 0..10 {
        gates.set_free_slots("b", 0);
        assert!(response.is_woken());
        assert_pending!(response.poll());
    }
    assert_eq!(
        status_of(&endpoints, "a").health,
        0.95,
        "one failure in the window of 20"
    );

    gates.set_free_slots("b", 1);
    assert_ready_ok!(response.poll());
}

/// The first endpoint fails at once, and the busy one fails later.
#[tokio::test(start_paused = true)]
async fn readiness_error_is_returned_after_wait_for_busy_endpoint() {
    let (net, gates) = (healthy_servers(&["a", "b"]), Gates::default());
    let (service, _) = gated_balancer(pool(&["a", "b"]), &net, &gates);
    gates.fail_readiness("a", 1);
    gates.set_free_slots("b", 0);
    let mut response = task::spawn(service.clone().oneshot(get()));
    assert_pending!(response.poll());
    gates.fail_readiness("b", 1);
    let error = assert_ready_err!(response.poll());
    assert_eq!(error.to_string(), "endpoint lost");
}
