//! The token bucket behind a quota.

use std::time::Duration;

use tokio::time::Instant;

use crate::quota::Quota;

/// Counts the remainder of a [`Quota`] without rounding.
///
/// ```
/// use std::time::Duration;
/// use steadfast_testkit::{Bucket, Quota};
/// use tokio::time::Instant;
///
/// let now = Instant::now();
/// let mut tokens = Bucket::new(Quota::new(60_000, Duration::from_secs(60)), now);
/// assert_eq!(tokens.take(50_000, now), Ok(()));
/// assert_eq!(tokens.take(20_000, now), Err(Duration::from_secs(10)));
/// ```
// A token is worth `window` nanoseconds, and each nanosecond brings `requests` of them. So all
// numbers are whole, and the bucket neither loses nor gains a request in a million.
#[derive(Clone, Debug)]
pub struct Bucket {
    quota: Quota,
    level: u128,
    filled: Instant,
}

impl Bucket {
    /// Creates a bucket that is full.
    #[must_use]
    pub fn new(quota: Quota, now: Instant) -> Self {
        let mut bucket = Self {
            quota,
            level: 0,
            filled: now,
        };
        bucket.level = bucket.capacity();
        bucket
    }

    /// Returns the quota of the bucket.
    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Takes `units`, or nothing if there are fewer.
    ///
    /// # Errors
    ///
    /// Returns how long it takes until there are enough, or until the bucket is full if it never
    /// holds as many.
    pub fn take(&mut self, units: u32, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        let price = self.unit().saturating_mul(units.into());
        match self.level.checked_sub(price) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(self.time_until(price.min(self.capacity()), now)),
        }
    }

    /// Returns how many units are left.
    #[must_use]
    pub fn remaining(&mut self, now: Instant) -> u128 {
        self.refill(now);
        let unlimited = u128::from(self.quota.burst);
        self.level.checked_div(self.unit()).unwrap_or(unlimited)
    }

    /// Returns how long it takes until the bucket is full.
    #[must_use]
    pub fn until_full(&mut self, now: Instant) -> Duration {
        self.refill(now);
        self.time_until(self.capacity(), now)
    }

    /// Adds the tokens of the time since the last refill.
    fn refill(&mut self, now: Instant) {
        let gone = now.saturating_duration_since(self.filled).as_nanos();
        if self.quota.fixed {
            // Windows follow each other from the first instant on, used or not.
            let into_window = gone.checked_rem(self.unit()).unwrap_or(0);
            if gone > into_window {
                self.level = self.capacity();
                self.filled = now - nanos(into_window);
            }
            return;
        }
        let gain = gone.saturating_mul(self.quota.requests.into());
        self.level = self.level.saturating_add(gain).min(self.capacity());
        self.filled = self.filled.max(now);
    }

    /// What a unit is worth.
    fn unit(&self) -> u128 {
        self.quota.window.as_nanos()
    }

    /// Returns the level of a full bucket.
    fn capacity(&self) -> u128 {
        if self.quota.requests == 0 {
            return 0;
        }
        self.unit() * u128::from(self.quota.burst)
    }

    /// Returns the wait until the bucket reaches a level.
    fn time_until(&self, level: u128, now: Instant) -> Duration {
        let missing = level.saturating_sub(self.level);
        if self.quota.fixed && (missing > 0 || self.quota.requests == 0) {
            let into_window = now.saturating_duration_since(self.filled);
            return self.quota.window.saturating_sub(into_window);
        }
        let missing = if self.quota.requests == 0 {
            self.unit()
        } else {
            missing
        };
        nanos(missing.div_ceil(u128::from(self.quota.requests).max(1)))
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    const NANO: Duration = Duration::from_nanos(1);
    const SECOND: Duration = Duration::from_secs(1);

    fn bucket(quota: Quota) -> Bucket {
        Bucket::new(quota, Instant::now())
    }

    fn drain(bucket: &mut Bucket) -> u32 {
        let mut taken = 0;
        while bucket.take(1, Instant::now()).is_ok() {
            taken += 1;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn burst_up_to_whole_window_is_admitted() {
        let mut bucket = bucket(Quota::new(10, 60 * SECOND));
        assert_eq!(drain(&mut bucket), 10);
        assert_eq!(bucket.take(1, Instant::now()), Err(6 * SECOND));
    }

    /// Seven in a second: a token takes a seventh, which no number of nanoseconds is.
    #[tokio::test(start_paused = true)]
    async fn stated_wait_is_exact_to_the_nanosecond() {
        let mut bucket = bucket(Quota::new(7, SECOND));
        drain(&mut bucket);
        let wait = bucket.take(1, Instant::now()).expect_err("nothing is left");
        let now = Instant::now();
        assert!(bucket.take(1, now + wait - NANO).is_err());
        assert!(bucket.take(1, now + wait).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn rate_is_exact_over_a_million_windows() {
        let mut bucket = bucket(Quota::new(7, SECOND));
        drain(&mut bucket);
        let (start, mut now, mut taken) = (Instant::now(), Instant::now(), 0);
        while taken < 70_000 {
            match bucket.take(1, now) {
                Ok(()) => taken += 1,
                Err(wait) => now += wait,
            }
        }
        assert_eq!(now - start, 10_000 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn quiet_time_saves_at_most_the_burst() {
        let mut bucket = bucket(Quota::new(60, 60 * SECOND).burst(3));
        assert_eq!(drain(&mut bucket), 3);
        advance(2 * SECOND).await;
        assert_eq!(drain(&mut bucket), 2);
        advance(3600 * SECOND).await;
        assert_eq!(drain(&mut bucket), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn bucket_without_window_or_requests_admits_all_or_nothing() {
        assert_eq!(
            bucket(Quota::new(0, SECOND)).take(1, Instant::now()),
            Err(SECOND)
        );
        assert_eq!(
            bucket(Quota::new(0, SECOND).burst(5)).take(1, Instant::now()),
            Err(SECOND)
        );
        let mut unlimited = bucket(Quota::new(1, Duration::ZERO));
        assert!((0..100).all(|_| unlimited.take(1, Instant::now()).is_ok()));
        let mut endless = bucket(Quota::new(u32::MAX, Duration::MAX));
        assert!(endless.take(1, Instant::now()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn clock_that_goes_back_refills_nothing() {
        let mut bucket = bucket(Quota::new(1, SECOND));
        let now = Instant::now();
        advance(10 * SECOND).await;
        drain(&mut bucket);
        assert!(bucket.take(1, now).is_err());
        assert!(bucket.take(1, Instant::now()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn remaining_and_reset_are_exact() {
        let mut bucket = bucket(Quota::new(60, 60 * SECOND).burst(5));
        assert!(bucket.take(1, Instant::now()).is_ok());
        assert_eq!(bucket.remaining(Instant::now()), 4);
        assert_eq!(bucket.until_full(Instant::now()), SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn several_units_pass_together_or_not_at_all() {
        let mut bucket = bucket(Quota::new(600, 60 * SECOND));
        assert_eq!(bucket.take(595, Instant::now()), Ok(()));
        assert_eq!(bucket.take(15, Instant::now()), Err(SECOND));
        assert_eq!(bucket.remaining(Instant::now()), 5, "nothing was taken");
        advance(SECOND).await;
        assert_eq!(bucket.take(15, Instant::now()), Ok(()));
        let full = 60 * SECOND;
        assert_eq!(bucket.take(601, Instant::now()), Err(full), "it never will");
    }

    /// Ten a second in windows: an unused remainder is lost, and the whole quota returns at once.
    #[tokio::test(start_paused = true)]
    async fn fixed_window_refills_at_its_end() {
        let mut bucket = bucket(Quota::new(10, SECOND).fixed_window());
        advance(SECOND / 4).await;
        assert_eq!(drain(&mut bucket), 10);
        assert_eq!(bucket.take(1, Instant::now()), Err(3 * SECOND / 4));
        advance(3 * SECOND / 4 - NANO).await;
        assert_eq!(drain(&mut bucket), 0);
        assert_eq!(bucket.until_full(Instant::now()), NANO);
        advance(NANO).await;
        assert_eq!(drain(&mut bucket), 10);
        // Two and a half windows later.
        advance(5 * SECOND / 2).await;
        assert_eq!(drain(&mut bucket), 10);
        assert_eq!(bucket.take(1, Instant::now()), Err(SECOND / 2));
    }

    #[tokio::test(start_paused = true)]
    async fn fixed_window_without_length_or_requests_admits_all_or_nothing() {
        let mut unlimited = bucket(Quota::new(1, Duration::ZERO).fixed_window());
        assert!((0..100).all(|_| unlimited.take(1, Instant::now()).is_ok()));
        let mut shut = bucket(Quota::new(0, SECOND).fixed_window());
        assert_eq!(shut.take(1, Instant::now()), Err(SECOND));
    }
}
