//! How many instructions a request takes in each layer, which does not depend on what else the
//! machine does. Needs valgrind. Run with
//! `cargo bench --manifest-path crates/steadfast-lab/Cargo.toml --features instructions --bench instructions`.

#[expect(dead_code, reason = "a second caller is there to measure time")]
mod cases;
mod results;

use std::env;
use std::process::Command;

use serde::Serialize;
use tokio::runtime::Runtime;

use self::cases::{Call, Case};
use self::results::Row;

/// Names the case that a process is to run under valgrind.
const CASE: &str = "STEADFAST_LAB_CASE";
/// The measured function. The construction and the warm-up of a service are not counted.
const COUNTED: &str = "--toggle-collect=*::counted*";

const WARM_UP: u64 = 1000;
const REQUESTS: u64 = 1000;

/// What a request takes on average.
#[derive(Serialize)]
struct Instructions {
    instructions: f64,
}

fn main() {
    if let Ok(id) = env::var(CASE) {
        let cases = cases::all();
        let case = cases.iter().find(|case| results::id(case) == id);
        return run(case.expect("a case of this name"), WARM_UP, REQUESTS);
    }
    let is_bench = is_bench();
    let mut rows = Vec::new();
    for case in results::wanted() {
        if !is_bench {
            run(&case, 0, 1);
            continue;
        }
        let instructions = count(&case);
        println!("{:<50} {instructions:>8.0}", results::id(&case));
        rows.push(Row::new(&case, Instructions { instructions }));
    }
    if is_bench {
        results::write("instructions.json", &rows);
    }
}

fn run(case: &Case, warm_up: u64, requests: u64) {
    let runtime = case.runtime();
    let mut caller = case.build(&runtime);
    runtime.block_on(caller.call(warm_up));
    counted(&runtime, &mut *caller, requests);
}

#[inline(never)]
fn counted(runtime: &Runtime, caller: &mut dyn Call, requests: u64) {
    runtime.block_on(caller.call(requests));
}

/// Runs the case in a process of its own under valgrind.
fn count(case: &Case) -> f64 {
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            COUNTED,
        ])
        .arg(env::current_exe().expect("a program knows where it is"))
        .env(CASE, results::id(case))
        .output()
        .expect("valgrind is installed");
    let report = String::from_utf8_lossy(&output.stderr);
    let line = report
        .lines()
        .find_map(|line| line.split_once("Collected : "));
    let total = line.and_then(|(_, total)| total.trim().parse::<u64>().ok());
    let total = total.filter(|total| output.status.success() && *total > 0);
    let Some(total) = total else {
        panic!("{} under valgrind:\n{report}", results::id(case));
    };
    total as f64 / REQUESTS as f64
}

/// Returns whether numbers are wanted. Otherwise it is a test that everything runs.
fn is_bench() -> bool {
    let has = |flag: &str| env::args().any(|arg| arg == flag);
    has("--bench") && !has("--test")
}
