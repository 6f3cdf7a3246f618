//! Failures in excess of a share: Page's cumulative sum (CUSUM).

use steadfast_core::InvalidConfig;

/// The numbers of the rule: failures in excess of a share of the calls.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Excess {
    pub(crate) failures: u32,
    pub(crate) share: f64,
}

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

impl Excess {
    /// Rejects a share that is less than a thousandth above 0 or below 1.
    pub(crate) fn check(self) -> Result<(), InvalidConfig> {
        let Self { failures, share } = self;
        // `contains` is false for NaN too.
        let is_share =
            (0.0..=1.0).contains(&share) && (1..Cusum::ONE).contains(&Cusum::thousandths(share));
        if failures >= 1 && is_share {
            return Ok(());
        }
        Err(InvalidConfig::new(
            "excess_failures",
            format_args!("{failures} beyond {share}"),
            "need failures >= 1 and 0.001 <= share <= 0.999",
        ))
    }
}

impl Cusum {
    const ONE: u64 = 1000;

    /// Creates a sum of zero.
    pub(crate) fn new(rule: Excess) -> Self {
        Self {
            share: Self::thousandths(rule.share),
            limit: u64::from(rule.failures) * Self::ONE,
            sum: 0,
        }
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

    /// Takes back a failure.
    pub(crate) fn take_back(&mut self) {
        self.sum = self.sum.saturating_sub(Self::ONE - self.share);
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
            let failures = 3;
            let checked = Excess { failures, share }.check();
            assert_eq!(checked.is_ok(), possible, "{share}");
        }
        // Four failures are three in excess of a quarter, without rounding.
        let (failures, share) = (3, 0.25);
        let mut cusum = Cusum::new(Excess { failures, share });
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
            let share = f64::from(percent) / 100.0;
            let mut cusum = Cusum::new(Excess { failures, share });
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
