//! What the table of a study shows.
//!
//! Each study has the usual columns, and further ones for its subject. Numbers are means over the
//! seeds.
//!
//! | Column | Meaning | Unit |
//! |---|---|---|
//! | success % | requests with a success before their deadline, ± half of the range over the seeds | percent |
//! | attempts/request | all attempts divided by all requests | |
//! | 429s/request | attempts that were answered with `429`, divided by all requests | |
//! | p50 s, p99 s | quantiles of the latency of successes, from arrival to answer | seconds |
//! | waited s | the part of this latency outside the attempt that served the request | seconds |
//! | attempts at, served by | shares of the endpoints, in the order of the scenario | percent |
//! | cost | the mean cost of a success | the unit of the scenario |
//! | back s | from the end of the trouble until its endpoint has 80 % of its earlier attempts | seconds |
//! | in trouble | attempts at the endpoint during its trouble | per second |
//! | retried % | failed first attempts with a retry | percent |
//! | peak amplification | the most attempts per request in any second | |
//! | recovered s | from the end of the trouble to full success | seconds |

mod limits;
mod retry;

use crate::catalog::STEPS;
use crate::program::numbers::{NONE, half_range, mean, percent, seconds, shares};
use crate::program::study::{Outcome, Study};
use crate::program::table::Table;
use crate::report::{Details, Report};
use crate::world::Arrivals;

/// A column: its title, and a function from the reports of a policy to a cell.
struct Column {
    /// The title.
    title: String,
    /// Returns the cell of a row from its reports, one per seed.
    cell: Box<dyn Fn(&[Report]) -> String>,
}

impl Column {
    /// Creates a column.
    fn new(title: impl Into<String>, cell: impl Fn(&[Report]) -> String + 'static) -> Self {
        Self {
            title: title.into(),
            cell: Box::new(cell),
        }
    }

    /// Creates a column of a ratio, averaged over the seeds.
    fn ratio(title: &str, of: fn(&Report) -> f64) -> Self {
        Self::new(title, move |row| {
            optional(mean(row.iter().map(of)), |mean| format!("{mean:.3}"))
        })
    }

    /// Creates a column of seconds, averaged over the seeds that have them.
    fn seconds(title: impl Into<String>, of: impl Fn(&Report) -> Option<f64> + 'static) -> Self {
        Self::new(title, move |row| {
            optional(mean(row.iter().filter_map(&of)), seconds)
        })
    }

    /// Creates a column of the shares of the endpoints, averaged over the seeds.
    fn shares(title: impl Into<String>, of: fn(&Report) -> &[f64]) -> Self {
        Self::new(title, move |row| {
            let endpoints = row.first().map_or(0, |report| of(report).len());
            let share = |n: usize| mean(row.iter().map(|report| of(report)[n]));
            shares(&(0..endpoints).filter_map(share).collect::<Vec<_>>())
        })
    }
}

/// Returns the table of an outcome, with a row per policy.
pub(super) fn table(outcome: &Outcome) -> Table {
    filled(outcome, &columns(&outcome.study))
}

/// Returns the table of an outcome on the page on retries.
pub(super) fn retry_table(outcome: &Outcome) -> Table {
    filled(outcome, &retry::columns(outcome))
}

/// Returns a table with these columns after the name and the success of each policy.
fn filled(outcome: &Outcome, columns: &[Column]) -> Table {
    let best = best(&outcome.rows);
    let titles = columns.iter().map(|column| column.title.clone());
    let header = ["policy".to_owned(), "success %".to_owned()];
    let mut table = Table::new(header.into_iter().chain(titles).collect());
    for row in &outcome.rows {
        let name = Outcome::policy(row).to_owned();
        let cells = columns.iter().map(|column| (column.cell)(row));
        let first = [name, success(row, best.as_deref())];
        table.push(first.into_iter().chain(cells).collect());
    }
    table
}

/// Returns the best success as it is printed, unless all are equal.
fn best(rows: &[Vec<Report>]) -> Option<String> {
    let means = || rows.iter().filter_map(|row| mean_success(row));
    let (least, most) = (
        means().reduce(f64::min).map(percent)?,
        means().reduce(f64::max).map(percent)?,
    );
    (least != most).then_some(most)
}

/// Returns the mean success of a row.
fn mean_success(row: &[Report]) -> Option<f64> {
    mean(row.iter().map(|report| report.success))
}

/// Returns the cell of the success: the mean, half of its range, and bold type for the best.
fn success(row: &[Report], best: Option<&str>) -> String {
    let text = optional(mean_success(row), percent);
    let spread = half_range(row.iter().map(|report| report.success));
    let mean = match best {
        Some(best) if best == text => format!("**{text}**"),
        _ => text,
    };
    match percent(spread).as_str() {
        "0.00" => mean,
        spread => format!("{mean} ± {spread}"),
    }
}

/// Returns the columns of a study.
fn columns(study: &Study) -> Vec<Column> {
    if let Arrivals::Steps(_) = study.scenario.arrivals {
        return steps();
    }
    let mut columns = vec![
        attempts(),
        limited(),
        Column::seconds("p50 s", |report| report.p50_s),
        Column::seconds("p99 s", |report| report.p99_s),
        Column::seconds("waited s", |report| report.details.waited_s),
        Column::seconds("waited p99 s", |report| report.details.waited_p99_s),
    ];
    if study.scenario.endpoints.len() > 1 {
        columns.push(Column::shares("attempts at, %", |report| &report.shares));
        columns.push(Column::shares("served by, %", |report| {
            &report.details.served
        }));
    }
    if costs_differ(study) {
        columns.push(Column::seconds("cost", |report| report.details.cost));
    }
    columns.extend(special(study));
    columns
}

/// Returns the column of attempts per request.
fn attempts() -> Column {
    Column::ratio("attempts/request", |report| report.attempts_per_request)
}

/// Returns the column of `429`s per request.
fn limited() -> Column {
    Column::ratio("429s/request", |report| report.rate_limited_per_request)
}

/// Returns whether the endpoints have different costs.
fn costs_differ(study: &Study) -> bool {
    let endpoints = &study.scenario.endpoints;
    endpoints.windows(2).any(|two| two[0].cost != two[1].cost)
}

/// Returns the columns for the subject of a study.
fn special(study: &Study) -> Vec<Column> {
    match study.entry.name() {
        "storm" => vec![peak(), recovered()],
        "herd" => vec![last()],
        "noise" => vec![retried()],
        "stragglers" => vec![tail(), more()],
        "lifted-15" | "lifted-60" => vec![full()],
        name if name.starts_with("random") => vec![latency()],
        "flapping" => limits::columns(study),
        _ if !study.scenario.callers.is_empty() => limits::columns(study),
        _ => trouble(study),
    }
}

/// Returns the columns for a rising load: the 99th percentile at each step.
fn steps() -> Vec<Column> {
    let step = |(n, step)| {
        let p99 = move |report: &Report| report.details.steps_p99_s.get(n).copied();
        Column::seconds(format!("p99 at {step}"), p99)
    };
    let mut columns = vec![attempts()];
    columns.extend(STEPS.iter().enumerate().map(step));
    columns
}

/// Returns the column of the 99.9th percentile.
fn tail() -> Column {
    Column::seconds("p99.9 s", |report| report.details.p999_s)
}

/// Returns the column of attempts beyond one per request, in percent.
fn more() -> Column {
    Column::new("sends more %", |row| {
        let attempts = row.iter().map(|report| report.attempts_per_request);
        optional(mean(attempts), |mean| {
            format!("{:.2}", 100.0 * (mean - 1.0))
        })
    })
}

/// Returns the columns on the endpoint with the last trouble, if there is one.
fn trouble(study: &Study) -> Vec<Column> {
    let Some((endpoint, range)) = study.scenario.last_trouble() else {
        return Vec::new();
    };
    let span = range.start.as_secs() as usize..range.end.as_secs() as usize;
    let rate = move |report: &Report| {
        let all = report.details.attempts.get(endpoint)?;
        let during = all.iter().skip(span.start).take(span.len());
        let attempts: f64 = during.map(|n| f64::from(*n)).sum();
        Some(attempts / span.len() as f64)
    };
    vec![
        Column::new("back s", |row| never_or(row, |details| details.back_s)),
        Column::seconds("in trouble, attempts/s", rate),
        retried(),
    ]
}

/// Returns the column of the largest amplification.
fn peak() -> Column {
    Column::ratio("peak amplification", |report| {
        report.details.peak_amplification
    })
}

/// Returns the column of the time until full success.
fn recovered() -> Column {
    Column::new("recovered s", |row| {
        never_or(row, |details| details.recovered_s)
    })
}

/// Returns the column of the time until full service.
fn full() -> Column {
    Column::new("full service s", |row| {
        never_or(row, |details| details.full_s)
    })
}

/// Returns the column of the mean latency.
fn latency() -> Column {
    Column::seconds("mean s", |report| report.details.mean_s)
}

/// Returns the column of the longest latency.
fn last() -> Column {
    Column::seconds("last s", |report| report.details.max_s)
}

/// Returns the column of the share of failed first attempts with a retry.
fn retried() -> Column {
    Column::new("retried %", |row| {
        let retried = row.iter().filter_map(|report| report.details.retried);
        optional(mean(retried), |share| format!("{:.1}", 100.0 * share))
    })
}

/// Returns the mean of the seeds that have this time, and the number of seeds that do not.
fn never_or(row: &[Report], of: fn(&Details) -> Option<f64>) -> String {
    let times = row.iter().map(|report| of(&report.details));
    mean_or_never(times, |mean| format!("{mean:.0}"))
}

/// Returns the mean of the existing times as text, with the number of missing ones.
fn mean_or_never(times: impl Iterator<Item = Option<f64>>, text: impl Fn(f64) -> String) -> String {
    let times: Vec<_> = times.collect();
    let never = times.iter().filter(|time| time.is_none()).count();
    match mean(times.into_iter().flatten()) {
        None => "never".to_owned(),
        Some(mean) if never == 0 => text(mean),
        Some(mean) => format!("{}, never in {never}", text(mean)),
    }
}

/// Returns a number as text, or a dash.
fn optional(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), text)
}

#[cfg(test)]
mod tests;
