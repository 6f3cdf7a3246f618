//! The routes of the gateway.

use std::future::ready;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware::from_fn_with_state;
use axum::routing::{any, get};
use metrics_exporter_prometheus::PrometheusHandle;

use super::config::Config;
use super::forward::{Forward, forward, not_found};
use super::intake::Intake;
use super::screen::screen;
use super::status::status;

/// The content type of the Prometheus text format.
const METRICS_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Creates the routes for clients.
pub fn router(config: &Config) -> Router {
    let state = Forward {
        stack: config.stack.clone(),
        intake: Intake::new(&config.limits),
        screen: Arc::new(config.screen.clone()),
    };
    let mut api = Router::new().route("/v1/{*rest}", any(forward));
    if let Some(cors) = config.screen.cors() {
        api = api.layer(cors);
    }
    api.route("/healthz", get(|| ready("ok\n")))
        .fallback(not_found)
        .with_state(state)
}

/// Creates the routes for operators. They show the names and the base URLs of the endpoints, so
/// they belong on an address of their own.
pub fn admin_router(config: &Config, prometheus: PrometheusHandle) -> Router {
    let metrics = move || ready(([(CONTENT_TYPE, METRICS_TYPE)], prometheus.render()));
    Router::new()
        .route("/status", get(status))
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| ready("ok\n")))
        .fallback(not_found)
        .layer(from_fn_with_state(config.admin_screen.clone(), screen))
        .with_state(config.stack.clone())
}
