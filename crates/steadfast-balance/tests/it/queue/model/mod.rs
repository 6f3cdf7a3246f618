//! A seeded walk through the queue: several endpoints and limit keys, callers with and without
//! deadlines, callers that cancel, and waiters that are not polled.
//!
//! Like an executor, the walk polls a waiter only after its wake-up. After each poll it compares
//! the requests that reached a server with its own list of waiters:
//!
//! * No request reaches a server after its cancellation or its rejection, and none twice.
//! * A slot goes to the first waiter that wants the endpoint and has the same limits there. Waiters
//!   with other limits, for other endpoints, and waiters that are not polled are passed over. Known
//!   callers with the same limits may pass one another.
//! * While a waiter waits, each endpoint that it wants and that does not cool gets requests with
//!   its key at the send rate. So a lost wake-up fails, and no key starves.
//!
//! A waiter learns of a changed endpoint at its next poll, and claims no new slot before it.

mod servers;
mod walk;

use std::ops::Range;

use self::walk::Walk;
use crate::support::paused_runtime;

/// The walks, and the steps of each of them.
const WALKS: u64 = 25;
const STEPS: usize = 4_000;

#[test]
fn random_walk_loses_no_wake_up_and_keeps_the_order() {
    let halves = std::thread::scope(|scope| {
        [0..WALKS / 2, WALKS / 2..WALKS]
            .map(|seeds| scope.spawn(|| paused_runtime().block_on(walk_all(seeds))))
            .map(|half| half.join().unwrap())
    });
    let (mut most, mut sent, mut ended) = (0, 0, [0; 4]);
    for (longest, received, ends) in halves {
        most = most.max(longest);
        sent += received;
        for (sum, count) in ended.iter_mut().zip(ends) {
            *sum += count;
        }
    }
    println!("{most} waiters at most, {sent} sent, served, rejected, cancelled, late: {ended:?}");
    assert!(most >= 40, "no queue was longer than {most}");
    assert!(ended.iter().all(|count| *count >= 1_000), "{ended:?}");
}

/// Returns the largest number of waiters, the number of requests that reached a server, and the
/// numbers of ends.
async fn walk_all(seeds: Range<u64>) -> (usize, usize, [usize; 4]) {
    let (mut most, mut sent, mut ended) = (0, 0, [0; 4]);
    for seed in seeds {
        let mut walk = Walk::new(seed);
        for step in 0..STEPS {
            walk.step().await;
            most = most.max(walk.waiting());
            if step % 500 == 499 {
                walk.be_quiet().await;
                walk.drain().await;
            }
        }
        sent += walk.sent();
        for (sum, count) in ended.iter_mut().zip(walk.ends()) {
            *sum += count;
        }
    }
    (most, sent, ended)
}
