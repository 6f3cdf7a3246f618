use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A bucket of tokens that retries are paid from, so that they cannot become a storm.
///
/// Successes fill it and extra attempts empty it: while most requests succeed there is always
/// enough, and when nothing succeeds the extra attempts stop. A limit on the attempts of each
/// request cannot do that, it multiplies the load of an outage for as long as the outage lasts.
///
/// | What | Tokens |
/// |---|---|
/// | a success at the first attempt of a request that could have been retried | +1 |
/// | moving to an untried endpoint after a refusal | 0 |
/// | moving to an untried endpoint after another failure | −2, [`MOVE_COST`](Self::MOVE_COST) |
/// | a retry at the same endpoint, which asked for a pause | −5, [`THROTTLED_COST`](Self::THROTTLED_COST) |
/// | another retry at the same endpoint | −14, [`RETRY_COST`](Self::RETRY_COST) |
/// | a retry that succeeds, or that is not sent after all | what it cost comes back |
///
/// The capacity and the costs of retries are those of the AWS SDKs' standard mode. Tokens are whole
/// numbers, so nothing is lost in rounding. Clones share one bucket.
///
/// A full bucket pays for 35 retries at once, which is a ninth of 320 requests/s and more than all
/// of 30. The buckets of many clients add up: give each of many small ones fewer tokens.
///
/// ```
/// use steadfast_core::RetryBudget;
///
/// let budget = RetryBudget::new(20);
/// let first = budget.try_withdraw(14).expect("the bucket starts full");
/// assert!(budget.try_withdraw(14).is_none());
/// drop(first); // it was not used, or it succeeded
/// assert_eq!(budget.available(), 20);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Bucket>);

#[derive(Debug)]
struct Bucket {
    capacity: u32,
    tokens: AtomicU32,
}

/// Tokens that were taken from a [`RetryBudget`]. Dropping it gives them back.
#[derive(Debug)]
#[must_use = "dropping a withdrawal gives its tokens back"]
pub struct Withdrawal {
    budget: RetryBudget,
    tokens: u32,
}

// ===== impl RetryBudget =====

impl RetryBudget {
    /// The tokens of a budget that is not configured.
    pub const DEFAULT_CAPACITY: u32 = 500;
    /// The cost of moving to an untried endpoint after a failure that was no refusal.
    pub const MOVE_COST: u32 = 2;
    /// The cost of a retry at the same endpoint.
    pub const RETRY_COST: u32 = 14;
    /// The cost of a retry at an endpoint that is rate limited.
    pub const THROTTLED_COST: u32 = 5;

    /// Creates a full bucket of `capacity` tokens.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self(Arc::new(Bucket {
            capacity,
            tokens: AtomicU32::new(capacity),
        }))
    }

    /// Takes `tokens` out, or nothing if there are fewer.
    #[must_use]
    pub fn try_withdraw(&self, tokens: u32) -> Option<Withdrawal> {
        let take = |available: u32| available.checked_sub(tokens);
        if tokens > 0 {
            let order = Ordering::Relaxed;
            self.0.tokens.fetch_update(order, order, take).ok()?;
        }
        Some(Withdrawal {
            budget: self.clone(),
            tokens,
        })
    }

    /// Puts `tokens` in. What does not fit is lost.
    pub fn deposit(&self, tokens: u32) {
        let Bucket {
            capacity,
            tokens: available,
        } = &*self.0;
        // A full bucket, the usual case, is only read.
        let put = |available: u32| {
            (available < *capacity).then(|| available.saturating_add(tokens).min(*capacity))
        };
        let order = Ordering::Relaxed;
        let _ = available.fetch_update(order, order, put);
    }

    /// Returns the tokens that can be taken out.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.tokens.load(Ordering::Relaxed)
    }

    /// Returns the tokens of a full bucket.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.0.capacity
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

// ===== impl Withdrawal =====

impl Withdrawal {
    /// Returns how many tokens were taken.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Makes one withdrawal of two from the same budget. One from another budget goes back there.
    pub fn join(mut self, mut other: Self) -> Self {
        if Arc::ptr_eq(&self.budget.0, &other.budget.0) {
            self.tokens = self
                .tokens
                .saturating_add(std::mem::take(&mut other.tokens));
        }
        self
    }

    /// Uses the tokens up: the attempt was made, and did not succeed.
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn gives_what_it_has_and_no_more() {
        let budget = RetryBudget::default();
        let taken: Vec<_> = std::iter::from_fn(|| budget.try_withdraw(14)).collect();
        assert_eq!(taken.len(), 35, "500 / 14");
        assert_eq!(budget.available(), 10);
        assert!(
            budget.try_withdraw(0).is_some(),
            "what is free is never refused"
        );
    }

    #[test]
    fn a_spent_withdrawal_does_not_come_back() {
        let budget = RetryBudget::new(10);
        budget.try_withdraw(4).expect("ten are there").spend();
        drop(budget.try_withdraw(4));
        assert_eq!(budget.available(), 6);
        budget.deposit(100);
        assert_eq!(
            budget.available(),
            10,
            "a bucket holds no more than its capacity"
        );
    }

    #[test]
    fn two_withdrawals_become_one_and_nothing_is_lost() {
        let budget = RetryBudget::new(20);
        let take = |tokens| budget.try_withdraw(tokens).expect("it is there");
        let both = take(2).join(take(12));
        assert_eq!((both.tokens(), budget.available()), (14, 6));
        let other = RetryBudget::new(5);
        let both = both.join(other.try_withdraw(5).expect("it is full"));
        assert_eq!((both.tokens(), other.available()), (14, 5));
        both.spend();
        assert_eq!((budget.available(), other.available()), (6, 5));
    }

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Take(u32),
        Deposit(u32),
        Spend(usize),
        GiveBack(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..30u32).prop_map(Step::Take),
            (0..5u32).prop_map(Step::Deposit),
            any::<usize>().prop_map(Step::Spend),
            any::<usize>().prop_map(Step::GiveBack),
        ]
    }

    proptest! {
        /// What is in the bucket is what a plain sum says, and so never more than was put in.
        #[test]
        fn counts_exactly(steps in prop::collection::vec(step(), 0..200)) {
            let budget = RetryBudget::new(50);
            let mut sum = 50u32;
            let mut held = Vec::new();
            for step in steps {
                match step {
                    Step::Take(n) => match budget.try_withdraw(n) {
                        Some(withdrawal) => {
                            sum -= n;
                            held.push((withdrawal, n));
                        }
                        None => prop_assert!(sum < n),
                    },
                    Step::Deposit(n) => {
                        budget.deposit(n);
                        sum = (sum + n).min(50);
                    }
                    Step::Spend(at) if !held.is_empty() => {
                        held.swap_remove(at % held.len()).0.spend();
                    }
                    Step::GiveBack(at) if !held.is_empty() => {
                        sum = (sum + held.swap_remove(at % held.len()).1).min(50);
                    }
                    Step::Spend(_) | Step::GiveBack(_) => {}
                }
                prop_assert_eq!(budget.available(), sum);
            }
        }
    }
}
