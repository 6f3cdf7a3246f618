//! A seeded walk through the queue, against a plain list of its waiters.
//!
//! Like an executor, the walk polls a waiter only after its wake-up. So a lost wake-up leaves a
//! waiter behind, and a slot of a cancelled waiter that is not passed on leaves all of them behind.

use fastrand::Rng;
use tokio::time::{Instant, advance};
use tower::Service;

use super::{Waiter, numbers_received, pool_without_slots, with_number};
use crate::support::{MS, Net, SECOND, get, pool};

/// The number of steps of a walk.
const STEPS: usize = 400;

/// A waiter of the walk.
struct Waiting {
    number: usize,
    waiter: Waiter,
    /// Whether its task is not polled, although it is woken.
    lazy: bool,
}

/// The numbers of the waiters by their end.
#[derive(Default)]
struct Ends {
    served: Vec<usize>,
    cancelled: Vec<usize>,
    lazy: Vec<usize>,
}

/// Polls the waiters that are woken, in random order.
fn poll_woken(waiting: &mut Vec<Waiting>, ends: &mut Ends, rng: &mut Rng) {
    loop {
        let woken: Vec<_> = (0..waiting.len())
            .filter(|at| waiting[*at].waiter.is_woken() && !waiting[*at].lazy)
            .collect();
        let Some(at) = rng.choice(woken) else {
            return;
        };
        if waiting[at].waiter.poll().is_ready() {
            let ended = waiting.remove(at);
            ends.served.push(ended.number);
        }
    }
}

/// Lets some hundredths of a second pass. A woken waiter is polled soon, or it would lose its turn.
async fn pass(hundredths: u32, waiting: &mut Vec<Waiting>, ends: &mut Ends, rng: &mut Rng) {
    for _ in 0..=hundredths {
        poll_woken(waiting, ends, rng);
        advance(10 * MS).await;
    }
    poll_woken(waiting, ends, rng);
}

/// Returns the largest number of waiters.
async fn walk(seed: u64) -> usize {
    let mut rng = Rng::with_seed(seed);
    let net = Net::new();
    let builder = pool(&["a"]).overload_wait(600 * SECOND);
    let (service, handle) = pool_without_slots(builder.max_wait(600 * SECOND), &net).await;
    let before = net.count("a");
    let (mut waiting, mut ends, mut most) = (Vec::<Waiting>::new(), Ends::default(), 0);
    for number in 0..STEPS {
        match rng.u32(..10) {
            0..5 if waiting.len() < 40 => {
                let mut service = service.clone();
                let request = with_number(get(), number);
                let mut waiter = tokio_test::task::spawn(service.call(request));
                if waiter.poll().is_ready() {
                    ends.served.push(number);
                } else {
                    let lazy = rng.u32(..20) == 0;
                    waiting.push(Waiting {
                        number,
                        waiter,
                        lazy,
                    });
                }
            }
            5..7 if !waiting.is_empty() => {
                let cancelled = waiting.remove(rng.usize(..waiting.len()));
                ends.cancelled.push(cancelled.number);
            }
            _ => pass(rng.u32(..12), &mut waiting, &mut ends, &mut rng).await,
        }
        most = most.max(waiting.len());
        assert_eq!(
            handle.waiting(),
            waiting.len(),
            "seed {seed}, step {number}"
        );
    }
    drain(&mut waiting, &mut ends, &mut rng).await;
    check(&ends, &numbers_received(&net, "a", before), seed);
    assert_eq!(
        handle.waiting(),
        waiting.len(),
        "seed {seed}: only lazy ones"
    );
    drop(waiting);
    assert_eq!(handle.waiting(), 0, "seed {seed}");
    most
}

/// Ends all waiters except lazy ones. Each takes one slot of 100 ms, and a lazy one delays the
/// others by the grace of 100 ms.
async fn drain(waiting: &mut Vec<Waiting>, ends: &mut Ends, rng: &mut Rng) {
    let most = u32::try_from(waiting.len()).expect("few") + 5;
    let (start, bound) = (Instant::now(), most * SECOND / 10);
    while waiting.iter().any(|it| !it.lazy) {
        assert!(start.elapsed() < bound, "a wake-up is lost");
        pass(1, waiting, ends, rng).await;
    }
    ends.lazy = waiting.iter().map(|it| it.number).collect();
}

/// Each waiter was sent once, in the order of arrival, and none after its cancellation.
fn check(ends: &Ends, received: &[usize], seed: u64) {
    let mut sent = received.to_vec();
    assert!(sent.is_sorted(), "seed {seed}: {sent:?}");
    sent.dedup();
    assert_eq!(sent.len(), received.len(), "seed {seed}: sent twice");
    assert!(!ends.served.is_empty() && !ends.cancelled.is_empty());
    for number in &ends.served {
        assert!(sent.contains(number), "seed {seed}: {number} got no slot");
    }
    for number in &ends.lazy {
        assert!(
            !sent.contains(number),
            "seed {seed}: {number} was not polled"
        );
    }
}

/// An order that is stated: first come, first served. A waiter keeps its position until it ends.
#[tokio::test(start_paused = true)]
async fn random_walk_loses_no_wake_up_and_keeps_the_order() {
    let mut most = 0;
    for seed in 0..30 {
        most = most.max(walk(seed).await);
    }
    assert!(most >= 10, "no queue was longer than {most}");
}
