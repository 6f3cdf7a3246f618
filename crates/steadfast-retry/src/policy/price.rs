//! The price of the next attempt.

use steadfast_core::{BreakerEffect, Class, RetryBudget, Withdrawal};
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

    /// Returns the price of a retry that is not free.
    pub(super) fn price_of_retry(&self) -> u32 {
        // The endpoint was silent, so a further attempt there is a lone test.
        if self.verdict.class() == Class::Timeout && !self.late {
            return RetryBudget::MOVE_COST;
        }
        let is_shed = self.verdict.class() == Class::Overloaded;
        // A request that a balancer rejected was not sent at all.
        match self.verdict.proves_unprocessed() || !self.attempted {
            true if is_shed && self.attempted => RetryBudget::THROTTLED_COST,
            true => RetryBudget::UNPROCESSED_COST,
            false => RetryBudget::RETRY_COST,
        }
    }

    /// Reserves the part of `price` that is not reserved yet. Returns `None` if it cannot be paid.
    pub(super) fn pay(&self, budget: &RetryBudget, price: u32, now: Instant) -> Option<Withdrawal> {
        let price = if self.first { 0 } else { price };
        let cost = price.saturating_sub(self.paid);
        match self.attempted {
            true => self.charge(budget, cost, now),
            false => budget.try_withdraw(cost),
        }
    }

    /// Withdraws the cost of an attempt after another one.
    ///
    /// A request that may be at fault leaves tokens to other requests: if it may have been
    /// processed, its caller pays, and if it fails alike elsewhere, half of the budget stays.
    fn charge(&self, budget: &RetryBudget, cost: u32, now: Instant) -> Option<Withdrawal> {
        let rest = budget.capacity() / 2 * u32::from(self.at_fault);
        let times = (self.started, now);
        match self.verdict.class() {
            Class::Transport if rest == 0 => budget.try_withdraw_lost(self.caller, cost, times),
            _ if !self.verdict.proves_unprocessed() => {
                budget.try_withdraw_for(self.caller, rest, cost)
            }
            _ if self.is_refused_stream() => budget.try_withdraw_refused(cost, times),
            _ => budget.try_withdraw_leaving(rest, cost),
        }
    }

    /// Returns whether a lost connection has refused the attempt. The connection is at fault, and
    /// not its endpoint.
    fn is_refused_stream(&self) -> bool {
        let is_neutral = self.verdict.breaker() == BreakerEffect::Neutral;
        self.verdict.class() == Class::Connect && is_neutral
    }
}
