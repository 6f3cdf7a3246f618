//! The columns of a study that is about retries alone.
//!
//! The baseline has no retries. So each difference to it is the effect of the retries of a policy.

use super::{Column, attempts, last, limited, mean_or_never, optional, peak, recovered};
use crate::program::numbers::{mean, percent};
use crate::program::study::Outcome;
use crate::report::Report;

/// The policy with the reference recovery.
const BASELINE: &str = "no-retry";

/// Returns the columns of a study on retries.
pub(super) fn columns(outcome: &Outcome) -> Vec<Column> {
    let scenario = &outcome.study.scenario;
    let mut columns = vec![attempts()];
    if scenario.endpoints.iter().any(|one| one.requests.is_some()) {
        columns.extend([limited(), last()]);
    } else {
        columns.extend([peak(), worst_peak()]);
    }
    if scenario.last_trouble().is_some() {
        columns.push(recovered());
        columns.extend(later(outcome));
    }
    if scenario.endpoints.iter().any(|one| one.failures > 0.0) {
        columns.push(blips_retried());
    }
    columns
}

/// Returns the column of the largest amplification of any seed.
fn worst_peak() -> Column {
    Column::new("peak at worst", |row| {
        let peaks = row.iter().map(|report| report.details.peak_amplification);
        optional(peaks.reduce(f64::max), |peak| format!("{peak:.3}"))
    })
}

/// Returns the column of the share of random failures with a retry.
fn blips_retried() -> Column {
    Column::new("blips retried %", |row| {
        let shares = row
            .iter()
            .filter_map(|report| report.details.unlucky_retried);
        optional(mean(shares), percent)
    })
}

/// Returns the column of the delay of the recovery relative to no retries, seed by seed.
fn later(outcome: &Outcome) -> Option<Column> {
    let recovered = |row: &[Report]| -> Vec<_> {
        let times = row.iter().map(|report| report.details.recovered_s);
        times.collect()
    };
    let mut rows = outcome.rows.iter();
    let baseline = recovered(rows.find(|row| Outcome::policy(row) == BASELINE)?);
    Some(Column::new("later by s", move |row| {
        let times = recovered(row).into_iter().zip(&baseline);
        let delays = times.map(|(time, baseline)| Some(time? - (*baseline)?));
        mean_or_never(delays, |mean| format!("{mean:.1}"))
    }))
}
