//! How long the breaker stays open.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// The open times: the base, and twice as long after each failed recovery.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    jitter: f64,
    /// The last open time, without its jitter.
    current: Duration,
    random: Random,
}

impl Backoff {
    pub(crate) fn new(base: Duration, max: Duration, jitter: f64, seed: Option<u64>) -> Self {
        // The hasher of a new map is the random number of std. Breakers that fail together must
        // not probe together, so each has a seed of its own.
        let seed = seed.unwrap_or_else(|| RandomState::new().hash_one(()));
        Self {
            base,
            max,
            jitter,
            current: base,
            random: Random(seed),
        }
    }

    /// The open time of a breaker that was closed. Exact, so that it can be relied on.
    pub(crate) fn first(&mut self) -> Duration {
        self.current = self.base;
        self.current
    }

    /// The open time after a failed probe.
    pub(crate) fn next(&mut self) -> Duration {
        // Capped before the jitter, which would otherwise be lost at the cap.
        self.current = self.current.saturating_mul(2).min(self.max);
        let share = self.jitter * self.random.unit();
        let cut = Duration::try_from_secs_f64(self.current.as_secs_f64() * share);
        self.current.saturating_sub(cut.unwrap_or_default())
    }
}

/// Steele, Lea and Flood's `SplitMix64`: enough for jitter, and no dependency.
#[derive(Debug)]
struct Random(u64);

impl Random {
    /// A number from 0 up to 1, without 1.
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        // 53 bits, as many as a float holds exactly.
        (z >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn doubles_up_to_the_maximum_and_starts_again() {
        let mut backoff = Backoff::new(60 * SECOND, 300 * SECOND, 0.0, None);
        assert_eq!(backoff.first(), 60 * SECOND);
        for seconds in [120, 240, 300, 300] {
            assert_eq!(backoff.next(), seconds * SECOND);
        }
        assert_eq!(backoff.first(), 60 * SECOND);
        assert_eq!(backoff.next(), 120 * SECOND);
    }

    #[test]
    fn jitter_is_different_each_time_also_at_the_maximum() {
        let mut backoff = Backoff::new(SECOND, SECOND, 0.5, Some(1));
        assert_eq!(backoff.first(), SECOND, "the first time has none");
        let mut times: Vec<_> = (0..100).map(|_| backoff.next()).collect();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), 100);
    }

    #[test]
    fn two_breakers_do_not_draw_the_same_numbers_unless_told_to() {
        let draw = |seed| Backoff::new(SECOND, 2 * SECOND, 1.0, seed).next();
        assert_ne!(draw(None), draw(None));
        assert_eq!(draw(Some(7)), draw(Some(7)));
        assert_ne!(draw(Some(7)), draw(Some(8)));
    }

    proptest! {
        #[test]
        fn stays_within_its_bounds(
            seed: u64,
            jitter in 0.0..=1.0f64,
            base in 1..=u64::MAX,
            max in 1..=u64::MAX,
        ) {
            let [base, max] = [base.min(max), base.max(max)].map(Duration::from_secs);
            let mut backoff = Backoff::new(base, max, jitter, Some(seed));
            backoff.first();
            for k in 1..70 {
                let full = base.saturating_mul(1u32.checked_shl(k).unwrap_or(u32::MAX)).min(max);
                let time = backoff.next();
                prop_assert!(time <= max);
                if k < 32 {
                    prop_assert!(time <= full);
                    let least = full.as_secs_f64() * (1.0 - jitter);
                    // A tenth of a millionth more than what floats can lose.
                    prop_assert!(time.as_secs_f64() >= least * (1.0 - 1e-7) - 1e-9);
                }
            }
        }
    }
}
