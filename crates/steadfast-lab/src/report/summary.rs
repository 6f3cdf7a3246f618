//! The result of a run.
//!
//! A [`Report`] holds the numbers that users compare, and [`Details`] the numbers of tables and
//! plots. JSON contains only the first, so its format is stable.

use serde::Serialize;

use crate::report::details::Details;
use crate::report::record::Record;
use crate::report::statistics::{quantile, shares, sorted, total};
use crate::world::Scenario;

/// The result of a policy in a scenario.
///
/// Times are measured on successful requests, from their arrival.
///
/// ```
/// use std::time::Duration;
/// use steadfast_lab::{Arrivals, Endpoint, Scenario, Trouble, policies};
///
/// let scenario = Scenario::new("outage")
///     .endpoint(Endpoint::new("a").trouble(10..20, Trouble::Refuses))
///     .endpoint(Endpoint::new("b"))
///     .arrivals(Arrivals::Constant(10.0))
///     .lasting(Duration::from_secs(40));
/// // Our failover strategy moves to the second endpoint, and loses no request.
/// let report = scenario.run(&*policies()[0], 1);
/// assert_eq!(report.policy, "steadfast-failover");
/// assert_eq!((report.requests, report.success), (400, 1.0));
/// assert!(report.shares[1] > 0.2);
/// // The first endpoint has its traffic back within seconds.
/// assert!(report.details.back_s.is_some_and(|seconds| seconds < 15.0));
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The name of the scenario.
    pub scenario: String,
    /// The name of the policy.
    pub policy: String,
    /// The load as a share of the quota of all endpoints, if the scenario has one.
    pub load: Option<f64>,
    /// The seed.
    pub seed: u64,
    /// The number of requests.
    pub requests: u64,
    /// The share of requests that succeeded, from 0 to 1.
    pub success: f64,
    /// Attempts of all requests, divided by the requests.
    pub attempts_per_request: f64,
    /// Attempts that were answered with 429, divided by the requests.
    pub rate_limited_per_request: f64,
    /// The median latency in seconds, or `None` without a success.
    pub p50_s: Option<f64>,
    /// The 99th percentile of the latency in seconds, or `None` without a success.
    pub p99_s: Option<f64>,
    /// The share of all attempts that went to each endpoint, in the order of the scenario.
    pub shares: Vec<f64>,
    /// The numbers for tables and plots, which JSON leaves out.
    #[serde(skip)]
    pub details: Details,
}

impl Report {
    /// Computes the report of a run from the records of its requests.
    ///
    /// `ticks` contains the attempts at each endpoint in columns of 100 ms.
    pub(crate) fn new(
        scenario: &Scenario,
        policy: &str,
        seed: u64,
        records: &[Record],
        ticks: &[Vec<u32>],
    ) -> Self {
        let requests = records.len().max(1) as f64;
        let sum = |of: fn(&Record) -> u32| {
            records
                .iter()
                .map(|record| f64::from(of(record)))
                .sum::<f64>()
        };
        let served: Vec<_> = records
            .iter()
            .filter(|record| record.served_by.is_some())
            .collect();
        let took = sorted(served.iter().map(|record| record.took));
        let totals: Vec<f64> = ticks.iter().map(|ticks| total(ticks)).collect();
        Self {
            scenario: scenario.name.clone(),
            policy: policy.to_owned(),
            load: scenario.load,
            seed,
            requests: records.len() as u64,
            success: served.len() as f64 / requests,
            attempts_per_request: sum(|record| record.attempts) / requests,
            rate_limited_per_request: sum(|record| record.limited) / requests,
            p50_s: quantile(&took, 0.5),
            p99_s: quantile(&took, 0.99),
            shares: shares(&totals),
            details: Details::new(scenario, records, &served, &took, ticks),
        }
    }
}

#[cfg(test)]
mod tests;
