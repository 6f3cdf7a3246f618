//! Studies and their outcomes.

use std::time::Duration;

use crate::catalog::Entry;
use crate::report::Report;
use crate::world::Scenario;

/// A scenario at a load, to be run by each policy with each seed.
#[derive(Clone, Debug)]
pub(super) struct Study {
    pub(super) entry: &'static Entry,
    pub(super) load: f64,
    pub(super) scenario: Scenario,
    pub(super) seeds: u64,
}

/// The reports of all policies in a study.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) study: Study,
    /// For each policy a report with each seed, both in order.
    pub(super) rows: Vec<Vec<Report>>,
}

impl Study {
    pub(super) fn new(entry: &'static Entry, load: f64, seeds: u64) -> Self {
        Self {
            entry,
            load,
            scenario: entry.at(load),
            seeds,
        }
    }

    /// Whether both are run in the same way.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (self.entry.name(), self.load, self.seeds) == (other.entry.name(), other.load, other.seeds)
    }

    /// The names of the endpoints.
    pub(super) fn endpoints(&self) -> Vec<&'static str> {
        let endpoints = self.scenario.endpoints.iter();
        endpoints.map(|endpoint| endpoint.name).collect()
    }

    /// About how many requests come.
    pub(super) fn expected(&self) -> f64 {
        self.load * self.scenario.rate() * self.scenario.lasting.as_secs_f64()
    }
}

impl Outcome {
    /// The policy of a row.
    pub(super) fn policy(row: &[Report]) -> &str {
        row.first().map_or("", |report| &report.policy)
    }
}

/// An entry at loads from 0.5 to 1.2, for a plot of success over load. Empty for entries in which
/// the load is not what matters.
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
