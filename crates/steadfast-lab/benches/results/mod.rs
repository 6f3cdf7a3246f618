//! What the benches that count have in common: arguments, and a file of numbers.

use std::env;
use std::fs;
use std::path::PathBuf;

use serde::Serialize;

use crate::cases::{self, Case};

/// The numbers of a case.
#[derive(Serialize)]
pub(crate) struct Row<N> {
    group: &'static str,
    case: &'static str,
    #[serde(flatten)]
    numbers: N,
}

/// Returns the cases with names that contain the first argument that is no option, or all cases.
pub(crate) fn wanted() -> Vec<Case> {
    let mut cases = cases::all();
    if let Some(part) = filter() {
        cases.retain(|case| id(case).contains(&part));
    }
    cases
}

fn filter() -> Option<String> {
    env::args().skip(1).find(|arg| !arg.starts_with('-'))
}

/// Returns the name of a case with the name of its group.
pub(crate) fn id(case: &Case) -> String {
    format!("{}/{}", case.group, case.name)
}

/// Writes the numbers to a file in the folder `lab` of the target folder, if they are complete.
pub(crate) fn write<N: Serialize>(name: &str, rows: &[Row<N>]) {
    if filter().is_some() {
        return;
    }
    let mut file = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    file.pop();
    file.push("lab");
    fs::create_dir_all(&file).expect("the target folder can be written");
    file.push(name);
    let json = serde_json::to_string_pretty(rows).expect("names and numbers");
    fs::write(&file, json + "\n").expect("the target folder can be written");
    println!("written to {}", file.display());
}

impl<N> Row<N> {
    pub(crate) fn new(case: &Case, numbers: N) -> Self {
        Self {
            group: case.group,
            case: case.name,
            numbers,
        }
    }
}
