//! The output of the Prometheus exporter, and the documentation of the names.

use std::time::Duration;

use crate::support::{Client, Ledger, TestBody, ok, status};
use metrics::Unit;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use steadfast_core::{BreakerState, Event, Observer};
use steadfast_metrics::{
    ATTEMPTS_BUCKETS, EventMetrics, MetricsLayer, SECONDS_BUCKETS, describe, names,
};
use tokio::time::advance;

#[tokio::test(start_paused = true)]
async fn prometheus_output_contains_requests_attempts_and_breakers() {
    let recorder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS_BUCKETS)
        .and_then(|builder| {
            let attempts = Matcher::Full(names::REQUEST_ATTEMPTS.into());
            builder.set_buckets_for_metric(attempts, &ATTEMPTS_BUCKETS)
        })
        .expect("buckets")
        .build_recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    describe();

    let mut requests = Client::new(MetricsLayer::requests());
    let _unread = requests.serve(ok(TestBody::stream(1))).await;
    let response = requests.serve(ok(TestBody::stream(1))).await;
    advance(Duration::from_secs(300)).await;
    drop(response);
    let mut attempts = Client::new(MetricsLayer::attempts("primary"));
    attempts.serve(status(429, TestBody::sized(0))).await;
    for (from, to) in [
        (BreakerState::Closed, BreakerState::Open),
        (BreakerState::Open, BreakerState::HalfOpen),
    ] {
        EventMetrics::new().on_event(&Event::Breaker {
            endpoint: "primary".into(),
            from,
            to,
            retry_in: None,
        });
    }

    let text = recorder.handle().render();
    let lines: Vec<_> = text.lines().collect();
    for expected in [
        "# HELP steadfast_requests_total Requests that ended, by outcome",
        "# TYPE steadfast_requests_total counter",
        r#"steadfast_requests_total{outcome="success"} 1"#,
        "steadfast_requests_started_total 2",
        "# TYPE steadfast_requests_in_flight gauge",
        "steadfast_requests_in_flight 1",
        "# TYPE steadfast_request_duration_seconds histogram",
        r#"steadfast_request_duration_seconds_bucket{outcome="success",le="163.84"} 0"#,
        r#"steadfast_request_duration_seconds_bucket{outcome="success",le="327.68"} 1"#,
        r#"steadfast_request_duration_seconds_sum{outcome="success"} 300"#,
        r#"steadfast_request_head_seconds_count{outcome="success"} 2"#,
        r#"steadfast_request_attempts_bucket{le="0"} 0"#,
        r#"steadfast_request_attempts_bucket{le="1"} 1"#,
        "steadfast_request_failovers_total 0",
        r#"steadfast_attempts_total{endpoint="primary",outcome="rate_limited"} 1"#,
        r#"steadfast_attempts_in_flight{endpoint="primary"} 0"#,
        r#"steadfast_breaker_state{endpoint="primary"} 2"#,
        r#"steadfast_breaker_transitions_total{endpoint="primary",to="half_open"} 1"#,
    ] {
        assert!(lines.contains(&expected), "no {expected}\nin\n{text}");
    }
    let states = lines
        .iter()
        .filter(|line| line.starts_with("steadfast_breaker_state{"));
    assert_eq!(states.count(), 1, "{text}");
}

#[test]
fn each_name_is_described_and_in_the_table() {
    let ledger = Ledger::default();
    metrics::with_local_recorder(&ledger, describe);
    let described = ledger.described();

    let names: Vec<_> = include_str!("../../src/names.rs")
        .lines()
        .filter(|line| line.starts_with("pub const"))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    assert_eq!(names.len(), described.len());

    let docs = include_str!("../../src/names.rs");
    for name in names {
        let description = described.get(name).expect(name);
        assert!(!description.text.is_empty(), "{name}");
        let seconds = description.unit == Some(Unit::Seconds);
        assert_eq!(seconds, name.ends_with("_seconds"), "{name}");
        let counter = description.kind == "counter";
        assert_eq!(counter, name.ends_with("_total"), "{name}");
        let row = docs
            .lines()
            .find(|line| line.starts_with("//! | `") && line.contains(&format!("`{name}`")))
            .unwrap_or_else(|| panic!("{name} is not in the table"));
        assert!(row.contains(&format!("| {}", description.kind)), "{row}");
    }
}

#[test]
fn buckets_ascend() {
    assert!(SECONDS_BUCKETS.is_sorted_by(|a, b| a < b));
    assert!(ATTEMPTS_BUCKETS.is_sorted_by(|a, b| a < b));
}
