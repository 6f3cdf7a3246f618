//! Failures in excess of a share: Page's cumulative sum (CUSUM).

/// The excess of failures over a share of the calls, in thousandths of a call.
///
/// A failure adds its part above the share, a success subtracts the share, and the sum is never
/// negative. The sum is the excess of that window which has the most, of all windows that end now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cusum {
    share: u64,
    limit: u64,
    sum: u64,
}

impl Cusum {
    const ONE: u64 = 1000;

    /// Creates a sum with the limit of `failures` in excess of `share`.
    pub(crate) fn new(failures: u32, share: f64) -> Self {
        Self {
            share: Self::thousandths(share),
            limit: u64::from(failures) * Self::ONE,
            sum: 0,
        }
    }

    /// Returns whether the share is at least a thousandth above 0 and below 1.
    pub(crate) fn is_possible(share: f64) -> bool {
        // `contains` is false for NaN too.
        (0.0..=1.0).contains(&share) && (1..Self::ONE).contains(&Self::thousandths(share))
    }

    /// Counts a success.
    pub(crate) fn succeed(&mut self) {
        self.sum = self.sum.saturating_sub(self.share);
    }

    /// Counts a failure.
    pub(crate) fn fail(&mut self) {
        // A larger sum than the limit has no meaning.
        self.sum = (self.sum + Self::ONE - self.share).min(self.limit);
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
    fn share_is_exact_to_a_thousandth() {
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
        // Four failures are three in excess of a quarter, without rounding.
        let mut cusum = Cusum::new(3, 0.25);
        for n in 1..=4 {
            cusum.fail();
            assert_eq!(cusum.is_reached(), n == 4);
        }
    }

    proptest! {
        /// The sum is the largest excess of all windows that end now.
        #[test]
        fn sum_is_largest_excess_of_all_windows(
            percent in 1..100u32,
            failures in 1..20u32,
            outcomes in prop::collection::vec(any::<bool>(), 0..200),
        ) {
            let mut cusum = Cusum::new(failures, f64::from(percent) / 100.0);
            let mut seen = Vec::new();
            for failed in outcomes {
                if failed {
                    cusum.fail();
                } else {
                    cusum.succeed();
                }
                seen.push(failed);
                let beyond = |window: &[bool]| {
                    let bad = window.iter().filter(|&&bad| bad).count() as i64;
                    100 * bad - i64::from(percent) * window.len() as i64
                };
                let most = (0..=seen.len()).map(|from| beyond(&seen[from..])).max();
                let is_too_much = most >= Some(100 * i64::from(failures));
                prop_assert_eq!(cusum.is_reached(), is_too_much);
                prop_assert_eq!(cusum.is_zero(), most == Some(0));
                if is_too_much {
                    break;
                }
            }
        }
    }
}
