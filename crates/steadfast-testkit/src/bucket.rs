use std::time::Duration;

use tokio::time::Instant;

use crate::quota::Quota;

/// The tokens of a [`Quota`], counted without rounding.
///
/// A token is worth `window` nanoseconds, and each nanosecond brings `requests` of them. So all
/// numbers are whole, and the bucket neither loses nor gains a request in a million.
#[derive(Debug)]
pub(crate) struct Bucket {
    quota: Quota,
    level: u128,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(quota: Quota, now: Instant) -> Self {
        let mut bucket = Self {
            quota,
            level: 0,
            filled: now,
        };
        bucket.level = bucket.capacity();
        bucket
    }

    pub(crate) fn quota(&self) -> &Quota {
        &self.quota
    }

    /// Takes a token, or says how long the next one takes.
    pub(crate) fn take(&mut self, now: Instant) -> Result<(), Duration> {
        self.refill(now);
        match self.level.checked_sub(self.cost()) {
            Some(rest) => {
                self.level = rest;
                Ok(())
            }
            None => Err(self.time_for(self.cost() - self.level)),
        }
    }

    /// How many requests would pass now.
    pub(crate) fn remaining(&mut self, now: Instant) -> u128 {
        self.refill(now);
        let unlimited = u128::from(self.quota.burst);
        self.level.checked_div(self.cost()).unwrap_or(unlimited)
    }

    /// How long until the bucket is full.
    pub(crate) fn until_full(&mut self, now: Instant) -> Duration {
        self.refill(now);
        self.time_for(self.capacity() - self.level)
    }

    fn refill(&mut self, now: Instant) {
        let gone = now.saturating_duration_since(self.filled).as_nanos();
        let gain = gone.saturating_mul(self.quota.requests.into());
        self.level = self.level.saturating_add(gain).min(self.capacity());
        self.filled = self.filled.max(now);
    }

    fn cost(&self) -> u128 {
        self.quota.window.as_nanos()
    }

    fn capacity(&self) -> u128 {
        if self.quota.requests == 0 {
            return 0;
        }
        self.cost() * u128::from(self.quota.burst)
    }

    fn time_for(&self, missing: u128) -> Duration {
        let nanos = missing.div_ceil(u128::from(self.quota.requests).max(1));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
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
        while bucket.take(Instant::now()).is_ok() {
            taken += 1;
        }
        taken
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_window_may_come_at_once_and_not_one_more() {
        let mut bucket = bucket(Quota::new(10, 60 * SECOND));
        assert_eq!(drain(&mut bucket), 10);
        assert_eq!(bucket.take(Instant::now()), Err(6 * SECOND));
    }

    /// Seven in a second: a token takes a seventh, which no number of nanoseconds is.
    #[tokio::test(start_paused = true)]
    async fn the_stated_wait_is_enough_and_a_nanosecond_less_is_not() {
        let mut bucket = bucket(Quota::new(7, SECOND));
        drain(&mut bucket);
        let wait = bucket.take(Instant::now()).expect_err("nothing is left");
        let now = Instant::now();
        assert!(bucket.take(now + wait - NANO).is_err());
        assert!(bucket.take(now + wait).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_windows_bring_neither_more_nor_less() {
        let mut bucket = bucket(Quota::new(7, SECOND));
        drain(&mut bucket);
        let (start, mut now, mut taken) = (Instant::now(), Instant::now(), 0);
        while taken < 70_000 {
            match bucket.take(now) {
                Ok(()) => taken += 1,
                Err(wait) => now += wait,
            }
        }
        assert_eq!(now - start, 10_000 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_limits_what_a_quiet_time_saves_up() {
        let mut bucket = bucket(Quota::new(60, 60 * SECOND).burst(3));
        assert_eq!(drain(&mut bucket), 3);
        advance(2 * SECOND).await;
        assert_eq!(drain(&mut bucket), 2);
        advance(3600 * SECOND).await;
        assert_eq!(drain(&mut bucket), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn the_edges_mean_all_or_nothing() {
        assert_eq!(
            bucket(Quota::new(0, SECOND)).take(Instant::now()),
            Err(SECOND)
        );
        assert_eq!(
            bucket(Quota::new(0, SECOND).burst(5)).take(Instant::now()),
            Err(SECOND)
        );
        let mut unlimited = bucket(Quota::new(1, Duration::ZERO));
        assert!((0..100).all(|_| unlimited.take(Instant::now()).is_ok()));
        let mut endless = bucket(Quota::new(u32::MAX, Duration::MAX));
        assert!(endless.take(Instant::now()).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_back_brings_nothing() {
        let mut bucket = bucket(Quota::new(1, SECOND));
        let now = Instant::now();
        advance(10 * SECOND).await;
        drain(&mut bucket);
        assert!(bucket.take(now).is_err());
        assert!(bucket.take(Instant::now()).is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn says_what_is_left_and_when_it_is_full() {
        let mut bucket = bucket(Quota::new(60, 60 * SECOND).burst(5));
        assert!(bucket.take(Instant::now()).is_ok());
        assert_eq!(bucket.remaining(Instant::now()), 4);
        assert_eq!(bucket.until_full(Instant::now()), SECOND);
    }
}
