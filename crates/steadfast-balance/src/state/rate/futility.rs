//! The test whether a send rate reduces the refusals.
//!
//! * **Premise.** A quota refuses few of the attempts within its own rate: about one of twenty if
//!   other processes use it too. Refusals with another cause come at any rate. A rate that follows
//!   them falls with each one, and the endpoint still refuses as many.
//! * **Test.** A cumulative sum over the attempts within the rate: each one takes a point, and each
//!   refusal adds [`REFUSAL`]. From [`FUTILE`] points on, the rate is futile. These are the
//!   logarithms of likelihood ratios, for 15 % refused attempts against 8 %. A quota is likely if
//!   most attempts behind a refusal were refused as well. Then it takes twice the sum.
//! * **Saving.** Three endpoints refuse one of five requests at random, at 100 requests/s. With a
//!   rate that the refusals lower, they serve 6 % of the requests. With this test they serve at
//!   least 98 % of the requests that retries alone serve (`random-20-of-3` in the lab).
//! * **Proof.** A first rate beside served tests is doubted until the sum has fallen by
//!   [`PROVEN`]. No request is rejected because of the queue meanwhile, unless the refusals suggest
//!   an overload.
//! * **Cancelled attempts** count as served ones, so they only delay the result.
//! * **Cost.** Four refusals in a short time end the rate of a real quota, which is then measured
//!   again.

/// The points of a refusal.
const REFUSAL: u32 = 9;
/// The points from which a rate is futile.
const FUTILE: u32 = 30;
/// The points from which it is futile although a quota is the likely cause of the refusals.
const SURELY_FUTILE: u32 = 2 * FUTILE;
/// The points from which a rate may be futile. A first rate starts with them if other attempts were
/// served beside its refusals.
const DOUBTFUL: u32 = 2 * REFUSAL;

/// The served attempts that a first rate needs at its start. More would delay the rejections of an
/// overload by more than a second.
const PROVEN: u32 = 6;

/// The attempts within a send rate since the sum was last zero.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Futility {
    /// The cumulative sum.
    points: u32,
    /// The attempts.
    sent: u32,
    /// The refusals.
    refused: u32,
    /// Whether the rate is a first one that may be futile, and too few attempts were served yet.
    unproven: bool,
}

impl Futility {
    /// Starts for a rate that may be futile.
    pub(super) fn doubtful() -> Self {
        Self {
            points: DOUBTFUL,
            unproven: true,
            ..Self::default()
        }
    }

    /// Counts an attempt within the rate.
    pub(super) fn sent(&mut self) {
        self.sent += 1;
        self.points = self.points.saturating_sub(1);
        self.unproven &= self.points + PROVEN > DOUBTFUL;
        if self.points == 0 {
            *self = Self::default();
        }
    }

    /// Counts the refusal of an attempt. Returns whether the rate is futile. It takes twice the sum
    /// if other evidence suggests a quota.
    pub(super) fn refused(&mut self, is_quota_likely: bool) -> bool {
        self.refused += 1;
        self.sent = self.sent.max(self.refused);
        self.points += REFUSAL;
        let futile = if is_quota_likely {
            SURELY_FUTILE
        } else {
            FUTILE
        };
        self.points >= futile
    }

    /// Returns whether the served attempts do not outweigh the last refusals.
    pub(super) fn is_refused(self) -> bool {
        self.points >= REFUSAL
    }

    /// Returns whether the next refusals may show that the rate is futile.
    pub(super) fn is_doubtful(self) -> bool {
        self.points >= DOUBTFUL
    }

    /// Returns whether the rate may be futile since its start.
    pub(super) fn is_unproven(self) -> bool {
        self.unproven
    }

    /// Returns the refused and the served attempts.
    pub(super) fn outcomes(self) -> (f64, f64) {
        let served = self.sent - self.refused;
        (f64::from(self.refused), f64::from(served))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts attempts, of which each one of `every` is refused. Returns the number of refusals
    /// until the rate is futile, or `None` if it is not after a thousand attempts.
    fn refusals(every: u32, is_quota_likely: bool) -> Option<u32> {
        let mut futility = Futility::default();
        (1..=1_000).find_map(|n| {
            futility.sent();
            (n % every == 0 && futility.refused(is_quota_likely)).then_some(n / every)
        })
    }

    #[test]
    fn rate_with_many_refusals_is_futile() {
        let refusals = |likely| [1, 2, 4, 7].map(|every| refusals(every, likely));
        assert_eq!(refusals(false), [4, 4, 6, 12].map(Some));
        assert_eq!(refusals(true), [8, 9, 12, 27].map(Some));
    }

    #[test]
    fn rate_with_few_refusals_is_not_futile() {
        assert_eq!([9, 12, 20].map(|every| refusals(every, false)), [None; 3]);
    }

    #[test]
    fn two_refusals_end_a_doubtful_rate() {
        let mut futility = Futility::doubtful();
        for is_futile in [false, true] {
            futility.sent();
            assert_eq!(futility.refused(false), is_futile);
        }
    }

    #[test]
    fn first_rate_is_proven_by_a_quiet_time() {
        let mut futility = Futility::doubtful();
        futility.sent();
        futility.refused(false);
        (0..REFUSAL).for_each(|_| futility.sent());
        assert!(futility.is_unproven());
        (2..PROVEN).for_each(|_| futility.sent());
        assert!(futility.is_unproven());
        futility.sent();
        assert!(!futility.is_unproven());
        futility.refused(false);
        assert!(!futility.is_unproven(), "a quota refuses some");
    }

    #[test]
    fn outcomes_are_the_ones_since_the_last_quiet_time() {
        let mut futility = Futility::default();
        let mut run = |served: u32| {
            futility.sent();
            futility.refused(false);
            (0..served).for_each(|_| futility.sent());
            futility.outcomes()
        };
        assert_eq!(run(3), (1.0, 3.0));
        assert_eq!(run(2), (2.0, 5.0));
        assert_eq!(run(30), (0.0, 0.0));
    }
}
