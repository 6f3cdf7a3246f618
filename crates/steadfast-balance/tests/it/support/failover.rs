use steadfast_balance::EndpointBalance;
use steadfast_core::Trail;
use steadfast_core::layer::{Next, RecordAttempts};

use crate::support::{Body, Client, send_for_status};

/// Sends a request to other endpoints at once, as a retry layer does. Returns the statuses.
pub(crate) async fn failover_statuses(
    service: &EndpointBalance<Client>,
    make: impl Fn() -> http::Request<Body>,
) -> Vec<u16> {
    let trail = Trail::new();
    let mut statuses = Vec::new();
    loop {
        let mut request = make();
        request.extensions_mut().insert(trail.clone());
        let status = send_for_status(service, request).await;
        statuses.push(status);
        if status == 200 || trail.take_next() != Some(Next::Now) {
            return statuses;
        }
    }
}
