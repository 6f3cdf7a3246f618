//! The program: it runs scenarios, prints the results, and writes pages.
//!
//! One command runs studies on all cores, prints their tables, and writes pages with plots. The
//! pages under `docs/lab` are its output with the default arguments.
//!
//! | Command | Output |
//! |---|---|
//! | `NAME` | the tables of one scenario on stdout |
//! | `NAME --json` | one JSON object per run on stdout |
//! | `all` | all pages and plots, and all tables on stdout |
//! | `retry` | the page on retries, with `--out` |
//! | `breaker` | the page on breakers, with `--out` |
//! | `goals`, `limits` | one page of goals; the exit code is 1 if a goal is missed |
//! | `--list` | the names of scenarios and policies |

mod args;
mod batch;
mod breaker;
mod columns;
mod defaults;
mod goals;
mod json;
mod limits;
mod numbers;
mod page;
mod plot;
mod progress;
mod retry;
mod study;
mod table;

use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use steadfast_core::BoxError;

use self::args::{Args, Output};
use self::goals::{Scores, Sheet};
use self::page::File;
use self::progress::Progress;
use self::study::{Outcome, Study};
use crate::catalog::{self, catalog, evidence};
use crate::policy::{Policy, policies, retry_only};

/// Runs the program with the arguments of the process.
///
/// Invalid arguments end the process with code 2. Write errors are printed on stderr.
#[must_use]
pub fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the part of the program that the arguments select.
fn run(args: &Args) -> Result<(), BoxError> {
    let output = args.output();
    if let Some(seeds) = args.breaker_seeds().filter(|_| args.is_breaker()) {
        return breakers(args, seeds, &output);
    }
    if let Some((sheet, studies)) = args.sheet() {
        return goal_page(args, sheet, &studies, &output);
    }
    let policies = args.policies();
    match output {
        Output::List => print(&list()),
        Output::Tables if args.is_retry() => {
            print(&retry::chapters(&outcomes(&args.studies(), &policies)))
        }
        Output::Pages(out) if args.is_retry() => retry_page(args, &policies, &out),
        Output::Json => print(&json::lines(&outcomes(&args.studies(), &policies))?),
        Output::Tables => print(&page::tables(&outcomes(&args.studies(), &policies))),
        Output::Pages(out) => pages(args, &policies, &out),
    }
}

/// Runs all studies with all policies, and shows the progress on stderr.
fn outcomes(studies: &[Study], policies: &[Box<dyn Policy>]) -> Vec<Outcome> {
    batch::run(studies, policies, &mut Progress::new())
}

/// Writes all pages. Goals reuse the outcomes of the tables.
fn pages(args: &Args, policies: &[Box<dyn Policy>], out: &Path) -> Result<(), BoxError> {
    // Before the work, which takes minutes.
    create(out)?;
    let mut studies = args.studies();
    let tables = studies.len();
    studies.extend(args.sweeps());
    let mut outcomes = outcomes(&studies, policies);
    let sweeps = outcomes.split_off(tables);
    let pages = page::Pages {
        command: args.command_line(),
        policies,
        outcomes: &outcomes,
        sweeps: &sweeps,
    };
    let mut files = pages.files()?;
    if let Some(seeds) = args.default_seeds() {
        files.push(defaults::page(&pages.notice(), seeds));
    }
    if let Some(studies) = args.retry_studies() {
        let policies = retry_only();
        let outcomes = self::outcomes(&studies, &policies);
        files.extend(retry::files(&args.retry_command(), &policies, &outcomes)?);
    }
    if let Some(seeds) = args.breaker_seeds() {
        let measured = breaker::measure(seeds);
        files.push(breaker::page(&args.breaker_command(), &measured));
    }
    if let Some(studies) = args.goal_studies() {
        // Half of them is in the tables.
        let ran = |study: &Study| outcomes.iter().any(|one| one.study.is_same(study));
        let missing: Vec<_> = studies.into_iter().filter(|study| !ran(study)).collect();
        let more = self::outcomes(&missing, policies);
        let all: Vec<_> = outcomes.iter().chain(&more).collect();
        let scores = Scores::new(goals::SHEET, policies, &all);
        files.push(scores.page(&args.sheet_command(goals::SHEET)));
    }
    print(&page::tables(&outcomes))?;
    write(out, &files)
}

/// Writes a page of goals. Then fails if none of our policies reaches a goal, so CI notices.
fn goal_page(
    args: &Args,
    sheet: Sheet,
    studies: &[Study],
    output: &Output,
) -> Result<(), BoxError> {
    let Output::Pages(out) = output else {
        unreachable!("goals are always written");
    };
    create(out)?;
    let policies = policies();
    let outcomes = outcomes(studies, &policies);
    let scores = Scores::new(sheet, &policies, &outcomes.iter().collect::<Vec<_>>());
    print(&scores.chapters())?;
    write(out, &[scores.page(&args.sheet_command(sheet))])?;
    scores.verdict()
}

/// Prints the tables on breakers, and writes their page if requested.
fn breakers(args: &Args, seeds: u64, output: &Output) -> Result<(), BoxError> {
    if let Output::Pages(out) = output {
        create(out)?;
    }
    let measured = breaker::measure(seeds);
    print(&breaker::chapters(&measured))?;
    match output {
        Output::Pages(out) => write(out, &[breaker::page(&args.breaker_command(), &measured)]),
        _ => Ok(()),
    }
}

/// Writes the page on retries, and prints its tables.
fn retry_page(args: &Args, policies: &[Box<dyn Policy>], out: &Path) -> Result<(), BoxError> {
    create(out)?;
    let outcomes = outcomes(&args.studies(), policies);
    let files = retry::files(&args.retry_command(), policies, &outcomes)?;
    print(&retry::chapters(&outcomes))?;
    write(out, &files)
}

/// Returns the names and descriptions of all scenarios and policies.
fn list() -> String {
    let scenarios = catalog()
        .iter()
        .chain(evidence())
        .chain(catalog::limits())
        .map(|entry| (entry.name(), entry.about()))
        .collect::<Vec<_>>();
    let policies = policies();
    let policies: Vec<_> = policies
        .iter()
        .map(|policy| (policy.name(), policy.about()))
        .collect();
    format!(
        "Scenarios:\n{}\nPolicies:\n{}",
        names(&scenarios),
        names(&policies)
    )
}

/// Returns one line per name, with its description.
fn names(all: &[(&str, &str)]) -> String {
    all.iter()
        .map(|(name, about)| format!("  {name:22}  {about}\n"))
        .collect()
}

/// Prints on stdout. A reader that closes the pipe, such as `head`, is no error.
fn print(text: &str) -> Result<(), BoxError> {
    let mut stdout = io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        // A reader such as `head` has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| format!("cannot print: {error}").into()),
    }
}

/// Creates the directory of the pages.
fn create(out: &Path) -> Result<(), BoxError> {
    fs::create_dir_all(out)
        .map_err(|error| format!("cannot make the directory {}: {error}", out.display()).into())
}

/// Writes the files into a directory.
fn write(out: &Path, files: &[File]) -> Result<(), BoxError> {
    for file in files {
        let path = out.join(&file.name);
        fs::write(&path, &file.text)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    eprintln!("wrote {} files into {}", files.len(), out.display());
    Ok(())
}
