//! The tests of a cooldown that one caller may have caused. Callers pass the time.
//!
//! A bench, and a cooldown without a hint, conclude from some refused requests that the next ones
//! will be refused too. Nothing distinguishes the requests of one caller from the requests of
//! several callers. So a request without another endpoint tests such a cooldown. Without the
//! cooldown it would be sent as well, so a test never serves less.
//!
//! While the pool serves other requests with the same limits, each request that no endpoint takes
//! within seconds tests a bench. A pool at its quota serves until the next refusal, so this shows
//! nothing about a rate limit. All other tests are limited by a token bucket (GCRA). A burst of
//! [`BURST`] leaves the other callers served after a few refused requests of one caller. Afterwards
//! one test per second bounds the attempts at an endpoint that refuses each request. Only refused
//! and cancelled tests count.
//!
//! Limit: a caller with more than one refused request per second uses up the tests of limits under
//! which the pool has just served no other request. Nothing distinguishes its requests from
//! requests of several callers.

use std::time::Duration;

use steadfast_core::layer::saturating_add;
use tokio::time::Instant;

/// The interval of the tests.
const INTERVAL: Duration = Duration::from_secs(1);
/// The largest number of tests at once.
pub(super) const BURST: u32 = 10;
/// The tests of a burst that are left to other callers than the accused one.
const RESERVED: u32 = BURST / 2;

/// The tests of the cooldowns of one state.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tests {
    /// When all tests of a burst are due again.
    full: Instant,
}

impl Tests {
    /// Starts with a whole burst.
    pub(super) fn new(now: Instant) -> Self {
        Self { full: now }
    }

    /// Returns when the next test is due, which may have passed. If only an accused caller was
    /// refused, some tests are reserved for the others.
    pub(super) fn due(self, is_reserved: bool) -> Instant {
        let reserved = if is_reserved { RESERVED } else { 0 };
        let burst = INTERVAL * (BURST - reserved - 1);
        self.full.checked_sub(burst).unwrap_or(self.full)
    }

    /// Counts a test. Tests that need not be due leave no debt beyond a burst.
    pub(super) fn send(&mut self, now: Instant) {
        let latest = saturating_add(now, INTERVAL * BURST);
        self.full = saturating_add(self.full.max(now), INTERVAL).min(latest);
    }

    /// Returns a test that was not sent.
    pub(super) fn unsend(&mut self) {
        self.full = self.full.checked_sub(INTERVAL).unwrap_or(self.full);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as many tests as are due at `now`. Returns their number.
    fn send_all(tests: &mut Tests, now: Instant) -> u32 {
        let mut sent = 0;
        while tests.due(false) <= now {
            tests.send(now);
            sent += 1;
        }
        sent
    }

    #[tokio::test(start_paused = true)]
    async fn one_test_per_second_follows_a_burst() {
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut tests = Tests::new(start);
        assert_eq!(send_all(&mut tests, start), BURST);
        let mut sent = 0;
        for tenth in 1..=600 {
            sent += send_all(&mut tests, start + tenth * INTERVAL / 10);
        }
        assert_eq!(sent, 60);
        let later = start + 1_000 * INTERVAL;
        assert_eq!(send_all(&mut tests, later), BURST, "no more after a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn half_of_a_burst_is_reserved() {
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut tests = Tests::new(start);
        let mut sent = 0;
        while tests.due(true) <= start {
            tests.send(start);
            sent += 1;
        }
        assert_eq!(sent, BURST - RESERVED);
        assert_eq!(send_all(&mut tests, start), RESERVED);
    }

    #[tokio::test(start_paused = true)]
    async fn unsent_test_is_due_again() {
        let start = Instant::now() + Duration::from_secs(1_000);
        let mut tests = Tests::new(start);
        send_all(&mut tests, start);
        tests.unsend();
        assert_eq!(send_all(&mut tests, start), 1);
    }
}
