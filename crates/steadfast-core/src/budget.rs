use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A token bucket that pays for retries, so that they cannot become a retry storm.
///
/// Successes fill the bucket, and extra attempts drain it. While most requests succeed, there are
/// always enough tokens; in an outage the extra attempts stop. A limit per request is no
/// substitute, since it multiplies the load during the whole outage.
///
/// | Event | Tokens |
/// |---|---|
/// | the first attempt of a retryable request succeeds | +1 |
/// | failover to an untried endpoint after a refusal | 0 |
/// | failover to an untried endpoint after another failure | −2, [`MOVE_COST`](Self::MOVE_COST) |
/// | retry at a rate-limited endpoint | −5, [`THROTTLED_COST`](Self::THROTTLED_COST) |
/// | other retry at the same endpoint | −14, [`RETRY_COST`](Self::RETRY_COST) |
/// | a retry succeeds, or is not sent | its cost is returned |
///
/// The capacity and the costs of retries are the values of the AWS SDKs' standard mode. Tokens are
/// whole numbers, so no fraction is lost. Clones share one bucket.
///
/// A full bucket pays for 35 retries at once. At 320 requests/s that is a ninth of one second's
/// requests, at 30 requests/s more than all of them. The buckets of many clients add up: if there
/// are many small clients, give each of them fewer tokens.
///
/// ```
/// use steadfast_core::RetryBudget;
///
/// let budget = RetryBudget::new(20);
/// let first = budget.try_withdraw(14).expect("the bucket starts full");
/// assert!(budget.try_withdraw(14).is_none());
/// drop(first); // not sent, or successful
/// assert_eq!(budget.available(), 20);
/// ```
#[derive(Clone, Debug)]
pub struct RetryBudget(Arc<Bucket>);

#[derive(Debug)]
struct Bucket {
    capacity: u32,
    tokens: AtomicU32,
}

/// Tokens that were withdrawn from a [`RetryBudget`]. Dropping it returns them.
#[derive(Debug)]
#[must_use = "dropping a withdrawal returns its tokens"]
pub struct Withdrawal {
    budget: RetryBudget,
    tokens: u32,
}

// ===== impl RetryBudget =====

impl RetryBudget {
    /// The default capacity.
    pub const DEFAULT_CAPACITY: u32 = 500;
    /// The cost of a failover to an untried endpoint after a failure that was no refusal.
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

    /// Withdraws `tokens`. Returns `None`, and withdraws nothing, if there are fewer.
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

    /// Adds `tokens`, up to the capacity.
    pub fn deposit(&self, tokens: u32) {
        let Bucket {
            capacity,
            tokens: available,
        } = &*self.0;
        // A full bucket, the usual case, is not written.
        let put = |available: u32| {
            (available < *capacity).then(|| available.saturating_add(tokens).min(*capacity))
        };
        let order = Ordering::Relaxed;
        let _ = available.fetch_update(order, order, put);
    }

    /// Returns the number of tokens that can be withdrawn.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.0.tokens.load(Ordering::Relaxed)
    }

    /// Returns the capacity.
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
    /// Returns the number of withdrawn tokens.
    #[must_use]
    pub fn tokens(&self) -> u32 {
        self.tokens
    }

    /// Joins two withdrawals from one budget. If `other` is from another budget, it is returned
    /// there.
    pub fn join(mut self, mut other: Self) -> Self {
        if Arc::ptr_eq(&self.budget.0, &other.budget.0) {
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

#[cfg(test)]
mod tests;
