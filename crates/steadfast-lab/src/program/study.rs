//! Studies and their outcomes.
//!
//! A study is the unit of work: one scenario at one load, for all policies and seeds. Its outcome
//! is one table.

use std::time::Duration;

use crate::catalog::Entry;
use crate::report::Report;
use crate::world::Scenario;

/// A scenario at a load, which each policy runs with each seed.
#[derive(Clone, Debug)]
pub(super) struct Study {
    /// The scenario in the catalog.
    pub(super) entry: &'static Entry,
    /// The load.
    pub(super) load: f64,
    /// The scenario at this load.
    pub(super) scenario: Scenario,
    /// The number of seeds, which are counted from 1.
    pub(super) seeds: u64,
}

/// The reports of all policies in a study.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    /// The study.
    pub(super) study: Study,
    /// One row per policy, with one report per seed.
    pub(super) rows: Vec<Vec<Report>>,
}

impl Study {
    /// Creates a study.
    pub(super) fn new(entry: &'static Entry, load: f64, seeds: u64) -> Self {
        Self {
            entry,
            load,
            scenario: entry.at(load),
            seeds,
        }
    }

    /// Returns whether both studies have the same runs.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.entry.name(), self.load, self.seeds) == (other.entry.name(), other.load, other.seeds)
    }

    /// Returns the names of the endpoints.
    pub(super) fn endpoints(&self) -> Vec<&'static str> {
        let endpoints = self.scenario.endpoints.iter();
        endpoints.map(|endpoint| endpoint.name).collect()
    }

    /// Returns the approximate number of requests.
    pub(super) fn expected(&self) -> f64 {
        self.load * self.scenario.rate() * self.scenario.lasting.as_secs_f64()
    }
}

impl Outcome {
    /// Returns the policy of a row.
    pub(super) fn policy(row: &[Report]) -> &str {
        row.first().map_or("", |report| &report.policy)
    }
}

/// Returns an entry at loads from 0.5 to 1.2, for a plot of success over load. Empty for entries
/// with another subject than the load.
pub(super) fn sweep(entry: &'static Entry) -> Vec<Study> {
    const FOUR_MINUTES: Duration = Duration::from_secs(240);
    if !entry.name().starts_with("quota") {
        return Vec::new();
    }
    (5..=12)
        .map(|tenths| {
            let mut study = Study::new(entry, f64::from(tenths) / 10.0, 1);
            study.scenario = study.scenario.lasting(FOUR_MINUTES);
            study
        })
        .collect()
}
