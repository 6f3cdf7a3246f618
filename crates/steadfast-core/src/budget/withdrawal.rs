use super::RetryBudget;
use super::accounts::Account;

/// Tokens that were withdrawn from a [`RetryBudget`]. Dropping it returns them.
#[derive(Debug)]
#[must_use = "dropping a withdrawal returns its tokens"]
pub struct Withdrawal {
    budget: RetryBudget,
    tokens: u32,
    /// The account that they are charged to.
    account: Option<Account>,
}

impl Withdrawal {
    pub(super) fn new(budget: RetryBudget, tokens: u32) -> Self {
        Self {
            budget,
            tokens,
            account: None,
        }
    }

    pub(super) fn charged_to(mut self, account: Account) -> Self {
        self.account = Some(account);
        self
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
            self.account = self.account.or(other.account);
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
        if self.tokens == 0 {
            return;
        }
        if let Some(account) = self.account {
            self.budget.accounts().remove(account, self.tokens);
        }
        self.budget.deposit(self.tokens);
    }
}
