//! The contract of `tower_service::Service` for `ClassifyLayer`.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use steadfast_core::{ClassifyFuture, ClassifyLayer, ClassifyService};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok, task};
use tower::{Layer, Service};
use tower_test::mock;

type Mock = mock::Mock<Request<()>, Response<()>>;
type Handle = mock::Handle<Request<()>, Response<()>>;

fn classified_mock() -> (mock::Spawn<ClassifyService<Mock>>, Handle) {
    mock::spawn_layer(ClassifyLayer::default())
}

/// The mock panics if a handle is called that has not reported readiness itself. Without a panic,
/// the ready handle took the request, and not a clone of it.
#[tokio::test]
async fn ready_handle_takes_the_request() {
    let (service, mut handle) = classified_mock();
    for _ in 0..3 {
        let mut clone = service.clone();
        assert_ready_ok!(clone.poll_ready());
        let mut response = task::spawn(clone.call(Request::new(())));
        let (_, respond) = handle.next_request().await.expect("a request");
        respond.send_response(Response::new(()));
        assert_ready_ok!(response.poll());
    }
}

#[tokio::test]
async fn reported_readiness_is_not_revoked() {
    let (mut service, mut handle) = classified_mock();
    let mut other = service.clone();
    assert_ready_ok!(other.poll_ready());

    handle.allow(0);
    assert_pending!(service.poll_ready());
    assert_ready_ok!(other.poll_ready());
}

#[tokio::test]
#[should_panic(expected = "service not ready")]
async fn clone_does_not_inherit_readiness() {
    let (mut service, _handle) = classified_mock();
    assert_ready_ok!(service.poll_ready());
    drop(service.clone().call(Request::new(())));
}

#[tokio::test]
async fn ready_inner_service_wakes_the_caller() {
    let (mut service, mut handle) = classified_mock();
    handle.allow(0);
    assert_pending!(service.poll_ready());

    handle.allow(1);
    assert!(service.is_woken());
    assert_ready_ok!(service.poll_ready());
}

#[tokio::test]
async fn readiness_error_is_passed_on() {
    let (mut service, mut handle) = classified_mock();
    handle.send_error("endpoint lost");
    let error = assert_ready_err!(service.poll_ready());
    assert_eq!(error.to_string(), "endpoint lost");
}

#[test]
fn dropped_future_drops_the_inner_future() {
    let held = Arc::new(());
    let mut service = ClassifyLayer::default().layer(Holds(held.clone()));
    let mut response = task::spawn(service.call(Request::new(())));
    assert_pending!(response.poll());
    drop(service);
    assert_eq!(Arc::strong_count(&held), 2);

    drop(response);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn accessors_return_the_inner_service() {
    let held = Arc::new(());
    let mut service = ClassifyLayer::default().layer(Holds(held.clone()));
    assert!(Arc::ptr_eq(&service.get_ref().0, &held));
    assert!(Arc::ptr_eq(&service.get_mut().0, &held));
    assert!(Arc::ptr_eq(&service.into_inner().0, &held));
}

/// A service without an answer. Its futures hold a reference.
#[derive(Clone)]
struct Holds(Arc<()>);

impl Service<Request<()>> for Holds {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = HoldsFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> HoldsFuture {
        HoldsFuture {
            _held: self.0.clone(),
        }
    }
}

struct HoldsFuture {
    _held: Arc<()>,
}

impl Future for HoldsFuture {
    type Output = Result<Response<()>, Infallible>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

/// Compiles only while the layer adds no bounds of its own to these traits. `C` need not be
/// `Clone` in the service.
#[allow(dead_code)] // compiled, never called
fn keeps_auto_traits<S, F, C>(service: &ClassifyService<S, C>, future: &ClassifyFuture<F, C>)
where
    S: Send + Sync + Clone,
    F: Send + Sync + Unpin,
    C: Send + Sync,
{
    fn check<T: Send + Sync>(_: &T) {}
    fn check_clone<T: Clone>(_: &T) {}
    fn check_unpin<T: Unpin>(_: &T) {}
    check(service);
    check_clone(service);
    check(future);
    check_unpin(future);
    check(&ClassifyLayer::default());
}
