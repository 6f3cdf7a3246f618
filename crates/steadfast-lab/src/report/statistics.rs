//! Quantiles, means and counts per column of time.
//!
//! Quantiles are exact: they are computed from all values, not from a sketch.

use std::time::Duration;

use crate::world::TICK;

/// Returns the times in seconds, in ascending order.
pub(super) fn sorted(times: impl Iterator<Item = Duration>) -> Vec<f64> {
    let mut seconds: Vec<_> = times.map(|time| time.as_secs_f64()).collect();
    seconds.sort_unstable_by(f64::total_cmp);
    seconds
}

/// Returns the quantile `q` of ascending values by the nearest rank, or `None` without values.
pub(super) fn quantile(sorted: &[f64], q: f64) -> Option<f64> {
    let rank = (q * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// Returns the mean, or `None` without values.
pub(super) fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

/// Returns the sum of the counts.
pub(super) fn total(counts: &[u32]) -> f64 {
    counts.iter().map(|n| f64::from(*n)).sum()
}

/// Returns each count as a share of the sum of all.
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

/// Returns the counts as floating-point numbers.
pub(super) fn floats(counts: &[u32]) -> Vec<f64> {
    counts.iter().map(|n| f64::from(*n)).collect()
}

/// Returns the number of ticks of the world in a second.
pub(super) fn ticks_per_second() -> usize {
    (Duration::from_secs(1).as_millis() / TICK.as_millis()) as usize
}

/// Returns the counts per second from the counts per tick.
pub(super) fn per_second(ticks: &[u32]) -> Vec<u32> {
    ticks
        .chunks(ticks_per_second())
        .map(|ticks| ticks.iter().sum())
        .collect()
}
