//! What a run showed.

use std::time::Duration;

use serde::Serialize;

use crate::arrivals::{Arrivals, step};
use crate::scenario::Scenario;
use crate::world::World;

/// What became of a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    /// Since the start.
    pub(crate) arrived: Duration,
    pub(crate) took: Duration,
    /// What it took beside the attempt that served it.
    pub(crate) waited: Duration,
    /// The endpoint, if it was served.
    pub(crate) served_by: Option<usize>,
    pub(crate) attempts: u32,
    pub(crate) limited: u32,
    /// The attempts that failed by chance.
    pub(crate) unlucky: u32,
    /// Whether the first attempt failed otherwise than by a limit.
    pub(crate) failed_first: bool,
    /// Whether it did so by chance.
    pub(crate) unlucky_first: bool,
    /// Whether its time was over while an attempt was under way.
    pub(crate) late: bool,
}

impl Record {
    /// Whether nothing but chance has failed it: that says nothing about a trouble.
    fn is_bad_luck(&self) -> bool {
        self.served_by.is_none() && self.attempts > 0 && self.attempts == self.unlucky
    }
}

/// What a policy made of a scenario.
///
/// Times are those of requests that succeeded, from their arrival on.
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
    /// What is in tables and plots, and not in JSON.
    #[serde(skip)]
    pub details: Details,
}

/// What is in tables and plots only.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// Attempts divided by requests, in the second in which that was most.
    pub peak_amplification: f64,
    /// The seconds from the end of the last trouble until the first second from which on 99 of 100
    /// requests of every second succeeded or failed by chance alone, if there was a trouble and
    /// such a second.
    pub recovered_s: Option<f64>,
    /// The seconds from the end of the last trouble until its endpoint got four fifths of the
    /// attempts that it had before, if there was a trouble and it did.
    pub back_s: Option<f64>,
    /// The latency in seconds that one success in a thousand exceeds.
    pub p999_s: Option<f64>,
    /// The longest latency of a success, in seconds.
    pub max_s: Option<f64>,
    /// How many seconds a success waited beside the attempt that served it, on average.
    pub waited_s: Option<f64>,
    /// The longest such wait of 99 in a hundred.
    pub waited_p99_s: Option<f64>,
    /// The mean cost of a success.
    pub cost: Option<f64>,
    /// The share of all successes that each endpoint served.
    pub served: Vec<f64>,
    /// The attempts at each endpoint in each second.
    pub attempts: Vec<Vec<u32>>,
    /// The requests in each second.
    pub arrivals: Vec<u32>,
    /// How many of the requests of each second succeeded.
    pub successes: Vec<u32>,
    /// Of the requests whose first attempt failed otherwise than by a limit, the share that was
    /// tried again.
    pub retried: Option<f64>,
    /// The same of the requests whose first attempt failed by chance, as a share of all attempts
    /// does at an endpoint with [`failures`](crate::Endpoint::failures).
    pub unlucky_retried: Option<f64>,
    /// The share of requests whose time was over while an attempt was under way.
    pub late: f64,
    /// The seconds of its quota of requests that each endpoint has given away, since more than its
    /// burst was saved up.
    pub unused_s: Vec<f64>,
    /// The 99th percentile of each step in seconds, if requests come in
    /// [steps](crate::Arrivals::Steps). Whoever failed counts with the deadline.
    pub steps_p99_s: Vec<f64>,
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

impl Details {
    fn new(
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
            peak_amplification: peak_amplification(ticks, &columns(arrived(), World::TICK)),
            recovered_s: scenario
                .last_trouble()
                .and_then(|(_, trouble)| recovered(records, trouble.end)),
            back_s: back(scenario, ticks),
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
            late: records.iter().filter(|record| record.late).count() as f64
                / records.len().max(1) as f64,
            unused_s: Vec::new(),
            steps_p99_s: steps_p99(scenario, records),
        }
    }
}

/// A failure is no shortcut: it counts as the longest time that a request may take.
fn steps_p99(scenario: &Scenario, records: &[Record]) -> Vec<f64> {
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

fn sorted(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut seconds: Vec<_> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds
}

/// The nearest rank: the least value that is not exceeded by a share of `1 - q`.
fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn total(counts: &[u32]) -> f64 {
    counts.iter().map(|n| f64::from(*n)).sum()
}

fn shares(counts: &[f64]) -> Vec<f64> {
    let total = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|n| n / total).collect()
}

/// Counts the instants in columns of this width.
fn columns(times: impl Iterator<Item = Duration>, width: Duration) -> Vec<u32> {
    let mut columns = Vec::new();
    for time in times {
        let column = usize::try_from(time.as_nanos() / width.as_nanos()).unwrap_or(usize::MAX);
        if columns.len() <= column {
            columns.resize(column + 1, 0);
        }
        columns[column] += 1;
    }
    columns
}

fn ticks_per_second() -> usize {
    (Duration::from_secs(1).as_millis() / World::TICK.as_millis()) as usize
}

fn per_second(ticks: &[u32]) -> Vec<u32> {
    ticks
        .chunks(ticks_per_second())
        .map(|ticks| ticks.iter().sum())
        .collect()
}

/// The most attempts for a request over any second. Seconds at the end, in which no more requests
/// come, have no ratio.
fn peak_amplification(ticks: &[Vec<u32>], arrivals: &[u32]) -> f64 {
    let at = |tick: usize| {
        ticks
            .iter()
            .filter_map(|ticks| ticks.get(tick))
            .sum::<u32>()
    };
    let attempts: Vec<_> = (0..arrivals.len()).map(at).collect();
    let width = ticks_per_second().min(arrivals.len()).max(1);
    let seconds = attempts.windows(width).zip(arrivals.windows(width));
    let ratios = seconds.map(|(attempts, arrivals)| total(attempts) / total(arrivals).max(1.0));
    ratios.fold(0.0, f64::max)
}

/// The seconds until the first one from which on 99 of 100 requests of every second succeed, or
/// fail by chance alone.
fn recovered(records: &[Record], healed: Duration) -> Option<f64> {
    let late = records.iter().filter(|record| record.arrived >= healed);
    let (mut all, mut good) = (Vec::new(), Vec::new());
    for record in late {
        let since = record.arrived - healed;
        all.push(since);
        if record.served_by.is_some() || record.is_bad_luck() {
            good.push(since);
        }
    }
    let second = Duration::from_secs(1);
    let (all, good) = (
        columns(all.into_iter(), second),
        columns(good.into_iter(), second),
    );
    let is_bad = |n: usize| total(&good[n..good.len().min(n + 1)]) < 0.99 * f64::from(all[n]);
    let first = (0..all.len())
        .rev()
        .find(|n| *n >= good.len() || is_bad(*n));
    match first {
        None => Some(0.0),
        Some(last) if last + 1 < all.len() => Some((last + 1) as f64),
        Some(_) => None,
    }
}

/// The seconds until five seconds begin in which the endpoint that healed last gets 80 % of the
/// attempts that it had before its trouble.
fn back(scenario: &Scenario, ticks: &[Vec<u32>]) -> Option<f64> {
    let (endpoint, trouble) = scenario.last_trouble()?;
    let seconds: Vec<_> = per_second(&ticks[endpoint]);
    let (start, end) = (
        trouble.start.as_secs() as usize,
        trouble.end.as_secs() as usize,
    );
    let before = mean(&floats(seconds.get(..start)?))?;
    let after = floats(seconds.get(end..)?);
    let found = after
        .windows(5)
        .position(|five| mean(five) >= Some(0.8 * before))?;
    Some(found as f64)
}

fn floats(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|n| f64::from(*n)).collect()
}

/// The share of requests with more than one attempt, of those whose first one failed like this.
fn retried(records: &[Record], failed: fn(&Record) -> bool) -> Option<f64> {
    let again = |record: &Record| f64::from(u8::from(record.attempts > 1));
    let again: Vec<_> = records.iter().filter(|r| failed(r)).map(again).collect();
    mean(&again)
}

#[cfg(test)]
mod tests;
