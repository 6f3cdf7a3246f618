use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

mod withdrawal;

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
/// A full bucket pays for 35 retries at once. At 320 requests/s that is a ninth of one second's
/// requests, at 30 requests/s more than all of them. The buckets of many clients add up: if there
/// are many small clients, give each of them fewer tokens.
///
/// # Requests that make servers fail
///
/// The failing requests of one caller must not use up the tokens of all others. So a request that
/// may be at fault leaves a part of the [capacity](Self::capacity) to other requests: a quarter
/// after a server error, and half if it fails alike at two endpoints that serve others. The attempt
/// that shows the fault of the request costs nothing.
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
    /// When a lost connection was last billed. Locked only after a failure.
    lost: Mutex<Option<Instant>>,
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
    pub const LOST_TOGETHER: Duration = Duration::from_secs(1);

    /// Creates a full bucket of `capacity` tokens.
    #[must_use]
    pub fn new(capacity: u32) -> Self {
        Self(Arc::new(Bucket {
            capacity,
            tokens: AtomicU32::new(capacity),
            lost: Mutex::new(None),
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

    /// Withdraws `tokens` after a lost connection. Returns `None`, and withdraws nothing, if there
    /// are fewer.
    ///
    /// A lost HTTP/2 connection fails all its attempts at once, and is billed once: the others cost
    /// nothing. An attempt belongs to a billed loss if it `started` before it and is lost within
    /// [`LOST_TOGETHER`](Self::LOST_TOGETHER) after it.
    #[must_use]
    pub fn try_withdraw_lost(
        &self,
        tokens: u32,
        started: Instant,
        now: Instant,
    ) -> Option<Withdrawal> {
        // The guarded value is written whole, so a panic cannot leave it inconsistent.
        let mut billed = self.0.lost.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < Self::LOST_TOGETHER;
        let recent = billed.filter(is_recent);
        if recent.is_some_and(|at| started <= at) {
            return self.try_withdraw(0);
        }
        let withdrawal = self.try_withdraw(tokens)?;
        // Later losses within the time are billed one by one. A server that ends each connection
        // would otherwise get most retries for free.
        *billed = recent.or(Some(now));
        Some(withdrawal)
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
