//! The routes of the gateway.

use std::future::ready;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;
use steadfast::AiStack;

use super::forward::{forward, not_found};
use super::status::status;

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Creates the routes of a gateway over `stack`.
pub fn router(stack: AiStack, prometheus: PrometheusHandle) -> Router {
    let metrics = move || ready(([(CONTENT_TYPE, METRICS_TYPE)], prometheus.render()));
    Router::new()
        .route("/v1/{*rest}", any(forward))
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| ready("ok\n")))
        .fallback(not_found)
        .with_state(stack)
}
