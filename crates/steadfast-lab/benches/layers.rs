//! How long a request takes through each layer. Run with `cargo bench --manifest-path crates/steadfast-lab/Cargo.toml`.

mod cases;

use std::sync::Arc;
use std::time::Duration;

use criterion::measurement::{Measurement, WallTime};
use criterion::{BenchmarkId, Criterion};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use self::cases::{Call, Case};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_millis(1500))
        .sample_size(30)
        .configure_from_args();
    for case in cases::all() {
        one_thread(&mut criterion, &case);
        // What goes wrong is measured on one thread only.
        if !case.group.contains('-') {
            two_threads(&mut criterion, &case);
        }
    }
    criterion.final_summary();
}

fn one_thread(criterion: &mut Criterion, case: &Case) {
    let runtime = case.runtime();
    let mut caller = case.build(&runtime);
    let id = BenchmarkId::new(case.name, "1-thread");
    let mut group = criterion.benchmark_group(case.group);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|requests| {
            let begin = WallTime.start();
            runtime.block_on(caller.call(requests));
            WallTime.end(begin)
        });
    });
}

fn two_threads(criterion: &mut Criterion, case: &Case) {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_time()
        .build()
        .expect("a runtime");
    let caller = case.build(&runtime);
    if caller.another().is_none() {
        return;
    }
    let id = BenchmarkId::new(case.name, "2-threads");
    let mut group = criterion.benchmark_group(case.group);
    group.bench_function(id, |bencher| {
        bencher.iter_custom(|requests| share(requests, &*caller, &runtime));
    });
}

/// Sends half of the requests from each of two threads.
fn share(requests: u64, caller: &dyn Call, runtime: &Runtime) -> Duration {
    let start = Arc::new(Barrier::new(3));
    let [one, two] = [requests / 2, requests - requests / 2].map(|requests| {
        let mut caller = caller.another().expect("the case was asked before");
        let start = start.clone();
        runtime.spawn(async move {
            start.wait().await;
            caller.call(requests).await;
        })
    });
    runtime.block_on(start.wait());
    let begin = WallTime.start();
    let join = |half: JoinHandle<()>| runtime.block_on(half).expect("a case must not panic");
    join(one);
    join(two);
    WallTime.end(begin)
}
