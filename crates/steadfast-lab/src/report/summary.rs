//! The result of a run.

use serde::Serialize;

use crate::report::details::Details;
use crate::report::record::Record;
use crate::report::statistics::{quantile, shares, sorted, total};
use crate::world::Scenario;

/// The result of a policy in a scenario.
///
/// Times are measured on successful requests, from their arrival.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// The name of the scenario.
    pub scenario: String,
    /// The name of the policy.
    pub policy: String,
    /// The requests as a share of what the endpoints can serve, if that was how they came.
    pub load: Option<f64>,
    /// The seed.
    pub seed: u64,
    /// How many requests came.
    pub requests: u64,
    /// The share of requests that succeeded, from 0 to 1.
    pub success: f64,
    /// Attempts of all requests, divided by the requests.
    pub attempts_per_request: f64,
    /// Attempts that were answered with 429, divided by the requests.
    pub rate_limited_per_request: f64,
    /// The median latency in seconds, if any request succeeded.
    pub p50_s: Option<f64>,
    /// The latency in seconds that one success in a hundred exceeds.
    pub p99_s: Option<f64>,
    /// The share of all attempts that went to each endpoint, in the order of the scenario.
    pub shares: Vec<f64>,
    /// The numbers for tables and plots, which JSON leaves out.
    #[serde(skip)]
    pub details: Details,
}

impl Report {
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
