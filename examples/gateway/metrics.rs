//! The metrics of the process, for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use steadfast::crates::metrics::{ATTEMPTS_BUCKETS, SECONDS_BUCKETS, describe, names};
use tokio::time::interval;

/// The interval at which samples of histograms move into their buckets. Until then they use memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of the process. Call it before the first request is sent.
///
/// # Errors
///
/// Returns an error if the process already has a recorder.
pub fn install_metrics() -> Result<PrometheusHandle, BuildError> {
    let seconds = Matcher::Suffix("_seconds".to_owned());
    let attempts = Matcher::Full(names::REQUEST_ATTEMPTS.to_owned());
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(seconds, &SECONDS_BUCKETS)?
        .set_buckets_for_metric(attempts, &ATTEMPTS_BUCKETS)?
        .install_recorder()?;
    describe();
    Ok(handle)
}

/// Runs the upkeep of the recorder forever. Spawn it as a task.
pub async fn keep_up(prometheus: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        prometheus.run_upkeep();
    }
}
