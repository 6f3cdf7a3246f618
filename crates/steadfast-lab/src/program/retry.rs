//! The page on retries alone: what a budget is for.
//!
//! One endpoint and one layer: the page compares our retry layer with tower's and with the retries
//! of SDKs.

use steadfast_core::BoxError;

use crate::catalog::{Entry, catalog, retries};
use crate::policy::Policy;
use crate::program::columns::retry_table;
use crate::program::page::{File, means, notice, policy_rows};
use crate::program::plot;
use crate::program::study::{Outcome, Study};

/// The text of the page, with placeholders.
const PAGE: &str = include_str!("retry.md");
/// The name of the plot.
const PLOT: &str = "retry-storm.svg";

/// The scenarios, each with its load.
const STUDIES: [(&str, f64); 7] = [
    ("storm", 0.8),
    ("blips-1", 0.8),
    ("blips-5", 0.8),
    ("storm-blips-1", 0.8),
    ("storm-blips-5", 0.8),
    ("storm-clients", 0.8),
    ("herd", 1.0),
];

/// The default number of seeds. It is higher than elsewhere, since the worst seed counts.
pub(super) const SEEDS: u64 = 5;

/// Returns the studies, at a given load or at their own.
pub(super) fn studies(load: Option<f64>, seeds: u64) -> Vec<Study> {
    STUDIES
        .iter()
        .map(|(name, usual)| Study::new(entry(name), load.unwrap_or(*usual), seeds))
        .collect()
}

/// Returns a scenario of either list.
fn entry(name: &str) -> &'static Entry {
    let mut all = catalog().iter().chain(retries());
    let found = all.find(|entry| entry.name() == name);
    found.expect("one of both lists has it")
}

/// Returns the page and its plot. `command` is the command line that writes them.
pub(super) fn files(
    command: &str,
    policies: &[Box<dyn Policy>],
    outcomes: &[Outcome],
) -> Result<Vec<File>, BoxError> {
    let text = PAGE
        .replace("{command}", command)
        .replace("{policies}", policy_rows(policies).trim_end())
        .replace("{plot}", PLOT)
        .replace("{chapters}", chapters(outcomes).trim_end());
    let page = File {
        name: "retry.md".to_owned(),
        text: notice(command) + &text,
    };
    let plot = File {
        name: PLOT.to_owned(),
        text: plot::endpoints(&outcomes[0])?,
    };
    Ok(vec![page, plot])
}

/// Returns the tables of all outcomes, each with its heading.
pub(super) fn chapters(outcomes: &[Outcome]) -> String {
    let chapter = |outcome: &Outcome| {
        let Study { entry, load, .. } = outcome.study;
        format!(
            "## {} at a load of {load}\n\n{}\n\n{}\n\n{}\n",
            entry.name(),
            entry.about(),
            means(outcome),
            retry_table(outcome)
        )
    };
    outcomes.iter().map(chapter).collect()
}
