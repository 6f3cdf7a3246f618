use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

mod accounts;
mod withdrawal;

use self::accounts::{Accounts, Loss};
pub use self::withdrawal::Withdrawal;

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
/// | retry after a failed connect, below a balancer and within the deadline | 0 |
/// | retry after a timeout at a [silent](crate::Attempt::silent) endpoint, below a balancer and in the first half of the deadline | −2, [`MOVE_COST`](Self::MOVE_COST) |
/// | retry after a `429` with a hint, below a balancer, within `max_wait` and the deadline | 0 |
/// | retry at the same endpoint after a [refusal](crate::Class::is_refusal) | −1, [`UNPROCESSED_COST`](Self::UNPROCESSED_COST) |
/// | retry at the same endpoint after an overload with a hint | −5, [`THROTTLED_COST`](Self::THROTTLED_COST) |
/// | other retry at the same endpoint | −14, [`RETRY_COST`](Self::RETRY_COST) |
/// | further attempts of one lost connection, see [`try_withdraw_lost`](Self::try_withdraw_lost) | 0 |
/// | a retry succeeds, or is not sent | its cost is returned |
///
/// The capacity and the costs of retries are the values of the AWS SDKs' standard mode. Only an
/// unprocessed attempt costs less, since it has cost its endpoint almost nothing. Tokens are whole
/// numbers, so no fraction is lost. Clones share one bucket.
///
/// A full bucket pays for 26 retries of one caller at once. At 320 requests/s that is a twelfth of
/// one second's requests, at 20 requests/s more than all of them. The buckets of many clients add
/// up: if there are many small clients, give each of them fewer tokens.
///
/// # Requests that make servers fail
///
/// The failing requests of one caller must not use up the tokens of all others, whose requests may
/// fail in the same way. So [`try_withdraw_for`](Self::try_withdraw_for) bounds the part of each
/// caller, and a request that fails alike at two endpoints that serve others leaves half of the
/// [capacity](Self::capacity). The attempt that shows the fault of the request costs nothing.
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
    /// What callers have spent. Locked only after a failure.
    accounts: Mutex<Accounts>,
}

// ===== impl RetryBudget =====

impl RetryBudget {
    /// The default capacity.
    pub const DEFAULT_CAPACITY: u32 = 500;
    /// The cost of a failover to an untried endpoint after a failure that was no refusal.
    pub const MOVE_COST: u32 = 2;
    /// The cost of a retry at the same endpoint.
    pub const RETRY_COST: u32 = 14;
    /// The cost of a retry at an overloaded endpoint after its hint.
    pub const THROTTLED_COST: u32 = 5;
    /// The cost of a retry at the same endpoint after a refusal.
    pub const UNPROCESSED_COST: u32 = 1;
    /// The time within which the attempts of one lost connection fail.
    pub const LOST_TOGETHER: Duration = accounts::LOST_TOGETHER;

    /// Creates a full bucket of `capacity` tokens.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self(Arc::new(Bucket {
            capacity,
            tokens: AtomicU32::new(capacity),
            accounts: Mutex::default(),
        }))
    }

    /// Withdraws `tokens`. Returns `None`, and withdraws nothing, if there are fewer.
    #[must_use]
    pub fn try_withdraw(&self, tokens: u32) -> Option<Withdrawal> {
        self.try_withdraw_leaving(0, tokens)
    }

    /// Withdraws `tokens`. Returns `None`, and withdraws nothing, unless `rest` tokens are left.
    #[must_use]
    pub fn try_withdraw_leaving(&self, rest: u32, tokens: u32) -> Option<Withdrawal> {
        if tokens > 0 {
            let take = |available: u32| {
                let left = available.checked_sub(tokens)?;
                (left >= rest).then_some(left)
            };
            let order = Ordering::Relaxed;
            self.0.tokens.fetch_update(order, order, take).ok()?;
        }
        Some(Withdrawal::new(self.clone(), tokens))
    }

    /// Withdraws `tokens` for a request of one caller that may have been processed. Returns `None`,
    /// and withdraws nothing, unless `rest` tokens are left.
    ///
    /// The first number of `caller` stands for the caller, such as a hash of its credential, and
    /// the second one for the kind of its request. A third of the tokens that requests of this kind
    /// have spent must be left, and a seventh of all tokens that this caller has spent. So one kind
    /// leaves a quarter of a full bucket, one caller an eighth, and each further caller gets a part
    /// of the rest. Successes reduce all accounts alike. Some callers share an account.
    ///
    /// ```
    /// use steadfast_core::RetryBudget;
    ///
    /// let budget = RetryBudget::new(100);
    /// while let Some(failed) = budget.try_withdraw_for((1, 1), 0, 14) {
    ///     failed.spend();
    /// }
    /// assert_eq!(budget.available(), 30);
    /// assert!(budget.try_withdraw_for((2, 1), 0, 14).is_some());
    /// ```
    #[must_use]
    pub fn try_withdraw_for(
        &self,
        caller: (u64, u64),
        rest: u32,
        tokens: u32,
    ) -> Option<Withdrawal> {
        self.charge(&mut self.accounts(), caller, rest, tokens)
    }

    fn charge(
        &self,
        accounts: &mut Accounts,
        caller: (u64, u64),
        rest: u32,
        tokens: u32,
    ) -> Option<Withdrawal> {
        let withdrawn = self.0.capacity.saturating_sub(self.available());
        let (account, left) = accounts.bill(caller, tokens, withdrawn);
        let withdrawal = self.try_withdraw_leaving(rest.max(left), tokens)?;
        accounts.add(account, tokens);
        Some(withdrawal.charged_to(account))
    }

    /// Withdraws `tokens` after a lost connection, as [`try_withdraw_for`](Self::try_withdraw_for)
    /// does.
    ///
    /// A lost HTTP/2 connection fails all its attempts at once, and is billed once: the others cost
    /// nothing. An attempt belongs to a billed loss if it `started` before it and is lost within
    /// [`LOST_TOGETHER`](Self::LOST_TOGETHER) after it.
    #[must_use]
    pub fn try_withdraw_lost(
        &self,
        caller: (u64, u64),
        tokens: u32,
        (started, now): (Instant, Instant),
    ) -> Option<Withdrawal> {
        self.once(&[Loss::Lost], (started, now), |accounts| {
            self.charge(accounts, caller, 0, tokens)
        })
    }

    /// Withdraws `tokens` after a lost connection has refused the attempt, which was not processed.
    ///
    /// It costs nothing if another attempt of the same loss was billed.
    #[must_use]
    pub fn try_withdraw_refused(
        &self,
        tokens: u32,
        (started, now): (Instant, Instant),
    ) -> Option<Withdrawal> {
        // An attempt that may have been processed costs more, so only such a one pays for both.
        self.once(&[Loss::Refused, Loss::Lost], (started, now), |_| {
            self.try_withdraw(tokens)
        })
    }

    /// Withdraws once for the attempts of one loss. The first kind of loss is billed, and all of
    /// `kinds` have paid for it.
    fn once(
        &self,
        kinds: &[Loss],
        (started, now): (Instant, Instant),
        withdraw: impl FnOnce(&mut Accounts) -> Option<Withdrawal>,
    ) -> Option<Withdrawal> {
        let mut accounts = self.accounts();
        let is_billed = |kind: &Loss| accounts.is_billed(*kind, started, now);
        if kinds.iter().any(is_billed) {
            return self.try_withdraw(0);
        }
        let withdrawal = withdraw(&mut accounts)?;
        accounts.billed(kinds[0], now);
        Some(withdrawal)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        // Each change is complete before any code can panic, so a poisoned state is valid.
        let accounts = &self.0.accounts;
        accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds `tokens`, up to the capacity.
    pub fn deposit(&self, tokens: u32) {
        let Bucket {
            capacity,
            tokens: available,
            ..
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

    fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT_CAPACITY)
    }
}

#[cfg(test)]
mod tests;
