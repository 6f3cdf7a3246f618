//! The open time of a breaker.

use std::time::Duration;

use fastrand::Rng;

/// The open times: the base, doubled by each step.
#[derive(Debug)]
pub(crate) struct Backoff {
    base: Duration,
    max: Duration,
    jitter: f64,
    /// The number of doublings.
    steps: u32,
    random: Rng,
}

impl Backoff {
    pub(crate) fn new(base: Duration, max: Duration, jitter: f64, seed: Option<u64>) -> Self {
        Self {
            base,
            max,
            jitter,
            steps: 0,
            // Breakers that fail together must not probe together, so each one has its own seed.
            random: seed.map_or_else(Rng::new, Rng::with_seed),
        }
    }

    /// Returns the open time after a closed phase of `closed`. Each base of good health takes back
    /// one step. Without a step the time is exact.
    pub(crate) fn after_health(&mut self, closed: Duration) -> Duration {
        let healthy = closed.as_nanos() / self.base.as_nanos().max(1);
        self.steps = self
            .steps
            .saturating_sub(u32::try_from(healthy).unwrap_or(u32::MAX));
        self.draw()
    }

    /// Returns the open time after a failed probe.
    pub(crate) fn after_probe(&mut self) -> Duration {
        // Steps above the maximum would only delay the way back. The first step enables the jitter.
        if self.steps == 0 || self.full() < self.max {
            self.steps += 1;
        }
        self.draw()
    }

    /// Takes back all steps.
    pub(crate) fn reset(&mut self) {
        self.steps = 0;
    }

    /// Returns the number of steps.
    pub(crate) fn steps(&self) -> u32 {
        self.steps
    }

    /// Returns to an earlier number of steps.
    pub(crate) fn restore(&mut self, steps: u32) {
        self.steps = steps;
    }

    fn full(&self) -> Duration {
        let factor = 1u32.checked_shl(self.steps).unwrap_or(u32::MAX);
        self.base.saturating_mul(factor).min(self.max)
    }

    fn draw(&mut self) -> Duration {
        // The cap comes first, because it would remove the jitter.
        let full = self.full();
        if self.steps == 0 {
            return full;
        }
        let share = self.jitter * self.random.f64();
        let cut = Duration::try_from_secs_f64(full.as_secs_f64() * share);
        full.saturating_sub(cut.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn open_time_doubles_up_to_maximum_and_shrinks_with_health() {
        let mut backoff = Backoff::new(60 * SECOND, 300 * SECOND, 0.0, None);
        assert_eq!(backoff.after_health(Duration::ZERO), 60 * SECOND);
        for seconds in [120, 240, 300, 300, 300] {
            assert_eq!(backoff.after_probe(), seconds * SECOND);
        }
        for (healthy, seconds) in [(59, 300), (60, 240), (119, 120), (60, 60), (6000, 60)] {
            let time = backoff.after_health(healthy * SECOND);
            assert_eq!(time, seconds * SECOND, "after {healthy} s");
        }
        backoff.after_probe();
        backoff.reset();
        assert_eq!(backoff.after_health(Duration::ZERO), 60 * SECOND);
    }

    #[test]
    fn jitter_differs_each_time_even_at_maximum() {
        let mut backoff = Backoff::new(SECOND, SECOND, 0.5, Some(1));
        assert_eq!(backoff.after_health(SECOND), SECOND, "the base has none");
        let mut times: Vec<_> = (0..100).map(|_| backoff.after_probe()).collect();
        times.sort_unstable();
        times.dedup();
        assert_eq!(times.len(), 100);
    }

    #[test]
    fn only_breakers_with_same_seed_draw_same_jitter() {
        let draw = |seed| Backoff::new(SECOND, 2 * SECOND, 1.0, seed).after_probe();
        assert_ne!(draw(None), draw(None));
        assert_eq!(draw(Some(7)), draw(Some(7)));
        assert_ne!(draw(Some(7)), draw(Some(8)));
    }

    proptest! {
        #[test]
        fn open_time_stays_within_bounds(
            seed: u64,
            jitter in 0.0..=1.0f64,
            base in 1..=u64::MAX,
            max in 1..=u64::MAX,
        ) {
            let [base, max] = [base.min(max), base.max(max)].map(Duration::from_secs);
            let mut backoff = Backoff::new(base, max, jitter, Some(seed));
            for k in 1..70 {
                let full = base.saturating_mul(1u32.checked_shl(k).unwrap_or(u32::MAX)).min(max);
                let time = backoff.after_probe();
                prop_assert!(time <= max);
                if k < 32 {
                    prop_assert!(time <= full);
                    let least = full.as_secs_f64() * (1.0 - jitter);
                    // A tenth of a millionth above the rounding errors of floats.
                    prop_assert!(time.as_secs_f64() >= least * (1.0 - 1e-7) - 1e-9);
                }
            }
        }
    }
}
