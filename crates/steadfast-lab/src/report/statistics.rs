//! Quantiles, means and counts per column of time.

use std::time::Duration;

use crate::world::TICK;

pub(super) fn sorted(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut seconds: Vec<_> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds
}

/// The nearest rank: the least value that is not exceeded by a share of `1 - q`.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

pub(super) fn total(counts: &[u32]) -> f64 {
    counts.iter().map(|n| f64::from(*n)).sum()
}

pub(super) fn shares(counts: &[f64]) -> Vec<f64> {
    let total = counts.iter().sum::<f64>().max(1.0);
    counts.iter().map(|n| n / total).collect()
}

/// Counts the instants in columns of this width.
pub(super) fn columns(times: impl Iterator<Item = Duration>, width: Duration) -> Vec<u32> {
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

pub(super) fn floats(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|n| f64::from(*n)).collect()
}

pub(super) fn ticks_per_second() -> usize {
    (Duration::from_secs(1).as_millis() / TICK.as_millis()) as usize
}

pub(super) fn per_second(ticks: &[u32]) -> Vec<u32> {
    ticks
        .chunks(ticks_per_second())
        .map(|ticks| ticks.iter().sum())
        .collect()
}
