//! What the tables on limits, overload and outages have beside the usual columns.

use super::{Column, optional};
use crate::program::numbers::{mean, percent};
use crate::program::study::Study;
use crate::report::{CallerReport, Report};

/// The columns for the callers of a study, and for the end of their requests.
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
    ]
}

fn share(title: &str, of: fn(&Report) -> Option<f64>) -> Column {
    Column::new(title, move |row| {
        optional(mean(row.iter().filter_map(of)), percent)
    })
}

fn failed(study: &Study) -> Column {
    of_callers(
        study,
        "failed",
        |caller| caller.failed as f64,
        |n| format!("{n:.1}"),
    )
}

fn attempts(study: &Study) -> Column {
    let attempts = |caller: &CallerReport| caller.attempts_per_request;
    of_callers(study, "attempts/request", attempts, |n| format!("{n:.3}"))
}

fn waited(study: &Study) -> Column {
    of_callers(
        study,
        "waited max s",
        |caller| caller.waited_max_s,
        |n| format!("{n:.2}"),
    )
}

fn fair(study: &Study) -> Column {
    of_callers(
        study,
        "of fair share %",
        |caller| caller.of_fair_share,
        percent,
    )
}

/// A number of each caller, averaged over the seeds.
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
