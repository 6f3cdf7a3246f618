//! What the tables on limits, overload and outages have beside the usual columns.
//!
//! A mean over all requests hides a caller that is refused, so these tables have numbers per
//! caller.

use super::{Column, optional};
use crate::program::numbers::{mean, percent};
use crate::program::study::Study;
use crate::report::{CallerReport, Report};

/// Returns the columns on the callers of a study, and on the ends of their requests.
pub(super) fn columns(study: &Study) -> Vec<Column> {
    match study.entry.name() {
        "flapping" => vec![share("with healthy %", |report| {
            report.details.with_healthy_endpoint
        })],
        "models" | "greedy" => vec![failed(study), attempts(study), waited(study), fair(study)],
        name if name.starts_with("poison") => vec![failed(study), attempts(study)],
        _ => patience(),
    }
}

/// Returns the columns on rejections and cancellations.
fn patience() -> Vec<Column> {
    let rejections = |report: &Report| report.details.rejections.clone();
    vec![
        share("of quota %", |report| report.details.of_quota),
        share("cancelled %", |report| Some(report.details.cancelled)),
        share("rejected %", |report| Some(report.details.rejections.share)),
        Column::seconds("rejected p99 s", move |report| rejections(report).p99_s),
        Column::seconds("hint s", move |report| rejections(report).hint_s),
        share("hints hold %", |report| {
            report.details.rejections.hints_hold
        }),
        share("returns served %", |report| {
            report.details.rejections.returns_served
        }),
    ]
}

/// Creates a column of a share, averaged over the seeds that have it.
fn share(title: &str, of: fn(&Report) -> Option<f64>) -> Column {
    Column::new(title, move |row| {
        optional(mean(row.iter().filter_map(of)), percent)
    })
}

/// Returns the column of failed requests of each caller.
fn failed(study: &Study) -> Column {
    of_callers(
        study,
        "failed",
        |caller| caller.failed as f64,
        |n| format!("{n:.1}"),
    )
}

/// Returns the column of attempts per request of each caller.
fn attempts(study: &Study) -> Column {
    let attempts = |caller: &CallerReport| caller.attempts_per_request;
    of_callers(study, "attempts/request", attempts, |n| format!("{n:.3}"))
}

/// Returns the column of the longest wait of each caller.
fn waited(study: &Study) -> Column {
    of_callers(
        study,
        "waited max s",
        |caller| caller.waited_max_s,
        |n| format!("{n:.2}"),
    )
}

/// Returns the column of successes relative to the fair share of each caller.
fn fair(study: &Study) -> Column {
    of_callers(
        study,
        "of fair share %",
        |caller| caller.of_fair_share,
        percent,
    )
}

/// Creates a column with a number of each caller, averaged over the seeds.
fn of_callers(
    study: &Study,
    title: &str,
    of: fn(&CallerReport) -> f64,
    text: fn(f64) -> String,
) -> Column {
    let callers = study.scenario.callers.iter();
    let names: Vec<_> = callers.map(|caller| caller.sender.name).collect();
    Column::new(format!("{title}, {}", names.join("/")), move |row| {
        let number = |n: usize| {
            let all = row.iter().filter_map(|one| one.details.callers.get(n));
            optional(mean(all.map(of)), text)
        };
        let numbers: Vec<_> = (0..names.len()).map(number).collect();
        numbers.join("/")
    })
}
