//! Results, and their comparison with a goal.

use std::fmt;

use crate::program::numbers::{mean, seconds};
use crate::program::study::{Outcome, Study};
use crate::report::Report;

/// What a policy makes of a goal.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    pub(crate) text: String,
    pub(crate) holds: bool,
    /// More is better.
    pub(crate) rank: f64,
}

impl Measure {
    /// Whether it is the better one of two.
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

/// All outcomes, to be asked by name.
pub(crate) struct Results<'a>(&'a [&'a Outcome]);

impl<'a> Results<'a> {
    pub(super) fn new(outcomes: &'a [&'a Outcome]) -> Self {
        Self(outcomes)
    }

    pub(crate) fn outcomes(&self) -> &'a [&'a Outcome] {
        self.0
    }

    /// The names of the policies, in order.
    pub(crate) fn policies(&self) -> impl Iterator<Item = &'a str> {
        let rows = self.0.first().into_iter().flat_map(|one| &one.rows);
        rows.map(|row| Outcome::policy(row))
    }

    /// The study, and the reports of a policy.
    pub(crate) fn of(&self, scenario: &str, load: f64, policy: &str) -> (&'a Study, &'a [Report]) {
        let mut all = self.0.iter();
        let outcome = all
            .find(|one| one.study.entry.name() == scenario && one.study.load == load)
            .expect("each goal is about a study that was run");
        let mut rows = outcome.rows.iter();
        let row = rows.find(|row| Outcome::policy(row) == policy);
        (&outcome.study, row.expect("each policy has run"))
    }

    /// The mean of a number that each report has.
    pub(crate) fn mean(
        &self,
        (scenario, load): (&str, f64),
        policy: &str,
        of: impl Fn(&Report) -> f64,
    ) -> f64 {
        let (_, row) = self.of(scenario, load, policy);
        mean(row.iter().map(of)).unwrap_or(f64::NAN)
    }

    /// The mean of a time that a report has after at least one success.
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

/// A time as it is written, which may be none.
pub(crate) fn time(value: f64) -> String {
    if value.is_finite() {
        format!("{} s", seconds(value))
    } else {
        "never".to_owned()
    }
}
