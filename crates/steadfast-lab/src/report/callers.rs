//! The numbers of each caller, and of rejections.
//!
//! A caller is a group of requests with a model, a credential and a patience. Fairness is a number
//! of each caller: a policy with a good mean can still starve a small caller.

use std::time::Duration;

use crate::report::record::Record;
use crate::report::statistics::{mean, quantile, sorted};
use crate::world::{Caller, Scenario};

/// An endpoint counts as healthy from this time after its last trouble.
const SETTLED: Duration = Duration::from_secs(2);
/// A hint holds if a request is served that comes within this time after it.
const RETURN: Duration = Duration::from_secs(1);

/// The outcomes of the requests of one caller.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CallerReport {
    /// The name of the caller.
    pub name: &'static str,
    /// The number of its requests.
    pub requests: u64,
    /// The number of its requests that failed or were cancelled.
    pub failed: u64,
    /// Attempts divided by requests.
    pub attempts_per_request: f64,
    /// The longest time that a success waited beside the attempt that served it, in seconds.
    pub waited_max_s: f64,
    /// Successes, as a share of its fair share, at most 1. The fair share is its number of
    /// requests, or its quota if that is less.
    pub of_fair_share: f64,
}

/// The requests that were answered without success.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rejections {
    /// Their share of all requests.
    pub share: f64,
    /// The time from arrival to answer in seconds that one rejection in a hundred exceeds.
    pub p99_s: Option<f64>,
    /// The mean hint in seconds.
    pub hint_s: Option<f64>,
    /// The share of rejections with a hint that holds: at least one request that arrives within a
    /// second after the hinted time is served. Rejections with a later hint than the last arrival
    /// do not count.
    pub hints_hold: Option<f64>,
    /// The share of rejections after which a caller that returns at the hinted time is served: the
    /// first request that arrives from then on is served. It is rejected or cancelled otherwise.
    pub returns_served: Option<f64>,
}

/// The reports of all callers, in the order of the scenario.
pub(super) fn of_callers(scenario: &Scenario, records: &[Record]) -> Vec<CallerReport> {
    let callers = scenario.callers.iter().enumerate();
    let report = |(n, caller): (usize, &Caller)| {
        let sent = || records.iter().filter(move |record| record.caller == n);
        let served = || sent().filter(|record| record.served_by.is_some());
        let (requests, successes) = (sent().count() as f64, served().count() as f64);
        let attempts: f64 = sent().map(|record| f64::from(record.attempts)).sum();
        let waited = sorted(served().map(|record| record.waited));
        let rates = scenario.endpoints.iter();
        let rates = rates.filter_map(|endpoint| endpoint.rate_of(caller.sender.name));
        let quota = rates.reduce(|sum, rate| sum + rate);
        let quota = quota.map_or(f64::INFINITY, |rate| rate * scenario.lasting.as_secs_f64());
        CallerReport {
            name: caller.sender.name,
            requests: requests as u64,
            failed: (requests - successes) as u64,
            attempts_per_request: attempts / requests.max(1.0),
            waited_max_s: waited.last().copied().unwrap_or_default(),
            of_fair_share: (successes / requests.min(quota).max(1.0)).min(1.0),
        }
    };
    callers.map(report).collect()
}

impl Rejections {
    /// Computes the numbers of all rejections from the records of a run.
    pub(super) fn new(records: &[Record]) -> Self {
        let rejected = || records.iter().filter(|record| record.is_rejected());
        let mut arrivals: Vec<_> = records.iter().collect();
        arrivals.sort_by_key(|record| record.arrived);
        let share = |holds: &dyn Fn(Duration, &[&Record]) -> bool| {
            let hold = |record: &Record| {
                let Some(hint) = record.hint else {
                    return Some(0.0);
                };
                let back = record.arrived + record.took + hint;
                let later = arrivals.partition_point(|record| record.arrived < back);
                let later = &arrivals[later..];
                (!later.is_empty()).then(|| f64::from(u8::from(holds(back, later))))
            };
            mean(&rejected().filter_map(hold).collect::<Vec<_>>())
        };
        let is_served = |record: &Record| record.served_by.is_some();
        let hints: Vec<_> = rejected().filter_map(|record| record.hint).collect();
        Self {
            share: rejected().count() as f64 / records.len().max(1) as f64,
            p99_s: quantile(&sorted(rejected().map(|record| record.took)), 0.99),
            hint_s: mean(&sorted(hints.into_iter())),
            hints_hold: share(&|back, later| {
                let mut soon = later
                    .iter()
                    .take_while(|record| record.arrived <= back + RETURN);
                soon.any(|record| is_served(record))
            }),
            returns_served: share(&|_, later| is_served(later[0])),
        }
    }
}

/// Returns the success of requests with a healthy endpoint: one without a trouble for 2 s before
/// their arrival. `None` without a trouble.
///
/// A request without success is then the fault of the policy, not of the endpoints.
pub(super) fn with_healthy_endpoint(scenario: &Scenario, records: &[Record]) -> Option<f64> {
    scenario.last_trouble()?;
    let healthy = |record: &&Record| {
        let since = record.arrived.saturating_sub(SETTLED);
        let mut endpoints = scenario.endpoints.iter();
        endpoints.any(|endpoint| endpoint.is_healthy_in(since..record.arrived))
    };
    let success = |record: &Record| f64::from(u8::from(record.served_by.is_some()));
    let all: Vec<_> = records.iter().filter(healthy).map(success).collect();
    mean(&all)
}

/// Returns the successes as a share of the quota of all endpoints in the time of the run. `None`
/// without limits.
pub(super) fn of_quota(scenario: &Scenario, successes: usize) -> Option<f64> {
    let all = scenario.rate() * scenario.lasting.as_secs_f64();
    all.is_finite().then_some(successes as f64 / all)
}

#[cfg(test)]
mod tests;
