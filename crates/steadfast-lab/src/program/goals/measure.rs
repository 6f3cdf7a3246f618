//! Results, and their comparison with a goal.
//!
//! A goal without a number, such as a latency without a success, is not reached.

use std::fmt;

use crate::program::numbers::{mean, seconds};
use crate::program::study::{Outcome, Study};
use crate::report::Report;

/// The result of a policy for one goal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    /// The numbers as the page prints them.
    pub(crate) text: String,
    /// Whether the goal is reached.
    pub(crate) holds: bool,
    /// The number by which policies are compared. A larger one is better.
    pub(crate) rank: f64,
}

impl Measure {
    /// Returns whether this result is better: a reached goal first, then the larger rank.
    pub(super) fn beats(&self, other: &Self) -> bool {
        match self.holds.cmp(&other.holds) {
            std::cmp::Ordering::Equal => self.rank > other.rank,
            holds => holds.is_gt(),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let miss = if self.holds { "" } else { "**no:** " };
        write!(f, "{miss}{}", self.text)
    }
}

/// All outcomes, by scenario, load and policy.
pub(crate) struct Results<'a>(&'a [&'a Outcome]);

impl<'a> Results<'a> {
    /// Wraps the outcomes of all studies.
    pub(super) fn new(outcomes: &'a [&'a Outcome]) -> Self {
        Self(outcomes)
    }

    /// Returns all outcomes, in the order of the studies.
    pub(crate) fn outcomes(&self) -> &'a [&'a Outcome] {
        self.0
    }

    /// Returns the names of the policies, in order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &'a str> {
        let rows = self.0.first().into_iter().flat_map(|one| &one.rows);
        rows.map(|row| Outcome::policy(row))
    }

    /// Returns a study, and the reports of a policy in it.
    ///
    /// # Panics
    ///
    /// Panics if no study has this scenario and load.
    pub(crate) fn of(&self, scenario: &str, load: f64, policy: &str) -> (&'a Study, &'a [Report]) {
        let mut all = self.0.iter();
        let outcome = all
            .find(|one| one.study.entry.name() == scenario && one.study.load == load)
            .expect("each goal is about a study that was run");
        let mut rows = outcome.rows.iter();
        let row = rows.find(|row| Outcome::policy(row) == policy);
        (&outcome.study, row.expect("each policy has run"))
    }

    /// Returns the mean over the seeds of a number that each report has.
    pub(crate) fn mean(
        &self,
        (scenario, load): (&str, f64),
        policy: &str,
        of: impl Fn(&Report) -> f64,
    ) -> f64 {
        let (_, row) = self.of(scenario, load, policy);
        mean(row.iter().map(of)).unwrap_or(f64::NAN)
    }

    /// Returns the mean over the seeds of a time, or infinity if no report has it.
    pub(crate) fn time(
        &self,
        (scenario, load): (&str, f64),
        policy: &str,
        of: impl Fn(&Report) -> Option<f64>,
    ) -> f64 {
        let (_, row) = self.of(scenario, load, policy);
        mean(row.iter().filter_map(of)).unwrap_or(f64::INFINITY)
    }
}

/// Formats a time, or `never` if it is infinite.
pub(crate) fn time(value: f64) -> String {
    if value.is_finite() {
        format!("{} s", seconds(value))
    } else {
        "never".to_owned()
    }
}
