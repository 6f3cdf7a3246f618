//! What the table of a study shows.

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
    title: String,
    cell: Box<dyn Fn(&[Report]) -> String>,
}

impl Column {
    fn new(title: impl Into<String>, cell: impl Fn(&[Report]) -> String + 'static) -> Self {
        Self {
            title: title.into(),
            cell: Box::new(cell),
        }
    }

    /// A ratio, averaged over the seeds.
    fn ratio(title: &str, of: fn(&Report) -> f64) -> Self {
        Self::new(title, move |row| {
            optional(mean(row.iter().map(of)), |mean| format!("{mean:.3}"))
        })
    }

    /// Seconds, averaged over the seeds that have them.
    fn seconds(title: impl Into<String>, of: impl Fn(&Report) -> Option<f64> + 'static) -> Self {
        Self::new(title, move |row| {
            optional(mean(row.iter().filter_map(&of)), seconds)
        })
    }

    /// Shares of the endpoints, averaged over the seeds.
    fn shares(title: impl Into<String>, of: fn(&Report) -> &[f64]) -> Self {
        Self::new(title, move |row| {
            let endpoints = row.first().map_or(0, |report| of(report).len());
            let share = |n: usize| mean(row.iter().map(|report| of(report)[n]));
            shares(&(0..endpoints).filter_map(share).collect::<Vec<_>>())
        })
    }
}

/// The table of an outcome, a row for each policy.
pub(super) fn table(outcome: &Outcome) -> Table {
    filled(outcome, &columns(&outcome.study))
}

/// The table of an outcome that is about retries alone.
pub(super) fn retry_table(outcome: &Outcome) -> Table {
    filled(outcome, &retry::columns(outcome))
}

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

/// The best success as it is written, unless all are equal.
fn best(rows: &[Vec<Report>]) -> Option<String> {
    let means = || rows.iter().filter_map(|row| mean_success(row));
    let (least, most) = (
        means().reduce(f64::min).map(percent)?,
        means().reduce(f64::max).map(percent)?,
    );
    (least != most).then_some(most)
}

fn mean_success(row: &[Report]) -> Option<f64> {
    mean(row.iter().map(|report| report.success))
}

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

fn columns(study: &Study) -> Vec<Column> {
    if let Arrivals::Steps(_) = study.scenario.arrivals {
        return steps(study);
    }
    let mut columns = vec![
        attempts(study),
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

fn attempts(study: &Study) -> Column {
    let title = match study.entry.name() {
        "herd" => "calls/request",
        _ => "attempts/request",
    };
    Column::ratio(title, |report| report.attempts_per_request)
}

fn limited() -> Column {
    Column::ratio("429s/request", |report| report.rate_limited_per_request)
}

fn costs_differ(study: &Study) -> bool {
    let endpoints = &study.scenario.endpoints;
    endpoints.windows(2).any(|two| two[0].cost != two[1].cost)
}

/// What only some scenarios are about.
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

/// The columns for a rising load: the latency at each step.
fn steps(study: &Study) -> Vec<Column> {
    let step = |(n, step)| {
        let p99 = move |report: &Report| report.details.steps_p99_s.get(n).copied();
        Column::seconds(format!("p99 at {step}"), p99)
    };
    let mut columns = vec![attempts(study)];
    columns.extend(STEPS.iter().enumerate().map(step));
    columns
}

fn tail() -> Column {
    Column::seconds("p99.9 s", |report| report.details.p999_s)
}

fn more() -> Column {
    Column::new("sends more %", |row| {
        let attempts = row.iter().map(|report| report.attempts_per_request);
        optional(mean(attempts), |mean| {
            format!("{:.2}", 100.0 * (mean - 1.0))
        })
    })
}

/// How an endpoint in trouble was treated, if one was.
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

fn peak() -> Column {
    Column::ratio("peak amplification", |report| {
        report.details.peak_amplification
    })
}

fn recovered() -> Column {
    Column::new("recovered s", |row| {
        never_or(row, |details| details.recovered_s)
    })
}

fn full() -> Column {
    Column::new("full service s", |row| {
        never_or(row, |details| details.full_s)
    })
}

fn latency() -> Column {
    Column::seconds("mean s", |report| report.details.mean_s)
}

fn last() -> Column {
    Column::seconds("last s", |report| report.details.max_s)
}

fn retried() -> Column {
    Column::new("retried %", |row| {
        let retried = row.iter().filter_map(|report| report.details.retried);
        optional(mean(retried), |share| format!("{:.1}", 100.0 * share))
    })
}

/// The mean of the seeds in which it happened, and in how many it never did.
fn never_or(row: &[Report], of: fn(&Details) -> Option<f64>) -> String {
    let times = row.iter().map(|report| of(&report.details));
    mean_or_never(times, |mean| format!("{mean:.0}"))
}

fn mean_or_never(times: impl Iterator<Item = Option<f64>>, text: impl Fn(f64) -> String) -> String {
    let times: Vec<_> = times.collect();
    let never = times.iter().filter(|time| time.is_none()).count();
    match mean(times.into_iter().flatten()) {
        None => "never".to_owned(),
        Some(mean) if never == 0 => text(mean),
        Some(mean) => format!("{}, never in {never}", text(mean)),
    }
}

fn optional(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| NONE.to_owned(), text)
}

#[cfg(test)]
mod tests;
