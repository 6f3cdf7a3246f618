//! The page on what each default buys: ours, and ours with one of them changed.
//!
//! Each chapter changes one default of ours at a time, in the scenario where that default matters
//! most.

use crate::catalog::catalog;
use crate::policy::{Policy, variants};
use crate::program::batch;
use crate::program::page::{File, sections};
use crate::program::progress::Progress;
use crate::program::study::{Outcome, Study};

/// The text above the chapters.
const INTRODUCTION: &str = include_str!("defaults.md");

/// The scenarios of the page, each with its load.
const STUDIES: [(&str, f64); 5] = [
    ("quota", 0.95),
    ("noise", 0.5),
    ("fast-fail", 0.5),
    ("storm", 0.8),
    ("herd", 1.0),
];

/// Runs the variants, and returns the page.
pub(super) fn page(notice: &str, seeds: u64) -> File {
    let variants: Vec<Box<dyn Policy>> = variants();
    let outcomes = batch::run(&studies(seeds), &variants, &mut Progress::new());
    let chapters: String = outcomes.iter().map(chapter).collect();
    let text = format!("{notice}{INTRODUCTION}\n{}", chapters.trim_end());
    File {
        name: "defaults.md".to_owned(),
        text: text + "\n",
    }
}

/// Returns the studies of the page.
fn studies(seeds: u64) -> Vec<Study> {
    STUDIES
        .iter()
        .map(|(name, load)| {
            let entry = catalog().iter().find(|entry| entry.name() == *name);
            Study::new(entry.expect("it is in the catalog"), *load, seeds)
        })
        .collect()
}

/// Returns the chapter of a scenario, with a link to its own page.
fn chapter(outcome: &Outcome) -> String {
    let name = outcome.study.entry.name();
    let section = sections(std::slice::from_ref(outcome));
    section.replacen(
        "## Load",
        &format!("## [{name}]({name}.md) at a load of"),
        1,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_has_all_studies_with_headings() {
        let studies = studies(1);
        assert_eq!(studies.len(), STUDIES.len());
        let outcome = Outcome {
            study: studies[1].clone(),
            rows: Vec::new(),
        };
        assert!(chapter(&outcome).starts_with("## [noise](noise.md) at a load of 0.5\n"));
    }
}
