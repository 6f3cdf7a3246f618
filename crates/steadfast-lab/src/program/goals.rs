//! The page on goals: targets, our results, and the best result of another policy.

mod list;
mod measure;
mod studies;

pub(super) use self::studies::studies;

use steadfast_core::BoxError;

use self::list::{Goal, goals};
use self::measure::{Measure, Results};
use self::studies::OVER;
use crate::policy::Policy;
use crate::program::numbers::{NONE, mean, percent, seconds};
use crate::program::page::{File, notice};
use crate::program::study::Outcome;
use crate::program::table::Table;
use crate::report::Report;

const PAGE: &str = include_str!("goals.md");

/// The goals and their results.
pub(super) struct Scores {
    ours: Vec<String>,
    rows: Vec<Score>,
    losses: Table,
}

/// A goal, with what each of ours makes of it.
struct Score {
    goal: Goal,
    ours: Vec<Measure>,
    /// The best of the others, and its name.
    best: Option<(String, Measure)>,
}

impl Scores {
    pub(super) fn new(policies: &[Box<dyn Policy>], outcomes: &[&Outcome]) -> Self {
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
            rows: goals().into_iter().map(score).collect(),
            losses: losses(&results, ours.iter().chain(&others)),
            ours: ours.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Fails if none of ours reaches a goal. The error names the goals.
    pub(super) fn verdict(&self) -> Result<(), BoxError> {
        match self.missed().as_slice() {
            [] => Ok(()),
            missed => {
                let (all, missed) = (self.rows.len(), missed.join("; "));
                Err(format!("none of ours reaches these of {all} goals: {missed}").into())
            }
        }
    }

    fn missed(&self) -> Vec<&str> {
        let missed = self.rows.iter().filter(|row| !row.is_reached());
        missed.map(|row| row.goal.name).collect()
    }

    /// Returns the chapters of the page.
    pub(super) fn chapters(&self) -> String {
        format!(
            "{}\n\n{}\n## Where an overload loses\n\n{OVERLOAD}\n\n{}",
            self.summary(),
            self.table(),
            self.losses
        )
    }

    /// The command is the one that makes the page.
    pub(super) fn page(&self, command: &str) -> File {
        let text = PAGE
            .replace("{command}", command)
            .replace("{chapters}", self.chapters().trim_end());
        File {
            name: "goals.md".to_owned(),
            text: notice(command) + &text,
        }
    }

    fn summary(&self) -> String {
        let reached = |n: usize| self.rows.iter().filter(|row| row.ours[n].holds).count();
        let each = self.ours.iter().enumerate();
        let each: Vec<_> = each
            .map(|(n, name)| format!("`{name}` {}", reached(n)))
            .collect();
        format!(
            "Of {} goals, {} are reached by one of ours at least. By each: {}.",
            self.rows.len(),
            self.rows.len() - self.missed().len(),
            each.join(", ")
        )
    }

    fn table(&self) -> Table {
        let titles = ["goal", "is to be"].into_iter();
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
    fn is_reached(&self) -> bool {
        self.ours.iter().any(|measure| measure.holds)
    }
}

fn is_ours(policy: &str) -> bool {
    policy.starts_with("steadfast")
}

const OVERLOAD: &str = "\
`quota` at 1.1. Late is who was sent and had no answer before its deadline. Unused is the part of each \
quota that nobody used, since more was saved up than the burst.";

/// Why success at an overload is not what the quotas allow.
fn losses<'a>(results: &Results<'_>, policies: impl Iterator<Item = &'a &'a str>) -> Table {
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
    for policy in policies {
        let (study, row) = results.of("quota", OVER, policy);
        let time = study.scenario.lasting.as_secs_f64();
        let number = |of: &dyn Fn(&Report) -> Option<f64>, text: &dyn Fn(f64) -> String| {
            mean(row.iter().filter_map(of)).map_or_else(|| NONE.to_owned(), text)
        };
        table.push(vec![
            (*policy).to_owned(),
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
mod tests;
