//! The price of the next attempt.

use steadfast_core::{Class, RetryBudget, Withdrawal};
use tokio::time::Instant;

use super::outcome::Outcome;

impl Outcome {
    /// Returns the price of a move to another endpoint.
    pub(super) fn price_of_move(&self) -> u32 {
        if self.is_refused() {
            0
        } else {
            RetryBudget::MOVE_COST
        }
    }

    /// Returns the price of a retry after a wait.
    pub(super) fn price_of_retry(&self) -> u32 {
        let is_shed = self.verdict.class() == Class::Overloaded;
        // A request that a balancer rejected was not sent at all.
        match self.verdict.proves_unprocessed() || !self.attempted {
            true if is_shed && self.attempted => RetryBudget::THROTTLED_COST,
            true => RetryBudget::UNPROCESSED_COST,
            false => RetryBudget::RETRY_COST,
        }
    }

    /// Reserves the part of `price` that is not reserved yet. Returns `None` if it cannot be paid.
    ///
    /// A request that may be at fault leaves tokens to other requests.
    pub(super) fn pay(&self, budget: &RetryBudget, price: u32, now: Instant) -> Option<Withdrawal> {
        let price = if self.first { 0 } else { price };
        let cost = price.saturating_sub(self.paid);
        match self.verdict.class() {
            _ if !self.attempted => budget.try_withdraw(cost),
            _ if self.at_fault => budget.try_withdraw_leaving(budget.capacity() / 2, cost),
            Class::ServerError if price >= RetryBudget::RETRY_COST => {
                budget.try_withdraw_leaving(budget.capacity() / 4, cost)
            }
            Class::Transport => budget.try_withdraw_lost(cost, self.started, now),
            _ => budget.try_withdraw(cost),
        }
    }
}
