//! The page on goals: targets, our results, and the best result of another policy.
//!
//! A goal is a bound on a number of one scenario, such as the success at a load. The page is
//! generated, and the program fails if none of our policies reaches a goal.

mod list;
mod measure;
mod sheet;
mod studies;

pub(super) use self::list::{ALONE, At, Goal, busiest};
pub(super) use self::measure::{Measure, Results, time};
pub(super) use self::sheet::{Scores, Sheet};
pub(super) use self::studies::studies;

use self::studies::OVER;
use crate::program::numbers::{NONE, mean, percent, seconds};
use crate::program::table::Table;
use crate::report::Report;

/// The sheet of the page on goals.
pub(super) const SHEET: Sheet = Sheet {
    name: "goals",
    page: include_str!("goals.md"),
    goals: list::goals,
    chapters: overload,
};

/// The text of the chapter on overload.
const OVERLOAD: &str = "\
`quota` at 1.1. Late requests had an attempt in flight at their deadline. Unused is the part of \
each quota that was lost, because more than the burst was saved up.";

/// Returns the chapter on the losses during an overload.
fn overload(results: &Results<'_>) -> String {
    let losses = losses(results);
    format!("## Where an overload loses\n\n{OVERLOAD}\n\n{losses}")
}

/// Returns the table of the reasons why success is below the share of the quotas.
fn losses(results: &Results<'_>) -> Table {
    let header = [
        "policy",
        "success %",
        "429s/request",
        "late %",
        "unused %",
        "waited s",
        "waited p99 s",
    ];
    let mut table = Table::new(header.map(str::to_owned).to_vec());
    for policy in results.policies() {
        let (study, row) = results.of("quota", OVER, policy);
        let time = study.scenario.lasting.as_secs_f64();
        let number = |of: &dyn Fn(&Report) -> Option<f64>, text: &dyn Fn(f64) -> String| {
            mean(row.iter().filter_map(of)).map_or_else(|| NONE.to_owned(), text)
        };
        table.push(vec![
            policy.to_owned(),
            number(&|report| Some(report.success), &percent),
            number(&|report| Some(report.rate_limited_per_request), &|n| {
                format!("{n:.3}")
            }),
            number(&|report| Some(report.details.late), &percent),
            unused(row, time),
            number(&|report| report.details.waited_s, &seconds),
            number(&|report| report.details.waited_p99_s, &seconds),
        ]);
    }
    table
}

/// Returns the unused share of each quota, in percent.
fn unused(row: &[Report], time: f64) -> String {
    let Some(report) = row.first() else {
        return NONE.to_owned();
    };
    let unused = report.details.unused_s.iter();
    let shares: Vec<_> = unused
        .map(|unused| format!("{:.1}", 100.0 * unused / time))
        .collect();
    shares.join("/")
}

#[cfg(test)]
pub(super) mod tests;
