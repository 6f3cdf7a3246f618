//! How often a request allocates in each layer, and how much. Run with
//! `cargo bench --manifest-path crates/steadfast-lab/Cargo.toml --bench allocations`.

#[expect(dead_code, reason = "a second caller is there to measure time")]
mod cases;
mod results;

use allocation_counter::measure;
use serde::Serialize;

use self::cases::Case;
use self::results::Row;

const WARM_UP: u64 = 1000;
const REQUESTS: u64 = 1000;

/// What a request allocates on average, on the thread of its caller.
#[derive(Serialize)]
struct Allocations {
    allocations: f64,
    bytes: f64,
}

fn main() {
    let mut rows = Vec::new();
    // In a test run, too: it takes a second.
    for case in results::wanted() {
        let counted = count(&case);
        let Allocations { allocations, bytes } = counted;
        let id = results::id(&case);
        println!("{id:<50} {allocations:>8.2} {bytes:>8.0} B");
        rows.push(Row::new(&case, counted));
    }
    results::write("allocations.json", &rows);
}

fn count(case: &Case) -> Allocations {
    let runtime = case.runtime();
    let mut caller = case.build(&runtime);
    runtime.block_on(caller.call(WARM_UP));
    let calls = caller.call(REQUESTS);
    let counted = measure(|| runtime.block_on(calls));
    let average = |total: u64| total as f64 / REQUESTS as f64;
    Allocations {
        allocations: average(counted.count_total),
        bytes: average(counted.bytes_total),
    }
}
