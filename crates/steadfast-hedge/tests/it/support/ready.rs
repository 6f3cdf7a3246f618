use std::fmt::Debug;

use http::{Request, Response};
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

use super::{Body, ok};

pub(crate) type Mock = mock::Mock<Request<Body>, Response<Body>>;
pub(crate) type Handle = mock::Handle<Request<Body>, Response<Body>>;

/// Makes calls through clones. The mock panics if an instance is called that did not report
/// readiness itself.
pub(crate) async fn assert_ready_handle_takes_calls<S>(
    service: &mut mock::Spawn<S>,
    handle: &mut Handle,
    request: fn() -> Request<Body>,
) where
    S: Service<Request<Body>, Response: Debug, Error: Debug> + Clone,
{
    for _ in 0..3 {
        let mut clone = service.clone();
        assert_ready_ok!(clone.poll_ready());
        let mut response = task::spawn(clone.call(request()));
        assert_pending!(response.poll());
        let (_, respond) = handle.next_request().await.expect("a request");
        respond.send_response(ok());
        assert_ready_ok!(response.poll());
        assert_ready_ok!(service.poll_ready());
    }
}
