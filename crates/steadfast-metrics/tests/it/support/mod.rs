mod body;
mod ledger;
mod seen;

use http::{Request, Response, StatusCode};
use steadfast_core::layer::RecordAttempts;
use steadfast_core::{Attempt, BoxError, Class, Exhausted, Trail, Verdict};
use steadfast_metrics::{Metrics, MetricsLayer, ResponseBody};
use tokio::time::Instant;
use tokio_test::{assert_ready_err, assert_ready_ok, task};
use tower::Service;
use tower_test::mock;

pub(crate) use body::{TestBody, next_frame};
pub(crate) use ledger::Ledger;
pub(crate) use seen::record;

pub(crate) type Mock = mock::Mock<Request<()>, Response<TestBody>>;
pub(crate) type Handle = mock::Handle<Request<()>, Response<TestBody>>;
pub(crate) type Respond = mock::SendResponse<Response<TestBody>>;
pub(crate) type Call = task::Spawn<<Metrics<Mock> as Service<Request<()>>>::Future>;
pub(crate) type Answer = Response<ResponseBody<TestBody>>;

/// A mock client below the layer, and the handle that answers for it.
pub(crate) struct Client {
    pub(crate) service: mock::Spawn<Metrics<Mock>>,
    pub(crate) handle: Handle,
}

impl Client {
    pub(crate) fn new(layer: MetricsLayer) -> Self {
        let (service, handle) = mock::spawn_layer(layer);
        Self { service, handle }
    }

    /// Starts a request.
    pub(crate) async fn call(&mut self) -> (Call, Respond) {
        assert_ready_ok!(self.service.poll_ready());
        let call = task::spawn(self.service.call(get()));
        let (_, respond) = self.handle.next_request().await.expect("a request");
        (call, respond)
    }

    /// Sends one request and returns the head of its response, with the body unread.
    pub(crate) async fn serve(&mut self, response: Response<TestBody>) -> Answer {
        let (mut call, respond) = self.call().await;
        respond.send_response(response);
        assert_ready_ok!(call.poll())
    }

    /// Sends one request that ends with an error.
    pub(crate) async fn fail(&mut self, error: impl Into<BoxError>) {
        let (mut call, respond) = self.call().await;
        respond.send_error(error);
        assert_ready_err!(call.poll());
    }
}

pub(crate) fn get() -> Request<()> {
    Request::get("http://upstream.test/").body(()).unwrap()
}

pub(crate) fn ok(body: TestBody) -> Response<TestBody> {
    Response::new(body)
}

pub(crate) fn status(status: u16, body: TestBody) -> Response<TestBody> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

/// The trail of a request that was sent to these endpoints in turn.
pub(crate) fn trail(endpoints: &[&'static str]) -> Trail {
    let trail = Trail::new();
    for &endpoint in endpoints {
        let verdict = Verdict::new(Class::RateLimited);
        let mut attempt = Attempt::new(Instant::now(), verdict);
        attempt.endpoint = Some(endpoint.into());
        trail.record(attempt);
    }
    trail
}

/// The error of a request after all of these endpoints were rate limited.
pub(crate) fn exhausted(endpoints: &[&'static str]) -> Exhausted {
    Exhausted::new(trail(endpoints), Verdict::new(Class::RateLimited), None)
}
