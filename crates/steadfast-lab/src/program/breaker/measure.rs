//! All that is measured of all breakers, on all cores.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::breaker::{Detection, Noise, Observed, Probes, Row, crowd, rows};

/// The share of requests that fail by chance: the usual noise, much of it, and so much that even a
/// breaker which hardly ever opens does so a few times.
pub(super) const NOISE: [f64; 2] = [0.05, 0.1];

/// How probes go in an outage.
const PROBES: [Probes; 3] = [
    Probes::Usual,
    Probes::Slow(Duration::from_secs(10)),
    Probes::Cancelled(3),
];

/// What was measured of one breaker.
#[derive(Debug)]
pub(in crate::program) struct Measured {
    pub(super) row: Row,
    pub(super) detection: Detection,
    /// At each of [`NOISE`].
    pub(super) noise: [Noise; 2],
    /// The share of breakers that open within their first requests, at the first of [`NOISE`].
    pub(super) starts: f64,
    /// An outage for each seed, with probes that are usual, slow, and cancelled.
    pub(super) outages: [Vec<Observed>; 3],
    pub(super) crowd: Option<usize>,
}

/// Measures all rows. What comes out does not depend on the number of cores.
pub(in crate::program) fn measure(seeds: u64) -> Vec<Measured> {
    let jobs = Mutex::new(rows().into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let next = || jobs.lock().ok()?.next();
                while let Some((place, row)) = next() {
                    let measured = Measured::new(row, seeds);
                    done.lock().expect("no panic").push((place, measured));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, measured)| measured).collect()
}

impl Measured {
    fn new(row: Row, seeds: u64) -> Self {
        let outages = |probes| {
            let seeds = 1..=(seeds / 20).max(1);
            seeds.map(|seed| Observed::of(&row, probes, seed)).collect()
        };
        Self {
            detection: Detection::of(&row, seeds),
            noise: [
                Noise::of(&row, NOISE[0], seeds * 20_000, 1),
                Noise::of(&row, NOISE[1], seeds * 10_000, 1),
            ],
            starts: Noise::of_starts(&row, NOISE[0], seeds),
            outages: PROBES.map(outages),
            crowd: crowd(&row),
            row,
        }
    }
}
