//! The page on limits, overload and outages: goals, and the results of all policies.
//!
//! The scenarios are in [`catalog::limits`](mod@crate::catalog), the goals in `limits/list.rs`.

mod list;

use crate::catalog::{Entry, limits};
use crate::program::columns::table;
use crate::program::goals::{Results, Sheet};
use crate::program::page::means;
use crate::program::study::{Outcome, Study};

/// The sheet of the page on limits.
pub(super) const SHEET: Sheet = Sheet {
    name: "limits",
    page: include_str!("limits.md"),
    goals: list::goals,
    chapters,
};

/// The default number of seeds. With one, two policies without a difference differ by 3 %.
pub(super) const SEEDS: u64 = 6;

/// Returns one study per scenario and load.
pub(super) fn studies(seeds: u64) -> Vec<Study> {
    let of = |entry: &'static Entry| {
        let loads = entry.loads().iter();
        loads.map(move |load| Study::new(entry, *load, seeds))
    };
    limits().flat_map(of).collect()
}

/// Returns one chapter per scenario.
fn chapters(results: &Results<'_>) -> String {
    let scenarios = results
        .outcomes()
        .chunk_by(|a, b| a.study.entry.name() == b.study.entry.name());
    let chapter = |outcomes: &[&Outcome]| {
        let entry = outcomes[0].study.entry;
        format!(
            "## {}\n\n{}\n\n{}",
            entry.name(),
            entry.about(),
            sections(outcomes)
        )
    };
    scenarios.map(chapter).collect()
}

/// Returns one section per load.
fn sections(outcomes: &[&Outcome]) -> String {
    let section = |outcome: &&Outcome| {
        let load = outcome.study.load;
        let (means, table) = (means(outcome), table(outcome));
        format!("### Load {load}\n\n{means}\n\n{table}\n")
    };
    outcomes.iter().map(section).collect()
}

#[cfg(test)]
mod tests;
