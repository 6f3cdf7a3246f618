//! Failures beyond a share that is put up with.

/// By how much failures exceed a share of the calls, in thousandths of one: Page's cumulative sum.
///
/// A failure adds what it is above the share, a success takes the share off, and the sum is never
/// below zero. So it is the excess of that window, of all that end now, which shows the most, and
/// takes one number to keep.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cusum {
    share: u64,
    limit: u64,
    sum: u64,
}

impl Cusum {
    const ONE: u64 = 1000;

    /// Creates a sum that is too much at so many `failures` beyond `share`.
    pub(crate) fn new(failures: u32, share: f64) -> Self {
        Self {
            share: Self::thousandths(share),
            limit: u64::from(failures) * Self::ONE,
            sum: 0,
        }
    }

    /// Whether there is such a share: one that takes nothing off or leaves nothing is none.
    pub(crate) fn is_possible(share: f64) -> bool {
        // `contains` is false for NaN too.
        (0.0..=1.0).contains(&share) && (1..Self::ONE).contains(&Self::thousandths(share))
    }

    /// Counts a success. Returns what it has taken off.
    pub(crate) fn succeed(&mut self) -> u64 {
        let taken = self.sum.min(self.share);
        self.sum -= taken;
        taken
    }

    /// Counts a failure, of an attempt that has taken so much off before as a success.
    pub(crate) fn fail(&mut self, taken: u64) {
        // No more than the limit is told apart.
        self.sum = (self.sum + taken + Self::ONE - self.share).min(self.limit);
    }

    pub(crate) fn is_reached(&self) -> bool {
        self.sum >= self.limit
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.sum == 0
    }

    pub(crate) fn clear(&mut self) {
        self.sum = 0;
    }

    fn thousandths(share: f64) -> u64 {
        (share * Self::ONE as f64).round() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_exact_to_a_thousandth() {
        for (share, possible) in [
            (0.001, true),
            (0.22, true),
            (0.999, true),
            (0.0004, false),
            (0.9996, false),
            (0.0, false),
            (1.0, false),
            (-0.2, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
        ] {
            assert_eq!(Cusum::is_possible(share), possible, "{share}");
        }
        // Four failures are 3 beyond a quarter, and there is no rounding on the way.
        let mut excess = Cusum::new(3, 0.25);
        for n in 1..=4 {
            excess.fail(0);
            assert_eq!(excess.is_reached(), n == 4);
        }
    }

    /// The sum is then that of the calls with a failure in the place of the success.
    #[test]
    fn a_success_that_is_taken_back_has_taken_nothing_off() {
        for before in 0..3 {
            let (mut turned, mut failed) = (Cusum::new(5, 0.2), Cusum::new(5, 0.2));
            for _ in 0..before {
                turned.fail(0);
                failed.fail(0);
            }
            let taken = turned.succeed();
            turned.fail(taken);
            failed.fail(0);
            assert_eq!(turned.sum, failed.sum);
        }
    }

    proptest! {
        /// What the sum says of itself: the most that any window which ends now shows.
        #[test]
        fn is_the_excess_of_the_window_that_shows_the_most(
            percent in 1..100u32,
            failures in 1..20u32,
            outcomes in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut excess = Cusum::new(failures, f64::from(percent) / 100.0);
            let mut seen = Vec::new();
            for failed in outcomes {
                if failed {
                    excess.fail(0);
                } else {
                    excess.succeed();
                }
                seen.push(failed);
                let beyond = |window: &[bool]| {
                    let bad = window.iter().filter(|&&bad| bad).count() as i64;
                    100 * bad - i64::from(percent) * window.len() as i64
                };
                let most = (0..=seen.len()).map(|from| beyond(&seen[from..])).max();
                let is_too_much = most >= Some(100 * i64::from(failures));
                prop_assert_eq!(excess.is_reached(), is_too_much);
                prop_assert_eq!(excess.is_zero(), most == Some(0));
                if is_too_much {
                    break;
                }
            }
        }
    }
}
