//! The size of an attempt, which is a part of the futures of all layers above.

use std::future::{Ready, ready};
use std::sync::Arc;

use tower::Service;

use super::*;

/// The bound of the future of an attempt, beside the future of its client. A whole answer is read
/// in place.
const OWN: usize = 512;

/// The parts of an attempt were once kept twice, and each attempt moved 16 KiB.
#[tokio::test(start_paused = true)]
async fn attempt_is_small() {
    let Attempt {
        request, shared, ..
    } = attempt("/v1/chat/completions", JSON);
    let endpoint = Endpoint::new("a", "http://a.test").expect("an endpoint");
    let settings = Arc::new(Settings::new(&endpoint, shared));
    let client = service_fn(|_: Request<RequestBody>| {
        let response = Response::builder().header("content-type", JSON);
        let response = response.body(body([HOUR])).expect("a response");
        ready(Ok::<_, Infallible>(response))
    });
    let future = EdgeLayer { settings }.layer(client).call(request);
    let own = size_of_val(&future) - size_of::<Ready<Result<Response<ClientBody>, Infallible>>>();
    assert!(own < OWN, "{own} bytes beside the client");
}
