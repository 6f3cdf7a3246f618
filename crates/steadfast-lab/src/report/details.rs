//! The numbers of tables and plots.
//!
//! JSON output omits them. The pages print them as columns, and the plots draw the counts per
//! second.

use std::time::Duration;

use crate::report::callers::{
    CallerReport, Rejections, of_callers, of_quota, with_healthy_endpoint,
};
use crate::report::record::Record;
use crate::report::statistics::{columns, mean, per_second, quantile, shares, sorted};
use crate::report::trouble::{back, full, peak_amplification, recovered, retried};
use crate::world::{Arrivals, Scenario, TICK, step};

/// Numbers for tables and plots only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Attempts divided by requests, in the second in which that was most.
    pub peak_amplification: f64,
    /// The seconds from the end of the last trouble to full success. From there on, at least 99 %
    /// of the requests of every second succeed or fail by chance alone. `None` without a trouble,
    /// or without such a second.
    pub recovered_s: Option<f64>,
    /// The seconds from the end of the last trouble until its endpoint gets four fifths of its
    /// earlier attempts. `None` without a trouble, or if it never does.
    pub back_s: Option<f64>,
    /// The seconds from the end of the last trouble until its endpoint gets 95 attempts for 100
    /// requests of every second. `None` without a trouble, or without such a second.
    pub full_s: Option<f64>,
    /// The mean latency of a success in seconds.
    pub mean_s: Option<f64>,
    /// The 99.9th percentile of the latency of successes, in seconds.
    pub p999_s: Option<f64>,
    /// The longest latency of a success, in seconds.
    pub max_s: Option<f64>,
    /// The mean time in seconds that a success spent outside the attempt that served it.
    pub waited_s: Option<f64>,
    /// The 99th percentile of the same time.
    pub waited_p99_s: Option<f64>,
    /// The mean cost of a success.
    pub cost: Option<f64>,
    /// The share of all successes that each endpoint served.
    pub served: Vec<f64>,
    /// The attempts at each endpoint in each second.
    pub attempts: Vec<Vec<u32>>,
    /// The requests in each second.
    pub arrivals: Vec<u32>,
    /// The successes among the requests of each second.
    pub successes: Vec<u32>,
    /// Among requests with a first attempt that failed, other than by a limit, the share with a
    /// retry.
    pub retried: Option<f64>,
    /// The same share among requests with a first attempt that failed at random, as at an endpoint
    /// with [`failures`](crate::Endpoint::failures).
    pub unlucky_retried: Option<f64>,
    /// The share of requests with an attempt in flight at the deadline.
    pub late: f64,
    /// The share of requests with a caller that lost patience.
    pub cancelled: f64,
    /// The requests that were answered without success.
    pub rejections: Rejections,
    /// The numbers of each caller, in the order of the scenario.
    pub callers: Vec<CallerReport>,
    /// Successes as a share of what all endpoints together can serve in the time, if they have
    /// limits.
    pub of_quota: Option<f64>,
    /// The share of successes among requests for which an endpoint had been healthy for 2 s, if
    /// there was a trouble.
    pub with_healthy_endpoint: Option<f64>,
    /// The longest time from the arrival of a request to its end, in seconds.
    pub ended_max_s: f64,
    /// The seconds of its quota of requests that each endpoint has given away, since more than its
    /// burst was saved up.
    pub unused_s: Vec<f64>,
    /// The 99th percentile of each step in seconds, if requests come in
    /// [steps](crate::Arrivals::Steps). A failure counts as the deadline.
    pub steps_p99_s: Vec<f64>,
}

impl Details {
    /// Computes the numbers of a run.
    ///
    /// `took` contains the latencies of the successes in ascending order, and `ticks` the attempts
    /// at each endpoint in columns of 100 ms.
    pub(super) fn new(
        scenario: &Scenario,
        records: &[Record],
        served: &[&Record],
        took: &[f64],
        ticks: &[Vec<u32>],
    ) -> Self {
        let waited = sorted(served.iter().map(|record| record.waited));
        let mut by = vec![0.0; scenario.endpoints.len()];
        for endpoint in served.iter().filter_map(|record| record.served_by) {
            by[endpoint] += 1.0;
        }
        let cost = by
            .iter()
            .zip(&scenario.endpoints)
            .map(|(n, endpoint)| n * endpoint.cost);
        let second = Duration::from_secs(1);
        let arrived = || records.iter().map(|record| record.arrived);
        Self {
            peak_amplification: peak_amplification(ticks, &columns(arrived(), TICK)),
            recovered_s: scenario
                .last_trouble()
                .and_then(|(_, trouble)| recovered(records, trouble.end)),
            back_s: back(scenario, ticks),
            full_s: full(scenario, ticks, &columns(arrived(), second)),
            mean_s: mean(took),
            p999_s: quantile(took, 0.999),
            max_s: took.last().copied(),
            waited_s: mean(&waited),
            waited_p99_s: quantile(&waited, 0.99),
            cost: (!served.is_empty()).then(|| cost.sum::<f64>() / served.len() as f64),
            served: shares(&by),
            attempts: ticks.iter().map(|ticks| per_second(ticks)).collect(),
            arrivals: columns(arrived(), second),
            successes: columns(served.iter().map(|record| record.arrived), second),
            retried: retried(records, |record| record.failed_first),
            unlucky_retried: retried(records, |record| record.unlucky_first),
            late: share(records, |record| record.late),
            cancelled: share(records, |record| record.cancelled),
            rejections: Rejections::new(records),
            callers: of_callers(scenario, records),
            of_quota: of_quota(scenario, served.len()),
            with_healthy_endpoint: with_healthy_endpoint(scenario, records),
            ended_max_s: sorted(records.iter().map(|record| record.took))
                .last()
                .copied()
                .unwrap_or_default(),
            unused_s: Vec::new(),
            steps_p99_s: steps_p99(scenario, records),
        }
    }
}

/// Returns the share of records for which `of` is true.
fn share(records: &[Record], of: fn(&Record) -> bool) -> f64 {
    records.iter().filter(|record| of(record)).count() as f64 / records.len().max(1) as f64
}

/// Returns the 99th percentile of the latency in each step, in seconds.
///
/// A failure counts as the deadline. Otherwise a policy that fails early would look fast.
pub(super) fn steps_p99(scenario: &Scenario, records: &[Record]) -> Vec<f64> {
    let Arrivals::Steps(rates) = &scenario.arrivals else {
        return Vec::new();
    };
    let length = step(rates.len(), scenario.lasting);
    let time = |record: &Record| match record.served_by {
        Some(_) => record.took,
        None => record.took.max(scenario.deadline),
    };
    (0..rates.len() as u32)
        .filter_map(|n| {
            let span = length * n..length * (n + 1);
            let of_step = records.iter().filter(|one| span.contains(&one.arrived));
            quantile(&sorted(of_step.map(time)), 0.99)
        })
        .collect()
}
