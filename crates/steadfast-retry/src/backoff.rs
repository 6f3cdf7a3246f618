use std::time::Duration;

use steadfast_core::InvalidConfig;

/// How long to wait before each retry: a bound that doubles, and a random part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    base: Duration,
    max: Duration,
    jitter: bool,
}

impl Backoff {
    /// The bound of the first wait, if none is set.
    pub const DEFAULT_BASE: Duration = Duration::from_millis(500);
    /// The bound of all waits, if none is set.
    pub const DEFAULT_MAX: Duration = Duration::from_secs(8);

    /// Creates a backoff whose bound is `base` at first and doubles up to `max`, with full jitter:
    /// each wait is drawn from all the time below the bound.
    ///
    /// # Errors
    ///
    /// Returns an error if `base` is zero or longer than `max`.
    pub fn new(base: Duration, max: Duration) -> Result<Self, InvalidConfig> {
        if base.is_zero() {
            let value = format!("{base:?}");
            return Err(InvalidConfig::new(
                "base_delay",
                value,
                "must be longer than zero",
            ));
        }
        if base > max {
            let value = format!("{max:?}");
            return Err(InvalidConfig::new(
                "max_delay",
                value,
                "must not be below base_delay",
            ));
        }
        Ok(Self {
            base,
            max,
            jitter: true,
        })
    }

    /// Waits for the whole bound each time. Clients that fail together then retry together.
    #[must_use]
    pub fn without_jitter(mut self) -> Self {
        self.jitter = false;
        self
    }

    /// Returns the longest wait before retry number `retry`, counted from 0.
    #[must_use]
    pub fn bound(&self, retry: u32) -> Duration {
        let factor = 2u32.saturating_pow(retry);
        self.base.saturating_mul(factor).min(self.max)
    }

    pub(crate) fn draw(&self, retry: u32, rng: &mut fastrand::Rng) -> Duration {
        let bound = self.bound(retry);
        if self.jitter {
            bound.mul_f64(rng.f64())
        } else {
            bound
        }
    }
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            base: Self::DEFAULT_BASE,
            max: Self::DEFAULT_MAX,
            jitter: true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_bound_doubles_up_to_the_maximum() {
        let backoff = Backoff::default();
        let millis = [0, 1, 2, 3, 4, 5, u32::MAX].map(|n| backoff.bound(n).as_millis());
        assert_eq!(millis, [500, 1000, 2000, 4000, 8000, 8000, 8000]);
    }

    #[test]
    fn refuses_what_makes_no_sense() {
        let error = Backoff::new(Duration::ZERO, Duration::from_secs(1)).unwrap_err();
        assert_eq!(error.field(), "base_delay");
        let error = Backoff::new(Duration::from_secs(2), Duration::from_secs(1)).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"max_delay must not be below base_delay, got "1s""#
        );
    }

    /// tower's backoff makers give every request the same "random" waits (tower 0.5.3).
    #[test]
    fn two_requests_do_not_draw_the_same_waits() {
        let backoff = Backoff::default();
        let mut rng = fastrand::Rng::with_seed(7);
        let mut waits = || [0, 1, 2].map(|n| backoff.draw(n, &mut rng));
        assert_ne!(waits(), waits());
    }

    proptest! {
        #[test]
        fn no_wait_is_longer_than_its_bound(retry: u32, seed: u64, base in 1..u64::MAX) {
            let base = Duration::from_millis(base);
            let backoff = Backoff::new(base, Duration::MAX).unwrap();
            let wait = backoff.draw(retry % 200, &mut fastrand::Rng::with_seed(seed));
            prop_assert!(wait <= backoff.bound(retry % 200));
        }
    }
}
