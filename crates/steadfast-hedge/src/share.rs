use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_core::InvalidConfig;

/// One further attempt, in the unit of the bucket.
const ONE: u64 = 1_000_000_000;
/// How many further attempts can be saved up.
const BURST: u64 = 50;

/// How many further attempts a request pays for, as a fixed-point number.
///
/// It is rounded down, so that there are never more of them than the share says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share(u64);

/// A bucket that requests fill and further attempts empty. It starts empty, so at no time have
/// there been more further attempts than the share of all requests so far.
#[derive(Debug, Default)]
pub(crate) struct Saved(AtomicU64);

impl Share {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const DEFAULT: Self = Self(ONE / 20);

    pub(crate) fn new(share: f64) -> Result<Self, InvalidConfig> {
        // `contains` is false for NaN, which two comparisons would let through.
        if (0.0..=1.0).contains(&share) {
            Ok(Self((share * ONE as f64) as u64))
        } else {
            Err(InvalidConfig::new("max_share", share, "is from 0 to 1"))
        }
    }
}

impl Saved {
    /// Counts a request.
    pub(crate) fn earn(&self, share: Share) {
        self.put(share.0);
    }

    /// Pays for a further attempt, if there is enough.
    pub(crate) fn take(&self) -> bool {
        let take = |saved: u64| saved.checked_sub(ONE);
        self.update(take)
    }

    /// Returns what was paid for an attempt that was not sent.
    pub(crate) fn give_back(&self) {
        self.put(ONE);
    }

    fn put(&self, more: u64) {
        let most = BURST * ONE;
        // A full bucket, which is usual, is only read.
        let put = |saved: u64| (saved < most).then(|| (saved + more).min(most));
        self.update(put);
    }

    fn update(&self, change: impl FnMut(u64) -> Option<u64>) -> bool {
        let order = Ordering::Relaxed;
        self.0.fetch_update(order, order, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_share_is_a_number_from_0_to_1() {
        assert_eq!(Share::new(0.05), Ok(Share::DEFAULT));
        for share in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            let error = Share::new(share).expect_err("it is none");
            assert_eq!(error.field(), "max_share");
        }
    }

    #[test]
    fn no_more_than_a_burst_is_saved() {
        let saved = Saved::default();
        for _ in 0..1000 {
            saved.earn(Share(ONE / 2));
        }
        let taken = (0..1000).filter(|_| saved.take()).count();
        assert_eq!(taken as u64, BURST);
    }

    proptest! {
        /// After any number of requests there were no more further attempts than their share, and
        /// whoever asks each time gets all of it.
        #[test]
        fn the_share_is_exact(
            share in 0.0..=1.0f64,
            steps in prop::collection::vec((0..50u64, any::<bool>()), 1..200),
        ) {
            let (saved, share) = (Saved::default(), Share::new(share).expect("valid"));
            let (mut earned, mut sum) = (0u128, 0u128);
            let (mut requests, mut sent) = (0u128, 0u128);
            for (more, is_sent) in steps {
                for _ in 0..more {
                    saved.earn(share);
                    requests += 1;
                    sum = (sum + u128::from(share.0)).min(u128::from(BURST * ONE));
                    earned += u128::from(share.0);
                }
                let paid = saved.take();
                prop_assert_eq!(paid, sum >= u128::from(ONE));
                if paid && is_sent {
                    (sent, sum) = (sent + 1, sum - u128::from(ONE));
                } else if paid {
                    saved.give_back();
                }
                prop_assert!(sent * u128::from(ONE) <= earned);
                prop_assert!(sent <= requests);
            }
        }
    }
}
