//! The metrics of the process, for Prometheus.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use steadfast::metrics::{ATTEMPTS_BUCKETS, SECONDS_BUCKETS, describe, names};
use tokio::time::interval;

/// How often the samples of histograms are put into their buckets. In between they take memory.
const UPKEEP: Duration = Duration::from_secs(5);

/// Installs the recorder of the process. Call it before the first request is sent.
///
/// # Errors
///
/// Returns an error if the process has a recorder already.
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

/// Does the upkeep of the recorder, for ever. A task should do it.
pub async fn keep_up(prometheus: PrometheusHandle) {
    let mut ticks = interval(UPKEEP);
    loop {
        ticks.tick().await;
        prometheus.run_upkeep();
    }
}
