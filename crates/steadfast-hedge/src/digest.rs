use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::quantile::Quantile;

/// The buckets of a doubling. The width of a bucket is at most a 32nd of its value.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// The last bucket ends at 71 minutes, and counts all longer latencies.
const BUCKETS: usize = STEPS * 28;
/// The latencies that are needed for the 95th percentile.
const ENOUGH: u32 = 100;
/// The latencies of a window. The current and the previous window determine the quantile.
const WINDOW: u32 = 1_024;
/// The latencies between two updates of the quantile. An update takes a microsecond.
const RENEWAL: u32 = 32;
/// Longer than any quantile.
const UNKNOWN: u64 = u64::MAX;

/// A quantile of the latest latencies, in little memory and without a lock.
///
/// It is rounded up by at most a 32nd, so the share of longer latencies is never exceeded.
#[derive(Debug)]
pub(crate) struct Digest {
    windows: [[AtomicU32; BUCKETS]; 2],
    recorded: AtomicU32,
    /// In microseconds.
    quantile: AtomicU64,
}

impl Digest {
    pub(crate) fn new() -> Self {
        Self {
            windows: array::from_fn(|_| array::from_fn(|_| AtomicU32::new(0))),
            recorded: AtomicU32::new(0),
            quantile: AtomicU64::new(UNKNOWN),
        }
    }

    /// Counts a latency, and updates the `quantile` from time to time.
    pub(crate) fn record(&self, latency: Duration, quantile: Quantile) {
        let quantile = quantile.get();
        let before = self.recorded.fetch_add(1, Ordering::Relaxed);
        self.window(before)[bucket(latency)].fetch_add(1, Ordering::Relaxed);
        // Each number occurs once, so one thread runs the code below. Latencies that others record
        // meanwhile in a window that is just cleared may be lost.
        let recorded = before.wrapping_add(1);
        let enough = enough(quantile);
        if recorded == enough || recorded > enough && recorded % RENEWAL == 0 {
            self.renew(quantile);
        }
        if recorded % WINDOW == 0 {
            let oldest = self.window(recorded).iter();
            oldest.for_each(|count| count.store(0, Ordering::Relaxed));
        }
    }

    /// Returns the quantile, or `None` until enough latencies are known.
    pub(crate) fn quantile(&self) -> Option<Duration> {
        match self.quantile.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// Returns the current window after `recorded` latencies.
    fn window(&self, recorded: u32) -> &[AtomicU32; BUCKETS] {
        &self.windows[(recorded / WINDOW) as usize % 2]
    }

    fn renew(&self, quantile: f64) {
        let [one, other] = &self.windows;
        let count = |n: &AtomicU32| u64::from(n.load(Ordering::Relaxed));
        let counts = || one.iter().zip(other).map(|(a, b)| count(a) + count(b));
        let total: u64 = counts().sum();
        let rank = (quantile * total as f64).ceil() as u64;
        let mut below = 0;
        let found = counts().position(|count| {
            below += count;
            below >= rank.max(1)
        });
        if let Some(found) = found {
            self.quantile.store(end_of(found), Ordering::Relaxed);
        }
    }
}

/// Returns the number of latencies of which five are above the quantile.
fn enough(quantile: f64) -> u32 {
    let needed = 5.0 / (1.0 - quantile);
    ENOUGH.max(needed.ceil().min(f64::from(WINDOW)) as u32)
}

/// Returns the bucket of a latency: linear up to 32 µs, then 32 buckets per doubling.
fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let doublings = micros.ilog2() - STEP_BITS;
    let step = (micros >> doublings) as usize - STEPS;
    (STEPS * (doublings as usize + 1) + step).min(BUCKETS - 1)
}

/// Returns the start of the next bucket, in microseconds.
fn end_of(bucket: usize) -> u64 {
    let next = bucket as u64 + 1;
    let (doublings, step) = (next / STEPS as u64, next % STEPS as u64);
    match doublings.checked_sub(1) {
        None => step,
        Some(doublings) => (STEPS as u64 + step) << doublings,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn p95() -> Quantile {
        Quantile::new(0.95).expect("valid")
    }

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn quantile_is_unknown_until_enough_latencies_are_recorded() {
        let digest = Digest::new();
        for n in 1..ENOUGH {
            digest.record(millis(10), p95());
            assert_eq!(digest.quantile(), None, "after {n}");
        }
        digest.record(millis(10), p95());
        assert!(digest.quantile().is_some());
        assert_eq!([0.5, 0.95, 0.99].map(enough), [100, 100, 500]);
        assert_eq!(enough(1.0), WINDOW, "a limit, not an endless wait");
    }

    #[test]
    fn p95_is_exceeded_by_five_percent_of_latencies() {
        let digest = Digest::new();
        for n in 0..1_000 {
            digest.record(millis(1 + n * 7 % 1_000), p95());
        }
        let found = digest.quantile().expect("enough");
        assert!(found >= millis(935) && found <= millis(980), "{found:?}");
    }

    #[test]
    fn quantile_follows_a_change_of_latency() {
        let digest = Digest::new();
        for latency in [10, 1_000, 10] {
            for _ in 0..10 * WINDOW {
                digest.record(millis(latency), p95());
            }
            let found = digest.quantile().expect("enough");
            let exact = millis(latency);
            assert!(found > exact && found < exact * 33 / 32, "{found:?}");
        }
    }

    #[test]
    fn longest_latency_is_in_last_bucket() {
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert!(end_of(BUCKETS - 1) > 4_000_000_000, "an hour and more");
    }

    proptest! {
        /// Each latency is below the end of its bucket, and not below the end of the previous one.
        #[test]
        fn buckets_are_narrow_and_in_order(micros in 0..4_294_967_296u64) {
            let found = bucket(Duration::from_micros(micros));
            prop_assert!(micros < end_of(found));
            if let Some(before) = found.checked_sub(1) {
                prop_assert!(micros >= end_of(before));
                let width = end_of(found) - end_of(before);
                prop_assert!(width == 1 || width * STEPS as u64 <= micros);
            }
        }

        /// The share of latencies above the quantile is at most its complement.
        #[test]
        fn quantile_is_rounded_up(
            mut all in prop::collection::vec(0..10_000_000u64, 128),
            quantile in 0.01..0.96f64,
        ) {
            let digest = Digest::new();
            let of = Quantile::new(quantile).expect("valid");
            for micros in &all {
                digest.record(Duration::from_micros(*micros), of);
            }
            let found = digest.quantile().expect("enough").as_micros() as u64;
            all.sort_unstable();
            let exact = all[((quantile * 128.0).ceil() as usize).max(1) - 1];
            prop_assert!(found > exact && found <= exact + exact / 32 + 1);
        }
    }
}
