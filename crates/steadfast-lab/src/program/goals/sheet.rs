//! A page of goals, and the results of each policy.
//!
//! Two pages have this form: the page on goals, and the page on limits.

use steadfast_core::BoxError;

use super::list::Goal;
use super::measure::{Measure, Results};
use crate::policy::Policy;
use crate::program::numbers::NONE;
use crate::program::page::{File, notice};
use crate::program::study::Outcome;
use crate::program::table::Table;

/// A page of goals, without results.
#[derive(Clone, Copy)]
pub(crate) struct Sheet {
    /// The name of the command and of the file, without its extension.
    pub(crate) name: &'static str,
    /// The text, with the placeholders `{command}` and `{chapters}`.
    pub(crate) page: &'static str,
    /// Returns the goals, in the order of the page.
    pub(crate) goals: fn() -> Vec<Goal>,
    /// Returns the chapters below the table of goals.
    pub(crate) chapters: fn(&Results<'_>) -> String,
}

/// The goals of a sheet and their results.
pub(crate) struct Scores {
    /// The page.
    sheet: Sheet,
    /// The names of our policies.
    ours: Vec<String>,
    /// The goals, in the order of the page.
    rows: Vec<Score>,
    /// The chapters below the table of goals.
    chapters: String,
}

/// A goal, with the results of each of our policies.
struct Score {
    /// The goal.
    goal: Goal,
    /// The results of our policies, in their order.
    ours: Vec<Measure>,
    /// The best policy of others, and its result.
    best: Option<(String, Measure)>,
}

impl Scores {
    /// Compares the outcomes of all policies with the goals.
    pub(crate) fn new(sheet: Sheet, policies: &[Box<dyn Policy>], outcomes: &[&Outcome]) -> Self {
        let results = Results::new(outcomes);
        let names = policies.iter().map(|policy| policy.name());
        let (ours, others): (Vec<_>, Vec<_>) = names.partition(|name| is_ours(name));
        let score = |goal: Goal| Score {
            ours: ours.iter().map(|name| goal.of(&results, name)).collect(),
            best: others
                .iter()
                .map(|name| ((*name).to_owned(), goal.of(&results, name)))
                .reduce(|best, other| if other.1.beats(&best.1) { other } else { best }),
            goal,
        };
        Self {
            sheet,
            rows: (sheet.goals)().into_iter().map(score).collect(),
            chapters: (sheet.chapters)(&results),
            ours: ours.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Returns an error with the names of the goals that none of our policies reaches.
    pub(crate) fn verdict(&self) -> Result<(), BoxError> {
        match self.missed().as_slice() {
            [] => Ok(()),
            missed => {
                let (all, missed) = (self.rows.len(), missed.join("; "));
                Err(format!("none of ours reaches these of {all} goals: {missed}").into())
            }
        }
    }

    /// Returns the names of the goals that none of our policies reaches.
    pub(crate) fn missed(&self) -> Vec<&str> {
        let missed = self.rows.iter().filter(|row| !row.is_reached());
        missed.map(|row| row.goal.name).collect()
    }

    /// Returns the chapters of the page.
    pub(crate) fn chapters(&self) -> String {
        format!("{}\n\n{}\n{}", self.summary(), self.table(), self.chapters)
    }

    /// Returns the page. `command` is the command line that writes it.
    pub(crate) fn page(&self, command: &str) -> File {
        let text = self
            .sheet
            .page
            .replace("{command}", command)
            .replace("{chapters}", self.chapters().trim_end());
        File {
            name: format!("{}.md", self.sheet.name),
            text: notice(command) + &text,
        }
    }

    /// Returns the sentence on the number of reached goals.
    fn summary(&self) -> String {
        let reached = |n: usize| self.rows.iter().filter(|row| row.ours[n].holds).count();
        let each = self.ours.iter().enumerate();
        let each: Vec<_> = each
            .map(|(n, name)| format!("`{name}` {}", reached(n)))
            .collect();
        format!(
            "Of {} goals, {} are reached by one of ours at least. Goals that each reaches: {}.",
            self.rows.len(),
            self.rows.len() - self.missed().len(),
            each.join(", ")
        )
    }

    /// Returns the table with one row per goal.
    fn table(&self) -> Table {
        let titles = ["goal", "target"].into_iter();
        let titles = titles.chain(self.ours.iter().map(String::as_str));
        let titles = titles.chain(["best of the others"]);
        let mut table = Table::new(titles.map(str::to_owned).collect());
        for row in &self.rows {
            let mut cells = vec![row.goal.name.to_owned(), row.goal.target.to_owned()];
            cells.extend(row.ours.iter().map(Measure::to_string));
            cells.push(match &row.best {
                Some((name, measure)) => format!("{name}: {measure}"),
                None => NONE.to_owned(),
            });
            table.push(cells);
        }
        table
    }
}

impl Score {
    /// Returns whether one of our policies reaches the goal.
    fn is_reached(&self) -> bool {
        self.ours.iter().any(|measure| measure.holds)
    }
}

/// Returns whether a policy is one of ours, by its name.
pub(super) fn is_ours(policy: &str) -> bool {
    policy.starts_with("steadfast")
}
