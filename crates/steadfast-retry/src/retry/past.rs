//! The past of a request with more than one attempt.

use std::time::Duration;

use http_body::Body;
use steadfast_core::Withdrawal;
use tokio::time::Instant;

use super::best_outcome::BestOutcome;
use crate::policy::{Limits, Spent};

/// The attempts so far, none of which succeeded.
pub(super) struct Past<B: Body> {
    /// The limits of this request.
    pub(super) limits: Limits,
    /// The use of these limits so far.
    pub(super) spent: Spent,
    /// The start of the present wait.
    waits_since: Option<Instant>,
    /// The cost of the next attempt. Dropping it refunds the tokens.
    reserved: Option<Withdrawal>,
    /// The tokens that the attempt in flight costs.
    at_stake: AtStake,
    /// The next attempt was counted already.
    pub(super) counted: bool,
    /// The number of its last refusal in the layer.
    pub(super) refused: Option<u32>,
    /// Whether an earlier attempt has shown the fault of the request.
    at_fault: bool,
    /// The outcome that the caller gets if no further attempt succeeds.
    pub(super) best: BestOutcome<B>,
}

/// The cost of the attempt in flight. It is refunded if the attempt succeeds, and spent if the
/// caller leaves: an endpoint that hangs would otherwise get twice the load for free.
#[derive(Default)]
pub(super) struct AtStake(pub(super) Option<Withdrawal>);

// ===== impl Past =====

impl<B: Body> Past<B> {
    /// Starts after the first attempt.
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            spent: Spent::FIRST_ATTEMPT,
            waits_since: None,
            reserved: None,
            at_stake: AtStake::default(),
            counted: false,
            refused: None,
            at_fault: false,
            best: BestOutcome::new(),
        }
    }

    /// Returns the time that is left for waits.
    pub(super) fn time_left(&self, now: Instant) -> Duration {
        self.limits.time_left(self.spent, now)
    }

    /// Starts a wait, which counts against the longest wait.
    pub(super) fn begin_wait(&mut self, now: Instant) {
        self.waits_since = Some(now);
    }

    /// Ends a wait. It may have been longer than planned.
    pub(super) fn end_wait(&mut self) {
        if let Some(since) = self.waits_since.take() {
            self.spent.slept += Instant::now().saturating_duration_since(since);
        }
    }

    /// Returns the tokens that are reserved for the next attempt.
    pub(super) fn reserved_tokens(&self) -> u32 {
        self.reserved.as_ref().map_or(0, Withdrawal::tokens)
    }

    /// Adds to the cost of the next attempt. The cost of an attempt that was not sent stays
    /// reserved.
    pub(super) fn reserve(&mut self, cost: Option<Withdrawal>) {
        self.reserved = match (self.reserved.take(), cost) {
            (Some(paid), Some(more)) => Some(paid.join(more)),
            (paid, more) => paid.or(more),
        };
    }

    /// Starts an attempt: its tokens are at stake.
    pub(super) fn begin_attempt(&mut self) {
        self.end_wait();
        self.at_stake.0 = self.reserved.take();
    }

    /// Spends the cost of a failed attempt. If no endpoint was tried, the cost is reserved for the
    /// next attempt. An attempt that shows the fault of the request costs nothing, since no storm
    /// of retries consists of such attempts. Neither does an attempt that its endpoint has served,
    /// such as one with the answer `404`.
    pub(super) fn end_attempt(&mut self, attempted: bool, is_served: bool, at_fault: bool) {
        if attempted {
            let shows_fault = at_fault && !std::mem::replace(&mut self.at_fault, at_fault);
            if shows_fault || is_served {
                self.refund();
            }
            self.counted = false;
            self.at_stake = AtStake::default();
        } else {
            self.reserved = self.at_stake.0.take();
        }
    }

    /// Refunds the cost of an attempt that succeeded.
    pub(super) fn refund(&mut self) {
        drop(self.at_stake.0.take());
    }
}

// ===== impl AtStake =====

impl Drop for AtStake {
    fn drop(&mut self) {
        if let Some(cost) = self.0.take() {
            cost.spend();
        }
    }
}
