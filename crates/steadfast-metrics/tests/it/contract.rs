//! The contract of `tower_service::Service`.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use crate::support::{Client, TestBody, get, ok, record};
use http::{Request, Response};
use steadfast_metrics::{Metrics, MetricsLayer, ResponseBody, ResponseFuture, Snapshot};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};

/// The mock panics if a handle is called that has not reported readiness itself. Without a panic,
/// the ready handle took the request, and not a clone of it.
#[tokio::test]
async fn ready_handle_takes_the_request() {
    let mut client = Client::new(MetricsLayer::new());
    for _ in 0..3 {
        let mut clone = client.service.clone();
        assert_ready_ok!(clone.poll_ready());
        let mut response = task::spawn(clone.call(get()));
        let (_, respond) = client.handle.next_request().await.expect("a request");
        respond.send_response(ok(TestBody::default()));
        assert_ready_ok!(response.poll());
    }
}

#[tokio::test]
async fn reported_readiness_is_not_revoked() {
    let mut client = Client::new(MetricsLayer::new());
    let mut other = client.service.clone();
    assert_ready_ok!(other.poll_ready());

    client.handle.allow(0);
    assert_pending!(client.service.poll_ready());
    assert_ready_ok!(other.poll_ready());
}

#[tokio::test]
#[should_panic(expected = "service not ready")]
async fn clone_does_not_inherit_readiness() {
    let mut client = Client::new(MetricsLayer::new());
    assert_ready_ok!(client.service.poll_ready());
    let mut clone = client.service.clone();
    drop(clone.call(get()));
}

#[tokio::test]
async fn ready_inner_service_wakes_the_caller() {
    let mut client = Client::new(MetricsLayer::new());
    client.handle.allow(0);
    assert_pending!(client.service.poll_ready());

    client.handle.allow(1);
    assert!(client.service.is_woken());
    assert_ready_ok!(client.service.poll_ready());
}

#[tokio::test]
async fn readiness_error_is_passed_on() {
    let mut client = Client::new(MetricsLayer::new());
    client.handle.send_error("endpoint lost");
    let error = assert_ready_err!(client.service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
}

#[tokio::test]
async fn poll_ready_alone_counts_nothing() {
    let (seen, _guard) = record();
    let layer = MetricsLayer::new();
    let mut client = Client::new(layer.clone());
    assert_ready_ok!(client.service.poll_ready());
    client.handle.send_error("endpoint lost");
    assert_ready_err!(client.service.poll_ready());

    assert_eq!(layer.snapshot(), Snapshot::default());
    assert_eq!(seen.series(), [""; 0]);
}

#[tokio::test]
async fn dropped_future_drops_the_inner_future() {
    let held = Arc::new(());
    let mut service = MetricsLayer::new().layer(Holds(held.clone()));
    let mut response = task::spawn(service.call(get()));
    assert_pending!(response.poll());
    drop(service);
    assert_eq!(Arc::strong_count(&held), 2);

    drop(response);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn accessors_return_the_inner_service() {
    let held = Arc::new(());
    let mut service = MetricsLayer::new().layer(Holds(held.clone()));
    assert!(Arc::ptr_eq(&service.get_ref().0, &held));
    assert!(Arc::ptr_eq(&service.get_mut().0, &held));
    assert!(Arc::ptr_eq(&service.into_inner().0, &held));
}

/// A service without an answer. Its futures hold a reference.
#[derive(Clone)]
struct Holds(Arc<()>);

impl Service<Request<()>> for Holds {
    type Response = Response<TestBody>;
    type Error = Infallible;
    type Future = HoldsFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> HoldsFuture {
        HoldsFuture(self.0.clone())
    }
}

struct HoldsFuture(#[allow(dead_code)] Arc<()>);

impl Future for HoldsFuture {
    type Output = Result<Response<TestBody>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

/// Compiles only while the middleware adds no bounds of its own to these traits.
#[allow(dead_code)]
fn keeps_auto_traits<S, F, B>(
    service: &Metrics<S>,
    future: &ResponseFuture<F>,
    body: &ResponseBody<B>,
) where
    S: Send + Sync + Clone,
    F: Send + Sync + Unpin,
    B: Send + Sync + Unpin,
{
    fn check<T: Send + Sync>(_: &T) {}
    fn check_clone<T: Clone>(_: &T) {}
    fn check_unpin<T: Unpin>(_: &T) {}
    check(service);
    check_clone(service);
    check(future);
    check_unpin(future);
    check(body);
    check_unpin(body);
    check(&MetricsLayer::new());
}
