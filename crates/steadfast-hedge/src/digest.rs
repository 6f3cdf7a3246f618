use std::array;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to a doubling. A bucket is at most a 32nd of its value wide.
const STEPS: usize = 32;
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// The last bucket ends after 71 minutes, and has all that took longer.
const BUCKETS: usize = STEPS * 28;
/// How many latencies have to be known, if a twentieth of them is looked for.
const ENOUGH: u32 = 100;
/// How many latencies make a window. The one that fills and the one before it make the quantile.
const WINDOW: u32 = 1_024;
/// How often the quantile is found anew. It moves slowly, and to find it takes a microsecond.
const RENEWAL: u32 = 32;
/// Longer than any quantile.
const UNKNOWN: u64 = u64::MAX;

/// A quantile of the latest latencies, in little memory and without a lock.
///
/// It is rounded up, by a 32nd at most, so that no more than the rest takes longer.
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

    /// Counts a latency, and now and then finds the `quantile` of all.
    pub(crate) fn record(&self, latency: Duration, quantile: f64) {
        let before = self.recorded.fetch_add(1, Ordering::Relaxed);
        self.window(before)[bucket(latency)].fetch_add(1, Ordering::Relaxed);
        // Each number comes once, so one thread does what follows. Others may record meanwhile, and
        // what they record in a window that is just cleared may be lost.
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

    /// Returns the quantile, once enough latencies are known.
    pub(crate) fn quantile(&self) -> Option<Duration> {
        match self.quantile.load(Ordering::Relaxed) {
            UNKNOWN => None,
            micros => Some(Duration::from_micros(micros)),
        }
    }

    /// The window that fills when so many were recorded.
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

/// How many latencies have to be known, so that five of them are above the quantile.
fn enough(quantile: f64) -> u32 {
    let needed = 5.0 / (1.0 - quantile);
    ENOUGH.max(needed.ceil().min(f64::from(WINDOW)) as u32)
}

/// The bucket of a latency: linear up to 32 µs, and from there 32 to a doubling.
fn bucket(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    if micros < STEPS as u64 {
        return micros as usize;
    }
    let doublings = micros.ilog2() - STEP_BITS;
    let step = (micros >> doublings) as usize - STEPS;
    (STEPS * (doublings as usize + 1) + step).min(BUCKETS - 1)
}

/// Where the next bucket begins, in microseconds.
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

    const P95: f64 = 0.95;

    fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_known_before_there_are_enough() {
        let digest = Digest::new();
        for n in 1..ENOUGH {
            digest.record(millis(10), P95);
            assert_eq!(digest.quantile(), None, "after {n}");
        }
        digest.record(millis(10), P95);
        assert!(digest.quantile().is_some());
        assert_eq!([0.5, 0.95, 0.99].map(enough), [100, 100, 500]);
        assert_eq!(enough(1.0), WINDOW, "a limit, not an endless wait");
    }

    #[test]
    fn a_twentieth_takes_longer_than_the_95th_percentile() {
        let digest = Digest::new();
        for n in 0..1_000 {
            digest.record(millis(1 + n * 7 % 1_000), P95);
        }
        let found = digest.quantile().expect("enough");
        assert!(found >= millis(935) && found <= millis(980), "{found:?}");
    }

    /// A service that becomes slow, or fast, is known by its new latency soon.
    #[test]
    fn follows_a_change() {
        let digest = Digest::new();
        for latency in [10, 1_000, 10] {
            for _ in 0..10 * WINDOW {
                digest.record(millis(latency), P95);
            }
            let found = digest.quantile().expect("enough");
            let exact = millis(latency);
            assert!(found > exact && found < exact * 33 / 32, "{found:?}");
        }
    }

    #[test]
    fn what_never_ends_is_in_the_last_bucket() {
        assert_eq!(bucket(Duration::MAX), BUCKETS - 1);
        assert!(end_of(BUCKETS - 1) > 4_000_000_000, "an hour and more");
    }

    proptest! {
        /// Each latency is below the end of its bucket, and above that of the one before.
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

        /// No more than the rest is above, whatever the latencies are.
        #[test]
        fn the_quantile_is_rounded_up(
            mut all in prop::collection::vec(0..10_000_000u64, 128),
            quantile in 0.01..0.96f64,
        ) {
            let digest = Digest::new();
            for micros in &all {
                digest.record(Duration::from_micros(*micros), quantile);
            }
            let found = digest.quantile().expect("enough").as_micros() as u64;
            all.sort_unstable();
            let exact = all[((quantile * 128.0).ceil() as usize).max(1) - 1];
            prop_assert!(found > exact && found <= exact + exact / 32 + 1);
        }
    }
}
