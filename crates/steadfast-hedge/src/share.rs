use std::sync::atomic::{AtomicU64, Ordering};

use steadfast_core::InvalidConfig;

/// One hedge, in the unit of the bucket.
const ONE: u64 = 1_000_000_000;
/// The number of hedges that can be saved.
const BURST: u64 = 50;

/// A share of all requests: a number from 0 to 1.
///
/// It is a fixed-point number and rounded down, so a share is never exceeded.
///
/// ```
/// use steadfast_hedge::{HedgeLayer, Share};
///
/// let layer = HedgeLayer::new().max_share(Share::new(0.02)?);
/// # let _ = layer;
/// # Ok::<(), steadfast_core::InvalidConfig>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u64);

/// A bucket that requests fill and hedges empty.
///
/// It starts empty, so the number of hedges never exceeds the share of the requests so far.
#[derive(Debug, Default)]
pub(crate) struct Saved(AtomicU64);

impl Share {
    /// 0.05, the default of [`HedgeLayer::max_share`](crate::HedgeLayer::max_share).
    pub const DEFAULT: Self = Self(ONE / 20);
    /// No request.
    pub const NONE: Self = Self(0);
    /// All requests.
    pub const ALL: Self = Self(ONE);

    /// Creates a share.
    ///
    /// # Errors
    ///
    /// Returns an error unless `0 <= share <= 1`.
    pub fn new(share: f64) -> Result<Self, InvalidConfig> {
        // `contains` is false for NaN, which two comparisons would let through.
        if (0.0..=1.0).contains(&share) {
            Ok(Self((share * ONE as f64) as u64))
        } else {
            let reason = "must be from 0 to 1";
            Err(InvalidConfig::new("max_share", share, reason))
        }
    }
}

impl Default for Share {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Saved {
    /// Counts a request.
    pub(crate) fn earn(&self, share: Share) {
        self.put(share.0);
    }

    /// Pays for a hedge. Returns `false` if too little is saved.
    pub(crate) fn take(&self) -> bool {
        let take = |saved: u64| saved.checked_sub(ONE);
        self.update(take)
    }

    /// Refunds a hedge that was not sent.
    pub(crate) fn refund(&self) {
        self.put(ONE);
    }

    fn put(&self, more: u64) {
        let most = BURST * ONE;
        // A full bucket is the usual case and is only read.
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
    fn share_outside_0_to_1_is_rejected() {
        assert_eq!(Share::new(0.05), Ok(Share::DEFAULT));
        for share in [-0.01, 1.01, f64::NAN, f64::INFINITY] {
            let error = Share::new(share).expect_err("it is none");
            assert_eq!(error.field(), "max_share");
        }
    }

    #[test]
    fn bucket_saves_at_most_one_burst() {
        let saved = Saved::default();
        for _ in 0..1000 {
            saved.earn(Share(ONE / 2));
        }
        let taken = (0..1000).filter(|_| saved.take()).count();
        assert_eq!(taken as u64, BURST);
    }

    proptest! {
        /// After any number of requests, the hedges do not exceed their share. If a hedge is due
        /// at each request, they use the whole share.
        #[test]
        fn hedges_use_exactly_their_share(
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
                    saved.refund();
                }
                prop_assert!(sent * u128::from(ONE) <= earned);
                prop_assert!(sent <= requests);
            }
        }
    }
}
