use steadfast_balance::EndpointBalance;
use steadfast_core::Trail;
use steadfast_core::layer::{Next, RecordAttempts};
use tower::ServiceExt;

use crate::support::{Body, Client, request, status};

/// Sends a request to other endpoints at once, as a retry layer does. Returns the statuses.
pub(crate) async fn pass_on(
    service: &EndpointBalance<Client>,
    make: impl Fn() -> http::Request<Body>,
) -> Vec<u16> {
    let trail = Trail::new();
    let mut statuses = Vec::new();
    loop {
        let mut request = make();
        request.extensions_mut().insert(trail.clone());
        let status = status(service, request).await;
        statuses.push(status);
        if status == 200 || trail.take_next() != Some(Next::Now) {
            return statuses;
        }
    }
}
