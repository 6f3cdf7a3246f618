//! All that is measured of all breakers, on all cores.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use crate::breaker::{
    Counts, Detection, MONTH, Noise, Observed, Probes, Row, crowd, rows, variations,
};

/// A share of random failures at which hardly any breaker opens.
const LITTLE: f64 = 0.01;
/// The usual share of random failures, and a share at which even insensitive breakers open at
/// times.
pub(super) const NOISE: [f64; 2] = [0.05, 0.1];

/// All measurements.
#[derive(Debug)]
pub(crate) struct Measured {
    /// One measurement per row of the page.
    pub(super) breakers: Vec<Measurement>,
    /// The outages of each variation of our settings.
    pub(super) variations: Vec<Outages>,
}

/// The measurement of one breaker.
#[derive(Debug)]
pub(super) struct Measurement {
    /// The breaker.
    pub(super) row: Row,
    /// The requests until it opens.
    pub(super) detection: Detection,
    /// False alarms in a month at [`LITTLE`] and each of [`NOISE`], if they can be computed.
    pub(super) computed: Option<[f64; 3]>,
    /// The simulated false alarms at each of [`NOISE`].
    pub(super) noise: [Noise; 2],
    /// The share of breakers that open soon after they were made, at the first of [`NOISE`].
    pub(super) starts: f64,
    /// The course of outages.
    pub(super) outages: Outages,
    /// The calls of a crowd that a half-open breaker admits.
    pub(super) crowd: Option<usize>,
}

/// Outages of all lengths.
#[derive(Debug)]
pub(super) struct Outages {
    /// The name of the row.
    pub(super) name: &'static str,
    /// With probes like all other calls.
    pub(super) usual: Vec<Observed>,
    /// With probes that take 10 s.
    pub(super) slow: Vec<Observed>,
    /// With three probes that are cancelled.
    pub(super) cancelled: Vec<Observed>,
}

/// Measures all rows. The result does not depend on the number of cores.
pub(crate) fn measure(seeds: u64) -> Measured {
    Measured {
        breakers: on_all_cores(rows(), |row| Measurement::new(row, seeds)),
        variations: on_all_cores(variations(), |row| Outages::new(&row, seeds)),
    }
}

/// Measures each job on all cores, and returns the results in the order of the jobs.
pub(super) fn on_all_cores<J: Send, T: Send>(
    jobs: Vec<J>,
    measure: impl Fn(J) -> T + Sync,
) -> Vec<T> {
    let jobs = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    let cores = thread::available_parallelism().map_or(2, usize::from);
    thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                let next = || jobs.lock().ok()?.next();
                while let Some((place, job)) = next() {
                    let measured = measure(job);
                    done.lock().expect("no panic").push((place, measured));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("no panic");
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, measured)| measured).collect()
}

impl Measurement {
    /// Measures one breaker.
    fn new(row: Row, seeds: u64) -> Self {
        let computed = |counts: Counts| {
            [LITTLE, NOISE[0], NOISE[1]].map(|failing| counts.chance(failing) * MONTH)
        };
        Self {
            detection: Detection::of(&row, seeds),
            computed: row.counts().map(computed),
            noise: [
                Noise::of(&row, NOISE[0], seeds * 20_000, 1),
                Noise::of(&row, NOISE[1], seeds * 10_000, 1),
            ],
            starts: Noise::of_starts(&row, NOISE[0], seeds),
            outages: Outages::new(&row, seeds),
            crowd: crowd(&row),
            row,
        }
    }
}

impl Outages {
    /// Runs outages with each kind of probes.
    fn new(row: &Row, seeds: u64) -> Self {
        // 50 by default. More hardly change the result.
        let runs = u32::try_from(seeds / 20).unwrap_or(u32::MAX).max(1);
        let of = |probes| Observed::of(row, probes, runs);
        Self {
            name: row.name(),
            usual: of(Probes::Usual),
            slow: of(Probes::Slow(Duration::from_secs(10))),
            cancelled: of(Probes::Cancelled(3)),
        }
    }
}
