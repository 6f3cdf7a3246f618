//! The state of the stack as JSON.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use steadfast::{AiStack, EndpointStatus, Snapshot};

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    endpoints: Vec<EndpointStatus>,
    requests: Requests,
}

#[derive(Debug, Serialize)]
struct Requests {
    #[serde(flatten)]
    snapshot: Snapshot,
    success_rate: f64,
}

pub(crate) async fn status(State(stack): State<AiStack>) -> Json<Status> {
    let snapshot = stack.snapshot();
    Json(Status {
        endpoints: stack.status(),
        requests: Requests {
            success_rate: snapshot.success_rate(),
            snapshot,
        },
    })
}
