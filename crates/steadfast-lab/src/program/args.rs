//! The arguments.
//!
//! The docs of the fields of [`Args`] are the help text. Combinations that have no output end the
//! process with a message and code 2.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{CommandFactory, Parser, error::ErrorKind};

use crate::catalog::{Entry, catalog, evidence, limits as limit_entries};
use crate::policy::{Policy, policies, retry_only};
use crate::program::goals::{self, Sheet};
use crate::program::study::{self, Study};
use crate::program::{breaker, limits, retry};

/// Returns the default number of seeds at a load.
///
/// Overloads last an hour and take most of the time, and their means hardly differ from seed to
/// seed.
fn default_seeds(load: f64) -> u64 {
    if load > 1.0 { 1 } else { 3 }
}

/// The accepted loads. Below, a scenario may have no request. Above, its requests may exceed the
/// memory.
const LOADS: std::ops::RangeInclusive<f64> = 0.01..=100.0;

/// Runs the real layers, and policies of others beside them, on a simulated clock.
#[derive(Debug, Parser)]
#[command(name = "steadfast-lab")]
pub(super) struct Args {
    /// The scenario to run. `all` runs each, and writes tables and plots into `--out`. `retry`,
    /// `breaker`, `goals` and `limits` run what the pages on retries, breakers, goals and limits
    /// are made of, and the last two fail if a goal is missed
    #[arg(required_unless_present = "list", value_parser = PossibleValuesParser::new(scenarios()))]
    scenario: Option<String>,

    /// Requests as a share of what the endpoints can serve, instead of the loads of each scenario
    #[arg(long, value_name = "X", value_parser = load, allow_negative_numbers = true)]
    load: Option<f64>,

    /// How many seeds to run with, from 1 on [default: 3, 1 for loads above 1, and 6 for `limits`]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000), allow_negative_numbers = true)]
    seeds: Option<u64>,

    /// Print one JSON object a line, and no table
    #[arg(long)]
    json: bool,

    /// Run only this policy. May be given several times
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(names()))]
    policy: Vec<String>,

    /// Where `all`, `retry`, `breaker`, `goals` and `limits` write. By default `docs/lab` of this
    /// repository for the last two, and for `all` unless `--load` or `--policy` leave something out
    #[arg(long, value_name = "DIR", conflicts_with_all = ["json", "list"])]
    out: Option<PathBuf>,

    /// Print the scenarios and the policies
    #[arg(long, conflicts_with = "scenario")]
    list: bool,
}

/// The selected form of the output.
#[derive(Debug, PartialEq)]
pub(super) enum Output {
    /// One JSON object per report.
    Json,
    /// The names of scenarios and policies.
    List,
    /// Tables on stdout, and pages in this directory.
    Pages(PathBuf),
    /// Tables on stdout.
    Tables,
}

impl Args {
    /// Returns the form of the output, or ends the process if the arguments conflict.
    pub(super) fn output(&self) -> Output {
        match &self.out {
            _ if self.list => Output::List,
            _ if self.is_breaker() && (self.json || !self.is_whole()) => {
                refuse("`breaker` has neither loads nor policies nor JSON, only seeds")
            }
            _ if self.sheet().is_some() && (self.json || !self.is_whole()) => {
                refuse("`goals` and `limits` have neither loads nor policies nor JSON, only seeds")
            }
            _ if self.json => Output::Json,
            Some(_) if !self.has_pages() => {
                refuse("--out is for what has pages: one scenario is not written")
            }
            Some(out) => Output::Pages(out.clone()),
            None if (self.is_all() || self.sheet().is_some()) && self.is_whole() => {
                Output::Pages(default_out())
            }
            None => Output::Tables,
        }
    }

    /// Returns the selected policies, in the order of the registry.
    pub(super) fn policies(&self) -> Vec<Box<dyn Policy>> {
        let mut all = if self.is_retry() {
            retry_only()
        } else {
            policies()
        };
        all.retain(|policy| {
            self.policy.is_empty() || self.policy.iter().any(|name| name == policy.name())
        });
        if all.is_empty() {
            refuse("none of these policies runs there: `retry` has its own");
        }
        all
    }

    /// Returns the studies of the tables.
    pub(super) fn studies(&self) -> Vec<Study> {
        if self.is_retry() {
            return retry::studies(self.load, self.seeds.unwrap_or(retry::SEEDS));
        }
        self.entries()
            .flat_map(|entry| {
                let loads = self
                    .load
                    .map_or_else(|| entry.loads().to_vec(), |load| vec![load]);
                loads
                    .into_iter()
                    .map(move |load| Study::new(entry, load, self.seeds_at(load)))
            })
            .collect()
    }

    /// Returns the studies of the plots of success over load, or none if a load is given.
    pub(super) fn sweeps(&self) -> Vec<Study> {
        let entries = self.entries().filter(|_| self.load.is_none());
        entries.flat_map(study::sweep).collect()
    }

    /// Returns the number of seeds of the page on our defaults, or `None` if only a part of the
    /// pages is selected.
    pub(super) fn default_seeds(&self) -> Option<u64> {
        self.is_whole().then(|| self.seeds_at(1.0))
    }

    /// Returns the studies of the page on goals, or `None` if only a part of the pages is selected.
    pub(super) fn goal_studies(&self) -> Option<Vec<Study>> {
        self.is_whole().then(|| self.goals())
    }

    /// Returns the selected page of goals with its studies, if it is the only output.
    pub(super) fn sheet(&self) -> Option<(Sheet, Vec<Study>)> {
        match self.scenario.as_deref() {
            Some("goals") => Some((goals::SHEET, self.goals())),
            Some("limits") => {
                let seeds = self.seeds.unwrap_or(limits::SEEDS);
                Some((limits::SHEET, limits::studies(seeds)))
            }
            _ => None,
        }
    }

    /// Returns the studies of the page on retries, or `None` if only a part of the pages is
    /// selected.
    pub(super) fn retry_studies(&self) -> Option<Vec<Study>> {
        let seeds = self.seeds.unwrap_or(retry::SEEDS);
        self.is_whole().then(|| retry::studies(None, seeds))
    }

    /// Returns the number of seeds of the page on breakers, or `None` if only a part of the pages
    /// is selected.
    pub(super) fn breaker_seeds(&self) -> Option<u64> {
        let seeds = self.seeds.unwrap_or(breaker::SEEDS);
        self.is_whole().then_some(seeds)
    }

    /// Returns the studies of the page on goals.
    fn goals(&self) -> Vec<Study> {
        goals::studies(|load| self.seeds_at(load))
    }

    /// Returns the number of seeds at a load.
    fn seeds_at(&self, load: f64) -> u64 {
        self.seeds.unwrap_or_else(|| default_seeds(load))
    }

    /// Returns whether neither loads nor policies are selected.
    fn is_whole(&self) -> bool {
        self.policy.is_empty() && self.load.is_none()
    }

    /// Returns the command line that writes the same pages.
    pub(super) fn command_line(&self) -> String {
        self.command("all")
    }

    /// Returns the command line that writes the same page on retries.
    pub(super) fn retry_command(&self) -> String {
        self.command("retry --out docs/lab")
    }

    /// Returns the command line that writes the same page on breakers.
    pub(super) fn breaker_command(&self) -> String {
        self.command("breaker --out docs/lab")
    }

    /// Returns the command line that writes the same page of goals.
    pub(super) fn sheet_command(&self, sheet: Sheet) -> String {
        self.command(sheet.name)
    }

    /// Returns the command line for `what`, with the given options.
    fn command(&self, what: &str) -> String {
        let mut command = format!(
            "cargo run --release --manifest-path crates/steadfast-lab/Cargo.toml -- {what}"
        );
        if let Some(load) = self.load {
            command += &format!(" --load {load}");
        }
        if let Some(seeds) = self.seeds {
            command += &format!(" --seeds {seeds}");
        }
        for policy in &self.policy {
            command += &format!(" --policy {policy}");
        }
        command
    }

    /// Returns the selected scenarios.
    fn entries(&self) -> impl Iterator<Item = &'static Entry> + '_ {
        // The pages on goals and limits have the results of the others.
        let named = |entry: &&Entry| self.scenario.as_deref() == Some(entry.name());
        let all = catalog().iter().filter(move |_| self.is_all());
        all.chain(named_entries().filter(named))
    }

    /// Returns whether the page on retries is selected.
    pub(super) fn is_retry(&self) -> bool {
        self.scenario.as_deref() == Some("retry")
    }

    /// Returns whether the page on breakers is selected.
    pub(super) fn is_breaker(&self) -> bool {
        self.scenario.as_deref() == Some("breaker")
    }

    /// Returns whether the selection has pages. One scenario has only tables.
    fn has_pages(&self) -> bool {
        self.is_all() || self.is_retry() || self.is_breaker() || self.sheet().is_some()
    }

    /// Returns whether all scenarios are selected.
    fn is_all(&self) -> bool {
        self.scenario.as_deref() == Some("all")
    }
}

/// Returns the scenarios that can run alone.
fn named_entries() -> impl Iterator<Item = &'static Entry> {
    catalog().iter().chain(evidence()).chain(limit_entries())
}

/// Returns the accepted values of the first argument.
fn scenarios() -> impl Iterator<Item = &'static str> {
    ["all", "retry", "breaker", "goals", "limits"]
        .into_iter()
        .chain(named_entries().map(Entry::name))
}

/// Returns the accepted names of policies, each once.
fn names() -> Vec<&'static str> {
    let mut names: Vec<_> = policies().iter().map(|policy| policy.name()).collect();
    for policy in retry_only() {
        if !names.contains(&policy.name()) {
            names.push(policy.name());
        }
    }
    names
}

/// Parses a load.
fn load(text: &str) -> Result<f64, String> {
    let load = text.parse().ok().filter(|load| LOADS.contains(load));
    let (least, most) = (LOADS.start(), LOADS.end());
    load.ok_or_else(|| format!("a number from {least} to {most} is needed"))
}

/// Ends the process with a message about conflicting arguments.
fn refuse(message: &str) -> ! {
    <Args as CommandFactory>::command()
        .error(ErrorKind::ArgumentConflict, message)
        .exit()
}

/// Returns the directory of the pages in this repository.
fn default_out() -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
    // Shorter in messages. It may not exist if the binary was moved to another machine.
    root.canonicalize().unwrap_or(root).join("docs/lab")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Args {
        Args::try_parse_from(line.split(' ')).expect("valid arguments")
    }

    #[test]
    fn argument_definition_is_consistent() {
        <Args as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn default_directory_is_used_only_for_complete_run() {
        assert_eq!(parse("lab all").output(), Output::Pages(default_out()));
        assert_eq!(
            parse("lab all --seeds 2").output(),
            Output::Pages(default_out())
        );
        assert_eq!(parse("lab all --load 0.5").output(), Output::Tables);
        assert_eq!(
            parse("lab all --policy round-robin").output(),
            Output::Tables
        );
        assert_eq!(
            parse("lab all --load 0.5 --out x").output(),
            Output::Pages("x".into())
        );
        assert_eq!(parse("lab quota").output(), Output::Tables);
        assert_eq!(parse("lab all --json").output(), Output::Json);
    }

    #[test]
    fn load_argument_replaces_loads_of_scenario() {
        let loads = |line| {
            let studies = parse(line).studies();
            studies.iter().map(|study| study.load).collect::<Vec<_>>()
        };
        assert_eq!(loads("lab quota"), [0.8, 0.95, 1.1]);
        assert_eq!(loads("lab quota --load 0.3"), [0.3]);
        assert_eq!(loads("lab all --load 0.3").len(), catalog().len());
    }

    #[test]
    fn retry_page_belongs_to_complete_run_only() {
        let seeds = |line| {
            let studies = parse(line).retry_studies()?;
            Some(studies.iter().map(|study| study.seeds).collect::<Vec<_>>())
        };
        assert_eq!(seeds("lab all"), Some(vec![retry::SEEDS; 7]));
        assert_eq!(seeds("lab all --seeds 2"), Some(vec![2; 7]));
        assert_eq!(seeds("lab all --load 0.5"), None);
        assert_eq!(seeds("lab all --policy round-robin"), None);
        assert_eq!(parse("lab retry").output(), Output::Tables);
        assert_eq!(
            parse("lab all --seeds 2").retry_command(),
            parse("lab retry --out docs/lab --seeds 2").retry_command()
        );
    }

    #[test]
    fn breaker_page_belongs_to_complete_run_only() {
        let seeds = |line| parse(line).breaker_seeds();
        assert_eq!(seeds("lab all"), Some(breaker::SEEDS));
        assert_eq!(seeds("lab all --seeds 2"), Some(2));
        assert_eq!(seeds("lab all --load 0.5"), None);
        assert_eq!(seeds("lab all --policy round-robin"), None);
        assert_eq!(parse("lab breaker").output(), Output::Tables);
    }

    #[test]
    fn policies_keep_registry_order() {
        let args = parse("lab all --policy round-robin --policy steadfast-scored");
        let names: Vec<_> = args.policies().iter().map(|policy| policy.name()).collect();
        assert_eq!(names, ["steadfast-scored", "round-robin"]);
    }

    #[test]
    fn command_line_names_restrictions() {
        assert_eq!(
            parse("lab all --load 0.5 --seeds 2 --policy round-robin --out x").command_line(),
            "cargo run --release --manifest-path crates/steadfast-lab/Cargo.toml -- all --load 0.5 --seeds 2 --policy round-robin"
        );
    }

    /// Part of all, and run alone it is written where the others are.
    #[test]
    fn goals_belong_to_complete_run_and_have_own_page() {
        let seeds = |line| {
            let studies = parse(line).goal_studies()?;
            let mut seeds: Vec<_> = studies.iter().map(|study| study.seeds).collect();
            seeds.sort_unstable();
            seeds.dedup();
            Some(seeds)
        };
        assert_eq!(seeds("lab all"), Some(vec![1, 3]));
        assert_eq!(seeds("lab all --load 0.5"), None);
        assert_eq!(seeds("lab all --policy round-robin"), None);
        for name in ["goals", "limits"] {
            let args = parse(&format!("lab {name} --seeds 2"));
            let (sheet, studies) = args.sheet().expect("a page of its own");
            assert_eq!(sheet.name, name);
            assert!(studies.iter().all(|study| study.seeds <= 2));
            assert_eq!(args.output(), Output::Pages(default_out()));
        }
        assert!(parse("lab quota").sheet().is_none());
        assert_eq!(
            parse("lab goals --out x").output(),
            Output::Pages("x".into())
        );
        assert_eq!(
            parse("lab all --seeds 2").sheet_command(goals::SHEET),
            parse("lab goals --out x --seeds 2").sheet_command(goals::SHEET)
        );
    }
}
