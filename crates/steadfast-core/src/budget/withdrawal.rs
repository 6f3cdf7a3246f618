use super::RetryBudget;

/// Tokens that were withdrawn from a [`RetryBudget`]. Dropping it returns them.
#[derive(Debug)]
#[must_use = "dropping a withdrawal returns its tokens"]
pub struct Withdrawal {
    budget: RetryBudget,
    tokens: u32,
}

impl Withdrawal {
    pub(super) fn new(budget: RetryBudget, tokens: u32) -> Self {
        Self { budget, tokens }
    }

    /// Returns the number of withdrawn tokens.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Joins two withdrawals from one budget. If `other` is from another budget, it is returned
    /// there.
    pub fn join(mut self, mut other: Self) -> Self {
        if self.budget.is(&other.budget) {
            self.tokens = self
                .tokens
                .saturating_add(std::mem::take(&mut other.tokens));
        }
        self
    }

    /// Consumes the tokens: the attempt was sent and did not succeed.
    pub fn spend(mut self) {
        self.tokens = 0;
    }
}

impl Drop for Withdrawal {
    fn drop(&mut self) {
        if self.tokens > 0 {
            self.budget.deposit(self.tokens);
        }
    }
}
