//! The state of the stack, as JSON for people and scripts.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use steadfast::{AiStack, EndpointStatus, Snapshot};

#[derive(Debug, Serialize)]
pub(crate) struct Status {
    endpoints: Vec<Endpoint>,
    requests: Requests,
}

#[derive(Debug, Serialize)]
struct Endpoint {
    name: String,
    url: String,
    tier: u16,
    /// `closed`, `open` or `half_open`.
    breaker: &'static str,
    health: f64,
    /// How long it is still left alone, or null.
    cooling_seconds: Option<f64>,
    in_flight: u32,
    /// How long the head of a good answer takes, or null as long as there was none.
    latency_seconds: Option<f64>,
    admissible: bool,
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
        endpoints: stack.status().into_iter().map(Endpoint::from).collect(),
        requests: Requests {
            success_rate: snapshot.success_rate(),
            snapshot,
        },
    })
}

impl From<EndpointStatus> for Endpoint {
    fn from(status: EndpointStatus) -> Self {
        Self {
            name: status.name.to_string(),
            url: status.base,
            tier: status.tier,
            breaker: status.breaker.as_str(),
            health: status.health,
            cooling_seconds: status.cooling.as_ref().map(Duration::as_secs_f64),
            in_flight: status.in_flight,
            latency_seconds: status.latency.as_ref().map(Duration::as_secs_f64),
            admissible: status.admissible,
        }
    }
}
