//! Layers that measure.

use axum_prometheus::BaseMetricLayer;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusRecorder};
use steadfast_metrics::{MetricsLayer, SECONDS_BUCKETS};
use tower::Layer;

use super::Case;
use super::client::{Recorded, Requests};
use super::upstream::{Healthy, Limited, Plan, Upstream};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = layers("metrics", || Healthy, true);
    cases.extend(layers(
        "metrics-reject",
        || Limited { retry_after: "1" },
        false,
    ));
    cases
}

/// Each layer without a recorder, and with one for Prometheus. Both write to the same facade.
fn layers<P: Plan>(group: &'static str, plan: fn() -> P, succeed: bool) -> Vec<Case> {
    let ours = move || {
        let service = MetricsLayer::requests().layer(Upstream(plan()));
        Requests::with(service, succeed)
    };
    let peer = move || {
        let service = BaseMetricLayer::new().layer(Upstream(plan()));
        Requests::with(service, succeed)
    };
    vec![
        Case::new(group, "bare", move || {
            Requests::with(Upstream(plan()), succeed)
        }),
        Case::new(group, "ours", ours),
        Case::new(group, "ours-recorded", move || {
            Recorded::new(ours(), recorder())
        }),
        Case::new(group, "axum-prometheus", peer),
        Case::new(group, "axum-prometheus-recorded", move || {
            Recorded::new(peer(), recorder())
        }),
    ]
}

fn recorder() -> PrometheusRecorder {
    let seconds = Matcher::Suffix("_seconds".into());
    let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &SECONDS_BUCKETS);
    builder.expect("some buckets").build_recorder()
}
