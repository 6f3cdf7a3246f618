//! Receipts for failures that may be taken back.

use super::breaker::CircuitBreaker;
use crate::machine::Mark;

/// A receipt for a counted failure, by which it can be [taken back](CircuitBreaker::take_back).
///
/// It is one integer, so that a record of attempts of any type can keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureReceipt(u64);

impl FailureReceipt {
    pub(super) fn new(mark: Mark) -> Self {
        Self(mark.bits())
    }

    /// Returns the receipt as an integer.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// Creates a receipt from the integer of [`to_bits`](Self::to_bits).
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }
}

impl CircuitBreaker {
    /// Takes back a failure that was no evidence about the peer. Returns whether it still had an
    /// effect.
    ///
    /// A failure may turn out to be the fault of its request, for example because the request fails
    /// at another peer too. If the breaker has opened and no rule is reached without this failure,
    /// the opening is taken back as well. A receipt is valid once, and only for its breaker.
    ///
    /// ```
    /// use steadfast_breaker::CircuitBreaker;
    /// use steadfast_core::{BreakerState, Class, Verdict};
    /// use tokio::time::Instant;
    ///
    /// let breaker = CircuitBreaker::builder().consecutive_failures(1).build()?;
    /// let permit = breaker.at(Instant::now()).try_acquire_detached()?;
    /// let receipt = permit.fail(&breaker, Verdict::new(Class::ServerError));
    /// assert_eq!(breaker.state(), BreakerState::Open);
    ///
    /// assert!(breaker.take_back(receipt.expect("it counts")));
    /// assert_eq!(breaker.state(), BreakerState::Closed);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::must_use_candidate, reason = "most callers need no answer")]
    pub fn take_back(&self, receipt: FailureReceipt) -> bool {
        self.shared().take_back(Mark::of_word(receipt.0))
    }
}
