//! How often a request allocates in each layer, and how much. Run with
//! `cargo bench -p steadfast-lab --bench allocations`.

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
    let is_bench = results::is_bench();
    let mut rows = Vec::new();
    for case in results::wanted() {
        let counted = if is_bench {
            count(&case, WARM_UP, REQUESTS)
        } else {
            count(&case, 0, 2)
        };
        if is_bench {
            let (allocations, bytes) = (counted.allocations, counted.bytes);
            println!(
                "{:<50} {allocations:>8.2} {bytes:>8.0} B",
                results::id(&case)
            );
        }
        rows.push(Row::new(&case, counted));
    }
    results::write("allocations.json", &rows);
}

fn count(case: &Case, warm_up: u64, requests: u64) -> Allocations {
    let runtime = case.runtime();
    let mut caller = case.build(&runtime);
    runtime.block_on(caller.call(warm_up));
    let calls = caller.call(requests);
    let counted = measure(|| runtime.block_on(calls));
    let average = |total: u64| total as f64 / requests as f64;
    Allocations {
        allocations: average(counted.count_total),
        bytes: average(counted.bytes_total),
    }
}
