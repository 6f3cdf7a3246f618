mod client;

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use steadfast_retry::{ReplayBody, RetryOn429Layer};
use tower_test::mock;

pub(crate) use self::client::{Answer, LayerOneshot, Returned, client, refused, reset, send};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) type Body = Full<Bytes>;
pub(crate) type Handle = mock::Handle<Request<ReplayBody<Body>>, Response<String>>;
pub(crate) type Mock = mock::Mock<Request<ReplayBody<Body>>, Response<String>>;

/// Creates a layer with the longest possible waits: 0.5 s, 1 s, 2 s, …
pub(crate) fn layer() -> RetryOn429Layer {
    RetryOn429Layer::new().random(|| 1.0)
}

pub(crate) fn request(method: &str) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri("http://upstream.test/")
        .body(Full::from("hello"))
        .expect("a request")
}

pub(crate) fn answer(status: u16) -> Response<String> {
    let mut response = Response::new("body".to_owned());
    *response.status_mut() = status.try_into().expect("a status");
    response
}

pub(crate) fn limited(retry_after: &str) -> Response<String> {
    let mut response = answer(429);
    let value = retry_after.parse().expect("a value");
    response.headers_mut().insert("retry-after", value);
    response
}
